//! One offset of the log, here or in the archive.

use rstmdb_rcp::message::ErrorBody;

use super::ShownFacts;
use crate::replica::{Error, LogItem};
use crate::server::clients::shared::ServerShared;
use crate::server::messages::failure::{self, PossibleEffect};

/// What is there.
pub(in crate::server::clients::ops) enum FoundEntry {
    Write(LogItem),
    /// Nothing took effect there.
    NoWrite,
    Compacted(Error),
}

impl FoundEntry {
    /// The same, or nothing if the client may not see any of it.
    pub(in crate::server::clients::ops) fn within(self, shown: ShownFacts<'_>) -> Self {
        match self {
            Self::Write(LogItem::Facts(entry))
                if !entry.facts.iter().any(|fact| shown.shows(fact)) =>
            {
                Self::NoWrite
            }
            found => found,
        }
    }
}

/// Looks at one offset.
pub(in crate::server::clients::ops) async fn look_at(
    shared: &ServerShared,
    offset: u64,
) -> Result<FoundEntry, ErrorBody> {
    let replica = &shared.replica;
    let told = |error| failure::of_replica(&error, PossibleEffect::None);
    let mut held = replica.hold_history(offset).await.map_err(told)?;
    let mut page = replica.log_read(offset, 1);
    if let Err(Error::OffsetCompacted { .. }) = page {
        replica.wait_for_history(offset).await;
        held = replica.hold_history(offset).await.map_err(told)?;
        page = replica.log_read(offset, 1);
    }
    let page = match page {
        Ok(page) => page,
        Err(error @ Error::OffsetCompacted { .. }) => return Ok(FoundEntry::Compacted(error)),
        Err(error) => return Err(told(error)),
    };
    drop(held);
    Ok(match page.items.into_iter().next() {
        Some((at, item @ LogItem::Facts(_))) if at == offset => FoundEntry::Write(item),
        _ => FoundEntry::NoWrite,
    })
}
