//! Virtual time: what becomes due in it fires, in order, as a server would fire it.

use rstmdb_engine::fact::Body;
use rstmdb_engine::{Command, DecideAt, Decision, PendingEntries, Refusal, decide};

use super::{RunStep, Runner, step, strange};

/// More timers than this are not fired in one span.
const FIRINGS_MAX: usize = 100_000;

/// A timer that has fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiredTimer {
    /// Its name.
    pub name: String,
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// What became of it.
    pub did: Fired,
}

/// What became of a timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fired {
    /// It has applied its event.
    Applied(RunStep),
    /// Its event was refused, or came too late: the code that says why.
    Spent(String),
    /// It has deleted the instance.
    Deleted,
}

impl Runner {
    /// Lets time pass.
    ///
    /// # Errors
    /// Too many timers fire.
    pub fn pass(&mut self, ms: u64) -> Result<Vec<FiredTimer>, Box<Refusal>> {
        let end_ms = self.now_ms.saturating_add(ms);
        let mut fired = Vec::new();
        while let Some(due_ms) = self.state.next_due_ms().filter(|due_ms| *due_ms <= end_ms) {
            if fired.len() == FIRINGS_MAX {
                return Err(strange("its timers do not come to an end"));
            }
            self.now_ms = self.now_ms.max(due_ms);
            let due = self.state.due_timers(self.now_ms, 1, |_| false);
            let Some(fire) = due.into_iter().next() else {
                return Err(strange("a timer is due, and it is not there"));
            };
            let name = fire.name.clone();
            let did = self.fire(&Command::FireTimer(fire))?;
            fired.push(FiredTimer {
                name,
                at_ms: self.now_ms,
                did,
            });
        }
        self.now_ms = end_ms;
        Ok(fired)
    }

    fn fire(&mut self, command: &Command) -> Result<Fired, Box<Refusal>> {
        let at = DecideAt {
            offset: self.state.last_applied() + 1,
            now_ms: self.now_ms,
            actor: "timer",
            limits: &self.limits,
            meta: None,
            reach: None,
        };
        let decision = decide(&self.state, &PendingEntries::new(), command, &at)?;
        let Decision::Write { entry, .. } = decision else {
            return Err(strange("a timer that is due does not fire"));
        };
        self.install(&entry)?;
        Ok(
            match entry.facts.first().and_then(|fact| fact.body.as_ref()) {
                Some(Body::TimerSpent(spent)) => Fired::Spent(spent.code.clone()),
                Some(Body::DeleteInstance(_)) => Fired::Deleted,
                _ => Fired::Applied(step(&entry)),
            },
        )
    }
}
