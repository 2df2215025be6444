/** The browser's camera, and its frames on their way to the server. */

const SIDES = [320, 480, 640];  // pixels, the longer side of what is sent
const QUALITY = [0.7, 0.75, 0.8];  // of its JPEG
const AHEAD = 2;  // frames on their way
const TARGET = 4;  // ms that a frame shall wait for the server, so that it never waits itself
const SLOW = 120, FAST = 40;  // ms of transport from which frames become smaller, or larger

const WHY = {
  NotAllowedError: "The camera was refused. Allow it for this page (the camera sign in the " +
    "address bar), then try again.",
  NotFoundError: "No camera was found. Connect one, then try again.",
  NotReadableError: "The camera cannot be read; another program may be using it.",
  OverconstrainedError: "This camera is not there any more. Choose another one.",
};

/** Start a camera; the errors of the browser in clear words. */
export async function openCamera(video, device) {
  closeCamera(video);
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("Browsers give cameras to secure pages only: open this page on localhost or " +
      "by https://, see --certfile.");
  }
  const size = { width: { ideal: 640 }, height: { ideal: 480 } };
  const which = device ? { deviceId: { exact: device } } : { facingMode: "user" };
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { ...size, ...which } });
    await video.play();
  } catch (error) {
    throw new Error(WHY[error.name] ?? `The camera does not start: ${error.message}`);
  }
  return video.srcObject.getVideoTracks()[0];
}

export function closeCamera(video) {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}

/** [{id, name}] of the cameras. */
export async function cameras() {
  const devices = await navigator.mediaDevices?.enumerateDevices?.() ?? [];
  return devices.filter(({ kind }) => kind === "videoinput").map(({ deviceId, label }, i) =>
    ({ id: deviceId, name: label || `camera ${i + 1}` }));
}

/** An empty picture. */
function blank(width, height) {
  if (window.OffscreenCanvas) return new OffscreenCanvas(width, height);
  return Object.assign(document.createElement("canvas"), { width, height });
}

/** Its JPEG; null if there is none. `toBlob` takes three times as long: it waits for idle time. */
function jpeg(picture, quality) {
  const type = "image/jpeg";
  if (picture.convertToBlob) return picture.convertToBlob({ type, quality }).catch(() => null);
  return new Promise((done) => picture.toBlob(done, type, quality));
}

/**
 * Sends frames as fast as the server takes them. The next one is captured so that it arrives just
 * before the server is done with the last one: the period follows what the server says about how
 * early a frame came.
 */
export class FrameSender {
  constructor(video, connection) {
    Object.assign(this, { video, connection, number: 0, fresh: false, coding: false, period: 30 });
    this.step = SIDES.length - 1;
    this.transport = [];
    this.restart();
    const seen = () => {
      this.fresh = true;
      this.next();
      video.requestVideoFrameCallback(seen);
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(seen);
    else setInterval(() => { this.fresh = video.readyState >= 2; this.next(); }, 33);
  }

  /** Forget the frames on their way: they went with the last connection. */
  restart() {
    this.pending = new Map();
    this.last = -Infinity;
  }

  next() {
    clearTimeout(this.timer);
    const { video, pending, connection } = this, now = performance.now();
    if (!this.fresh || this.coding || !this.running || !connection.ready || !video.videoWidth) return;
    for (const [number, { at }] of pending) if (now - at > 10000) pending.delete(number);
    if (pending.size >= AHEAD) return;
    const due = this.last + this.period - now;
    if (due > 1) { this.timer = setTimeout(() => this.next(), due); return; }
    this.capture(now);
  }

  async capture(now) {
    this.fresh = false;
    this.coding = true;
    this.last = now;
    const { video } = this, { videoWidth: w, videoHeight: h } = video;
    const times = Math.min(1, SIDES[this.step] / Math.max(w, h));
    const picture = blank(Math.round(w * times), Math.round(h * times));
    picture.getContext("2d", { willReadFrequently: true })
      .drawImage(video, 0, 0, picture.width, picture.height);
    const number = ++this.number, blob = await jpeg(picture, QUALITY[this.step]);
    this.coding = false;
    if (!blob) return;
    this.pending.set(number, { picture, at: now, coded: performance.now() });
    await this.connection.frame(number, now / 1000, blob);
    this.next();
  }

  /** A result is there: gives the picture it belongs to, and its age in ms. */
  arrived({ seq, early, ms }) {
    const now = performance.now(), mine = this.pending.get(seq);
    for (const number of this.pending.keys()) if (number <= seq) this.pending.delete(number);
    if (!mine) return null;
    this.period = Math.max(5, Math.min(1000, this.period + 0.25 * (early - TARGET)));
    this.measure(now - mine.coded - Math.max(0, early) - ms);
    this.next();
    return { picture: mine.picture, age: now - mine.at };
  }

  /** Choose the size of frames by the time that transport takes. */
  measure(transport) {
    this.transport.push(transport);
    if (this.transport.length < 30) return;
    const middle = this.transport.sort((a, b) => a - b)[15];
    this.transport = [];
    if (middle > SLOW) this.step = Math.max(0, this.step - 1);
    if (middle < FAST) this.step = Math.min(SIDES.length - 1, this.step + 1);
  }
}
