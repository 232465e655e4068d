//! Timers as a workload. A keeper lights and burns fuses, moves their timers, deletes them and creates them again under
//! the same ids; their timers do the rest by themselves. A switch pauses automation and lets it run again.
//!
//! The log says what was asked: an event has it in its payload, a move without an event in its reason. So what the
//! timers must be follows from the log alone; see `rstmdb_sim::check::timers`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rstmdb::replica::Replied;
use rstmdb_engine::{
    ApplyEvent, BatchOp, Command, CreateInstance, DeleteInstance, Reply, SetAutomation, SetTimers,
};
use rstmdb_sim::check::answers::{Intent, WritePart};
use rstmdb_sim::check::facts::MOVES;
use rstmdb_sim::machines::TestMachine;
use rstmdb_sim::rng::Rng;
use rstmdb_sim::trace;
use rstmdb_sim::world::World;
use serde_json::{Value, json};

use super::{AttemptOutcome, submit, write, write_once};
use crate::sim::plan::SimPlan;

/// Pauses automation, or lets it run again.
pub fn automation(paused: bool) -> Command {
    Command::SetAutomation(SetAutomation {
        paused,
        ..SetAutomation::default()
    })
}

/// A client that keeps fuses.
pub struct Keeper {
    world: Arc<World>,
    plan: Arc<SimPlan>,
    rng: Rng,
    name: u64,
    count: u64,
}

impl Keeper {
    /// A keeper of this number.
    pub fn new(world: &Arc<World>, plan: &Arc<SimPlan>, name: u64) -> Self {
        // A fuse also ends by itself, so no client repeats its creation.
        let mut answers = world.answers.lock();
        (0..plan.fuses).for_each(|number| answers.may_end(&id_of(number)));
        drop(answers);
        Self {
            rng: Rng::new(world.settings.seed ^ (0xf05e << 16) ^ name),
            world: world.clone(),
            plan: plan.clone(),
            name,
            count: 0,
        }
    }

    /// Works until `until`.
    pub async fn run(mut self, until: Duration) {
        if self.name == 0 {
            for number in 0..self.plan.fuses {
                self.create(id_of(number)).await;
            }
        }
        while trace::now() < until && !trace::is_violated() {
            let id = id_of(self.rng.below(self.plan.fuses));
            match self.rng.below(100) {
                0..45 => self.event(id).await,
                45..60 => self.set_timers(id).await,
                60..75 => self.around(id).await,
                75..80 => self.delete(id).await,
                _ => self.create(id).await,
            }
            let think = u64::try_from(self.plan.think.as_micros()).unwrap_or(0);
            let think = Duration::from_micros(self.rng.below(think + 1));
            SimRuntime::sleep(think).await;
        }
    }

    fn tag(&mut self) -> String {
        self.count += 1;
        format!("fuse.{}.{}", self.name, self.count)
    }

    async fn write(&mut self, command: Command, parts: Vec<WritePart>) {
        let members = self.world.members();
        let (node, other) = (*self.rng.pick(&members), *self.rng.pick(&members));
        write(self.world.clone(), node, other, command, parts).await;
    }

    async fn create(&mut self, id: String) {
        let key = self.tag();
        let create = Command::CreateInstance(CreateInstance {
            instance_id: id.clone(),
            id_given: true,
            machine: TestMachine::Fuse.name().to_owned(),
            version: 1,
            initial_ctx: None,
            // It is the creation's name, too.
            idempotency_key: Some(key.clone()),
            import: None,
        });
        let part = WritePart {
            instance: id,
            intent: Intent::Create,
            tag: key,
        };
        self.write(create, vec![part]).await;
    }

    async fn delete(&mut self, id: String) {
        let delete = Command::DeleteInstance(DeleteInstance {
            instance_id: id.clone(),
            ..DeleteInstance::default()
        });
        let part = WritePart {
            instance: id.clone(),
            intent: Intent::Delete,
            tag: id,
        };
        self.write(delete, vec![part]).await;
    }

    /// An event, which moves timers of the state that it leads to now and then. Without a key: a repetition could come
    /// to a later fuse of the same id.
    fn event_of(&mut self, id: &str, event: &'static str) -> (ApplyEvent, WritePart) {
        let tag = self.tag();
        let mut payload = json!({ "by": tag });
        let moves = match event {
            "TOUCH" | "RELIGHT" | "LIGHT" if self.rng.percent(40) => Some(self.moves_lit()),
            "BURN" if self.rng.percent(40) => Some(json!({ "LIGHT": self.to() })),
            _ => None,
        };
        if let Some(moves) = &moves {
            payload[MOVES] = moves.clone();
        }
        let apply = ApplyEvent {
            instance_id: id.to_owned(),
            event: event.to_owned(),
            payload: Some(Bytes::from(payload.to_string())),
            event_id: Some(tag.clone()),
            timers: moves.map(|moves| Bytes::from(moves.to_string())),
            ..ApplyEvent::default()
        };
        let part = WritePart {
            instance: id.to_owned(),
            intent: Intent::Event(event),
            tag,
        };
        (apply, part)
    }

    async fn event(&mut self, id: String) {
        let event = *self.rng.pick(&TestMachine::FUSE_EVENTS);
        let (apply, part) = self.event_of(&id, event);
        self.write(Command::ApplyEvent(apply), vec![part]).await;
    }

    /// Leaves a state and enters it again within one entry.
    async fn around(&mut self, id: String) {
        let (leave, enter) = *self.rng.pick(&[("BURN", "LIGHT"), ("LIGHT", "BURN")]);
        let (first, one) = self.event_of(&id, leave);
        let (second, other) = self.event_of(&id, enter);
        let operations = [first, second].map(|event| BatchOp::Write(Command::ApplyEvent(event)));
        self.write(Command::Batch(operations.into()), vec![one, other])
            .await;
    }

    fn moves_lit(&mut self) -> Value {
        let name = *self.rng.pick(&["TICK", "JAM", "BURN"]);
        json!({ name: self.to() })
    }

    /// A new time of a timer; null: none.
    fn to(&mut self) -> Value {
        match self.rng.below(10) {
            0..6 => json!({ "after": format!("{}ms", self.rng.below(200)) }),
            6..8 => {
                let now_ms = self.world.chain.lock().facts().time_ms();
                json!({ "at": (now_ms + self.rng.below(200)).saturating_sub(50) })
            }
            _ => Value::Null,
        }
    }

    /// Moves timers without an event; with a key twice, of which one takes effect.
    async fn set_timers(&mut self, id: String) {
        let (state, moves) = match self.rng.percent(70) {
            true => ("lit", self.moves_lit()),
            false => ("out", json!({ "LIGHT": self.to() })),
        };
        // In a later life of the fuse the key would be a new one, so the move is of this version only.
        let last = self.last_offset(&id).filter(|_| self.rng.percent(50));
        let set = SetTimers {
            instance_id: id.clone(),
            timers: Some(Bytes::from(moves.to_string())),
            expected_state: Some(state.to_owned()),
            expected_wal_offset: last,
            idempotency_key: last.map(|_| self.tag()),
            ..SetTimers::default()
        };
        let first = self.moved_at(&set).await;
        if set.idempotency_key.is_none() {
            return;
        }
        let again = self.moved_at(&set).await;
        if let (Some(first), Some(again)) = (first, again)
            && first != again
        {
            let seen = format!("timers of {id} were moved at {first}, and again at {again}");
            trace::violated("what has a key takes effect once", seen);
        }
    }

    /// Where the last known fact of a fuse is.
    fn last_offset(&self, id: &str) -> Option<u64> {
        let chain = self.world.chain.lock();
        chain.facts().at(id, u64::MAX).map(|version| version.offset)
    }

    /// Sends a move to some node; gives where the answer says that it took effect.
    async fn moved_at(&mut self, set: &SetTimers) -> Option<u64> {
        let node = *self.rng.pick(&self.world.members());
        let command = Command::SetTimers(set.clone());
        let AttemptOutcome::Answered {
            outcome: Ok(done), ..
        } = submit(&self.world, node, command).await
        else {
            return None;
        };
        self.world.observe_all();
        let Replied::Here(Reply::TimersSet {
            wal_offset: Some(offset),
            ..
        }) = &done.reply
        else {
            return None;
        };
        trace::note(node, "timers moved", [*offset, 0]);
        let id = &set.instance_id;
        let chain = self.world.chain.lock();
        if !chain.facts().has_at(id, *offset) {
            let seen = format!("timers of {id} were moved at {offset}: it is not there");
            trace::violated("what was acknowledged is in the log", seen);
        }
        Some(*offset)
    }
}

fn id_of(number: u64) -> String {
    format!("fuse-{number}")
}

/// Pauses automation now and then, and lets it run again in every way, until `until`.
pub async fn switch(world: Arc<World>, until: Duration) {
    let mut rng = Rng::new(world.settings.seed ^ (0x5317 << 16));
    while trace::now() < until && !trace::is_violated() {
        SimRuntime::sleep(Duration::from_millis(rng.between(100, 600))).await;
        let node = *rng.pick(&world.members());
        if write_once(&world, node, automation(true)).await {
            trace::note(node, "automation paused", [world.end(), 0]);
        }
        SimRuntime::sleep(Duration::from_millis(rng.below(250))).await;
        let how = rng.below(3);
        let resume = Command::SetAutomation(SetAutomation {
            paused: false,
            skip_overdue: how == 1,
            shift_timers: how == 2,
            ..SetAutomation::default()
        });
        let node = *rng.pick(&world.members());
        write_once(&world, node, resume).await;
    }
}
