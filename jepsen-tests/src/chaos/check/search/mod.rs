//! A second check of linearizability that does not trust the offsets: for each instance it searches for an order
//! of the requests that explains every value.
//!
//! The search uses offsets and log only for writes without an answer. They show whether such a write ever took effect,
//! and by when at the latest: each write that stays open doubles the work. An instance that is not decided in time
//! is counted as undecided; it is neither a violation nor a pass.

mod models;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use porcupine_rs::{CheckResult, Model, Operation, check_operations_timeout};
use serde_json::{Map, Value};

use self::models::{OrderHeld, OrderModel, OrderOp, RegisterModel, RegisterOp};
use super::ops::{self, ClientTold, InstanceOp, OpAction};
use super::result::{CheckerResult, Tally, Violation};
use super::truth::{TrueFact, Truth};
use crate::chaos::history::{HistoryEntry, Workload};
use crate::load::machines::ModelRefusal;

/// The name of the checker.
pub(super) const NAME: &str = "search";
/// For all instances together.
const TIME_MAX: Duration = Duration::from_secs(8);
/// For one of them.
const TIME_EACH_MAX: Duration = Duration::from_secs(1);
/// How many requests before the failing one its window shows.
const SHOWN_BEFORE: usize = 4;

/// One request of an instance in the terms of a model.
struct SearchStep<'a, M: Model> {
    entry: &'a HistoryEntry,
    op: M::Op,
    ended: u64,
    /// Whether the operation changes nothing. Then the search may leave it out: that never makes a good history bad.
    is_read: bool,
}

/// Searches every register and every order.
pub(super) fn check(entries: &[HistoryEntry], truth: &Truth) -> Vec<CheckerResult> {
    let mut results = Vec::new();
    let until = Instant::now() + TIME_MAX;
    let registers = [Workload::Register, Workload::Lease];
    if let Some(tally) = search(entries, truth, &registers, until, register) {
        results.push(tally.finish(NAME, Workload::Register.name()));
    }
    let until = Instant::now() + TIME_MAX;
    if let Some(tally) = search(entries, truth, &[Workload::Machine], until, order) {
        results.push(tally.finish(NAME, Workload::Machine.name()));
    }
    results
}

/// One instance in the terms of a model: its first state, and the operations on it.
type SearchedInstance<'a, M> = (<M as Model>::Op, Vec<SearchStep<'a, M>>);
/// Makes them; the instance begins with this fact.
type MakeSteps<M> = for<'a> fn(&[InstanceOp<'a>], &TrueFact, &Truth) -> SearchedInstance<'a, M>;

fn search<M: Model + 'static>(
    entries: &[HistoryEntry],
    truth: &Truth,
    workloads: &[Workload],
    until: Instant,
    make_steps: MakeSteps<M>,
) -> Option<Tally> {
    let mut by_instance: BTreeMap<&str, Vec<InstanceOp<'_>>> = BTreeMap::new();
    let chosen = |entry: &&HistoryEntry| workloads.contains(&entry.workload);
    for op in entries.iter().filter(chosen).flat_map(ops::of) {
        by_instance.entry(op.instance).or_default().push(op);
    }
    if by_instance.is_empty() {
        return None;
    }
    let mut tally = Tally::default();
    let mut undecided = 0;
    for (id, ops) in &by_instance {
        let Some(start) = truth.of_instance(id).next() else {
            undecided += 1;
            continue;
        };
        let (start, steps) = make_steps(ops, start, truth);
        match decide(&start, &steps, until) {
            CheckResult::Ok => {
                tally.operations += steps.len();
                let done = ops.iter().filter(|op| op.result().is_some());
                tally.succeeded += done.count();
            }
            CheckResult::Unknown => undecided += 1,
            CheckResult::Illegal => {
                tally.operations += steps.len();
                tally.violation(explain(id, &start, &steps));
            }
        }
    }
    let count = by_instance.len();
    tally.notes.push(format!(
        "{} of {count} instances decided, {undecided} undecided",
        count - undecided
    ));
    Some(tally)
}

fn decide<M: Model>(start: &M::Op, steps: &[SearchStep<'_, M>], until: Instant) -> CheckResult {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return CheckResult::Unknown;
    }
    let time = |us: u64| i64::try_from(us).unwrap_or(i64::MAX);
    let mut operations = vec![Operation {
        client_id: None,
        call_time: -2,
        return_time: -1,
        op: start.clone(),
        metadata: None,
    }];
    operations.extend(steps.iter().map(|step| Operation {
        client_id: None,
        call_time: time(step.entry.begun),
        return_time: time(step.ended),
        op: step.op.clone(),
        metadata: None,
    }));
    check_operations_timeout::<M>(&operations, left.min(TIME_EACH_MAX))
}

/// The first read that cannot be explained, found by bisection, and the requests shortly before it.
fn explain<M: Model>(id: &str, start: &M::Op, steps: &[SearchStep<'_, M>]) -> Violation {
    let until = Instant::now() + TIME_MAX;
    let mut ends: Vec<u64> = steps
        .iter()
        .filter(|it| it.is_read)
        .map(|it| it.ended)
        .collect();
    ends.sort_unstable();
    let is_bad = |count: usize| {
        let last = count.checked_sub(1).and_then(|at| ends.get(at));
        let kept = |step: &&SearchStep<'_, M>| !step.is_read || Some(&step.ended) <= last;
        let kept: Vec<SearchStep<'_, M>> =
            steps.iter().filter(kept).map(SearchStep::copy).collect();
        decide(start, &kept, until) == CheckResult::Illegal
    };
    let counts: Vec<usize> = (0..=ends.len()).collect();
    let first = counts.partition_point(|count| !is_bad(*count));
    let at = first.checked_sub(1).and_then(|at| ends.get(at)).copied();
    let Some(at) = at else {
        let shown = steps.iter().rev().take(SHOWN_BEFORE).map(|it| it.entry);
        let problem = "no order of the writes alone explains their answers";
        return Violation::new(problem, Some(id), shown, []);
    };
    let mut before: Vec<&SearchStep<'_, M>> =
        steps.iter().filter(|it| it.entry.begun < at).collect();
    before.sort_by_key(|step| (step.ended.min(at), step.is_read));
    let shown = before
        .iter()
        .rev()
        .take(SHOWN_BEFORE + 1)
        .map(|it| it.entry);
    let problem =
        format!("no order explains every value; the first that fails was seen by {at} us");
    Violation::new(problem, Some(id), shown, [])
}

impl<M: Model> SearchStep<'_, M> {
    fn copy(&self) -> Self {
        Self {
            entry: self.entry,
            op: self.op.clone(),
            ended: self.ended,
            is_read: self.is_read,
        }
    }
}

/// When a write without an answer took effect at the latest: when a client had received an offset at or
/// behind the write's own. `None` if it never did.
struct SearchBounds {
    /// The offsets in answers, descending, with the earliest end of an answer at or after each.
    told: Vec<(u64, u64)>,
    /// Where each event took effect.
    events: HashMap<String, u64>,
}

impl SearchBounds {
    fn new(ops: &[InstanceOp<'_>], id: &str, truth: &Truth) -> Self {
        let mut told: Vec<(u64, u64)> = ops
            .iter()
            .filter_map(|op| Some((named(op)?, op.entry.ended)))
            .collect();
        told.sort_unstable_by(|one, two| two.cmp(one));
        let mut earliest = u64::MAX;
        for (_, ended) in &mut told {
            earliest = earliest.min(*ended);
            *ended = earliest;
        }
        let events = truth.of_instance(id).filter_map(|fact| {
            let event_id = fact.event_id.clone()?;
            Some((event_id, fact.offset))
        });
        Self {
            told,
            events: events.collect(),
        }
    }

    fn end(&self, event_id: &str) -> Option<u64> {
        let offset = self.events.get(event_id)?;
        let upto = self.told.partition_point(|(told, _)| told >= offset);
        let last = upto.checked_sub(1).and_then(|at| self.told.get(at));
        Some(last.map_or(u64::MAX, |(_, ended)| *ended))
    }
}

/// The offset that an answer names.
fn named(op: &InstanceOp<'_>) -> Option<u64> {
    match op.told {
        ClientTold::Refused { details, .. } => details["actual_wal_offset"].as_u64(),
        _ => op.offset(),
    }
}

fn register<'a>(
    ops: &[InstanceOp<'a>],
    start: &TrueFact,
    truth: &Truth,
) -> SearchedInstance<'a, RegisterModel> {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut number = |value: &Value| {
        let next = numbers.len();
        *numbers.entry(value.to_string()).or_insert(next)
    };
    let start_op = RegisterOp::Start(number(&start.ctx["v"]));
    // The values that answers gave for an offset. A compare-and-set names one of these.
    let mut values: HashMap<u64, usize> = HashMap::new();
    values.insert(start.offset, number(&start.ctx["v"]));
    for op in ops {
        if let (Some(result), Some(offset)) = (op.result(), op.offset()) {
            values.insert(offset, number(&result["ctx"]["v"]));
        }
    }
    let bounds = SearchBounds::new(ops, &start.instance, truth);
    let mut steps = Vec::with_capacity(ops.len());
    for op in ops {
        let expected = op.expected().and_then(|offset| values.get(&offset));
        let mut ended = op.entry.ended;
        let step = match (op.action, op.told) {
            (OpAction::Get, ClientTold::Ok(result)) => {
                RegisterOp::Read(number(&result["ctx"]["v"]))
            }
            (OpAction::Event { params, .. }, ClientTold::Ok(_)) => {
                let value = number(&params["payload"]["v"]);
                expected.map_or(RegisterOp::Write(value), |from| {
                    RegisterOp::Cas(*from, value)
                })
            }
            (OpAction::Event { params, event_id }, ClientTold::Unknown) => {
                let Some(end) = bounds.end(event_id) else {
                    continue;
                };
                ended = end;
                let value = number(&params["payload"]["v"]);
                expected.map_or(RegisterOp::Write(value), |from| {
                    RegisterOp::Cas(*from, value)
                })
            }
            (OpAction::Event { .. }, ClientTold::Refused { code, .. }) => match expected {
                Some(expected) if code == "CONFLICT" => RegisterOp::NotEqual(*expected),
                _ => continue,
            },
            _ => continue,
        };
        steps.push(SearchStep {
            entry: op.entry,
            op: step,
            ended,
            is_read: matches!(step, RegisterOp::Read(_) | RegisterOp::NotEqual(_)),
        });
    }
    (start_op, steps)
}

fn order<'a>(
    ops: &[InstanceOp<'a>],
    start: &TrueFact,
    truth: &Truth,
) -> SearchedInstance<'a, OrderModel> {
    let held = |state: &Value, ctx: &Value| OrderHeld {
        state: state.as_str().unwrap_or_default().to_owned(),
        ctx: ctx.as_object().cloned().unwrap_or_else(Map::new),
    };
    let start_op = OrderOp::Start(held(&Value::String(start.to.clone()), &start.ctx));
    let bounds = SearchBounds::new(ops, &start.instance, truth);
    let mut steps = Vec::with_capacity(ops.len());
    for op in ops {
        let mut ended = op.entry.ended;
        let step = match (op.action, op.told) {
            (OpAction::Get, ClientTold::Ok(result)) => {
                OrderOp::Read(held(&result["state"], &result["ctx"]))
            }
            (OpAction::Event { params, .. }, ClientTold::Ok(result)) => {
                let from = result["from_state"].as_str().unwrap_or_default();
                let to = held(&result["to_state"], &result["ctx"]);
                moved(params, Some((from.to_owned(), to)))
            }
            (OpAction::Event { params, event_id }, ClientTold::Unknown) => {
                let Some(end) = bounds.end(event_id) else {
                    continue;
                };
                ended = end;
                moved(params, None)
            }
            (OpAction::Event { params, .. }, ClientTold::Refused { code, details }) => {
                let why = match code {
                    "INVALID_TRANSITION" => ModelRefusal::InvalidTransition,
                    "GUARD_FAILED" => ModelRefusal::GuardFailed,
                    _ => continue,
                };
                let state = details["current_state"].as_str().unwrap_or_default();
                OrderOp::Refused {
                    event: params["event"].as_str().unwrap_or_default().to_owned(),
                    state: state.to_owned(),
                    why,
                }
            }
            _ => continue,
        };
        steps.push(SearchStep {
            entry: op.entry,
            is_read: matches!(step, OrderOp::Read(_) | OrderOp::Refused { .. }),
            op: step,
            ended,
        });
    }
    (start_op, steps)
}

fn moved(params: &Value, after: Option<(String, OrderHeld)>) -> OrderOp {
    OrderOp::Event {
        event: params["event"].as_str().unwrap_or_default().to_owned(),
        payload: params["payload"].clone(),
        after,
    }
}
