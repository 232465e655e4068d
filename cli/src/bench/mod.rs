//! bench: measures throughput and latency of a server from outside.
//!
//! The load generator often runs on the server's machine, so it must use little processor time. Each thread
//! runs its connections on its own runtime, requests are built before the measurement where possible, and
//! threads share nothing while they run.
//!
//! | module | subject |
//! |---|---|
//! | `fan_out` | one event to many watches |
//! | `guard` | what a guard costs |
//! | `watching` | watches beside a load |
//! | [`plan`] | what is asked of a server of rstmdb: machine, instances, requests |
//! | [`drive`] | the threads that make the load, and their workers |
//! | `pace` | the moments of an open loop |
//! | [`report`] | counts and percentiles |
//! | [`load`] | the shape of a load, and what it is made against |
//! | [`keys`] | which instance a request is for |

pub mod drive;
mod fan_out;
mod guard;
pub mod keys;
pub mod load;
mod pace;
pub mod plan;
pub mod report;
mod watching;

use std::sync::atomic::Ordering;

use futures_util::{StreamExt, stream};
use rstmdb_rcp::Code;
use rstmdb_rcp::client::{Client, Error as ClientError};
use rstmdb_rcp::message::instance::DeleteInstance;
use rstmdb_rcp::message::machine::PutMachine;
use rstmdb_rcp::message::op;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::runtime::Handle;

use crate::Error;
use crate::args::{BenchArgs, MixedOp};
use crate::session::{CliSession, from_client};
use load::BenchLoad;
use plan::BenchPlan;
use report::{BenchReport, MeasuredLoad};
use watching::BenchWatching;

/// Requests in flight while instances are created and deleted.
const SETUP_IN_FLIGHT: usize = 256;

/// Runs the benchmark and prints its report.
///
/// # Errors
/// When the arguments contradict each other, or the server cannot be reached or refuses what is prepared.
pub async fn run(session: &CliSession, args: BenchArgs) -> Result<(), Error> {
    let load = BenchLoad::new(&args);
    let plan = BenchPlan::new(&args, &load, session.own_options())?;
    let client = session.client().await?;
    let stop = load.stop.clone();
    let interrupt = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.store(true, Ordering::Relaxed);
        }
    });
    // Blocking, so that an interrupted REPL does not drop this before its instances are deleted.
    let report = tokio::task::block_in_place(|| {
        Handle::current().block_on(measure_and_clean_up(client, &load, &plan, &args))
    });
    interrupt.abort();
    let report = report?;
    if load.is_stopped() {
        return Err(Error::Failed("interrupted".to_owned()));
    }
    if session.out.for_programs() {
        return session.out.value(&report);
    }
    session.out.line(&report.render(session.out.paint))
}

async fn measure_and_clean_up(
    client: &Client,
    load: &BenchLoad,
    plan: &BenchPlan,
    args: &BenchArgs,
) -> Result<BenchReport, Error> {
    let report = match prepare(client, plan).await {
        Err(error) => Err(error),
        Ok(()) => measure(load, plan, args).await,
    };
    if !args.keep
        && let Err(error) = delete(client, plan).await
    {
        eprintln!("not all instances of the benchmark could be deleted: {error}");
    }
    report
}

async fn measure(
    load: &BenchLoad,
    plan: &BenchPlan,
    args: &BenchArgs,
) -> Result<BenchReport, Error> {
    if plan.fan_out {
        let measured = fan_out::run(load, plan).await?;
        return Ok(BenchReport::new(plan, load, measured.summary()?, None));
    }
    let watching =
        (args.watches > 0).then(|| BenchWatching::start(plan, args.watches, args.watch_kind));
    let watching = watching.transpose()?;
    let measured: MeasuredLoad = drive::run(load, plan)?;
    let events = measured.count(MixedOp::Apply);
    let delivered = watching
        .map(|watching| watching.finish(events))
        .transpose()?;
    Ok(BenchReport::new(plan, load, measured.summary()?, delivered))
}

/// Registers the machine and makes the instances of a plan.
///
/// # Errors
/// When the server refuses one, or cannot be reached.
pub async fn prepare(client: &Client, plan: &BenchPlan) -> Result<(), Error> {
    put_machine(client, plan).await?;
    let ctx = plan.first_ctx()?;
    let ids = (0..plan.instances()).map(|number| plan.instance(number));
    each(ids, async |id| {
        let params = plan.creation(id, &ctx)?;
        let created = client.call_raw(op::CREATE_INSTANCE, &params).await;
        created.map(drop).map_err(from_client)
    })
    .await
}

async fn put_machine(client: &Client, plan: &BenchPlan) -> Result<(), Error> {
    let (machine, definition) = plan.machine();
    let definition: Box<RawValue> = serde_json::from_str(definition).map_err(Error::unexpected)?;
    let params = PutMachine::new(machine, 1, &definition);
    let put = client.call::<_, IgnoredAny>(op::PUT_MACHINE, &params).await;
    put.map_err(from_client).map(drop)
}

/// Deletes the instances made before and during the measurement.
async fn delete(client: &Client, plan: &BenchPlan) -> Result<(), Error> {
    each(plan.all_instances(), async |id| {
        let params = DeleteInstance {
            instance_id: id.into(),
            ..DeleteInstance::default()
        };
        match client
            .call::<_, IgnoredAny>(op::DELETE_INSTANCE, &params)
            .await
        {
            // A creation that failed counts too: it may have taken effect.
            Err(ClientError::Refused(body)) if body.code == Code::InstanceNotFound => Ok(()),
            outcome => outcome.map(drop).map_err(from_client),
        }
    })
    .await
}

/// Calls for each id, many at a time; all are tried, the first error is returned.
async fn each(
    ids: impl Iterator<Item = String>,
    call: impl AsyncFn(String) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut calls = stream::iter(ids.map(|id| call(id))).buffer_unordered(SETUP_IN_FLIGHT);
    let mut first = Ok(());
    while let Some(outcome) = calls.next().await {
        if let Err(error) = outcome
            && first.is_ok()
        {
            first = Err(error);
        }
    }
    first
}
