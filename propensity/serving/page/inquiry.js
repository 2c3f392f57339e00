/** An inquiry that is put to the service anew whenever something changes; only the last answer counts. */

import {ProblemError} from "./service.js";

/** Milliseconds of quiet before it is put. */
const QUIET = 150;

export class Inquiry {
  /** `ask` takes a signal and gives the answer, which `show` takes, or null; `fail` takes a ProblemError. */
  constructor({ask, show, fail}) {
    this.ask = ask;
    this.show = show;
    this.fail = fail;
  }

  /** Put it once nothing has changed for a moment. */
  schedule() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.put(), QUIET);
  }

  /** Put it now; what was asked before is out of date. */
  async put() {
    this.asked?.abort();
    this.asked = new AbortController();
    const {signal} = this.asked;
    try {
      const answer = await this.ask(signal);
      if (answer !== null && !signal.aborted) this.show(answer);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ProblemError)) throw error;
      this.fail(error);
    }
  }
}
