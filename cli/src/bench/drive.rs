//! The threads that make the load.

use std::cell::RefCell;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rstmdb_rcp::client::Client;
use rstmdb_rcp::message::op;
use tokio::sync::watch;

use super::plan::{Plan, Requests};
use super::report::Measured;
use crate::Error;
use crate::session::from_client;

/// A worker pauses after a refusal, so that it does not flood a server in trouble.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(10);

/// The measured window: answers count if their request was sent within it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub from: Instant,
    pub until: Instant,
}

impl Window {
    pub fn after_warm_up(plan: &Plan) -> Window {
        let from = Instant::now() + plan.warm_up;
        Window {
            from,
            until: from + plan.duration,
        }
    }
}

/// Runs the plan, blocking: all threads connect, then all begin at once. If one can't connect, none
/// begins.
pub(super) fn run(plan: &Plan) -> Result<Measured, Error> {
    thread::scope(|scope| run_threads(plan, scope))
}

fn run_threads<'scope>(
    plan: &'scope Plan,
    scope: &'scope thread::Scope<'scope, '_>,
) -> Result<Measured, Error> {
    let (start, started) = watch::channel(None);
    let (ready, readies) = mpsc::channel();
    let threads: Vec<_> = (0..plan.threads)
        .map(|index| {
            let (ready, started) = (ready.clone(), started.clone());
            scope.spawn(move || {
                let outcome = run_thread(plan, index, &ready, started);
                if outcome.is_err() {
                    // The receiver is gone once all have begun.
                    let _ = ready.send(false);
                }
                outcome
            })
        })
        .collect();
    if readies.iter().take(threads.len()).all(|ready| ready) {
        start.send_replace(Some(Window::after_warm_up(plan)));
    } else {
        drop(start);
    }
    let mut all = Measured::new()?;
    for thread in threads {
        let one = thread
            .join()
            .map_err(|_| Error::Failed("a thread of the benchmark panicked".to_owned()))?;
        all.merge(one?)?;
    }
    Ok(all)
}

fn run_thread(
    plan: &Plan,
    index: u32,
    ready: &mpsc::Sender<bool>,
    started: watch::Receiver<Option<Window>>,
) -> Result<Measured, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Failed(format!("cannot start a runtime: {error}")))?;
    runtime.block_on(async {
        let mut connections = Vec::new();
        for number in (index..plan.connections).step_by(plan.threads as usize) {
            let client = Client::connect(plan.options.clone()).await;
            connections.push((number, client.map_err(from_client)?));
        }
        // The receiver lives as long as all threads.
        let _ = ready.send(true);
        drive(plan, connections, started).await
    })
}

/// Runs one thread's workers through the window; nothing, if another thread could not connect.
async fn drive(
    plan: &Plan,
    connections: Vec<(u32, Client)>,
    mut started: watch::Receiver<Option<Window>>,
) -> Result<Measured, Error> {
    let measured = RefCell::new(Measured::new()?);
    let window = started.wait_for(Option::is_some).await.ok();
    let Some(window) = window.and_then(|window| *window) else {
        return Ok(measured.into_inner());
    };
    let workers = connections.iter().flat_map(|(number, client)| {
        let first = number * plan.in_flight;
        (first..first + plan.in_flight).map(move |worker| (worker, client))
    });
    let workers = workers.map(|(worker, client)| work(plan, worker, client, window, &measured));
    for outcome in join_all(workers).await {
        outcome?;
    }
    for (_, client) in connections {
        client.close().await;
    }
    Ok(measured.into_inner())
}

/// Sends, waits for the answer, and sends again.
async fn work(
    plan: &Plan,
    worker: u32,
    client: &Client,
    window: Window,
    measured: &RefCell<Measured>,
) -> Result<(), Error> {
    let mut requests = plan.requests(worker)?;
    for turn in 0_usize.. {
        let begin = Instant::now();
        if begin >= window.until || plan.is_stopped() {
            break;
        }
        let outcome = match &mut requests {
            Requests::Fixed(requests) => {
                let (op, params) = &requests[turn % requests.len()];
                client.call_raw(op, params).await
            }
            Requests::Creations { worker, made, ctx } => {
                let params = plan.creation(*worker, *made, ctx)?;
                *made += 1;
                client.call_raw(op::CREATE_INSTANCE, &params).await
            }
        };
        let counted = begin >= window.from;
        match outcome {
            Ok(_) if counted => measured.borrow_mut().answered(begin.elapsed()),
            Ok(_) => {}
            Err(error) => {
                measured.borrow_mut().failed(&error);
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
    if let Requests::Creations { worker, made, .. } = requests {
        measured.borrow_mut().created.push((worker, made));
    }
    Ok(())
}
