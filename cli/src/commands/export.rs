//! export: definitions, then the creation and every event of each live instance, in log order.
//!
//! The log is read twice up to the same offset: first to learn which creations still live, then to
//! print. So instances deleted in between are left out, memory is bounded by the number of
//! instances, and what happens after the start is not printed.

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
use serde_json::value::RawValue;

use crate::input::{no_params, on_one_line};
use crate::session::Session;
use crate::walk::{Fact, Pages, Record};
use crate::{Error, args};

#[derive(Serialize)]
struct Line<'a, P> {
    op: &'a str,
    params: P,
}

pub(super) async fn run(session: &Session, args: args::Export) -> Result<(), Error> {
    let mut out = BufWriter::new(std::io::stdout());
    let machine = args.machine.as_deref();
    definitions(session, machine, &mut out).await?;
    let listed = listed(session, machine).await?;
    let stats: WalStatsResult = session.ask(op::WAL_STATS, &NoParams {}).await?;
    let mut census = Census::new(machine);
    let mut pages = Pages::up_to(session, stats.latest_offset);
    while let records @ [_, ..] = pages.next().await?.as_slice() {
        for record in records {
            census.count(record.offset, Fact::of(record)?);
        }
    }
    let missing = listed.iter().filter(|id| !census.has_seen(id)).count();
    let mut keys = Keys::default();
    let mut pages = Pages::up_to(session, stats.latest_offset);
    while let records @ [_, ..] = pages.next().await?.as_slice() {
        for record in records {
            write_fact(&census, &mut keys, record, &mut out)?;
        }
    }
    out.flush()?;
    if missing == 0 {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "{missing} of {} instances can't be exported: the log no longer reaches back to their creation",
        listed.len()
    )))
}

async fn definitions(
    session: &Session,
    only: Option<&str>,
    out: &mut impl Write,
) -> Result<(), Error> {
    let list: ListMachinesResult<'_> =
        session.ask(op::LIST_MACHINES, &ListMachines::default()).await?;
    if let Some(only) = only
        && !list.items.iter().any(|item| item.machine == only)
    {
        return Err(Error::Failed(format!("there is no machine {only}")));
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
async fn listed(session: &Session, machine: Option<&str>) -> Result<Vec<String>, Error> {
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

/// Which instances the log tells of, and which creation of each is the living one.
struct Census<'a> {
    machine: Option<&'a str>,
    /// By instance; `None` once deleted. Where it was created: offset and place among the facts there.
    created: HashMap<String, Option<u64>>,
}

impl<'a> Census<'a> {
    fn new(machine: Option<&'a str>) -> Census<'a> {
        Census {
            machine,
            created: HashMap::new(),
        }
    }

    fn count(&mut self, offset: u64, fact: Fact) {
        match (fact.kind.as_str(), fact.instance_id) {
            ("create_instance", Some(id)) => {
                let wanted = self.machine.is_none_or(|only| fact.machine.as_deref() == Some(only));
                self.created.insert(id, wanted.then_some(offset));
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

    /// Whether a fact of this instance at this offset belongs to its present life.
    fn lives(&self, id: &str, offset: u64) -> bool {
        matches!(self.created.get(id), Some(Some(created)) if *created <= offset)
    }
}

/// Keys that make loading the export twice harmless: the offset, and where an atomic batch put
/// several facts there, which of them.
#[derive(Default)]
struct Keys {
    offset: u64,
    given: u64,
}

impl Keys {
    fn next(&mut self, offset: u64) -> String {
        self.given = if offset == self.offset { self.given + 1 } else { 0 };
        self.offset = offset;
        match self.given {
            0 => format!("export:{offset}"),
            nth => format!("export:{offset}.{nth}"),
        }
    }
}

fn write_fact(
    census: &Census<'_>,
    keys: &mut Keys,
    record: &Record,
    out: &mut impl Write,
) -> Result<(), Error> {
    let fact = Fact::of(record)?;
    let Some(id) = fact.instance_id.as_deref() else {
        return Ok(());
    };
    if !census.lives(id, record.offset) {
        return Ok(());
    }
    match fact.kind.as_str() {
        "create_instance" => {
            let params = CreateInstance {
                instance_id: Some(id.into()),
                machine: fact.machine.as_deref().unwrap_or_default().into(),
                version: fact.version.unwrap_or_default(),
                initial_ctx: fact.initial_ctx.as_deref(),
                idempotency_key: Some(keys.next(record.offset).into()),
            };
            write_line(out, op::CREATE_INSTANCE, &params)
        }
        "apply_event" => {
            let params = ApplyEvent {
                instance_id: id.into(),
                event: fact.event.as_deref().unwrap_or_default().into(),
                payload: fact.payload.as_deref(),
                event_id: fact.event_id.as_deref().map(Into::into),
                idempotency_key: Some(keys.next(record.offset).into()),
                ..ApplyEvent::default()
            };
            write_line(out, op::APPLY_EVENT, &params)
        }
        _ => Ok(()),
    }
}

fn write_line(out: &mut impl Write, op: &str, params: &impl Serialize) -> Result<(), Error> {
    let line = serde_json::to_string(&Line { op, params }).map_err(Error::unexpected)?;
    // Definitions and contexts are kept as they were written, which may be over several lines.
    out.write_all(on_one_line(&line).as_bytes())?;
    out.write_all(b"\n")?;
    Ok(())
}
