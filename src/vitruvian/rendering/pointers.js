/** Mouse, touch and pen on the canvas of a 3D view; in the page of `page.html`, and the live page. */

/**
 * One pointer turns, or moves with shift or another button; two move and zoom; the wheel zooms.
 * @param {{turn: Function, zoom: Function, move?: Function, hover?: Function}} on called with
 *   radians to the right and down; times the distance; pixels; where a pointer is, or null.
 */
export function followPointers(canvas, { turn, zoom, move, hover = () => {} }) {
  const pointers = new Map(), place = ({ offsetX: x, offsetY: y }) => ({ x, y });
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    hover(event.pointerType === "mouse" ? null : place(event));
  };
  canvas.onpointermove = (event) => {
    const now = place(event), last = pointers.get(event.pointerId);
    hover(last ? null : now);
    if (!last) return;
    const [dx, dy] = [now.x - last.x, now.y - last.y];
    if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
      const [before, after] = [last, now].map((at) => Math.hypot(at.x - other.x, at.y - other.y));
      zoom(Math.max(before, 1) / Math.max(after, 1));
      move?.(dx / 2, dy / 2);
    } else if (move && (event.shiftKey || event.buttons & 6)) {
      move(dx, dy);
    } else {
      turn(dx * 0.008, dy * 0.008);
    }
    pointers.set(event.pointerId, now);
  };
  canvas.onpointerup = canvas.onpointercancel = ({ pointerId }) => pointers.delete(pointerId);
  canvas.onpointerleave = () => hover(null);
  canvas.oncontextmenu = (event) => event.preventDefault();
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    zoom(Math.exp(Math.max(-240, Math.min(240, event.deltaY * lines)) * 0.0015));
  }, { passive: false });
}
