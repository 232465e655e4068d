//! Any sequence of events, moves, pauses and passing time: the timers are those of a model that knows nothing of facts.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rstmdb_engine::command::{Query, SetAutomation, SetTimers};
use rstmdb_engine::fact::{Body, Entry, Message};
use rstmdb_engine::reply::Firing;
use rstmdb_engine::{
    ApplyEvent, Command, CreateInstance, DecideAt, Decision, EntryOutcome, Limits, PendingEntries,
    Refusal, Reply, State, decide,
};

use crate::common::{bytes, delete, put, reload};

const MACHINE: &str = r#"{"format":2,"initial":"a","states":[
 {"name":"a","timers":[{"event":"GO","after":"10s"},{"event":"STAY","after":"4s"}]},
 {"name":"b","timers":[{"event":"BACK","after":"7s"},{"event":"STUCK","after":"3s"}]},
 {"name":"f","final":true,"delete_after":"20s"}],
 "transitions":[
 {"from":"a","event":"GO","to":"b"},{"from":"a","event":"STAY","to":"a"},
 {"from":"a","event":"AGAIN","to":"a","reenter":true},
 {"from":"b","event":"BACK","to":"a"},{"from":"b","event":"STUCK","to":"f","guard":"false"},
 {"from":"*","event":"END","to":"f"}]}"#;

const IDS: [&str; 3] = ["x", "y", "z"];

#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Event(usize, &'static str),
    Move(usize, &'static str, Option<u64>),
    Delete(usize),
    Pass(u64),
    Pause,
    Resume { skip: bool, shift: bool },
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..IDS.len();
    let events = prop::sample::select(vec!["GO", "STAY", "AGAIN", "BACK", "END"]);
    let names = prop::sample::select(vec!["GO", "STAY", "BACK", "STUCK", "delete_after"]);
    prop_oneof![
        3 => id.clone().prop_map(Step::Create),
        6 => (id.clone(), events).prop_map(|(id, event)| Step::Event(id, event)),
        4 => (id.clone(), names, prop::option::of(0_u64..15_000))
            .prop_map(|(id, name, ms)| Step::Move(id, name, ms)),
        1 => id.prop_map(Step::Delete),
        8 => (1_u64..9_000).prop_map(Step::Pass),
        1 => Just(Step::Pause),
        2 => (0..3).prop_map(|mode| Step::Resume { skip: mode == 1, shift: mode == 2 }),
        1 => Just(Step::Reload),
    ]
}

/// An instance of the model: its state, and when each of its timers is due.
#[derive(Debug, Default)]
struct Model {
    instances: BTreeMap<&'static str, (char, BTreeMap<&'static str, u64>)>,
    paused_since: Option<u64>,
    /// Timers that must not happen any more.
    skipped: Vec<(&'static str, &'static str)>,
}

impl Model {
    fn enter(&mut self, id: &'static str, state: char, now_ms: u64) {
        let timers: &[(&str, u64)] = match state {
            'a' => &[("GO", 10_000), ("STAY", 4_000)],
            'b' => &[("BACK", 7_000), ("STUCK", 3_000)],
            _ => &[("delete_after", 20_000)],
        };
        let due = timers.iter().map(|(name, ms)| (*name, now_ms + ms));
        self.instances.insert(id, (state, due.collect()));
        self.skipped.retain(|(of, _)| *of != id);
    }

    /// Whether the event was possible.
    fn event(&mut self, id: &'static str, event: &str, now_ms: u64) -> bool {
        let Some((state, _)) = self.instances.get(id) else {
            return false;
        };
        match (*state, event) {
            ('a', "STAY") => {}
            ('a', "GO") => self.enter(id, 'b', now_ms),
            ('a', "AGAIN") | ('b', "BACK") => self.enter(id, 'a', now_ms),
            ('a' | 'b', "END") => self.enter(id, 'f', now_ms),
            _ => return false,
        }
        true
    }

    fn fire(&mut self, id: &'static str, name: &'static str, now_ms: u64) -> Firing {
        let timers = self.instances.get_mut(id);
        timers.and_then(|(_, timers)| timers.remove(name));
        if let Some(at) = self.skipped.iter().position(|it| *it == (id, name)) {
            self.skipped.remove(at);
            return Firing::Spent;
        }
        match name {
            "STUCK" => Firing::Spent,
            "delete_after" => {
                self.instances.remove(id);
                Firing::Done
            }
            event => {
                assert!(self.event(id, event, now_ms));
                Firing::Done
            }
        }
    }

    fn first(&self) -> Option<(u64, &'static str, &'static str)> {
        let all = self
            .instances
            .iter()
            .flat_map(|(id, (_, timers))| timers.iter().map(move |(name, due)| (*due, *id, *name)));
        all.min()
    }
}

struct Run {
    state: State,
    now_ms: u64,
    model: Model,
}

impl Run {
    fn run(&mut self, command: &Command) -> Result<Reply, Refusal> {
        let limits = Limits::default();
        let at = DecideAt {
            offset: self.state.last_applied() + 1,
            now_ms: self.now_ms,
            actor: "test",
            meta: None,
            limits: &limits,
            reach: None,
        };
        match decide(&self.state, &PendingEntries::new(), command, &at)? {
            Decision::Answer { reply, .. } => Ok(reply),
            Decision::Write { entry, reply, .. } => {
                let entry = Entry::decode(entry.encode_to_vec().as_slice()).unwrap();
                for fact in &entry.facts {
                    let fired = match &fact.body {
                        Some(Body::ApplyEvent(apply)) => apply.fired.as_ref(),
                        Some(Body::DeleteInstance(delete)) => delete.fired.as_ref(),
                        Some(Body::TimerSpent(spent)) => spent.fired.as_ref(),
                        _ => None,
                    };
                    if let Some(fired) = fired {
                        assert!(fired.due_ms <= entry.time_ms, "{entry}");
                    }
                }
                assert_eq!(
                    self.state.apply(&entry, at.offset),
                    Ok(EntryOutcome::Applied)
                );
                self.state.check_invariants().unwrap();
                Ok(reply)
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Create(id) => {
                let create = Command::CreateInstance(CreateInstance {
                    instance_id: IDS[id].to_owned(),
                    id_given: true,
                    machine: "m".to_owned(),
                    version: 1,
                    initial_ctx: None,
                    idempotency_key: None,
                    import: None,
                });
                if self.run(&create).is_ok() {
                    self.model.enter(IDS[id], 'a', self.now_ms);
                }
            }
            Step::Event(id, event) => {
                let apply = Command::ApplyEvent(ApplyEvent {
                    instance_id: IDS[id].to_owned(),
                    event: event.to_owned(),
                    ..ApplyEvent::default()
                });
                let came = self.run(&apply).is_ok();
                assert_eq!(came, self.model.event(IDS[id], event, self.now_ms));
            }
            Step::Move(id, name, ms) => self.set(IDS[id], name, ms),
            Step::Delete(id) => {
                let came = self.run(&delete(IDS[id], None)).is_ok();
                assert_eq!(came, self.model.instances.remove(IDS[id]).is_some());
                self.model.skipped.retain(|(of, _)| *of != IDS[id]);
            }
            Step::Pass(ms) => self.pass(ms),
            Step::Pause => {
                self.model.paused_since.get_or_insert(self.now_ms);
                self.automate(true, false, false);
            }
            Step::Resume { skip, shift } => self.resume(skip, shift),
            Step::Reload => self.state = reload(&self.state),
        }
        self.compare();
    }

    fn set(&mut self, id: &'static str, name: &'static str, ms: Option<u64>) {
        let to = ms.map_or("null".to_owned(), |ms| format!("{{\"after\":\"{ms}ms\"}}"));
        let set = Command::SetTimers(SetTimers {
            instance_id: id.to_owned(),
            timers: Some(bytes(&format!("{{\"{name}\":{to}}}"))),
            ..SetTimers::default()
        });
        let has = self.model.instances.get(id).is_some_and(|(state, _)| {
            let names: &[&str] = match state {
                'a' => &["GO", "STAY"],
                'b' => &["BACK", "STUCK"],
                _ => &["delete_after"],
            };
            names.contains(&name)
        });
        assert_eq!(self.run(&set).is_ok(), has);
        if let Some((_, timers)) = self.model.instances.get_mut(id).filter(|_| has) {
            self.model.skipped.retain(|it| *it != (id, name));
            match ms {
                Some(ms) => drop(timers.insert(name, self.now_ms + ms)),
                None => drop(timers.remove(name)),
            }
        }
    }

    fn automate(&mut self, paused: bool, skip_overdue: bool, shift_timers: bool) {
        let set = Command::SetAutomation(SetAutomation {
            paused,
            reason: None,
            skip_overdue,
            shift_timers,
        });
        self.run(&set).unwrap();
    }

    fn resume(&mut self, skip: bool, shift: bool) {
        self.automate(false, skip, shift);
        let Some(since_ms) = self.model.paused_since.take() else {
            return;
        };
        for (id, (_, timers)) in &mut self.model.instances {
            for (name, due_ms) in timers {
                if shift {
                    *due_ms += self.now_ms - since_ms;
                } else if skip
                    && *due_ms < self.now_ms
                    && !self.model.skipped.contains(&(*id, *name))
                {
                    self.model.skipped.push((*id, *name));
                }
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.model.paused_since.is_none()
            && let Some((due_ms, id, name)) = self.model.first().filter(|first| first.0 <= end)
        {
            self.now_ms = self.now_ms.max(due_ms);
            let due = self.state.due_timers(self.now_ms, 1, |_| false);
            let fire = due.into_iter().next().unwrap();
            assert_eq!(
                (fire.due_ms, &*fire.instance_id, &*fire.name),
                (due_ms, id, name)
            );
            let expected = self.model.fire(id, name, self.now_ms);
            let fired = self.run(&Command::FireTimer(fire.clone()));
            assert_eq!(fired, Ok(Reply::Fired(expected)), "{fire:?}");
            let again = self.run(&Command::FireTimer(fire));
            assert_eq!(again, Ok(Reply::Fired(Firing::Void)));
            self.compare();
        }
        self.now_ms = end;
        if self.model.paused_since.is_some() {
            for fire in self.state.due_timers(end, 10, |_| false) {
                let waits = self.run(&Command::FireTimer(fire));
                assert_eq!(waits, Ok(Reply::Fired(Firing::Waits)));
            }
        }
    }

    fn compare(&self) {
        let mut armed = 0;
        for id in IDS {
            let query = Query::GetInstance {
                instance_id: id.to_owned(),
            };
            let found = match self.state.query(&query) {
                Ok(Reply::Instance(instance)) => Some(instance),
                _ => None,
            };
            let found = found.map(|instance| {
                let timers = instance.timers.into_iter();
                let timers = timers.map(|timer| (timer.name.to_string(), timer.due_ms));
                (
                    instance.state.to_string(),
                    timers.collect::<BTreeMap<_, _>>(),
                )
            });
            let expected = self.model.instances.get(id).map(|(state, timers)| {
                armed += timers.len() as u64;
                let timers = timers.iter().map(|(name, due)| ((*name).to_owned(), *due));
                (state.to_string(), timers.collect::<BTreeMap<_, _>>())
            });
            assert_eq!(found, expected, "{id}");
        }
        assert_eq!(self.state.timers_armed(), armed);
    }
}

proptest! {
    #[test]
    fn timers_are_those_of_the_model(steps in prop::collection::vec(step(), 1..80)) {
        let mut run = Run {
            state: State::new(),
            now_ms: 1_700_000_000_000,
            model: Model::default(),
        };
        run.run(&Command::SetLevel { level: 2 }).unwrap();
        run.run(&put("m", 1, MACHINE)).unwrap();
        for step in &steps {
            run.step(step);
        }
    }
}
