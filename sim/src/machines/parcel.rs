//! A parcel: a machine of format 2 with guards over context and payload, schemas, `set`, `unset`, `always`, `emit` and
//! `from: "*"`; and the model of it.

use serde_json::{Map, Value, json};

use super::{ModelRefusal, Moved};

/// Every event of it.
pub const EVENTS: [&str; 4] = ["LOAD", "SEND", "MOVE", "RETURN"];

/// A parcel may weigh this much.
const KG_MAX: i64 = 20;
/// From this weight on it needs a truck.
const KG_HEAVY: i64 = 10;
/// This much is loaded before the parcel must be sorted.
const KG_BY_HAND: i64 = 5;

/// What PUT_MACHINE is given.
pub(super) fn definition() -> Value {
    json!({
        "format": 2,
        "initial": "packed",
        "context": {
            "default": {"weight": 1, "stops": 0},
            "schema": {"type": "object", "properties": {"weight": {"type": "integer", "maximum": KG_MAX}}},
        },
        "events": {"LOAD": {"schema": {
            "type": "object", "required": ["kg"], "properties": {"kg": {"type": "integer", "minimum": 1}},
        }}},
        "states": [
            "packed",
            {"name": "sorting", "always": [
                {"to": "heavy", "guard": format!("ctx.weight >= {KG_HEAVY}"), "emit": "call_truck"},
                {"to": "light", "emit": "call_bike"},
            ]},
            {"name": "light", "emit": "labelled"},
            "heavy",
            "moving",
        ],
        "transitions": [
            {"from": "packed", "event": "LOAD", "to": "packed", "guard": format!("event.kg <= {KG_BY_HAND}"),
             "set": {"weight": "ctx.weight + event.kg"}, "unset": ["kg"], "emit": "weighed"},
            {"from": "packed", "event": "LOAD", "to": "sorting", "merge": false,
             "set": {"weight": "ctx.weight + event.kg"}},
            {"from": "packed", "event": "SEND", "to": "sorting", "set": {"sent_by": "event.by"}},
            {"from": ["light", "heavy", "moving"], "event": "MOVE", "to": "moving",
             "guard": "event.stop > ctx.stops", "set": {"stops": "event.stop"}, "unset": ["stop"], "emit": ["scan"]},
            {"from": "*", "except": ["packed"], "event": "RETURN", "to": "packed", "merge": false,
             "set": {"weight": "1", "stops": "0"}, "unset": ["sent_by"]},
        ],
    })
}

/// What an event does; `ctx` is the context before it.
pub(super) fn event(
    state: &str,
    event: &str,
    ctx: &Map<String, Value>,
    payload: Option<Map<String, Value>>,
) -> Result<Moved, ModelRefusal> {
    let payload = payload.unwrap_or_default();
    let number = |values: &Map<String, Value>, name: &str| values.get(name).and_then(Value::as_i64);
    let weight = number(ctx, "weight").unwrap_or_default();
    let mut after = ctx.clone();
    match (state, event) {
        ("packed", "LOAD") => {
            let kg = number(&payload, "kg").filter(|kg| *kg >= 1);
            let kg = kg.ok_or(ModelRefusal::SchemaFailed)?;
            let weight = weight + kg;
            if weight > KG_MAX {
                return Err(ModelRefusal::SchemaFailed);
            }
            if kg > KG_BY_HAND {
                after.insert("weight".to_owned(), json!(weight));
                return Ok(sorted(after, weight));
            }
            after.extend(payload);
            after.insert("weight".to_owned(), json!(weight));
            after.remove("kg");
            Ok(moved("packed", after, &[], &["weighed"]))
        }
        ("packed", "SEND") => {
            let by = payload.get("by").cloned();
            let by = by.ok_or(ModelRefusal::ExpressionFailed)?;
            after.extend(payload);
            after.insert("sent_by".to_owned(), by);
            let weight = number(&after, "weight").unwrap_or_default();
            Ok(sorted(after, weight))
        }
        ("light" | "heavy" | "moving", "MOVE") => {
            let stop = number(&payload, "stop");
            let stop = stop.filter(|stop| Some(*stop) > number(ctx, "stops"));
            let stop = stop.ok_or(ModelRefusal::GuardFailed)?;
            after.extend(payload);
            after.insert("stops".to_owned(), json!(stop));
            after.remove("stop");
            Ok(moved("moving", after, &[], &["scan"]))
        }
        ("sorting" | "light" | "heavy" | "moving", "RETURN") => {
            after.insert("weight".to_owned(), json!(1));
            after.insert("stops".to_owned(), json!(0));
            after.remove("sent_by");
            Ok(moved("packed", after, &[], &[]))
        }
        _ => Err(ModelRefusal::InvalidTransition),
    }
}

/// Nothing rests in `sorting`.
fn sorted(ctx: Map<String, Value>, weight: i64) -> Moved {
    match weight >= KG_HEAVY {
        true => moved("heavy", ctx, &["sorting"], &["call_truck"]),
        false => moved("light", ctx, &["sorting"], &["call_bike", "labelled"]),
    }
}

fn moved(
    state: &'static str,
    ctx: Map<String, Value>,
    via: &'static [&'static str],
    emits: &'static [&'static str],
) -> Moved {
    Moved {
        state,
        ctx,
        via,
        emits,
    }
}
