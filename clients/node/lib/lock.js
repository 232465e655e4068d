// A lock that is renewed for as long as a program holds it.

import { randomUUID } from "node:crypto";
import { checkMs } from "./options.js";
import { sleep } from "./session.js";
import { ClosedError, LockHeld, LockLost, OutcomeUnknown, RstmdbError } from "./errors.js";

// The part of a lock's time after which it counts as lost if it was not renewed. The clock of the cluster may be faster.
const SAFE = 7 / 8;
const RELEASES_MAX = 3;

const now = () => performance.now();

/** A lock that this program holds until it releases it, or until it is lost. */
export class LockGuard {
  #client;
  #ttl;
  #token;
  // When the last renewal was sent, and until when the lock is surely held.
  #sent = 0;
  #until = 0;
  #reason = "it was not acquired";
  #name;
  #owner;
  #lost;
  #onLost;
  #over = false;

  constructor(client, name, owner, ttl) {
    this.#client = client;
    this.#ttl = checkMs("ttl", ttl);
    this.#name = name;
    // The random part keeps two locks of one name apart, also within one process.
    this.#owner = `${owner ?? process.pid}-${randomUUID().replaceAll("-", "").slice(0, 12)}`;
    this.#lost = new Promise((resolve) => {
      this.#onLost = resolve;
    });
  }

  /** Gets the lock, or throws LockHeld if another owner has it when the wait is over. */
  static async acquire(client, name, { owner, ttl = 30_000, wait = 0, signal } = {}) {
    const guard = new LockGuard(client, name, owner, ttl);
    if (wait !== 0) checkMs("wait", wait);
    const sent = now();
    try {
      const waits = wait === 0 ? undefined : Math.round(wait);
      const held = await client.lockAcquire(name, guard.#owner, ttl, { wait_ms: waits, signal });
      guard.#token = held.token;
      guard.#extend(sent);
      // The time counts from the request, so after a long wait little of it is left, or none.
      if (now() - sent >= ttl / 3) await guard.#renew(ttl);
    } catch (error) {
      // The server may still wait for this caller, and would give it the lock, although it no longer wants it.
      if (!(error instanceof LockHeld)) guard.#giveBack().catch(() => {});
      throw error;
    }
    guard.#reason = undefined;
    guard.#keep();
    return guard;
  }

  get name() {
    return this.#name;
  }

  /** As other clients see it. */
  get owner() {
    return this.#owner;
  }

  /** Whether it is still held, as far as this process can know. */
  get held() {
    return this.#reason === undefined && now() < this.#until;
  }

  /** What the lock was granted with. Throws LockLost. */
  get token() {
    if (!this.held) {
      throw new LockLost(`the lock ${JSON.stringify(this.#name)} is lost: ${this.#reason ?? "it was not renewed in time"}`);
    }
    return this.#token;
  }

  /** For `fence` in the options of writes. Throws LockLost. */
  get fence() {
    return { lock: this.#name, token: this.token };
  }

  /** Resolves when the lock is lost or released. */
  get lost() {
    return this.#lost;
  }

  /** Whether `release` was called. */
  get over() {
    return this.#over;
  }

  /** Gives the lock back. Throws LockLost if it was lost before. */
  async release() {
    this.#over = true;
    const { token } = this;
    this.#end("it was released");
    let unknown;
    for (let tries = 0; tries < RELEASES_MAX; tries += 1) {
      try {
        await this.#client.lockRelease(this.#name, token);
        return;
      } catch (error) {
        // An earlier try has released it.
        if (error instanceof LockLost && unknown !== undefined) return;
        if (!(error instanceof OutcomeUnknown)) throw error;
        unknown = error;
        await sleep(100);
      }
    }
    throw unknown;
  }

  async #keep() {
    while (this.#reason === undefined) {
      await sleep(Math.max(0, this.#sent + this.#ttl / 3 - now()));
      if (this.#reason !== undefined) return;
      try {
        await this.#renew(Math.max(1, this.#until - now()));
      } catch (error) {
        if (error instanceof LockLost) this.#end(error.message);
        else if (!this.held || error instanceof ClosedError || !(error instanceof RstmdbError)) {
          this.#end(`it was not renewed in time: ${error.message}`);
        } else await sleep(100);
      }
    }
  }

  async #renew(timeout) {
    const sent = now();
    await this.#client.lockRenew(this.#name, this.#token, { ttl_ms: this.#ttl, timeout });
    this.#extend(sent);
  }

  #extend(sent) {
    this.#sent = sent;
    this.#until = sent + this.#ttl * SAFE;
  }

  #end(reason) {
    this.#reason ??= reason;
    this.#onLost();
  }

  async #giveBack() {
    // An owner that asks again without waiting has no place among those that wait any more.
    this.#token ??= (await this.#client.lockAcquire(this.#name, this.#owner, this.#ttl)).token;
    await this.#client.lockRelease(this.#name, this.#token);
  }
}
