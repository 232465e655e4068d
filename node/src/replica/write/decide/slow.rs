//! Logs which decisions take long.

use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;

use crate::replica::parts::counters::Counters;
use crate::replica::types::Types;
use crate::replica::write::request::Request;

/// A decision that takes longer is counted, and logged.
const SLOW: Duration = Duration::from_millis(50);
/// The least time between two lines of the log.
const PAUSE: Duration = Duration::from_secs(1);

/// Logs slow decisions, at most one a second.
pub(crate) struct SlowDecisions<T: Types> {
    said: Option<InstantOf<T>>,
    unsaid: u64,
}

impl<T: Types> SlowDecisions<T> {
    pub(crate) fn new() -> Self {
        Self {
            said: None,
            unsaid: 0,
        }
    }

    pub(crate) fn note(&mut self, request: &Request<T>, took: Duration, counters: &Counters) {
        if took <= SLOW {
            return;
        }
        counters.decisions_slow.add(1);
        let now = T::now();
        if self.said.is_some_and(|said| now < said + PAUSE) {
            self.unsaid += 1;
            return;
        }
        self.said = Some(now);
        let took_ms = took.as_millis();
        let more_since_last_line = std::mem::take(&mut self.unsaid);
        tracing::warn!(
            command = %request.command,
            trace_id = request.trace.as_ref().map(|trace| trace.trace_id()),
            took_ms,
            more_since_last_line,
            "the decision of a command took more than 50 ms"
        );
    }
}
