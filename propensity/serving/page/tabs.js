/** Tabs by the pattern of ARIA: the arrow keys go from one to the next; the key Tab reaches the open one alone. */

import {html} from "./elements.js";
import {say} from "./words.js";

export class Tabs {
  /** The tabs have a name, and a view that draws its content. */
  constructor(tabs) {
    this.tabs = tabs;
    this.open = 0;
  }

  draw() {
    this.buttons = this.tabs.map(({name}, place) => html("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`,
      onclick: () => this.show(place), onkeydown: (event) => this.move(event, place),
    }, say(`tab_${name}`)));
    this.panels = this.tabs.map(({name, view}) => html("div", {
      role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, tabindex: "0",
    }, view.draw()));
    return [html("div", {role: "tablist", "aria-label": say("tabs")}, this.buttons), this.panels];
  }

  show(open) {
    this.open = open;
    this.buttons.forEach((button, place) => {
      button.setAttribute("aria-selected", String(place === open));
      button.tabIndex = place === open ? 0 : -1;
      this.panels[place].hidden = place !== open;
    });
    this.tabs[open].view.opened?.();
  }

  move(event, place) {
    const last = this.tabs.length - 1;
    const to = {
      ArrowRight: place === last ? 0 : place + 1, ArrowLeft: place === 0 ? last : place - 1, Home: 0, End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.show(to);
    this.buttons[to].focus();
  }
}
