"""An order service: HTTP for orders, a worker that ships what is paid, and a page that shows each change live.

    ./order_service.sh                          # http://127.0.0.1:8000
    RSTMDB_SERVER=db1:7401,db2:7401,db3:7401 PORT=8080 ./order_service.sh

It keeps nothing itself: run several, and kill any. Without RSTMDB_SERVER it uses the server on this machine, or starts
one that forgets everything when the service ends.
"""

import asyncio
import contextlib
import logging
import os
import pathlib
import shutil
import sys
import uuid
from collections.abc import AsyncIterator
from typing import Any, Optional

try:
    import uvicorn
    from fastapi import FastAPI, Header, Request
    from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed: start order_service.sh, or pip install -r requirements.txt")

from rstmdb_cluster import (
    AsyncClient,
    Conflict,
    ConnectError,
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

GIVEN = os.environ.get("RSTMDB_SERVER")
# What a server on this machine takes as its address, too.
LOCAL = os.environ.get("RSTMDB_BIND", "127.0.0.1:7401")

db = AsyncClient(GIVEN or LOCAL)
log = logging.getLogger("uvicorn.error")


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with a_server(), db:
        await db.put_machine("order", 1, ORDER)
        worker = asyncio.create_task(ship_what_is_paid())
        yield
        worker.cancel()


app = FastAPI(lifespan=lifespan)


@contextlib.asynccontextmanager
async def a_server() -> AsyncIterator[None]:
    """The server that answers. If there is none and none was named: one of its own, until this program ends."""
    if GIVEN or await answers(0.0):
        yield
        return
    # In a session of its own, so that Ctrl-C ends the service first.
    settings = {"RSTMDB_METRICS_ENABLED": "false", "RUST_LOG": "warn", **os.environ, "RSTMDB_BIND": LOCAL}
    process = await asyncio.create_subprocess_exec(find_server(), "--dev", env=settings, start_new_session=True)
    try:
        if not await answers(20.0):
            raise RuntimeError(f"no server answers at {LOCAL}, and the one that was started here does not answer")
        log.warning("no server answered at %s: started rstmdb --dev, which keeps nothing", LOCAL)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def answers(seconds: float) -> bool:
    until = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            await db.connect(timeout=1)
            return True
        except ConnectError:
            if asyncio.get_running_loop().time() >= until:
                return False
        await asyncio.sleep(0.1)


def find_server() -> str:
    """The program of this checkout, or the one that is installed."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or pathlib.Path(__file__).resolve().parents[3] / "target")
    folders = [os.environ.get("RSTMDB_BIN_DIR"), target / "release", target / "debug", None]
    for folder in folders:
        found = shutil.which("rstmdb", path=folder and str(folder))
        if found:
            return found
    raise RuntimeError("no server answers, and there is no program rstmdb: cargo build --release")


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
