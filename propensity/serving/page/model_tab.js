/** The tab of the model: its card, to read. */

import {square} from "./charts.js";
import {fold, html, pairs, table} from "./elements.js";
import {boundsOf, nameOf, valueInWords} from "./fields.js";
import {ProblemError} from "./service.js";
import {
  decisionInWords, inDate, inFigure, inPercent, inPlain, inThousandths, knows, problemInWords, say,
} from "./words.js";

/** The PSI from which on drift is worth a look, and that from which on the population is another (docs/trust.md). */
const NOTICED = 0.1;
const MOVED = 0.25;

/** Categories of a field that are listed. */
const LISTED = 12;

/** Members of the card that have a place of their own on the page. */
const SHOWN = new Set([
  "algorithm", "contract", "data", "holdout", "holdout_curves", "libraries", "metrics", "name", "pickle", "reference",
  "seed", "served", "signature_verified", "tag", "takes", "target", "threshold", "trained_at", "training_seconds",
]);

export class ModelTab {
  constructor({service, card}) {
    this.service = service;
    this.card = card;
  }

  draw() {
    this.drift = html("div", {}, html("p", {role: "status"}, say("waiting")));
    return html("div", {class: "card"},
      this.purpose(), this.figures(), this.curves(), this.groups(), this.fields(),
      html("section", {}, html("h2", {}, say("drift")), html("p", {class: "hint"}, say("driftHint")), this.drift),
      this.form(), this.origin(), this.others());
  }

  /** Count the rows since the start anew; called when the tab is shown. */
  opened() {
    this.measure();
  }

  purpose() {
    const {contract, threshold, tag, algorithm} = this.card;
    const {negative, positive} = contract.decisions;
    return html("section", {},
      html("h2", {}, say("purpose")),
      html("p", {}, say("probabilityThat", {meaning: contract.meaning})),
      contract.description ? html("p", {}, contract.description) : null,
      pairs([
        [say("model"), html("code", {}, tag)],
        [say("algorithm"), algorithm],
        [say("threshold"), `${inPercent(threshold.value)}`],
        [say("chosenOn"), threshold.chosen_on],
        [say("below"), decisionInWords(negative)],
        [say("fromOn"), decisionInWords(positive)],
        [say("costs"), threshold.cost_false_negative === undefined ? null : say("costsOf", {
          missed: inPlain(threshold.cost_false_negative), alarm: inPlain(threshold.cost_false_positive ?? 0),
        })],
      ]));
  }

  figures() {
    const {metrics, holdout} = this.card;
    const named = Object.entries(metrics).filter(([, figure]) => typeof figure === "number");
    const confusion = metrics.confusion;
    const {negative, positive} = this.card.contract.decisions;
    return html("section", {},
      html("h2", {}, say("figures")),
      html("p", {class: "hint"},
        say("ofTheHoldout", {rows: inPlain(holdout.rows), positives: inPlain(holdout.positives)})),
      table(say("figures"), [say("figure"), say("value"), say("meaning")],
        named.map(([name, figure]) => knows(`${name}Name`)
          ? [say(`${name}Name`), inFigure(figure), say(`${name}Meaning`)] : [name, inFigure(figure), ""]), [1]),
      confusion ? [
        html("h3", {}, say("confusion")),
        table(say("confusion"), ["", decisionInWords(negative), decisionInWords(positive)], [
          [say("actuallyNegative"), inPlain(confusion.true_negatives), inPlain(confusion.false_positives)],
          [say("actuallyPositive"), inPlain(confusion.false_negatives), inPlain(confusion.true_positives)],
        ], [1, 2]),
      ] : null);
  }

  curves() {
    const {metrics, holdout_curves: curves} = this.card;
    const calibration = metrics.calibration ?? curves?.calibration;
    const missing = () => html("p", {class: "note"}, say("notRecorded"));
    return html("section", {},
      html("h2", {}, say("curves")),
      html("div", {class: "pair"},
        html("div", {}, html("h3", {}, say("calibration")), calibration ? this.calibration(calibration) : missing()),
        html("div", {}, html("h3", {}, say("roc")), curves?.roc ? this.roc(curves.roc) : missing())));
  }

  calibration({mean_propensity: means, positive_rate: rates}) {
    const points = means.map((mean, place) => [mean, rates[place]]);
    const titles = [say("meanPropensity"), say("positiveRate")];
    return [
      square(points, points, titles, say("calibrationLabel", {count: points.length})),
      html("p", {class: "hint"}, say("calibrationHint")),
      fold(say("asTable"), table(say("calibration"), titles, inPercents(points), [0, 1])),
    ];
  }

  roc({false_positive_rate: alarms, recall}) {
    const {metrics} = this.card;
    const points = alarms.map((alarm, place) => [alarm, recall[place]]);
    const isStated = metrics.recall !== undefined && metrics.false_positive_rate !== undefined;
    const titles = [say("false_positive_rateName"), say("recallName")];
    return [
      square(points, isStated ? [[metrics.false_positive_rate, metrics.recall]] : [], titles,
        say("rocLabel", {auc: inFigure(metrics.auc)})),
      html("p", {class: "hint"}, say("rocHint")),
      fold(say("asTable"), table(say("roc"), titles, inPercents(points), [0, 1])),
    ];
  }

  groups() {
    const {metrics, contract} = this.card;
    const fields = new Map(contract.fields.map((field) => [field.name, field]));
    const groups = Object.entries(metrics.groups ?? {}).filter(([, found]) => Object.keys(found).length);
    const share = (figure) => (figure === undefined || figure === null ? "–" : inPercent(figure));
    const header = [
      say("group"), say("rows"), say("positiveRate"), say("meanPropensity"), say("aucName"), say("selectedName"),
      say("recallName"), say("false_positive_rateName"),
    ];
    return html("section", {},
      html("h2", {}, say("groups")),
      groups.length ? groups.map(([name, found]) => {
        const field = fields.get(name);
        const words = (group) => (field?.kind === "category" ? valueInWords(field, group)
          : field?.kind === "boolean" ? valueInWords(field, group === "true") : group);
        const title = field ? nameOf(field) : name;
        return [html("h3", {}, title), table(title, header, Object.entries(found).map(([group, of]) => [
          words(group), inPlain(of.rows ?? 0), share(of.positive_rate), share(of.mean_propensity),
          of.auc === undefined || of.auc === null ? "–" : inFigure(of.auc), share(of.selected), share(of.recall),
          share(of.false_positive_rate),
        ]), [1, 2, 3, 4, 5, 6, 7])];
      }) : html("p", {class: "note"}, say("notRecorded")));
  }

  fields() {
    const {fields} = this.card.contract;
    return html("section", {},
      html("h2", {}, say("fields")),
      table(say("fields"),
        [say("field"), say("inRequests"), say("takes"), say("unit"), say("mayBeMissing"), say("description")],
        fields.map((field) => [
          nameOf(field), html("code", {}, field.name), accepted(field), field.unit ?? "",
          say(field.nullable ? "yes" : "no"), field.description ?? "",
        ])));
  }

  form() {
    const {served} = this.card;
    const {parity} = served;
    return html("section", {},
      html("h2", {}, say("form")),
      pairs([
        [say("servedAs"), say(`form_${served.form}`)],
        [say("parity"), parity ? say("parityOf", {
          rows: inPlain(parity.rows), difference: inPlain(parity.max_difference),
          changed: inPlain(parity.decisions_changed),
        }) : say("noParity")],
        [say("signature"), say(this.card.signature_verified ? "isVerified" : "isNotVerified")],
        [say("digestOfForm"), html("code", {}, served.sha256)],
        [say("digestOfFile"), html("code", {}, this.card.pickle.sha256)],
        [say("digestOfHoldout"), html("code", {}, this.card.holdout.sha256)],
      ]),
      served.passed_over?.length ? fold(say("passedOver"), pairs(served.passed_over.map(({form, reason}) =>
        [say(`form_${form}`), reason]))) : null);
  }

  origin() {
    const {data, libraries, trained_at: trained, training_seconds: seconds, target, seed} = this.card;
    return html("section", {},
      html("h2", {}, say("origin")),
      pairs([
        [say("trained"), trained ? inDate(trained) : say("notRecorded")],
        [say("trainingSeconds"), seconds === undefined ? null : inFigure(seconds)],
        [say("target"), say("targetOf", target)],
        [say("seed"), seed === undefined ? null : String(seed)],
        ...Object.entries(data ?? {}).map(([name, said]) =>
          [name, typeof said === "number" ? inPlain(said) : typeof said === "string" ? said : JSON.stringify(said)]),
        [say("libraries"), Object.entries(libraries).map(([name, version]) => `${name} ${version}`).join(", ")],
      ]));
  }

  /** What else the manifest states, and the card as the service gives it. */
  others() {
    const stated = Object.fromEntries(Object.entries(this.card).filter(([name]) => !SHOWN.has(name)));
    const json = (of) => html("pre", {tabindex: "0"}, JSON.stringify(of, null, 2));
    return html("section", {},
      Object.keys(stated).length ? fold(say("alsoStated"), json(stated)) : null,
      fold(say("asJson"), json(this.card)));
  }

  async measure() {
    try {
      this.drift.replaceChildren(...this.indices(await this.service.metrics()));
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      const known = {403: "scopeMissing", 404: "noMetrics"}[error.status];
      this.drift.replaceChildren(html("p", {class: "note"}, known ? say(known) : problemInWords(error)));
    }
  }

  indices(metrics) {
    const fields = new Map(this.card.contract.fields.map((field) => [field.name, field]));
    const ratios = series(metrics, "propensity_missing_ratio");
    const missing = new Map(ratios.map(({labels, value}) => [labels.field, value]));
    const rows = series(metrics, "propensity_psi").filter(({labels}) => labels.model === this.card.tag)
      .sort((one, other) => other.value - one.value)
      .map(({labels: {field}, value}) => [
        fields.has(field) ? nameOf(fields.get(field)) : say("propensity"), inThousandths(value),
        say(value >= MOVED ? "moved" : value >= NOTICED ? "noticed" : "same"),
        missing.has(field) ? inPercent(missing.get(field)) : "–",
      ]);
    if (!rows.length) return [html("p", {class: "note"}, say("noRowsSoFar"))];
    return [table(say("drift"), [say("field"), say("psi"), say("judgement"), say("missingShare")], rows, [1, 3])];
  }
}

const inPercents = (points) => points.map((point) => point.map((each) => inPercent(each)));

/** Return what a field takes: of a category, its values, or the first of many. */
function accepted(field) {
  if (field.kind !== "category") return boundsOf(field);
  const words = field.categories.slice(0, LISTED).map((each) => valueInWords(field, each)).join(", ");
  return field.categories.length > LISTED ? `${words} … (${inPlain(field.categories.length)})` : words;
}

/** Return the series of a metric in Prometheus' text format. */
export function series(text, name) {
  return text.split("\n").filter((line) => line.startsWith(`${name}{`)).map((line) => {
    const end = line.lastIndexOf("}");
    const labels = {};
    for (const [, label, value] of line.slice(name.length + 1, end).matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[label] = value.replace(/\\(.)/g, (_, letter) => (letter === "n" ? "\n" : letter));
    }
    return {labels, value: Number(line.slice(end + 1))};
  });
}
