/** Rows in NDJSON files: one a line, sent to the service as they stand. */

import {FileError} from "./file_error.js";
import {blocks} from "./text.js";

export class NdJsonSource {
  /** Each row says for itself which fields it has. */
  isTable = false;

  constructor(file) {
    this.file = file;
  }

  /** Return the names in the first row. */
  async columns() {
    for await (const {lines} of blocks(this.file, false)) {
      if (!lines.length) continue;
      try {
        return Object.keys(JSON.parse(lines[0][1]));
      } catch {
        return []; // the service says what is wrong with it
      }
    }
    throw new FileError("noRows");
  }

  /** Yield rows, some at a time. */
  async* pieces(idColumn) {
    let number = 0;
    for await (const {lines, done} of blocks(this.file, false)) {
      yield {
        done,
        rows: lines.map(([line, text]) => {
          number += 1;
          return idColumn === null ? {number, line, json: text} : {number, line, ...taken(idColumn, text)};
        }),
      };
    }
  }
}

const VALUE = String.raw`("(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|null)`;

/**
 * Take a member out of a row, as text: to read the row and write it again would change what the service should judge.
 * A name in a text has its quotes escaped, so it can't be taken for a member.
 */
export function taken(name, text) {
  const escaped = JSON.stringify(name).replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const member = new RegExp(String.raw`([{,]\s*)${escaped}\s*:\s*${VALUE}\s*(,?)`).exec(text);
  if (member === null) return {id: "", json: text};
  const [whole, before, value, comma] = member;
  const isBetween = before.startsWith(",") && comma;
  const kept = isBetween ? "," : before.startsWith("{") ? "{" : "";
  const json = text.slice(0, member.index) + kept + text.slice(member.index + whole.length);
  return {id: value === "null" ? "" : value.startsWith('"') ? JSON.parse(value) : value, json};
}
