"""The bytes on the wire, as docs/protocol.md has them."""

import json
import os
import unittest

from rstmdb_cluster import _frame
from rstmdb_cluster._crc32c import _by_table, crc32c
from rstmdb_cluster.errors import ProtocolError, RequestError, TlsError

PING = (
    bytes.fromhex("5243505800010001000000000027 15f193b1".replace(" ", "")) + b'{"type":"request","id":"1","op":"PING"}'
)


class Checksums(unittest.TestCase):
    def test_the_documented_values_come_out(self) -> None:
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)
        self.assertEqual(crc32c(b'{"type":"request","id":"1","op":"PING"}'), 0x15F193B1)
        self.assertEqual(crc32c(b""), 0)

    def test_the_fast_way_and_the_table_agree_at_every_length(self) -> None:
        data = os.urandom(60_000)
        for length in [*range(0, 700), 1748, 1749, 4097, 20_000, 60_000]:
            part = data[:length]
            self.assertEqual(crc32c(part), _by_table(0xFFFFFFFF, part) ^ 0xFFFFFFFF, length)

    def test_one_flipped_bit_changes_the_checksum(self) -> None:
        data = bytearray(os.urandom(5000))
        before = crc32c(bytes(data))
        for at in range(0, 5000, 97):
            data[at] ^= 1 << (at % 8)
            self.assertNotEqual(crc32c(bytes(data)), before, at)
            data[at] ^= 1 << (at % 8)


class Frames(unittest.TestCase):
    def test_a_frame_has_the_documented_bytes(self) -> None:
        self.assertEqual(_frame.encode(_frame.BINARY, b'{"type":"request","id":"1","op":"PING"}'), PING)

    def test_a_frame_is_read_however_it_is_cut(self) -> None:
        for cut in range(len(PING) + 1):
            decoder = _frame.Decoder()
            decoder.feed(PING[:cut])
            if cut < len(PING):
                self.assertIsNone(decoder.take(), cut)
            decoder.feed(PING[cut:] + PING)
            self.assertEqual(json.loads(decoder.take() or b"")["op"], "PING")
            self.assertEqual(json.loads(decoder.take() or b"")["op"], "PING")
            self.assertIsNone(decoder.take())

    def test_an_extension_is_skipped_and_a_frame_without_checksum_taken(self) -> None:
        payload = b'{"a":1}'
        header = _frame._HEADER.pack(b"RCPX", 1, 4, 3, len(payload), 99)
        decoder = _frame.Decoder()
        decoder.feed(header + b"xyz" + payload)
        self.assertEqual(decoder.take(), payload)

    def test_what_is_no_valid_frame_is_refused_with_a_reason(self) -> None:
        header = _frame._HEADER
        for bad, reason in [
            (header.pack(b"RCPX", 2, 1, 0, 0, 0), "version 2"),
            (header.pack(b"RCPX", 1, 0x10, 0, 0, 0), "flags"),
            (header.pack(b"RCPX", 1, 3, 0, 0, 0), "flags"),
            (header.pack(b"RCPX", 1, 1, 0, 16 * 1024 * 1024 + 1, 0), "16777217"),
            (PING[:-1] + b"]", "checksum"),
            (b"HTTP/1.1 400 Bad Request", "HTTP"),
            (b"\x15\x03\x03\x00\x02", "TLS"),
            (b"+OK", "does not speak RCP"),
        ]:
            decoder = _frame.Decoder()
            decoder.feed(bad)
            with self.assertRaises((ProtocolError, TlsError)) as raised:
                decoder.take()
            self.assertIn(reason, str(raised.exception))

    def test_lines_are_read_with_and_without_a_carriage_return(self) -> None:
        decoder = _frame.Decoder()
        decoder.mode = _frame.JSONL
        decoder.feed(b'{"a":1}\n{"b":')
        self.assertEqual(decoder.take(), b'{"a":1}')
        self.assertIsNone(decoder.take())
        decoder.feed(b"2}\r\n")
        self.assertEqual(decoder.take(), b'{"b":2}')

    def test_a_message_that_is_no_json_object_is_refused(self) -> None:
        for bad in [b"", b"[1]", b"nil", b"\xff", b"[" * 100_000]:
            with self.assertRaises(ProtocolError):
                _frame.parse(bad)

    def test_what_is_no_json_or_too_long_is_never_sent(self) -> None:
        for bad in [float("nan"), {"a": {1, 2}}, b"bytes", "\ud800"]:
            with self.assertRaises(RequestError):
                _frame.dumps(bad)
        with self.assertRaises(RequestError):
            _frame.encode(_frame.BINARY, b"x" * (16 * 1024 * 1024 + 1))
