/** The API of the service, below whatever path prefix this module came from. */

const API = new URL("../", import.meta.url);

const NDJSON = "application/x-ndjson";

/** Seconds to wait where the service does not say how long. */
const PAUSE = 1;

/** A request that was not answered as it should be, with the service's own problem document. */
export class ProblemError extends Error {
  constructor(problem, pause = PAUSE) {
    super(problem.detail);
    this.problem = problem;
    this.status = problem.status;
    this.kind = (problem.type ?? "").split("#")[1] ?? "";
    this.pause = pause;
  }

  /** Whether the same request may be answered a moment later; one that took too long takes too long again. */
  get isTemporary() {
    return (this.status === 429 || this.status === 503) && this.kind !== "late";
  }

  /** Whether there were too many rows at once for the service, or for a proxy before it. */
  get isTooMuch() {
    return this.status === 413 || this.kind === "late";
  }
}

/**
 * Calls the service with one token. The methods that predict wait while it is busy, and ask again: before that, they
 * call `onBusy` with its problem. All end with an exception once their signal is aborted.
 */
export class Service {
  constructor(token, onRefused) {
    this.headers = {Authorization: `Bearer ${token}`};
    this.onRefused = onRefused;
  }

  /** Return the model card. */
  async card() {
    return (await this.ask("v1/model", {})).json();
  }

  /** Return the prediction of a row, a line of JSON, with its explanation or without. */
  async predict(line, isExplained, signal, onBusy) {
    const path = isExplained ? "v1/predict?explain=true" : "v1/predict";
    return (await this.post(path, line, "application/json", signal, onBusy)).json();
  }

  /** Return the answers to rows, each of which is a line of JSON. */
  async predictLines(lines, signal, onBusy) {
    const answer = await this.post("v1/predict_batch", `${lines.join("\n")}\n`, NDJSON, signal, onBusy);
    return (await answer.text()).trimEnd().split("\n").map((line) => JSON.parse(line));
  }

  /** Return the metrics, as Prometheus reads them. */
  async metrics() {
    return (await this.ask("metrics", {})).text();
  }

  async post(path, body, mediaType, signal, onBusy) {
    const headers = {...this.headers, "Content-Type": mediaType};
    for (;;) {
      try {
        return await this.ask(path, {method: "POST", headers, body, signal});
      } catch (error) {
        if (!(error instanceof ProblemError && error.isTemporary)) throw error;
        onBusy(error);
        await pause(error.pause, signal);
      }
    }
  }

  async ask(path, options) {
    const always = {headers: this.headers, cache: "no-store", credentials: "omit", redirect: "error"};
    let answer;
    try {
      answer = await fetch(new URL(path, API), {...always, ...options});
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new ProblemError({status: 0, type: "#unreachable", detail: String(error.message)});
    }
    if (answer.ok) return answer;
    const error = new ProblemError(await problemOf(answer), Number(answer.headers.get("Retry-After")) || PAUSE);
    if (error.status === 401) this.onRefused(error);
    throw error;
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, {once: true});
  });
}

/** Return the problem document of an answer; a proxy may have sent something else. */
async function problemOf(answer) {
  try {
    const problem = await answer.json();
    if (typeof problem.status === "number") return problem;
  } catch {
    // Not JSON: the status is all there is.
  }
  return {status: answer.status, type: "", detail: `HTTP ${answer.status} ${answer.statusText}`.trim()};
}
