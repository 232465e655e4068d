//! Decides when an operation may be sent: one at a time for each instance, many instances at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::reader::{LoadLane, LoadLine, LoadLines};
use crate::Error;

/// Where operations go.
pub trait Sink {
    /// Runs one operation to its end, with all its retries.
    fn send(&self, line: &LoadLine) -> impl Future<Output = Result<LoadEffect, Error>>;
}

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadEffect {
    /// It took effect.
    Applied,
    /// It had taken effect before, and changed nothing.
    Replayed,
}

/// Bounds, and whether a refusal ends the load.
#[derive(Debug, Clone, Copy)]
pub struct LoadLimits {
    /// Operations sent and not answered.
    pub in_flight: usize,
    /// Operations read that wait for one before them.
    pub waiting: usize,
    /// Whether to go on after an operation failed for good.
    pub continue_on_error: bool,
}

/// Told of every operation that has ended.
pub trait Observer {
    /// One has ended.
    fn ended(&mut self, line: &LoadLine, outcome: &Result<LoadEffect, Error>);
    /// A line could not be taken for an operation, and will be skipped.
    fn unreadable(&mut self, error: &Error);
}

/// Runs all lines. Unless told to continue, stops at the first error: sends nothing more, waits for the
/// operations in flight, and returns the error of the earliest line.
pub async fn run<S: Sink>(
    lines: &mut LoadLines,
    sink: &S,
    limits: LoadLimits,
    observer: &mut impl Observer,
) -> Result<(), Error> {
    let mut lanes = LoadLanes::default();
    let mut in_flight = FuturesUnordered::new();
    let send = |line: LoadLine| async move {
        let outcome = sink.send(&line).await;
        (line, outcome)
    };
    let mut end_of_file = false;
    let mut failure: Option<(u64, Error)> = None;
    loop {
        let room = in_flight.len() < limits.in_flight && lanes.waiting < limits.waiting;
        let reading = !end_of_file && failure.is_none() && room && !lanes.is_closed();
        tokio::select! {
            biased;
            Some((line, outcome)) = in_flight.next(), if !in_flight.is_empty() => {
                observer.ended(&line, &outcome);
                let next = lanes.ended(&line.lane);
                if let Err(error) = outcome && stops(&error, limits) {
                    keep_earliest(&mut failure, line.number, error);
                }
                if failure.is_none() {
                    in_flight.extend(next.map(send));
                }
            }
            line = lines.recv(), if reading => match line {
                Some(Ok(line)) => in_flight.extend(lanes.admit(line).map(send)),
                Some(Err(error)) if limits.continue_on_error => observer.unreadable(&error),
                Some(Err(error)) => failure = Some((u64::MAX, error)),
                None => end_of_file = true,
            },
            else => break,
        }
    }
    match failure {
        None => Ok(()),
        // An error of the reader names its line already.
        Some((u64::MAX, error)) => Err(error),
        Some((number, error)) => Err(error.at_line(number)),
    }
}

/// Only a final refusal concerns a single operation. Without a connection or a leader the others fail as
/// well. After an unknown outcome, continuing could apply operations in the wrong order.
fn stops(error: &Error, limits: LoadLimits) -> bool {
    !limits.continue_on_error || !matches!(error, Error::Refused(body) if !body.retryable)
}

fn keep_earliest(failure: &mut Option<(u64, Error)>, number: u64, error: Error) {
    if failure
        .as_ref()
        .is_none_or(|(earliest, _)| number < *earliest)
    {
        *failure = Some((number, error));
    }
}

/// The operations in flight, and those that wait for them.
#[derive(Debug, Default)]
struct LoadLanes {
    /// The instances that have an operation in flight, each with the operations that wait for it.
    instances: HashMap<Arc<str>, VecDeque<LoadLine>>,
    /// Operations in flight without a lane.
    free: usize,
    /// Operations that wait in lanes.
    waiting: usize,
    barrier: Barrier,
}

#[derive(Debug, Default)]
enum Barrier {
    #[default]
    Open,
    /// To be sent once nothing is in flight.
    Waiting(LoadLine),
    InFlight,
}

impl LoadLanes {
    /// Whether the lines after a barrier have to wait.
    fn is_closed(&self) -> bool {
        !matches!(self.barrier, Barrier::Open)
    }

    /// Takes a line; returns it if it may be sent now. Must not be called while closed.
    fn admit(&mut self, line: LoadLine) -> Option<LoadLine> {
        match &line.lane {
            LoadLane::Free => {
                self.free += 1;
                Some(line)
            }
            LoadLane::Instance(id) => {
                if let Some(queue) = self.instances.get_mut(id) {
                    queue.push_back(line);
                    self.waiting += 1;
                    return None;
                }
                self.instances.insert(id.clone(), VecDeque::new());
                Some(line)
            }
            LoadLane::Barrier => {
                self.barrier = Barrier::Waiting(line);
                self.pass_barrier()
            }
        }
    }

    /// Takes note that a line has ended; returns the one that may be sent instead.
    fn ended(&mut self, lane: &LoadLane) -> Option<LoadLine> {
        match lane {
            LoadLane::Free => self.free -= 1,
            LoadLane::Barrier => self.barrier = Barrier::Open,
            LoadLane::Instance(id) => {
                if let Some(next) = self.instances.get_mut(id).and_then(VecDeque::pop_front) {
                    self.waiting -= 1;
                    return Some(next);
                }
                self.instances.remove(id);
            }
        }
        self.pass_barrier()
    }

    fn pass_barrier(&mut self) -> Option<LoadLine> {
        if self.free > 0 || !self.instances.is_empty() {
            return None;
        }
        match std::mem::take(&mut self.barrier) {
            Barrier::Waiting(line) => {
                self.barrier = Barrier::InFlight;
                Some(line)
            }
            other => {
                self.barrier = other;
                None
            }
        }
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
