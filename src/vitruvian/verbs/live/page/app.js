/** The live page: what comes from the server, shown; what is chosen here, told to it. */

import { FrameSender, cameras, closeCamera, openCamera } from "./camera.js";
import { Chart } from "./chart.js";
import { Connection } from "./connection.js";
import { drawPicture, fit, forgetPaints, side } from "./overlay.js";
import { View3D } from "./view3d.js";

const LOGGED = 60;  // events in the list
const get = (id) => document.getElementById(id);
const state = { table: null, angles: null, result: null, picture: null, chosen: null, source: null,
  hello: null, camera: null, found: new Map(), going: new Map(), recording: false, times: [], ages: [], notes: {} };
const view = new View3D(get("view")), chart = new Chart(get("chart"), showDegrees);
const connection = new Connection({ text: onMessage, picture: onPicture, state: onState });
const sender = new FrameSender(get("video"), connection);

// Words: what is wrong, in order of importance; nothing wrong: the speed.
function notice(kind, text, again = null) {
  if (text) state.notes[kind] = { text, again };
  else delete state.notes[kind];
  const first = ["server", "camera", "source", "refused"].find((each) => state.notes[each]);
  get("notice").hidden = !first;
  if (!first) return;
  const [words, button] = get("notice").children;
  words.textContent = state.notes[first].text;
  button.hidden = !state.notes[first].again;
  button.onclick = state.notes[first].again;
}

function status(kind, text) {
  get("status").dataset.state = kind;
  get("status").textContent = text;
}

function onState(now) {
  sender.restart();
  sender.running = false;
  setRecording(false);
  state.going.clear();
  showGoing();
  if (now === "busy") {
    status("bad", "busy");
    notice("server", "The server is busy: all places for cameras are taken. Trying again by itself.");
  } else {
    status("bad", "not connected");
    notice("server", "The server cannot be reached. Trying again by itself.");
  }
}

const ON = {
  hello(message) {
    state.hello = message;
    state.source = message.source;
    notice("server", "");
    notice("refused", "");
    status("good", message.source ?? "connected");
    get("record").hidden = !message.record;
    get("camera-label").hidden = Boolean(message.source);
    if (!message.source) get("mirror").checked ||= localStorage.getItem("mirror") !== "no";
    fill(get("model"), message.models.map(({ name }) => [name, name]));
    get("model").disabled = message.models.length < 2;
    fillPeople();
    if (message.source) closeCamera(get("video"));
    else if (state.camera?.readyState === "live") sender.running = true;
    else start();
  },
  model(message) {
    state.table = message.skeleton;
    state.angles = message.angles;
    get("model").value = message.name;
    fillPeople(message.people);
    get("smooth").checked = message.smooth;
    get("masks").checked = message.masks;
    fillAngles();
  },
  poses(message) {
    const mine = sender.arrived(message);
    if (mine) show(message, mine.picture, mine.at);
  },
  found({ people, space, time }) {
    state.found = new Map(people.map((each) => [each.person, each]));
    if (!state.angles) return;
    const names = state.angles[space], angles = state.found.get(chosen())?.angles;
    const degrees = chart.names.map((name) => angles?.[names.indexOf(name)] ?? null);
    chart.add(time, degrees);
  },
  refused(message) {
    if (message.seq !== undefined) sender.arrived(message);
    notice("refused", `The server refused something: ${message.why}`);
    setTimeout(() => notice("refused", ""), 8000);
  },
  busy() {},
  event: onEvent,
  source({ state: now, why }) {
    const words = { lost: `${why}. The server is opening it again.`, ended: `${why}.` };
    notice("source", words[now] ?? "");
    status(now === "running" ? "good" : "wait", now === "running" ? state.source : now);
  },
  recording({ files, saved }) {
    setRecording(files.length > 0);
    if (saved) log("", `saved: ${saved.join(", ")}`);
  },
};

function onMessage(message) { ON[message.type]?.(message); }

async function onPicture(message, blob) {
  try {
    show(message, await createImageBitmap(blob), null);
  } finally {
    connection.tell({ type: "ack" });
  }
}

// A result; `at`: when its picture was captured, by the page's clock.
function show(message, picture, at) {
  state.picture?.close?.();
  Object.assign(state, { result: message, picture });
  const { people, size } = message, shape = size.join(" / ");
  if (shape !== state.shape) get("stage").style.setProperty("--shape", state.shape = shape);
  listPeople(people);
  chosen();
  draw();
  get("flat").hidden = !people.length || Boolean(people[0].xyz);
  view.show(people, message.origin, state.table);
  measure(at === null ? null : performance.now() - at, message.ms);
}

function draw() {
  if (!state.result) return;
  drawPicture(get("picture"), state.picture, state.result, state.table,
    { mirrored: get("mirror").checked, boxes: get("boxes").checked, chosen: chosen(),
      found: state.found });
}

function measure(age, ms) {
  const now = performance.now();
  state.times.push(now);
  if (age !== null) state.ages.push(age);
  while (state.times[0] < now - 2000) state.times.shift();
  if (state.ages.length > 30) state.ages.shift();
  if (now - (state.told ?? 0) < 500) return;
  state.told = now;
  const span = (now - state.times[0]) / 1000, rate = span > 0.3 ? (state.times.length - 1) / span : 0;
  const middle = [...state.ages].sort((a, b) => a - b)[state.ages.length >> 1];
  const parts = [`${rate.toFixed(0)} frames/s`, `model ${ms.toFixed(0)} ms`];
  if (middle !== undefined) parts.splice(1, 0, `${middle.toFixed(0)} ms to overlay`);
  get("speed").textContent = parts.join(" · ");
}

// The person whose angles are shown: as chosen, or else the largest.
function chosen() {
  const people = state.result?.people ?? [], word = get("person").value;
  if (word !== "") return Number(word);
  const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
  const still = people.find(({ person }) => person === state.chosen);
  const largest = people.reduce((a, b) => (!a || area(b) > area(a) ? b : a), null);
  const better = !still || (largest && area(largest) > 1.5 * area(still));
  const now = (better ? largest : still)?.person ?? null;
  if (now !== state.chosen && now !== null) {
    state.chosen = now;
    chart.reset(chart.names);
  }
  return state.chosen;
}

function listPeople(people) {
  const box = get("person"), there = new Set(people.map(({ person }) => person));
  if (box.value !== "") there.add(Number(box.value));
  const names = [...there].filter((id) => id >= 0).sort((a, b) => a - b);
  if (String(names) === box.dataset.names || document.activeElement === box) return;
  box.dataset.names = String(names);
  fill(box, [["", "automatic"], ...names.map((id) => [id, `person ${id}`])]);
}

get("picture").onclick = (event) => {
  if (!state.result) return;
  const { clientWidth: w, clientHeight: h } = get("picture"), { size, people } = state.result;
  const { times, left, top } = fit(w, h, size, false);
  const x = (event.offsetX - left) / times, y = (event.offsetY - top) / times;
  const at = get("mirror").checked ? size[0] - x : x;
  const hit = people.find(({ box }) => at >= box[0] && at <= box[2] && y >= box[1] && y <= box[3]);
  choosePerson(hit && hit.person >= 0 ? String(hit.person) : "");
};

function choosePerson(word) {
  listPeople(state.result?.people ?? []);
  get("person").value = word;
  chart.reset(chart.names);
  draw();
}

// Angles.
function fillAngles() {
  const names = [...new Set([...state.angles["2d"], ...state.angles["3d"]])];
  const bases = [...new Set(names.map((name) => name.replace(/^(left|right)_/, "")))];
  const before = get("angle").value || "knee_flexion";
  fill(get("angle"), bases.map((base) => [base, base.replaceAll("_", " ")]));
  get("angle").value = bases.includes(before) ? before : bases[0];
  chooseAngle();
}

function chooseAngle() {
  const names = [...new Set([...state.angles["2d"], ...state.angles["3d"]])];
  chart.reset(names.filter((name) => name.replace(/^(left|right)_/, "") === get("angle").value));
}

function showDegrees(degrees) {
  get("degrees").replaceChildren(...chart.names.flatMap((name, i) => {
    const part = document.createElement("b");
    part.className = side(name);
    const value = degrees[i] === null ? "–" : `${degrees[i].toFixed(0)}°`;
    part.textContent = side(name) === "middle" ? value : `${side(name)} ${value}`;
    return [part, " "];
  }));
}

// Events.
function onEvent(message) {
  const { event, change, person, side: where, time, lasted } = message;
  const words = `${where ? `${where} ` : ""}${event.replaceAll("_", " ")}`;
  const key = `${person} ${event} ${where ?? ""}`;
  if (event === "person") {
    log(time, `person ${person} ${change}`);
  } else if (change === "starts") {
    state.going.set(key, `${words} · person ${person}`);
    log(time, `person ${person}: ${words} starts`);
  } else {
    state.going.delete(key);
    log(time, `person ${person}: ${words} ends, after ${lasted.toFixed(1)} s`);
  }
  showGoing();
}

function showGoing() {
  get("now").replaceChildren(...[...state.going.values()].map((words) => {
    const item = document.createElement("li");
    item.textContent = words;
    return item;
  }));
}

function log(time, words) {
  const item = document.createElement("li"), when = document.createElement("time");
  when.textContent = time === "" ? "" : `${time.toFixed(1)} s`;
  item.append(when, words);
  get("log").prepend(item);
  while (get("log").children.length > LOGGED) get("log").lastChild.remove();
}

// Choices.
function fill(select, pairs) {
  const before = select.value;
  select.replaceChildren(...pairs.map(([value, text]) => new Option(text, value)));
  if (pairs.some(([value]) => String(value) === before)) select.value = before;
}

function fillPeople(now = null) {
  const model = state.hello.models.find(({ name }) => name === get("model").value);
  get("people-label").hidden = !model?.people.length;
  get("masks-label").hidden = !model?.masks;
  fill(get("people"), model?.people.map((n) => [n, n]) ?? []);
  if (now !== null) get("people").value = now;
}

function choose(people) {
  const message = { type: "choose", model: get("model").value, smooth: get("smooth").checked,
    masks: get("masks").checked && !get("masks-label").hidden };
  connection.tell(people ? { ...message, people } : message);
}

get("model").onchange = () => {
  fillPeople();
  choose(null);
};
get("people").onchange = () => choose(Number(get("people").value));
get("smooth").onchange = get("masks").onchange = () => choose(Number(get("people").value) || null);
get("angle").onchange = chooseAngle;
get("person").onchange = () => choosePerson(get("person").value);
get("boxes").onchange = draw;
get("mirror").onchange = () => {
  localStorage.setItem("mirror", get("mirror").checked ? "yes" : "no");
  draw();
};
get("front").onclick = () => view.look(0, 0);
get("side").onclick = () => view.look(Math.PI / 2, 0);
get("top").onclick = () => view.look(0, 1.57);
get("record").onclick = () => connection.tell({ type: "record", on: !state.recording });

function setRecording(on) {
  state.recording = on;
  get("record").setAttribute("aria-pressed", String(on));
  get("record").textContent = on ? "stop recording" : "record";
}

// The camera of this browser.
async function start() {
  try {
    const track = state.camera = await openCamera(get("video"), get("camera").value);
    notice("camera", "");
    track.onended = () => notice("camera", "The camera is gone.", start);
    fill(get("camera"), (await cameras()).map(({ id, name }) => [id, name]));
    get("camera").value = track.getSettings().deviceId ?? "";
    sender.running = connection.ready;
    sender.watch(track);
  } catch (error) {
    notice("camera", error.message, start);
  }
}
get("camera").onchange = start;
navigator.mediaDevices?.addEventListener?.("devicechange", async () =>
  fill(get("camera"), (await cameras()).map(({ id, name }) => [id, name])));

// Keys.
window.onkeydown = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
  const next = () => {
    const options = [...get("person").options].map(({ value }) => value);
    choosePerson(options[(options.indexOf(get("person").value) + 1) % options.length]);
  };
  const keys = { m: () => get("mirror").click(), b: () => get("boxes").click(), p: next,
    s: () => { if (!get("masks-label").hidden) get("masks").click(); },
    r: () => { if (!get("record").hidden) get("record").click(); } };
  keys[event.key.toLowerCase()]?.();
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { forgetPaints(); draw(); view.draw(); chart.draw(); });
new ResizeObserver(draw).observe(get("picture"));
