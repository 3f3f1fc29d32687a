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

// Draw the colours of 0 to 1 from left to right, as they look on middle grey.
export function drawScale(canvas, opacity) {
  const { width, height } = canvas;
  const ramp = Float32Array.from({ length: width }, (_, at) => at / (width - 1));
  const grey = new Uint8Array(width).fill(128);
  const row = new ImageData(composed(grey, ramp, WHOLE, opacity), width, 1);
  const context = canvas.getContext("2d");
  for (let y = 0; y < height; y += 1) context.putImageData(row, 0, y);
}
