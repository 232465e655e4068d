"""Real nodes."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from typing import IO, Any, Optional

from rstmdb_cluster import Client, RstmdbError

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_BINARIES = pathlib.Path(os.environ.get("RSTMDB_BIN_DIR") or _ROOT / "target" / "debug")
# A node that is killed and started again must find its port free, so these are below the range that the system takes
# for outgoing connections. Two test processes at the same time begin at different places.
_PORTS = range(20_000, 32_000)
_taken: "set[int]" = set()

ORDER = _ROOT / "docs" / "examples" / "order.json"


def needs_nodes() -> None:
    """Skips the test where there is no node's program."""
    if not (_BINARIES / "rstmdb").is_file():
        raise unittest.SkipTest(f"{_BINARIES / 'rstmdb'} does not exist: build it, or set RSTMDB_BIN_DIR")


def hear_ctrl_c() -> None:
    """For a child process: a shell that starts the tests in the background has its children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def free_port() -> int:
    first = (os.getpid() * 97) % len(_PORTS)
    for step in range(len(_PORTS)):
        port = _PORTS[(first + step) % len(_PORTS)]
        if port in _taken:
            continue
        _taken.add(port)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no port is free")


class Node:
    """A process with its folder. Its environment is its configuration."""

    def __init__(self, folder: pathlib.Path, *arguments: str, **settings: Any) -> None:
        self.folder = folder
        self.arguments = arguments
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.settings = {
            "RSTMDB_BIND": self.address,
            "RSTMDB_DATA": str(folder / "data"),
            "RSTMDB_METRICS_ENABLED": "false",
            "RSTMDB_HTTP_BIND": "none",
            "RSTMDB_WAL_SEGMENT_SIZE_MB": "1",
            "RSTMDB_MIN_FREE_MB": "16",
            **{name: str(value) for name, value in settings.items()},
        }
        self.process: Optional[subprocess.Popen[bytes]] = None
        self._log: Optional[IO[bytes]] = None

    def start(self) -> None:
        """Starts the process; it may need a moment until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log = open(self.folder / "log", "ab")
        environment = {**os.environ, **self.settings}
        self.process = subprocess.Popen(
            [str(_BINARIES / "rstmdb"), *self.arguments], env=environment, stderr=self._log, stdout=self._log
        )

    def kill(self) -> None:
        """As `kill -9` does."""
        if self.process is not None:
            self.process.kill()
        self._wait(None)

    def stop(self) -> None:
        """As an operator does: the node finishes what it works on, and hands over its leadership."""
        if self.process is not None:
            self.process.terminate()
        self._wait(30)

    def _wait(self, seconds: Optional[float]) -> None:
        if self.process is not None:
            self.process.wait(seconds)
            self.process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def log(self) -> str:
        """The end of what it has logged."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]


class Nodes:
    """One node or several, in a folder that goes with them."""

    def __init__(self, count: int = 1, *arguments: str, **settings: Any) -> None:
        needs_nodes()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rstmdb-py-"))
        self.nodes = [Node(self.folder / str(at + 1), *arguments, **settings) for at in range(count)]
        if count > 1:
            peers = [free_port() for _ in self.nodes]
            listed = ",".join(
                f"{at + 1}=127.0.0.1:{peer}/{node.address}" for at, (node, peer) in enumerate(zip(self.nodes, peers))
            )
            for at, (node, peer) in enumerate(zip(self.nodes, peers)):
                more = {"NODE_ID": at + 1, "PEERS": listed, "PEER_BIND": f"127.0.0.1:{peer}"}
                node.settings.update({f"RSTMDB_{name}": str(value) for name, value in more.items()})

    def __enter__(self) -> "Nodes":
        for node in self.nodes:
            node.start()
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def addresses(self) -> "list[str]":
        return [node.address for node in self.nodes]

    def client(self, **options: Any) -> Client:
        """A client that is connected, once the nodes have a leader."""
        db = Client(self.addresses, **{"timeout": 20.0, **options})
        try:
            # A busy machine takes its time to start them.
            db.get_instance("nothing", timeout=60.0)
        except RstmdbError as error:
            if error.code != "INSTANCE_NOT_FOUND":
                db.close()
                raise AssertionError(f"{error}\n" + "\n".join(node.log() for node in self.nodes)) from error
        return db

    def leader(self, db: Client) -> Node:
        """The node that leads, once there is one."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            info = db.info()
            by_address = {node.address: node for node in self.nodes}
            if info.leader is not None and info.leader.rcp_addr in by_address:
                node = by_address[info.leader.rcp_addr]
                if node.process is not None:
                    return node
            time.sleep(0.1)
        raise AssertionError("no node leads")
