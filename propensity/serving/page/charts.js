/**
 * Charts as SVG, in the colours of the page. Each has its text as a label, and is drawn as wide as it is shown, so that
 * its letters are as large as those around it; a window that changes later scales it.
 */

import {svg} from "./elements.js";
import {inPercent, inPlain, inSign, say} from "./words.js";

/** Bars of a histogram, and steps of a propensity between 0 and 1. */
export const BINS = 20;

const [NARROWEST, NARROW, WIDEST] = [280, 460, 640];

/** Return how wide a chart in an element may be; one that is hidden has no width yet. */
export function widthIn(element) {
  return Math.min(Math.max(element.clientWidth || NARROW, NARROWEST), WIDEST);
}

function chart(width, height, label, ...children) {
  return svg("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "chart"}, children);
}

function line(x1, y1, x2, y2, kind) {
  return svg("line", {x1, y1, x2, y2, class: kind});
}

function text(x, y, content, kind = "start") {
  return svg("text", {x, y, class: kind}, content);
}

/** Return a text in about so many pixels: what does not fit is cut off, and shown by the pointer. */
function fitted(x, y, words, room, kind) {
  const letters = Math.max(Math.floor(room / 6.7), 4);
  if (words.length <= letters) return text(x, y, words, kind);
  return svg("text", {x, y, class: kind}, `${words.slice(0, letters - 1)}…`, svg("title", {}, words));
}

function rectangle(x, y, width, height, kind, title = null) {
  return svg("rect", {x, y, width: Math.max(width, 0), height: Math.max(height, 0), class: kind},
    title === null ? null : svg("title", {}, title));
}

/** Return the function that places values from one range in another. */
function scale(from, to, low, high) {
  const span = to - from || 1;
  return (value) => low + ((value - from) / span) * (high - low);
}

/** Return round values between two, about as many as asked for. */
export function ticks(from, to, count = 5) {
  if (!(to > from)) return [from];
  const rough = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from({length: last - first + 1}, (_, place) => (first + place) * step);
}

const sideOf = (propensity, threshold) => (propensity >= threshold ? "positive" : "negative");

/** Which way a text goes from a place, so that it ends within the chart. */
function anchor(at, room, width) {
  if (at < room) return "start";
  return at > width - room ? "end" : "middle";
}

/** The propensity between 0 and 1, with the threshold. */
export function gauge(width, propensity, threshold) {
  const x = scale(0, 1, 1, width - 1);
  const label = say("gauge", {propensity: inPercent(propensity), threshold: inPercent(threshold)});
  const at = x(propensity);
  return chart(width, 92, label,
    rectangle(x(0), 28, x(threshold) - x(0), 24, "zone negative"),
    rectangle(x(threshold), 28, x(1) - x(threshold), 24, "zone positive"),
    rectangle(x(0), 28, at - x(0), 24, `bar ${sideOf(propensity, threshold)}`),
    line(x(threshold), 20, x(threshold), 58, "threshold"),
    text(x(threshold), 14, say("thresholdAt", {threshold: inPercent(threshold)}), anchor(x(threshold), 70, width)),
    svg("path", {d: `M${at} 54 l-7 12 h14 z`, class: "pointer"}),
    [0, 0.25, 0.5, 0.75, 1].map((tick) => text(x(tick), 84, inPercent(tick, 0), anchor(x(tick), 30, width))));
}

/** The rows of a chart of bars: their words stand before them, or, where that is too narrow, above. */
function barRows(width, top) {
  const isNarrow = width < NARROW;
  const [left, row] = isNarrow ? [8, 42] : [Math.round(0.5 * width), 26];
  const y = (place) => top + row * place + (isNarrow ? 18 : 0);
  return {
    left, row, y,
    name: (place, words, kind = "") => (isNarrow
      ? fitted(0, y(place) - 4, words, width, kind)
      : fitted(left - 10, y(place) + 16, words, left - 10, `end ${kind}`)),
  };
}

const ODDS_TICKS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99, 0.997, 0.999];

export const probabilityOf = (logOdds) => 1 / (1 + Math.exp(-logOdds));
const logOddsOf = (probability) => Math.log(probability / (1 - probability));

/**
 * How the propensity comes about: from the base, step by step, on the scale of log-odds, on which they add up.
 * The steps are pairs of words and log-odds.
 */
export function waterfall(width, base, steps, threshold) {
  const top = 30;
  const {left, row, y, name} = barRows(width, top);
  const sums = steps.reduce((all, [, added]) => [...all, all.at(-1) + added], [base]);
  const marks = [...sums, logOddsOf(threshold)];
  const [low, high] = [Math.min(...marks), Math.max(...marks)];
  const room = (high - low || 1) * 0.12;
  const x = scale(low - room, high + room, left, width - 30);
  const height = top + row * (steps.length + 2) + 4;
  const axis = [];
  for (const tick of ODDS_TICKS) {
    const at = x(logOddsOf(tick));
    if (at >= left + 16 && at <= width - 20 && (!axis.length || at - axis.at(-1)[0] > 52)) axis.push([at, tick]);
  }
  const end = (place, words, logOdds) => [
    name(place, words, "strong"),
    svg("circle", {cx: x(logOdds), cy: y(place) + 11, r: 5, class: "dot"}),
    text(x(logOdds) + 10, y(place) + 16, inPercent(probabilityOf(logOdds)), "small strong"),
  ];
  const bars = steps.map(([words, added], place) => {
    const [from, to] = [x(sums[place]), x(sums[place + 1])];
    const after = Math.max(from, to) + 6;
    const fits = after < width - 40;
    return [
      name(place + 1, words),
      rectangle(Math.min(from, to), y(place + 1) + 3, Math.max(Math.abs(to - from), 1), 18,
        `bar ${added > 0 ? "up" : "down"}`, `${words}: ${inSign(added)}`),
      text(fits ? after : Math.min(from, to) - 6, y(place + 1) + 16, inSign(added), fits ? "small" : "small end"),
      line(to, y(place + 1) + 21, to, y(place + 2) + 3, "joint"),
    ];
  });
  const [first, last] = [base, sums.at(-1)].map((logOdds) => inPercent(probabilityOf(logOdds)));
  return chart(width, height, say("waterfall", {base: first, propensity: last}),
    axis.map(([at, tick]) => [
      line(at, top - 8, at, height, "grid"),
      text(at, top - 14, inPercent(tick, tick > 0.009 && tick < 0.991 ? 0 : 1), "small middle"),
    ]),
    line(x(logOddsOf(threshold)), top - 8, x(logOddsOf(threshold)), height, "threshold"),
    end(0, say("base"), base),
    line(x(base), y(0) + 11, x(base), y(1) + 3, "joint"),
    bars,
    end(steps.length + 1, say("propensity"), sums.at(-1)));
}

/** Axes of a plot within its margins: `x` and `y` have a scale, ticks, a format and a title. */
function axes({x, y}, box) {
  const [left, top, right, bottom] = box;
  return [
    y.ticks.map((tick) => [
      line(left, y.at(tick), right, y.at(tick), "grid"), text(left - 8, y.at(tick) + 4, y.format(tick), "small end"),
    ]),
    x.ticks.map((tick) => [
      line(x.at(tick), bottom, x.at(tick), bottom + 5, "axis"),
      text(x.at(tick), bottom + 19, x.format(tick), "small middle"),
    ]),
    line(left, bottom, right, bottom, "axis"),
    line(left, top, left, bottom, "axis"),
    text((left + right) / 2, bottom + 38, x.title, "small middle"),
    text(0, top - 26, y.title, "small"),
  ];
}

/** The end of an axis of propensities: beyond all that is to be seen. */
function ceiling(values) {
  const most = Math.max(...values) * 1.15;
  return [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8].find((each) => each >= most) ?? 1;
}

/** The propensity over the values of a number: points of value and propensity, with the present one. */
export function curve(width, points, present, threshold, title, label) {
  const box = [46, 44, width - 16, 310];
  const [left, top, right, bottom] = box;
  const values = points.map(([value]) => value);
  const [from, to] = [values[0], values.at(-1)];
  const end = ceiling([threshold, ...points.map(([, propensity]) => propensity)]);
  const x = scale(from, to, left, right);
  const y = scale(0, end, bottom, top);
  const path = points.map(([value, propensity], place) => `${place ? "L" : "M"}${x(value)} ${y(propensity)}`).join("");
  return chart(width, 360, label,
    axes({
      x: {at: x, ticks: ticks(from, to, width < NARROW ? 3 : 6), format: inPlain, title},
      y: {
        at: y, ticks: ticks(0, end, 5), format: (tick) => inPercent(tick, end < 0.05 ? 1 : 0), title: say("propensity"),
      },
    }, box),
    rectangle(left, top, right - left, y(threshold) - top, "zone positive"),
    line(left, y(threshold), right, y(threshold), "threshold"),
    text(right, y(threshold) - 6, say("thresholdAt", {threshold: inPercent(threshold)}), "small end"),
    svg("path", {d: path, class: "curve"}),
    present === null ? null : [
      line(x(present[0]), top, x(present[0]), bottom, "present"),
      svg("circle", {cx: x(present[0]), cy: y(present[1]), r: 6, class: "present"}),
      text(x(present[0]), top - 8, say("presentValue", {value: inPlain(present[0])}),
        `small ${anchor(x(present[0]), 90, width)}`),
    ]);
}

/** The propensity of each of some values that have no order: rows of words, propensity, and whether it is present. */
export function bars(width, rows, threshold, label) {
  const top = 28;
  const {left, row, y, name} = barRows(width, top);
  const height = top + row * rows.length + 6;
  const x = scale(0, ceiling([threshold, ...rows.map(([, propensity]) => propensity)]), left, width - 56);
  return chart(width, height, label,
    text(x(threshold), 14, say("thresholdAt", {threshold: inPercent(threshold)}),
      `small ${anchor(x(threshold), 70, width)}`),
    rows.map(([words, propensity, isPresent], place) => [
      name(place, words, isPresent ? "strong" : ""),
      rectangle(left, y(place) + 3, Math.max(x(propensity) - left, 1), 18,
        `bar ${sideOf(propensity, threshold)}${isPresent ? " present" : ""}`, `${words}: ${inPercent(propensity)}`),
      text(x(propensity) + 8, y(place) + 16, inPercent(propensity), isPresent ? "small strong" : "small"),
    ]),
    line(x(threshold), top - 8, x(threshold), height, "threshold"));
}

/**
 * The propensity over two fields. An axis has the words of its values, its title and the place of the present value,
 * or null; `propensities` has a row for each value of `down`.
 */
export function heatMap(width, across, down, propensities, threshold, label) {
  const [left, top, right, bottom] = [Math.round(Math.min(0.3 * width, 150)), 30, width - 12, 400];
  const [wide, high] = [(right - left) / across.words.length, (bottom - top) / down.words.length];
  // The first row stands below, as on the axis of a plot.
  const [x, y] = [(place) => left + place * wide, (place) => bottom - (place + 1) * high];
  // The present value stands among others that are evenly apart, and would upset what is counted off.
  const shown = (axis, most) => {
    const places = axis.words.map((words, place) => [words, place]).filter(([, place]) => place !== axis.inserted);
    const every = Math.ceil(places.length / most);
    return places.filter((_, place) => place % every === 0);
  };
  const isPositive = (column, row) => propensities[row]?.[column] >= threshold;
  const cells = propensities.flatMap((values, row) => values.map((propensity, column) => {
    const cell = rectangle(x(column), y(row), wide, high, `cell ${sideOf(propensity, threshold)}`,
      `${across.words[column]}, ${down.words[row]}: ${inPercent(propensity)}`);
    cell.setAttribute("fill-opacity", (0.1 + 0.9 * propensity).toFixed(3));
    return cell;
  }));
  // Where the decision changes, from cell to cell.
  const border = propensities.flatMap((values, row) => values.flatMap((_, column) => [
    column + 1 < values.length && isPositive(column, row) !== isPositive(column + 1, row)
      ? line(x(column + 1), y(row), x(column + 1), y(row) + high, "threshold") : null,
    row + 1 < propensities.length && isPositive(column, row) !== isPositive(column, row + 1)
      ? line(x(column), y(row), x(column) + wide, y(row), "threshold") : null,
  ]));
  const present = across.present === null || down.present === null ? null
    : rectangle(x(across.present), y(down.present), wide, high, "cell present");
  return chart(width, 446, label,
    cells, border, present,
    shown(across, width / 80).map(([words, place]) =>
      fitted(x(place) + wide / 2, bottom + 18, words, Math.max(wide, 70), "small middle")),
    shown(down, 14).map(([words, place]) => fitted(left - 8, y(place) + high / 2 + 4, words, left - 8, "small end")),
    text((left + right) / 2, bottom + 40, across.title, "small middle"),
    text(0, top - 14, down.title, "small"));
}

/** How many rows have which propensity: a count for each of `BINS` steps. */
export function histogram(width, counts, threshold, label) {
  const box = [56, 44, width - 16, 260];
  const [left, top, right, bottom] = box;
  const most = Math.max(1, ...counts);
  const x = scale(0, 1, left, right);
  const y = scale(0, most, bottom, top);
  return chart(width, 306, label,
    axes({
      x: {at: x, ticks: [0, 0.25, 0.5, 0.75, 1], format: (tick) => inPercent(tick, 0), title: say("propensity")},
      y: {at: y, ticks: ticks(0, most, 4).filter(Number.isInteger), format: inPlain, title: say("rows")},
    }, box),
    counts.map((count, bin) => {
      const [from, to] = [bin / BINS, (bin + 1) / BINS];
      const words = `${inPercent(from, 0)}–${inPercent(to, 0)}: ${inPlain(count)}`;
      // A bar that the threshold crosses has both colours.
      const middle = Math.min(Math.max(threshold, from), to);
      return [
        rectangle(x(from) + 1, y(count), x(middle) - x(from) - 1, bottom - y(count), "bar negative", words),
        rectangle(x(middle), y(count), x(to) - x(middle) - 1, bottom - y(count), "bar positive", words),
      ];
    }),
    line(x(threshold), top, x(threshold), bottom, "threshold"),
    text(x(threshold), top - 8, say("thresholdAt", {threshold: inPercent(threshold)}),
      `small ${anchor(x(threshold), 100, width)}`));
}

/** A curve in the unit square over the diagonal, with dots on it: points of x and y. */
export function square(points, dots, titles, label) {
  const size = 328;
  const box = [46, 40, size - 22, size - 46];
  const [left, top, right, bottom] = box;
  const x = scale(0, 1, left, right);
  const y = scale(0, 1, bottom, top);
  const steps = [0, 0.25, 0.5, 0.75, 1];
  const percent = (tick) => inPercent(tick, 0);
  const path = points.map(([across, up], place) => `${place ? "L" : "M"}${x(across)} ${y(up)}`).join("");
  return chart(size, size, label,
    axes({
      x: {at: x, ticks: steps, format: percent, title: titles[0]},
      y: {at: y, ticks: steps, format: percent, title: titles[1]},
    }, box),
    line(x(0), y(0), x(1), y(1), "diagonal"),
    svg("path", {d: path, class: "curve"}),
    dots.map(([across, up]) => svg("circle", {cx: x(across), cy: y(up), r: 4, class: "dot"},
      svg("title", {}, `${inPercent(across)}, ${inPercent(up)}`))));
}
