// The slice on its canvas: window and level, zoom and place, the map over it.

import { OPACITY, pictureOf, spread } from "./compose.js";

const MOST_ZOOM = 32;
const OWN_WINDOW = { width: 1, level: 0.5 }; // in widths of the reader's window, from its black on

// Event `view`: something of how it is shown changed.
export class Viewer extends EventTarget {
  own = null; // of `OwnSlices.of`
  map = null; // of `Explanations.of`
  overlay = false;
  opacity = OPACITY;
  #picture = null;
  #spread = null;
  #asked = 0;

  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.reset();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(own) {
    Object.assign(this, { own, map: null });
    this.#spread = null;
    this.#again();
  }

  lay(map) {
    this.map = map;
    this.#spread = null;
    this.#again();
  }

  reset() {
    this.window = { ...OWN_WINDOW };
    this.zoom = 1;
    this.place = { x: 0, y: 0 }; // of the slice's middle beside the canvas's, in widths of the canvas
    this.#again();
  }

  windowBy(wider, higher) {
    const { width, level } = this.window;
    this.window = {
      width: Math.max(0.01, Math.min(8, width + wider)),
      level: Math.max(-2, Math.min(4, level + higher)),
    };
    this.#again();
  }

  // The window in the units of the slice's values; null where none is shown.
  get values() {
    if (!this.own) return null;
    const { black, white } = this.own;
    const whole = white - black || 1;
    return { width: this.window.width * whole, level: black + this.window.level * whole };
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
    if (!this.own) return;
    this.#picture ??= this.#drawn();
    const { width, height, spacing } = this.own;
    const [down, across] = spacing ?? [1, 1];
    const scale = (side * this.zoom) / Math.max(width * across, height * down);
    const [wide, tall] = [width * across * scale, height * down * scale];
    const [left, top] = [side / 2 - wide / 2 + this.place.x * side, side / 2 - tall / 2 + this.place.y * side];
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#picture, left, top, wide, tall);
  }

  #drawn() {
    const { own, map, values } = this;
    const { slope, intercept } = own;
    const window = { width: values.width / slope, level: (values.level - intercept) / slope };
    if (this.overlay && map) this.#spread ??= spread(map, own);
    return pictureOf(own, this.overlay ? this.#spread : null, window, this.opacity);
  }
}
