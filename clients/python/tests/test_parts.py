"""Options, errors, results, positions and the rules of retries, each by itself."""

import pathlib
import re
import tempfile
import unittest
from typing import Any

from rstmdb_cluster import NO_KEY, Client, Event, Position, PositionFile, errors, requests, results
from rstmdb_cluster._options import Address, parse_addresses
from rstmdb_cluster._position import Tracker
from rstmdb_cluster._retry import Backoff, plan

# docs/protocol.md names these.
CODES = """UNSUPPORTED_PROTOCOL BAD_REQUEST UNAUTHORIZED AUTH_FAILED NOT_FOUND MACHINE_NOT_FOUND MACHINE_VERSION_EXISTS
MACHINE_VERSION_LIMIT_EXCEEDED INSTANCE_NOT_FOUND INSTANCE_EXISTS INVALID_TRANSITION GUARD_FAILED CONFLICT WAL_IO_ERROR
INTERNAL_ERROR RATE_LIMITED NO_LEADER OFFSET_COMPACTED OFFSET_AHEAD TIMEOUT READ_ONLY_MODE EXPRESSION_FAILED
EXPRESSION_LIMIT SCHEMA_FAILED FEATURE_LEVEL LOCK_HELD LOCK_LOST QUOTA_EXCEEDED FORBIDDEN
MACHINE_IN_USE""".split()
RETRYABLE = {
    "WAL_IO_ERROR",
    "INTERNAL_ERROR",
    "RATE_LIMITED",
    "NO_LEADER",
    "TIMEOUT",
    "READ_ONLY_MODE",
    "QUOTA_EXCEEDED",
}
# The operations of the Rust client, each with its kind.
OPERATIONS = pathlib.Path(__file__).resolve().parents[3] / "rcp" / "src" / "message" / "op.rs"


class Options(unittest.TestCase):
    def test_addresses_are_read_with_and_without_a_port(self) -> None:
        for text, host, port in [
            ("db1", "db1", 7401),
            ("db1:99", "db1", 99),
            ("[::1]:99", "::1", 99),
            ("[::1]", "::1", 7401),
            ("::1", "::1", 7401),
        ]:
            self.assertEqual(Address.parse(text), Address(host, port), text)
        self.assertEqual(len(parse_addresses("db1, db2:7401,db1:7401")), 2)

    def test_options_that_cannot_be_used_are_refused_by_name_and_value(self) -> None:
        for text in ["", ":99", "db1:", "db1:x", "db1:65536", "[::1", "[::1]99", "db1:0"]:
            with self.assertRaises(errors.ConfigError):
                Address.parse(text)
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"addresses": []}, "addresses"),
            ({"timeout": 0}, "timeout: 0"),
            ({"timeout": float("inf")}, "timeout: inf"),
            ({"connect_timeout": "3"}, "connect_timeout: '3'"),
            ({"wire_mode": "xml"}, "wire_mode: 'xml'"),
        ]
        for options, told in wrong:
            with self.assertRaises(errors.ConfigError) as raised:
                Client(**options)
            self.assertIn(told, str(raised.exception))


class Errors(unittest.TestCase):
    def test_each_code_has_a_class_of_its_own(self) -> None:
        for code in CODES:
            error = errors.from_wire({"code": code, "message": "m"})
            self.assertIsNot(type(error), errors.ServerError, code)
            self.assertEqual(error.code, code)
            self.assertEqual(error.retryable, code in RETRYABLE, code)

    def test_a_code_of_a_newer_server_is_kept_and_goes_by_retryable(self) -> None:
        error = errors.from_wire({"code": "NEW", "message": "m", "retryable": True, "details": {"a": 1}})
        self.assertEqual((type(error), error.code, error.retryable), (errors.ServerError, "NEW", True))
        self.assertEqual(error.details, {"a": 1})
        with self.assertRaises(errors.ProtocolError):
            errors.from_wire({"message": "no code"})

    def test_an_unknown_outcome_says_so(self) -> None:
        error = errors.OutcomeUnknown(errors.DeadlineExceeded("no answer"), retryable=True)
        self.assertEqual((error.code, error.outcome), ("DEADLINE_EXCEEDED", "unknown"))
        self.assertIn("may or may not have taken effect", str(error))


class Retries(unittest.TestCase):
    def test_reads_and_definitions_may_be_repeated_and_writes_without_key_may_not(self) -> None:
        for op in ("GET_INSTANCE", "PUT_MACHINE", "WAL_READ", "CLUSTER_ADD", "ALLOWED_EVENTS"):
            self.assertTrue(plan(op, {}, False).repeatable, op)
        for op in ("APPLY_EVENT", "TIMER_SET", "CREATE_INSTANCE", "DELETE_INSTANCE"):
            self.assertFalse(plan(op, {}, False).repeatable, op)
            self.assertTrue(plan(op, {"idempotency_key": "k"}, False).repeatable, op)
            self.assertTrue(plan(op, {}, True).repeatable, op)
        for op in ("FLUSH_ALL", "FROM_THE_FUTURE"):
            self.assertFalse(plan(op, {}, True).repeatable, op)
            self.assertTrue(plan(op, {}, True).writes, op)

    def test_the_operations_that_the_rust_client_repeats_without_a_key_are_repeated_too(self) -> None:
        kinds = "Session|Read|Write|Watch|Maintenance"
        listed = re.findall(rf"^ {{4}}([A-Z_]+) ({kinds});$", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
        # They belong to a connection, so no call sends them.
        named = [(op, kind) for op, kind in listed if op not in ("HELLO", "AUTH", "BYE") and kind != "Watch"]
        self.assertGreater(len(named), 30)
        for op, kind in named:
            made = plan(op, {}, False)
            if kind == "Write":
                # Without `set`, AUTOMATION only asks.
                self.assertEqual(made.writes, op != "AUTOMATION", op)
            else:
                movable = op not in ("SNAPSHOT_INSTANCE", "COMPACT")
                self.assertEqual((made.repeatable, made.movable, made.writes), (True, movable, False), op)

    def test_keys_are_added_where_there_are_none(self) -> None:
        first, second = (plan("APPLY_EVENT", {"event": "PAY"}, True).params for _ in range(2))
        self.assertEqual(first["event"], "PAY")
        self.assertEqual(len(first["idempotency_key"]), 36)
        self.assertNotEqual(first["idempotency_key"], second["idempotency_key"])
        self.assertEqual(plan("APPLY_EVENT", {"idempotency_key": "mine"}, True).params["idempotency_key"], "mine")
        without = requests.apply_event("i", "PAY", idempotency_key=NO_KEY)
        self.assertFalse(plan("APPLY_EVENT", without.params, True).repeatable)

    def test_a_batch_is_as_repeatable_as_its_operations(self) -> None:
        batch = requests.batch(
            [requests.apply_event("i", "A", idempotency_key="k"), requests.apply_event("i", "B")], atomic=True
        )
        self.assertFalse(plan("BATCH", batch.params, False).repeatable)
        planned = plan("BATCH", batch.params, True)
        self.assertTrue(planned.repeatable and planned.writes)
        self.assertEqual(planned.params["mode"], "atomic")
        self.assertEqual(planned.params["ops"][0]["params"]["idempotency_key"], "k")
        self.assertEqual(len(planned.params["ops"][1]["params"]["idempotency_key"]), 36)
        self.assertFalse(plan("BATCH", {"ops": [5]}, True).repeatable)
        self.assertFalse(plan("BATCH", requests.batch([requests.get_instance("i")]).params, True).writes)

    def test_what_only_asks_takes_no_key(self) -> None:
        asked = plan("APPLY_EVENT", requests.apply_event("i", "PAY", dry_run=True).params, True)
        self.assertNotIn("idempotency_key", asked.params)
        self.assertFalse(asked.writes)

    def test_pauses_grow_to_the_limit(self) -> None:
        backoff = Backoff(0.01, 0.05)
        for full in (0.01, 0.02, 0.04, 0.05, 0.05):
            self.assertTrue(full / 2 <= backoff.pause() <= full)


class Requests(unittest.TestCase):
    def test_what_is_not_given_is_not_sent(self) -> None:
        self.assertEqual(requests.get_instance("i").params, {"instance_id": "i"})
        made = requests.apply_event(
            "i", "PAY", headers={"a": "b"}, reason="r", correlation_id="c", causation_id="7", dry_run=True
        )
        self.assertEqual(
            dict(made.params),
            {
                "instance_id": "i",
                "event": "PAY",
                "headers": {"a": "b"},
                "reason": "r",
                "correlation_id": "c",
                "causation_id": "7",
                "dry_run": True,
            },
        )

    def test_one_text_is_no_list_of_names(self) -> None:
        with self.assertRaises(errors.RequestError):
            requests.get_instance("i", include="meta")


class Results(unittest.TestCase):
    def test_unknown_fields_stay_in_raw(self) -> None:
        made = results.build(results.CreatedInstance, {"instance_id": None, "state": "A", "new": 1}, "op")
        self.assertEqual((made.state, made.wal_offset, made.raw["new"]), ("A", None, 1))

    def test_a_field_that_is_missing_or_of_another_kind_is_named(self) -> None:
        whole = {"machine": "m", "version": 1, "state": "A", "ctx": {}, "last_wal_offset": 1}
        wrong: list[tuple[str, Any]] = [
            ("state", None),
            ("state", 5),
            ("version", True),
            ("ctx", []),
            ("last_wal_offset", "1"),
        ]
        for name, value in wrong:
            with self.assertRaises(errors.ProtocolError) as raised:
                results.build(results.Instance, {**whole, name: value}, "GET_INSTANCE")
            self.assertIn(f"GET_INSTANCE.{name}", str(raised.exception))

    def test_a_change_that_is_no_event_has_its_kind(self) -> None:
        made = results.build(Event, {"instance_id": "i", "wal_offset": 3, "kind": "deleted", "event": None}, "event")
        self.assertEqual((made.kind, made.event, made.to_state), ("deleted", "", ""))


class Positions(unittest.TestCase):
    def test_a_watch_starts_after_the_head_or_where_it_was_asked_to(self) -> None:
        begun = {"wal_offset": 10, "earliest_offset": 3}
        self.assertEqual(Tracker.begin(None, begun).offset, 11)
        self.assertEqual(Tracker.begin(Position(0), begun).offset, 3)
        self.assertEqual(Tracker.begin(Position(7), begun).offset, 7)
        self.assertEqual(Tracker.begin(None, {"current_wal_offset": 2, "earliest_offset": 9}).offset, 9)

    def test_events_of_one_offset_are_counted_and_going_back_is_an_error(self) -> None:
        tracker = Tracker.begin(None, {"wal_offset": 4})
        self.assertTrue(not tracker.covers(5) and tracker.covers(4))
        self.assertTrue(tracker.advance(6) and tracker.advance(6))
        tracker.resume()
        self.assertFalse(tracker.advance(6))
        # Lost again in the middle of the repetition.
        tracker.resume()
        self.assertEqual([tracker.advance(6) for _ in range(3)], [False, False, True])
        self.assertTrue(tracker.covers(6) and not tracker.covers(7))
        self.assertTrue(tracker.advance(9))
        with self.assertRaises(errors.ProtocolError):
            tracker.advance(8)

    def test_a_watch_goes_on_behind_what_was_looked_at(self) -> None:
        tracker = Tracker.begin(None, {"wal_offset": 4})
        tracker.advance(6)
        tracker.looked_at(5)
        self.assertEqual(tracker.offset, 6)
        tracker.looked_at(90)
        tracker.resume()
        self.assertTrue(tracker.covers(90) and tracker.advance(91))

    def test_a_position_survives_its_file_and_a_damaged_file_is_refused(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = PositionFile(pathlib.Path(folder) / "position")
            self.assertIsNone(file.load())
            file.save(Position(7, "cluster", 2))
            self.assertEqual(file.load(), Position(7, "cluster", 2))
            for bad in ["", "7", '{"from_offset": -1}', '{"from_offset": "7"}', '{"from_offset": 1, "cluster_id": 2}']:
                pathlib.Path(file.path).write_text(bad, encoding="utf-8")
                with self.assertRaises(errors.ConfigError):
                    file.load()
