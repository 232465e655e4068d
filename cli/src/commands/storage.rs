//! ancestors, wal-stats, snapshot-instance, compact, flush-all.

use std::io::{self, BufRead, IsTerminal};

use rstmdb_rcp::message::op;
use rstmdb_rcp::message::session::NoParams;
use rstmdb_rcp::message::storage::ancestors::Ancestors;
use rstmdb_rcp::message::storage::{Compact, FlushAll, SnapshotInstance};

use crate::session::CliSession;
use crate::{Error, args};

pub(super) async fn ancestors(
    session: &CliSession,
    args: &args::AncestorsArgs,
) -> Result<(), Error> {
    let params = Ancestors {
        offset: args.offset,
        limit: args.limit.map(u64::from),
    };
    session.show(op::ANCESTORS, &params).await
}

pub(super) async fn wal_stats(session: &CliSession) -> Result<(), Error> {
    session.show(op::WAL_STATS, &NoParams {}).await
}

pub(super) async fn snapshot_instance(
    session: &CliSession,
    args: args::InstanceIdArgs,
) -> Result<(), Error> {
    let params = SnapshotInstance {
        instance_id: args.instance.id().into(),
    };
    session.show(op::SNAPSHOT_INSTANCE, &params).await
}

pub(super) async fn compact(session: &CliSession, args: &args::CompactArgs) -> Result<(), Error> {
    let params = Compact {
        force_snapshot: args.force.then_some(true),
    };
    session.show(op::COMPACT, &params).await
}

pub(super) async fn flush_all(session: &CliSession, args: args::FlushAllArgs) -> Result<(), Error> {
    if !args.yes && !args.ask.dry_run {
        confirm()?;
    }
    let params = FlushAll {
        meta: args.about.meta(),
        dry_run: args.ask.dry_run,
    };
    session.show(op::FLUSH_ALL, &params).await
}

/// Asks for confirmation. Without a terminal the answer is no.
fn confirm() -> Result<(), Error> {
    if !io::stdin().is_terminal() {
        let message = "flush-all removes everything; without a terminal it cannot ask for confirmation: pass --yes";
        return Err(Error::Usage(message.to_owned()));
    }
    eprint!("This removes every machine and instance. Type yes to continue: ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if is_yes(&answer) {
        return Ok(());
    }
    Err(Error::Usage("nothing was removed".to_owned()))
}

fn is_yes(answer: &str) -> bool {
    answer.trim() == "yes"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_means_yes() {
        assert!(is_yes("yes\n"));
        for answer in ["", "\n", "y\n", "no\n", "yes please\n"] {
            assert!(!is_yes(answer));
        }
    }
}
