//! history: an instance's facts, newest first.

use rstmdb_rcp::json::Json;

use crate::render::view;
use crate::session::CliSession;
use crate::{Error, args};

use super::walk;

pub(in crate::commands) async fn run(
    session: &CliSession,
    args: args::HistoryArgs,
) -> Result<(), Error> {
    let history = walk::history(session, args.instance.id(), args.limit).await?;
    if session.out.for_programs() {
        for record in &history.records {
            session.out.item(record)?;
        }
    } else {
        let text = serde_json::to_string(&history.records).map_err(Error::unexpected)?;
        let records = Json::parse(&text).map_err(Error::unexpected)?;
        session.draw(|paint| view::history_page(records.items(), paint))?;
    }
    if history.deleted {
        eprintln!("the instance was deleted; these are its facts in the log");
    }
    if history.compacted {
        eprintln!("older facts are no longer in the log");
    }
    Ok(())
}
