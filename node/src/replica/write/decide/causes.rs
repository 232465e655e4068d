//! Finds the correlation id of a command's cause, outside of the serial section.
//!
//! A client may name the offset of an earlier write as the cause of its own, and no correlation id. The command then
//! gets the correlation id of that write, if this node has it in its log. The look-up may read the disk, so commands
//! that need one are held, and those for the same instances wait behind them.

use std::sync::Arc;

use openraft::type_config::TypeConfigExt;
use rstmdb_raft_store::FileSystem;
use tokio::sync::mpsc;

use crate::replica::error::Error;
use crate::replica::parts::log_page::{LogItem, LogReader};
use crate::replica::types::Types;

/// Look-ups that one task does.
const PORTION: usize = 64;
/// Tasks that look up at a time.
const TASKS_MAX: usize = 2;

/// A command that needs the correlation id of its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WantedCause {
    /// Its number among those held.
    pub number: u64,
    /// The cause.
    pub offset: u64,
}

/// What was found, for each command.
pub(crate) type FoundCauses = Vec<(WantedCause, Option<String>)>;

/// What is being looked up while this node leads in one term.
pub(crate) struct Causes {
    wanted: Vec<WantedCause>,
    tasks: usize,
    looked_up: usize,
    to: mpsc::UnboundedSender<FoundCauses>,
    from: mpsc::UnboundedReceiver<FoundCauses>,
}

impl Causes {
    pub(crate) fn new() -> Self {
        let (to, from) = mpsc::unbounded_channel();
        Self {
            wanted: Vec::new(),
            tasks: 0,
            looked_up: 0,
            to,
            from,
        }
    }

    /// How many commands wait for such an id.
    pub(crate) fn len(&self) -> usize {
        self.wanted.len() + self.looked_up
    }

    /// Notes a command that needs such an id.
    pub(crate) fn want(&mut self, wanted: WantedCause) {
        self.wanted.push(wanted);
    }

    /// Looks up what is wanted, in tasks of their own.
    pub(crate) fn look_up<T: Types>(&mut self, log: &Arc<LogReader<T::Fs>>) {
        while !self.wanted.is_empty() && self.tasks < TASKS_MAX {
            let count = self.wanted.len().min(PORTION);
            let portion: Vec<WantedCause> = self.wanted.drain(..count).collect();
            self.tasks += 1;
            self.looked_up += count;
            let (to, log) = (self.to.clone(), log.clone());
            drop(T::spawn(async move {
                let found = portion.into_iter();
                let found = found.map(|wanted| (wanted, correlation_at(&log, wanted.offset)));
                // It fails once the node no longer leads in that term.
                let _ = to.send(found.collect());
            }));
        }
    }

    /// What the next task has found; never resolves while none is looking.
    pub(crate) async fn next(&mut self) -> FoundCauses {
        loop {
            // This holds a sender, so the channel is never closed.
            if let Some(found) = self.from.recv().await {
                self.tasks -= 1;
                self.looked_up -= found.len();
                return found;
            }
        }
    }
}

/// The correlation id of the write at an offset. `None` if it has none, if there is no write that took effect, or if
/// the log no longer has it.
fn correlation_at<F: FileSystem>(log: &LogReader<F>, offset: u64) -> Option<String> {
    if offset > log.applied.offset() || offset < log.earliest_offset() {
        return None;
    }
    let page = match log.read_page(offset, offset, 1, usize::MAX) {
        Ok(page) => page,
        // What is in the archive only is not waited for.
        Err(
            Error::OffsetCompacted { .. }
            | Error::ArchiveUnavailable { .. }
            | Error::ArchiveDamaged { .. },
        ) => return None,
        Err(error) => {
            tracing::warn!(offset, %error, "a write does not get the correlation id of its cause");
            return None;
        }
    };
    match page.items.into_iter().next()? {
        (at, LogItem::Facts(entry)) if at == offset => entry.meta.as_ref()?.correlation_id.clone(),
        _ => None,
    }
}
