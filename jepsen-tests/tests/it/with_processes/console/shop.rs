//! What the pages show: some machines, a hundred instances, timers and locks.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::ask::done;

pub(super) fn order(version: u32) -> Value {
    let mut definition = json!({
        "format": 2,
        "initial": "cart",
        "states": [
            "cart", "awaiting_payment", "paid", "packed",
            { "name": "shipped", "timers": [{ "event": "REMIND", "after": "7d" }] },
            { "name": "delivered", "final": true }, { "name": "cancelled", "final": true },
        ],
        "transitions": [
            { "from": "cart", "event": "CHECKOUT", "to": "awaiting_payment", "guard": "ctx.total > 0" },
            { "from": "awaiting_payment", "event": "PAY", "to": "paid" },
            { "from": "paid", "event": "PACK", "to": "packed" },
            { "from": "packed", "event": "SHIP", "to": "shipped", "guard": "has(ctx.address)" },
            { "from": "shipped", "event": "REMIND", "to": "shipped" },
            { "from": "shipped", "event": "DELIVER", "to": "delivered" },
            { "from": "shipped", "event": "RETURN", "to": "paid" },
            { "from": ["cart", "awaiting_payment", "paid"], "event": "CANCEL", "to": "cancelled" },
        ],
    });
    if version > 1 {
        let transitions = definition["transitions"].as_array_mut().unwrap();
        transitions[0]["guard"] = json!("ctx.total >= 5");
        transitions.push(json!({ "from": "packed", "event": "CANCEL", "to": "cancelled" }));
    }
    definition
}

fn ticket() -> Value {
    json!({
        "states": ["open", "assigned", "waiting", "solved", "closed"],
        "initial": "open",
        "transitions": [
            { "from": "open", "event": "ASSIGN", "to": "assigned" },
            { "from": "assigned", "event": "ASK", "to": "waiting" },
            { "from": "waiting", "event": "ANSWER", "to": "assigned" },
            { "from": ["assigned", "waiting"], "event": "SOLVE", "to": "solved" },
            { "from": "solved", "event": "REOPEN", "to": "assigned" },
            { "from": "solved", "event": "CLOSE", "to": "closed" },
        ],
    })
}

pub(super) fn put(addr: SocketAddr, machine: &str, version: u32, definition: Value) {
    let path = format!("/v1/machines/{machine}/versions/{version}");
    done(addr, "PUT", &path, &json!({ "definition": definition }));
}

pub(super) fn apply(addr: SocketAddr, id: &str, event: &str, payload: Value) -> Value {
    let path = format!("/v1/instances/{id}/events");
    let body = json!({ "event": event, "payload": payload, "reason": format!("the customer asked for {event}"),
        "correlation_id": format!("work-{id}") });
    done(addr, "POST", &path, &body)
}

/// Each order has gone a part of its way, by its number.
pub(super) fn fill(addr: SocketAddr, orders: u32) {
    put(addr, "order", 1, order(1));
    put(addr, "order", 2, order(2));
    put(addr, "ticket", 1, ticket());
    let creations: Vec<Value> = (0..orders)
        .map(|number| {
            let ctx = json!({ "total": 5 + number % 90, "customer": { "name": format!("Customer {number}"), "city": "Graz" },
                "items": ["book", "lamp"] });
            let params = json!({ "instance_id": format!("order-{number:04}"), "machine": "order", "initial_ctx": ctx });
            json!({ "op": "CREATE_INSTANCE", "params": params })
        })
        .collect();
    let tickets = (0..orders / 4).map(|number| {
        let params = json!({ "instance_id": format!("ticket-{number:04}"), "machine": "ticket", "initial_ctx": {} });
        json!({ "op": "CREATE_INSTANCE", "params": params })
    });
    let all: Vec<Value> = creations.into_iter().chain(tickets).collect();
    for part in all.chunks(100) {
        done(addr, "POST", "/v1/batch", &json!({ "ops": part }));
    }
    let way = [
        ("CHECKOUT", json!({})),
        ("PAY", json!({ "by": "card" })),
        ("PACK", json!({ "packed": true })),
        ("SHIP", json!({ "address": "Main Street 1" })),
        ("DELIVER", json!({})),
    ];
    for (done_by, (event, payload)) in way.into_iter().enumerate() {
        let mut payload = payload;
        if event == "PACK" {
            payload["address"] = json!("Main Street 1");
        }
        let ops: Vec<Value> = (0..orders)
            .filter(|number| *number as usize % 7 > done_by)
            .map(|number| {
                let params = json!({ "instance_id": format!("order-{number:04}"), "event": event, "payload": payload,
                    "reason": "as the customer asked", "correlation_id": format!("work-{number}") });
                json!({ "op": "APPLY_EVENT", "params": params })
            })
            .collect();
        for part in ops.chunks(100) {
            done(addr, "POST", "/v1/batch", &json!({ "ops": part }));
        }
    }
    let lock = json!({ "owner": "worker-1", "ttl_ms": 600_000 });
    done(addr, "POST", "/v1/locks/nightly-report/acquire", &lock);
}
