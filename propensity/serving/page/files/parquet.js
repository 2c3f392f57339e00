/**
 * Rows in Parquet files, which the browser decodes: the service takes none (docs/adr/0008). Reads flat columns as
 * pandas, Spark, DuckDB and Arrow write them by default (plain and dictionary encoded), and says what else a file has.
 */

import {FileError} from "./file_error.js";
import {uncompressed} from "./snappy.js";
import {structure} from "./thrift.js";

/** Rows that become lines at a time. */
const SLICE = 10_000;

/** Places of the members of Parquet's structures that are read here. */
const FOOTER = {schema: 2, rows: 3, groups: 4};
const ELEMENT = {type: 1, length: 2, repetition: 3, name: 4, children: 5, converted: 6, scale: 7, logical: 10};
const GROUP = {columns: 1, rows: 3};
const CHUNK = {metadata: 3};
const METADATA = {codec: 4, values: 5, size: 7, data: 9, dictionary: 11};
const PAGE = {kind: 1, size: 2, packed: 3, data: 5, dictionary: 7, data2: 8};

const [BOOLEAN, INT32, INT64, , FLOAT, DOUBLE, TEXT, FIXED] = [0, 1, 2, 3, 4, 5, 6, 7];
const [PLAIN, PLAIN_DICTIONARY, RLE, DICTIONARY] = [0, 2, 3, 8];
const ENCODINGS = [
  "PLAIN", "", "PLAIN_DICTIONARY", "RLE", "BIT_PACKED", "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY",
  "DELTA_BYTE_ARRAY", "RLE_DICTIONARY", "BYTE_STREAM_SPLIT",
];
const CODECS = ["no compression", "Snappy", "GZIP", "LZO", "Brotli", "LZ4", "Zstandard", "LZ4"];

const MARK = "PAR1";

export class ParquetSource {
  /** A column of each name must be there before a row is read. */
  isTable = true;

  constructor(file) {
    this.file = file;
  }

  /** Return the names of the columns. */
  async columns() {
    await readable(() => this.readFooter());
    if (!this.groups.length) throw new FileError("noRows");
    return this.schema.map(({name}) => name);
  }

  async readFooter() {
    const tail = new Uint8Array(await this.file.slice(-8).arrayBuffer());
    const isMarked = tail.length === 8 && text(tail.subarray(4)) === MARK;
    const size = isMarked ? new DataView(tail.buffer).getUint32(0, true) : 0;
    if (!size || size + 12 > this.file.size) throw new FileError("notParquet");
    const [footer] = structure(await this.bytes(this.file.size - 8 - size, size), 0);
    const [root, ...elements] = footer[FOOTER.schema];
    this.schema = elements.map((element) => column(element));
    const nested = this.schema.find((each, place) => elements[place][ELEMENT.children] || each.isRepeated);
    if (nested !== undefined || root[ELEMENT.children] !== elements.length) {
      throw new FileError("nestedColumn", {name: nested?.name ?? ""});
    }
    this.rows = Number(footer[FOOTER.rows]);
    this.groups = footer[FOOTER.groups].filter((group) => group[GROUP.rows]);
  }

  async bytes(start, length) {
    const found = new Uint8Array(await this.file.slice(start, start + length).arrayBuffer());
    if (found.length < length) throw new FileError("notParquet");
    return found;
  }

  /** Yield rows, some at a time; a row group is decoded as a whole. */
  async* pieces(idColumn) {
    let number = 0;
    for (const group of this.groups) {
      const columns = await readable(() => this.decode(group));
      const sent = columns.filter(({name}) => name !== idColumn);
      const ids = columns.find(({name}) => name === idColumn)?.values;
      const rows = Number(group[GROUP.rows]);
      for (let start = 0; start < rows; start += SLICE) {
        const places = Array.from({length: Math.min(SLICE, rows - start)}, (_, place) => start + place);
        const piece = places.map((place) => {
          const members = sent.map(({key, values}) => `${key}:${spelt(values[place])}`);
          const id = ids === undefined ? null : String(ids[place] ?? "");
          return {number: (number += 1), line: null, id, json: `{${members.join(",")}}`};
        });
        yield {done: number / this.rows, rows: piece};
      }
    }
  }

  async decode(group) {
    const columns = [];
    for (const [place, chunk] of group[GROUP.columns].entries()) {
      const of = this.schema[place];
      const about = chunk[CHUNK.metadata];
      const start = Math.min(...[about[METADATA.dictionary], about[METADATA.data]].filter(Boolean).map(Number));
      const bytes = await this.bytes(start, Number(about[METADATA.size]));
      const values = await pages(bytes, of, about[METADATA.codec], Number(about[METADATA.values]));
      columns.push({name: of.name, key: JSON.stringify(of.name), values});
    }
    return columns;
  }
}

/** Return what the schema says of a column; what it stands for is said in either of two members. */
function column(element) {
  const [converted, logical] = [element[ELEMENT.converted], element[ELEMENT.logical] ?? {}];
  const is = (places, numbers) => numbers.includes(converted) || places.some((place) => logical[place] !== undefined);
  return {
    name: text(element[ELEMENT.name]),
    type: element[ELEMENT.type],
    length: element[ELEMENT.length],
    isOptional: element[ELEMENT.repetition] === 1,
    isRepeated: element[ELEMENT.repetition] === 2,
    isUnsigned: is([], [11, 12, 13, 14]) || logical[10]?.[2] === false,
    isText: is([1, 4], [0, 4]),
    isTime: is([6, 7, 8], [6, 7, 8, 9, 10]),
    decimals: is([5], [5]) ? element[ELEMENT.scale] ?? logical[5]?.[1] ?? 0 : null,
  };
}

/** What goes wrong with bytes that are no Parquet is said as one thing. */
async function readable(read) {
  try {
    return await read();
  } catch (error) {
    // A file that was changed or removed in the meantime is another thing.
    if (error instanceof FileError || error instanceof DOMException) throw error;
    throw new FileError("notParquet");
  }
}

/** Return the values of a column chunk: null where one is missing. */
async function pages(bytes, of, codec, count) {
  const found = [];
  let [place, dictionary] = [0, null];
  while (found.length < count) {
    const [header, start] = structure(bytes, place);
    place = start + header[PAGE.packed];
    const [packed, size] = [bytes.subarray(start, place), header[PAGE.size]];
    const [first, second] = [header[PAGE.data], header[PAGE.data2]];
    if (header[PAGE.dictionary]) {
      dictionary = plain(await unpacked(packed, codec, size), of, header[PAGE.dictionary][1]);
    } else if (first) {
      const page = await unpacked(packed, codec, size);
      // The levels come first, and before them their length.
      const length = of.isOptional ? new DataView(page.buffer, page.byteOffset).getUint32(0, true) + 4 : 0;
      const levels = of.isOptional ? runs(page.subarray(4, length), 1, first[1]) : null;
      append(found, page.subarray(length), of, first[1], first[2], levels, dictionary);
    } else if (second) {
      const length = second[5] + second[6];
      const levels = of.isOptional ? runs(packed.subarray(second[6], length), 1, second[1]) : null;
      const body = packed.subarray(length);
      const values = second[7] === false ? body : await unpacked(body, codec, size - length);
      append(found, values, of, second[1], second[4], levels, dictionary);
    }
  }
  return found;
}

/** Decode the values of a page; `levels` are 1 where one is present, or null if none is missing. */
function append(found, bytes, of, count, encoding, levels, dictionary) {
  const present = levels === null ? count : levels.reduce((sum, level) => sum + level, 0);
  const values = decoded(bytes, of, present, encoding, dictionary);
  let place = 0;
  for (let row = 0; row < count; row += 1) {
    found.push(levels === null || levels[row] ? values[place++] : null);
  }
}

function decoded(bytes, of, count, encoding, dictionary) {
  if (encoding === PLAIN) return plain(bytes, of, count);
  if (encoding === DICTIONARY || encoding === PLAIN_DICTIONARY) {
    return [...runs(bytes.subarray(1), bytes[0], count)].map((each) => dictionary[each]);
  }
  if (encoding === RLE && of.type === BOOLEAN) return [...runs(bytes.subarray(4), 1, count)].map(Boolean);
  throw new FileError("encoding", {encoding: ENCODINGS[encoding] ?? encoding, name: of.name});
}

/** Return values that stand one after the other. */
function plain(bytes, of, count) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const each = (width, read) => Array.from({length: count}, (_, place) => read(place * width));
  const signed = of.isUnsigned
    ? {[INT32]: (at) => view.getUint32(at, true), [INT64]: (at) => view.getBigUint64(at, true)}
    : {[INT32]: (at) => view.getInt32(at, true), [INT64]: (at) => view.getBigInt64(at, true)};
  const whole = (read) => (of.decimals === null ? read : (at) => decimal(BigInt(read(at)), of.decimals));
  switch (of.isTime ? null : of.type) {
    case BOOLEAN: return Array.from({length: count}, (_, place) => Boolean(bytes[place >> 3] & (1 << (place & 7))));
    case INT32: return each(4, whole(signed[INT32]));
    case INT64: return each(8, whole(signed[INT64]));
    case FLOAT: return each(4, (at) => view.getFloat32(at, true));
    case DOUBLE: return each(8, (at) => view.getFloat64(at, true));
    case TEXT: return texts(bytes, view, of, count);
    case FIXED: return each(of.length, (at) => words(bytes.subarray(at, at + of.length), of));
    default: throw new FileError("columnType", {name: of.name});
  }
}

function texts(bytes, view, of, count) {
  let place = 0;
  return Array.from({length: count}, () => {
    const start = place + 4;
    place = start + view.getUint32(place, true);
    return words(bytes.subarray(start, place), of);
  });
}

/** Return bytes as what they stand for: a text, or a decimal with its highest byte first. */
function words(bytes, of) {
  if (of.decimals !== null) {
    const all = bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    return decimal(BigInt.asIntN(8 * bytes.length, all), of.decimals);
  }
  if (!of.isText) throw new FileError("columnType", {name: of.name});
  return text(bytes);
}

/** A number that is spelt by its digits: a float would round it twice. */
class Decimal {
  constructor(digits) {
    this.digits = digits;
  }

  toString() {
    return this.digits;
  }
}

function decimal(unscaled, decimals) {
  return new Decimal(`${unscaled}e-${decimals}`);
}

/** Return small numbers that stand as runs of one value, or packed in a few bits each. */
function runs(bytes, width, count) {
  const found = new Uint32Array(count);
  let [place, at] = [0, 0];
  while (at < count) {
    let [header, shift] = [0, 0];
    for (;;) {
      const byte = bytes[place++];
      if (byte === undefined) throw new FileError("notParquet");
      header += (byte & 127) * 2 ** shift;
      shift += 7;
      if (byte < 128) break;
    }
    const length = Math.floor(header / 2);
    if (header % 2) {
      const end = Math.min(at + 8 * length, count);
      for (let bit = 8 * place; at < end; at += 1) {
        let value = 0;
        for (let of = 0; of < width; of += 1, bit += 1) value += ((bytes[bit >> 3] >> (bit & 7)) & 1) * 2 ** of;
        found[at] = value;
      }
      place += length * width;
    } else {
      let value = 0;
      for (let byte = 0; byte < Math.ceil(width / 8); byte += 1) value += bytes[place++] * 2 ** (8 * byte);
      found.fill(value, at, at + length);
      at += length;
    }
  }
  return found;
}

async function unpacked(bytes, codec, size) {
  if (codec === 0) return bytes;
  if (codec === 1) return uncompressed(bytes, size);
  if (codec === 2) {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }
  throw new FileError("codec", {codec: CODECS[codec] ?? codec});
}

const UTF8 = new TextDecoder("utf-8", {ignoreBOM: true});
const text = (bytes) => UTF8.decode(bytes);

/** Return a value as JSON: NaN and infinities as the service reads them, since they are no missing values. */
function spelt(value) {
  if (value === null) return "null";
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
