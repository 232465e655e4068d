//! The events of a run, and its first violation. One run has one thread, so both are thread-local, and no
//! caller needs a handle to them.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use openraft_rt_sim::SimInstant;

/// How many of the last events are kept to be shown.
const SHOWN: usize = 400;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
struct TraceEvent {
    at: Duration,
    node: u64,
    what: &'static str,
    numbers: [u64; 2],
}

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvariantViolation {
    /// Which invariant does not hold.
    pub invariant: &'static str,
    /// What was seen instead.
    pub seen: String,
    /// When, since the start of the run.
    pub at: Duration,
}

#[derive(Default)]
struct Trace {
    events: VecDeque<TraceEvent>,
    hash: u64,
    counts: BTreeMap<&'static str, u64>,
    violation: Option<InvariantViolation>,
    /// Events are printed as they come.
    spoken: bool,
}

thread_local! {
    static TRACE: RefCell<Trace> = RefCell::new(Trace::default());
}

/// Begins the trace of a run.
pub fn begin(spoken: bool) {
    TRACE.with_borrow_mut(|trace| {
        *trace = Trace {
            hash: FNV_OFFSET,
            spoken,
            ..Trace::default()
        };
    });
}

/// The virtual time since the start of the run.
#[must_use]
pub fn now() -> Duration {
    SimInstant::try_now().map_or(Duration::ZERO, SimInstant::elapsed_since_start)
}

/// Notes that something happened on a node (0: on none).
pub fn note(node: u64, what: &'static str, numbers: [u64; 2]) {
    let at = now();
    TRACE.with_borrow_mut(|trace| {
        let time = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        let name = what.bytes().map(u64::from);
        for part in [time, node, numbers[0], numbers[1]].into_iter().chain(name) {
            trace.hash = (trace.hash ^ part).wrapping_mul(FNV_PRIME);
        }
        *trace.counts.entry(what).or_default() += 1;
        let event = TraceEvent {
            at,
            node,
            what,
            numbers,
        };
        if trace.spoken {
            println!("{}", line(&event));
        }
        if trace.events.len() == SHOWN {
            trace.events.pop_front();
        }
        trace.events.push_back(event);
    });
}

/// Notes that an invariant does not hold; the first time counts.
pub fn violated(invariant: &'static str, seen: String) {
    let at = now();
    TRACE.with_borrow_mut(|trace| {
        if trace.spoken {
            println!("{:>12?}  VIOLATED: {invariant}: {seen}", at);
        }
        trace.violation.get_or_insert(InvariantViolation {
            invariant,
            seen,
            at,
        });
    });
}

/// Whether some invariant does not hold.
#[must_use]
pub fn is_violated() -> bool {
    TRACE.with_borrow(|trace| trace.violation.is_some())
}

/// The trace of a finished run.
#[derive(Debug, Clone, Default)]
pub struct RunTrace {
    /// The violation, if there is one.
    pub violation: Option<InvariantViolation>,
    /// How often each thing happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// The last events, as text.
    pub tail: Vec<String>,
    /// A hash of the trace. It is equal for two runs with the same events at the same times.
    pub hash: u64,
}

/// Ends the trace; the events are put in words only where there is a violation.
#[must_use]
pub fn end() -> RunTrace {
    let trace = TRACE.with_borrow_mut(std::mem::take);
    let tail = match &trace.violation {
        Some(_) => trace.events.iter().map(line).collect(),
        None => Vec::new(),
    };
    RunTrace {
        violation: trace.violation,
        counts: trace.counts,
        tail,
        hash: trace.hash,
    }
}

fn line(event: &TraceEvent) -> String {
    let [first, second] = event.numbers;
    let node = match event.node {
        0 => "-".to_owned(),
        node => format!("n{node}"),
    };
    let at = event.at.as_secs_f64() * 1e3;
    format!(
        "{at:>12.3} ms {node:>4} {:<24} {first} {second}",
        event.what
    )
}
