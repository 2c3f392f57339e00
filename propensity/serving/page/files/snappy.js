/** Bytes that are compressed with Snappy. */

/** Return what some bytes hold, which is of this size. */
export function uncompressed(bytes, size) {
  const found = new Uint8Array(size);
  let place = 0;
  // The size stands before them once more.
  while (bytes[place++] >= 128);
  let end = 0;
  const number = (width) => {
    let sum = 0;
    for (let byte = 0; byte < width; byte += 1) sum += bytes[place++] * 2 ** (8 * byte);
    return sum;
  };
  while (place < bytes.length) {
    const tag = bytes[place++];
    const [kind, rest] = [tag & 3, tag >> 2];
    if (kind === 0) {
      const length = 1 + (rest < 60 ? rest : number(rest - 59));
      found.set(bytes.subarray(place, place + length), end);
      place += length;
      end += length;
      continue;
    }
    const [length, distance] = kind === 1 ? [4 + (rest & 7), ((rest >> 3) << 8) + number(1)]
      : [1 + rest, number(kind === 2 ? 2 : 4)];
    if (!distance || distance > end || end + length > size) throw new RangeError("no such bytes");
    // Byte by byte: they may overlap.
    for (let copied = 0; copied < length; copied += 1, end += 1) found[end] = found[end - distance];
  }
  if (end !== size) throw new RangeError("bytes are missing");
  return found;
}
