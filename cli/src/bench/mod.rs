//! bench: measures throughput and latency of a server from outside.
//!
//! The load generator often runs on the server's machine, so it must use little processor time. Each thread
//! runs its connections on its own runtime, requests are built before the measurement where possible, and
//! threads share nothing while they run.
//!
//! | module | subject |
//! |---|---|
//! | [`plan`] | what is run: requests, instances, phases |
//! | `drive` | the threads that make the load |
//! | `fan_out` | one event to many watches |
//! | [`report`] | counts and percentiles |

mod drive;
mod fan_out;
pub mod plan;
pub mod report;

use std::sync::atomic::Ordering;

use futures_util::{StreamExt, stream};
use rstmdb_rcp::Code;
use rstmdb_rcp::client::{Client, Error as ClientError};
use rstmdb_rcp::message::instance::{CreateInstance, DeleteInstance};
use rstmdb_rcp::message::machine::PutMachine;
use rstmdb_rcp::message::op;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::runtime::Handle;

use crate::Error;
use crate::args::{Bench, BenchOp};
use crate::session::{Session, from_client};
use plan::{MACHINE, Plan};
use report::Measured;

/// Requests in flight while instances are created and deleted.
const SETUP_IN_FLIGHT: usize = 256;

/// Runs the benchmark and prints its report.
pub async fn run(session: &Session, args: Bench) -> Result<(), Error> {
    let plan = Plan::new(&args, session.own_options());
    let client = session.client().await?;
    put_machine(client).await?;
    let stop = plan.stop.clone();
    let interrupt = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.store(true, Ordering::Relaxed);
        }
    });
    // Blocking, so that an interrupted REPL does not drop this before its instances are deleted.
    let measured = tokio::task::block_in_place(|| {
        Handle::current().block_on(measure_and_clean_up(client, &plan, args.keep))
    });
    interrupt.abort();
    let report = measured?.report(&plan);
    if plan.is_stopped() {
        return Err(Error::Failed("interrupted".to_owned()));
    }
    if session.out.json {
        return session.out.json_line(&report);
    }
    session.out.line(&report.render(session.out.paint))
}

async fn measure_and_clean_up(client: &Client, plan: &Plan, keep: bool) -> Result<Measured, Error> {
    let measured = match create(client, plan).await {
        Err(error) => Err(error),
        Ok(()) if plan.op == BenchOp::Watch => fan_out::run(plan).await,
        Ok(()) => drive::run(plan),
    };
    let created = measured.as_ref().map_or(&[][..], |m| m.created.as_slice());
    if !keep && let Err(error) = delete(client, plan, created).await {
        eprintln!("not all instances of the benchmark could be deleted: {error}");
    }
    measured
}

async fn put_machine(client: &Client) -> Result<(), Error> {
    let definition: Box<RawValue> =
        serde_json::from_str(plan::DEFINITION).map_err(Error::unexpected)?;
    let params = PutMachine::new(MACHINE, 1, &definition);
    let put = client.call::<_, IgnoredAny>(op::PUT_MACHINE, &params).await;
    put.map_err(from_client).map(drop)
}

async fn create(client: &Client, plan: &Plan) -> Result<(), Error> {
    let ids = (0..plan.instances()).map(|number| plan.instance(number));
    each(ids, async |id| {
        let params = CreateInstance {
            instance_id: Some(id.into()),
            machine: MACHINE.into(),
            version: 1,
            ..CreateInstance::default()
        };
        client
            .call::<_, IgnoredAny>(op::CREATE_INSTANCE, &params)
            .await
    })
    .await
}

/// Deletes the instances made before and during the measurement. `created` has the number of the latter for each
/// worker.
async fn delete(client: &Client, plan: &Plan, created: &[(u32, u64)]) -> Result<(), Error> {
    let before = (0..plan.instances()).map(|number| plan.instance(number));
    let during = created.iter().flat_map(|&(worker, count)| {
        (0..count).map(move |number| plan.created_instance(worker, number))
    });
    each(before.chain(during), async |id| {
        let params = DeleteInstance {
            instance_id: id.into(),
            ..DeleteInstance::default()
        };
        match client
            .call::<_, IgnoredAny>(op::DELETE_INSTANCE, &params)
            .await
        {
            // Count a failed creation too: it may have taken effect.
            Err(ClientError::Refused(body)) if body.code == Code::InstanceNotFound => Ok(()),
            outcome => outcome.map(drop),
        }
    })
    .await
}

/// Calls for each id, many at a time; all are tried, the first error is returned.
async fn each<R>(
    ids: impl Iterator<Item = String>,
    call: impl AsyncFn(String) -> Result<R, ClientError>,
) -> Result<(), Error> {
    let mut calls = stream::iter(ids.map(|id| call(id))).buffer_unordered(SETUP_IN_FLIGHT);
    let mut first = Ok(());
    while let Some(outcome) = calls.next().await {
        if let Err(error) = outcome
            && first.is_ok()
        {
            first = Err(from_client(error));
        }
    }
    first
}
