/** A joint angle of one person over the last seconds: both sides, in their colours. */

import { paints, side, sized } from "./overlay.js";

const SHOWN = 20;  // seconds
const REDRAW = 100;  // ms between two drawings
const BROKEN = 1;  // seconds without a value, over which no line is drawn

export class Chart {
  /** @param {Function} told called with the newest degrees when they are drawn. */
  constructor(canvas, told) {
    Object.assign(this, { canvas, told, names: [], values: [], drawn: 0 });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** Start again with these angles, such as both knees. */
  reset(names) {
    this.names = names;
    this.values = [];
    this.draw();
  }

  /** Add a moment: seconds, and degrees (or null) of each angle. */
  add(seconds, degrees) {
    if (this.values.length && seconds <= this.values.at(-1).seconds) this.values = [];
    this.values.push({ seconds, degrees });
    while (this.values[0].seconds < seconds - SHOWN) this.values.shift();
    if (performance.now() - this.drawn < REDRAW) return;
    this.draw();
    this.told(degrees);
  }

  draw() {
    this.drawn = performance.now();
    const [pen, w, h] = sized(this.canvas), paint = paints();
    if (w < 60 || h < 40) return;
    const all = this.values.flatMap(({ degrees }) => degrees.filter((d) => d !== null));
    let [low, high] = all.length ? [Math.min(...all), Math.max(...all)] : [0, 90];
    const step = high - low > 120 ? 60 : high - low > 50 ? 30 : 15;
    low = low >= 0 && low < 3 ? 0 : Math.floor((low - 3) / step) * step;
    high = Math.max(low + 2 * step, Math.ceil((high + 3) / step) * step);
    const now = this.values.at(-1)?.seconds ?? 0, left = 36, bottom = h - 18;
    const x = (seconds) => left + (w - left - 6) * (1 - (now - seconds) / SHOWN);
    const y = (degrees) => bottom - (bottom - 6) * (degrees - low) / (high - low);
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = paint.faint;
    pen.strokeStyle = paint.grid;
    pen.lineWidth = 1;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (let at = low; at <= high; at += step) {
      pen.beginPath();
      pen.moveTo(left, y(at));
      pen.lineTo(w - 6, y(at));
      pen.stroke();
      pen.fillText(`${at}°`, left - 6, y(at));
    }
    pen.textAlign = "center";
    for (const ago of [20, 15, 10, 5]) pen.fillText(`−${ago} s`, Math.max(x(now - ago), left + 8), h - 7);
    this.names.forEach((name, i) => {
      pen.strokeStyle = pen.fillStyle = paint.sides[side(name)];
      pen.lineWidth = 2;
      pen.lineJoin = "round";
      pen.beginPath();
      let last = null;
      for (const { seconds, degrees } of this.values) {
        if (degrees[i] === null) continue;
        const joined = last !== null && seconds - last < BROKEN;
        if (joined) pen.lineTo(x(seconds), y(degrees[i]));
        else pen.moveTo(x(seconds), y(degrees[i]));
        last = seconds;
      }
      pen.stroke();
    });
  }
}
