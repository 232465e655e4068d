"""Calls against nodes that answer as the test tells them to: retries, deadlines, failover."""

import asyncio
import gc
import socket
import time
import unittest
import warnings
from typing import Any, Optional

from rstmdb_cluster import NO_KEY, AsyncClient, AsyncWatch, Client, errors, requests

from .fake import Drop, FakeNode, Json, Peer, Refused, Silence


def client(*nodes: FakeNode, **options: Any) -> AsyncClient:
    return AsyncClient([node.address for node in nodes], **{"timeout": 5.0, "discover": False, **options})


def times(count: int, first: Exception, op: str = "APPLY_EVENT") -> Any:
    """A script that raises this for the first so many requests for the operation."""
    left = [count]

    def script(asked: str, _: Json, __: Peer) -> Optional[Json]:
        if asked == op and left[0] > 0:
            left[0] -= 1
            raise first
        return None

    return script


class Calls(unittest.IsolatedAsyncioTestCase):
    async def test_a_session_begins_with_hello_and_auth_in_both_modes(self) -> None:
        for mode in ("binary_json", "jsonl"):
            with FakeNode() as node:
                async with client(node, token="secret", wire_mode=mode) as db:
                    self.assertEqual((await db.get_instance("i")).state, "A")
                node.wait_asked("BYE")
                self.assertEqual([op for _, op, _ in node.requests], ["HELLO", "AUTH", "GET_INSTANCE", "BYE"])
                self.assertIn("cluster", node.asked("HELLO")[0]["features"])
                self.assertEqual(node.asked("AUTH"), [{"method": "bearer", "token": "secret"}])
                self.assertEqual(node.failures, [])

    async def test_a_wrong_token_is_told_at_once_and_asked_once(self) -> None:
        with FakeNode(times(9, Refused("AUTH_FAILED"), "AUTH")) as node:
            with self.assertRaises(errors.AuthFailed):
                await client(node, token="wrong").ping()
            self.assertEqual(len(node.asked("AUTH")), 1)

    async def test_calls_are_pipelined_and_answers_matched_in_any_order(self) -> None:
        waiting: list[tuple[Peer, Json]] = []

        def script(op: str, params: Json, peer: Peer) -> Optional[Json]:
            if op != "GET_INSTANCE":
                return None
            waiting.append((peer, params))
            if len(waiting) == 20:
                # Requests are numbered in their order on the connection, HELLO first.
                for at, (to, asked) in reversed(list(enumerate(waiting))):
                    result = {"machine": asked["instance_id"], "version": 1, "state": "A", "ctx": {}}
                    to.send(
                        {
                            "type": "response",
                            "id": str(at + 1),
                            "status": "ok",
                            "result": {**result, "last_wal_offset": 1},
                        }
                    )
            raise Silence

        with FakeNode(script) as node:
            async with client(node) as db:
                found = await asyncio.gather(*(db.get_instance(f"i-{at}") for at in range(20)))
            self.assertEqual([instance.machine for instance in found], [f"i-{at}" for at in range(20)])

    async def test_a_lost_write_is_sent_again_with_the_same_key(self) -> None:
        with FakeNode(times(1, Drop())) as node:
            async with client(node) as db:
                self.assertEqual((await db.apply_event("i", "GO")).wal_offset, 9)
                self.assertEqual(db.last_wal_offset, 9)
            first, second = node.asked("APPLY_EVENT")
            self.assertEqual(first, second)
            self.assertEqual(len(first["idempotency_key"]), 36)

    async def test_a_lost_write_without_key_is_not_sent_again_and_its_outcome_is_unknown(self) -> None:
        with FakeNode(times(1, Drop())) as node:
            async with client(node) as db:
                with self.assertRaises(errors.OutcomeUnknown) as raised:
                    await db.apply_event("i", "GO", idempotency_key=NO_KEY)
            self.assertEqual(len(node.asked("APPLY_EVENT")), 1)
            self.assertFalse(raised.exception.retryable)
            self.assertIsInstance(raised.exception.cause, errors.ConnectionLost)

    async def test_a_write_that_ends_two_connections_is_not_sent_to_a_third(self) -> None:
        with FakeNode(times(9, Drop())) as node:
            async with client(node) as db:
                with self.assertRaises(errors.OutcomeUnknown) as raised:
                    await db.apply_event("i", "GO")
            asked = node.asked("APPLY_EVENT")
            self.assertEqual(len(asked), 2)
            self.assertTrue(raised.exception.retryable)
            self.assertEqual(raised.exception.idempotency_key, asked[0]["idempotency_key"])
            self.assertEqual((raised.exception.op, raised.exception.params), ("APPLY_EVENT", asked[0]))

    async def test_no_leader_is_waited_for_even_without_a_key(self) -> None:
        with FakeNode(times(3, Refused("NO_LEADER", retryable=True))) as node:
            async with client(node) as db:
                self.assertTrue((await db.apply_event("i", "GO", idempotency_key=NO_KEY)).applied)
            self.assertEqual(len(node.asked("APPLY_EVENT")), 4)

    async def test_a_cluster_without_leader_is_told_as_such_at_the_deadline(self) -> None:
        with FakeNode(times(999, Refused("NO_LEADER", retryable=True))) as node:
            async with client(node) as db:
                began = time.monotonic()
                with self.assertRaises(errors.NoLeader) as raised:
                    # Pauses between tries are longer by then than a busy machine takes for an answer, so no try is
                    # under way at the deadline.
                    await db.apply_event("i", "GO", timeout=2)
                self.assertLess(time.monotonic() - began, 6.0)
                self.assertIn("tried for", str(raised.exception))

    async def test_a_refusal_is_final_and_has_its_details(self) -> None:
        with FakeNode(times(1, Refused("GUARD_FAILED", current_state="A", guards=["ctx.x"]))) as node:
            async with client(node) as db:
                with self.assertRaises(errors.GuardFailed) as raised:
                    await db.apply_event("i", "GO")
            self.assertEqual(raised.exception.details["guards"], ["ctx.x"])
            self.assertEqual(len(node.asked("APPLY_EVENT")), 1)

    async def test_an_unknown_outcome_with_a_key_is_tried_again(self) -> None:
        with FakeNode(times(1, Refused("INTERNAL_ERROR", retryable=True, outcome="unknown"))) as node:
            async with client(node) as db:
                self.assertEqual((await db.apply_event("i", "GO")).to_state, "B")
            self.assertEqual(len(node.asked("APPLY_EVENT")), 2)

    async def test_a_request_that_may_have_ended_leaders_is_not_repeated(self) -> None:
        refusal = Refused("INTERNAL_ERROR", retryable=True, outcome="unknown", leaders_lost=2)
        with FakeNode(times(9, refusal)) as node:
            async with client(node) as db:
                with self.assertRaises(errors.OutcomeUnknown):
                    await db.apply_event("i", "GO")
            self.assertEqual(len(node.asked("APPLY_EVENT")), 1)

    async def test_a_refusal_after_a_lost_try_does_not_hide_the_unknown_outcome(self) -> None:
        tries = [Drop(), *[Refused("NO_LEADER", retryable=True)] * 99]

        def script(op: str, _: Json, __: Peer) -> Optional[Json]:
            if op == "APPLY_EVENT":
                raise tries.pop(0)
            return None

        with FakeNode(script) as node:
            async with client(node) as db:
                with self.assertRaises(errors.OutcomeUnknown) as raised:
                    # Pauses are longer by then than a busy machine takes for an answer.
                    await db.apply_event("i", "GO", timeout=2)
            self.assertEqual(raised.exception.code, "NO_LEADER")

    async def test_a_refusal_that_may_be_of_a_later_life_of_the_instance_leaves_the_outcome_unknown(self) -> None:
        tries = [Drop(), Refused("INSTANCE_NOT_FOUND"), Drop(), Refused("INVALID_TRANSITION")]

        def script(op: str, _: Json, __: Peer) -> Optional[Json]:
            if op == "APPLY_EVENT":
                raise tries.pop(0)
            return None

        with FakeNode(script) as node:
            async with client(node) as db:
                with self.assertRaises(errors.OutcomeUnknown) as raised:
                    await db.apply_event("i", "GO")
                self.assertIsInstance(raised.exception.cause, errors.InstanceNotFound)
                # The server would have known the key.
                with self.assertRaises(errors.InvalidTransition):
                    await db.apply_event("i", "GO")

    async def test_an_answer_to_a_write_that_cannot_be_read_says_that_it_was_done(self) -> None:
        with FakeNode(lambda op, *_: {"to_state": 5} if op in ("APPLY_EVENT", "GET_INSTANCE") else None) as node:
            async with client(node) as db:
                with self.assertRaises(errors.ProtocolError) as raised:
                    await db.apply_event("i", "GO")
                self.assertEqual(raised.exception.outcome, "applied")
                with self.assertRaises(errors.ProtocolError) as raised:
                    await db.get_instance("i")
                self.assertIsNone(raised.exception.outcome)

    async def test_a_silent_node_costs_a_read_its_deadline_and_no_more(self) -> None:
        with FakeNode(times(9, Silence(), "GET_INSTANCE")) as node:
            async with client(node) as db:
                began = time.monotonic()
                with self.assertRaises(errors.DeadlineExceeded):
                    await db.get_instance("i", timeout=0.3)
                self.assertLess(time.monotonic() - began, 3.0)
                # The connection is given up, so the next call has a new one.
                self.assertTrue((await db.ping()).pong)
            self.assertEqual(node.requests[-2][0], 2)

    async def test_a_wait_for_a_lock_adds_to_the_deadline_and_is_sent_again_when_its_connection_is_lost(self) -> None:
        held = {"name": "l", "owner": "o", "token": 7, "expires_at": 9, "ttl_ms": 1000, "waiting": 0}
        asked: list[Json] = []

        def script(op: str, params: Json, _: Peer) -> Optional[Json]:
            if op != "LOCK_ACQUIRE":
                return None
            asked.append(params)
            if len(asked) == 1:
                raise Drop
            time.sleep(0.6)
            return held

        with FakeNode(script) as node:
            async with client(node, timeout=0.3) as db:
                lock = await db.lock_acquire("l", "o", 1000, wait_ms=2000)
                self.assertEqual((lock.token, lock.fence), (7, {"lock": "l", "token": 7}))
                await db.apply_event("i", "GO", fence=lock.fence)
        first, second = [params.pop("wait_ms") for params in asked]
        self.assertTrue(2000 >= first > second > 1000, f"{first}, then {second}: what is left")
        self.assertEqual(asked, [{"name": "l", "owner": "o", "ttl_ms": 1000}] * 2)
        self.assertEqual(node.asked("APPLY_EVENT")[0]["fence"], {"lock": "l", "token": 7})

    async def test_an_advance_of_the_clock_has_more_time_than_other_calls(self) -> None:
        def script(op: str, _: Json, __: Peer) -> Optional[Json]:
            if op != "CLOCK_ADVANCE":
                return None
            time.sleep(0.6)
            return {"now": 9}

        with FakeNode(script) as node:
            async with client(node, timeout=0.3) as db:
                self.assertEqual((await db.clock_advance("30m")).now, 9)
                # It only asks.
                with self.assertRaises(errors.OutcomeUnknown):
                    await db.clock_advance()

    async def test_a_wait_that_the_server_refuses_is_sent_as_it_is(self) -> None:
        with FakeNode(times(1, Refused("BAD_REQUEST"), "LOCK_ACQUIRE")) as node:
            async with client(node) as db:
                with self.assertRaises(errors.BadRequest):
                    await db.lock_acquire("l", "o", 1000, wait_ms=86_400_001)
            self.assertEqual(node.asked("LOCK_ACQUIRE")[0]["wait_ms"], 86_400_001)

    async def test_a_release_whose_outcome_is_unknown_is_not_sent_again(self) -> None:
        with FakeNode(times(9, Drop(), "LOCK_RELEASE")) as node:
            async with client(node) as db:
                with self.assertRaises(errors.OutcomeUnknown):
                    await db.lock_release("l", 7)
            self.assertEqual(len(node.asked("LOCK_RELEASE")), 1)

    async def test_a_batch_has_a_result_or_an_error_for_each_operation(self) -> None:
        def script(op: str, params: Json, _: Peer) -> Optional[Json]:
            if op != "BATCH":
                return None
            applied = {"from_state": "A", "to_state": "B", "ctx": {}, "wal_offset": 4, "applied": True}
            error = {"code": "INSTANCE_NOT_FOUND", "message": "gone", "retryable": False}
            return {"results": [{"status": "ok", "result": applied}, {"status": "error", "error": error}]}

        with FakeNode(script) as node:
            async with client(node) as db:
                first, second = await db.batch([requests.apply_event("i", "GO"), requests.get_instance("j")])
                with self.assertRaises(errors.RequestError):
                    await db.batch([{"op": "PING"}])  # type: ignore[list-item]
                self.assertEqual(db.last_wal_offset, 4)
            self.assertEqual((first.ok, first.unwrap().wal_offset), (True, 4))
            self.assertIsInstance(second.error, errors.InstanceNotFound)
            self.assertEqual(node.asked("BATCH")[0]["mode"], "best_effort")

    async def test_any_operation_can_be_called_by_its_name_but_those_of_the_connection(self) -> None:
        with FakeNode(lambda op, params, _: {"got": params} if op == "NEW_OP" else None) as node:
            async with client(node) as db:
                self.assertEqual(await db.call("NEW_OP", {"a": 1}), {"got": {"a": 1}})
                for op in ("HELLO", "AUTH", "BYE", "WATCH_ALL", "UNWATCH", ""):
                    with self.assertRaises(errors.RequestError):
                        await db.call(op)

    async def test_what_cannot_be_sent_is_refused_before_it_is(self) -> None:
        with FakeNode() as node:
            async with client(node) as db:
                with self.assertRaises(errors.RequestError):
                    await db.apply_event("i", "GO", {"x": float("nan")})
                with self.assertRaises(errors.RequestError):
                    await db.apply_event("i", "GO", {"x": "y" * (17 * 1024 * 1024)})
                self.assertTrue((await db.ping()).pong)
            self.assertEqual(node.asked("APPLY_EVENT"), [])

    async def test_a_server_that_does_not_know_dry_run_is_never_sent_one(self) -> None:
        def older(op: str, params: Json, _: Peer) -> Optional[Json]:
            if op == "HELLO":
                return {"protocol_version": 1, "wire_mode": "binary_json", "features": ["cluster"]}
            return None

        asked = requests.apply_event("i", "GO", dry_run=True)
        with FakeNode(older) as node:
            async with client(node) as db:
                for call in (db.apply_event("i", "GO", dry_run=True), db.batch([asked]), db.batch([], dry_run=True)):
                    with self.assertRaises(errors.RequestError):
                        await call
            node.wait_asked("BYE")
            self.assertEqual([op for _, op, _ in node.requests], ["HELLO", "BYE"])
        with FakeNode(
            lambda op, *_: {"from_state": "A", "to_state": "B", "dry_run": True} if "EVENT" in op else None
        ) as node:
            async with client(node) as db:
                self.assertIsNone((await db.apply_event("i", "GO", dry_run=True)).wal_offset)
            self.assertEqual(node.asked("APPLY_EVENT"), [{"instance_id": "i", "event": "GO", "dry_run": True}])

    async def test_a_server_that_does_not_heed_dry_run_is_told_on(self) -> None:
        with FakeNode() as node:
            async with client(node) as db:
                with self.assertRaises(errors.ProtocolError) as raised:
                    await db.apply_event("i", "GO", dry_run=True)
                self.assertEqual(raised.exception.outcome, "applied")

    async def test_an_answer_that_breaks_the_protocol_ends_the_connection_with_a_reason(self) -> None:
        for sent in [b"HTTP/1.0 400\r\n", b"\x16\x03\x01", b"RCPX\x00\x09" + bytes(12)]:

            def script(op: str, _: Json, peer: Peer, sent: bytes = sent) -> Optional[Json]:
                if op == "GET_INSTANCE":
                    peer.send_bytes(sent)
                    raise Silence
                return None

            with FakeNode(script) as node:
                async with client(node) as db:
                    with self.assertRaises((errors.ProtocolError, errors.TlsError)):
                        await db.get_instance("i")

    async def test_a_cancelled_call_leaves_the_connection_in_order(self) -> None:
        with FakeNode(times(1, Silence(), "GET_INSTANCE")) as node:
            async with client(node) as db:
                call = asyncio.ensure_future(db.get_instance("i"))
                await asyncio.sleep(0.05)
                call.cancel()
                self.assertEqual((await db.get_instance("i")).state, "A")
            self.assertEqual({number for number, _, _ in node.requests}, {1})

    async def test_calls_that_are_cancelled_disturb_no_others(self) -> None:
        def script(op: str, params: Json, _: Peer) -> Optional[Json]:
            if op != "GET_INSTANCE":
                return None
            if int(params["instance_id"]) % 50 == 0:
                time.sleep(0.01)
            return {"machine": params["instance_id"], "version": 1, "state": "A", "ctx": {}, "last_wal_offset": 1}

        with FakeNode(script) as node:
            async with client(node) as db:
                calls = [asyncio.ensure_future(db.get_instance(str(at))) for at in range(400)]
                await asyncio.sleep(0.02)
                for call in calls[::2]:
                    call.cancel()
                kept = await asyncio.gather(*calls[1::2])
                self.assertEqual([found.machine for found in kept], [str(at) for at in range(1, 400, 2)])
                await asyncio.wait(calls)
                self.assertTrue((await db.ping()).pong)
                current = db._the_session()._current
                assert current is not None
                self.assertEqual(current._waiting, {})
            self.assertEqual({number for number, _, _ in node.requests}, {1})

    async def test_a_cancelled_call_leaves_no_connection_behind(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as hung:
            leader = {"node_id": 2, "rcp_addr": f"127.0.0.1:{hung.getsockname()[1]}"}
            told = {"cluster_id": "c", "node_id": 1, "role": "follower", "leader": leader}
            with FakeNode(info=told) as node:
                db = client(node, prefer_leader=True)
                call = asyncio.ensure_future(db.ping())
                while not node.asked("INFO"):
                    await asyncio.sleep(0.01)
                # Now it tries the leader.
                await asyncio.sleep(0.1)
                call.cancel()
                await asyncio.wait({call})
                until = time.monotonic() + 5
                while node.open_connections() and time.monotonic() < until:
                    await asyncio.sleep(0.01)
                self.assertEqual(node.open_connections(), 0)
                self.assertTrue((await db.ping()).pong)
                await db.close()

    async def test_a_client_that_nobody_has_any_more_leaves_no_connection(self) -> None:
        with FakeNode() as node:
            await client(node).ping()
            until = time.monotonic() + 5
            while node.open_connections() and time.monotonic() < until:
                gc.collect()
                await asyncio.sleep(0.01)
            self.assertEqual(node.open_connections(), 0)

    async def test_a_token_is_asked_for_again_when_the_authentication_has_ended(self) -> None:
        tokens = iter(["old", "new"])

        def script(op: str, params: Json, peer: Peer) -> Optional[Json]:
            if op == "APPLY_EVENT" and peer.number == 1:
                raise Refused("UNAUTHORIZED")
            return None

        with FakeNode(script) as node:
            async with client(node, token=lambda: next(tokens)) as db:
                # The refused try has done nothing.
                self.assertTrue((await db.apply_event("i", "GO", idempotency_key=NO_KEY)).applied)
            self.assertEqual([params["token"] for params in node.asked("AUTH")], ["old", "new"])
        with FakeNode(times(9, Refused("UNAUTHORIZED"))) as node:
            async with client(node) as db:
                with self.assertRaises(errors.Unauthorized):
                    await db.apply_event("i", "GO")
            self.assertEqual(len(node.asked("APPLY_EVENT")), 1)

    async def test_closing_ends_calls_and_later_ones_are_refused(self) -> None:
        with FakeNode(times(9, Silence())) as node:
            db = client(node)
            call = asyncio.ensure_future(db.apply_event("i", "GO", timeout=5))
            while not node.asked("APPLY_EVENT"):
                await asyncio.sleep(0.01)
            await db.close()
            with self.assertRaises(errors.OutcomeUnknown):
                await call
            with self.assertRaises(errors.ClosedError):
                await db.ping()
            await db.close()


class Failover(unittest.IsolatedAsyncioTestCase):
    async def test_a_dead_address_is_passed_over(self) -> None:
        with FakeNode() as dead, FakeNode() as alive:
            dead.stop()
            async with client(dead, alive) as db:
                self.assertEqual(db.address, alive.address)

    async def test_a_node_that_accepts_and_says_nothing_is_passed_over(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as hung, FakeNode() as alive:
            hung_address = f"127.0.0.1:{hung.getsockname()[1]}"
            began = time.monotonic()
            async with AsyncClient([hung_address, alive.address], discover=False) as db:
                self.assertEqual(db.address, alive.address)
            self.assertLess(time.monotonic() - began, 2.9)

    async def test_nobody_there_is_told_with_each_address(self) -> None:
        with FakeNode() as one, FakeNode() as other:
            one.stop()
            other.stop()
            with self.assertRaises(errors.ConnectError) as raised:
                await client(one, other).apply_event("i", "GO", timeout=0.3)
            self.assertIn(one.address, str(raised.exception))
            self.assertIn(other.address, str(raised.exception))

    async def test_a_first_connection_waits_for_a_node_that_restarts(self) -> None:
        with FakeNode() as node:
            node.stop()
            port = int(node.address.rpartition(":")[2])
            opening = asyncio.ensure_future(client(node).connect())
            await asyncio.sleep(0.3)
            self.assertFalse(opening.done(), "the client has given up at once")
            with FakeNode(port=port):
                await opening
            began = time.monotonic()
            with self.assertRaises(errors.ConnectError) as raised:
                await client(node).connect(timeout=0.5)
            self.assertIn(node.address, str(raised.exception))
            self.assertLess(time.monotonic() - began, 3)

    async def test_a_first_connection_that_no_try_would_bring_fails_at_once(self) -> None:
        with FakeNode(times(9, Refused("AUTH_FAILED"), "AUTH")) as node:
            began = time.monotonic()
            with self.assertRaises(errors.AuthFailed):
                await client(node, token="wrong").connect()
            self.assertLess(time.monotonic() - began, 3)

    async def test_a_call_goes_on_at_another_node_when_its_node_is_lost(self) -> None:
        with FakeNode(times(1, Drop())) as first, FakeNode() as second:
            async with client(first, second) as db:
                await db.apply_event("i", "GO")
                self.assertEqual(db.address, second.address)
            self.assertEqual(first.asked("APPLY_EVENT"), second.asked("APPLY_EVENT"))

    async def test_a_node_that_cannot_serve_is_left_for_another(self) -> None:
        for code in ("NO_LEADER", "READ_ONLY_MODE", "TIMEOUT"):
            with FakeNode(times(9, Refused(code, retryable=True))) as first, FakeNode() as second:
                async with client(first, second) as db:
                    await db.apply_event("i", "GO")
                    self.assertEqual(db.address, second.address)
                self.assertEqual(len(first.asked("APPLY_EVENT")), 1)

    async def test_a_node_that_hangs_is_left_after_a_moment(self) -> None:
        def mute(op: str, _: Json, peer: Peer) -> Optional[Json]:
            if op in ("PING", "GET_INSTANCE"):
                raise Silence
            return None

        with FakeNode(mute) as first, FakeNode() as second:
            # Too short for an attempt elsewhere after half of it.
            async with client(first, second, timeout=1.9) as db:
                await db.get_instance("i")
                self.assertEqual(db.address, second.address)
            self.assertEqual(len(first.asked("PING")), 1)

    async def test_a_node_that_answers_pings_and_no_calls_is_left_after_half_of_the_time_or_two_seconds(self) -> None:
        for timeout in (2.2, 60):
            with FakeNode(times(9, Silence(), "GET_INSTANCE")) as first, FakeNode() as second:
                async with client(first, second, timeout=timeout) as db:
                    asked = time.monotonic()
                    await db.get_instance("i")
                    self.assertEqual(db.address, second.address)
                    self.assertLess(time.monotonic() - asked, 3)

    async def test_members_are_learned_and_tried_when_the_given_address_is_lost(self) -> None:
        with FakeNode() as second:
            members = [{"node_id": 1, "rcp_addr": "10.0.0.1:1"}, {"node_id": 2, "rcp_addr": second.address}]
            known = {"cluster_id": "c", "node_id": 1, "role": "follower", "members": members}
            second.info = {**known, "node_id": 2}
            with FakeNode(info=known) as first:
                async with client(first, discover=True) as db:
                    await db.ping()
                    first.stop()
                    await db.get_instance("i")
                    self.assertEqual(db.address, second.address)

    async def test_a_learned_address_of_another_cluster_is_not_used(self) -> None:
        with FakeNode(info={"cluster_id": "other", "node_id": 2}) as second:
            members = [{"node_id": 2, "rcp_addr": second.address}]
            with FakeNode(info={"cluster_id": "c", "node_id": 1, "members": members}) as first:
                async with client(first, discover=True) as db:
                    first.stop()
                    with self.assertRaises(errors.ConnectError) as raised:
                        await db.get_instance("i", timeout=0.4)
                self.assertIn("another cluster", str(raised.exception))
                self.assertEqual(second.asked("GET_INSTANCE"), [])

    async def test_the_leader_is_preferred_where_that_is_asked_for(self) -> None:
        with FakeNode(info={"cluster_id": "c", "role": "leader"}) as leader:
            told = {"node_id": 2, "rcp_addr": leader.address}
            with FakeNode(info={"cluster_id": "c", "role": "follower", "leader": told}) as follower:
                async with client(follower, leader, prefer_leader=True) as db:
                    self.assertEqual(db.address, leader.address)

    async def test_a_node_at_its_limit_of_connections_is_passed_over(self) -> None:
        def full(op: str, _: Json, peer: Peer) -> Optional[Json]:
            body = {"code": "RATE_LIMITED", "message": "full", "retryable": True}
            peer.send({"type": "response", "id": "", "status": "error", "error": body})
            raise Drop

        with FakeNode(full) as first, FakeNode() as second:
            async with client(first, second) as db:
                self.assertEqual(db.address, second.address)


class Loops(unittest.TestCase):
    def test_a_client_belongs_to_one_loop_and_may_be_closed_after_it(self) -> None:
        async def begin(db: AsyncClient) -> AsyncWatch:
            watch = db.watch_all()
            await watch.start()
            await db.ping()
            return watch

        async def close(*ending: "AsyncWatch | AsyncClient") -> None:
            for one in ending:
                await one.close()

        with FakeNode() as node, warnings.catch_warnings():
            # The sockets of a loop that has ended are closed when they are freed, which Python warns of.
            warnings.simplefilter("ignore", ResourceWarning)
            db = client(node)
            watch = asyncio.run(begin(db))
            for use in (db.ping, watch.next, db.connect):
                with self.assertRaises(errors.ConfigError):
                    asyncio.run(use())
            asyncio.run(close(watch, db, watch, db))
            self.assertTrue(db.closed)
            del watch, db
            gc.collect()
            other = asyncio.new_event_loop()
            db = client(node)
            other.run_until_complete(db.ping())
            with self.assertRaises(errors.ConfigError):
                asyncio.run(db.close())
            other.run_until_complete(close(db))
            other.close()


class Blocking(unittest.TestCase):
    def test_the_blocking_client_does_the_same(self) -> None:
        with FakeNode(times(1, Drop())) as node, Client(node.address, discover=False) as db:
            self.assertEqual(db.apply_event("i", "GO").wal_offset, 9)
            self.assertEqual(db.get_instance("i").state, "A")
            with self.assertRaises(errors.ServerError):
                db.call("UNKNOWN")
            with self.assertRaises(errors.ConfigError):
                db.ping(timeout=-1)

    def test_a_silent_node_costs_a_deadline(self) -> None:
        with FakeNode(times(9, Silence(), "GET_INSTANCE")) as node, Client(node.address, timeout=0.3) as db:
            began = time.monotonic()
            with self.assertRaises(errors.DeadlineExceeded):
                db.get_instance("i")
            self.assertLess(time.monotonic() - began, 3.0)

    def test_a_closed_client_refuses_calls_and_closes_twice(self) -> None:
        with FakeNode() as node:
            db = Client(node.address)
            db.ping()
            db.close()
            db.close()
            with self.assertRaises(errors.ClosedError):
                db.ping()
