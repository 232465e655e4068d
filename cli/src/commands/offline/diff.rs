//! diff: what changed between two definitions.

use rstmdb_definitions::diff::{ChangeEffect, diff, gravest};
use rstmdb_rcp::text::printable;
use serde_json::{Value, json};

use super::machine;
use crate::session::CliSession;
use crate::{Error, args};

pub fn run(session: &CliSession, args: &args::DiffArgs) -> Result<(), Error> {
    let (old, new) = (machine(&args.old)?, machine(&args.new)?);
    let changes = diff(&old, &new);
    let gravest = gravest(&changes);
    if session.out.programs_asked() {
        let changes: Vec<Value> = changes
            .iter()
            .map(|it| json!({"subject": it.subject, "change": it.text, "effect": name(it.effect)}))
            .collect();
        let report = json!({"changes": changes, "effect": name(gravest)});
        session.out.value(&report)?;
    } else {
        for change in &changes {
            let sign = match change.effect {
                ChangeEffect::None => '+',
                ChangeEffect::Different => '~',
                ChangeEffect::Stranded => '!',
            };
            session.out.line(&printable(&format!("{sign} {change}")))?;
        }
        if changes.is_empty() {
            session.out.line("the two definitions say the same")?;
        }
    }
    match gravest {
        ChangeEffect::None => Ok(()),
        ChangeEffect::Different => Err(Error::Failed(
            "not compatible: events of instances in flight may be refused or lead elsewhere"
                .to_owned(),
        )),
        ChangeEffect::Stranded => Err(Error::Failed(
            "not compatible: instances in flight may be in a state that is no longer there"
                .to_owned(),
        )),
    }
}

fn name(effect: ChangeEffect) -> &'static str {
    match effect {
        ChangeEffect::None => "none",
        ChangeEffect::Different => "different",
        ChangeEffect::Stranded => "stranded",
    }
}
