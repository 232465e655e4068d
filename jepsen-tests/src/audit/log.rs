//! The ledgers and the model against the log.
//!
//! Fed with every record from the beginning, in order, it finds:
//!
//! - acknowledged writes that are missing, or stand elsewhere than the answer said;
//! - operations that took effect twice, in part, or after they were refused;
//! - records that no client asked for, or that say something else than was asked for;
//! - transitions, contexts and orders of offsets that the model does not allow;
//! - writes of one connection to one instance that took effect in another order than they were sent.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::load::ledger::{IntendedEffect, Ledger, LedgerOp, LoadAction, LoadOutcome};
use crate::load::machines::{ModelInstance, TestMachine};
use crate::rcp::wal::ReadRecord;
use crate::rcp::watcher::SeenEvent;

/// At most this many findings are kept.
const VIOLATIONS_MAX: usize = 50;

/// The checker of one run.
#[derive(Debug)]
pub struct LogAudit<'a> {
    ledgers: &'a [Ledger],
    expected: HashMap<&'a str, &'a IntendedEffect>,
    found: HashMap<String, Vec<u64>>,
    instances: HashMap<String, ModelInstance>,
    events: Vec<SeenEvent>,
    last_offset: u64,
    violations: Vec<String>,
}

/// What the log says, once it is all read.
#[derive(Debug)]
pub struct LogVerdict {
    /// Everything that is wrong; empty is good.
    pub violations: Vec<String>,
    /// Every instance as the log leaves it.
    pub instances: HashMap<String, ModelInstance>,
    /// What every watcher from the beginning must have seen.
    pub events: Vec<SeenEvent>,
}

impl<'a> LogAudit<'a> {
    /// A checker that has not read any of the log.
    pub fn new(ledgers: &'a [Ledger]) -> Self {
        let ops = ledgers.iter().flat_map(|ledger| &ledger.ops);
        let effects = ops.flat_map(|op| &op.effects);
        Self {
            ledgers,
            expected: effects
                .map(|effect| (effect.tag.as_str(), effect))
                .collect(),
            found: HashMap::new(),
            instances: HashMap::new(),
            events: Vec::new(),
            last_offset: 0,
            violations: ledgers
                .iter()
                .flat_map(|ledger| ledger.violations.clone())
                .collect(),
        }
    }

    /// Takes the log's next record.
    pub fn record(&mut self, record: &ReadRecord) {
        if record.offset < self.last_offset {
            self.violation(format!(
                "offset {} after {}",
                record.offset, self.last_offset
            ));
        }
        self.last_offset = record.offset;
        match record.kind() {
            "create_instance" => self.created(record),
            "apply_event" => self.applied(record),
            "put_machine" | "snapshot" | "checkpoint" => {}
            other => self.violation(format!("offset {}: a {other}", record.offset)),
        }
    }

    fn created(&mut self, record: &ReadRecord) {
        let ctx = &record.entry["initial_ctx"];
        let tag = ctx["op"].as_str().unwrap_or_default();
        self.expect(record, tag, |action| match action {
            LoadAction::Create {
                machine,
                ctx: asked,
            } => machine.name() == record.text("machine") && asked == ctx,
            LoadAction::Event { .. } => false,
        });
        let Some(machine) = TestMachine::from_name(record.text("machine")) else {
            return self.violation(format!("offset {}: unknown machine", record.offset));
        };
        let ctx = ctx.as_object().cloned().unwrap_or_default();
        let instance = ModelInstance::new(machine, ctx, record.offset);
        if record.text("initial_state") != instance.state {
            self.violation(format!("offset {}: wrong initial state", record.offset));
        }
        let id = record.text("instance_id").to_owned();
        if self.instances.insert(id, instance).is_some() {
            self.violation(format!("offset {}: created twice", record.offset));
        }
    }

    fn applied(&mut self, record: &ReadRecord) {
        self.events.extend(record.seen());
        self.expect(record, record.text("event_id"), |action| match action {
            LoadAction::Event { event, payload } => {
                *event == record.text("event") && *payload == record.entry["payload"]
            }
            LoadAction::Create { .. } => false,
        });
        if let Err(problem) = self.replay(record) {
            self.violation(format!(
                "offset {}: {problem}: {}",
                record.offset, record.entry
            ));
        }
    }

    /// Applies an event to the model and compares.
    fn replay(&mut self, record: &ReadRecord) -> Result<(), &'static str> {
        let id = record.text("instance_id");
        let instance = self.instances.get_mut(id).ok_or("no such instance")?;
        if instance.last_offset >= record.offset {
            // Two events of one batch on one instance are allowed; this load has none.
            return Err("the instance's offsets do not ascend");
        }
        if instance.state != record.text("from_state") {
            return Err("it leaves a state it was not in");
        }
        instance
            .apply(
                record.text("event"),
                &record.entry["payload"],
                record.offset,
            )
            .map_err(|_| "the model refuses it")?;
        if instance.state != record.text("to_state") {
            return Err("it enters another state than the model's");
        }
        if !same(&instance.ctx, &record.entry["ctx"]) {
            return Err("its context is not the merged one");
        }
        Ok(())
    }

    fn expect(
        &mut self,
        record: &ReadRecord,
        tag: &str,
        is_as_asked: impl Fn(&LoadAction) -> bool,
    ) {
        let Some(effect) = self.expected.get(tag).copied() else {
            return self.violation(format!("offset {}: no client asked for it", record.offset));
        };
        let id = record.text("instance_id");
        let is_its_instance = effect.instance.as_deref().is_none_or(|asked| asked == id);
        if !is_its_instance || !is_as_asked(&effect.action) {
            self.violation(format!(
                "offset {}: not as asked: {effect:?}",
                record.offset
            ));
        }
        self.found
            .entry(tag.to_owned())
            .or_default()
            .push(record.offset);
    }

    /// Draws the conclusions.
    pub fn finish(mut self) -> LogVerdict {
        for (connection, ledger) in self.ledgers.iter().enumerate() {
            for op in &ledger.ops {
                if let Err(problem) = self.check_op(op) {
                    self.violation(format!("connection {connection}: {problem}: {op:?}"));
                }
            }
            self.check_order(connection, ledger);
        }
        LogVerdict {
            violations: self.violations,
            instances: self.instances,
            events: self.events,
        }
    }

    fn check_op(&self, op: &LedgerOp) -> Result<(), String> {
        let found: Vec<&[u64]> = op
            .effects
            .iter()
            .map(|effect| self.found.get(&effect.tag).map_or(&[][..], Vec::as_slice))
            .collect();
        if found.iter().any(|offsets| offsets.len() > 1) {
            return Err(format!("took effect more than once, at {found:?}"));
        }
        if found.iter().any(|offsets| *offsets != found[0]) {
            return Err(format!(
                "took effect in part, or not at one offset: {found:?}"
            ));
        }
        if let Some(id) = &op.made_up_id
            && !self.instances.contains_key(id)
        {
            return Err("its instance is missing".to_owned());
        }
        match (&op.outcome, found[0]) {
            (LoadOutcome::Acknowledged { .. }, []) => Err("acknowledged, but missing".to_owned()),
            (LoadOutcome::Acknowledged { offset }, [at]) if offset != at => {
                Err(format!("acknowledged elsewhere than where it is, {at}"))
            }
            (LoadOutcome::Refused { .. }, [at, ..]) => {
                Err(format!("refused, but took effect at {at}"))
            }
            _ => Ok(()),
        }
    }

    /// Only first attempts have an order. A repetition may come at any time.
    fn check_order(&mut self, connection: usize, ledger: &Ledger) {
        let mut last: HashMap<&str, u64> = HashMap::new();
        let mut wrong = Vec::new();
        for op in ledger.ops.iter().filter(|op| op.attempts == 1) {
            let Some(offset) = op.acknowledged() else {
                continue;
            };
            for instance in op
                .effects
                .iter()
                .filter_map(|effect| effect.instance.as_deref())
            {
                if let Some(before) = last.insert(instance, offset)
                    && before >= offset
                {
                    wrong.push(format!(
                        "connection {connection}, {instance}: {offset} was sent after {before}"
                    ));
                }
            }
        }
        for problem in wrong {
            self.violation(problem);
        }
    }

    fn violation(&mut self, problem: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(problem);
        }
    }
}

/// Objects are equal whatever the order of their keys.
fn same(model: &Map<String, Value>, found: &Value) -> bool {
    found.as_object().is_some_and(|found| found == model)
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
