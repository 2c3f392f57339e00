/** The tab What if: the propensity of the row, if one or two of its values were others. */

import {bars, curve, heatMap, widthIn} from "./charts.js";
import {fold, html, key, table} from "./elements.js";
import {isNumber, nameOf} from "./fields.js";
import {Inquiry} from "./inquiry.js";
import {Range} from "./ranges.js";
import {decisionInWords, inPercent, inPlain, problemInWords, say} from "./words.js";

/** Values of a number in a curve, and on each side of a heat map. */
const CURVE = 101;
const SIDE = 31;

export class WhatIf {
  constructor({service, card, row}) {
    this.service = service;
    this.card = card;
    this.row = row;
    this.chosen = [0, -1];
    this.inquiry = new Inquiry({
      ask: (signal) => this.ask(signal),
      show: ([axes, answers]) => this.answer(axes, answers),
      fail: (error) => this.say(problemInWords(error)),
    });
    row.addEventListener("change", () => { this.isStale = true; });
  }

  draw() {
    const {fields} = this.card.contract;
    const options = (place) => fields.map((field, option) =>
      html("option", {value: option, selected: option === this.chosen[place]}, nameOf(field)));
    const choose = (place) => (event) => {
      this.chosen[place] = Number(event.target.value);
      this.renew();
    };
    this.axes = [];
    this.ranges = [html("div", {}), html("div", {})];
    this.status = html("p", {class: "answer", role: "status"});
    this.result = html("div", {});
    this.isStale = true;
    return html("div", {},
      html("p", {class: "note"}, say("showsTheModel", {row: this.card.contract.row})),
      html("div", {class: "choices"},
        html("div", {class: "field"}, html("label", {for: "what-field"}, say("field")),
          html("select", {id: "what-field", onchange: choose(0)}, options(0)), this.ranges[0]),
        html("div", {class: "field"}, html("label", {for: "what-second"}, say("secondField")),
          html("select", {id: "what-second", onchange: choose(1)},
            html("option", {value: -1, selected: this.chosen[1] < 0}, say("none")), options(1)), this.ranges[1])),
      this.status, this.result);
  }

  /** Look at the row as it is now; called when the tab is shown. */
  opened() {
    if (this.isStale) this.renew();
  }

  renew() {
    this.isStale = false;
    const {fields} = this.card.contract;
    if (this.chosen[1] === this.chosen[0]) this.chosen[1] = -1;
    document.getElementById("what-second").value = this.chosen[1];
    this.axes = this.chosen.filter((place) => place >= 0).map((place, axis) => {
      const field = fields[place];
      const [kept, present] = [this.axes[axis], this.row.values[field.name] ?? null];
      // Somebody may have chosen its range.
      if (kept?.field === field) return Object.assign(kept, {present});
      return new Range(field, `what-${axis}`, this.card.reference, present, () => this.inquiry.schedule());
    });
    this.ranges.forEach((place, axis) => place.replaceChildren(...(this.axes[axis] ? [this.axes[axis].element] : [])));
    this.inquiry.put();
  }

  async ask(signal) {
    const axes = this.axes.map((range) => [range, range.values(this.axes.length === 1 ? CURVE : SIDE)]);
    if (axes.some(([, values]) => values === null)) {
      this.say(say("emptyRange"));
      return null;
    }
    const busy = (problem) => this.say(problemInWords(problem));
    return [axes, await this.service.predictLines(this.lines(axes), signal, busy)];
  }

  answer(axes, answers) {
    const problem = answers.find((answer) => answer.propensity === undefined);
    if (problem !== undefined) this.say(say("rowIsNotValid", {fields: this.faults(problem)}));
    else if (axes.length === 1) this.show(axes[0], answers);
    else this.showBoth(axes, answers);
  }

  faults(problem) {
    const names = new Set((problem.errors ?? []).map(({field}) => field));
    return this.card.contract.fields.filter(({name}) => names.has(name)).map(nameOf).join(", ");
  }

  /** Return the rows of all values, of the second field one after the other for each of the first. */
  lines([[first, values], second]) {
    if (second === undefined) return values.map((value) => this.row.line({[first.field.name]: value}));
    const [other, others] = second;
    return others.flatMap((down) => values.map((across) =>
      this.row.line({[first.field.name]: across, [other.field.name]: down})));
  }

  say(words) {
    this.status.replaceChildren(words);
    this.result.replaceChildren();
  }

  show([range, values], answers) {
    const {field} = range;
    const {threshold} = answers[0];
    const present = this.row.values[field.name] ?? null;
    const points = values.map((value, place) => [value, answers[place].propensity]);
    const at = points.find(([value]) => value === present);
    const title = field.unit ? `${nameOf(field)} (${field.unit})` : nameOf(field);
    const summary = this.summary(range, points, at, answers);
    const width = widthIn(this.result);
    const chart = isNumber(field)
      ? curve(width, points, at ?? null, threshold, title, summary)
      : bars(width, points.map(([value, propensity]) => [range.words(value), propensity, value === present]), threshold,
        summary);
    this.status.replaceChildren(summary);
    this.result.replaceChildren(
      html("h2", {}, title), isNumber(field) ? "" : key(...this.sides()), chart,
      range.left ? html("p", {class: "hint"}, say("leftOut", {count: inPlain(range.left)})) : "",
      fold(say("asTable"), table(title, [nameOf(field), say("propensity"), say("decision")],
        answers.map(({propensity, decision}, place) =>
          [range.words(values[place]), inPercent(propensity), decisionInWords(decision)]), [1])));
  }

  sides() {
    const {negative, positive} = this.card.contract.decisions;
    return [
      say("belowThreshold", {decision: decisionInWords(negative)}),
      say("fromThreshold", {decision: decisionInWords(positive)}),
    ];
  }

  /** Return what a curve or bars show, in a sentence or two. */
  summary(range, points, at, answers) {
    const sorted = [...points].sort(([, one], [, other]) => one - other);
    const [least, most] = [sorted[0], sorted.at(-1)];
    const extremes = {
      least: inPercent(least[1]), at: range.words(least[0]), most: inPercent(most[1]), then: range.words(most[0]),
    };
    const said = [say(least[1] === most[1] ? "sameOverTheRange" : "overTheRange", extremes)];
    if (at !== undefined) said.push(say("presently", {value: range.words(at[0]), propensity: inPercent(at[1])}));
    if (isNumber(range.field)) {
      const changes = answers.flatMap(({decision}, place) =>
        place && decision !== answers[place - 1].decision ? [place] : []);
      const between = (place) =>
        say("betweenValues", {from: range.words(points[place - 1][0]), to: range.words(points[place][0])});
      said.push(changes.length
        ? say("changes", {places: changes.map(between).join("; ")})
        : say("changesNowhere", {decision: decisionInWords(answers[0].decision)}));
    }
    return said.join(" ");
  }

  showBoth([[first, values], [second, others]], answers) {
    const {threshold} = answers[0];
    const propensities = others.map((_, row) =>
      answers.slice(row * values.length, (row + 1) * values.length).map(({propensity}) => propensity));
    const axis = (range, shown) => {
      const present = shown.indexOf(this.row.values[range.field.name] ?? null);
      return {
        words: shown.map((value) => range.words(value)),
        title: nameOf(range.field),
        present: present < 0 ? null : present,
        inserted: isNumber(range.field) ? present : -1,
      };
    };
    const [across, down] = [axis(first, values), axis(second, others)];
    const all = propensities.flat();
    const positive = all.filter((propensity) => propensity >= threshold).length / all.length;
    const summary = say("overBoth", {
      first: across.title, second: down.title, least: inPercent(Math.min(...all)), most: inPercent(Math.max(...all)),
      share: inPercent(positive), threshold: inPercent(threshold),
    });
    const left = first.left + second.left;
    this.status.replaceChildren(summary);
    this.result.replaceChildren(
      html("h2", {}, say("twoFields", {first: across.title, second: down.title})),
      key(...this.sides()),
      heatMap(widthIn(this.result), across, down, propensities, threshold, summary),
      html("p", {class: "hint"}, say("heatMapHint")),
      left ? html("p", {class: "hint"}, say("leftOut", {count: inPlain(left)})) : "",
      fold(say("asTable"), table(summary, [`${down.title} \\ ${across.title}`, ...across.words],
        propensities.map((row, place) => [down.words[place], ...row.map((each) => inPercent(each))]),
        across.words.map((_, column) => column + 1))));
  }
}
