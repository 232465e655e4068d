//! The error of a call that was tried several times.

use std::time::Duration;

use crate::client::Error;
use crate::message::ErrorBody;

/// The error of a call whose time is over and of which no attempt can have taken effect. If a node has
/// refused an earlier attempt, that refusal is the reason. That the last attempt had no time left for an
/// answer does not help the caller.
pub(super) fn or_refusal(last: Error, earlier: Option<ErrorBody>, spent: Duration) -> Error {
    let Some(mut refusal) = earlier else {
        return last;
    };
    let spent = format!("tried for {} ms", spent.as_millis());
    let how = match last {
        Error::Refused(last) if last.retryable => {
            refusal = last;
            spent
        }
        Error::Timeout { .. } => format!("{spent}; the last try got no answer"),
        Error::Connect { .. } | Error::Disconnected { .. } => {
            format!("{spent}; the last try failed: {last}")
        }
        other => return other,
    };
    refusal.message = format!("{} ({how})", refusal.message).into();
    Error::Refused(refusal)
}

/// The error of a call of which some attempt may have taken effect. A node's refusal of an earlier attempt
/// is then only a hint, not the answer: its text would say of the whole call that nothing was changed.
pub(super) fn in_doubt(last: Error, earlier: Option<&ErrorBody>, repeatable: bool) -> Error {
    let earlier = earlier.map(|refusal| refusal.code.to_string());
    match last {
        // The final answer to the call, whatever happened to earlier attempts.
        Error::Refused(refusal) if !refusal.retryable => Error::Refused(refusal),
        Error::Refused(refusal) => {
            let message = format!(
                "an earlier try may have taken effect; the last one was refused: {}",
                refusal.message
            );
            Error::Refused(ErrorBody {
                retryable: repeatable,
                message: match refusal.outcome_unknown() {
                    true => refusal.message.clone(),
                    false => message.into(),
                },
                ..refusal.with_unknown_outcome()
            })
        }
        Error::Timeout { op, after, .. } => Error::Timeout {
            op,
            after,
            earlier,
            outcome_unknown: true,
        },
        Error::Disconnected { reason, .. } => Error::Disconnected {
            reason,
            outcome_unknown: true,
        },
        other => Error::Disconnected {
            reason: other.to_string(),
            outcome_unknown: true,
        },
    }
}
