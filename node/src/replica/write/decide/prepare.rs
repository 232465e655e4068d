//! Decides commands ahead, outside of the serial section, that cost too much to be decided in it.
//!
//! A command is prepared on a copy of the applied state once nothing in flight touches what it names. The proposer
//! takes the decision over if that is still so; otherwise the command is prepared again. A few commands are prepared at
//! a time, oldest first.

use std::sync::Arc;
use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use rstmdb_engine::fact::Meta;
use rstmdb_engine::{Command, DecideAt, Limits, Prepared, State, prepare};
use tokio::sync::mpsc;

use super::decision::decided;
use crate::replica::error::Error;
use crate::replica::parts::counters::Counters;
use crate::replica::peers::calls::Caller;
use crate::replica::types::Types;

/// Commands prepared at a time: they use the processor for long, and other tasks need it too.
const PREPARING_MAX: usize = 2;

/// A command that was decided ahead.
pub(crate) struct Ready {
    /// Its number among those held.
    pub number: u64,
    /// The decision, or that it failed.
    pub prepared: Result<Prepared, Error>,
    /// How long it took.
    pub took: Duration,
}

/// What is being prepared while this node leads in one term.
pub(crate) struct Preparing {
    count: usize,
    to: mpsc::UnboundedSender<Ready>,
    from: mpsc::UnboundedReceiver<Ready>,
}

/// What a decision needs besides its command.
pub(crate) struct Task {
    pub number: u64,
    /// The log's time.
    pub now_ms: u64,
    pub state: State,
    pub command: Command,
    pub meta: Option<Box<Meta>>,
    pub caller: Caller,
    pub limits: Limits,
    pub counters: Arc<Counters>,
}

impl Preparing {
    pub(crate) fn new() -> Self {
        let (to, from) = mpsc::unbounded_channel();
        Self { count: 0, to, from }
    }

    /// How many are being prepared.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn has_room(&self) -> bool {
        self.count < PREPARING_MAX
    }

    /// Prepares it beside all tasks, which come first: a client that sends nothing but costly commands must not delay the
    /// others.
    pub(crate) fn start<T: Types>(&mut self, task: Task) {
        self.count += 1;
        let to = self.to.clone();
        drop(T::spawn(async move {
            let began = T::now();
            let number = task.number;
            let prepared = T::aside(move || task.run()).await;
            let ready = Ready {
                number,
                prepared: prepared.unwrap_or(Err(Error::DecisionFailed)),
                took: T::now() - began,
            };
            // It fails once the node no longer leads in that term.
            let _ = to.send(ready);
        }));
    }

    /// The next one that is done; never resolves while none is being prepared.
    pub(crate) async fn next(&mut self) -> Ready {
        loop {
            // This holds a sender, so the channel is never closed.
            if let Some(ready) = self.from.recv().await {
                self.count -= 1;
                return ready;
            }
        }
    }
}

impl Task {
    fn run(&self) -> Result<Prepared, Error> {
        let at = DecideAt {
            offset: 0,
            now_ms: self.now_ms,
            actor: &self.caller.actor,
            meta: self.meta.as_deref(),
            limits: &self.limits,
            reach: self.caller.reach.as_deref(),
        };
        decided(&self.counters, &self.command, || {
            Ok(prepare(&self.state, &self.command, &at))
        })
    }
}
