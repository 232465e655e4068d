"""Packs and ships every paid order. Run several at once, kill them at any time, start them again anywhere.

python3 worker.py db1:7401,db2:7401,db3:7401 worker.position
"""

import contextlib
import sys

from rstmdb_cluster import Client, GuardFailed, InstanceNotFound, InvalidTransition, PositionFile


def work(addresses: str, file: str) -> None:
    kept = PositionFile(file)
    with Client(addresses, timeout=60) as db:
        with db.watch_all(machines=["order"], events=["PAY"], from_offset=0, position=kept.load()) as payments:
            for paid in payments:
                try:
                    for event, payload in (("PACK", {"packed": True}), ("SHIP", None)):
                        # All workers use the same key for the same change, so it is made once.
                        db.apply_event(paid.instance_id, event, payload, idempotency_key=f"{event}/{paid.wal_offset}")
                    print(f"{paid.instance_id} is shipped", flush=True)
                except (GuardFailed, InstanceNotFound, InvalidTransition) as refused:
                    print(f"{paid.instance_id} is left alone: {refused.code}", flush=True)
                kept.save(payments.position)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        work(*sys.argv[1:3])
