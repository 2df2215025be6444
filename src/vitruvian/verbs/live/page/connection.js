/** The WebSocket to the server: reconnects by itself. */

const WAITS = [500, 1000, 2000, 4000, 8000];  // ms until the next attempt
const BUSY = 1013, BUSY_WAIT = 5000;
// Bytes: uint32 number, float64 seconds, uint8 format, uint8 full range, uint16 width and height.
export const HEADER = 18;

export class Connection {
  /** @param {{text: Function, picture: Function, state: Function}} on called with messages. */
  constructor(on) {
    this.on = on;
    this.failed = 0;
    this.timer = null;
    this.open();
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.timer !== null) this.open();
    });
  }

  get ready() { return this.socket.readyState === WebSocket.OPEN; }

  open() {
    clearTimeout(this.timer);
    this.timer = null;
    const address = new URL("ws" + location.search, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = this.socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") {
        const message = JSON.parse(data);
        if (message.type === "hello") this.failed = 0;
        this.on.text(message);
      } else {
        const length = new DataView(data).getUint32(0, true);
        const text = new TextDecoder().decode(new Uint8Array(data, 4, length));
        this.on.picture(JSON.parse(text), new Blob([data.slice(4 + length)], { type: "image/jpeg" }));
      }
    };
    socket.onclose = ({ code }) => {
      if (socket !== this.socket) return;
      const wait = code === BUSY ? BUSY_WAIT : WAITS[Math.min(this.failed, WAITS.length - 1)];
      this.failed += 1;
      this.on.state(code === BUSY ? "busy" : "lost");
      this.timer = setTimeout(() => { if (!document.hidden) this.open(); }, wait);
    };
  }

  tell(message) {
    if (this.ready) this.socket.send(JSON.stringify(message));
  }

  /** Send a frame: its number, its capture time in seconds, and its pixels after an empty header. */
  frame(number, seconds, { message, format, full, size: [width, height] }) {
    const header = new DataView(message.buffer);
    header.setUint32(0, number, true);
    header.setFloat64(4, seconds, true);
    header.setUint8(12, format);
    header.setUint8(13, full);
    header.setUint16(14, width, true);
    header.setUint16(16, height, true);
    this.socket.send(message);
  }
}
