//! The result of a checker.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::truth::TrueFact;
use crate::chaos::history::{HistoryEntry, Workload};

/// At most this many violations of one kind are kept.
const VIOLATIONS_MAX: usize = 20;
/// A window shows at most this many requests, and as many facts.
const WINDOW_MAX: usize = 16;

/// What one checker found in one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckerResult {
    /// The checker.
    pub checker: String,
    /// What was checked.
    pub subject: String,
    /// How many operations it judged.
    pub operations: usize,
    /// Its verdict.
    pub verdict: CheckVerdict,
    /// Notes, such as what could not be decided.
    pub notes: Vec<String>,
}

/// The verdict of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    /// Some operations were checked, and no violation was found.
    Valid,
    /// These violations were found.
    Invalid(Vec<Violation>),
    /// The check is inconclusive, which fails the run.
    Unknown(String),
    /// The check itself failed: this says nothing about the cluster, and fails the run.
    Failed(String),
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// The contradiction, in words.
    pub message: String,
    /// The instance, where it is about one.
    pub instance: Option<String>,
    /// The smallest set of requests and facts that shows the violation.
    pub window: ViolationWindow,
}

/// The requests and facts that contradict each other, and few others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ViolationWindow {
    /// Requests, in the order in which they were sent.
    pub entries: Vec<HistoryEntry>,
    /// Facts of the log, in its order.
    pub facts: Vec<TrueFact>,
}

impl CheckerResult {
    /// Whether it is a pass.
    pub fn is_valid(&self) -> bool {
        self.verdict == CheckVerdict::Valid
    }

    /// The violations; empty if there are none, or the check was inconclusive.
    pub fn violations(&self) -> &[Violation] {
        match &self.verdict {
            CheckVerdict::Invalid(violations) => violations,
            CheckVerdict::Valid | CheckVerdict::Unknown(_) | CheckVerdict::Failed(_) => &[],
        }
    }
}

impl fmt::Display for CheckerResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} ({} operations): ",
            self.checker, self.subject, self.operations
        )?;
        match &self.verdict {
            CheckVerdict::Valid => f.write_str("valid")?,
            CheckVerdict::Unknown(why) => write!(f, "unknown: {why}")?,
            CheckVerdict::Failed(why) => write!(f, "the check failed: {why}")?,
            CheckVerdict::Invalid(violations) => {
                write!(f, "INVALID")?;
                for violation in violations {
                    write!(f, "\n  {violation}")?;
                }
            }
        }
        for note in &self.notes {
            write!(f, "\n  note: {note}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(instance) = &self.instance {
            write!(f, "{instance}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl Violation {
    /// A violation with the requests and facts that show it.
    pub fn new<'a>(
        message: impl Into<String>,
        instance: Option<&str>,
        entries: impl IntoIterator<Item = &'a HistoryEntry>,
        facts: impl IntoIterator<Item = &'a TrueFact>,
    ) -> Self {
        let mut window = ViolationWindow::default();
        for entry in entries {
            if window.entries.len() < WINDOW_MAX && !window.entries.contains(entry) {
                window.entries.push(entry.clone());
            }
        }
        window.entries.sort_by_key(|entry| entry.begun);
        for fact in facts {
            if window.facts.len() < WINDOW_MAX && !window.facts.contains(fact) {
                window.facts.push(fact.clone());
            }
        }
        window
            .facts
            .sort_by_key(|fact| (fact.offset, fact.position));
        Self {
            message: message.into(),
            instance: instance.map(str::to_owned),
            window,
        }
    }
}

/// What a checker collects on its way to a result.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// How many operations were judged.
    pub operations: usize,
    /// How many of them were done. Without one, the check proves nothing.
    pub succeeded: usize,
    /// The violations found.
    pub violations: Vec<Violation>,
    /// How many more.
    pub more: usize,
    /// Notes.
    pub notes: Vec<String>,
}

impl Tally {
    /// Adds a violation, unless there are too many already.
    pub fn violation(&mut self, violation: Violation) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(violation);
        } else {
            self.more += 1;
        }
    }

    /// The result.
    pub fn finish(mut self, checker: &str, subject: &str) -> CheckerResult {
        if self.more > 0 {
            self.notes
                .push(format!("{} more violations are not shown", self.more));
        }
        let verdict = if !self.violations.is_empty() {
            CheckVerdict::Invalid(self.violations)
        } else if self.succeeded == 0 {
            CheckVerdict::Unknown("no operation of this kind was done".to_owned())
        } else {
            CheckVerdict::Valid
        };
        CheckerResult {
            checker: checker.to_owned(),
            subject: subject.to_owned(),
            operations: self.operations,
            verdict,
            notes: self.notes,
        }
    }
}

impl Workload {
    /// Its name, as in a history.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Register => "register",
            Workload::Machine => "machine",
            Workload::Once => "once",
            Workload::Bank => "bank",
            Workload::Set => "set",
            Workload::Monotonic => "monotonic",
            Workload::Lease => "lease",
            Workload::Asking => "asking",
            Workload::Parcel => "parcel",
            Workload::Automation => "automation",
            Workload::Timer => "timer",
            Workload::Lock => "lock",
        }
    }
}
