/** Elements of the page: made by code alone, so that no text of a model or a file is ever read as HTML. */

const SVG = "http://www.w3.org/2000/svg";

/** Return an HTML element. Attributes that are null or false are left out; `onclick` and the like listen. */
export function html(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Return an SVG element, in the same way. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  // What is absent may stand as null among the children.
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Return a table with a header. Cells are texts or elements; those of `numeric` columns stand to the right. */
export function table(name, header, rows, numeric = []) {
  const cell = (kind, content, column) =>
    html(kind, {class: numeric.includes(column) ? "number" : null, scope: kind === "th" ? "col" : null}, content);
  return html("div", {class: "table", tabindex: "0", role: "region", "aria-label": name},
    html("table", {},
      html("thead", {}, html("tr", {}, header.map((name, column) => cell("th", name, column)))),
      html("tbody", {}, rows.map((row) => html("tr", {}, row.map((content, column) => cell("td", content, column)))))));
}

/** Return a part of the page that opens on demand. */
export function fold(summary, ...children) {
  return html("details", {}, html("summary", {}, summary), children);
}

/** Return pairs of a term and what is said of it; those without anything are left out. */
export function pairs(entries) {
  return html("dl", {}, entries.filter(([, said]) => said !== null && said !== undefined && said !== "")
    .map(([term, said]) => [html("dt", {}, term), html("dd", {}, said)]));
}

/** Return what the two colours of propensities stand for. */
export function key(below, above) {
  return html("p", {class: "key"},
    html("span", {class: "negative"}, below), html("span", {class: "positive"}, above));
}
