// What belongs to one visit of a screen, and ends with it: requests, timers, streams.

export class Scope {
  constructor() {
    this.controller = new AbortController();
    this.signal = this.controller.signal;
  }

  /** Whether the screen has been left. */
  get ended() {
    return this.signal.aborted;
  }

  end() {
    this.controller.abort();
  }

  onEnd(action) {
    this.signal.addEventListener("abort", action, { once: true });
  }

  /** Runs `work` now and `ms` after each end, not while the tab is hidden. An error goes to `failed`. */
  poll(ms, work, failed = () => {}) {
    let timer;
    let turn = 0;
    const run = async () => {
      clearTimeout(timer);
      turn += 1;
      const own = turn;
      if (this.ended) return;
      try {
        if (!document.hidden) await work();
      } catch (error) {
        if (!this.ended) failed(error);
      }
      if (!this.ended && own === turn) timer = setTimeout(run, ms);
    };
    this.onEnd(() => clearTimeout(timer));
    run();
    return run;
  }

  listen(target, type, action) {
    target.addEventListener(type, action, { signal: this.signal });
  }
}

/** Runs `action` once, `ms` after the last call. */
export function later(ms, action) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), ms);
  };
}
