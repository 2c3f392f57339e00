/** The scoring of a file: its rows are sent in pieces, and the answers kept. */

import {BINS} from "./charts.js";
import {CsvSource} from "./files/csv.js";
import {FileError} from "./files/file_error.js";
import {NdJsonSource} from "./files/ndjson.js";
import {ParquetSource} from "./files/parquet.js";
import {ProblemError} from "./service.js";

/** Rows and characters of a request at most; the service takes twice as many of both. */
const PIECE_ROWS = 5_000;
const PIECE_LENGTH = 4 * 1024 * 1024;

const SOURCES = {csv: CsvSource, ndjson: NdJsonSource, jsonl: NdJsonSource, parquet: ParquetSource};

/** Return the source of a file by the end of its name. */
export function sourceOf(file, contract) {
  const kind = SOURCES[file.name.split(".").at(-1).toLowerCase()];
  if (kind === undefined) {
    throw new FileError("unknownKind", {kinds: Object.keys(SOURCES).map((each) => `.${each}`).join(", ")});
  }
  return new kind(file, contract);
}

/** Dispatches `change` whenever there is something new to show. */
export class Scoring extends EventTarget {
  constructor(service, card, source, idColumn) {
    super();
    this.service = service;
    this.source = source;
    this.idColumn = idColumn;
    this.threshold = card.threshold.value;
    this.stopping = new AbortController();
    this.done = 0;
    this.rows = 0;
    this.positive = 0;
    this.counts = new Array(BINS).fill(0);
    this.propensities = new Float64Array(1024);
    this.ids = [];
    // Each has the row, and what is wrong in it: the field, if it is one, and a key of words or the service's detail.
    this.problems = new Map();
    this.state = "running";
    this.error = null;
    this.isWaiting = false;
  }

  get predicted() {
    return this.rows - this.problems.size;
  }

  stop() {
    this.stopping.abort();
  }

  async run() {
    try {
      await this.send();
      this.state = "done";
      if (!this.rows) throw new FileError("noRows");
    } catch (error) {
      const isStopped = this.stopping.signal.aborted;
      if (!isStopped && !(error instanceof ProblemError) && !(error instanceof FileError)) throw error;
      this.state = isStopped ? "stopped" : "failed";
      this.error = error;
    }
    this.changed();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  async send() {
    let [waiting, length] = [[], 0];
    for await (const {rows, done} of this.source.pieces(this.idColumn)) {
      for (const row of rows) {
        waiting.push(row);
        length += row.json?.length ?? 0;
        if (waiting.length < PIECE_ROWS && length < PIECE_LENGTH) continue;
        await this.answer(waiting);
        [waiting, length] = [[], 0];
      }
      this.done = done;
    }
    if (waiting.length) await this.answer(waiting);
    this.done = 1;
  }

  /** Have some rows predicted, and keep the answers. */
  async answer(rows) {
    const sent = rows.filter(({json}) => json !== undefined);
    const answers = sent.length ? (await this.predict(sent)).values() : [].values();
    for (const row of rows) {
      if (this.idColumn !== null) this.ids.push(row.id ?? "");
      const answer = row.json === undefined ? null : answers.next().value;
      this.keep(row, answer);
    }
    this.changed();
  }

  keep(row, answer) {
    const place = this.rows;
    this.rows += 1;
    if (place === this.propensities.length) {
      const larger = new Float64Array(2 * place);
      larger.set(this.propensities);
      this.propensities = larger;
    }
    this.propensities[place] = answer?.propensity ?? NaN;
    if (answer === null) {
      this.problems.set(place, {row, faults: [{field: null, key: row.problem, values: row.values}]});
    } else if (answer.propensity === undefined) {
      const errors = answer.errors ?? [{field: null, detail: answer.detail}];
      const faults = errors.map(({field, detail}) => ({field, detail}));
      this.problems.set(place, {row: {number: row.number, line: row.line, id: row.id}, faults});
    } else {
      this.counts[Math.min(Math.floor(answer.propensity * BINS), BINS - 1)] += 1;
      this.positive += answer.propensity >= this.threshold ? 1 : 0;
    }
  }

  /** Return the answers to some rows; where they are too much at once, to one half after the other. */
  async predict(rows) {
    const onBusy = () => {
      this.isWaiting = true;
      this.changed();
    };
    try {
      return await this.service.predictLines(rows.map(({json}) => json), this.stopping.signal, onBusy);
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      if (error.isTooMuch && rows.length > 1) {
        const half = Math.ceil(rows.length / 2);
        return [...await this.predict(rows.slice(0, half)), ...await this.predict(rows.slice(half))];
      }
      // The service counts the lines of the request.
      error.problem.detail = error.problem.detail.replace(/^line ([\d,]+)/, (said, number) =>
        `line ${rows[Number(number.replaceAll(",", "")) - 1]?.line ?? number}`);
      throw error;
    } finally {
      this.isWaiting = false;
    }
  }
}
