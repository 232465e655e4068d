//! One decision: made at once or ahead, watched for panics and for how long it takes; and what it needs from the log.

pub(crate) mod causes;
pub(crate) mod decision;
pub(crate) mod prepare;
pub(crate) mod slow;
