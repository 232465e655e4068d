"""Messages on the wire: frames with a checksum, or lines of JSON."""

import json
import struct
from collections.abc import Mapping
from typing import Any, Optional

from ._crc32c import crc32c
from ._typed import as_json
from .errors import ProtocolError, RequestError, RstmdbError, TlsError

BINARY = "binary_json"
JSONL = "jsonl"

PAYLOAD_BYTES_MAX = 16 * 1024 * 1024
_HEADER = struct.Struct(">4sHHHII")
_MAGIC = b"RCPX"
_VERSION = 1
_CRC = 1
_COMPRESSED = 2
_FLAGS_KNOWN = 0x0F


def dumps(value: Any, what: str = "params") -> str:
    """JSON text that the server reads as this value."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=as_json)
        text.encode("utf-8")
        return text
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(f"{what} cannot be sent as JSON: {error}") from None


def request(ident: str, op: str, params: str) -> bytes:
    """The payload of a request whose parameters are JSON text already."""
    return f'{{"type":"request","id":"{ident}","op":{dumps(op, "op")},"params":{params}}}'.encode()


def encode(mode: str, payload: bytes) -> bytes:
    """A message as it goes over the wire."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise RequestError(f"the request has {len(payload)} bytes; at most {PAYLOAD_BYTES_MAX} can be sent")
    if mode == JSONL:
        return payload + b"\n"
    return _HEADER.pack(_MAGIC, _VERSION, _CRC, 0, len(payload), crc32c(payload)) + payload


class Decoder:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self.mode = BINARY
        self._buffer = bytearray()
        # How far a line's end was looked for already.
        self._searched = 0

    def feed(self, data: bytes) -> None:
        """Takes bytes from the socket."""
        self._buffer += data

    def messages(self) -> list[Mapping[str, Any]]:
        """The complete messages among the bytes so far. The mode may be changed between two calls only."""
        found: list[Mapping[str, Any]] = []
        while True:
            payload = self.take()
            if payload is None:
                return found
            found.append(parse(payload))

    def take(self) -> Optional[bytes]:
        """The payload of the next message, if it is complete."""
        return self._take_line() if self.mode == JSONL else self._take_frame()

    def _take_frame(self) -> Optional[bytes]:
        buffer = self._buffer
        start = bytes(buffer[:4])
        if start != _MAGIC[: len(start)]:
            raise _foreign(bytes(buffer[:8]))
        if len(buffer) < _HEADER.size:
            return None
        _, version, flags, extension, length, crc = _HEADER.unpack_from(buffer)
        if version != _VERSION:
            raise ProtocolError(f"the server sent a frame of version {version}; this client speaks {_VERSION}")
        if flags & ~_FLAGS_KNOWN or flags & _COMPRESSED:
            raise ProtocolError(f"the server sent a frame with unknown flags {flags:#06x}")
        if length > PAYLOAD_BYTES_MAX:
            raise ProtocolError(
                f"the server announced a frame of {length} bytes; at most {PAYLOAD_BYTES_MAX} are valid"
            )
        begin = _HEADER.size + extension
        if len(buffer) < begin + length:
            return None
        payload = bytes(buffer[begin : begin + length])
        del buffer[: begin + length]
        if flags & _CRC and crc32c(payload) != crc:
            raise ProtocolError("the checksum of a frame does not fit: the data were damaged on the way")
        return payload

    def _take_line(self) -> Optional[bytes]:
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
            if len(self._buffer) > PAYLOAD_BYTES_MAX + 1:
                raise ProtocolError(f"the server sent a line of more than {PAYLOAD_BYTES_MAX} bytes")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return line[:-1] if line.endswith(b"\r") else line


def parse(payload: bytes) -> Mapping[str, Any]:
    """The JSON object of a message."""
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the server sent a message that is not valid JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError("the server sent a message that is not a JSON object")
    return message


def _foreign(first: bytes) -> RstmdbError:
    if first[:1] in (b"\x15", b"\x16") and (len(first) < 2 or first[1] == 3):
        return TlsError("the server speaks TLS on this port: connect with tls=TLS(...)")
    if first.startswith(b"HTTP"):
        return ProtocolError("the server speaks HTTP on this port: connect to its port for clients (7401)")
    return ProtocolError(f"the server does not speak RCP on this port; its first bytes are {first!r}")
