"""An order service: HTTP for orders, a worker that ships what is paid, and a page that shows each change live.

    pip install fastapi uvicorn
    python3 order_service.py                    # http://127.0.0.1:8000
    RSTMDB_SERVER=db1:7401,db2:7401,db3:7401 PORT=8080 python3 order_service.py

It keeps nothing itself: run several, and kill any.
"""

import asyncio
import contextlib
import logging
import os
import uuid
from collections.abc import AsyncIterator
from typing import Any, Optional

import uvicorn
from fastapi import FastAPI, Header, Request
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse

from rstmdb_cluster import (
    AsyncClient,
    Conflict,
    GuardFailed,
    InstanceExists,
    InstanceNotFound,
    InvalidTransition,
    Position,
    RstmdbError,
)

ORDER: dict[str, Any] = {
    "states": ["CREATED", "PAID", "SHIPPED", "CANCELLED"],
    "initial": "CREATED",
    "transitions": [
        {"from": "CREATED", "event": "PAY", "to": "PAID"},
        {"from": "PAID", "event": "PACK", "to": "PAID"},
        {"from": "PAID", "event": "SHIP", "to": "SHIPPED", "guard": "ctx.packed && ctx.total > 0"},
        {"from": ["CREATED", "PAID"], "event": "CANCEL", "to": "CANCELLED"},
    ],
}

db = AsyncClient(os.environ.get("RSTMDB_SERVER", "127.0.0.1:7401"))
log = logging.getLogger("order_service")


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with db:
        await db.put_machine("order", 1, ORDER)
        worker = asyncio.create_task(ship_what_is_paid())
        yield
        worker.cancel()


app = FastAPI(lifespan=lifespan)


async def ship_what_is_paid() -> None:
    """Goes through all payments that the log has kept. By its key, each change happens only once."""
    position: Optional[Position] = None
    while True:
        try:
            async with db.watch_all(machines=["order"], events=["PAY"], from_offset=0, position=position) as payments:
                async for paid in payments:
                    await ship(paid.instance_id, paid.wal_offset)
                    position = payments.position
        except RstmdbError as error:
            log.warning("the worker begins again: %s", error)
            await asyncio.sleep(1)


async def ship(order: str, paid_at: int) -> None:
    with contextlib.suppress(GuardFailed, InvalidTransition, InstanceNotFound):
        await db.apply_event(order, "PACK", {"packed": True}, idempotency_key=f"PACK/{paid_at}")
        await db.apply_event(order, "SHIP", idempotency_key=f"SHIP/{paid_at}")


@app.exception_handler(RstmdbError)
async def refused(_: Request, error: RstmdbError) -> JSONResponse:
    """A refusal by the database is the caller's matter. Other errors may go away by themselves."""
    status = 503
    if isinstance(error, InstanceNotFound):
        status = 404
    elif isinstance(error, (Conflict, GuardFailed, InvalidTransition, InstanceExists)):
        status = 409
    elif not error.retryable:
        status = 500
    headers = {"Retry-After": "1"} if error.retryable else None
    body = {"code": error.code, "message": error.message, "details": dict(error.details)}
    return JSONResponse(body, status_code=status, headers=headers)


@app.post("/orders", status_code=201)
async def create(total: float, idempotency_key: Optional[str] = Header(None)) -> dict[str, Any]:
    """The order's id is made of the header Idempotency-Key, if there is one, so a repeated request makes one order."""
    order = str(uuid.uuid5(uuid.NAMESPACE_OID, idempotency_key)) if idempotency_key else str(uuid.uuid4())
    made = await db.create_instance("order", 1, order, {"total": total}, idempotency_key=idempotency_key)
    return {"order": made.instance_id, "state": made.state}


@app.post("/orders/{order}/{event}")
async def apply(order: str, event: str, idempotency_key: Optional[str] = Header(None)) -> dict[str, Any]:
    """PAY or CANCEL."""
    done = await db.apply_event(order, event.upper(), idempotency_key=idempotency_key)
    return {"order": order, "state": done.to_state, "offset": done.wal_offset}


@app.get("/orders/{order}")
async def read(order: str) -> dict[str, Any]:
    found = await db.get_instance(order)
    return {"order": order, "state": found.state, "ctx": found.ctx}


@app.get("/orders")
async def read_all(state: Optional[str] = None) -> list[dict[str, Any]]:
    return [
        {"order": found.id, "state": found.state} async for found in db.iter_instances(machine="order", state=state)
    ]


@app.get("/events")
async def events(last_event_id: Optional[str] = Header(None)) -> StreamingResponse:
    """Server-sent events. A browser that was cut off names the last event that it has, and misses none."""
    position = Position.from_json(last_event_id) if last_event_id else None

    async def lines() -> AsyncIterator[str]:
        async with db.watch_all(machines=["order"], position=position) as watch:
            yield ": begun\n\n"
            while not watch.closed:
                event = await watch.next(timeout=15)
                if event is None:
                    yield ": nothing new\n\n"
                else:
                    told = f"{event.instance_id}: {event.event} makes {event.from_state} {event.to_state}"
                    yield f"id: {watch.position.to_json()}\ndata: {told}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


@app.get("/", response_class=HTMLResponse)
async def page() -> str:
    return """<!doctype html><title>Orders</title><h1>Orders</h1>
<button onclick="order()">Order and pay</button><ul id=events></ul><script>
new EventSource("/events").onmessage = e => {
  const line = document.createElement("li"); line.textContent = e.data; events.prepend(line) }
async function order() {
  const made = await (await fetch("/orders?total=42", {method: "POST"})).json()
  await fetch(`/orders/${made.order}/pay`, {method: "POST"}) }
</script>"""


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")), timeout_graceful_shutdown=2)
