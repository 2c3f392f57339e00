/**
 * The page: asks for the token once, reads the model card, and shows the tabs.
 *
 * Each tab is a module: one_row, what_if (with ranges), file_tab (with scoring, and files/ for the kinds of files) and
 * model_tab. They share the row, the inquiry, the fields and the charts; service calls the API, words has every word.
 */

import {html} from "./elements.js";
import {FileTab} from "./file_tab.js";
import {ModelTab} from "./model_tab.js";
import {OneRow} from "./one_row.js";
import {Row} from "./row.js";
import {ProblemError, Service} from "./service.js";
import {Tabs} from "./tabs.js";
import {WhatIf} from "./what_if.js";
import {language, languageName, otherLanguage, problemInWords, say, setLanguage} from "./words.js";

/** Where the token is kept: for this tab alone, and until it is closed. */
const TOKEN = "propensity-token";

/** What a header can carry. */
const SENDABLE = /^[\x21-\x7e]+$/;

class Page {
  constructor() {
    this.card = null;
    this.service = null;
    this.said = "";
    const token = sessionStorage.getItem(TOKEN);
    if (token === null) this.draw();
    else this.enter(token);
  }

  /** Read the model card with a token; what is wrong with it stands beside the question for it. */
  async enter(token) {
    const service = new Service(token, (error) => service === this.service && this.leave(error));
    this.service = service;
    try {
      if (!SENDABLE.test(token)) throw new ProblemError({status: 401, type: "#unauthenticated"});
      this.card = await service.card();
      sessionStorage.setItem(TOKEN, token);
      const context = {service, card: this.card, row: new Row(this.card.contract)};
      this.file = new FileTab(context);
      this.tabs = new Tabs([
        {name: "row", view: new OneRow(context)},
        {name: "what", view: new WhatIf(context)},
        {name: "file", view: this.file},
        {name: "model", view: new ModelTab(context)},
      ]);
      this.said = "";
      this.draw();
      document.getElementById("title").focus();
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      if (service !== this.service) return;
      this.leave(error);
      if (error.isTemporary) setTimeout(() => this.service ?? this.enter(token), 1000 * error.pause);
    }
  }

  /** Forget the token, and ask for another one. */
  leave(error = null) {
    this.file?.stop();
    [this.service, this.file] = [null, null];
    // A service that is busy or away says nothing about the token.
    if (error === null || [401, 403].includes(error.status)) sessionStorage.removeItem(TOKEN);
    this.card = null;
    this.said = error === null ? "" : problemInWords(error);
    this.draw();
    document.getElementById("token").focus();
  }

  draw() {
    document.documentElement.lang = language();
    document.title = this.card?.contract.title ?? say("title");
    const other = otherLanguage();
    const switched = html("button", {
      type: "button", lang: other,
      onclick: () => {
        setLanguage(other);
        this.draw();
        document.getElementById("language").focus();
      },
      id: "language",
    }, languageName(other));
    document.body.replaceChildren(
      html("header", {},
        html("div", {},
          html("h1", {id: "title", tabindex: "-1"}, document.title),
          this.card ? html("p", {}, say("probabilityThat", {meaning: this.card.contract.meaning})) : null),
        html("nav", {"aria-label": say("settings")},
          html("a", {href: new URL("../", import.meta.url).href}, say("api")),
          this.card ? html("button", {type: "button", onclick: () => this.leave()}, say("forget")) : null,
          switched)),
      html("main", {}, this.card ? this.tabs.draw() : this.question()),
      html("footer", {}, html("p", {}, say("staysHere"))));
    if (this.card) this.tabs.show(this.tabs.open);
  }

  question() {
    const input = html("input", {
      id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true,
      "aria-describedby": "token-hint token-problem", "aria-invalid": this.said ? "true" : null,
    });
    return html("form", {
      class: "token",
      onsubmit: (event) => {
        event.preventDefault();
        this.enter(input.value.trim());
      },
    },
    html("div", {class: "field"},
      html("label", {for: "token"}, say("token")), input,
      html("p", {id: "token-hint", class: "hint"}, say("tokenHint")),
      html("p", {id: "token-problem", class: "problem", role: "alert"}, this.said)),
    html("button", {class: "main"}, say("open")));
  }
}

new Page();
