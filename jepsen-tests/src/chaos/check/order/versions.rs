//! The versions of one instance, in the order of the log, and the request for each.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::chaos::check::ops::{InstanceOp, OpAction};
use crate::chaos::check::result::Violation;
use crate::chaos::check::truth::{FactKind, TrueFact, Truth};
use crate::chaos::history::HistoryEntry;
use crate::load::machines::TestMachine;

/// The state of an instance between two facts. In the first version it was not created yet.
#[derive(Debug)]
pub(super) struct InstanceVersion<'a> {
    /// Where it begins; 0 for the first.
    pub offset: u64,
    /// The last fact there; `None` for the first.
    pub fact: Option<&'a TrueFact>,
    /// The earliest time at which a client asked for this version or any before it.
    pub begun: u64,
}

/// All versions of one instance.
#[derive(Debug)]
pub(super) struct Versions<'a> {
    pub id: &'a str,
    pub all: Vec<InstanceVersion<'a>>,
    pub writers: Vec<FactWriter<'a>>,
    /// The writer that a request is an attempt of, by the request's address in memory.
    by_request: HashMap<*const HistoryEntry, usize>,
}

/// The requests that asked for one fact: one request, or several if a client sent it again under the same key.
#[derive(Debug)]
pub(super) struct FactWriter<'a> {
    pub fact: &'a TrueFact,
    pub attempts: Vec<InstanceOp<'a>>,
    /// The version it made.
    pub version: usize,
}

impl InstanceVersion<'_> {
    /// Whether the instance is there.
    pub fn is_live(&self) -> bool {
        self.fact.is_some_and(|fact| fact.kind != FactKind::Delete)
    }

    /// The state, empty where the instance is not there.
    pub fn state(&self) -> &str {
        self.fact.map_or("", |fact| fact.to.as_str())
    }

    /// Whether this version refuses the event of a request with this code, by the model.
    pub fn refuses(&self, asked: &Value, code: &str) -> bool {
        let Some(fact) = self.fact.filter(|_| self.is_live()) else {
            return false;
        };
        // The machine of one state takes its event always.
        let (Some(machine), Some(ctx)) =
            (TestMachine::from_name(&fact.machine), fact.ctx.as_object())
        else {
            return false;
        };
        let event = asked["event"].as_str().unwrap_or_default();
        let payload = asked["payload"].as_object().cloned();
        let model = machine.event(&fact.to, event, ctx, payload);
        model.is_err_and(|refusal| refusal.code() == code)
    }
}

impl FactWriter<'_> {
    /// When a client first asked for the fact. A refused request does not count.
    pub fn begun(&self) -> u64 {
        let may_be_it = self.attempts.iter().filter(|op| !op.is_refused());
        may_be_it.map(|op| op.entry.begun).min().unwrap_or(0)
    }

    /// When it was known to be done, if ever.
    pub fn ended(&self) -> u64 {
        let done = self.attempts.iter().filter(|op| op.result().is_some());
        done.map(|op| op.entry.ended).min().unwrap_or(u64::MAX)
    }

    /// The attempt that says most.
    pub fn shown(&self) -> Option<&InstanceOp<'_>> {
        let done = self.attempts.iter().find(|op| op.result().is_some());
        done.or(self.attempts.first())
    }
}

impl<'a> Versions<'a> {
    /// The versions of an instance, and the writes among its operations that made them.
    pub fn new(id: &'a str, ops: &[InstanceOp<'a>], truth: &'a Truth) -> Self {
        let facts: Vec<&TrueFact> = truth.of_instance(id).collect();
        let mut attempts = attempts(ops, &facts);
        let mut all = vec![InstanceVersion {
            offset: 0,
            fact: None,
            begun: 0,
        }];
        let mut writers = Vec::with_capacity(facts.len());
        for (at, fact) in facts.iter().enumerate() {
            if all.last().is_none_or(|last| last.offset != fact.offset) {
                let begun = all.last().map_or(0, |last| last.begun);
                all.push(InstanceVersion {
                    offset: fact.offset,
                    fact: None,
                    begun,
                });
            }
            let writer = FactWriter {
                fact,
                attempts: attempts.remove(&at).unwrap_or_default(),
                version: all.len() - 1,
            };
            if let Some(version) = all.last_mut() {
                version.fact = Some(fact);
                version.begun = version.begun.max(writer.begun());
            }
            writers.push(writer);
        }
        let by_request = writers.iter().enumerate().flat_map(|(at, writer)| {
            let requests = writer
                .attempts
                .iter()
                .map(|op| std::ptr::from_ref(op.entry));
            requests.map(move |request| (request, at))
        });
        Self {
            id,
            all,
            by_request: by_request.collect(),
            writers,
        }
    }

    /// The fact that a request asked for, if the log has it.
    pub fn writer(&self, op: &InstanceOp<'_>) -> Option<&FactWriter<'a>> {
        let at = self.by_request.get(&std::ptr::from_ref(op.entry))?;
        self.writers.get(*at)
    }

    /// The version that begins at an offset.
    pub fn at(&self, offset: u64) -> Option<usize> {
        let found = self.all.binary_search_by_key(&offset, |one| one.offset);
        found.ok().filter(|at| *at > 0)
    }

    /// What the log says of a version, for a window.
    pub fn fact(&self, version: usize) -> Option<&'a TrueFact> {
        self.all.get(version)?.fact
    }

    /// Faults of the facts themselves.
    pub fn judge(&self) -> Vec<Violation> {
        let mut wrong = Vec::new();
        let mut before: Option<&TrueFact> = None;
        let mut seen: HashMap<&str, &TrueFact> = HashMap::new();
        for writer in &self.writers {
            let fact = writer.fact;
            let asked = writer.attempts.iter().map(|op| op.entry);
            if let Err(problem) = follows(before, fact) {
                let facts = before.into_iter().chain([fact]);
                wrong.push(Violation::new(problem, Some(self.id), asked.clone(), facts));
            }
            if let Err(problem) = as_asked(before, writer) {
                let facts = before.into_iter().chain([fact]);
                wrong.push(Violation::new(problem, Some(self.id), asked.clone(), facts));
            }
            if let Some(id) = fact.event_id.as_deref()
                && let Some(first) = seen.insert(id, fact)
            {
                let problem = format!("{id} took effect twice");
                wrong.push(Violation::new(problem, Some(self.id), asked, [first, fact]));
            }
            before = Some(fact);
        }
        wrong
    }
}

/// The writes of an instance, by the fact they asked for.
fn attempts<'a>(
    ops: &[InstanceOp<'a>],
    facts: &[&TrueFact],
) -> HashMap<usize, Vec<InstanceOp<'a>>> {
    let mut by_event: HashMap<&str, usize> = HashMap::new();
    for (at, fact) in facts.iter().enumerate() {
        if let Some(id) = &fact.event_id {
            by_event.entry(id).or_insert(at);
        }
    }
    // Ids are not used again, so there is one creation and one deletion.
    let of_kind = |kind| facts.iter().position(|fact| fact.kind == kind);
    let (create, delete) = (of_kind(FactKind::Create), of_kind(FactKind::Delete));
    let mut attempts: HashMap<usize, Vec<InstanceOp<'a>>> = HashMap::new();
    for op in ops {
        let fact = match op.action {
            OpAction::Create { .. } => create,
            OpAction::Event { event_id, .. } => by_event.get(event_id).copied(),
            OpAction::Delete => delete,
            OpAction::Get => None,
        };
        if let Some(fact) = fact {
            attempts.entry(fact).or_default().push(*op);
        }
    }
    attempts
}

/// Whether a fact may follow another, by the model and the rules of contexts.
fn follows(before: Option<&TrueFact>, fact: &TrueFact) -> Result<(), String> {
    let live = before.filter(|before| before.kind != FactKind::Delete);
    match (fact.kind, live) {
        (FactKind::Create, None) => match before {
            Some(_) => Err("it was deleted, but exists again".to_owned()),
            None => Ok(()),
        },
        (FactKind::Create, Some(_)) => Err("it was created twice".to_owned()),
        (FactKind::Delete, Some(_)) => Ok(()),
        (FactKind::Event | FactKind::Delete, None) => {
            Err("a fact changed it while it did not exist".to_owned())
        }
        (FactKind::Event, Some(before)) => moves(before, fact),
        // Gates have a checker of their own.
        (FactKind::Spent | FactKind::Moved, _) => Ok(()),
    }
}

fn moves(before: &TrueFact, fact: &TrueFact) -> Result<(), String> {
    if fact.from != before.to {
        return Err("an event leaves a state it was not in".to_owned());
    }
    let empty = Map::new();
    let ctx = before.ctx.as_object().unwrap_or(&empty);
    if let Some(machine) = TestMachine::from_name(&fact.machine) {
        let payload = fact.payload.as_object().cloned();
        let moved = machine.event(&before.to, &fact.event, ctx, payload);
        let moved =
            moved.map_err(|refusal| format!("an event took effect in spite of {refusal:?}"))?;
        if moved.state != fact.to {
            let to = moved.state;
            return Err(format!("an event led to {}, not to {to}", fact.to));
        }
        if fact.ctx.as_object() != Some(&moved.ctx) {
            return Err("the context is not the one that the event gives".to_owned());
        }
        if fact.via != moved.via || fact.emits != moved.emits {
            return Err(format!(
                "an event passed {:?} and emitted {:?}, not {:?} and {:?}",
                fact.via, fact.emits, moved.via, moved.emits
            ));
        }
        return Ok(());
    }
    let mut merged = ctx.clone();
    for (key, value) in fact.payload.as_object().into_iter().flatten() {
        merged.insert(key.clone(), value.clone());
    }
    if fact.ctx.as_object() != Some(&merged) {
        return Err("the context is not the earlier one merged with the payload".to_owned());
    }
    Ok(())
}

/// Whether a client asked for a fact, and for exactly this one.
fn as_asked(before: Option<&TrueFact>, writer: &FactWriter<'_>) -> Result<(), String> {
    let FactWriter { fact, attempts, .. } = writer;
    let Some(first) = attempts.first() else {
        // Instances that exist from the beginning were created before the recording began.
        let is_prepared = fact.kind == FactKind::Create;
        let problem = Err("it took effect, and no client asked for it".to_owned());
        return if is_prepared { Ok(()) } else { problem };
    };
    if attempts.iter().all(InstanceOp::is_refused) {
        return Err("a refused request took effect".to_owned());
    }
    let is_same = match first.action {
        OpAction::Create { params } => {
            let ctx = params.get("initial_ctx");
            ctx.map_or(fact.ctx == Value::Object(Map::new()), |ctx| {
                *ctx == fact.ctx
            }) && fact.machine == params["machine"].as_str().unwrap_or_default()
        }
        OpAction::Event { params, .. } => {
            if let Some(expected) = params["expected_wal_offset"].as_u64()
                && before.map(|before| before.offset) != Some(expected)
            {
                return Err(format!(
                    "it was to take effect only after offset {expected}, but came after {:?}",
                    before.map(|before| before.offset)
                ));
            }
            if let Some(expected) = params["expected_state"].as_str()
                && fact.from != expected
            {
                return Err(format!("it was to take effect only in {expected}"));
            }
            params["event"].as_str() == Some(&fact.event) && params["payload"] == fact.payload
        }
        OpAction::Delete => true,
        OpAction::Get => false,
    };
    if is_same {
        Ok(())
    } else {
        Err("its effect differs from the request".to_owned())
    }
}
