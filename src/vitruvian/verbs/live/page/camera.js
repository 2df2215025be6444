/** The browser's camera, and its frames on their way to the server. */

import { HEADER } from "./connection.js";

const SIDES = [320, 480, 640];  // pixels, the longer side of what is sent
const QUALITY = [0.7, 0.75, 0.8];  // of its JPEG
const RAW = SIDES.length;  // the step after: pixels as the camera gives them
const FORMATS = { I420: 1, NV12: 2 };  // of raw pixels, as the server numbers them
const BT601 = ["smpte170m", "bt470bg", null];  // matrices that the server converts; null: not said
const AHEAD = 2;  // frames on their way
const TARGET = 4;  // ms that a frame shall wait for the server, so that it never waits itself
const SLOW = 120, FAST = 40;  // ms of transport from which frames become smaller, or larger
const MEASURED = 10;  // results between two choices
const LOCAL = /^(localhost|127\..*|\[::1\])$/.test(location.hostname);  // or a tunnel's end

const WHY = {
  NotAllowedError: "The camera was refused. Allow it for this page (the camera sign in the " +
    "address bar), then try again.",
  NotFoundError: "No camera was found. Connect one, then try again.",
  NotReadableError: "The camera cannot be read; another program may be using it.",
  OverconstrainedError: "This camera is not there any more. Choose another one.",
};

let stream = null;  // of the camera that is open

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
    stream = await navigator.mediaDevices.getUserMedia({ video: { ...size, ...which } });
    if (!window.MediaStreamTrackProcessor) {  // which needs no video, see `FrameSender.watch`
      video.srcObject = stream;
      await video.play();
    }
  } catch (error) {
    throw new Error(WHY[error.name] ?? `The camera does not start: ${error.message}`);
  }
  return stream.getVideoTracks()[0];
}

export function closeCamera(video) {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = video.srcObject = null;
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

/** What is sent of a frame or video: a smaller JPEG. */
async function encoded(frame, step) {
  const [w, h] = [frame.displayWidth ?? frame.videoWidth, frame.displayHeight ?? frame.videoHeight];
  const times = Math.min(1, SIDES[step] / Math.max(w, h));
  const picture = blank(Math.round(w * times), Math.round(h * times));
  picture.getContext("2d", { willReadFrequently: true })
    .drawImage(frame, 0, 0, picture.width, picture.height);
  const blob = await jpeg(picture, QUALITY[step]);
  if (!blob) return null;
  const message = new Uint8Array(HEADER + blob.size);
  message.set(new Uint8Array(await blob.arrayBuffer()), HEADER);
  return { message, format: 0, full: false, size: [0, 0], picture: () => picture };
}

/** Whether pixels of a frame can be sent as they are, and what they show is their rectangle. */
function isRaw(frame) {
  const { format, visibleRect, displayWidth, displayHeight, colorSpace } = frame;
  if (!FORMATS[format] || !BT601.includes(colorSpace.matrix) || frame.rotation || frame.flip) return false;
  const { x, y, width, height } = visibleRect, largest = Math.max(...SIDES);
  return [x, y, width, height].every((pixels) => pixels % 2 === 0) &&
    width === displayWidth && height === displayHeight && Math.max(width, height) <= largest &&
    frame.allocationSize() === width * height * 1.5;
}

/** What is sent of a frame: its pixels. */
async function raw(frame) {
  const { format, visibleRect: { width, height } } = frame, full = frame.colorSpace.fullRange === true;
  const message = new Uint8Array(HEADER + frame.allocationSize()), pixels = message.subarray(HEADER);
  await frame.copyTo(pixels);
  const colorSpace = { matrix: "smpte170m", primaries: "bt709", transfer: "iec61966-2-1", fullRange: full };
  const how = { format, codedWidth: width, codedHeight: height, timestamp: 0, colorSpace };
  return { message, format: FORMATS[format], full, size: [width, height],
    picture: () => new VideoFrame(pixels, how) };
}

/**
 * Sends frames as fast as the server takes them. The next one is captured so that it arrives just
 * before the server is done with the last one: the period follows what the server says about how
 * early a frame came.
 */
export class FrameSender {
  constructor(video, connection) {
    Object.assign(this, { video, connection, number: 0, frame: null, at: 0, coding: false, period: 30 });
    this.restart();
    if (window.MediaStreamTrackProcessor) return;  // it gives frames without a video, see `watch`
    const offer = () => this.offer(window.VideoFrame ? new VideoFrame(video) : video);
    const seen = () => {
      offer();
      video.requestVideoFrameCallback(seen);
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(seen);
    else setInterval(() => { if (video.readyState >= 2) offer(); }, 33);
  }

  /** Take the frames of a camera until it ends. A video gives no more than the screen shows. */
  async watch(track) {
    if (!window.MediaStreamTrackProcessor) return;
    const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 1 }).readable.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      this.offer(value);
    }
  }

  /** Forget the last connection: its frames on their way, and how fast it was. */
  restart() {
    this.pending = new Map();
    this.last = -Infinity;
    this.step = LOCAL ? RAW : RAW - 1;
    this.seen = [];
    this.encodedTook = Infinity;  // ms of coding and transport, as JPEG
    this.rounds = this.rest = 1;  // choices between two trials of raw pixels, and those to come
  }

  /** The newest frame, in place of one that waits. */
  offer(frame) {
    this.frame?.close?.();
    this.frame = frame;
    this.at = performance.now();
    this.next();
  }

  next() {
    clearTimeout(this.timer);
    const { pending, connection } = this, now = performance.now();
    if (!this.frame || this.coding || !this.running || !connection.ready || document.hidden) return;
    for (const [number, { at }] of pending) if (now - at > 10000) pending.delete(number);
    if (pending.size >= AHEAD) return;
    const due = this.last + this.period - now;
    if (due > 1) { this.timer = setTimeout(() => this.next(), due); return; }
    this.last = now;
    this.capture();
  }

  async capture() {
    const { frame, at, connection } = this, began = performance.now();
    this.frame = null;
    this.coding = true;
    this.canRaw = Boolean(frame.copyTo) && isRaw(frame);
    const step = this.canRaw ? this.step : Math.min(this.step, RAW - 1);
    const coded = await (step === RAW ? raw(frame) : encoded(frame, step)).catch(() => null);
    frame.close?.();
    this.coding = false;
    if (!coded && step === RAW) this.leaveRaw();
    if (coded && connection.ready) {
      const number = ++this.number;
      this.pending.set(number, { coded, at, began, sent: performance.now() });
      connection.frame(number, at / 1000, coded);
    }
    this.next();
  }

  /** A result is there: gives the picture it belongs to, and when that was captured. */
  arrived({ seq, early, ms }) {
    const mine = this.pending.get(seq);
    for (const number of this.pending.keys()) if (number <= seq) this.pending.delete(number);
    if (!mine) return null;
    this.period = Math.max(5, Math.min(1000, this.period + 0.25 * (early - TARGET)));
    const server = Math.max(0, early) + ms, now = performance.now();
    this.measure(now - mine.sent - server, now - mine.began - server);
    this.next();
    return { picture: mine.coded.picture(), at: mine.at };
  }

  /**
   * Choose how frames are sent by the ms that transport takes, and, whether as raw pixels, also by
   * those of coding: on a fast connection they are there before a JPEG is made.
   */
  measure(transport, took) {
    this.seen.push([transport, took]);
    if (this.seen.length < MEASURED) return;
    const [middle, both] = [0, 1].map((i) => this.seen.map((each) => each[i]).sort((a, b) => a - b)[MEASURED >> 1]);
    this.seen = [];
    if (this.step === RAW) {
      if (middle > SLOW || both > this.encodedTook) this.leaveRaw();
    } else if (middle > SLOW) {
      this.step = Math.max(0, this.step - 1);
    } else if (middle < FAST && this.step < RAW - 1) {
      this.step += 1;
    } else if (middle < FAST && this.canRaw && --this.rest <= 0) {
      this.step = RAW;
      this.encodedTook = both;
    }
  }

  /** Encode again; the next trial of raw pixels is later each time. */
  leaveRaw() {
    this.step = RAW - 1;
    this.rest = this.rounds;
    this.rounds *= 4;
  }
}
