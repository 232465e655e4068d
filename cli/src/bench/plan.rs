//! What a benchmark runs against a server of rstmdb: its machine, its instances, its requests.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rstmdb_rcp::client::{Client, ClientOptions, Error as ClientError};
use rstmdb_rcp::message::instance::{ApplyEvent, CreateInstance, GetInstance};
use rstmdb_rcp::message::op;
use serde_json::value::{RawValue, to_raw_value};

use super::guard;
use super::keys::Picker;
use super::load::{BenchLoad, LoadAnswer, LoadTarget};
use crate::Error;
use crate::args::{BenchArgs, BenchKeys, BenchOp, Mix, MixedOp, WatchKind};
use crate::session::from_client;

/// The benchmark's machine.
pub const MACHINE: &str = "bench";
/// Its definition: one event, always allowed.
pub const DEFINITION: &str = r#"{"states":["on","off"],"initial":"on","transitions":[{"from":"on","event":"STEP","to":"off"},{"from":"off","event":"STEP","to":"on"}]}"#;
const EVENT: &str = "STEP";
/// How many instances there are if the operator names no number.
const INSTANCES: u32 = 10_000;

/// A benchmark to be run.
pub struct BenchPlan {
    /// One event at a time to many watches, instead of a load.
    pub fan_out: bool,
    /// Events with a guard and without one, by turns.
    pub guard: bool,
    /// What is asked for.
    pub mix: Mix,
    /// Which instances are asked for.
    pub keys: BenchKeys,
    /// Bytes of a payload.
    pub payload: u32,
    /// Bytes of the context of a new instance.
    pub context: u32,
    /// How to connect.
    pub options: ClientOptions,
    /// Whether each event that counts carries the moment it was sent.
    stamped: bool,
    counts_from: OnceLock<Instant>,
    /// The moments are counted from here.
    pub epoch: Instant,
    instances: u32,
    picker: Picker,
    created: AtomicU64,
    /// Sets this run's instances apart from all others.
    run: String,
}

/// One worker's requests.
pub struct Worker {
    number: u32,
    random: fastrand::Rng,
    /// Requests that are the same each time, written beforehand.
    apply: Option<Box<RawValue>>,
    get: Option<Box<RawValue>>,
    guarded: Option<Box<RawValue>>,
    /// A payload.
    document: Box<RawValue>,
    /// The context of a new instance.
    ctx: Box<RawValue>,
}

impl BenchPlan {
    /// As asked for.
    ///
    /// # Errors
    /// When the arguments contradict each other.
    pub fn new(
        args: &BenchArgs,
        load: &BenchLoad,
        options: ClientOptions,
    ) -> Result<BenchPlan, Error> {
        let fan_out = args.op == BenchOp::Watch && args.mix.is_none();
        if fan_out && (args.rate.is_some() || args.watches > 0 || args.keys != BenchKeys::Own) {
            let message = "--op watch cannot be used with --rate, --watches or --keys";
            return Err(Error::Usage(message.to_owned()));
        }
        if args.keys == BenchKeys::Own && args.instances.is_some() {
            let message = "--instances needs --keys uniform, sequential or zipf: with own, each request in flight has one";
            return Err(Error::Usage(message.to_owned()));
        }
        let guard = args.op == BenchOp::Guard && args.mix.is_none();
        if guard && args.rate.is_some() {
            let message =
                "--op guard cannot be used with --rate: it compares how many events are answered";
            return Err(Error::Usage(message.to_owned()));
        }
        let mix = args.mix.clone().unwrap_or_else(|| Mix::of(args.op));
        let context = if guard {
            guard::CONTEXT_BYTES
        } else {
            args.payload
        };
        let needs_instances = mix.has(MixedOp::Apply) || mix.has(MixedOp::Get);
        let instances = match args.keys {
            _ if fan_out => 1,
            _ if !needs_instances => 0,
            BenchKeys::Own => load.workers(),
            _ => args.instances.unwrap_or(INSTANCES),
        };
        Ok(BenchPlan {
            fan_out,
            guard,
            context: args.context.unwrap_or(context),
            stamped: args.watches > 0 && args.watch_kind == WatchKind::Matching,
            ..BenchPlan::over(mix, args.keys, instances, args.payload, options)
        })
    }

    /// One operation, for each request in flight on an instance that no other uses.
    pub fn of_kind(
        kind: MixedOp,
        load: &BenchLoad,
        payload: u32,
        options: ClientOptions,
    ) -> BenchPlan {
        let instances = if kind == MixedOp::Create {
            0
        } else {
            load.workers()
        };
        BenchPlan::over(Mix::only(kind), BenchKeys::Own, instances, payload, options)
    }

    fn over(
        mix: Mix,
        keys: BenchKeys,
        instances: u32,
        payload: u32,
        options: ClientOptions,
    ) -> BenchPlan {
        let run = uuid::Uuid::new_v4().simple().to_string();
        BenchPlan {
            fan_out: false,
            guard: false,
            mix,
            keys,
            payload,
            context: payload,
            options,
            stamped: false,
            counts_from: OnceLock::new(),
            epoch: Instant::now(),
            instances,
            picker: Picker::new(keys, instances.max(1)),
            created: AtomicU64::new(0),
            run: run[..8].to_owned(),
        }
    }

    /// The name of the operation, as it is typed.
    pub fn op_name(&self) -> &'static str {
        match self.mix.shares() {
            _ if self.fan_out => "watch",
            _ if self.guard => "guard",
            [(kind, _)] => kind.name(),
            _ => "mixed",
        }
    }

    /// How many instances are made beforehand.
    pub fn instances(&self) -> u32 {
        self.instances
    }

    /// How the ids of this run's instances begin.
    pub fn prefix(&self) -> String {
        format!("bench-{}-", self.run)
    }

    /// The id of an instance made beforehand.
    pub fn instance(&self, number: u32) -> String {
        format!("bench-{}-{number}", self.run)
    }

    /// The id of an instance made while it is measured.
    fn created_instance(&self, number: u64) -> String {
        format!("bench-{}-new-{number}", self.run)
    }

    /// The ids of all instances of this run.
    pub fn all_instances(&self) -> impl Iterator<Item = String> {
        let before = (0..self.instances).map(|number| self.instance(number));
        let created = 0..self.created.load(Ordering::Relaxed);
        before.chain(created.map(|number| self.created_instance(number)))
    }

    /// The parameters of an event.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn event(&self, id: &str, payload: &RawValue) -> Result<Box<RawValue>, Error> {
        self.event_named(EVENT, id, payload)
    }

    fn event_named(
        &self,
        event: &str,
        id: &str,
        payload: &RawValue,
    ) -> Result<Box<RawValue>, Error> {
        raw(&ApplyEvent {
            instance_id: id.into(),
            event: event.into(),
            payload: Some(payload),
            ..ApplyEvent::default()
        })
    }

    /// The machine of the instances, and its definition.
    pub fn machine(&self) -> (&'static str, &'static str) {
        match self.guard {
            true => (guard::MACHINE, guard::DEFINITION),
            false => (MACHINE, DEFINITION),
        }
    }

    /// The context of a new instance.
    ///
    /// # Errors
    /// Never: it is JSON.
    pub fn first_ctx(&self) -> Result<Box<RawValue>, Error> {
        match self.guard {
            true => guard::context(self.context),
            false => document(self.context),
        }
    }

    /// The parameters of a creation.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn creation(&self, id: String, ctx: &RawValue) -> Result<Box<RawValue>, Error> {
        raw(&CreateInstance {
            instance_id: Some(id.into()),
            machine: self.machine().0.into(),
            version: 1,
            initial_ctx: Some(ctx),
            ..CreateInstance::default()
        })
    }

    fn read(id: &str) -> Result<Box<RawValue>, Error> {
        raw(&GetInstance {
            instance_id: id.into(),
            ..GetInstance::default()
        })
    }

    /// Whether a request sent at this moment counts, and watches measure its delivery.
    fn is_stamped(&self, sent: Instant) -> bool {
        self.stamped && self.counts_from.get().is_some_and(|from| sent >= *from)
    }

    fn request(
        &self,
        kind: MixedOp,
        worker: &mut Worker,
        sent: Instant,
    ) -> Result<Box<RawValue>, Error> {
        let mut picked = || self.instance(self.picker.pick(worker.number, &mut worker.random));
        match kind {
            MixedOp::Create => {
                let number = self.created.fetch_add(1, Ordering::Relaxed);
                self.creation(self.created_instance(number), &worker.ctx)
            }
            MixedOp::Get => BenchPlan::read(&picked()),
            MixedOp::Apply if self.is_stamped(sent) => {
                let at = sent.saturating_duration_since(self.epoch).as_nanos();
                let at = u64::try_from(at).unwrap_or(u64::MAX);
                self.event(&picked(), &stamped(at, self.payload)?)
            }
            MixedOp::Apply => self.event(&picked(), &worker.document),
            MixedOp::Guarded => self.event_named(guard::EVENT, &picked(), &worker.document),
        }
    }
}

impl LoadTarget for BenchPlan {
    type Connection = Client;
    type Worker = Worker;

    fn counts_from(&self, moment: Instant) {
        // A plan is run once.
        let _ = self.counts_from.set(moment);
    }

    /// Each connection begins with another of the addresses.
    async fn connect(&self, number: u32) -> Result<Client, Error> {
        let mut options = self.options.clone();
        if !options.addrs.is_empty() {
            let first = number as usize % options.addrs.len();
            options.addrs.rotate_left(first);
        }
        Client::connect(options).await.map_err(from_client)
    }

    fn worker(&self, number: u32) -> Result<Worker, Error> {
        let document = document(self.payload)?;
        let id = self.instance(number);
        let is_own = self.keys == BenchKeys::Own;
        let apply = (is_own && !self.stamped).then(|| self.event(&id, &document));
        let get = is_own.then(|| BenchPlan::read(&id));
        let guarded =
            (is_own && self.guard).then(|| self.event_named(guard::EVENT, &id, &document));
        Ok(Worker {
            number,
            random: fastrand::Rng::with_seed(u64::from(number)),
            apply: apply.transpose()?,
            get: get.transpose()?,
            guarded: guarded.transpose()?,
            document,
            ctx: self.first_ctx()?,
        })
    }

    async fn call(
        &self,
        client: &Client,
        worker: &mut Worker,
        sent: Instant,
    ) -> Result<LoadAnswer, Error> {
        let kind = match self.guard {
            true => guard::kind(sent.saturating_duration_since(self.epoch)),
            false => self.mix.at(worker.random.u32(0..self.mix.sum())),
        };
        let made;
        let ready = match kind {
            MixedOp::Apply => worker.apply.as_ref(),
            MixedOp::Get => worker.get.as_ref(),
            MixedOp::Guarded => worker.guarded.as_ref(),
            MixedOp::Create => None,
        };
        let op = match kind {
            MixedOp::Apply | MixedOp::Guarded => op::APPLY_EVENT,
            MixedOp::Create => op::CREATE_INSTANCE,
            MixedOp::Get => op::GET_INSTANCE,
        };
        let params = match ready {
            Some(params) => params,
            None => {
                made = self.request(kind, worker, sent)?;
                &made
            }
        };
        let outcome = client.call_raw(op, params).await;
        let outcome = outcome.map(drop).map_err(name_of);
        Ok(LoadAnswer { kind, outcome })
    }

    async fn close(&self, client: Client) {
        client.close().await;
    }
}

/// A failure's name in the report.
fn name_of(error: ClientError) -> String {
    match error {
        ClientError::Refused(body) => body.code.to_string(),
        other => other.to_string(),
    }
}

fn raw(params: &impl serde::Serialize) -> Result<Box<RawValue>, Error> {
    to_raw_value(params).map_err(Error::unexpected)
}

/// A JSON object of `bytes` bytes, or as small as one with a member can be; `{}` for none at all.
///
/// # Errors
/// Never: it is JSON.
pub fn document(bytes: u32) -> Result<Box<RawValue>, Error> {
    if bytes == 0 {
        return RawValue::from_string("{}".to_owned()).map_err(Error::unexpected);
    }
    filled("{", bytes)
}

/// The same with the moment it was sent, in nanoseconds.
fn stamped(at: u64, bytes: u32) -> Result<Box<RawValue>, Error> {
    filled(&format!("{{\"at\":{at},"), bytes)
}

fn filled(beginning: &str, bytes: u32) -> Result<Box<RawValue>, Error> {
    const AROUND: usize = r#""data":""}"#.len();
    let filling = (bytes as usize).saturating_sub(beginning.len() + AROUND);
    let text = format!("{beginning}\"data\":\"{}\"}}", "x".repeat(filling));
    RawValue::from_string(text).map_err(Error::unexpected)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Parser;

    use super::*;
    use crate::args::{Cli, CliCommand};

    fn args(line: &str) -> BenchArgs {
        let words = ["rstmdb-cli", "bench"]
            .into_iter()
            .chain(line.split_whitespace());
        let Some(CliCommand::Bench(args)) = Cli::parse_from(words).command else {
            panic!("not bench");
        };
        args
    }

    fn try_plan(line: &str) -> Result<BenchPlan, Error> {
        let args = args(line);
        BenchPlan::new(&args, &BenchLoad::new(&args), ClientOptions::default())
    }

    fn plan(line: &str) -> BenchPlan {
        try_plan(line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn each_worker_has_an_instance_of_its_own_unless_keys_are_drawn() {
        assert_eq!(plan("--connections 4 --in-flight 8").instances(), 32);
        assert_eq!(plan("--connections 4 --op watch").instances(), 1);
        assert_eq!(plan("--connections 4 --op create").instances(), 0);
        assert_eq!(plan("--keys zipf").instances(), INSTANCES);
        assert_eq!(plan("--keys uniform --instances 70").instances(), 70);
    }

    #[test]
    fn arguments_that_contradict_each_other_are_refused() {
        for (line, says) in [
            ("--op watch --rate 5", "--op watch"),
            ("--op watch --watches 5", "--op watch"),
            ("--instances 5", "--keys uniform"),
            ("--op guard --rate 5", "--op guard"),
        ] {
            let Err(Error::Usage(message)) = try_plan(line) else {
                panic!("{line} was taken");
            };
            assert!(message.contains(says), "{line}: {message}");
        }
    }

    #[test]
    fn there_are_never_more_threads_than_connections() {
        let threads = |line| BenchLoad::new(&args(line)).threads;
        assert_eq!(threads("--connections 2 --threads 8"), 2);
        assert_eq!(threads("--connections 1"), 1);
    }

    #[test]
    fn a_payload_is_as_large_as_asked_for() {
        for (asked, size) in [(0, 2), (1, 11), (11, 11), (100, 100), (5_000, 5_000)] {
            assert_eq!(document(asked).unwrap().get().len(), size);
        }
        let stamped = stamped(123_456, 100).unwrap();
        assert_eq!(stamped.get().len(), 100);
        assert!(stamped.get().starts_with(r#"{"at":123456,"data":"x"#));
    }

    #[test]
    fn a_mix_asks_for_each_operation_by_its_share() {
        let plan = plan("--mix apply=70,get=25,create=5");
        let mut worker = plan.worker(0).unwrap();
        let mut seen = std::collections::BTreeMap::<_, u32>::new();
        for _ in 0..10_000 {
            let kind = plan.mix.at(worker.random.u32(0..plan.mix.sum()));
            *seen.entry(kind.name()).or_default() += 1;
        }
        assert!((6_700..7_300).contains(&seen["apply"]), "{seen:?}");
        assert!((2_250..2_750).contains(&seen["get"]), "{seen:?}");
        assert!((400..600).contains(&seen["create"]), "{seen:?}");
        assert_eq!(plan.op_name(), "mixed");
    }

    #[test]
    fn a_context_is_as_large_as_the_payload_unless_another_size_is_asked_for() {
        for (line, payload, context) in [
            ("--payload 200", 200, 200),
            ("--payload 200 --context 5000", 200, 5000),
            ("--op guard", 100, guard::CONTEXT_BYTES),
            ("--op guard --context 300", 100, 300),
        ] {
            let plan = plan(line);
            assert_eq!((plan.payload, plan.context), (payload, context), "{line}");
            let first = plan.first_ctx().unwrap().get().len() as u32;
            assert!(first.abs_diff(context) < 60, "{line}: {first}");
        }
    }

    #[test]
    fn a_created_instance_is_one_that_is_deleted_afterwards() {
        let plan = plan("--op create");
        let mut worker = plan.worker(0).unwrap();
        for _ in 0..2 {
            let params = plan
                .request(MixedOp::Create, &mut worker, Instant::now())
                .unwrap();
            let id = plan.all_instances().last().unwrap();
            assert!(params.get().contains(&format!("{id:?}")), "{params}");
        }
        assert_eq!(plan.all_instances().count(), 2);
    }

    #[test]
    fn two_runs_do_not_share_instances() {
        assert_ne!(plan("").instance(0), plan("").instance(0));
    }
}
