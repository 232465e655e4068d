"""The examples as users run them."""

import contextlib
import importlib.util
import json
import os
import pathlib
import queue
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from rstmdb_cluster import Client, ConnectError

from .nodes import ORDER, Nodes, free_port, hear_ctrl_c, needs_nodes

_FOLDER = pathlib.Path(__file__).parent.parent
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(_FOLDER / "src"), "PYTHONDONTWRITEBYTECODE": "1"}


class Example:
    """An example that runs until it is killed."""

    def __init__(self, name: str, *arguments: str, **environment: str) -> None:
        program = [str(_FOLDER / "examples" / name), *arguments]
        self.process = subprocess.Popen(
            program if name.endswith(".sh") else [sys.executable, "-u", *program],
            env={**_ENVIRONMENT, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=hear_ctrl_c,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "Example":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def up_to(self, end: str) -> "list[str]":
        """What it prints, up to and with the first line that ends like this."""
        printed: list[str] = []
        while not (printed and printed[-1].endswith(end)):
            try:
                printed.append(self.lines.get(timeout=90))
            except queue.Empty:
                raise AssertionError(f"no line ends with {end!r}: {printed}") from None
        return printed

    def _read(self) -> None:
        for line in self.process.stdout or []:
            self.lines.put(line.rstrip())


class Worker(unittest.TestCase):
    def test_workers_ship_each_paid_order_once_while_they_and_the_node_are_killed(self) -> None:
        with Nodes(1) as nodes, nodes.client() as db:
            db.put_machine("order", 1, json.loads(ORDER.read_text()))
            arguments = (nodes.addresses[0], str(nodes.folder / "position"))
            self._pay(db, "order-1")
            with Example("worker.py", *arguments) as worker:
                worker.up_to("order-1 is shipped")
                self._pay(db, "order-2")
                worker.up_to("order-2 is shipped")
                nodes.nodes[0].kill()
                nodes.nodes[0].start()
                self._pay(db, "order-3")
                worker.up_to("order-3 is shipped")
            self._pay(db, "order-4")
            # One that goes on where the first was, and one that knows nothing.
            with (
                Example("worker.py", *arguments) as again,
                Example("worker.py", arguments[0], arguments[1] + "2") as new,
            ):
                printed = again.up_to("order-4 is shipped")
                self.assertNotIn("order-1 is shipped", printed)
                self.assertEqual(len(new.up_to("order-4 is shipped")), 4)
            events = [r.entry for r in db.iter_wal() if r.entry["type"] == "apply_event"]
            for order in range(1, 5):
                done = [entry["event"] for entry in events if entry["instance_id"] == f"order-{order}"]
                self.assertEqual(done, ["PAY", "PACK", "SHIP"])

    def test_an_interrupted_worker_ends_without_a_complaint(self) -> None:
        with Nodes(1) as nodes, nodes.client() as db:
            db.put_machine("order", 1, json.loads(ORDER.read_text()))
            self._pay(db, "order-1")
            with Example("worker.py", nodes.addresses[0], str(nodes.folder / "position")) as worker:
                worker.up_to("order-1 is shipped")
                worker.process.send_signal(2)
                self.assertEqual(worker.process.wait(10), 0)
                self.assertTrue(worker.lines.empty())

    def _pay(self, db: Client, order: str) -> None:
        db.create_instance("order", 1, order, {"total": 42}, idempotency_key="create")
        db.apply_event(order, "PAY", idempotency_key="pay")

    def test_a_worker_has_twenty_lines_and_is_the_one_of_the_documents(self) -> None:
        text = (_FOLDER / "examples" / "worker.py").read_text(encoding="utf-8")
        code = text[text.index("import contextlib") :]
        lines = [line for line in code.splitlines() if line and not line.lstrip().startswith("#")]
        self.assertLessEqual(len(lines), 20)
        page = (_FOLDER.parents[1] / "docs" / "clients.md").read_text(encoding="utf-8")
        self.assertIn(f"```python\n{code}```\n", page)


class OrderService(unittest.TestCase):
    def setUp(self) -> None:
        for module in ("fastapi", "uvicorn"):
            if importlib.util.find_spec(module) is None:
                self.skipTest(f"{module} is not installed: .ci/tools, or pip install -r tests/requirements.txt")

    def test_an_order_is_made_paid_shipped_and_seen_live(self) -> None:
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        with Nodes(1) as nodes, nodes.client() as db:
            with Example("order_service.py", RSTMDB_SERVER=nodes.addresses[0], PORT=str(port)) as service:
                service.up_to("(Press CTRL+C to quit)")
                self.assertIn("<button", self._ask(base + "/")[1])
                key = {"Idempotency-Key": "a"}
                with live(base + "/events") as told:
                    self.assertEqual(next(told), ": begun")
                    status, made = self._ask(base + "/orders?total=42", "POST", key)
                    self.assertEqual((status, made["state"]), (201, "CREATED"))
                    self.assertEqual(self._ask(base + "/orders?total=42", "POST", key)[1], made)
                    order = made["order"]
                    self.assertEqual(self._ask(f"{base}/orders/{order}/pay", "POST")[1]["state"], "PAID")
                    lines = [line for line in told if line]
                shipped = f"data: {order}: SHIP makes PAID SHIPPED"
                self.assertEqual(lines[-1], shipped)
                # A browser that comes back after the payment gets what followed.
                last = {"Last-Event-ID": next(line for line in lines if line.startswith("id: "))[4:]}
                with live(base + "/events", last) as told:
                    self.assertEqual([line for line in told if line.startswith("data")], lines[-3::2])
                self.assertEqual(self._ask(f"{base}/orders/{order}")[1]["state"], "SHIPPED")
                self.assertEqual(self._ask(f"{base}/orders?state=SHIPPED")[1], [{"order": order, "state": "SHIPPED"}])
                self.assertEqual(self._ask(f"{base}/orders/{order}/cancel", "POST")[0], 409)
                self.assertEqual(self._ask(f"{base}/orders/none")[0], 404)
                service.process.send_signal(2)
                service.process.wait(15)
            self.assertEqual(db.list_instances(machine="order").total, 1)

    def test_one_command_starts_it_with_a_server_and_ctrl_c_ends_both(self) -> None:
        needs_nodes()
        port, server = free_port(), f"127.0.0.1:{free_port()}"
        # The script takes the first python3 that has the packages.
        path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
        environment = {"RSTMDB_BIND": server, "PORT": str(port), "PATH": path, "RSTMDB_SERVER": ""}
        with Example("order_service.sh", **environment) as service:
            service.up_to("(Press CTRL+C to quit)")
            order = self._ask(f"http://127.0.0.1:{port}/orders?total=42", "POST")[1]["order"]
            with Client(server) as db, db.watch_instance(order, from_offset=0) as watch:
                self._ask(f"http://127.0.0.1:{port}/orders/{order}/pay", "POST")
                seen = [watch.next(10) for _ in range(3)]
                self.assertEqual([event and event.event for event in seen], ["PAY", "PACK", "SHIP"])
            service.process.send_signal(2)
            self.assertEqual(service.process.wait(20), 0)
            with self.assertRaises(ConnectError):
                Client(server, timeout=0.3).ping()

    def test_without_a_program_for_the_server_it_says_what_is_missing(self) -> None:
        nowhere = str(_FOLDER / "nowhere")
        environment = {"RSTMDB_BIN_DIR": nowhere, "CARGO_TARGET_DIR": nowhere, "PATH": nowhere, "RSTMDB_SERVER": ""}
        with Example("order_service.py", RSTMDB_BIND=f"127.0.0.1:{free_port()}", **environment) as service:
            service.up_to("there is no program rstmdb: cargo build --release")
            self.assertNotEqual(service.process.wait(10), 0)

    def _ask(self, url: str, method: str = "GET", headers: "dict[str, str] | None" = None) -> "tuple[int, Any]":
        request = urllib.request.Request(url, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = answer.read().decode()
                return answer.status, json.loads(text) if text.startswith(("{", "[")) else text
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())


@contextlib.contextmanager
def live(url: str, headers: "dict[str, str] | None" = None) -> Iterator[Iterator[str]]:
    """The lines of a stream of events, up to the shipment."""

    def lines() -> Iterator[str]:
        until = time.monotonic() + 30
        for raw in answer:
            line = raw.decode().rstrip("\n")
            yield line
            if line.endswith("SHIPPED") or time.monotonic() > until:
                return

    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=20) as answer:
        yield lines()
