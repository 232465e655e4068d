// Packs and ships every paid order. Run several at once, kill them at any time, start them again anywhere.
//
//     node worker.js db1:7401,db2:7401,db3:7401 worker.position

import { Client, GuardFailed, InstanceNotFound, InvalidTransition, PositionFile } from "rstmdb-cluster";

const [addresses, file] = process.argv.slice(2);
const kept = new PositionFile(file);
const db = new Client(addresses, { timeout: 60_000 });
const payments = db.watchAll({ machines: ["order"], events: ["PAY"], from_offset: 0, position: kept.load() });
process.once("SIGINT", () => db.close());
for await (const { instance_id: order, wal_offset: paidAt } of payments) {
  try {
    for (const [event, payload] of [["PACK", { packed: true }], ["SHIP"]]) {
      // All workers use the same key for the same change, so it is made once.
      await db.applyEvent(order, event, payload, { idempotency_key: `${event}/${paidAt}` });
    }
    console.log(`${order} is shipped`);
  } catch (error) {
    if (![GuardFailed, InstanceNotFound, InvalidTransition].some((kind) => error instanceof kind)) throw error;
    console.log(`${order} is left alone: ${error.code}`);
  }
  kept.save(payments.position);
}
