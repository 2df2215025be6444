/** The picture with the people found in it. */

const SURE = 0.5;  // score of the keypoints that are drawn in full

const FINEST = 30;  // line widths in the diagonal of a hand
const IN_FACE = /^(nose|(left|right)_eye(_inner|_outer)?|mouth_(left|right))$/;

let cached = null;

// Of masks, by track id: 0xAABBGGRR. Source: Okabe and Ito 2008, without the colours of sides.
const TINTS = [0xff739e00, 0xffa779cc, 0xff42e4f0, 0xffe9b456, 0xff009fe6];
const MASK_SHARE = 0.45;
const maskCanvas = document.createElement("canvas");

export function paints() {
  if (cached) return cached;
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue("--" + name).trim();
  return cached = { panel: of("panel"), ink: of("ink"), faint: of("faint"), grid: of("grid"),
    sides: { left: of("left"), right: of("right"), middle: of("middle") } };
}

/** Read the colours again: they changed. */
export function forgetPaints() { cached = null; }

/** The side of a keypoint, by its name. */
export function side(name) {
  return name.startsWith("left_") ? "left" : name.startsWith("right_") ? "right" : "middle";
}

/** An empty canvas as large as it is shown: [pen, width, height]. Opaque ones are shown faster. */
export function sized(canvas) {
  const ratio = window.devicePixelRatio || 1, { clientWidth: w, clientHeight: h } = canvas;
  const [wide, tall] = [Math.round(w * ratio), Math.round(h * ratio)];
  if (canvas.width !== wide || canvas.height !== tall) {
    canvas.width = wide;
    canvas.height = tall;
  }
  const pen = canvas.getContext("2d", { alpha: false });
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = paints().panel;
  pen.fillRect(0, 0, w, h);
  return [pen, w, h];
}

/** A function from pixels of the frame to those of the canvas. */
export function fit(w, h, size, mirrored) {
  const times = Math.min(w / size[0], h / size[1]);
  const [left, top] = [(w - times * size[0]) / 2, (h - times * size[1]) / 2];
  const place = ([x, y]) => [left + times * (mirrored ? size[0] - x : x), top + times * y];
  return { times, left, top, place };
}

/** Draw a picture (or nothing) and people; `table` is the skeleton. */
export function drawPicture(canvas, picture, { size, people }, table, { mirrored, boxes, chosen, found }) {
  const [pen, w, h] = sized(canvas);
  const { times, left, top, place } = fit(w, h, size, mirrored);
  if (picture) {
    pen.save();
    pen.translate(left + (mirrored ? times * size[0] : 0), top);
    pen.scale(mirrored ? -times : times, times);
    pen.drawImage(picture, 0, 0, size[0], size[1]);
    pen.restore();
  }
  const paint = paints();
  people.forEach((person, i) => {
    if (person.mask) drawMask(pen, person, i, size, { times, left, top, mirrored });
  });
  if (!table) return;
  for (const person of people) {
    const main = people.length === 1 || person.person === chosen;
    drawBones(pen, person, table, place, paint, main);
    if (boxes) drawBox(pen, person, found.get(person.person)?.states ?? [], place, paint, main);
  }
}

/** A mask is lengths of runs, outside and inside by turns, row after row. */
function drawMask(pen, person, i, size, { times, left, top, mirrored }) {
  const { size: [w, h], runs } = person.mask;
  Object.assign(maskCanvas, { width: w, height: h });
  const own = maskCanvas.getContext("2d"), image = own.createImageData(w, h);
  const pixels = new Uint32Array(image.data.buffer);
  const tint = TINTS[(person.person < 0 ? i : person.person) % TINTS.length];
  let at = 0;
  runs.forEach((run, k) => {
    if (k % 2) pixels.fill(tint, at, at + run);
    at += run;
  });
  own.putImageData(image, 0, 0);
  pen.save();
  pen.translate(left + (mirrored ? times * size[0] : 0), top);
  pen.scale(mirrored ? -times : times, times);
  pen.globalAlpha = MASK_SHARE;
  pen.drawImage(maskCanvas, 0, 0, size[0], size[1]);
  pen.restore();
}

/** Line widths of a person's keypoints: hands are finer, 0 in a face; null: a part shows it better. */
function widths({ xy }, { keypoints, parts }, place, thick) {
  const found = keypoints.map(() => thick);
  for (const [part, own] of Object.entries(parts)) {
    const at = own.filter((k) => xy[k]).map((k) => place(xy[k]));
    if (!at.length) continue;
    const [x, y] = [0, 1].map((i) => at.map((point) => point[i]));
    const across = Math.hypot(Math.max(...x) - Math.min(...x), Math.max(...y) - Math.min(...y));
    const fine = part === "face" ? 0 : Math.max(1, Math.min(thick * 0.6, across / FINEST));
    for (const k of own) found[k] = fine;
    const inside = part === "face" ? IN_FACE : new RegExp(`^${part.replace("hand", "")}(pinky|index|thumb)$`);
    keypoints.forEach((name, k) => { if (inside.test(name)) found[k] = null; });
  }
  return found;
}

function drawBones(pen, person, table, place, paint, main) {
  const { xy, score, box } = person, { keypoints, bones } = table;
  const tall = Math.abs(place([0, box[3]])[1] - place([0, box[1]])[1]);
  const thick = Math.max(2, Math.min(6, tall / 90)) * (main ? 1 : 0.75);
  const fine = widths(person, table, place, thick);
  pen.lineCap = "round";
  const stroke = (from, to, colour, width) => {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
  };
  const known = bones.filter(([a, b]) => xy[a] && xy[b] && fine[a] !== null && fine[b] !== null);
  const sure = ([a, b]) => Math.min(score[a], score[b]) >= SURE;
  const wide = ([a, b]) => Math.min(fine[a], fine[b]);
  pen.globalAlpha = 0.55;
  for (const bone of known.filter((bone) => sure(bone) && wide(bone))) {
    stroke(...bone.map((k) => place(xy[k])), "#000", wide(bone) + 2);
  }
  for (const bone of known) {
    const [a, b] = bone.map((k) => side(keypoints[k]));
    pen.globalAlpha = sure(bone) ? 1 : 0.35;
    pen.setLineDash(sure(bone) ? [] : [3, 6]);
    stroke(...bone.map((k) => place(xy[k])), paint.sides[a === b ? a : "middle"], wide(bone) || 1.2);
  }
  pen.setLineDash([]);
  xy.forEach((at, k) => {
    if (!at || !fine[k]) return;
    pen.globalAlpha = score[k] >= SURE ? 1 : 0.35;
    pen.fillStyle = score[k] >= SURE ? "#fff" : paint.sides[side(keypoints[k])];
    pen.beginPath();
    pen.arc(...place(at), Math.max(fine[k] < thick ? 1 : 1.5, fine[k] * 0.55), 0, 2 * Math.PI);
    pen.fill();
  });
  pen.globalAlpha = 1;
}

function drawBox(pen, { box, person }, states, place, paint, main) {
  const [[x0, y0], [x1, y1]] = [place(box.slice(0, 2)), place(box.slice(2))];
  const [left, width] = [Math.min(x0, x1), Math.abs(x1 - x0)];
  pen.strokeStyle = main ? paint.sides.left : "#fff";
  pen.lineWidth = main ? 2 : 1.5;
  pen.strokeRect(left, y0, width, y1 - y0);
  const lines = [person < 0 ? "?" : `person ${person}`, ...states];
  pen.font = "600 13px system-ui, sans-serif";
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  const tall = 20, limit = pen.canvas.clientWidth;
  const wide = Math.max(...lines.map((text) => pen.measureText(text).width)) + 12;
  const x = Math.max(0, Math.min(left, limit - wide));
  const y = Math.max(0, y0 - tall * (y0 >= tall ? 1 : 0));
  pen.globalAlpha = 0.85;
  pen.fillStyle = main ? paint.sides.left : "#333";
  pen.fillRect(x, y, wide, tall * lines.length);
  pen.globalAlpha = 1;
  pen.fillStyle = "#fff";
  lines.forEach((text, i) => pen.fillText(text, x + 6, y + tall * (i + 0.5) + 1));
}
