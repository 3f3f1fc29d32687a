// Hands on the slice: pointers, wheel and keys become what the viewer does.

const STEP = 1.2; // of zoom, a key or a notch of the wheel
const NOTCH = 60; // pixels that a touchpad scrolls for one slice

// `act`: {slice(by), to(at), method(), overlay(), tool(), reset()}; of `state`, `tool()` is what
// dragging with the left button does, "pan" or "window", and `several()` whether there are slices
// to go through.
export function bindGestures(viewer, state, act) {
  const { canvas } = viewer;
  bindPointers(viewer, state);
  let scrolled = 0;
  canvas.addEventListener("wheel", (event) => {
    const zooms = event.ctrlKey || event.metaKey;
    if (!zooms && !state.several()) return; // the page scrolls
    event.preventDefault();
    if (zooms) {
      viewer.zoomBy(event.deltaY < 0 ? STEP : 1 / STEP, pointOf(canvas, event));
      return;
    }
    scrolled += event.deltaMode === 0 ? event.deltaY : Math.sign(event.deltaY) * NOTCH;
    const by = Math.trunc(scrolled / NOTCH);
    scrolled -= by * NOTCH;
    if (by) act.slice(Math.sign(by));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const done = keyOf(event, viewer, act);
    if (!done) return;
    event.preventDefault();
    done();
  });
}

function keyOf(event, viewer, act) {
  const arrows = { ArrowUp: [0, -1], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowRight: [1, 0] };
  const arrow = arrows[event.key];
  if (arrow && event.shiftKey) return () => viewer.moveBy(-arrow[0] / 10, -arrow[1] / 10);
  if (arrow) return () => act.slice(arrow[0] + arrow[1]);
  return {
    PageUp: () => act.slice(-10),
    PageDown: () => act.slice(10),
    Home: () => act.to(0),
    End: () => act.to(Infinity),
    "+": () => viewer.zoomBy(STEP),
    "=": () => viewer.zoomBy(STEP),
    "-": () => viewer.zoomBy(1 / STEP),
    "[": () => viewer.windowBy(0, -1 / 32),
    "]": () => viewer.windowBy(0, 1 / 32),
    "{": () => viewer.windowBy(-1 / 16, 0),
    "}": () => viewer.windowBy(1 / 16, 0),
    w: act.tool,
    o: act.overlay,
    m: act.method,
    0: act.reset,
  }[event.key];
}

function bindPointers(viewer, state) {
  const { canvas } = viewer;
  const down = new Map(); // pointers that touch it, where they were last
  let tool = "pan";
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("dblclick", () => viewer.reset());
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, pointOf(canvas, event));
    tool = { 1: "pan", 2: "window" }[event.button] ?? state.tool();
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) return;
    const now = pointOf(canvas, event);
    const [x, y] = [now.x - before.x, now.y - before.y];
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      viewer.zoomBy(distance(now, other) / Math.max(1e-3, distance(before, other)), other);
      viewer.moveBy(x / 2, y / 2);
    } else if (tool === "window") {
      viewer.windowBy(x, -y);
    } else {
      viewer.moveBy(x, y);
    }
    down.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => down.delete(event.pointerId));
  }
}

// Beside the middle of the canvas, in widths of it.
function pointOf(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return {
    x: (event.clientX - box.left) / box.width - 0.5,
    y: (event.clientY - box.top) / box.height - 0.5,
  };
}

const distance = (one, other) => Math.hypot(one.x - other.x, one.y - other.y);
