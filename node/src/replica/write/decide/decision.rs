//! Makes one decision so that a bug of the program costs one request and nothing else.
//!
//! Deciding changes nothing: the overlay gets a decision only once it is complete. So a panic leaves nothing half-done:
//! its client gets an error, and the commands behind it are decided.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rstmdb_engine::{Command, LockRefusal, Refusal};

use crate::replica::error::Error;
use crate::replica::parts::counters::Counters;
use crate::replica::write::writes::instance_of;

/// The result of `decide` for `command`; a panic becomes [`Error::DecisionFailed`].
pub(crate) fn decided<D>(
    counters: &Counters,
    command: &Command,
    decide: impl FnOnce() -> Result<D, Refusal>,
) -> Result<D, Error> {
    let caught = catch_unwind(AssertUnwindSafe(|| {
        #[cfg(test)]
        tests::panic_if_planted(command);
        decide()
    }));
    match caught {
        Ok(decision) => decision.map_err(|refusal| {
            if matches!(refusal, Refusal::Lock(LockRefusal::Lost { .. })) {
                counters.locks_lost.add(1);
            }
            Error::from(refusal)
        }),
        Err(panic) => {
            counters.decisions_failed.add(1);
            tracing::error!(
                instance = instance_of(command),
                %command,
                panic = text_of(&*panic),
                "a bug in rstmdb: this request failed and changed nothing; the node goes on. Please report this line"
            );
            Err(Error::DecisionFailed)
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
pub(crate) mod tests {
    use rstmdb_engine::{ApplyEvent, BatchOp, Decision};

    use super::*;

    /// An event whose decision panics, in builds of these tests only.
    pub(crate) const PANICS: &str = "PANICS";

    pub(super) fn panic_if_planted(command: &Command) {
        let planted = match command {
            Command::ApplyEvent(apply) => apply.event == PANICS,
            Command::Batch(ops) => ops.iter().any(|op| {
                let BatchOp::Write(Command::ApplyEvent(apply)) = op else {
                    return false;
                };
                apply.event == PANICS
            }),
            _ => false,
        };
        assert!(!planted, "planted: {command}");
    }

    #[test]
    fn a_panic_is_an_error_of_its_request_and_counted() {
        let counters = Counters::default();
        let command = Command::ApplyEvent(ApplyEvent {
            instance_id: "i".to_owned(),
            event: PANICS.to_owned(),
            ..ApplyEvent::default()
        });
        let refused = || -> Result<Decision, Refusal> {
            Err(Refusal::InstanceNotFound {
                instance_id: "i".to_owned(),
            })
        };
        let decision = decided(&counters, &command, refused);
        assert!(
            matches!(decision, Err(Error::DecisionFailed)),
            "{decision:?}"
        );
        assert_eq!(counters.decisions_failed.load(), 1);
        let decision = decided(&counters, &Command::FlushAll, refused);
        assert!(matches!(decision, Err(Error::Refused(_))), "{decision:?}");
        assert_eq!(counters.decisions_failed.load(), 1);
    }
}
