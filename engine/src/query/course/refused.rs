//! Why a decision on a machine of format 2 is refused.

use crate::Refusal;
use crate::limits::EXPRESSION_STEPS_MAX;
use crate::machine::Machine;
use crate::machine::expression::{EvalFailure, Why};

/// The refusal of a decision that this version cannot make.
pub(crate) fn not_understood(machine: &Machine, reason: &str) -> Refusal {
    Refusal::MachineNotUnderstood {
        machine: machine.name.to_string(),
        version: machine.version,
        reason: reason.to_owned(),
    }
}

/// That the steps are used up refuses the command.
pub(super) fn limited(
    holds: Result<bool, EvalFailure>,
    place: impl Fn() -> String,
) -> Result<Result<bool, EvalFailure>, Refusal> {
    match holds {
        Err(failure) if failure.why == Why::Limit => Err(limit(place())),
        other => Ok(other),
    }
}

pub(super) fn limit(place: String) -> Refusal {
    Refusal::ExpressionLimit {
        place,
        why: format!("the expressions of one decision take more than {EXPRESSION_STEPS_MAX} steps"),
    }
}

pub(super) fn failed(place: String, why: String) -> Refusal {
    Refusal::ExpressionFailed { place, why }
}

/// Every stored context was checked when it was decided.
pub(super) fn damaged(error: impl std::fmt::Display) -> Refusal {
    Refusal::BadRequest {
        field: None,
        message: format!("the instance's stored context is not a JSON object: {error}"),
    }
}
