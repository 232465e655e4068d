//! GET_MACHINE with where the parts of its diagram stand.
//!
//! The command line and the console show the same picture, so the layout is made once, in Rust.

use std::sync::Arc;

use bytes::BytesMut;
use rstmdb_diagram::{Arrow, Chart, STATES_MAX};
use rstmdb_engine::definition::Definition;
use rstmdb_engine::{Query, Reach, Reply};
use rstmdb_rcp::message::ReadOptions;

use crate::replica::Traced;
use crate::server::clients::ops::{Body, OpAnswer, RunningJob, fresh_recorded};
use crate::server::clients::shared::ServerShared;
use crate::server::messages::failure::{self, PossibleEffect};
use crate::server::messages::json::{self, ObjectWriter};
use crate::server::messages::reply;
use crate::server::product::block;

/// Answers.
pub(in crate::server::clients::ops) fn start(
    shared: Arc<ServerShared>,
    (query, options): (Query, ReadOptions),
    reach: Option<Arc<Reach>>,
    trace: Option<Traced>,
) -> RunningJob {
    RunningJob::boxed(async move {
        fresh_recorded(&shared, options, trace).await?;
        let found = shared.replica.look_up(&query, reach.as_deref()).await;
        let found = found.map_err(|error| failure::of_replica(&error, PossibleEffect::None))?;
        Ok(OpAnswer {
            // A layout of the largest machine that has one takes some milliseconds.
            body: Body::Json(block(|| write(&found))),
            wal_offset: None,
        })
    })
}

fn write(found: &Reply) -> BytesMut {
    let mut out = BytesMut::new();
    let mut object = ObjectWriter::begin(&mut out);
    reply::write_machine(&mut object, found);
    if let Reply::Machine { definition, .. } = found {
        let layout = object.key("layout");
        // A definition that an older version has stored may be refused today. It has no picture.
        match Definition::parse(definition) {
            Ok(definition) if definition.states.len() <= STATES_MAX => {
                json::serialized(layout, &chart(&definition).picture());
            }
            _ => layout.extend_from_slice(b"null"),
        }
    }
    object.end();
    out
}

fn chart(definition: &Definition) -> Chart<'_> {
    let leaving = (0..definition.states.len()).map(|state| leaving(definition, state));
    Chart {
        states: definition.states.iter().map(String::as_str).collect(),
        initial: usize::from(definition.initial),
        leaving: leaving.collect(),
    }
}

fn leaving(definition: &Definition, state: usize) -> Vec<Arrow<'_>> {
    let chart = definition.chart.as_deref();
    let parts = chart.and_then(|chart| chart.states.get(state));
    let always = parts.map_or(&[][..], |parts| &parts.always[..]);
    let always = always.iter().map(|always| Arrow {
        event: "always",
        guard: always.guard.as_ref().map(|guard| guard.text()),
        to: usize::from(always.to),
    });
    let is_final = parts.is_some_and(|parts| parts.is_final);
    let number = u16::try_from(state).ok().filter(|_| !is_final);
    let transitions = definition.transitions.iter();
    let events = transitions
        .filter(|transition| number.is_some_and(|number| transition.leaves(number)))
        .map(|transition| Arrow {
            event: event(definition, transition.event),
            guard: transition.guard.as_ref().map(|guard| guard.text()),
            to: usize::from(transition.to),
        });
    always.chain(events).collect()
}

fn event(definition: &Definition, number: u32) -> &str {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    definition.events.get(number).map_or("", String::as_str)
}
