// Runs the script of a page as a browser would, with a canvas that notes what is drawn.
// node page.mjs PAGE.html EXPRESSION: prints the value of the expression as JSON.
import { readFileSync } from "node:fs";
import vm from "node:vm";

const [file, expression] = process.argv.slice(2);
const page = readFileSync(file, "utf8");
const scripts = [...page.matchAll(/<script([^>]*)>([^]*?)<\/script>/g)];
const elements = new Map();
let queue = [];

class Element {
  constructor(id) {
    Object.assign(this, { id, hidden: false, value: "", checked: false, textContent: "", style: {},
      children: [], clientWidth: 800, clientHeight: 600, offsetWidth: 100, width: 0, height: 0 });
  }
  append(child) { this.children.push(child); }
  addEventListener(kind, act) { this["on" + kind] = act; }
  getContext() { return pen; }
  setPointerCapture() {}
}
const get = (id) => {
  if (!elements.has(id)) {
    if (!page.includes(`id="${id}"`)) throw new Error(`the page has no ${id}`);
    elements.set(id, new Element(id));
  }
  return elements.get(id);
};

const drawn = { lines: [], dots: [], texts: [] };
const pen = {
  setTransform() {}, beginPath() {},
  clearRect() { for (const kind of Object.keys(drawn)) drawn[kind] = []; },
  moveTo(x, y) { this.from = [x, y]; },
  lineTo(x, y) { this.to = [x, y]; },
  stroke() { drawn.lines.push([...this.from, ...this.to, this.strokeStyle]); },
  arc(x, y) { this.at = [x, y]; },
  fill() { drawn.dots.push([...this.at, this.fillStyle]); },
  fillText(text, x, y) { drawn.texts.push([text, x, y]); },
};

const window = {
  devicePixelRatio: 1,
  requestAnimationFrame: (act) => queue.push(act),
  matchMedia: () => new Element(),
  ResizeObserver: class { observe() {} },
  getComputedStyle: () => ({ getPropertyValue: (name) => name }),
  document: { getElementById: get, createElement: () => new Element(), documentElement: null },
  atob, Uint8Array, Int16Array, Int32Array, drawn,
  // Let the page draw as if it were `milliseconds` later.
  later: (milliseconds) => { const acts = queue; queue = []; for (const act of acts) act(milliseconds); },
};
window.window = window;
get("perspective").checked = true;
get("speed").value = "1";
get("scene").textContent = scripts.find(([, kind]) => kind.includes("json"))[2];
const context = vm.createContext(window);
vm.runInContext(scripts.find(([, kind]) => !kind)[2], context);
window.later(0);
process.stdout.write(JSON.stringify(vm.runInContext(expression, context) ?? null));
