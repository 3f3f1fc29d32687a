// The slice on its canvas: window and level, zoom and place, the map over it.

import { OPACITY, WHOLE } from "./compose.js";
import { pictureOf } from "./explain.js";

const MOST_ZOOM = 16;

// Event `view`: something of how it is shown changed.
export class Viewer extends EventTarget {
  seen = null; // of `Explanations.of`
  overlay = false;
  opacity = OPACITY;
  #picture = null;
  #asked = 0;

  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.reset();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(seen) {
    this.seen = seen;
    this.#again();
  }

  reset() {
    this.window = { ...WHOLE };
    this.zoom = 1;
    this.place = { x: 0, y: 0 }; // of the slice's middle beside the canvas's, in widths of the canvas
    this.#again();
  }

  windowBy(wider, higher) {
    const { width, level } = this.window;
    this.window = {
      width: Math.max(2, Math.min(510, width + wider)),
      level: Math.max(0, Math.min(255, level + higher)),
    };
    this.#again();
  }

  // Zoom about a point, given as `place` is: what lies under it stays there.
  zoomBy(factor, about = { x: 0, y: 0 }) {
    const zoom = Math.max(1, Math.min(MOST_ZOOM, this.zoom * factor));
    const grown = zoom / this.zoom;
    this.zoom = zoom;
    this.moveTo({
      x: about.x + (this.place.x - about.x) * grown,
      y: about.y + (this.place.y - about.y) * grown,
    });
  }

  moveBy(x, y) {
    this.moveTo({ x: this.place.x + x, y: this.place.y + y });
  }

  // No farther than that the slice still fills the canvas.
  moveTo({ x, y }) {
    const most = (this.zoom - 1) / 2;
    const within = (value) => Math.max(-most, Math.min(most, value));
    this.place = { x: within(x), y: within(y) };
    this.#told();
  }

  set({ overlay = this.overlay, opacity = this.opacity }) {
    Object.assign(this, { overlay, opacity });
    this.#again();
  }

  #again() {
    this.#picture = null;
    this.#told();
  }

  #told() {
    this.draw();
    this.dispatchEvent(new Event("view"));
  }

  draw() {
    cancelAnimationFrame(this.#asked);
    this.#asked = requestAnimationFrame(() => {
      const side = Math.round(this.canvas.clientWidth * devicePixelRatio);
      if (!side) return;
      if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
      this.paint(this.canvas.getContext("2d"), side);
    });
  }

  // Paint what is in view as a square of `side` pixels.
  paint(context, side) {
    context.fillStyle = "black";
    context.fillRect(0, 0, side, side);
    if (!this.seen) return;
    this.#picture ??= pictureOf(this.seen, this);
    const whole = side * this.zoom;
    const [left, top] = [this.place.x, this.place.y].map((at) => (side - whole) / 2 + at * side);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#picture, left, top, whole, whole);
  }
}
