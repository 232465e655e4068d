//! The threads that make the load.

use std::cell::RefCell;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::watch;

use super::load::{BenchLoad, LoadTarget, MeasuredWindow};
use super::pace::{SendPace, Ticks};
use super::report::MeasuredLoad;
use crate::Error;

/// A worker pauses after a refusal, so that it does not flood a server in trouble.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(10);

/// What the workers of a thread share.
struct DriveShared<'a, T: LoadTarget> {
    load: &'a BenchLoad,
    target: &'a T,
    window: MeasuredWindow,
    ticks: Option<Ticks>,
    measured: RefCell<MeasuredLoad>,
}

/// Loads the target, blocking: all threads connect, then all begin at once. If one can't connect, none
/// begins.
///
/// # Errors
/// When a thread cannot connect, or cannot write its requests.
pub fn run<T: LoadTarget>(load: &BenchLoad, target: &T) -> Result<MeasuredLoad, Error> {
    let pace = SendPace::of(load);
    thread::scope(|scope| run_threads(load, target, pace.as_ref(), scope))
}

fn run_threads<'scope, T: LoadTarget>(
    load: &'scope BenchLoad,
    target: &'scope T,
    pace: Option<&'scope SendPace>,
    scope: &'scope thread::Scope<'scope, '_>,
) -> Result<MeasuredLoad, Error> {
    let (start, started) = watch::channel(None);
    let (ready, readies) = mpsc::channel();
    let threads: Vec<_> = (0..load.threads)
        .map(|index| {
            let (ready, started) = (ready.clone(), started.clone());
            scope.spawn(move || {
                let outcome = run_thread(load, target, pace, index, &ready, started);
                if outcome.is_err() {
                    // The receiver is gone once all have begun.
                    let _ = ready.send(false);
                }
                outcome
            })
        })
        .collect();
    if readies.iter().take(threads.len()).all(|ready| ready) {
        let window = MeasuredWindow::after_warm_up(load);
        target.counts_from(window.from);
        start.send_replace(Some(window));
        if let Some(pace) = pace {
            pace.run(load, window);
        }
    } else {
        drop(start);
    }
    let mut all = MeasuredLoad::new();
    for thread in threads {
        let one = thread
            .join()
            .map_err(|_| Error::Failed("a thread of the benchmark panicked".to_owned()))?;
        all.merge(one?)?;
    }
    Ok(all)
}

fn run_thread<T: LoadTarget>(
    load: &BenchLoad,
    target: &T,
    pace: Option<&SendPace>,
    index: u32,
    ready: &mpsc::Sender<bool>,
    mut started: watch::Receiver<Option<MeasuredWindow>>,
) -> Result<MeasuredLoad, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Failed(format!("cannot start a runtime: {error}")))?;
    runtime.block_on(async {
        let mut connections = Vec::new();
        for number in (index..load.connections).step_by(load.threads as usize) {
            connections.push((number, target.connect(number).await?));
        }
        // The receiver lives as long as all threads.
        let _ = ready.send(true);
        let window = started.wait_for(Option::is_some).await.ok();
        let Some(window) = window.and_then(|window| *window) else {
            return Ok(MeasuredLoad::new());
        };
        let shared = DriveShared {
            load,
            target,
            window,
            ticks: pace.map(|pace| pace.ticks(index, window)),
            measured: RefCell::new(MeasuredLoad::new()),
        };
        drive(shared, connections).await
    })
}

/// Runs one thread's workers through the window.
async fn drive<T: LoadTarget>(
    shared: DriveShared<'_, T>,
    connections: Vec<(u32, T::Connection)>,
) -> Result<MeasuredLoad, Error> {
    let in_flight = shared.load.in_flight;
    let workers = connections.iter().flat_map(|(number, connection)| {
        let first = number * in_flight;
        (first..first + in_flight).map(move |worker| (worker, connection))
    });
    let workers = workers.map(|(worker, connection)| work(&shared, worker, connection));
    for outcome in join_all(workers).await {
        outcome?;
    }
    // Requests of an open loop may be late.
    let late = shared.window.until.elapsed();
    let late = shared.ticks.as_ref().map_or(Duration::ZERO, |_| late);
    shared
        .measured
        .borrow_mut()
        .lasted(shared.load.duration + late);
    let target = shared.target;
    for (_, connection) in connections {
        target.close(connection).await;
    }
    let mut measured = shared.measured.into_inner();
    let Some(ticks) = shared.ticks.filter(|_| !shared.load.is_stopped()) else {
        return Ok(measured);
    };
    for at in ticks.missed().filter(|at| *at >= shared.window.from) {
        measured.unsent(at.elapsed())?;
    }
    Ok(measured)
}

/// Sends, waits for the answer, and sends again: at once, or at the next moment of the pace.
async fn work<T: LoadTarget>(
    shared: &DriveShared<'_, T>,
    number: u32,
    connection: &T::Connection,
) -> Result<(), Error> {
    let mut worker = shared.target.worker(number)?;
    loop {
        let sent = match &shared.ticks {
            Some(ticks) => ticks.next().await,
            None => Some(Instant::now()).filter(|now| *now < shared.window.until),
        };
        let Some(sent) = sent.filter(|_| !shared.load.is_stopped()) else {
            return Ok(());
        };
        let answer = shared.target.call(connection, &mut worker, sent).await?;
        match answer.outcome {
            Ok(()) if sent >= shared.window.from => {
                let latency = sent.elapsed();
                shared
                    .measured
                    .borrow_mut()
                    .answered(answer.kind, latency)?;
            }
            Ok(()) => {}
            Err(name) => {
                shared.measured.borrow_mut().failed(name);
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
}
