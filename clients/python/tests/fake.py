"""A node that answers as a test tells it to."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any, Callable, Optional, Union

from rstmdb_cluster import _frame

Json = dict[str, Any]


class Refused(Exception):
    """Raised by a script: the answer is this error."""

    def __init__(self, code: str, *, retryable: bool = False, **details: Any) -> None:
        super().__init__(code)
        self.body = {"code": code, "message": f"said {code}", "retryable": retryable, "details": details}


class Drop(Exception):
    """Raised by a script: the connection is closed without an answer."""


class Silence(Exception):
    """Raised by a script: there is no answer."""


class Peer:
    """A connection to the fake node, as its script sees it."""

    def __init__(self, node: "FakeNode", sock: socket.socket, number: int) -> None:
        self.node = node
        self.sock = sock
        #: Connections are counted from 1.
        self.number = number
        self.mode = _frame.BINARY
        self._writing = threading.Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends any message."""
        self.send_bytes(_frame.encode(self.mode, json.dumps(message).encode()))

    def send_bytes(self, data: bytes) -> None:
        """Sends bytes that need not be a message."""
        with self._writing:
            self.sock.sendall(data)

    def event(self, offset: int, **more: Any) -> None:
        """Pushes an event of a watch."""
        event = {"instance_id": f"i-{offset}", "machine": "m", "version": 1, "wal_offset": offset}
        event.update(from_state="A", to_state="B", event="GO", **more)
        self.send({"type": "event", "subscription_id": "s", **event})

    def close(self) -> None:
        """Ends the connection."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


Script = Callable[[str, Json, Peer], Optional[Json]]


class FakeNode:
    """Listens on a port of its own. What ``script`` gives None for is answered as a node does."""

    def __init__(self, script: Optional[Script] = None, *, info: Optional[Json] = None, port: int = 0) -> None:
        self.script = script
        self.info = info or {}
        #: Every request: the number of its connection, its operation, its parameters.
        self.requests: list[tuple[int, str, Json]] = []
        self.peers: list[Peer] = []
        self.failures: list[Exception] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> "FakeNode":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the port and all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self.peers:
            peer.close()

    def asked(self, op: str) -> list[Json]:
        """The parameters of each request for this operation."""
        return [params for _, name, params in self.requests if name == op]

    def open_connections(self) -> int:
        """How many connections have not ended."""
        return sum(peer.sock.fileno() >= 0 for peer in self.peers)

    def wait_asked(self, op: str, count: int = 1) -> list[Json]:
        """Waits until there were so many requests for this operation."""
        until = time.monotonic() + 15
        while len(self.asked(op)) < count:
            if time.monotonic() > until:
                raise AssertionError(f"{op} was asked {len(self.asked(op))} times, not {count}")
            time.sleep(0.005)
        return self.asked(op)

    def _listen(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(self, sock, len(self.peers) + 1)
            self.peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: Peer) -> None:
        decoder = _frame.Decoder()
        try:
            while True:
                decoder.mode = peer.mode
                payload = decoder.take()
                if payload is not None:
                    self._handle(json.loads(payload), peer)
                    continue
                data = peer.sock.recv(65536)
                if not data:
                    return
                decoder.feed(data)
        except (OSError, Drop):
            pass
        except Exception as error:
            self.failures.append(error)
        finally:
            peer.sock.close()

    def _handle(self, request: Json, peer: Peer) -> None:
        op, params = request["op"], request["params"]
        self.requests.append((peer.number, op, params))
        answer: Json = {"type": "response", "id": request["id"]}
        try:
            result = self.script(op, params, peer) if self.script else None
            answer.update(status="ok", result=self._default(op, params) if result is None else result)
        except Refused as refused:
            answer.update(status="error", error=refused.body)
        except Silence:
            return
        then: Union[Callable[[], None], None] = answer.get("result", {}).pop("then", None)
        peer.send(answer)
        if op == "HELLO" and answer["status"] == "ok":
            peer.mode = answer["result"]["wire_mode"]
        if then is not None:
            then()
        if op == "BYE":
            raise Drop

    def _default(self, op: str, params: Json) -> Json:
        if op == "HELLO":
            mode = params["wire_modes"][0]
            return {"protocol_version": 1, "wire_mode": mode, "server_name": "rstmdb", "features": params["features"]}
        if op == "INFO":
            made: Json = {"server_name": "rstmdb", "server_version": "0", "protocol_version": 1, "features": []}
            return {**made, "max_frame_bytes": 1, "max_batch_ops": 100, **self.info}
        known: dict[str, Json] = {
            "AUTH": {"authenticated": True},
            "PING": {"pong": True},
            "BYE": {"goodbye": True},
            "GET_INSTANCE": {"machine": "m", "version": 1, "state": "A", "ctx": {}, "last_wal_offset": 7},
            "APPLY_EVENT": {"from_state": "A", "to_state": "B", "ctx": {}, "wal_offset": 9, "applied": True},
            "CREATE_INSTANCE": {"instance_id": "i", "state": "A", "wal_offset": 8},
            "DELETE_INSTANCE": {"instance_id": "i", "deleted": True, "wal_offset": 10},
            "WATCH_ALL": {"subscription_id": "s", "wal_offset": 10, "earliest_offset": 1, "cluster_id": "c"},
            "WATCH_INSTANCE": {
                "subscription_id": "s",
                "instance_id": "i",
                "current_state": "A",
                "current_wal_offset": 5,
                "earliest_offset": 1,
                "cluster_id": "c",
            },
        }
        if op not in known:
            raise Refused("BAD_REQUEST")
        return dict(known[op])
