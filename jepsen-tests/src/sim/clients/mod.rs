//! Clients. Each writes and reads through changing nodes, and compares every answer with the log.

mod commands;
pub mod fuses;
pub mod lockers;
mod machines;
pub mod readers;
pub mod watchers;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rstmdb::replica::{Consistency, Done, Error, is_repeatable};
use rstmdb::server::testing::told;
use rstmdb_engine::{ApplyEvent, BatchOp, Command, DeleteInstance, DryRun, Query, Reply};

use rstmdb_sim::check::answers::{self, ChainSpan, Intent, WritePart};
use rstmdb_sim::check::said;
use rstmdb_sim::machines::TestMachine;
use rstmdb_sim::rng::Rng;
use rstmdb_sim::runtime::tasks;
use rstmdb_sim::trace;
use rstmdb_sim::world::World;

use super::plan::SimPlan;
use commands::TOTAL_CENTS;
pub use commands::{create, definition, instance};

/// The most attempts of one command.
const TRIES_MAX: u32 = 6;

/// The outcome of one attempt.
enum AttemptOutcome {
    /// `turn` counts the submitted commands of all nodes, in their order.
    Answered {
        turn: u64,
        outcome: Result<Done, Error>,
    },
    /// The node died, or did not answer in time.
    Broken,
}

/// One client.
pub struct SimClient {
    world: Arc<World>,
    plan: Arc<SimPlan>,
    name: u64,
    rng: Rng,
    node: u64,
    count: u64,
    /// The items that it has created.
    items: Vec<String>,
}

/// Sends a command through a node.
async fn submit(world: &Arc<World>, node: u64, command: Command) -> AttemptOutcome {
    let Some(replica) = world.replica(node) else {
        SimRuntime::sleep(Duration::from_millis(10)).await;
        return AttemptOutcome::Answered {
            turn: 0,
            outcome: Err(Error::NoLeader),
        };
    };
    let limit = world.settings.leader_wait * 4;
    let turns = world.clone();
    let waiting = tasks::spawn(node, async move {
        let turn = turns.answers.lock().next_turn();
        // A move of timers needs the level that a cluster must have for it.
        let may_say = turns.settings.clients_say || matches!(command, Command::SetTimers(_));
        let said = said::of_command(&command).filter(|_| may_say);
        let submitted = replica.submit((command.clone(), said), said::ACTOR.into());
        let mut outcome = submitted.await;
        if let Ok(done) = &mut outcome {
            // As the server does for its clients.
            let mut room = usize::MAX;
            replica.complete(&mut done.reply, &mut room).await;
        }
        (turn, told(&command, outcome))
    });
    match SimRuntime::timeout(limit, waiting).await {
        Ok(Ok((turn, outcome))) => AttemptOutcome::Answered { turn, outcome },
        Ok(Err(_)) | Err(_) => AttemptOutcome::Broken,
    }
}

impl SimClient {
    /// A client of this number.
    pub fn new(world: &Arc<World>, plan: &Arc<SimPlan>, name: u64) -> Self {
        Self {
            rng: Rng::new(world.settings.seed ^ (0xc11e << 16) ^ name),
            world: world.clone(),
            plan: plan.clone(),
            name,
            node: 1 + name % world.settings.nodes,
            count: 0,
            items: Vec::new(),
        }
    }

    /// Works until `until`.
    pub async fn run(mut self, until: Duration) {
        while trace::now() < until && !trace::is_violated() {
            if self.rng.percent(15) {
                let members = self.world.members();
                self.node = *self.rng.pick(&members);
            }
            match self.rng.below(100) {
                0..65 => self.write_some().await,
                65..85 => self.read(Consistency::Linearizable).await,
                85..92 => self.read(Consistency::Lease).await,
                _ => self.read(Consistency::Local).await,
            }
            let think = u64::try_from(self.plan.think.as_micros()).unwrap_or(0);
            let think = Duration::from_micros(self.rng.below(think + 1));
            SimRuntime::sleep(think).await;
        }
    }

    fn tag(&mut self) -> String {
        self.count += 1;
        format!("{}.{}", self.name, self.count)
    }

    /// Submits several commands at the same time, and waits for all of them.
    async fn write_some(&mut self) {
        let count = 1 + self.rng.below(self.plan.burst);
        let writes: Vec<_> = (0..count).map(|_| self.any_request()).collect();
        let (world, node) = (self.world.clone(), self.node);
        let under_way = writes.into_iter().map(|(command, parts)| {
            let node_after = *self.rng.pick(&world.members());
            write(world.clone(), node, node_after, command, parts)
        });
        let under_way: Vec<_> = under_way.collect();
        join_all(under_way).await;
    }

    /// A write, or the question what it would do.
    fn any_request(&mut self) -> (Command, Vec<WritePart>) {
        let (command, parts) = self.any_write();
        let is_no_question = matches!(
            command,
            Command::Batch(_) | Command::PutMachine(_) | Command::DeleteMachine(_)
        );
        let asks = self.rng.percent(10) && !is_no_question;
        match asks {
            true => (Command::DryRun(Box::new(DryRun::Whole(command))), parts),
            false => (command, parts),
        }
    }

    fn any_write(&mut self) -> (Command, Vec<WritePart>) {
        let keyed = self.rng.percent(50);
        match self.rng.below(100) {
            0..70 => {
                let (event, part) = self.event(keyed);
                (Command::ApplyEvent(event), vec![part])
            }
            70..80 => self.batch(keyed),
            80..90 => self.create(keyed),
            90..93 if self.may_need_level() => {
                let tag = self.tag();
                machines::any_write(&mut self.rng, &tag)
            }
            90..93 => self.create(keyed),
            _ => self.delete(keyed),
        }
    }

    fn delete(&mut self, keyed: bool) -> (Command, Vec<WritePart>) {
        let answers = self.world.answers.lock();
        self.items.retain(|id| answers.may_delete(id));
        drop(answers);
        let id = match self.items.is_empty() {
            true => "item-nobody".to_owned(),
            false => self.items.swap_remove(self.rng.index(self.items.len())),
        };
        let part = WritePart {
            instance: id.clone(),
            intent: Intent::Delete,
            tag: id.clone(),
        };
        let key = keyed.then(|| format!("delete-{id}-{}", self.tag()));
        let command = DeleteInstance {
            instance_id: id,
            idempotency_key: key,
            ..DeleteInstance::default()
        };
        (Command::DeleteInstance(command), vec![part])
    }

    fn event(&mut self, keyed: bool) -> (ApplyEvent, WritePart) {
        let number = self.rng.below(self.plan.instances);
        self.event_of(number, keyed)
    }

    fn event_of(&mut self, number: u64, keyed: bool) -> (ApplyEvent, WritePart) {
        let (id, machine) = instance(number);
        let tag = self.tag();
        let event = match machine {
            TestMachine::Counter => "SET",
            TestMachine::Order => *self.rng.pick(&TestMachine::ORDER_EVENTS),
            // More often than it is emptied, so that it becomes full.
            TestMachine::Tally if self.rng.percent(70) => "ADD",
            TestMachine::Tally => *self.rng.pick(&TestMachine::TALLY_EVENTS),
            TestMachine::Parcel => *self.rng.pick(&TestMachine::PARCEL_EVENTS),
            TestMachine::Gate => "HOLD",
            TestMachine::Fuse => "TOUCH",
        };
        let payload = match event {
            "PAY" => {
                let cents = self.rng.between(TOTAL_CENTS / 2, TOTAL_CENTS * 2);
                format!(r#"{{"paid_cents":{cents}}}"#)
            }
            // The merge puts a sum into the context, which `set` must neither see nor keep.
            "ADD" => format!(r#"{{"by":"{tag}","sum":{}}}"#, self.rng.below(9)),
            _ => format!(r#"{{"by":"{tag}"}}"#),
        };
        let conditional = self.rng.percent(15);
        let apply = ApplyEvent {
            instance_id: id.clone(),
            event: event.to_owned(),
            payload: Some(Bytes::from(payload)),
            expected_wal_offset: conditional.then(|| self.guess(&id)),
            event_id: Some(tag.clone()),
            idempotency_key: keyed.then(|| format!("key-{tag}")),
            ..ApplyEvent::default()
        };
        let part = WritePart {
            instance: id,
            intent: Intent::Event(event),
            tag,
        };
        (apply, part)
    }

    /// Where the instance last changed, more often than not.
    fn guess(&mut self, id: &str) -> u64 {
        let chain = self.world.chain.lock();
        let at = chain.facts().at(id, chain.end());
        at.map_or(0, |version| version.offset) + u64::from(self.rng.percent(20))
    }

    /// Events of several instances that take effect together.
    fn batch(&mut self, keyed: bool) -> (Command, Vec<WritePart>) {
        let count = self.rng.between(1, self.plan.instances.min(3));
        let first = self.rng.below(self.plan.instances);
        let mut parts = Vec::new();
        let mut operations = Vec::new();
        for number in first..first + count {
            let (event, part) = self.event_of(number % self.plan.instances, keyed);
            operations.push(BatchOp::Write(Command::ApplyEvent(event)));
            parts.push(part);
        }
        (Command::Batch(operations), parts)
    }

    async fn read(&mut self, level: Consistency) {
        let (id, _) = instance(self.rng.below(self.plan.instances));
        let Some(replica) = self.world.replica(self.node) else {
            return;
        };
        self.world.observe_all();
        let end = self.world.end();
        // A local read names the offset that it must see, and may see any later state.
        let (least, asked) = match level {
            Consistency::Local => (Some(end), end),
            _ => (None, end),
        };
        let query = Query::GetInstance {
            instance_id: id.clone(),
        };
        let reading = tasks::spawn(self.node, async move {
            replica.barrier(level, least).await?;
            Ok::<_, Error>(replica.with_state(|state| (state.last_applied(), state.query(&query))))
        });
        let limit = self.world.settings.leader_wait * 2;
        // Without an answer there is nothing to check.
        let Ok(Ok(Ok((served, seen)))) = SimRuntime::timeout(limit, reading).await else {
            return;
        };
        let seen = match seen {
            Ok(Reply::Instance(view)) => Ok(view),
            Ok(other) => {
                let text = format!("{id}: {other:?}");
                return trace::violated("reads show what is in the log", text);
            }
            Err(refusal) => Err(Error::from(refusal)),
        };
        trace::note(self.node, "read", [asked, served]);
        self.world.observe_all();
        let chain = self.world.chain.lock();
        let checked = answers::read(&id, &seen, asked, served, chain.facts());
        if let Err((invariant, text)) = checked {
            trace::violated(
                invariant,
                format!("{level:?} by node {}: {text}", self.node),
            );
        }
    }
}

/// Sends one command, and repeats it while that is harmless.
async fn write(world: Arc<World>, node: u64, other: u64, command: Command, parts: Vec<WritePart>) {
    let number = world.answers.lock().open(parts);
    // No attempt of a question has an effect.
    let asks = matches!(command, Command::DryRun(_));
    let mut sure = true;
    for attempt in 0..TRIES_MAX {
        let node = if attempt == 0 { node } else { other };
        let from = world.end();
        let outcome = submit(&world, node, command.clone()).await;
        world.observe_all();
        let known = settle_try(&world, node, number, outcome, from, sure);
        let harmless = match &command {
            Command::CreateInstance(create) => {
                let keyed = create.idempotency_key.is_some();
                !known && keyed && world.answers.lock().may_create_again(&create.instance_id)
            }
            other => is_repeatable(other),
        };
        if known || !harmless {
            return;
        }
        sure = asks;
        SimRuntime::sleep(Duration::from_millis(20)).await;
    }
}

/// Compares the answer to an attempt with the log. Returns whether the outcome is known. `sure`: no earlier
/// attempt can have had an effect.
fn settle_try(
    world: &World,
    node: u64,
    number: usize,
    outcome: AttemptOutcome,
    from: u64,
    sure: bool,
) -> bool {
    let chain = world.chain.lock();
    let mut answers = world.answers.lock();
    let span = ChainSpan {
        from,
        to: chain.end(),
    };
    let (what, known) = match &outcome {
        AttemptOutcome::Answered { outcome, .. } => match outcome {
            Ok(_) => ("acknowledged", true),
            Err(Error::Refused(_)) => ("refused", true),
            Err(error) if !error.outcome_unknown() => ("denied", true),
            Err(_) => ("unknown", false),
        },
        AttemptOutcome::Broken => ("unknown", false),
    };
    trace::note(node, what, [span.to, number as u64]);
    let facts = chain.facts();
    let checked = match outcome {
        AttemptOutcome::Answered {
            turn,
            outcome: Ok(done),
        } => answers
            .done(number, &done, span, facts)
            .and_then(|()| match sure {
                true => answers.in_turn(number, node, turn),
                false => Ok(()),
            }),
        AttemptOutcome::Answered {
            outcome: Err(Error::Refused(refusal)),
            ..
        } => answers.refused(number, &refusal, span, sure, facts),
        _ if known => {
            answers.denied(number, sure);
            Ok(())
        }
        _ => {
            answers.unknown();
            Ok(())
        }
    };
    if let Err((invariant, seen)) = checked {
        trace::violated(invariant, seen);
    }
    known
}

/// One attempt of a command that may be repeated. Returns whether it was acknowledged.
pub async fn write_once(world: &Arc<World>, node: u64, command: Command) -> bool {
    let outcome = submit(world, node, command).await;
    matches!(outcome, AttemptOutcome::Answered { outcome: Ok(_), .. })
}
