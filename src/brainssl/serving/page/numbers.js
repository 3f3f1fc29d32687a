// Numbers as the service writes them: little-endian, base64, whatever this machine is.

export function uint16s(base64) {
  const view = viewed(base64);
  return Uint16Array.from({ length: view.byteLength / 2 }, (_, at) => view.getUint16(2 * at, true));
}

export function floats(base64) {
  const view = viewed(base64);
  return Float32Array.from({ length: view.byteLength / 4 }, (_, at) => view.getFloat32(4 * at, true));
}

function viewed(base64) {
  const held = atob(base64);
  const bytes = new Uint8Array(held.length);
  for (let at = 0; at < held.length; at += 1) bytes[at] = held.charCodeAt(at);
  return new DataView(bytes.buffer);
}
