//! allowed, explain.

use rstmdb_rcp::message::asking::{AllowedEvents, AllowedEventsResult, EventOutcome};
use rstmdb_rcp::message::op;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::session::CliSession;
use crate::{Error, args, input};

pub(super) async fn allowed(session: &CliSession, args: args::Allowed) -> Result<(), Error> {
    let payloads = input::document("--payloads", &args.payloads)?;
    let params = AllowedEvents {
        instance_id: args.instance.id().into(),
        payloads: payloads.as_deref(),
        headers: args.said.headers(),
        read: args.freshness.options(),
    };
    session.show(op::ALLOWED_EVENTS, &params).await
}

/// Shows one of the events that `allowed` shows. Whether the state has no such event or a guard fails: an event that would
/// be refused is one exit code.
pub(super) async fn explain(session: &CliSession, args: args::ExplainArgs) -> Result<(), Error> {
    let (instance_id, event) = args.named.both()?;
    let payload = input::document("--payload", &args.payload)?;
    let payloads = payload
        .map(|payload| payloads(&event, &payload))
        .transpose()?;
    let params = AllowedEvents {
        instance_id: instance_id.as_str().into(),
        payloads: payloads.as_deref(),
        headers: args.said.headers(),
        read: args.freshness.options(),
    };
    let answer = session.call(op::ALLOWED_EVENTS, &params).await?;
    let mut allowed: AllowedEventsResult<'_> =
        serde_json::from_str(answer.result.get()).map_err(Error::unexpected)?;
    let possible: Vec<String> = allowed
        .events
        .iter()
        .map(|event| event.event.to_string())
        .collect();
    allowed.events.retain(|possible| possible.event == event);
    if allowed.events.is_empty() {
        return Err(Error::Failed(not_possible(&event, &allowed, &possible)));
    }
    allowed.has_more = false;
    let shown = to_raw_value(&allowed).map_err(Error::unexpected)?;
    session.print(op::ALLOWED_EVENTS, &shown)?;
    let is_taken = allowed
        .events
        .iter()
        .any(|event| event.outcome == EventOutcome::Taken);
    match is_taken {
        true => Ok(()),
        false => Err(Error::Failed(format!(
            "event {} would be refused",
            json!(event)
        ))),
    }
}

fn payloads(event: &str, payload: &RawValue) -> Result<Box<RawValue>, Error> {
    to_raw_value(&std::collections::BTreeMap::from([(event, payload)])).map_err(Error::unexpected)
}

fn not_possible(event: &str, allowed: &AllowedEventsResult<'_>, possible: &[String]) -> String {
    let state = json!(allowed.state);
    let named = json!(event);
    let possible = match possible {
        [] => "no event is".to_owned(),
        possible => format!("possible are {}", possible.join(", ")),
    };
    let more = if allowed.has_more { " and more" } else { "" };
    format!("event {named} is not possible in state {state}; {possible}{more}")
}
