//! export: definitions, then the creation and every event of each live instance, in log order.
//!
//! The command reads the log twice up to the same offset: first to learn which creations belong to live
//! instances, then to print. So instances deleted in between are left out, memory is bounded by the number of
//! instances, and later facts are not printed.

use std::collections::HashMap;
use std::io::{BufWriter, Write};

use rstmdb_rcp::message::instance::{
    ApplyEvent, CreateInstance, ListInstances, ListInstancesResult,
};
use rstmdb_rcp::message::machine::{
    GetMachine, GetMachineResult, ListMachines, ListMachinesResult, PutMachine,
};
use rstmdb_rcp::message::op;
use rstmdb_rcp::message::session::NoParams;
use rstmdb_rcp::message::storage::WalStatsResult;
use serde::Serialize;

use crate::input::on_one_line;
use crate::session::CliSession;
use crate::{Error, args};

use super::walk::{Pages, WalkedFact};

#[derive(Serialize)]
struct ExportLine<'a, P> {
    op: &'a str,
    params: P,
}

pub(in crate::commands) async fn run(
    session: &CliSession,
    args: args::ExportArgs,
) -> Result<(), Error> {
    let mut out = BufWriter::new(std::io::stdout());
    let machine = args.machine.name();
    definitions(session, machine, &mut out).await?;
    let listed = listed(session, machine).await?;
    let stats: WalStatsResult = session.ask(op::WAL_STATS, &NoParams {}).await?;
    let head = stats.latest_offset;
    let mut census = Census::new(machine);
    each_fact(session, head, |place, fact| {
        census.count(place, fact);
        Ok(())
    })
    .await?;
    let missing = listed.iter().filter(|id| !census.has_seen(id)).count();
    each_fact(session, head, |place, fact| {
        write_fact(&census, place, &fact, &mut out)
    })
    .await?;
    out.flush()?;
    if missing == 0 {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "{missing} of {} instances cannot be exported: the log no longer holds their creation",
        listed.len()
    )))
}

async fn each_fact(
    session: &CliSession,
    until: u64,
    mut visit: impl FnMut(RecordPlace, WalkedFact) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut pages = Pages::up_to(session, until);
    let mut place = RecordPlace::default();
    loop {
        let records = pages.next().await?;
        if records.is_empty() {
            return Ok(());
        }
        for record in &records {
            place = place.next(record.offset);
            visit(place, WalkedFact::of(record)?)?;
        }
    }
}

async fn definitions(
    session: &CliSession,
    only: Option<&str>,
    out: &mut impl Write,
) -> Result<(), Error> {
    let list: ListMachinesResult<'_> = session
        .ask(op::LIST_MACHINES, &ListMachines::default())
        .await?;
    if let Some(only) = only
        && !list.items.iter().any(|item| item.machine == only)
    {
        return Err(Error::Failed(format!("machine {only} does not exist")));
    }
    let items = list.items.iter();
    for item in items.filter(|item| only.is_none_or(|only| item.machine == only)) {
        for &version in &item.versions {
            let params = GetMachine {
                machine: (&*item.machine).into(),
                version: Some(version),
                ..GetMachine::default()
            };
            let machine: GetMachineResult<'_> = session.ask(op::GET_MACHINE, &params).await?;
            let params = PutMachine::new(&*item.machine, version, &machine.definition);
            write_line(out, op::PUT_MACHINE, &params)?;
        }
    }
    Ok(())
}

/// The ids of the live instances.
async fn listed(session: &CliSession, machine: Option<&str>) -> Result<Vec<String>, Error> {
    let mut ids: Vec<String> = Vec::new();
    loop {
        let params = ListInstances {
            machine: machine.map(Into::into),
            limit: Some(ListInstances::LIMIT_MAX),
            after: ids.last().map(|id| id.clone().into()),
            ..ListInstances::default()
        };
        let page: ListInstancesResult<'_> = session.ask(op::LIST_INSTANCES, &params).await?;
        ids.extend(page.instances.into_iter().map(|i| i.id.into_owned()));
        if !page.has_more {
            return Ok(ids);
        }
    }
}

/// A record's place: its offset and, where an atomic batch put several there, which of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RecordPlace {
    offset: u64,
    nth: u64,
}

impl RecordPlace {
    /// The place of the record after this one.
    fn next(self, offset: u64) -> RecordPlace {
        let nth = if offset == self.offset {
            self.nth + 1
        } else {
            0
        };
        RecordPlace { offset, nth }
    }

    /// An idempotency key, so that loading the export twice changes nothing more.
    fn key(self) -> String {
        match self {
            RecordPlace { offset, nth: 0 } => format!("export:{offset}"),
            RecordPlace { offset, nth } => format!("export:{offset}.{nth}"),
        }
    }
}

/// The instances in the log, and for each the creation of its present life.
struct Census<'a> {
    machine: Option<&'a str>,
    /// By instance, where its present life began; `None` when it cannot be exported.
    created: HashMap<String, Option<RecordPlace>>,
}

impl<'a> Census<'a> {
    fn new(machine: Option<&'a str>) -> Census<'a> {
        Census {
            machine,
            created: HashMap::new(),
        }
    }

    fn count(&mut self, place: RecordPlace, fact: WalkedFact) {
        match (fact.kind.as_str(), fact.instance_id) {
            ("create_instance", Some(id)) => {
                let wanted = self
                    .machine
                    .is_none_or(|only| fact.machine.as_deref() == Some(only));
                self.created.insert(id, wanted.then_some(place));
            }
            ("delete_instance", Some(id)) => {
                self.created.insert(id, None);
            }
            ("flush_all", _) => self.created.clear(),
            _ => {}
        }
    }

    fn has_seen(&self, id: &str) -> bool {
        self.created.contains_key(id)
    }

    /// Whether a fact of this instance at this place belongs to its present life.
    fn lives(&self, id: &str, place: RecordPlace) -> bool {
        matches!(self.created.get(id), Some(Some(created)) if *created <= place)
    }
}

fn write_fact(
    census: &Census<'_>,
    place: RecordPlace,
    fact: &WalkedFact,
    out: &mut impl Write,
) -> Result<(), Error> {
    let Some(id) = fact.instance_id.as_deref() else {
        return Ok(());
    };
    if !census.lives(id, place) {
        return Ok(());
    }
    match fact.kind.as_str() {
        "create_instance" => {
            // An instance that was imported is imported again: nothing else leads to its state.
            let imported = fact.imported;
            let state = fact.initial_state.as_deref();
            let params = CreateInstance {
                instance_id: Some(id.into()),
                machine: fact.machine.as_deref().unwrap_or_default().into(),
                version: fact.version.unwrap_or_default(),
                initial_ctx: fact.initial_ctx.as_deref(),
                idempotency_key: Some(place.key().into()),
                initial_state: imported.and(state).map(Into::into),
                created_at: imported.map(|times| times.created_at),
                updated_at: imported.map(|times| times.updated_at),
                ..CreateInstance::default()
            };
            write_line(out, op::CREATE_INSTANCE, &params)
        }
        "apply_event" => {
            let params = ApplyEvent {
                instance_id: id.into(),
                event: fact.event.as_deref().unwrap_or_default().into(),
                payload: fact.payload.as_deref(),
                event_id: fact.event_id.as_deref().map(Into::into),
                idempotency_key: Some(place.key().into()),
                ..ApplyEvent::default()
            };
            write_line(out, op::APPLY_EVENT, &params)
        }
        _ => Ok(()),
    }
}

fn write_line(out: &mut impl Write, op: &str, params: &impl Serialize) -> Result<(), Error> {
    let line = serde_json::to_string(&ExportLine { op, params }).map_err(Error::unexpected)?;
    // The log keeps definitions and contexts as they were written, possibly over several lines.
    out.write_all(on_one_line(&line).as_bytes())?;
    out.write_all(b"\n")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    /// What is exported of a log, as (operation, parameters).
    fn exported(machine: Option<&str>, log: &[(u64, Value)]) -> Vec<(String, Value)> {
        let facts = || {
            let mut place = RecordPlace::default();
            log.iter().map(move |(offset, entry)| {
                place = place.next(*offset);
                (
                    place,
                    serde_json::from_value::<WalkedFact>(entry.clone()).unwrap(),
                )
            })
        };
        let mut census = Census::new(machine);
        facts().for_each(|(place, fact)| census.count(place, fact));
        let mut out = Vec::new();
        for (place, fact) in facts() {
            write_fact(&census, place, &fact, &mut out).unwrap();
        }
        String::from_utf8(out)
            .unwrap()
            .lines()
            .map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                (
                    line["op"].as_str().unwrap().to_owned(),
                    line["params"].clone(),
                )
            })
            .collect()
    }

    fn create(id: &str) -> Value {
        json!({"type": "create_instance", "instance_id": id, "machine": "m", "version": 2,
               "initial_state": "a", "initial_ctx": {"id": id}})
    }

    fn apply(id: &str, event: &str) -> Value {
        json!({"type": "apply_event", "instance_id": id, "event": event,
               "from_state": "a", "to_state": "b", "payload": {"n": 1}, "ctx": {}})
    }

    fn delete(id: &str) -> Value {
        json!({"type": "delete_instance", "instance_id": id})
    }

    #[test]
    fn a_live_instance_is_its_creation_and_its_events() {
        let lines = exported(None, &[(5, create("x")), (9, apply("x", "GO"))]);
        assert_eq!(
            lines,
            [
                (
                    op::CREATE_INSTANCE.to_owned(),
                    json!({"instance_id": "x", "machine": "m", "version": 2,
                           "initial_ctx": {"id": "x"}, "idempotency_key": "export:5"})
                ),
                (
                    op::APPLY_EVENT.to_owned(),
                    json!({"instance_id": "x", "event": "GO", "payload": {"n": 1},
                           "idempotency_key": "export:9"})
                ),
            ]
        );
    }

    #[test]
    fn deleted_instances_and_former_lives_are_left_out() {
        let lines = exported(
            None,
            &[
                (1, create("gone")),
                (2, create("again")),
                (3, apply("again", "OLD")),
                (4, delete("gone")),
                (5, delete("again")),
                (6, create("again")),
                (7, apply("again", "NEW")),
            ],
        );
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[1].1["event"], "NEW");
    }

    #[test]
    fn a_former_life_that_ended_in_the_same_batch_is_left_out() {
        let lines = exported(
            None,
            &[
                (1, create("x")),
                (2, apply("x", "OLD")),
                (2, delete("x")),
                (2, create("x")),
                (2, apply("x", "NEW")),
                (2, apply("x", "NEWER")),
            ],
        );
        let keys: Vec<&str> = lines
            .iter()
            .map(|(_, params)| params["idempotency_key"].as_str().unwrap())
            .collect();
        assert_eq!(keys, ["export:2.2", "export:2.3", "export:2.4"]);
    }

    #[test]
    fn only_the_named_machine_is_exported() {
        let log = [(1, create("x")), (2, apply("x", "GO"))];
        assert_eq!(exported(Some("m"), &log).len(), 2);
        assert!(exported(Some("other"), &log).is_empty());
    }

    #[test]
    fn what_was_flushed_is_left_out() {
        let flush = json!({"type": "flush_all"});
        let lines = exported(None, &[(1, create("x")), (2, flush), (3, create("y"))]);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].1["instance_id"], "y");
    }
}
