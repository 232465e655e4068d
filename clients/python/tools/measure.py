"""Prints what the client costs, and how many calls it makes against a running server.

python3 tools/measure.py                 # the checksum beside the JSON
python3 tools/measure.py 127.0.0.1:7401  # calls, too; use a server that keeps nothing (rstmdb --dev)
"""

import asyncio
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "src"))

from rstmdb_cluster import AsyncClient, Client
from rstmdb_cluster._crc32c import crc32c

MACHINE = {"states": ["ON"], "initial": "ON", "transitions": [{"from": "ON", "event": "ADD", "to": "ON"}]}


def checksums() -> None:
    for size in (200, 2_000, 20_000, 1_000_000):
        text = json.dumps({"ctx": [{"name": f"n{at}", "amount": at} for at in range(size // 30)]}).encode()
        times = max(3, 2_000_000 // len(text))
        began = time.perf_counter()
        for _ in range(times):
            crc32c(text)
        checked = time.perf_counter()
        for _ in range(times):
            json.loads(text)
        parsed = time.perf_counter()
        crc, parse = (checked - began) / times * 1e6, (parsed - checked) / times * 1e6
        print(f"{len(text):>9} bytes: checksum {crc:9.1f} µs, JSON {parse:9.1f} µs")


async def calls(address: str) -> None:
    with Client(address) as db:
        db.put_machine("measure", 1, MACHINE)
        ids = [db.create_instance("measure", 1).instance_id for _ in range(100)]
        began = time.perf_counter()
        for at in range(1000):
            db.get_instance(ids[at % 100])
        print(f"blocking, one after the other: {1000 / (time.perf_counter() - began):.0f} reads/s")
    async with AsyncClient(address, timeout=60) as pipelined:
        for name in ("reads", "writes"):
            began = time.perf_counter()
            if name == "reads":
                await asyncio.gather(*(pipelined.get_instance(ids[at % 100]) for at in range(10_000)))
            else:
                await asyncio.gather(*(pipelined.apply_event(ids[at % 100], "ADD") for at in range(10_000)))
            print(f"asyncio, 10,000 at once: {10_000 / (time.perf_counter() - began):.0f} {name}/s")


if __name__ == "__main__":
    checksums()
    if len(sys.argv) > 1:
        asyncio.run(calls(sys.argv[1]))
