//! The engine: an order's event, decided, encoded, decoded and applied.

use std::hint::black_box;

use bytes::Bytes;
use rstmdb_engine::chain::{EntryKind, Logged};
use rstmdb_engine::fact::{Body, Message};
use rstmdb_engine::{
    ApplyEvent, Command, Compiled, CreateInstance, DecideAt, Decision, Entry, Limits,
    PendingEntries, PutMachine, State, decide,
};

use crate::count;

const GUARD: &str = r#","guard":"ctx.total > 0 && ctx.status == \"confirmed\" && !ctx.blocked""#;
const SMALL: usize = 100;
const LARGE: usize = 10 << 10;

/// An order that stays open, so that the same event can be decided over and over.
pub(crate) struct OpenOrder {
    state: State,
    event: Command,
    limits: Limits,
}

impl OpenOrder {
    /// An order with a context of about so many bytes.
    pub(crate) fn new(guard: &str, ctx_bytes: usize, key: Option<&str>) -> Self {
        let mut order = Self {
            state: State::new(),
            event: Command::ApplyEvent(ApplyEvent {
                instance_id: "order-000001".to_owned(),
                event: "CHANGE".to_owned(),
                payload: Some(Bytes::from_static(
                    br#"{"total":130.00,"note":"to be left with the neighbours, please"}"#,
                )),
                idempotency_key: key.map(str::to_owned),
                ..ApplyEvent::default()
            }),
            limits: Limits::default(),
        };
        let definition = format!(
            r#"{{"states":["open"],"initial":"open","transitions":[{{"from":"open","event":"CHANGE","to":"open"{guard}}}]}}"#
        );
        order.write(&Command::PutMachine(PutMachine {
            machine: "order".to_owned(),
            version: 1,
            definition: Bytes::from(definition),
            checksum: None,
        }));
        order.write(&Command::CreateInstance(CreateInstance {
            instance_id: "order-000001".to_owned(),
            id_given: true,
            machine: "order".to_owned(),
            version: 1,
            initial_ctx: Some(ctx(ctx_bytes)),
            idempotency_key: None,
            import: None,
        }));
        order
    }

    fn write(&mut self, command: &Command) {
        let (entry, compiled) = written(self.decide(command));
        self.apply(&entry, &compiled);
    }

    fn apply(&mut self, entry: &Entry, compiled: &Compiled) {
        let applied = self.state.apply_compiled(entry, entry.index, compiled);
        assert!(applied.is_ok(), "{applied:?}");
    }

    /// Decides its event.
    pub(crate) fn decide_event(&self) -> Decision {
        self.decide(&self.event)
    }

    fn decide(&self, command: &Command) -> Decision {
        let at = DecideAt {
            offset: self.state.last_applied() + 1,
            now_ms: 1_700_000_000_000,
            actor: "bench",
            meta: None,
            limits: &self.limits,
            reach: None,
        };
        match decide(&self.state, &PendingEntries::new(), command, &at) {
            Ok(decision) => decision,
            Err(refusal) => panic!("every command here is allowed: {refusal}"),
        }
    }

    /// What its event puts into the log.
    pub(crate) fn entry(&self) -> Entry {
        written(self.decide_event()).0
    }
}

fn written(decision: Decision) -> (Entry, Compiled) {
    match decision {
        Decision::Write {
            entry, compiled, ..
        } => (entry, compiled),
        Decision::Answer { .. } => panic!("every command here is new"),
    }
}

fn ctx(bytes: usize) -> Bytes {
    let mut text =
        String::from(r#"{"customer":"c-1048","total":129.90,"status":"confirmed","blocked":false"#);
    let mut number = 0;
    while text.len() + 20 < bytes {
        text.push_str(&format!(r#","item-{number:05}":{}"#, number % 7));
        number += 1;
    }
    text.push('}');
    Bytes::from(text)
}

fn decide_one(guard: &str, ctx_bytes: usize, key: Option<&str>) {
    let order = OpenOrder::new(guard, ctx_bytes, key);
    count(|| drop(black_box(black_box(&order).decide_event())));
}

pub(super) fn decide_small() {
    decide_one("", SMALL, None);
}

pub(super) fn decide_small_guarded() {
    decide_one(GUARD, SMALL, None);
}

pub(super) fn decide_small_keyed() {
    decide_one("", SMALL, Some("0b3f7c4e-order-000001"));
}

pub(super) fn decide_large() {
    decide_one("", LARGE, None);
}

pub(super) fn decide_large_guarded() {
    decide_one(GUARD, LARGE, None);
}

/// An entry is put in flight, and settled.
pub(super) fn overlay() {
    let order = OpenOrder::new("", SMALL, None);
    let (mut pending, mut entry) = (PendingEntries::new(), order.entry());
    let compiled = Compiled::default();
    count(|| {
        entry.index += 1;
        pending.push(black_box(&entry), &compiled);
        pending.settle(entry.index);
    });
}

fn encode(ctx_bytes: usize) {
    let entry = OpenOrder::new("", ctx_bytes, None).entry();
    count(|| drop(black_box(black_box(&entry).encode_to_vec())));
}

pub(super) fn fact_encode_small() {
    encode(SMALL);
}

pub(super) fn fact_encode_large() {
    encode(LARGE);
}

fn decode(ctx_bytes: usize) {
    let bytes = Bytes::from(OpenOrder::new("", ctx_bytes, None).entry().encode_to_vec());
    assert!(Entry::decode(bytes.clone()).is_ok(), "not an entry");
    count(|| drop(black_box(Entry::decode(black_box(&bytes).clone()))));
}

pub(super) fn fact_decode_small() {
    decode(SMALL);
}

pub(super) fn fact_decode_large() {
    decode(LARGE);
}

fn apply(ctx_bytes: usize) {
    let mut order = OpenOrder::new("", ctx_bytes, None);
    let mut entry = order.entry();
    let compiled = Compiled::default();
    count(|| {
        order.apply(black_box(&entry), &compiled);
        follow(&mut entry);
    });
}

/// Changes the entry so that it applies at the next offset, on top of itself. Applied unchanged, it would be stale the
/// second time.
fn follow(entry: &mut Entry) {
    for fact in &mut entry.facts {
        if let Some(Body::ApplyEvent(apply)) = &mut fact.body {
            apply.prev_offset = entry.index;
        }
    }
    entry.index += 1;
}

pub(super) fn apply_small() {
    apply(SMALL);
}

pub(super) fn apply_large() {
    apply(LARGE);
}

/// An entry's hash, and the head after it, as apply computes them.
fn chain(ctx_bytes: usize) {
    let mut order = OpenOrder::new("", ctx_bytes, None);
    let entry = order.entry();
    let payload = entry.encode_to_vec();
    let mut offset = order.state.last_applied();
    order.state.begin_chain(offset + 1);
    count(|| {
        offset += 1;
        let logged = Logged {
            term: 1,
            offset,
            kind: EntryKind::Normal,
            payload: black_box(&payload),
        };
        let hash = logged.hash_with(Some(black_box(&entry)));
        let linked = order.state.link(offset, &hash);
        assert!(linked.is_ok(), "{linked:?}");
    });
}

pub(super) fn chain_small() {
    chain(SMALL);
}

pub(super) fn chain_large() {
    chain(LARGE);
}
