/** Fields in words, and the controls of a form. */

import {html} from "./elements.js";
import {inPlain, language, say} from "./words.js";

/** Return what a field is called. */
export function nameOf(field) {
  return field.words?.[language()] ?? field.name;
}

/** Return a value of a field in words. */
export function valueInWords(field, value) {
  if (value === null || value === undefined) return say("notStated");
  if (field.kind === "boolean") return say(value ? "yes" : "no");
  if (field.kind === "category") return field.category_words?.[value]?.[language()] ?? value;
  return inPlain(value);
}

/** Return which values a field takes, and in what unit. */
export function boundsOf(field) {
  const {minimum, maximum} = field;
  if (field.kind === "boolean") return say("yesOrNo");
  if (field.kind === "category") return say("oneOf", {count: inPlain(field.categories.length)});
  if (minimum !== undefined && maximum !== undefined) {
    return say("between", {minimum: inPlain(minimum), maximum: inPlain(maximum)});
  }
  if (minimum !== undefined) return say("atLeast", {minimum: inPlain(minimum)});
  if (maximum !== undefined) return say("atMost", {maximum: inPlain(maximum)});
  return say(field.kind === "integer" ? "anyInteger" : "anyNumber");
}

/** Return the values of a field that is no number: null stands for a missing one. */
export function valuesOf(field) {
  const values = field.kind === "boolean" ? [true, false] : field.categories;
  return field.nullable ? [...values, null] : [...values];
}

export const isNumber = (field) => field.kind === "integer" || field.kind === "number";

/** One field of a form, with its label, its hint and its problem. */
export class Control {
  constructor(field, id, value, onvalue) {
    this.field = field;
    this.onvalue = onvalue;
    this.input = isNumber(field) ? this.number(id, value) : this.choice(id, value);
    this.input.setAttribute("aria-describedby", `${id}-hint ${id}-problem`);
    this.said = html("p", {id: `${id}-problem`, class: "problem"});
    const hint = [field.unit, boundsOf(field)];
    const hasWords = nameOf(field) !== field.name;
    // Without words in this language, the description says what the name means.
    if (!hasWords) hint.unshift(field.description);
    this.element = html("div", {class: "field"},
      html("label", {for: id}, nameOf(field)),
      this.input,
      html("p", {id: `${id}-hint`, class: "hint"},
        hasWords ? [html("code", {}, field.name), " "] : null, hint.filter(Boolean).join(" · ")),
      this.said);
  }

  number(id, value) {
    const {minimum, maximum, nullable, kind} = this.field;
    const input = html("input", {
      id, type: "number", min: minimum, max: maximum, step: kind === "integer" ? "1" : "any", value,
      placeholder: nullable ? say("notStated") : null, autocomplete: "off",
      oninput: () => {
        // The browser gives out an empty text for what is no number.
        const isUnreadable = input.value === "" && input.validity.badInput;
        this.onvalue(isUnreadable ? undefined : input.value === "" ? null : Number(input.value));
      },
    });
    return input;
  }

  choice(id, value) {
    const values = valuesOf(this.field);
    // Without a valid value in the beginning, nothing is chosen.
    const place = values.indexOf(value ?? null);
    const select = html("select", {id, onchange: () => this.onvalue(values[select.selectedIndex])},
      values.map((each, option) => html("option", {selected: option === place}, valueInWords(this.field, each))));
    if (place < 0) select.selectedIndex = -1;
    return select;
  }

  /** Show what is wrong with the value; null for nothing. */
  problem(words) {
    this.said.textContent = words ?? "";
    if (words === null) this.input.removeAttribute("aria-invalid");
    else this.input.setAttribute("aria-invalid", "true");
  }
}
