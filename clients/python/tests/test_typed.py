"""Contexts and payloads as dataclasses and TypedDicts."""

import enum
import json
import unittest
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NewType, Optional, TypedDict, Union

from rstmdb_cluster import AsyncClient, Event, errors, requests, results
from rstmdb_cluster._frame import dumps
from rstmdb_cluster._typed import read

from .fake import FakeNode

Cents = NewType("Cents", int)


class Method(enum.Enum):
    CARD = "card"
    CASH = "cash"


class Colour(str, enum.Enum):
    RED = "red"


@dataclass
class Item:
    sku: str
    price: Cents
    tags: "list[str]" = field(default_factory=list)


@dataclass(frozen=True)
class Order:
    items: Sequence[Item]
    total: float
    method: Optional[Method] = None
    delivery: Literal["home", "shop"] = "home"
    by_sku: Mapping[str, int] = field(default_factory=dict)
    paid_by: Union[int, str, None] = field(default=None, metadata={"name": "paid-by"})
    anything: Any = None
    seen: int = field(init=False, default=7, repr=False)


class Needed(TypedDict):
    total: int


class Ctx(Needed, total=False):
    note: str
    items: "list[Item]"


WHOLE = {
    "items": [{"sku": "tea", "price": 500, "tags": ["hot"]}],
    "total": 5,
    "method": "card",
    "delivery": "shop",
    "by_sku": {"tea": 1},
    "paid-by": "ann",
    "anything": [1, {"a": None}],
    "from a newer program": True,
}


class Read(unittest.TestCase):
    def test_a_dataclass_is_made_with_all_that_is_inside(self) -> None:
        order = read(Order, WHOLE, "ctx")
        self.assertEqual(order.items, [Item("tea", Cents(500), ["hot"])])
        self.assertEqual((order.total, type(order.total)), (5.0, float))
        self.assertEqual((order.method, order.delivery, order.by_sku), (Method.CARD, "shop", {"tea": 1}))
        self.assertEqual((order.paid_by, order.anything), ("ann", [1, {"a": None}]))

    def test_what_is_absent_has_its_default(self) -> None:
        order = read(Order, {"items": [], "total": 1.5, "method": None}, "ctx")
        self.assertEqual((order.method, order.delivery, order.by_sku, order.paid_by), (None, "home", {}, None))

    def test_a_typed_dict_keeps_what_it_does_not_know(self) -> None:
        ctx = read(Ctx, {"total": 1, "items": [{"sku": "tea", "price": 5}], "more": [1]}, "ctx")
        self.assertEqual(ctx["items"], [Item("tea", Cents(5))])
        self.assertEqual(ctx["more"], [1])  # type: ignore[typeddict-item]

    def test_what_does_not_fit_is_told_with_its_place(self) -> None:
        wrong: list[tuple[type, Any, str]] = [
            (Order, {"total": 1}, "ctx.items is missing"),
            (Order, None, "ctx is None, which is not an object"),
            (Order, {**WHOLE, "items": [{"sku": "tea", "price": "5"}]}, "ctx.items[0].price is '5', which is not int"),
            (Order, {**WHOLE, "items": [{"sku": "tea", "price": True}]}, "price is True"),
            (Order, {**WHOLE, "items": {}}, "ctx.items is {}, which is not list"),
            (Order, {**WHOLE, "method": "gold"}, "ctx.method is 'gold', which is not one of ['card', 'cash']"),
            (Order, {**WHOLE, "delivery": "sea"}, "ctx.delivery is 'sea'"),
            (Order, {**WHOLE, "by_sku": {"tea": "1"}}, "ctx.by_sku.tea is '1'"),
            (Order, {**WHOLE, "paid-by": []}, "ctx.paid-by is []"),
            (Order, {**WHOLE, "total": True}, "ctx.total is True"),
            (Ctx, {"note": "a"}, "ctx.total is missing"),
            (Ctx, {"total": 1, "note": 5}, "ctx.note is 5"),
        ]
        for kind, value, told in wrong:
            with self.assertRaises(errors.ContextError) as raised:
                read(kind, value, "ctx")
            self.assertIn(told, str(raised.exception))
            self.assertIsInstance(raised.exception, ValueError)

    def test_results_and_events_read_their_contexts(self) -> None:
        found = {"machine": "m", "version": 1, "state": "A", "ctx": WHOLE, "last_wal_offset": 1}
        self.assertEqual(results.build(results.Instance, found, "op").ctx_as(Order).total, 5.0)
        applied = {"from_state": "A", "to_state": "B", "ctx": {"total": 4}, "wal_offset": 1}
        self.assertEqual(results.build(results.AppliedEvent, applied, "op").ctx_as(Ctx), {"total": 4})
        event = results.build(Event, {"wal_offset": 1, "payload": {"sku": "a", "price": 1}}, "event")
        self.assertEqual(event.payload_as(Item), Item("a", Cents(1)))
        with self.assertRaises(errors.ContextError):
            event.ctx_as(Order)


class Written(unittest.IsolatedAsyncioTestCase):
    def test_dataclasses_become_json_wherever_they_stand(self) -> None:
        order = read(Order, WHOLE, "ctx")
        sent = json.loads(dumps({"ctx": order, "in": [Colour.RED, Method.CASH, MappingProxyType({"a": 1})]}))
        self.assertEqual(sent["in"], ["red", "cash", {"a": 1}])
        self.assertEqual(read(Order, sent["ctx"], "ctx"), order)
        self.assertEqual(sent["ctx"]["paid-by"], "ann")
        for bad in (Order, object(), {1, 2}):
            with self.assertRaises(errors.RequestError):
                dumps({"ctx": bad})

    async def test_the_client_takes_them(self) -> None:
        item = Item("tea", Cents(500))
        ctx: Ctx = {"total": 1}
        with FakeNode() as node:
            async with AsyncClient(node.address, discover=False) as db:
                await db.create_instance("m", 1, "i", item)
                await db.apply_event("i", "GO", ctx)
                with self.assertRaises(errors.BadRequest):
                    await db.batch([requests.apply_event("i", "GO", item)])
            sent = {"sku": "tea", "price": 500, "tags": []}
            self.assertEqual(node.asked("CREATE_INSTANCE")[0]["initial_ctx"], sent)
            self.assertEqual(node.asked("APPLY_EVENT")[0]["payload"], ctx)
            self.assertEqual(node.asked("BATCH")[0]["ops"][0]["params"]["payload"], sent)
