// viridis, as the service draws it: perceptually uniform, and read by those who cannot tell red
// from green. 64 of its colours; those between are mixed, at most 2 of 255 from the true ones.

const KNOTS = (
  "44015446075a470d6047136548186a481d6f482374482878472d7b46327e453781443b844240864045883e49893d4e8a"
  + "3a538b38588c365c8d34608d32648e31688e2f6c8e2d708e2c738e2a778e297b8e277f8e26828e24868e238a8d218e8d"
  + "20928c1f968b1f9a8a1f9e891fa18721a58523a98326ad812ab07f2fb47c35b7793bbb7542be714ac16d52c5695ac864"
  + "65cb5e6ece5877d15381d34d8bd64695d840a0da39aadc32b5de2bc0df25cae11fd5e21adfe318eae51af4e61efde725"
);

// 256 colours, three bytes each.
export const PALETTE = mixed();

function mixed() {
  const knot = (at, channel) => parseInt(KNOTS.substr(6 * at + 2 * channel, 2), 16);
  const palette = new Uint8ClampedArray(3 * 256);
  for (let level = 0; level < 256; level += 1) {
    const place = (level / 255) * 63;
    const low = Math.min(62, Math.floor(place));
    for (let channel = 0; channel < 3; channel += 1) {
      const [one, other] = [knot(low, channel), knot(low + 1, channel)];
      palette[3 * level + channel] = one + (place - low) * (other - one);
    }
  }
  return palette;
}
