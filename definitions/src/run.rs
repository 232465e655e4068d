//! One instance of a machine in memory, run by the engine itself.

mod time;

use std::collections::BTreeMap;

use bytes::Bytes;
use rstmdb_engine::fact::level::CURRENT;
use rstmdb_engine::fact::{self, Body, Header, Meta};
use rstmdb_engine::{
    ApplyEvent, Command, CreateInstance, DecideAt, Decision, DeleteInstance, Entry, Limits,
    PendingEntries, PutMachine, Query, Refusal, Reply, State, decide,
};

pub use time::{Fired, FiredTimer};

const MACHINE: &str = "machine";

/// A machine, and at most one instance of it.
#[derive(Clone)]
pub struct Runner {
    state: State,
    /// Each instance has an id of its own; the runner shows the last one.
    instances: usize,
    limits: Limits,
    /// The time of the next decision, Unix milliseconds.
    pub now_ms: u64,
}

/// Who writes, and what is said with the write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct By {
    /// The value of `actor` in expressions.
    pub actor: String,
    /// The value of `headers`; of a repeated name the last counts.
    pub headers: Vec<(String, String)>,
    /// Why.
    pub reason: Option<String>,
}

impl From<&str> for By {
    fn from(actor: &str) -> Self {
        Self {
            actor: actor.to_owned(),
            ..Self::default()
        }
    }
}

impl By {
    /// As an entry carries it; none where nothing is said.
    fn meta(&self) -> Option<Meta> {
        if self.headers.is_empty() && self.reason.is_none() {
            return None;
        }
        let headers: BTreeMap<&String, &String> = self
            .headers
            .iter()
            .map(|(name, value)| (name, value))
            .collect();
        let headers = headers.into_iter().map(|(name, value)| Header {
            name: name.clone(),
            value: value.clone(),
        });
        Some(Meta {
            headers: headers.collect(),
            reason: self.reason.clone(),
            ..Meta::default()
        })
    }
}

/// What an event or the creation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunStep {
    /// The state before; none for the creation.
    pub from: Option<String>,
    /// The state after.
    pub to: String,
    /// The states that were passed between the two.
    pub via: Vec<String>,
    /// What was emitted, in order.
    pub emits: Vec<String>,
    /// The whole context after, JSON text.
    pub ctx: String,
}

impl Runner {
    /// A machine of this definition.
    ///
    /// # Errors
    /// The engine refuses the definition.
    pub fn new(definition: &str, now_ms: u64) -> Result<Self, Box<Refusal>> {
        let mut runner = Self {
            state: State::new(),
            instances: 0,
            limits: Limits::default(),
            now_ms,
        };
        // As in a new cluster.
        let level = Command::SetLevel { level: CURRENT };
        runner.write(&level, &By::default())?;
        let put = PutMachine {
            machine: MACHINE.to_owned(),
            version: 1,
            definition: Bytes::copy_from_slice(definition.as_bytes()),
            checksum: None,
        };
        runner.write(&Command::PutMachine(put), &By::default())?;
        Ok(runner)
    }

    /// Creates the instance, in place of one that is there.
    ///
    /// # Errors
    /// The engine refuses it.
    pub fn create(
        &mut self,
        ctx: Option<&str>,
        by: impl Into<By>,
    ) -> Result<RunStep, Box<Refusal>> {
        self.leave()?;
        self.instances += 1;
        let create = CreateInstance {
            instance_id: self.id(),
            id_given: true,
            machine: MACHINE.to_owned(),
            version: 1,
            initial_ctx: ctx.map(|ctx| Bytes::copy_from_slice(ctx.as_bytes())),
            idempotency_key: None,
            import: None,
        };
        self.write(&Command::CreateInstance(create), &by.into())
    }

    /// Puts an instance into a state, as if events had led there.
    ///
    /// # Errors
    /// The context is not one that an instance can have, or the machine has no such state.
    pub fn put_into(&mut self, state: &str, ctx: Option<&str>) -> Result<(), Box<Refusal>> {
        // The definition may add defaults.
        let created = self.create(ctx, "")?;
        if created.to == state {
            return Ok(());
        }
        self.leave()?;
        self.instances += 1;
        let fact = fact::CreateInstance {
            instance_id: self.id(),
            machine: MACHINE.to_owned(),
            version: 1,
            state: state.to_owned(),
            timers: self.state.timers_on_entry(
                MACHINE,
                1,
                state,
                &self.id(),
                created.ctx.as_bytes(),
                self.now_ms,
            )?,
            ctx: Bytes::from(created.ctx),
            ..fact::CreateInstance::default()
        };
        let entry = Entry {
            index: self.state.last_applied() + 1,
            time_ms: self.now_ms,
            facts: vec![Body::CreateInstance(fact).into()],
            ..Entry::default()
        };
        self.install(&entry)
    }

    /// Applies an event.
    ///
    /// # Errors
    /// The engine refuses it. Nothing has changed then.
    pub fn apply(
        &mut self,
        event: &str,
        payload: Option<&str>,
        by: impl Into<By>,
    ) -> Result<RunStep, Box<Refusal>> {
        let apply = ApplyEvent {
            instance_id: self.id(),
            event: event.to_owned(),
            payload: payload.map(|payload| Bytes::copy_from_slice(payload.as_bytes())),
            ..ApplyEvent::default()
        };
        self.write(&Command::ApplyEvent(apply), &by.into())
    }

    /// What an event would do.
    ///
    /// # Errors
    /// The engine would refuse it.
    pub fn would(
        &self,
        event: &str,
        payload: Option<&str>,
        by: impl Into<By>,
    ) -> Result<RunStep, Box<Refusal>> {
        self.clone().apply(event, payload, by)
    }

    /// The instance's state and its context.
    ///
    /// # Errors
    /// There is no instance.
    pub fn instance(&self) -> Result<(String, String), Box<Refusal>> {
        let query = Query::GetInstance {
            instance_id: self.id(),
        };
        match self.state.query(&query)? {
            Reply::Instance(view) => Ok((
                view.state.to_string(),
                String::from_utf8_lossy(&view.ctx).into_owned(),
            )),
            _ => Err(strange("the answer to GET_INSTANCE is another one")),
        }
    }

    /// Deletes the instance that is there, if one is: its timers must not fire beside those of the next.
    fn leave(&mut self) -> Result<(), Box<Refusal>> {
        if self.instance().is_err() {
            return Ok(());
        }
        let delete = DeleteInstance {
            instance_id: self.id(),
            ..DeleteInstance::default()
        };
        self.write(&Command::DeleteInstance(delete), &By::default())?;
        Ok(())
    }

    fn id(&self) -> String {
        format!("instance-{}", self.instances)
    }

    fn write(&mut self, command: &Command, by: &By) -> Result<RunStep, Box<Refusal>> {
        let meta = by.meta();
        let at = DecideAt {
            offset: self.state.last_applied() + 1,
            now_ms: self.now_ms,
            actor: &by.actor,
            limits: &self.limits,
            meta: meta.as_ref(),
            reach: None,
        };
        match decide(&self.state, &PendingEntries::new(), command, &at)? {
            Decision::Write { entry, .. } => {
                self.install(&entry)?;
                Ok(step(&entry))
            }
            Decision::Answer { .. } => Err(strange("the engine wrote nothing")),
        }
    }

    fn install(&mut self, entry: &Entry) -> Result<(), Box<Refusal>> {
        let offset = self.state.last_applied() + 1;
        match self.state.apply(entry, offset) {
            Ok(rstmdb_engine::EntryOutcome::Applied) => Ok(()),
            Ok(_) => Err(strange("the entry is stale")),
            Err(error) => Err(strange(&error.to_string())),
        }
    }
}

fn step(entry: &Entry) -> RunStep {
    let mut step = RunStep {
        from: None,
        to: String::new(),
        via: Vec::new(),
        emits: Vec::new(),
        ctx: String::new(),
    };
    let ctx = |ctx: &Bytes| String::from_utf8_lossy(ctx).into_owned();
    match entry.facts.first().and_then(|fact| fact.body.as_ref()) {
        Some(Body::CreateInstance(create)) => {
            step.to.clone_from(&create.state);
            step.via.clone_from(&create.via);
            step.emits.clone_from(&create.emits);
            step.ctx = ctx(&create.ctx);
        }
        Some(Body::ApplyEvent(apply)) => {
            step.from = Some(apply.from_state.clone());
            step.to.clone_from(&apply.to_state);
            step.via.clone_from(&apply.via);
            step.emits.clone_from(&apply.emits);
            step.ctx = ctx(&apply.ctx);
        }
        _ => {}
    }
    step
}

/// Something that the engine does not do to one instance alone in memory.
fn strange(what: &str) -> Box<Refusal> {
    Box::new(Refusal::BadRequest {
        field: None,
        message: format!("the machine cannot be run: {what}"),
    })
}
