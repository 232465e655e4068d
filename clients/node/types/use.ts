// How a program in TypeScript uses the client. It is only compiled, by test/types.test.js: each `@ts-expect-error` must be one.

import {
  Client, GuardFailed, InstanceNotFound, OutcomeUnknown, PositionFile, RstmdbError, requests,
  type Definition, type Instance, type Position, type Watch, type WatchEvent,
} from "rstmdb-cluster";

// An interface has no index signature, which must not matter.
interface Order { total: number; packed?: boolean }
interface Payment { method: "card" | "cash" }

const definition: Definition = {
  format: 2,
  initial: "open",
  states: [
    "cart",
    { name: "open", timers: [{ event: "EXPIRE", after: "1h", retry: { after: "1m", times: 3 }, late: { within: "5m" } }] },
    { name: "checking", always: [{ to: "paid", guard: "ctx.balance <= 0", emit: "capture" }, { to: "open" }] },
    { name: "paid", emit: ["send_receipt"] },
    { name: "expired", final: true, delete_after: "90d" },
  ],
  context: { schema: { type: "object" }, default: { items: [] } },
  events: { PAY: { schema: { required: ["amount"] } } },
  transitions: [
    { from: "open", event: "PAY", to: "checking", set: { paid_at: "now" }, unset: "due", merge: "deep", reenter: true },
    { from: "*", except: ["paid"], event: "CANCEL", to: "expired", guard: "true", emit: "refund", meta: { why: 1 } },
  ],
  meta: { owner: "team" },
};
// @ts-expect-error: a transition without its state
const broken: Definition = { initial: "a", states: ["a"], transitions: [{ from: "a", event: "GO" }] };

export async function orders(signal: AbortSignal): Promise<string> {
  const db = await new Client(["db1:7401", "db2:7401"], {
    token: async () => "s3cret",
    tls: { ca: "ca.crt", serverName: "db" },
    timeout: 2000,
    wireMode: "jsonl",
  }).connect({ timeout: 100 });
  // @ts-expect-error: there is no such option
  new Client("db1", { timeOut: 5 });
  // @ts-expect-error: a mode that does not exist
  new Client("db1", { wireMode: "xml" });

  const put = await db.putMachine("order", 2, definition, { dry_run: true, reason: "try" });
  const warning: string | undefined = put.warnings?.[0].text;

  const order: Order = { total: 42 };
  const payment: Payment = { method: "card" };
  await db.createInstance("order", 2, "order-1", order, { headers: { ticket: "T-1" }, idempotency_key: null });
  const paid = await db.applyEvent<Order>("order-1", "PAY", payment, {
    expected_state: "open", expected_wal_offset: 7, event_id: "e", idempotency_key: "pay/order-1", signal,
    timers: { EXPIRE: null, REMIND: { after: "1h" } }, fence: { lock: "billing", token: 7 },
  });
  const total: number | undefined = paid.ctx?.total;
  // @ts-expect-error: the order has no such field
  paid.ctx?.price;
  // @ts-expect-error: it may be a dry run, or the log may no longer have it
  const offset: number = paid.wal_offset;
  const found: Instance<Order> = await db.getInstance<Order>("order-1", { consistency: "local", min_wal_offset: 7 });
  const any: Instance = await db.getInstance("order-1", { include: ["meta"] });
  // @ts-expect-error: without a type the fields are unknown
  const unknown: number = any.ctx.total;
  // @ts-expect-error: a consistency that does not exist
  await db.getInstance("order-1", { consistency: "none" });
  // @ts-expect-error: no number
  await db.getInstance(5);

  const items = await db.batch([requests.applyEvent("order-1", "PAY", payment), requests.getInstance("order-1")], { atomic: true });
  for (const item of items) {
    if (item.ok) console.log(item.result.state);
    else console.log(item.error.code, item.error.retryable);
  }
  // @ts-expect-error: not made by requests
  await db.batch(["PING"]);

  const { events } = await db.allowedEvents("order-1", { payloads: { PAY: payment, CANCEL: null } });
  const text: string | undefined = events[0].guards[0]?.text;
  const lock = await db.lockAcquire("billing", "me", 30_000, { wait_ms: 60_000 });
  await db.lockRelease("billing", lock.token);
  const guard = await db.lock("billing", { ttl: 30_000, wait: 60_000, signal });
  await db.applyEvent("order-1", "SEND", null, { fence: guard.fence });
  const lost: Promise<void> = guard.lost;
  if (guard.held) await Promise.race([lost, guard.release()]);
  for await (const timer of db.iterTimers({ machine: "order" })) console.log(timer.due_at);
  for await (const held of db.iterLocks({ prefix: "b" })) console.log(held.owner);
  for await (const one of db.iterInstances({ machine: "order", page: 7 })) console.log(one.id);
  for await (const record of db.iterWal(0, { include_meta: true })) console.log(record.entry.type);
  await db.automation({ set: "paused", reason: "a test", fence: { lock: "l", token: 1 } });
  const { now }: { now: number } = await db.clockAdvance("30m");

  const kept = new PositionFile("worker.position");
  const watch: Watch<Order, Payment> = db.watchAll<Order, Payment>({
    machines: ["order"], emits: ["capture"], position: kept.load(), include: ["deleted", "timer_spent"], signal,
  });
  for await (const event of watch) {
    const spent: string | undefined = event.timer?.name ?? event.code;
    const method: "card" | "cash" | undefined = event.payload?.method;
    console.log(event.ctx?.total, spent, method);
    kept.save(watch.position);
  }
  const next: WatchEvent | undefined = await db.watchInstance("order-1").next(1000);
  const position: Position = JSON.parse(JSON.stringify(watch.position));
  // @ts-expect-error: a watch is made by the client
  new (watch.constructor as typeof Watch)();

  try {
    await db.applyEvent("order-1", "SHIP");
  } catch (error) {
    if (error instanceof GuardFailed) return String(error.details.guards);
    if (error instanceof OutcomeUnknown && error.retryable && error.op) await db.call(error.op, error.params);
    else if (error instanceof RstmdbError) return `${error.code} ${error.outcome} ${error.idempotencyKey}`;
    const missing: boolean = error instanceof InstanceNotFound;
    if (missing) throw error;
  } finally {
    await db.close();
  }
  return `${warning} ${total} ${offset} ${found.ctx.total} ${unknown} ${text} ${now} ${next?.wal_offset} ${position} ${broken}`;
}
