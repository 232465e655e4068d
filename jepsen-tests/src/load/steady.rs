//! Well-behaved applications: keyed writes through the client library, one after the other on each instance,
//! with every address of the cluster. They must not notice when one node fails.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rstmdb_rcp::client::{Client, ClientOptions};
use serde_json::{Value, json};

use super::ledger::{IntendedEffect, Ledger, LedgerOp, LoadAction, LoadOutcome};
use super::machines::TestMachine;
use super::pipeline;
use super::pipelines::creation;
use crate::Error;
use crate::harness::wait::within;

/// How long a writer rests between two writes.
const PAUSE: Duration = Duration::from_millis(3);
/// How long it may take until any write succeeds again.
const SUCCESS_TIMEOUT: Duration = Duration::from_secs(30);

/// Writers at work.
#[derive(Debug)]
pub struct Steady {
    shared: Arc<SteadyShared>,
    thread: JoinHandle<Result<Vec<Ledger>, Error>>,
}

#[derive(Debug, Default)]
struct SteadyShared {
    stop: AtomicBool,
    done: Mutex<DoneCalls>,
}

#[derive(Debug, Default)]
struct DoneCalls {
    calls: Vec<SteadyCall>,
    errors: Vec<String>,
}

/// A write that succeeded.
#[derive(Debug, Clone, Copy)]
pub struct SteadyCall {
    /// When the application asked for it.
    pub begun: Instant,
    /// When it got the answer.
    pub ended: Instant,
}

/// The record of the writers.
#[derive(Debug)]
pub struct SteadyWrites {
    /// What each of them wrote.
    pub ledgers: Vec<Ledger>,
    /// Every write that succeeded, in the order of success.
    pub calls: Vec<SteadyCall>,
    /// Every call that failed.
    pub errors: Vec<String>,
}

impl Steady {
    /// Starts this many writers, which share one client for each of the nodes. The machines of the model
    /// must be there.
    pub fn start(addrs: &[SocketAddr], writers: usize) -> Self {
        let shared = Arc::new(SteadyShared::default());
        let (addrs, own) = (addrs.to_vec(), Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(Error::io("a runtime"))?;
            runtime.block_on(write_all(&addrs, writers, &own))
        });
        Self { shared, thread }
    }

    /// Waits until a write that began after `since` has succeeded. Returns how long after `since` that was.
    ///
    /// # Errors
    /// When no write succeeds in time.
    pub fn next_success(&self, since: Instant) -> Result<Duration, Error> {
        within(SUCCESS_TIMEOUT, || {
            let done = self.shared.done();
            let later = done.calls.iter().rev();
            let later = later.take_while(|call| call.ended > since);
            let first = later.filter(|call| call.begun > since).last();
            let first = first.map(|call| call.ended - since);
            first.ok_or_else(|| format!("no write succeeds; failed: {:?}", done.errors))
        })
    }

    /// How many writes have succeeded.
    pub fn count(&self) -> usize {
        self.shared.done().calls.len()
    }

    /// Waits until every writer has finished its write.
    ///
    /// # Errors
    /// When no client could connect at the beginning.
    pub fn finish(self) -> Result<SteadyWrites, Error> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        let ledgers = ended.map_err(|_| Error::Protocol("the writers panicked".to_owned()))??;
        let done = std::mem::take(&mut *self.shared.done());
        Ok(SteadyWrites {
            ledgers,
            calls: done.calls,
            errors: done.errors,
        })
    }
}

impl SteadyShared {
    fn done(&self) -> std::sync::MutexGuard<'_, DoneCalls> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SteadyWrites {
    /// How many writes were in flight at this moment, and succeeded later.
    pub fn across(&self, moment: Instant) -> usize {
        let across = |call: &&SteadyCall| call.begun < moment && call.ended > moment;
        self.calls.iter().filter(across).count()
    }

    /// The longest time in which no write succeeded, from the first to the last of this span.
    pub fn longest_pause(&self, from: Instant, to: Instant) -> Duration {
        let inside = |moment: &Instant| *moment > from && *moment < to;
        let ended = self.calls.iter().map(|call| call.ended).filter(inside);
        let moments: Vec<Instant> = std::iter::once(from).chain(ended).chain([to]).collect();
        let pauses = moments.windows(2).map(|two| two[1] - two[0]);
        pauses.max().unwrap_or_default()
    }

    /// The slowest write.
    pub fn slowest(&self) -> Duration {
        let taken = self.calls.iter().map(|call| call.ended - call.begun);
        taken.max().unwrap_or_default()
    }
}

async fn write_all(
    addrs: &[SocketAddr],
    writers: usize,
    shared: &Arc<SteadyShared>,
) -> Result<Vec<Ledger>, Error> {
    let mut clients = Vec::new();
    for first in 0..addrs.len().min(writers) {
        let mut addrs: Vec<String> = addrs.iter().map(SocketAddr::to_string).collect();
        addrs.rotate_left(first);
        let options = ClientOptions {
            addrs,
            ..ClientOptions::default()
        };
        clients.push(Client::connect(options).await?);
    }
    let writing = clients.iter().cycle().take(writers).enumerate();
    Ok(join_all(writing.map(|(writer, client)| write(client, writer, shared))).await)
}

/// One writer with an instance of its own.
async fn write(client: &Client, writer: usize, shared: &SteadyShared) -> Ledger {
    let mut ledger = Ledger::default();
    let instance = format!("steady-{writer}");
    let tag = format!("{instance}-created");
    let mut next = creation(&tag, &instance, TestMachine::Counter);
    while !shared.stop.load(Ordering::Relaxed) {
        let mut op = LedgerOp {
            attempts: 1,
            ..LedgerOp::new(vec![next], true)
        };
        op.outcome = call(client, &op, shared).await;
        ledger.ops.push(op);
        let tag = format!("{instance}-{}", ledger.ops.len());
        next = IntendedEffect {
            action: LoadAction::Event {
                event: "SET",
                payload: json!({"n": tag}),
            },
            tag,
            instance: Some(instance.clone()),
        };
        tokio::time::sleep(PAUSE).await;
    }
    ledger
}

async fn call(client: &Client, op: &LedgerOp, shared: &SteadyShared) -> LoadOutcome {
    let (name, params) = pipeline::request(op);
    let begun = Instant::now();
    let answer = client.call::<Value, Value>(name, &params).await;
    let ended = Instant::now();
    let mut done = shared.done();
    match answer {
        Ok(response) => {
            done.calls.push(SteadyCall { begun, ended });
            let offset = pipeline::offset_of(&response.result);
            LoadOutcome::Acknowledged { offset }
        }
        Err(error) => {
            let took = ended - begun;
            done.errors.push(format!(
                "{params} at {} after {took:?}: {error}",
                client.address()
            ));
            LoadOutcome::Unanswered
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(millis: &[(u64, u64)]) -> (Instant, SteadyWrites) {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let calls = millis.iter().map(|(begun, ended)| SteadyCall {
            begun: at(*begun),
            ended: at(*ended),
        });
        let written = SteadyWrites {
            ledgers: Vec::new(),
            calls: calls.collect(),
            errors: Vec::new(),
        };
        (start, written)
    }

    #[test]
    fn pauses_reach_to_both_ends_of_the_span() {
        let (start, written) = written(&[(0, 10), (5, 30), (31, 40)]);
        let at = |millis| start + Duration::from_millis(millis);
        let longest = |from, to| written.longest_pause(at(from), at(to)).as_millis();
        assert_eq!(longest(1, 45), 20);
        assert_eq!(longest(1, 140), 100);
        assert_eq!(longest(50, 60), 10);
        assert_eq!((written.across(at(7)), written.across(at(20))), (2, 1));
        assert_eq!(written.slowest().as_millis(), 25);
    }
}
