/** The values of a field over which What if looks. */

import {html} from "./elements.js";
import {isNumber, valueInWords, valuesOf} from "./fields.js";
import {say} from "./words.js";

/** Values of a category or a boolean that a chart shows at most. */
const MOST_VALUES = 60;

/**
 * Return the range of a number to begin with: all that is accepted, or where the hold-out set lies, if that is a small
 * part of it or nothing bounds the field.
 */
function span(field, reference, present) {
  const deciles = reference?.[field.name]?.bounds ?? [];
  const [first, last] = deciles.length ? [deciles[0], deciles.at(-1)] : [present ?? 0, present ?? 0];
  // Of what lies between, half as much again on either side; of a single value, something around it.
  const room = (last - first) / 2 || Math.abs(last) / 2 || 1;
  const [low, high] = [field.minimum ?? -Infinity, field.maximum ?? Infinity];
  let [from, to] = [Math.max(first - room, low), Math.min(last + room, high)];
  if (present !== null && present !== undefined) [from, to] = [Math.min(from, present), Math.max(to, present)];
  if (to - from >= (high - low) / 10) [from, to] = [low, high];
  if (field.kind === "integer") return [Math.floor(from), Math.ceil(to)];
  return [rounded(from, to - from, Math.floor), rounded(to, to - from, Math.ceil)];
}

/** Round a bound outwards, to a hundredth of the range; a stated bound stays as it is. */
function rounded(bound, width, outwards) {
  if (!(width > 0)) return bound;
  const step = 10 ** (Math.floor(Math.log10(width)) - 2);
  const round = outwards(bound / step) * step;
  return Math.abs(round - bound) < step / 1e6 ? bound : Number(round.toPrecision(12));
}

/** Return up to some values of a number, evenly apart, and among them the present one if it lies there. */
function steps(field, from, to, count, present = null) {
  const values = field.kind === "integer" ? integers(Math.ceil(from), Math.floor(to), count) : numbers(from, to, count);
  if (present !== null && present >= from && present <= to) values.push(present);
  return [...new Set(values)].sort((one, other) => one - other);
}

function integers(from, to, count) {
  const step = Math.max(Math.ceil((to - from) / (count - 1)), 1);
  const values = Array.from({length: Math.floor((to - from) / step) + 1}, (_, place) => from + step * place);
  return values.at(-1) < to ? [...values, to] : values;
}

function numbers(from, to, count) {
  // Weighed, since the distance of two large numbers may be beyond all numbers.
  return Array.from({length: count}, (_, place) => {
    const share = place / (count - 1);
    return from * (1 - share) + to * share;
  });
}

/** The choice of a range: two numbers for a number, nothing for anything else. */
export class Range {
  constructor(field, id, reference, present, onchange) {
    this.field = field;
    this.present = present;
    if (!isNumber(field)) {
      this.element = html("div", {});
      return;
    }
    const [from, to] = span(field, reference, this.present);
    const {minimum, maximum, kind} = field;
    const input = (name, value) => html("input", {
      id: `${id}-${name}`, type: "number", value, min: minimum, max: maximum,
      step: kind === "integer" ? "1" : "any", oninput: onchange,
    });
    this.from = input("from", from);
    this.to = input("to", to);
    this.element = html("div", {class: "range"},
      html("label", {for: this.from.id}, say("from")), this.from,
      html("label", {for: this.to.id}, say("to")), this.to);
  }

  /** Return up to some values of the range; of a field that is no number, all that are shown. Null if it is empty. */
  values(count) {
    if (!isNumber(this.field)) return valuesOf(this.field).slice(0, MOST_VALUES);
    const [from, to] = [this.from, this.to].map(({value}) => (value === "" ? NaN : Number(value)));
    return from < to ? steps(this.field, from, to, count, this.present) : null;
  }

  /** How many values are not shown. */
  get left() {
    return isNumber(this.field) ? 0 : Math.max(valuesOf(this.field).length - MOST_VALUES, 0);
  }

  words(value) {
    return valueInWords(this.field, value);
  }
}
