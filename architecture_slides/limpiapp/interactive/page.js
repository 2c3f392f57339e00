/**
 * The architecture, to be clicked through.
 *
 * What the pointer or the keyboard is at is shown, unless something is pinned: a node (an element or a source), a
 * requirement, a route or a flow. It fills the panel, and lights up what belongs to it. `choice` is a stack, `swaps`
 * what was replaced in it. All that is told comes from the data beside this script, which Python has written.
 */

const data = JSON.parse(document.getElementById("data").textContent);
const picture = document.getElementById("picture");
const panel = document.getElementById("panel");
const connections = Object.entries(data.connections);

let language = navigator.language.startsWith("es") ? "es" : "en";
let choice = data.choices[0];
let swaps = {};
let pointed = null;
let pinned = null;

// Words.

const say = (pair, values = {}) =>
  pair[language].replace(/\{(\w+)\}/g, (_, name) => values[name]);
const word = (name, values) => say(data.words[name], values);

// Elements of the page: made by code alone, so that no text is ever read as HTML.

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== false));
  return element;
}
const html = (name, attributes = {}, ...children) =>
  filled(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

// What stands where, and what does not hold.

const product = (id, tried = {}) => tried[id] ?? swaps[id] ?? choice.products[id] ?? "";
const holds = ({from, to, refused}, tried) =>
  !refused.some(([one, other]) => one === product(from, tried) && other === product(to, tried));
const broken = () => connections.filter(([, each]) => !holds(each));
const of = (id) => connections.filter(([, {from, to}]) => [from, to].includes(id));
const named = (id) => product(id) || say(data.nodes[id].name);
const refusal = ({from, to}) => word("refuses", {source: named(from), target: named(to)});

/** The connections of a flow: from what comes in by it, from each stage to the next, and back from its last element. */
function waysOf(id) {
  const {stages} = data.flows[id];
  const last = stages.findLast(({element}) => data.nodes[element].products);
  const steps = stages.slice(1).map((stage, place) => [stages[place].element, stage.element]);
  return connections.filter(([, {from, to, call, back}]) =>
    steps.some(([one, other]) => (one === from && other === to) || (call && one === to && other === from))
    || (data.nodes[from].flow === id && to === stages[0].element)
    || (back && from === last.element)).map(([name]) => name);
}

/** What belongs to what is shown: the nodes, those of them that it is about, and the connections. */
function litBy({kind, id}) {
  if (kind === "node") {
    const ways = of(id).map(([name]) => name);
    return {about: [id], nodes: endsOf(ways), ways};
  }
  if (kind === "route") {
    const ways = data.picture.routes[id].connections;
    return {about: [], nodes: endsOf(ways), ways};
  }
  const flows = kind === "flow" ? [id] : flowsThatAnswer(id);
  const ways = flows.flatMap(waysOf);
  const stages = flows.flatMap((flow) => data.flows[flow].stages.map(({element}) => element));
  return {about: kind === "flow" ? [] : elementsThatAnswer(id), nodes: [...stages, ...endsOf(ways)], ways};
}
const endsOf = (ways) => ways.flatMap((name) => [data.connections[name].from, data.connections[name].to]);
const flowsThatAnswer = (id) => Object.keys(data.flows).filter((name) => data.flows[name].answers.includes(id));
const elementsThatAnswer = (id) => Object.keys(data.nodes).filter((name) => data.nodes[name].answers?.includes(id));

// Pointing and pinning.

const same = (one, other) => one?.kind === other?.kind && one?.id === other?.id;
const shown = () => pinned ?? pointed;

function point(at) {
  pointed = at;
  if (pinned === null) show();
}

function pin(at) {
  if (same(pinned, at)) return unpin();
  pinned = at;
  show();
  panel.scrollTop = 0;
  panel.focus({preventScroll: true});
  // Where the panel lies over the picture, it must not hide what it is about.
  if (at.kind === "node") marks.get(`node ${at.id}`).scrollIntoView({block: "nearest"});
}

function unpin() {
  const from = pinned && marks.get(`${pinned.kind} ${pinned.id}`);
  pinned = null;
  if (panel.contains(document.activeElement)) (from ?? panel).focus({preventScroll: true});
  pointed = null;
  show();
}

/** What makes a part of the page show something while it is pointed at, and pin it at a click. */
function showing(kind, id) {
  const at = {kind, id};
  return {
    onpointerenter: ({pointerType}) => pointerType === "touch" || point(at),
    onpointerleave: () => point(null),
    onfocus: () => point(at),
    onblur: () => point(null),
    onclick: (event) => {
      event.stopPropagation();
      pin(at);
    },
    onkeydown: (event) => {
      // A button does so by itself.
      if (event.currentTarget instanceof HTMLElement || !["Enter", " "].includes(event.key)) return;
      event.preventDefault();
      pin(at);
    },
  };
}

// The picture: drawn once; its texts are written anew.

const marks = new Map();
const ways = new Map();
const canvas = document.createElement("canvas").getContext("2d");
const family = getComputedStyle(document.body).fontFamily;

/** Break a text into lines of a width, as a font of this weight and size is. */
function wrapped(text, width, weight, size) {
  canvas.font = `${weight} ${size}px ${family}`;
  const lines = [];
  for (const next of text.split(" ")) {
    const longer = lines.length ? `${lines.at(-1)} ${next}` : next;
    if (lines.length && canvas.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(next);
  }
  return {lines, fits: lines.every((line) => canvas.measureText(line).width <= width)};
}

/** Sizes of a name and of the product below it, from the best to the last: a product is legible on any projector. */
const SIZES = [[13, 12], [12, 12], [13, 11.5], [12, 11.5], [13, 11], [12, 11], [11, 11.5], [11, 11]];

/** Lines of text in the middle of a box, the name above the product, as large as they fit. */
function label([x, y, w, h], name, below = "") {
  for (const sizes of SIZES) {
    const rows = [[name, 600, sizes[0], "name", w - 10], [below, 400, sizes[1], "product", w - 6]]
      .filter(([text]) => text)
      .map(([text, weight, size, kind, width]) => ({...wrapped(text, width, weight, size), size, kind}));
    const high = rows.reduce((sum, row) => sum + row.lines.length * row.size * 1.1, 0);
    if (sizes !== SIZES.at(-1) && (high > h - 1.5 || rows.some((row) => !row.fits))) continue;
    let at = y + (h - high) / 2;
    return rows.flatMap((row) => row.lines.map((line) => {
      at += row.size * 1.1;
      return svg("text", {x: x + w / 2, y: at - row.size * 0.28, "font-size": row.size, class: row.kind}, line);
    }));
  }
}

const rectangle = ([x, y, width, height], attributes) => svg("rect", {x, y, width, height, rx: 3, ...attributes});
const looking = (box, {fill, outline = null, dashed = false}) =>
  rectangle(box, {fill, stroke: outline, "stroke-dasharray": dashed ? "4 3" : null});
const sign = (x, y, id, high = 18) =>
  [rectangle([x - 6 - 4 * id.length, y - high / 2, 12 + 8 * id.length, high]), svg("text", {x, y: y + 4.5}, id)];

/** A line through points, with a head at its end, or at both. */
function arrow(points, both) {
  const head = ([x, y], [fromX, fromY]) => {
    const length = Math.hypot(x - fromX, y - fromY) || 1;
    const [dx, dy] = [(x - fromX) / length * 7, (y - fromY) / length * 7];
    const [side, other] = [[x - dx - dy / 2, y - dy + dx / 2], [x - dx + dy / 2, y - dy - dx / 2]];
    return svg("polygon", {points: [[x, y], side, other].join(" ")});
  };
  return [
    svg("polyline", {points: points.join(" ")}),
    head(points.at(-1), points.at(-2)),
    both ? head(points[0], points[1]) : null,
  ];
}

function drawPicture() {
  const {view, lanes, band, routes} = data.picture;
  picture.setAttribute("viewBox", view.join(" "));
  picture.append(...lanes.map(({box}) => rectangle(box, {class: "lane"})), rectangle(band, {class: "band"}),
    svg("g", {id: "titles"}));
  // Returns lie on top, so that nothing hides them.
  const rank = ({back, homeward}) => back ? 2 : homeward ? 1 : 0;
  const drawn = connections.filter(([, {way}]) => way).sort(([, one], [, other]) => rank(one) - rank(other));
  for (const [id, each] of drawn) {
    const kind = ["", " homeward", " back"][rank(each)];
    ways.set(id, svg("g", {class: `way${kind}`, "data-id": id}, arrow(each.way, each.call)));
  }
  picture.append(...ways.values());
  for (const [id, node] of Object.entries(data.nodes)) {
    marks.set(`node ${id}`, svg("g", {
      class: "node", "data-id": id, tabindex: 0, role: "button", ...showing("node", id),
    }, looking(node.box, node), svg("g", {class: "label"})));
  }
  for (const [id, {at: [x, y]}] of Object.entries(routes)) {
    marks.set(`route ${id}`, svg("g", {
      class: "route", "data-id": id, tabindex: 0, role: "button", ...showing("route", id),
    }, sign(x, y, id)));
  }
  picture.append(...marks.values());
  document.getElementById("cells").append(...Object.keys(data.requirements).map((id) => {
    const cell = html("button", {type: "button", ...showing("requirement", id)}, id);
    marks.set(`requirement ${id}`, cell);
    return cell;
  }));
}

/** Write what depends on the language and on what is chosen. */
function writePicture() {
  const {alt, lanes, band, routes, legend, store, medals} = data.picture;
  picture.setAttribute("aria-label", say(alt));
  document.getElementById("titles").replaceChildren(
    ...lanes.map(({name, at: [x, y]}) => svg("text", {x, y, class: "title end"}, say(name))),
    svg("text", {x: band[0] + 6, y: band[1] + 13, class: "title"}, word("band")),
    // What the numbers stand for; to the keyboard and to screen readers the numbers themselves say it.
    ...Object.entries(routes).map(([id, {key: [x, y], brief}]) =>
      svg("g", {class: "brief", "aria-hidden": "true", ...showing("route", id)},
        sign(x + 6 + 4 * id.length, y, id, 14),
        svg("text", {x: x + 17 + 8 * id.length, y: y + 4, class: "key word"}, say(brief)))),
    ...legend.flatMap(({middle: [x, y], w, h, name, ink, ...look}) => [
      looking([x - w / 2, y - h / 2, w, h], look),
      svg("text", {x, y: y + 4, fill: ink, class: "key"}, say(name)),
    ]));
  for (const [id, {box, short}] of Object.entries(data.nodes)) {
    const mark = marks.get(`node ${id}`);
    const [x, y, w, h] = box;
    const medal = (place, at) => [rectangle(at, {fill: medals[place].fill}), label(at, say(medals[place].name))];
    const half = (h - 62) / 2;
    mark.lastChild.replaceChildren(...(id === store
      ? [label([x, y + 2, w, 48], say(short), product(id)), medal(0, [x + 6, y + 50, w * 0.37, h - 56]),
        medal(1, [x + 12 + w * 0.37, y + 50, w * 0.63 - 18, half]),
        medal(2, [x + 12 + w * 0.37, y + 56 + half, w * 0.63 - 18, half])].flat(3)
      : label(box, say(short), product(id))));
    mark.setAttribute("aria-label", [say(data.nodes[id].name), product(id)].filter(Boolean).join(": "));
    mark.classList.toggle("swapped", id in swaps);
  }
  for (const [id, {what}] of Object.entries(data.picture.routes)) {
    marks.get(`route ${id}`).setAttribute("aria-label", `${word("route", {number: id})}: ${say(what)}`);
  }
  for (const [id, {text}] of Object.entries(data.requirements)) {
    const cell = marks.get(`requirement ${id}`);
    cell.title = say(text);
    cell.setAttribute("aria-label", `${id}: ${say(text)}`);
  }
}

// The panel.

const link = (kind, id, text) =>
  html("button", {type: "button", class: "link", onclick: () => pin({kind, id})}, text);
const heading = (text) => html("div", {class: "head"}, html("h2", {id: "told"}, text),
  pinned && html("button", {type: "button", id: "close", onclick: unpin}, word("close")));
const entries = (pairs) =>
  html("dl", {}, pairs.map(([term, ...told]) => [html("dt", {}, term), html("dd", {}, told)]));
const list = (name, items) =>
  [html("h3", {}, name), html("ul", {}, items.map((each) => html("li", {}, each)))];

function phase({phase: name, arrives, fill}) {
  const chip = html("span", {class: "chip"}, say(name));
  chip.style.background = fill;
  return html("p", {class: "soft"}, chip, ` ${say(arrives)}`);
}

/** A flow as a bar as long as its SLA, with the stages of one element in another colour. */
function bar(id, own) {
  return html("span", {class: "flow", "aria-hidden": "true"}, data.flows[id].stages.map(({element, share}) => {
    const stage = html("span", {class: element === own || own === null ? "own" : ""});
    stage.style.width = `${100 * share}%`;
    return stage;
  }));
}

/** How long a flow takes: the share of one of its elements, or all of it. */
function timeOf(id, own) {
  const {kind, worst, retried, sla, own: shares} = data.flows[id];
  const told = {worst: say(worst), sla: say(sla)};
  if (own) return word("in_flow", {...told, own: say(shares[own])});
  return retried ? word("retried_flow", {...told, retried: say(retried)}) : word(`${kind}_flow`, told);
}

const flowLine = (id, own = null) => [
  link("flow", id, say(data.flows[id].name)), bar(id, own), html("small", {}, timeOf(id, own)),
];

/** A connection, from the view of the node that is told of. */
const connectionLine = (each, at = null) => {
  const short = (id) => say(data.nodes[id].short);
  const [way, other] = each.to === at ? ["←", each.from] : ["→", each.to];
  return [
    at ? null : link("node", each.from, short(each.from)),
    html("span", {class: each.back || each.homeward ? "returns" : null}, ` ${way} `),
    link("node", other, short(other)),
    html("small", {}, `${say(each.what)} · ${say(each.often)}`),
    holds(each) ? null : html("strong", {class: "refusal"}, refusal(each)),
  ];
};

const requirementLine = (id) =>
  html("div", {class: "quoted"}, link("requirement", id, id), html("q", {lang: "es"}, data.requirements[id].quote));

/** The products of an element, of which any may be put in the place of the stack's; what can't be is in red. */
function products(id) {
  const {products: all, launch, alternative, why, trigger} = data.nodes[id];
  const fits = (name) => of(id).every(([, each]) => holds(each, {[id]: name}));
  const among = (kind) => all.filter((each) => each.kind === kind).map(({name}) => name);
  const options = (kind) => html("optgroup", {label: word(kind)}, among(kind).map((name) =>
    html("option", {value: name, selected: name === product(id)}, fits(name) ? name : `✗ ${name}`)));
  const named = (kind) => among(kind).map((name, place) =>
    [place ? ", " : null, html("span", {class: fits(name) ? null : "unfit"}, name)]);
  const select = html("select", {
    id: "product",
    onchange: ({target}) => {
      swaps[id] = target.value;
      if (target.value === choice.products[id]) delete swaps[id];
      change();
      document.getElementById("product").focus();
    },
  }, options("managed"), options("open_source"));
  return [
    html("label", {for: "product"}, word("product")), select,
    of(id).filter(([, each]) => !holds(each)).map(([, each]) => html("p", {class: "refusal"}, refusal(each))),
    entries([
      [word("managed"), ...named("managed")],
      [word("open_source"), ...named("open_source")],
      [word("launch"), html("strong", {}, launch), `. ${say(why)}.`],
      [word("alternative"), html("strong", {}, alternative)],
      [word("trigger"), say(trigger)],
    ]),
  ];
}

const views = {
  node(id) {
    const node = data.nodes[id];
    const lines = list(word("connections"), of(id).map(([, each]) => connectionLine(each, id)));
    if (!node.products) {
      const late = node.late && html("span", {class: "unfit"}, ` (${word("too_slow")})`);
      return [
        heading(say(node.name)),
        entries([[word("path"), say(node.path)], [word("default_path"), say(node.default), late]]),
        list(word("comes_by"), [flowLine(node.flow)]),
        lines,
      ];
    }
    const flows = Object.keys(data.flows).filter((name) => id in data.flows[name].own);
    return [
      heading(say(node.name)), phase(node), html("p", {}, `${say(node.purpose)}.`), products(id), lines,
      list(word("answers"), node.answers.map(requirementLine)),
      list(word("flows"), flows.map((name) => flowLine(name, id))),
    ];
  },
  requirement(id) {
    const {quote, text} = data.requirements[id];
    return [
      heading(`${id} · ${say(text)}`), html("p", {}, html("q", {lang: "es"}, quote)),
      list(word("answering"), elementsThatAnswer(id).map((each) =>
        [link("node", each, say(data.nodes[each].name)), html("small", {}, product(each))])),
      list(word("flows"), flowsThatAnswer(id).map((name) => flowLine(name))),
    ];
  },
  route(id) {
    const {what, connections: own} = data.picture.routes[id];
    return [
      heading(`${word("route", {number: id})}: ${say(what)}`),
      list(word("connections"), own.map((name) => connectionLine(data.connections[name]))),
    ];
  },
  flow(id) {
    const {name, stages, answers} = data.flows[id];
    return [
      heading(say(name)), bar(id, null), html("p", {}, timeOf(id)),
      list(word("stages"), stages.map(({element, what, time}) =>
        [link("node", element, say(data.nodes[element].name)), html("small", {}, `${say(what)} · ${say(time)}`)])),
      list(word("answers"), answers.map(requirementLine)),
    ];
  },
};

function introduction() {
  return [
    heading(say(choice.name)), choice.told && html("p", {}, say(choice.told)),
    broken().map(([, each]) => html("p", {class: "refusal"}, refusal(each))),
    html("p", {class: "soft"}, word("lead")),
    list(word("flows"), Object.keys(data.flows).map((name) => flowLine(name))),
  ];
}

/** Fill the panel, and light up what belongs to what it tells of. */
function show() {
  const at = shown();
  panel.replaceChildren(...(at ? views[at.kind](at.id) : introduction()).flat(Infinity).filter(Boolean));
  panel.classList.toggle("pinned", pinned !== null);
  const lit = at && litBy(at);
  picture.classList.toggle("faded", lit !== null);
  for (const [id, group] of ways) {
    group.classList.toggle("lit", lit !== null && lit.ways.includes(id));
    group.classList.toggle("broken", !holds(data.connections[id]));
  }
  const torn = new Set(endsOf(broken().map(([id]) => id)));
  for (const [name, mark] of marks) {
    const [kind, id] = name.split(" ");
    const is = same(at, {kind, id});
    mark.classList.toggle("about", lit !== null && (is || (kind === "node" && lit.about.includes(id))));
    mark.classList.toggle("lit", lit !== null && (is || (kind === "node" && lit.nodes.includes(id))
      || (kind === "route" && data.picture.routes[id].connections.some((way) => lit.ways.includes(way)))));
    mark.classList.toggle("broken", kind === "node" && torn.has(id));
    mark.setAttribute("aria-pressed", same(pinned, {kind, id}));
  }
}

// What is chosen.

function drawChoices() {
  const field = document.getElementById("choices");
  field.replaceChildren(field.firstElementChild, ...data.choices.map((each) => html("label", {},
    html("input", {
      type: "radio", name: "choice", checked: each === choice,
      onchange: () => {
        [choice, swaps] = [each, {}];
        change();
      },
    }), html("span", {}, say(each.name)))));
}

function change() {
  const [all, bad] = [connections.length, broken().length];
  const verdict = document.getElementById("verdict");
  verdict.textContent = bad ? word("do_not_hold", {broken: bad, all}) : word("hold", {all});
  verdict.classList.toggle("refusal", bad > 0);
  document.getElementById("undo").hidden = Object.keys(swaps).length === 0;
  writePicture();
  show();
}

// The plans.

const slider = document.getElementById("slider");
slider.max = data.plans.length - 1;
slider.value = data.start;

function plan() {
  const {services_per_day: services, figures, costs, total} = data.plans[slider.value];
  const most = Math.max(...data.plans.map((each) => each.costs.reduce((sum, {usd}) => sum + usd, 0)));
  const told = `${say(services)} ${word("services_per_day")}`;
  slider.setAttribute("aria-valuetext", told);
  document.getElementById("services").textContent = told;
  document.getElementById("figures").replaceChildren(...Object.entries(figures).map(([name, value]) =>
    html("div", {}, html("dd", {id: name}, say(value)), html("dt", {}, word(name)))));
  document.getElementById("fewest").textContent = say(data.plans[0].services_per_day);
  document.getElementById("most").textContent = say(data.plans.at(-1).services_per_day);
  document.getElementById("total").textContent = say(total);
  const coloured = (name, place, property, value) => {
    const made = html("span", {class: name});
    made.style.setProperty("--fill", data.costs[place].fill);
    if (property) made.style[property] = value;
    return made;
  };
  document.getElementById("bar").replaceChildren(
    ...costs.map(({usd}, place) => coloured("", place, "width", `${100 * usd / most}%`)));
  document.getElementById("parts").replaceChildren(...costs.map(({told: usd}, place) =>
    html("li", {}, coloured("swatch", place), `${say(data.costs[place].name)} `, html("strong", {}, say(usd)))));
}

/** Write everything in the language. */
function speak() {
  document.documentElement.lang = language;
  document.title = word("footer");
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = word(element.dataset.say);
  document.getElementById("language").lang = language === "es" ? "en" : "es";
  drawChoices();
  change();
  plan();
}

slider.addEventListener("input", plan);
document.getElementById("language").addEventListener("click", () => {
  language = language === "es" ? "en" : "es";
  speak();
});
document.getElementById("undo").addEventListener("click", () => {
  swaps = {};
  change();
});
document.getElementById("ground").addEventListener("click", unpin);
document.addEventListener("keydown", ({key}) => key === "Escape" && unpin());
drawPicture();
speak();
