// The service's zip files hold their entries as they are, without compression.

/** {name: bytes} of a zip of stored entries. */
export function unzip(buffer) {
  const view = new DataView(buffer);
  const files = new Map();
  let at = 0;
  while (at + 30 <= buffer.byteLength && view.getUint32(at, true) === 0x04034b50) {
    const [method, size] = [view.getUint16(at + 8, true), view.getUint32(at + 18, true)];
    const [named, extra] = [view.getUint16(at + 26, true), view.getUint16(at + 28, true)];
    if (method !== 0) throw new Error("the service sent a zip with compressed entries");
    const start = at + 30 + named + extra;
    const name = new TextDecoder().decode(new Uint8Array(buffer, at + 30, named));
    files.set(name, new Uint8Array(buffer, start, size));
    at = start + size;
  }
  return files;
}
