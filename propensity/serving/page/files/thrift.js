/** Structures in Thrift's compact protocol, as Parquet has them. */

/**
 * Return the structure that begins at a place, and where it ends: its members by their number. Whole numbers of 64 bits
 * are bigints, texts are bytes.
 */
export function structure(bytes, start) {
  let place = start;

  function byte() {
    if (place >= bytes.length) throw new RangeError("a structure is cut off");
    return bytes[place++];
  }

  function unsigned() {
    let [found, shift] = [0n, 0n];
    for (;;) {
      const next = byte();
      found |= BigInt(next & 127) << shift;
      if (next < 128) return found;
      shift += 7n;
    }
  }

  function signed() {
    const found = unsigned();
    return found & 1n ? -(found >> 1n) - 1n : found >> 1n;
  }

  function value(kind) {
    switch (kind) {
      case 1: return true;
      case 2: return false;
      case 3: return byte();
      case 4: case 5: return Number(signed());
      case 6: return signed();
      case 7: place += 8; return null;
      case 8: {
        const length = Number(unsigned());
        place += length;
        return bytes.subarray(place - length, place);
      }
      case 9: case 10: return list();
      case 12: return members();
      default: throw new RangeError("no such kind");
    }
  }

  function list() {
    const head = byte();
    const length = head >> 4 === 15 ? Number(unsigned()) : head >> 4;
    const kind = head & 15;
    // In a list, a boolean is a byte of its own.
    return Array.from({length}, () => (kind < 3 ? byte() === 1 : value(kind)));
  }

  function members() {
    const found = {};
    let last = 0;
    for (let head = byte(); head; head = byte()) {
      last = head >> 4 ? last + (head >> 4) : Number(signed());
      found[last] = value(head & 15);
    }
    return found;
  }

  return [members(), place];
}
