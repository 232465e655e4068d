//! The answers to reads of an instance, compared with the committed log.

use bytes::Bytes;
use rstmdb::replica::Error;
use rstmdb_engine::{InstanceView, Refusal};

use crate::check::chain::ChainViolation;
use crate::check::facts::{Facts, InstanceStand, object};

/// Compares a read with the log. The client asked when the chain ended at `asked`, and the node answered from
/// the state at `served`.
///
/// # Errors
/// When it showed another state than the log's, or one that is too old.
pub fn read(
    instance: &str,
    seen: &Result<InstanceView, Error>,
    asked: u64,
    served: u64,
    facts: &Facts,
) -> Result<(), ChainViolation> {
    const FRESH: &str = "reads see what was committed before them";
    const TRUE: &str = "reads show what is in the log";
    if served < asked {
        let text = format!("{instance} was read at {served}, and {asked} was committed before");
        return Err((FRESH, text));
    }
    let version = facts.at(instance, served);
    let stand = version.and_then(|version| Some((version.offset, version.stand.as_ref()?)));
    let matches = match (seen, stand) {
        (Ok(view), Some((offset, stand))) => {
            view.last_wal_offset == offset
                && *view.state == *stand.state
                && same_ctx(&view.ctx, stand)
        }
        (Err(Error::Refused(Refusal::InstanceNotFound { .. })), None) => true,
        _ => false,
    };
    match matches {
        true => Ok(()),
        false => Err((
            TRUE,
            format!("{instance} at {served}: {seen:?}; the log has {version:?}"),
        )),
    }
}

pub(super) fn same_ctx(ctx: &Bytes, stand: &InstanceStand) -> bool {
    object(ctx).is_ok_and(|ctx| ctx == stand.ctx)
}
