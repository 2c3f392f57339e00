/** Text files: a row is a line. The rules are those of the command that scores files. */

import {FileError} from "./file_error.js";

/** Longest line in bytes; no row is longer. */
const MAX_LINE = 1024 * 1024;

const [LINE_FEED, RETURN] = [10, 13];
const isBlank = (line) => /^[ \t\r\n\v\f]*$/.test(line);

/**
 * Yield the lines of a file that are not blank, some at a time, each with its number from 1; and with them, how much of
 * the file has been read. With `returns`, a carriage return also ends a line.
 */
export async function* blocks(file, returns) {
  const reader = file.stream().getReader();
  let [rest, number, read] = [new Uint8Array(0), 1, 0];
  try {
    for (let done = false; !done;) {
      const more = await reader.read();
      done = more.done;
      const bytes = done ? rest : joined(rest, more.value);
      if (number === 1) refuseWideText(bytes);
      read += done ? 0 : more.value.length;
      const end = done ? bytes.length : endOfLines(bytes, returns);
      rest = bytes.slice(end);
      const lines = decoded(bytes.subarray(0, end), number, returns).split(returns ? /\r\n|\n|\r/ : "\n");
      const first = number;
      number += lines.length - 1;
      if (rest.length > MAX_LINE) throw new FileError("longLine", {line: number, bytes: MAX_LINE});
      yield {
        lines: lines.map((line, place) => [first + place, line]).filter(([, line]) => !isBlank(line)),
        done: read / file.size,
      };
    }
  } finally {
    await reader.cancel();
  }
}

function joined(one, other) {
  if (!one.length) return other;
  const bytes = new Uint8Array(one.length + other.length);
  bytes.set(one);
  bytes.set(other, one.length);
  return bytes;
}

/** Return where the last whole line ends. */
function endOfLines(bytes, returns) {
  if (!returns) return bytes.lastIndexOf(LINE_FEED) + 1;
  // A line feed may follow the last return.
  const last = bytes[bytes.length - 1] === RETURN ? bytes.length - 2 : bytes.length - 1;
  return Math.max(bytes.lastIndexOf(LINE_FEED, last), bytes.lastIndexOf(RETURN, last)) + 1;
}

function refuseWideText(bytes) {
  const [first, second] = bytes;
  const isMarked = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  if (isMarked || first === 0 || second === 0) throw new FileError("utf16");
}

/** Return UTF-8 as text, without a byte order mark at the beginning of the file. */
function decoded(bytes, number, returns) {
  const decoder = new TextDecoder("utf-8", {fatal: true, ignoreBOM: number > 1});
  try {
    return decoder.decode(bytes);
  } catch {
    throw new FileError("notUtf8", {line: number + undecodable(bytes, returns)});
  }
}

/** Return the place of the first line that is not UTF-8. */
function undecodable(bytes, returns) {
  const decoder = new TextDecoder("utf-8", {fatal: true});
  let [line, start] = [0, 0];
  for (let place = 0; place <= bytes.length; place += 1) {
    const isEnd = place === bytes.length || bytes[place] === LINE_FEED
      || (returns && bytes[place] === RETURN && bytes[place + 1] !== LINE_FEED);
    if (!isEnd) continue;
    try {
      decoder.decode(bytes.subarray(start, place));
    } catch {
      return line;
    }
    [line, start] = [line + 1, place + 1];
  }
  return line;
}
