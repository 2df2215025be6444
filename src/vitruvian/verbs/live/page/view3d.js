/** The people in 3D: drag, or arrow keys, to turn; wheel, pinch or + and - to zoom. */

import { paints, side, sized } from "./overlay.js";
import { followPointers } from "./pointers.js";

const FIELD = 0.7;  // radians, of the shorter side
const APART = 1.3;  // metres between people of whom only the hips' frame is known
const SURE = 0.5;
const REDRAW = 40;  // ms between two drawings of new people

export class View3D {
  constructor(canvas) {
    Object.assign(this, { canvas, people: [], table: null, floor: null, drawn: 0 });
    this.look(0.45, 0.2);
    this.listen();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  look(azimuth, elevation) {
    Object.assign(this, { azimuth, elevation, zoom: 1 });
    this.draw();
  }

  show(people, origin, table) {
    if (performance.now() - this.drawn < REDRAW && table === this.table) return;
    const there = people.filter(({ xyz }) => xyz).sort((a, b) => a.person - b.person);
    const apart = origin === "hips" ? APART : 0;
    this.people = there.map(({ xyz, score, person }, i) => ({ person, score,
      at: xyz.map((p) => p && [p[0] + (i - (there.length - 1) / 2) * apart, p[2], -p[1]]) }));
    this.table = table;
    const all = this.people.flatMap(({ at }) => at.filter(Boolean));
    if (all.length) {
      const middle = [0, 1].map((i) => all.reduce((sum, p) => sum + p[i], 0) / all.length);
      const floor = Math.min(...all.map((p) => p[2])), far = this.floor === null ? 1 : 0.1;
      this.floor = (this.floor ?? 0) + far * (floor - (this.floor ?? 0));
      const target = origin === "hips" ? [0, 0] : middle;
      this.target = (this.target ?? target).map((old, i) => old + far * (target[i] - old));
    }
    this.draw();
  }

  draw() {
    this.drawn = performance.now();
    const [pen, w, h] = sized(this.canvas), paint = paints();
    if (!w || !h) return;
    const floor = this.floor ?? -1, [x, y] = this.target ?? [0, 0], target = [x, y, floor + 0.75];
    const wide = Math.max(1, this.people.length) * APART, tall = 2.3;
    const room = Math.max(tall, wide * Math.min(1, h / w) * (w > h ? 1 : h / w));
    const distance = room / 2 / Math.tan(FIELD / 2) * this.zoom * 1.1;
    const [ca, sa] = [Math.cos(this.azimuth), Math.sin(this.azimuth)];
    const [ce, se] = [Math.cos(this.elevation), Math.sin(this.elevation)];
    const focal = Math.min(w, h) / 2 / Math.tan(FIELD / 2);
    const place = (at) => {
      const [dx, dy, dz] = at.map((value, i) => value - target[i]);
      const right = ca * dx - sa * dy, ahead = sa * dx + ca * dy;
      const z = distance + ce * ahead - se * dz, scale = focal / Math.max(z, 0.05);
      return { x: w / 2 + scale * right, y: h / 2 - scale * (se * ahead + ce * dz), z, scale };
    };
    const line = (a, b, colour, width, alpha = 1) => {
      if (a.z < 0.06 || b.z < 0.06) return;
      pen.globalAlpha = alpha;
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.beginPath();
      pen.moveTo(a.x, a.y);
      pen.lineTo(b.x, b.y);
      pen.stroke();
    };
    const half = Math.max(1, Math.ceil(wide / 2 * 2) / 2);
    for (let at = -half; at <= half + 1e-6; at += 0.5) {
      line(place([x + at, y - half, floor]), place([x + at, y + half, floor]), paint.grid, 1);
      line(place([x - half, y + at, floor]), place([x + half, y + at, floor]), paint.grid, 1);
    }
    if (this.table) this.drawPeople(pen, paint, place, line, floor);
  }

  drawPeople(pen, paint, place, line, floor) {
    const { keypoints, bones, parts } = this.table, strokes = [];
    const added = new Set(Object.values(parts).flat());
    pen.lineCap = "round";
    for (const { at, score } of this.people) {
      for (const [a, b] of bones) {
        if (!at[a] || !at[b]) continue;
        const ends = [place(at[a]), place(at[b])], sides = [a, b].map((k) => side(keypoints[k]));
        const shadow = [a, b].map((k) => place([at[k][0], at[k][1], floor]));
        line(...shadow, paint.faint, 2, 0.2);
        strokes.push({ ends, colour: paint.sides[sides[0] === sides[1] ? sides[0] : "middle"],
          sure: Math.min(score[a], score[b]) >= SURE, z: ends[0].z + ends[1].z,
          share: added.has(a) || added.has(b) ? 0.4 : 1 });
      }
    }
    strokes.sort((a, b) => b.z - a.z);
    for (const { ends, colour, sure, share } of strokes) {
      const thick = Math.max(2, Math.min(8, 0.028 * ends[0].scale)) * (sure ? 1 : 0.5) * share;
      if (sure) line(...ends, paint.panel, thick + 2);
      line(...ends, colour, thick, sure ? 1 : 0.4);
    }
    pen.globalAlpha = 1;
    pen.fillStyle = paint.ink;
    pen.font = "600 12px system-ui, sans-serif";
    pen.textAlign = "center";
    for (const { at, person } of this.people.length > 1 ? this.people : []) {
      const top = at.filter(Boolean).reduce((a, b) => (b[2] > a[2] ? b : a));
      const end = place([top[0], top[1], top[2] + 0.12]);
      pen.fillText(person < 0 ? "?" : person, end.x, end.y);
    }
  }

  turn(dx, dy) {
    this.azimuth += dx;
    this.elevation = Math.max(-1.57, Math.min(1.57, this.elevation + dy));
    this.draw();
  }

  nearer(times) {
    this.zoom = Math.max(0.2, Math.min(6, this.zoom * times));
    this.draw();
  }

  listen() {
    const { canvas } = this;
    followPointers(canvas, { turn: this.turn.bind(this), zoom: this.nearer.bind(this) });
    canvas.ondblclick = () => this.look(0.45, 0.2);
    canvas.onkeydown = (event) => {
      const keys = { ArrowLeft: () => this.turn(-0.1, 0), ArrowRight: () => this.turn(0.1, 0),
        ArrowUp: () => this.turn(0, 0.1), ArrowDown: () => this.turn(0, -0.1),
        "+": () => this.nearer(1 / 1.2), "-": () => this.nearer(1.2) };
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    };
  }
}
