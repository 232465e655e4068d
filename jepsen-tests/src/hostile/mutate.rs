//! Makes valid frames invalid, and says how the server must react to them.

use rstmdb_rcp::frame::{self, DecodedFrame, Flags, FrameLimits};
use rstmdb_rcp::message::RequestHead;
use serde_json::{Map, Value, json};

use crate::harness::rng::Rng;
use crate::rcp::raw::{framed, framed_unchecked};

/// Operations that mutated requests may name. HELLO and BYE are missing: they change the connection.
const OPS: &[&str] = &[
    "PING",
    "INFO",
    "AUTH",
    "PUT_MACHINE",
    "DELETE_MACHINE",
    "GET_MACHINE",
    "LIST_MACHINES",
    "CREATE_INSTANCE",
    "GET_INSTANCE",
    "LIST_INSTANCES",
    "ALLOWED_EVENTS",
    "DELETE_INSTANCE",
    "APPLY_EVENT",
    "TIMER_SET",
    "TIMER_LIST",
    "BATCH",
    "WATCH_INSTANCE",
    "WATCH_ALL",
    "UNWATCH",
    "WAL_READ",
    "AUDIT_READ",
    "WAL_STATS",
    "ANCESTORS",
    "FLUSH_ALL",
    "REPLICATION_STATUS",
    "AUTOMATION",
    "LOCK_ACQUIRE",
    "LOCK_RENEW",
    "LOCK_RELEASE",
    "LOCK_GET",
    "LOCK_LIST",
    "CLOCK_ADVANCE",
    "CLUSTER_FINALIZE_UPGRADE",
];

/// Makes mutated frames.
#[derive(Debug)]
pub struct Mutator {
    rng: Rng,
    made: u64,
}

/// How the server must react to some bytes on a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrameFate {
    /// The ids of the answers.
    pub answers: Vec<String>,
    /// What follows them.
    pub end: ConnectionFate,
}

/// The state of the connection afterwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConnectionFate {
    /// It can be used.
    #[default]
    Open,
    /// The server waits for the rest of a frame.
    Waiting,
    /// The server closes it, after one error response if `answered`.
    Closed {
        /// Whether the error can still be framed.
        answered: bool,
    },
}

impl Mutator {
    /// A mutator with these choices.
    pub fn new(rng: Rng) -> Self {
        Self { rng, made: 0 }
    }

    /// The next mutated frame.
    pub fn frame(&mut self) -> Vec<u8> {
        self.made += 1;
        let mut request = self.request();
        match self.rng.below(100) {
            0..70 => {
                for _ in 0..self.rng.between(1, 3) {
                    self.mutate_value(&mut request);
                }
                framed(&request.to_string())
            }
            70..85 => {
                let mut payload = request.to_string().into_bytes();
                self.mutate_bytes(&mut payload);
                framed_unchecked(Flags::CRC.bits(), &payload)
            }
            85..98 => {
                let mut bytes = framed(&request.to_string());
                let at = self.rng.index(frame::HEADER_BYTES);
                bytes[at] ^= 1u8 << self.rng.below(8);
                bytes
            }
            _ => (0..self.rng.between(1, 200)).map(|_| self.byte()).collect(),
        }
    }

    /// A valid request, any of them.
    fn request(&mut self) -> Value {
        let instance = format!("m-{}", self.rng.below(50));
        let key = format!("k-{}", self.rng.below(1000));
        let apply = json!({"instance_id": instance, "event": "SET", "payload": {"n": 1},
            "expected_state": "on", "event_id": "e", "idempotency_key": key, "headers": {"a": "b"},
            "reason": "why", "correlation_id": "w", "causation_id": "17"});
        let create = json!({"instance_id": instance, "machine": "counter", "version": 1,
            "initial_ctx": {"a": [1, {"b": null}]}, "idempotency_key": key});
        let definition = json!({"states": ["a", "b"], "initial": "a", "transitions":
            [{"from": ["a", "b"], "event": "E", "to": "b", "guard": "ctx.n > 1 && !ctx.off"}]});
        let (op, params) = match self.rng.below(21) {
            0 => ("PING", json!({})),
            1 => get_instance(&instance),
            2 => (
                "LIST_INSTANCES",
                json!({"machine": "counter", "limit": 2, "offset": 1}),
            ),
            3 => (
                "WAL_READ",
                json!({"from_offset": 1, "limit": 2, "include_meta": true}),
            ),
            4 => (
                "PUT_MACHINE",
                json!({"machine": "fuzz", "version": 1, "definition": definition}),
            ),
            5 => get_machine(),
            6 => (
                "WATCH_INSTANCE",
                json!({"instance_id": instance, "from_offset": 5, "include": ["created", "deleted"],
                    "include_meta": true}),
            ),
            7 => ("UNWATCH", json!({"subscription_id": "s"})),
            8 => ("DELETE_INSTANCE", json!({"instance_id": instance})),
            9 => ("CREATE_INSTANCE", create),
            11 => ("ANCESTORS", json!({"offset": 3, "limit": 2})),
            10 => (
                "BATCH",
                json!({"mode": "atomic", "ops": [{"op": "CREATE_INSTANCE", "params": create},
                    {"op": "APPLY_EVENT", "params": apply}]}),
            ),
            12 => (
                "PUT_MACHINE",
                json!({"machine": "chart", "version": 1, "definition": chart()}),
            ),
            13 => (
                "WATCH_ALL",
                json!({"machines": ["m"], "events": ["E"], "emits": ["x"], "include_ctx": false}),
            ),
            14 => allowed_events(&instance),
            15 => dry_run(&create),
            16 => about_a_lock(self.rng.below(5)),
            17 => timers(&instance),
            18 => deletion_of_machine(),
            19 => import(&instance),
            _ => ("APPLY_EVENT", apply),
        };
        json!({"type": "request", "id": format!("{}", self.made), "op": op, "params": params})
    }

    /// Changes one place of a document, at any depth, the top included.
    fn mutate_value(&mut self, value: &mut Value) {
        let child = match value {
            Value::Object(fields) if !fields.is_empty() => {
                let at = self.rng.index(fields.len());
                if self.rng.percent(30) {
                    return self.mutate_field(fields, at);
                }
                fields.values_mut().nth(at)
            }
            Value::Array(items) if !items.is_empty() => {
                let at = self.rng.index(items.len());
                items.get_mut(at)
            }
            _ => None,
        };
        match child {
            Some(child) => self.mutate_value(child),
            None => *value = self.junk(),
        }
    }

    fn mutate_field(&mut self, fields: &mut Map<String, Value>, at: usize) {
        let Some(name) = fields.keys().nth(at).cloned() else {
            return;
        };
        match self.rng.below(3) {
            0 => {
                fields.shift_remove(&name);
            }
            1 => {
                let value = fields.shift_remove(&name).unwrap_or_default();
                fields.insert(self.text(), value);
            }
            _ => {
                fields.insert(name, self.junk());
            }
        }
    }

    fn junk(&mut self) -> Value {
        match self.rng.below(12) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(-1),
            3 => json!(0),
            4 => json!(u64::MAX),
            5 => json!(1e308),
            6 => json!([]),
            7 => json!({}),
            8 => json!(*self.rng.pick(OPS)),
            9 => {
                let depth = self.rng.between(1, 300);
                (0..depth).fold(json!([]), |inner, _| json!([inner]))
            }
            _ => json!(self.text()),
        }
    }

    fn text(&mut self) -> String {
        match self.rng.below(5) {
            0 => String::new(),
            1 => "\u{0}\u{1b}[31m\u{202e}\u{feff}".to_owned(),
            2 => "x".repeat(self.rng.index(2000)),
            3 => "(".repeat(self.rng.index(200)),
            _ => (0..self.rng.below(20))
                .map(|_| char::from(self.byte()))
                .collect(),
        }
    }

    fn mutate_bytes(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.rng.between(1, 4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.rng.index(bytes.len());
            match self.rng.below(5) {
                0 => bytes[at] ^= 1u8 << self.rng.below(8),
                1 => bytes[at] = self.byte(),
                2 => bytes.insert(at, self.byte()),
                3 => {
                    bytes.remove(at);
                }
                _ => bytes.truncate(at),
            }
        }
    }

    fn byte(&mut self) -> u8 {
        self.rng.number().to_le_bytes()[0]
    }
}

impl FrameFate {
    /// What the protocol says about these bytes, sent at a frame's boundary.
    pub fn of(mut bytes: &[u8]) -> Self {
        let mut fate = FrameFate::default();
        while !bytes.is_empty() {
            let frame = match frame::decode(bytes, &FrameLimits::default()) {
                DecodedFrame::NeedMore(_) => {
                    fate.end = ConnectionFate::Waiting;
                    break;
                }
                DecodedFrame::Reject(reject) => {
                    fate.end = ConnectionFate::Closed {
                        answered: reject.answerable,
                    };
                    break;
                }
                DecodedFrame::Frame(frame) => frame,
            };
            match RequestHead::parse(frame.payload) {
                Err(fault) if fault.closes => {
                    fate.end = ConnectionFate::Closed { answered: true };
                    break;
                }
                Err(fault) => fate.answers.push(fault.id),
                Ok(head) => fate.answers.push(head.id.into_owned()),
            }
            bytes = &bytes[frame.frame_bytes..];
        }
        fate
    }
}

/// A definition of format 2.
fn chart() -> Value {
    json!({"format": 2, "initial": "a", "context": {"default": {"n": 1}, "schema": {"required": ["n"]}},
            "events": {"E": {"schema": {"properties": {"n": {"minimum": 0}}}}},
            "states": [{"name": "a", "timers": [{"event": "E", "after": "ctx.wait", "optional": true, "jitter": "1m"}]},
                {"name": "b", "emit": "x", "always": [{"to": "a", "guard": "ctx.n > 9"}]}],
            "transitions": [{"from": "*", "except": ["b"], "event": "E", "to": "b", "merge": "deep",
                "guard": "event.n > ctx.n", "set": {"m.k": "ctx.n + 1"}, "unset": ["z"], "emit": ["y"]}]})
}

/// An operation on a lock.
fn about_a_lock(which: u64) -> (&'static str, Value) {
    match which {
        0 => (
            "LOCK_ACQUIRE",
            json!({"name": "l", "owner": "o", "ttl_ms": 1000, "wait_ms": 20}),
        ),
        1 => (
            "LOCK_RENEW",
            json!({"name": "l", "token": 7, "ttl_ms": 1000}),
        ),
        2 => (
            "LOCK_RELEASE",
            json!({"name": "l", "token": 7, "fence": {"lock": "k", "token": 3}}),
        ),
        3 => ("LOCK_GET", json!({"name": "l", "consistency": "local"})),
        _ => (
            "LOCK_LIST",
            json!({"prefix": "l", "limit": 2, "after": "k"}),
        ),
    }
}

/// What each event would do.
fn allowed_events(instance: &str) -> (&'static str, Value) {
    let params = json!({"instance_id": instance, "payloads": {"SET": {"n": 1}}});
    ("ALLOWED_EVENTS", params)
}

/// What becomes of timers.
fn get_instance(instance: &str) -> (&'static str, Value) {
    let params = json!({"instance_id": instance, "consistency": "local"});
    ("GET_INSTANCE", params)
}

fn get_machine() -> (&'static str, Value) {
    ("GET_MACHINE", json!({"machine": "counter", "version": 1}))
}

fn deletion_of_machine() -> (&'static str, Value) {
    let params = json!({"machine": "fuzz", "version": 1, "all_versions": false});
    ("DELETE_MACHINE", params)
}

fn import(instance: &str) -> (&'static str, Value) {
    let params = json!({"instance_id": instance, "machine": "counter", "initial_state": "on", "created_at": 1,
        "updated_at": 2});
    ("CREATE_INSTANCE", params)
}

fn timers(instance: &str) -> (&'static str, Value) {
    let timers = json!({"E": {"after": "1h"}, "F": {"at": 1}, "G": null});
    let params =
        json!({"instance_id": instance, "timers": timers, "resume": true, "idempotency_key": "t"});
    ("TIMER_SET", params)
}

/// What a batch would do.
fn dry_run(create: &Value) -> (&'static str, Value) {
    let ops = json!([{"op": "CREATE_INSTANCE", "params": create}]);
    ("BATCH", json!({"ops": ops, "dry_run": true}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fate_of_valid_and_broken_bytes_is_known() {
        let ping = framed(r#"{"type":"request","id":"7","op":"PING"}"#);
        let answered = FrameFate {
            answers: vec!["7".to_owned()],
            end: ConnectionFate::Open,
        };
        assert_eq!(FrameFate::of(&ping), answered);
        assert_eq!(FrameFate::of(&ping[..20]).end, ConnectionFate::Waiting);
        assert_eq!(
            FrameFate::of(b"GET / HTTP/1.1").end,
            ConnectionFate::Closed { answered: false }
        );
        assert_eq!(
            FrameFate::of(&framed("[]")).end,
            ConnectionFate::Closed { answered: true }
        );
        assert_eq!(FrameFate::of(&framed("{}")).answers, [""]);
    }

    #[test]
    fn mutations_take_every_way_and_the_same_seed_takes_the_same() {
        let frames = |seed| {
            let mut mutator = Mutator::new(Rng::new(seed));
            (0..2000).map(|_| mutator.frame()).collect::<Vec<_>>()
        };
        let made = frames(3);
        assert_eq!(made, frames(3));
        let ends: Vec<ConnectionFate> = made.iter().map(|frame| FrameFate::of(frame).end).collect();
        for end in [
            ConnectionFate::Open,
            ConnectionFate::Waiting,
            ConnectionFate::Closed { answered: true },
        ] {
            assert!(ends.contains(&end), "{end:?}");
        }
        let open = ends
            .iter()
            .filter(|end| **end == ConnectionFate::Open)
            .count();
        assert!(open > 1000, "only {open} of 2000 reach the operations");
    }
}
