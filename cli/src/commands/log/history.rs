//! history: an instance's facts, newest first.

use rstmdb_rcp::json::Json;

use crate::render::view;
use crate::session::Session;
use crate::{Error, args};

use super::walk;

pub(in crate::commands) async fn run(session: &Session, args: args::History) -> Result<(), Error> {
    let history = walk::history(session, &args.instance_id, args.limit).await?;
    if session.out.json {
        for record in &history.records {
            session.out.json_line(record)?;
        }
    } else {
        let mut table = view::history();
        for record in &history.records {
            let text = serde_json::to_string(record).map_err(Error::unexpected)?;
            let record = Json::parse(&text).map_err(Error::unexpected)?;
            table.push(view::history_row(&record));
        }
        session.out.line(&table.render(session.out.paint))?;
    }
    if history.compacted {
        eprintln!("older facts are no longer in the log");
    }
    Ok(())
}
