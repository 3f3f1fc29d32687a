// A slice through its window, and a map over it: numbers in, pixels out.

import { PALETTE } from "./colours.js";

export const WHOLE = Object.freeze({ width: 255, level: 127.5 }); // all grey values as they are
export const OPACITY = 0.65; // of the colour where the map is 1, as in the service's overlay

// RGBA of a slice. Where the map is 0 the slice is untouched, and the share of the colour grows
// with the map: nothing is rescaled.
export function composed(grey, map, window, opacity) {
  const low = window.level - window.width / 2;
  const scale = 255 / window.width;
  const pixels = new Uint8ClampedArray(4 * grey.length);
  for (let at = 0; at < grey.length; at += 1) {
    const shown = Math.max(0, Math.min(255, (grey[at] - low) * scale));
    const share = map ? opacity * map[at] : 0;
    const colour = map ? 3 * Math.round(255 * map[at]) : 0;
    for (let channel = 0; channel < 3; channel += 1) {
      pixels[4 * at + channel] = (1 - share) * shown + share * PALETTE[colour + channel];
    }
    pixels[4 * at + 3] = 255;
  }
  return pixels;
}

// A slice at its own resolution through its window, with a map over it or none, as a picture.
export function pictureOf({ width, height, levels }, map, window, opacity) {
  const canvas = new OffscreenCanvas(width, height);
  const pixels = composed(levels, map, window, opacity);
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  return canvas;
}

// A map of the square that the classifier sees, at the pixels of a slice: bilinear, where the slice
// lies in that square, and 0 where it reaches beyond it.
export function spread({ map, size }, { width, height, place }) {
  const across = along(width, place.left, place.width, size);
  const down = along(height, place.top, place.height, size);
  const values = new Float32Array(width * height);
  for (let y = 0; y < height; y += 1) {
    const [top, below, much] = [size * down.one[y], size * down.other[y], down.much[y]];
    for (let x = 0; x < width; x += 1) {
      if (!down.seen[y] || !across.seen[x]) continue;
      const [left, right, share] = [across.one[x], across.other[x], across.much[x]];
      const upper = map[top + left] + share * (map[top + right] - map[top + left]);
      const lower = map[below + left] + share * (map[below + right] - map[below + left]);
      values[width * y + x] = upper + much * (lower - upper);
    }
  }
  return values;
}

// Between which two pixels of the square each of a line lies, and how near to the other one.
function along(count, begin, filled, size) {
  const [one, other] = [new Uint32Array(count), new Uint32Array(count)];
  const [much, seen] = [new Float32Array(count), new Uint8Array(count)];
  for (let at = 0; at < count; at += 1) {
    const middle = begin + ((at + 0.5) * filled) / count - 0.5;
    const place = Math.max(0, Math.min(size - 1, middle));
    seen[at] = middle >= -0.5 && middle <= size - 0.5;
    one[at] = Math.floor(place);
    other[at] = Math.min(size - 1, one[at] + 1);
    much[at] = place - one[at];
  }
  return { one, other, much, seen };
}

// Draw the colours of 0 to 1 from left to right, as they look on middle grey.
export function drawScale(canvas, opacity) {
  const { width, height } = canvas;
  const ramp = Float32Array.from({ length: width }, (_, at) => at / (width - 1));
  const grey = new Uint8Array(width).fill(128);
  const row = new ImageData(composed(grey, ramp, WHOLE, opacity), width, 1);
  const context = canvas.getContext("2d");
  for (let y = 0; y < height; y += 1) context.putImageData(row, 0, y);
}
