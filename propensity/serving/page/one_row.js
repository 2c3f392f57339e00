/** The tab of one row: a form, and beside it the prediction and how it comes about. */

import {gauge, probabilityOf, waterfall, widthIn} from "./charts.js";
import {fold, html, table} from "./elements.js";
import {Control, nameOf, valueInWords} from "./fields.js";
import {Inquiry} from "./inquiry.js";
import {decisionInWords, inPercent, inPlain, inSign, language, problemInWords, say, wrongInWords} from "./words.js";

/** Contributions that are shown one by one. */
const SHOWN = 14;

export class OneRow {
  constructor({service, card, row}) {
    this.service = service;
    this.card = card;
    this.row = row;
    this.isExplained = true;
    this.inquiry = new Inquiry({
      ask: (signal) => this.ask(signal),
      show: (prediction) => {
        this.mark(new Map());
        this.show(prediction);
      },
      fail: (error) => this.fail(error),
    });
    row.addEventListener("change", () => this.inquiry.schedule());
  }

  draw() {
    const {contract} = this.card;
    // A new form is empty where the old one could not be read.
    this.row.unreadable.clear();
    this.controls = new Map(contract.fields.map((field, place) => [
      field.name,
      new Control(field, `field-${place}`, this.row.values[field.name], (value) => this.row.set(field.name, value)),
    ]));
    this.summary = html("p", {class: "answer bar", role: "status"}, say("waiting"));
    this.result = html("div", {});
    this.inquiry.put();
    return [this.summary, html("div", {class: "beside"},
      html("form", {novalidate: true, autocomplete: "off", onsubmit: (event) => event.preventDefault()},
        html("h2", {}, say("theRow")),
        contract.description ? html("p", {class: "hint"}, contract.description) : null,
        html("div", {class: "fields"}, [...this.controls.values()].map((control) => control.element)),
        html("p", {}, html("button", {type: "button", onclick: () => this.reset()}, say("example")))),
      html("section", {"aria-label": say("theAnswer")}, this.result))];
  }

  reset() {
    this.row.reset();
    for (const [name, {field, input}] of this.controls) {
      const renewed = new Control(field, input.id, this.row.values[name], (value) => this.row.set(name, value));
      this.controls.get(name).element.replaceWith(renewed.element);
      this.controls.set(name, renewed);
    }
  }

  async ask(signal) {
    if (!this.row.isReadable) {
      this.refuse(new Map([...this.row.unreadable].map((name) => [name, say("notANumber")])));
      return null;
    }
    const busy = (problem) => this.summary.replaceChildren(problemInWords(problem));
    return this.service.predict(this.row.line(), this.isExplained, signal, busy);
  }

  fail(error) {
    if (error.status === 501 && this.isExplained) {
      this.isExplained = false;
      this.inquiry.put();
    } else if (error.status === 422 && error.problem.errors) {
      this.refuse(new Map(error.problem.errors.map(({field, detail}) => [field, wrongInWords(detail)])));
    } else {
      this.mark(new Map());
      this.summary.replaceChildren(problemInWords(error));
      this.result.replaceChildren();
    }
  }

  mark(problems) {
    for (const [name, control] of this.controls) control.problem(problems.get(name) ?? null);
  }

  refuse(problems) {
    this.mark(problems);
    const names = this.card.contract.fields.filter(({name}) => problems.has(name)).map(nameOf);
    this.summary.replaceChildren(say("correct", {fields: names.join(", ")}));
    this.result.replaceChildren();
  }

  show(prediction) {
    const {propensity, threshold, decision, explanation} = prediction;
    const isPositive = propensity >= threshold;
    this.summary.replaceChildren(
      html("span", {}, say("propensity")), " ",
      html("data", {value: propensity, class: isPositive ? "positive" : "negative"}, inPercent(propensity)), ": ",
      html("strong", {}, decisionInWords(decision)), ". ",
      html("span", {}, say(isPositive ? "reaches" : "staysBelow", {threshold: inPercent(threshold)})));
    this.result.replaceChildren(
      gauge(widthIn(this.result), propensity, threshold),
      ...(explanation ? this.explained(explanation, threshold) : [html("p", {class: "note"}, say("notExplained"))]));
  }

  explained({base, contributions, reasons}, threshold) {
    const fields = this.card.contract.fields;
    const all = fields
      .map((field) => [
        `${nameOf(field)}: ${valueInWords(field, this.row.values[field.name])}`, contributions[field.name],
      ])
      .sort(([, one], [, other]) => Math.abs(other) - Math.abs(one));
    const shown = all.length > SHOWN + 1 ? SHOWN : all.length;
    const [steps, others] = [all.slice(0, shown), all.slice(shown)];
    if (others.length) {
      const added = others.reduce((sum, [, each]) => sum + each, 0);
      steps.push([say("otherFields", {count: inPlain(others.length)}), added]);
    }
    return [
      html("h2", {}, say("howItComesAbout")),
      waterfall(widthIn(this.result), base, steps, threshold),
      html("p", {class: "hint"}, say("logOdds")),
      fold(say("asTable"), table(say("contributions"), [say("field"), say("contribution")],
        [[`${say("base")} (${inPercent(probabilityOf(base))})`, base], ...all]
          .map(([words, added]) => [words, inSign(added)]), [1])),
      html("h2", {}, say("reasons")),
      reasons.length
        ? html("ol", {class: "reasons"}, reasons.map((reason) => html("li", {}, reason[language()])))
        : html("p", {}, say("noReasons")),
    ];
  }
}
