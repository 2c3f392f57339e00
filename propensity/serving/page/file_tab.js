/** The tab of a file: all its rows predicted, what is wrong with some of them, and the predictions to download. */

import {BINS, histogram, widthIn} from "./charts.js";
import {fold, html, key, table} from "./elements.js";
import {nameOf} from "./fields.js";
import {FileError} from "./files/file_error.js";
import {Scoring, sourceOf} from "./scoring.js";
import {decisionInWords, inPercent, inPlain, problemInWords, say, wrongInWords} from "./words.js";

/** Problems that the table shows; the download has all. */
const SHOWN = 200;

/** Rows of the download that become a text at a time. */
const PART = 10_000;

export class FileTab {
  constructor({service, card}) {
    this.service = service;
    this.card = card;
    this.file = null;
    this.scoring = null;
    this.error = null;
    this.unknown = [];
  }

  draw() {
    const input = html("input", {
      id: "file", type: "file", accept: ".csv,.ndjson,.jsonl,.parquet", "aria-describedby": "file-hint",
      onchange: () => input.files.length && this.open(input.files[0]),
      // The same file, corrected, is another choice.
      onclick: () => { input.value = ""; },
    });
    const dropped = (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      if (event.dataTransfer.files.length) this.open(event.dataTransfer.files[0]);
    };
    const drop = html("div", {
      class: "drop",
      ondragover: (event) => { event.preventDefault(); drop.classList.add("over"); },
      ondragleave: () => drop.classList.remove("over"),
      ondrop: dropped,
    },
    html("label", {for: "file"}, say("dropHere")), input,
    html("p", {id: "file-hint", class: "hint"}, say("fileHint")));
    this.status = html("p", {class: "answer", role: "status", tabindex: "-1"});
    this.bar = html("progress", {max: 1, value: 0, "aria-label": say("progress")});
    this.count = html("span", {});
    this.running = html("div", {class: "progress", hidden: true}, this.bar, this.count,
      html("button", {type: "button", onclick: () => this.stop()}, say("stop")));
    this.outcome = html("div", {});
    this.update();
    return html("div", {}, drop, this.status, this.running, this.outcome);
  }

  /** Give up the file that is being predicted; the button that has done it is gone then. */
  stop() {
    this.scoring?.stop();
    this.status.focus();
  }

  /** Read the header of a file, and go on if its columns are fields. */
  async open(file) {
    this.scoring?.stop();
    [this.file, this.scoring, this.error, this.unknown] = [file, null, null, []];
    try {
      const source = sourceOf(file, this.card.contract);
      const columns = await source.columns();
      if (this.file !== file) return;
      this.unknown = columns.filter((name) => !this.fields.has(name));
      this.source = source;
      this.check(columns);
      if (!this.unknown.length) this.score(null);
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      if (this.file === file) this.error = error;
    }
    this.update();
  }

  get fields() {
    return new Map(this.card.contract.fields.map((field) => [field.name, field]));
  }

  /** Refuse columns that stand twice, and a table that lacks one. */
  check(columns) {
    const twice = columns.filter((name, place) => columns.indexOf(name) < place);
    if (twice.length) throw new FileError("columnTwice", {names: twice.join(", ")});
    const missing = this.card.contract.fields.filter(({name, nullable}) => !nullable && !columns.includes(name));
    if (this.source.isTable && missing.length) {
      throw new FileError("columnMissing", {names: missing.map(({name}) => name).join(", ")});
    }
  }

  score(idColumn) {
    this.unknown = [];
    const scoring = new Scoring(this.service, this.card, this.source, idColumn);
    this.scoring = scoring;
    scoring.addEventListener("change", () => {
      if (this.scoring === scoring) this.update();
    });
    scoring.run();
    this.update();
  }

  update() {
    if (!this.status) return;
    if (this.error) this.tell(say(this.error.key, this.error.values), []);
    else if (this.unknown.length) {
      this.tell(say("unknownColumns", {names: this.unknown.map(visible).join(", ")}), this.chooseId());
    } else if (this.scoring) this.tell(this.summary(), this.show());
    else this.tell(this.file ? say("reading", {name: this.file.name}) : "", []);
  }

  tell(status, outcome) {
    // A status that says the same again would be read out again.
    if (this.status.textContent !== status) this.status.textContent = status;
    const {state, done, rows} = this.scoring ?? {};
    // The same elements all the time, or whoever is about to stop it would lose the button.
    this.running.hidden = state !== "running";
    this.bar.value = done ?? 0;
    this.count.textContent = say("rowsSoFar", {rows: inPlain(rows ?? 0)});
    this.outcome.replaceChildren(...outcome);
  }

  /** One column may name the rows; two that are no fields are a mistake. */
  chooseId() {
    if (this.unknown.length > 1) return [html("p", {}, say("correctTheFile"))];
    const [name] = this.unknown;
    return [button(say("takeAsId", {name: visible(name)}), () => {
      this.score(name);
      this.status.focus();
    })];
  }

  summary() {
    const {state, error, rows, problems, isWaiting} = this.scoring;
    const counted = {name: this.file.name, rows: inPlain(rows), problems: inPlain(problems.size)};
    if (state === "failed") return error instanceof FileError ? say(error.key, error.values) : problemInWords(error);
    if (state === "stopped") return say("stopped", counted);
    if (state === "done") return say(problems.size ? "scoredWithProblems" : "scored", counted);
    return say(isWaiting ? "serviceIsBusy" : "scoring", {name: this.file.name});
  }

  show() {
    const {state, positive, predicted, counts, threshold, problems} = this.scoring;
    if (!predicted && !problems.size) return [];
    const {negative: below, positive: above} = this.card.contract.decisions;
    const share = predicted ? positive / predicted : 0;
    const sides = [
      [say("belowThreshold", {decision: decisionInWords(below)}), inPlain(predicted - positive), inPercent(1 - share)],
      [say("fromThreshold", {decision: decisionInWords(above)}), inPlain(positive), inPercent(share)],
    ];
    const label = say("histogram",
      {rows: inPlain(predicted), share: inPercent(share), threshold: inPercent(threshold)});
    const step = (bin) => `${inPercent(bin / BINS, 0)}–${inPercent((bin + 1) / BINS, 0)}`;
    return [
      predicted ? [
        html("h2", {}, say("propensities")),
        key(...sides.map(([words]) => words)),
        histogram(widthIn(this.outcome), counts, threshold, label),
        html("h3", {}, say("sides")),
        table(say("sides"), [say("side"), say("rows"), say("share")], sides, [1, 2]),
        fold(say("asTable"), table(say("propensities"), [say("propensity"), say("rows")],
          counts.map((count, bin) => [step(bin), inPlain(count)]), [1])),
      ] : null,
      state === "running" ? null : button(say("download"), () => this.download()),
      problems.size ? this.problems() : null,
    ].flat().filter(Boolean);
  }

  problems() {
    const {problems, idColumn} = this.scoring;
    const hasLines = [...problems.values()].some(({row}) => row.line !== null);
    const header = [
      say("row"), ...(hasLines ? [say("line")] : []), ...(idColumn ? [idColumn] : []), say("field"), say("problem"),
    ];
    const rows = [];
    for (const {row, faults} of problems.values()) {
      for (const fault of faults) {
        if (rows.length === SHOWN) break;
        const field = this.fields.get(fault.field);
        rows.push([
          inPlain(row.number), ...(hasLines ? [inPlain(row.line)] : []), ...(idColumn ? [row.id] : []),
          field ? nameOf(field) : fault.field ?? "", wrong(fault),
        ]);
      }
    }
    return [
      html("h2", {}, say("problems")),
      html("div", {class: "long"}, table(say("problemsOfRows"), header, rows, hasLines ? [0, 1] : [0])),
      problems.size > rows.length
        ? html("p", {class: "hint"}, say("moreProblems", {count: inPlain(problems.size)})) : null,
    ];
  }

  /** Hand the predictions over as a CSV file, a line for each row. */
  download() {
    const {rows, propensities, ids, idColumn, threshold, problems} = this.scoring;
    const {negative, positive} = this.card.contract.decisions;
    const named = idColumn === null ? [] : [idColumn];
    const header = ["row", ...named, "propensity", "decision", "threshold", "model", "problem"];
    const parts = [`${header.map(quoted).join(",")}\n`];
    for (let start = 0; start < rows; start += PART) {
      let text = "";
      for (let place = start; place < Math.min(start + PART, rows); place += 1) {
        const propensity = propensities[place];
        const problem = problems.get(place);
        const said = problem
          ? ["", "", "", "", inWords(problem)]
          : [propensity, propensity >= threshold ? positive : negative, threshold, this.card.tag, ""];
        const id = idColumn === null ? [] : [ids[place]];
        text += `${[place + 1, ...id, ...said].map(quoted).join(",")}\n`;
      }
      parts.push(text);
    }
    const url = URL.createObjectURL(new Blob(parts, {type: "text/csv"}));
    const name = `${this.file.name.replace(/\.[^.]*$/, "")}.predictions.csv`;
    html("a", {href: url, download: name}).click();
    // The browser has to begin with it first.
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }
}

/** Return a name as text; pandas gives its index none. */
const visible = (name) => (name === "" ? '""' : name);

function wrong({key, values, detail}) {
  return key === undefined ? wrongInWords(detail) : say(key, values);
}

function inWords({faults}) {
  return faults.map((fault) => [fault.field, wrong(fault)].filter(Boolean).join(": ")).join("; ");
}

function quoted(cell) {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : String(cell);
}

function button(words, onclick) {
  return html("p", {}, html("button", {type: "button", class: "main", onclick}, words));
}
