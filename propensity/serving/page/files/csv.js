/** Rows in CSV files, by the rules of the command that scores files: a header, and one row a line. */

import {FileError} from "./file_error.js";
import {blocks} from "./text.js";

/** A number as JSON has it, with blanks around it. */
const NUMBER = /^[ \t]*-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?[ \t]*$/;

/** How a boolean is spelt, in lower case. */
const BOOLEANS = new Map([["true", "true"], ["false", "false"], ["1", "true"], ["0", "false"]]);

export class CsvSource {
  /** A column of each name must be there before a row is read. */
  isTable = true;

  constructor(file, contract) {
    this.file = file;
    this.contract = contract;
  }

  /** Return the names of the columns. */
  async columns() {
    for await (const {lines} of blocks(this.file, true)) {
      if (lines.length) return this.header(lines[0]);
    }
    throw new FileError("noRows");
  }

  header([number, line]) {
    const names = cells(line);
    if (names === null) throw new FileError("strayQuote", {line: number});
    const separator = names.length === 1 ? [..."\t;|"].find((mark) => names[0].includes(mark)) : undefined;
    if (separator !== undefined) throw new FileError("separator", {separator: separator === "\t" ? "\\t" : separator});
    return names;
  }

  /** Yield rows, some at a time: each is a line of JSON, or a problem that needs no service to be found. */
  async* pieces(idColumn) {
    const fields = new Map(this.contract.fields.map((field) => [field.name, field]));
    let names = null;
    let number = 0;
    for await (const {lines, done} of blocks(this.file, true)) {
      const rows = names === null && lines.length ? lines.slice(1) : lines;
      if (names === null && lines.length) names = this.header(lines[0]);
      yield {
        done,
        rows: rows.map(([line, text]) => {
          number += 1;
          return {number, line, ...this.row(names, fields, text, idColumn)};
        }),
      };
    }
  }

  row(names, fields, text, idColumn) {
    const found = cells(text);
    if (found === null) return {problem: "strayQuoteInRow"};
    const id = idColumn === null ? null : found[names.indexOf(idColumn)] ?? "";
    if (found.length !== names.length) {
      return {id, problem: "cellCount", values: {cells: found.length, header: names.length}};
    }
    if (text.includes("\0")) return {id, problem: "nul"};
    const members = names.flatMap((name, place) =>
      name === idColumn ? [] : [`${JSON.stringify(name)}:${spelt(fields.get(name), found[place])}`]);
    return {id, json: `{${members.join(",")}}`};
  }
}

/** Return a cell as JSON; what is no value of its field stays a text, and the service says what is wrong with it. */
function spelt(field, cell) {
  if (cell === "") return "null";
  if (field.kind === "boolean") return BOOLEANS.get(cell.toLowerCase()) ?? JSON.stringify(cell);
  if (field.kind !== "category" && NUMBER.test(cell)) return cell.trim();
  return JSON.stringify(cell);
}

/** Return the cells of a line; null if a quote is stray. A quoted cell ends on its line, with its quotes doubled. */
export function cells(line) {
  if (!line.includes('"')) return line.split(",");
  const found = [];
  for (let place = 0; ; place += 1) {
    let cell = "";
    if (line[place] === '"') {
      let [start, quote] = [place + 1, line.indexOf('"', place + 1)];
      while (quote >= 0 && line[quote + 1] === '"') {
        cell += line.slice(start, quote + 1);
        start = quote + 2;
        quote = line.indexOf('"', start);
      }
      if (quote < 0) return null;
      cell += line.slice(start, quote);
      place = quote + 1;
    } else {
      const comma = line.indexOf(",", place);
      const end = comma < 0 ? line.length : comma;
      cell = line.slice(place, end);
      if (cell.includes('"')) return null;
      place = end;
    }
    found.push(cell);
    if (place >= line.length) return found;
    if (line[place] !== ",") return null;
  }
}
