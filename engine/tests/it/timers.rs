//! Timers: armed by the fact that enters a state, moved, disarmed, fired once, spent with a reason.

#![allow(clippy::disallowed_methods)]

use rstmdb_engine::command::{FireTimer, ListTimers, Query, SetAutomation, SetTimers};
use rstmdb_engine::definition::Definition;
use rstmdb_engine::fact::{Body, Entry, Message, level};
use rstmdb_engine::limits::TIMERS_BYTES_MAX;
use rstmdb_engine::reply::{Firing, TimerPlace};
use rstmdb_engine::{
    ApplyEvent, Asker, BatchOp, Command, CreateInstance, DecideAt, Decision, DryRun, DueSearch,
    EntryOutcome, InstanceView, Limits, PendingEntries, Refusal, Reply, State, decide, prepare,
};
use serde_json::json;

use crate::common::{bytes, delete, put, reload};

const ORDER: &str = r#"{"format":2,"initial":"cart","states":["cart",
 {"name":"waiting","timers":[
   {"event":"EXPIRE","after":"30m"},
   {"event":"REMIND","after":"10m","name":"first","payload":{"by":"mail"}},
   {"event":"REMIND","at":"ctx.at","name":"second","optional":true}]},
 {"name":"paid","timers":[{"event":"CHECK","after":"1h","late":{"within":"5m"},
                           "retry":{"after":"10m","times":2}}]},
 {"name":"cancelled","final":true,"delete_after":"30d"}],
 "transitions":[
 {"from":"cart","event":"CHECKOUT","to":"waiting"},
 {"from":"waiting","event":"REMIND","to":"waiting","set":{"reminded":"now"}},
 {"from":"waiting","event":"RENEW","to":"waiting","reenter":true},
 {"from":"waiting","event":"NOTE","to":"waiting"},
 {"from":"waiting","event":"PAY","to":"paid"},
 {"from":"paid","event":"CHECK","to":"cart","guard":"ctx.ok == true"},
 {"from":"paid","event":"NOTE","to":"paid"},
 {"from":"*","event":"EXPIRE","to":"cancelled"}]}"#;

const MIN: u64 = 60_000;
const HOUR: u64 = 60 * MIN;
const START: u64 = 1_700_000_000_000;

/// One node's log: each entry goes through its bytes, to two replicas, one of which is loaded from a snapshot now and
/// then.
struct World {
    state: State,
    other: State,
    now_ms: u64,
    entries: Vec<(u64, Entry)>,
}

impl World {
    fn new(definition: &str) -> Self {
        let mut world = Self {
            state: State::new(),
            other: State::new(),
            now_ms: START,
            entries: Vec::new(),
        };
        world.ok(&Command::SetLevel { level: 2 });
        world.ok(&put("order", 1, definition));
        world
    }

    fn order() -> Self {
        Self::new(ORDER)
    }

    fn at(&self) -> u64 {
        self.state.last_applied() + 1
    }

    fn run(&mut self, command: &Command) -> Result<Reply, Refusal> {
        let limits = Limits::default();
        let at = DecideAt {
            offset: self.at(),
            now_ms: self.now_ms,
            actor: "test",
            meta: None,
            limits: &limits,
            reach: None,
        };
        match decide(&self.state, &PendingEntries::new(), command, &at)? {
            Decision::Answer { reply, .. } => Ok(reply),
            Decision::Write { entry, reply, .. } => {
                assert_eq!(self.apply(&entry), EntryOutcome::Applied, "{entry}");
                Ok(reply)
            }
        }
    }

    fn apply(&mut self, entry: &Entry) -> EntryOutcome {
        assert!(level::needed_by(entry) <= level::CURRENT, "{entry}");
        let copy = Entry::decode(entry.encode_to_vec().as_slice()).unwrap();
        let offset = self.at();
        let outcome = self.state.apply(&copy, offset).unwrap();
        assert_eq!(self.other.apply(&copy, offset), Ok(outcome));
        self.state.check_invariants().unwrap();
        assert_eq!(self.other.digest(), self.state.digest());
        if offset.is_multiple_of(3) {
            self.other = reload(&self.other);
        }
        self.entries.push((offset, copy));
        outcome
    }

    fn ok(&mut self, command: &Command) -> Reply {
        self.run(command).unwrap()
    }

    fn create(&mut self, id: &str) {
        self.ok(&Command::CreateInstance(CreateInstance {
            instance_id: id.to_owned(),
            id_given: true,
            machine: "order".to_owned(),
            version: 0,
            initial_ctx: Some(bytes("{}")),
            idempotency_key: None,
            import: None,
        }));
    }

    fn event(&mut self, id: &str, event: &str) -> Reply {
        self.ok(&apply(id, event, "{}", None))
    }

    fn instance(&self, id: &str) -> InstanceView {
        let query = Query::GetInstance {
            instance_id: id.to_owned(),
        };
        match self.state.query(&query).unwrap() {
            Reply::Instance(instance) => instance,
            other => panic!("{other:?}"),
        }
    }

    /// The timers of an instance with the minutes until they are due.
    fn timers(&self, id: &str) -> Vec<(String, u64)> {
        let timers = self.instance(id).timers.into_iter();
        timers
            .map(|timer| (timer.name.to_string(), (timer.due_ms - self.now_ms) / MIN))
            .collect()
    }

    /// Lets time pass, and fires what becomes due in it, in order.
    fn pass(&mut self, span_ms: u64) -> Vec<(String, Firing)> {
        let end = self.now_ms + span_ms;
        let mut fired = Vec::new();
        while let Some(due_ms) = self.state.next_due_ms().filter(|due_ms| *due_ms <= end) {
            self.now_ms = self.now_ms.max(due_ms);
            fired.extend(self.fire_due());
        }
        self.now_ms = end;
        fired
    }

    /// Fires what is due now.
    fn fire_due(&mut self) -> Vec<(String, Firing)> {
        let due = self.state.due_timers(self.now_ms, 100, |_| false);
        let mut fired = Vec::new();
        for fire in due {
            let name = fire.name.clone();
            match self.ok(&Command::FireTimer(fire)) {
                Reply::Fired(firing) => fired.push((name, firing)),
                other => panic!("{other:?}"),
            }
        }
        fired
    }

    fn next_firing(&self) -> FireTimer {
        let due = self.state.due_timers(u64::MAX, 1, |_| false);
        due.into_iter().next().unwrap()
    }

    fn last_entry(&self) -> &Entry {
        &self.entries.last().unwrap().1
    }
}

fn apply(id: &str, event: &str, payload: &str, timers: Option<&str>) -> Command {
    Command::ApplyEvent(ApplyEvent {
        instance_id: id.to_owned(),
        event: event.to_owned(),
        payload: Some(bytes(payload)),
        timers: timers.map(bytes),
        ..ApplyEvent::default()
    })
}

fn set(id: &str, timers: &str) -> Command {
    Command::SetTimers(SetTimers {
        instance_id: id.to_owned(),
        timers: Some(bytes(timers)),
        ..SetTimers::default()
    })
}

fn named(timers: &[(&str, u64)]) -> Vec<(String, u64)> {
    let timers = timers.iter();
    timers
        .map(|(name, left)| ((*name).to_owned(), *left))
        .collect()
}

fn done(names: &[&str]) -> Vec<(String, Firing)> {
    let names = names.iter();
    names
        .map(|name| ((*name).to_owned(), Firing::Done))
        .collect()
}

#[test]
fn entering_a_state_arms_its_timers_and_leaving_disarms_them() {
    let mut world = World::order();
    world.create("a");
    assert_eq!(world.timers("a"), named(&[]));
    world.event("a", "CHECKOUT");
    assert_eq!(world.timers("a"), named(&[("EXPIRE", 30), ("first", 10)]));
    assert_eq!(world.state.timers_armed(), 2);
    world.event("a", "PAY");
    assert_eq!(world.timers("a"), named(&[("CHECK", 60)]));
    assert_eq!(world.state.timers_armed(), 1);
    world.ok(&delete("a", None));
    assert_eq!(world.state.timers_armed(), 0);
    assert_eq!(world.state.next_due_ms(), None);
}

#[test]
fn a_path_is_read_after_the_merge_and_one_without_a_time_is_optional() {
    let mut world = World::order();
    world.create("a");
    let at = START + 3 * MIN;
    let payload = format!("{{\"at\":{at}}}");
    world.ok(&apply("a", "CHECKOUT", &payload, None));
    let expected = [("EXPIRE", 30), ("first", 10), ("second", 3)];
    assert_eq!(world.timers("a"), named(&expected));
    assert_eq!(world.pass(5 * MIN), done(&["second"]));
    let ctx: serde_json::Value = serde_json::from_slice(&world.instance("a").ctx).unwrap();
    assert_eq!(ctx["reminded"], json!(at));
}

#[test]
fn a_timer_without_a_usable_time_refuses_the_event() {
    let definition = ORDER.replace(",\"optional\":true", "");
    let mut world = World::new(&definition);
    world.create("a");
    let refused = world.run(&apply("a", "CHECKOUT", "{}", None)).unwrap_err();
    let Refusal::ExpressionFailed { place, why } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(place, "states[1].timers[2].at");
    assert!(why.contains("no usable time"), "{why}");
    assert_eq!(&*world.instance("a").state, "cart");
}

#[test]
fn a_transition_to_the_same_state_does_not_arm_again_unless_it_reenters() {
    let mut world = World::order();
    world.create("a");
    world.event("a", "CHECKOUT");
    world.now_ms += 5 * MIN;
    world.event("a", "NOTE");
    assert_eq!(world.timers("a"), named(&[("EXPIRE", 25), ("first", 5)]));
    world.event("a", "RENEW");
    assert_eq!(world.timers("a"), named(&[("EXPIRE", 30), ("first", 10)]));
}

#[test]
fn a_fired_timer_stays_spent_after_a_transition_to_the_same_state() {
    let mut world = World::order();
    world.create("a");
    world.event("a", "CHECKOUT");
    assert_eq!(world.pass(10 * MIN), done(&["first"]));
    assert_eq!(world.timers("a"), named(&[("EXPIRE", 20)]));
    let Some(Body::ApplyEvent(event)) = &world.last_entry().facts[0].body else {
        panic!("an event");
    };
    assert_eq!(event.payload.as_deref(), Some(&br#"{"by":"mail"}"#[..]));
    assert_eq!(event.fired.as_ref().unwrap().name, "first");
    // EXPIRE leads to a final state, which goes by itself after 30 days.
    assert_eq!(world.pass(20 * MIN), done(&["EXPIRE"]));
    assert_eq!(&*world.instance("a").state, "cancelled");
    assert_eq!(world.pass(30 * 24 * HOUR), done(&["delete_after"]));
    assert_eq!(world.state.instance_count(), 0);
    let Some(Body::DeleteInstance(deleted)) = &world.last_entry().facts[0].body else {
        panic!("a deletion");
    };
    assert_eq!(deleted.fired.as_ref().unwrap().name, "delete_after");
}

#[test]
fn nothing_fires_before_its_time() {
    let mut world = World::order();
    world.create("a");
    world.event("a", "CHECKOUT");
    let fire = world.next_firing();
    world.now_ms = fire.due_ms - 1;
    let early = world.ok(&Command::FireTimer(fire.clone()));
    assert_eq!(early, Reply::Fired(Firing::Waits));
    assert!(world.fire_due().is_empty());
    world.now_ms = fire.due_ms;
    let in_time = world.ok(&Command::FireTimer(fire));
    assert_eq!(in_time, Reply::Fired(Firing::Done));
}

#[test]
fn two_leaders_that_fire_the_same_timer_have_one_effect() {
    let mut world = World::order();
    world.create("a");
    world.event("a", "CHECKOUT");
    world.now_ms += 10 * MIN;
    let fire = Command::FireTimer(world.next_firing());
    let limits = Limits::default();
    let decided: Vec<Entry> = [0, 1]
        .map(|later| {
            let at = DecideAt {
                offset: world.at() + later,
                now_ms: world.now_ms,
                actor: "timer",
                meta: None,
                limits: &limits,
                reach: None,
            };
            match decide(&world.state, &PendingEntries::new(), &fire, &at).unwrap() {
                Decision::Write { entry, .. } => entry,
                Decision::Answer { reply, .. } => panic!("{reply:?}"),
            }
        })
        .into();
    assert_eq!(world.apply(&decided[0]), EntryOutcome::Applied);
    assert_eq!(world.apply(&decided[1]), EntryOutcome::Stale);
    assert_eq!(world.ok(&fire), Reply::Fired(Firing::Void));
}

#[test]
fn a_firing_of_a_moved_timer_is_void_and_one_of_a_changed_context_is_decided_again() {
    let mut world = World::order();
    world.create("a");
    world.event("a", "CHECKOUT");
    let before = Command::FireTimer(world.next_firing());
    world.ok(&set("a", r#"{"first":{"after":"20m"}}"#));
    world.now_ms += 15 * MIN;
    assert_eq!(world.ok(&before), Reply::Fired(Firing::Void));
    assert_eq!(world.timers("a"), named(&[("EXPIRE", 15), ("first", 5)]));
    let moved = world.next_firing();
    // An update of the context does not concern the timer.
    world.event("a", "NOTE");
    world.now_ms += 5 * MIN;
    let fired = world.ok(&Command::FireTimer(moved));
    assert_eq!(fired, Reply::Fired(Firing::Done));
}

#[test]
fn a_firing_of_an_earlier_stay_in_the_state_is_void() {
    let mut world = World::order();
    world.create("a");
    world.event("a", "CHECKOUT");
    let before = world.next_firing();
    world.event("a", "RENEW");
    let after = world.next_firing();
    assert_eq!(
        (&before.name, before.due_ms),
        (&after.name, after.due_ms),
        "only the entry tells them apart"
    );
    world.now_ms += 10 * MIN;
    let void = world.ok(&Command::FireTimer(before));
    assert_eq!(void, Reply::Fired(Firing::Void));
    let fired = world.ok(&Command::FireTimer(after));
    assert_eq!(fired, Reply::Fired(Firing::Done));
}

#[test]
fn clients_move_timers_with_an_event_or_without() {
    let mut world = World::order();
    world.create("a");
    let moves = r#"{"EXPIRE":{"after":"2h"},"first":null}"#;
    world.ok(&apply("a", "CHECKOUT", "{}", Some(moves)));
    assert_eq!(world.timers("a"), named(&[("EXPIRE", 120)]));
    let at = START + 7 * MIN;
    let reply = world.ok(&set("a", &format!("{{\"first\":{{\"at\":{at}}}}}")));
    assert_eq!(world.timers("a"), named(&[("EXPIRE", 120), ("first", 7)]));
    let Reply::TimersSet {
        timers, wal_offset, ..
    } = reply
    else {
        panic!("{reply:?}");
    };
    assert_eq!((timers.len(), wal_offset), (2, Some(world.at() - 1)));
    // What is past fires now, in an entry of its own.
    world.now_ms += MIN;
    world.ok(&set("a", r#"{"first":{"at":"2020-01-01T00:00:00Z"}}"#));
    assert_eq!(world.instance("a").timers[1].due_ms, world.now_ms);
    assert_eq!(world.fire_due(), done(&["first"]));
    for (timers, what) in [
        (r#"{"CHECK":null}"#, "no timer \"CHECK\""),
        (r#"{"EXPIRE":{"after":"1y"}}"#, "timers.EXPIRE must be"),
        (r#"{"EXPIRE":5}"#, "timers.EXPIRE must be"),
        (
            r#"{"EXPIRE":{"after":"1h","at":5}}"#,
            "timers.EXPIRE must be",
        ),
        (r#"[]"#, "an object of timers' names"),
        (r#"{"EXPIRE":null,"EXPIRE":null}"#, "is there twice"),
    ] {
        let refused = world.run(&set("a", timers)).unwrap_err().to_string();
        assert!(refused.contains(what), "{timers}: {refused}");
    }
}

#[test]
fn expectations_hold_for_timers_too() {
    let mut world = World::order();
    world.create("a");
    world.event("a", "CHECKOUT");
    let last = world.instance("a").last_wal_offset;
    let expecting = |state: &str, offset: u64| {
        Command::SetTimers(SetTimers {
            instance_id: "a".to_owned(),
            timers: Some(bytes(r#"{"EXPIRE":null}"#)),
            expected_state: Some(state.to_owned()),
            expected_wal_offset: Some(offset),
            ..SetTimers::default()
        })
    };
    assert_eq!(
        world.run(&expecting("paid", last)).unwrap_err().code(),
        "CONFLICT"
    );
    assert_eq!(
        world
            .run(&expecting("waiting", last + 1))
            .unwrap_err()
            .code(),
        "CONFLICT"
    );
    world.ok(&expecting("waiting", last));
    assert_eq!(world.instance("a").last_wal_offset, last + 1);
    assert_eq!(
        world.run(&expecting("waiting", last)).unwrap_err().code(),
        "CONFLICT"
    );
}

#[test]
fn a_batch_arms_disarms_and_moves_as_its_operations_would_one_by_one() {
    let mut world = World::order();
    world.create("a");
    let ops = [
        apply("a", "CHECKOUT", "{}", None),
        set("a", r#"{"EXPIRE":{"after":"2h"}}"#),
        apply("a", "NOTE", "{}", None),
    ];
    let ops = ops.into_iter().map(BatchOp::Write).collect();
    world.ok(&Command::Batch(ops));
    assert_eq!(world.timers("a"), named(&[("EXPIRE", 120), ("first", 10)]));
    // It leaves the state and enters it again: everything is armed anew.
    let ops = [
        apply("a", "PAY", r#"{"ok":true}"#, None),
        apply("a", "CHECK", "{}", None),
        apply("a", "CHECKOUT", "{}", None),
    ];
    let before = world.next_firing();
    world.now_ms += MIN;
    world.ok(&Command::Batch(
        ops.into_iter().map(BatchOp::Write).collect(),
    ));
    assert_eq!(world.timers("a"), named(&[("EXPIRE", 30), ("first", 10)]));
    assert_ne!(world.next_firing().entry, before.entry);
    let fire = Command::Batch(vec![BatchOp::Write(Command::FireTimer(before))]);
    assert!(world.run(&fire).is_err());
}

#[test]
fn a_refused_firing_is_spent_with_its_reason_and_tried_again_as_often_as_defined() {
    let mut world = World::order();
    world.create("a");
    world.event("a", "CHECKOUT");
    world.event("a", "PAY");
    let spent = |world: &World| match &world.last_entry().facts[0].body {
        Some(Body::TimerSpent(spent)) => spent.clone(),
        other => panic!("{other:?}"),
    };
    for refusals in 1..=2 {
        let span = if refusals == 1 { HOUR } else { 10 * MIN };
        assert_eq!(world.pass(span), [("CHECK".to_owned(), Firing::Spent)]);
        assert_eq!(spent(&world).code, "GUARD_FAILED");
        assert_eq!(world.instance("a").timers[0].refusals, refusals);
        assert_eq!(world.timers("a"), named(&[("CHECK", 10)]));
    }
    assert_eq!(world.pass(10 * MIN), [("CHECK".to_owned(), Firing::Spent)]);
    assert!(
        spent(&world).message.contains("ctx.ok == true"),
        "{}",
        spent(&world).message
    );
    assert_eq!(world.timers("a"), named(&[]));
    assert_eq!(&*world.instance("a").state, "paid");
    assert!(world.pass(100 * HOUR).is_empty());
}

#[test]
fn what_is_too_late_does_not_happen_and_everything_else_fires_once() {
    let mut world = World::order();
    world.create("a");
    world.create("b");
    world.event("a", "CHECKOUT");
    world.event("a", "PAY");
    world.ok(&apply("a", "NOTE", r#"{"ok":true}"#, None));
    world.event("b", "CHECKOUT");
    // No node leads for two hours.
    world.now_ms += 2 * HOUR;
    let fired = world.fire_due();
    assert_eq!(
        fired,
        [
            ("first".to_owned(), Firing::Done),
            ("EXPIRE".to_owned(), Firing::Done),
            ("CHECK".to_owned(), Firing::Spent),
        ]
    );
    let Some(Body::TimerSpent(spent)) = &world.last_entry().facts[0].body else {
        panic!("spent");
    };
    assert_eq!(
        (spent.code.as_str(), spent.event.as_str()),
        ("LATE", "CHECK")
    );
    // The chain begins at the firing.
    let due_ms = world.next_firing().due_ms;
    assert_eq!(due_ms, world.now_ms + 30 * 24 * HOUR);
}

const LOOP: &str = r#"{"format":2,"initial":"on","states":[
 {"name":"on","timers":[{"event":"TICK","after":"100ms"}]}, {"name":"off"}],
 "transitions":[{"from":"on","event":"TICK","to":"on","reenter":true},
                {"from":"on","event":"STOP","to":"off"},{"from":"off","event":"GO","to":"on"}]}"#;

#[test]
fn too_many_firings_in_a_minute_suspend_the_timers_of_the_instance() {
    let mut world = World::new(LOOP);
    world.create("a");
    let fired = world.pass(MIN);
    assert_eq!(fired.len(), 101);
    assert!(world.instance("a").timers_suspended);
    assert_eq!(world.state.timers_suspended(), 1);
    assert_eq!(world.state.next_due_ms(), None);
    assert!(world.pass(HOUR).is_empty());
    // They are listed, and stay suspended through events that stay in the state.
    let listed = |world: &World, suspended| {
        let query = Query::ListTimers(ListTimers {
            suspended,
            ..ListTimers::default()
        });
        match world.state.query(&query).unwrap() {
            Reply::Timers { items, .. } => items.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((listed(&world, true), listed(&world, false)), (1, 0));
    let resume = Command::SetTimers(SetTimers {
        instance_id: "a".to_owned(),
        resume: true,
        ..SetTimers::default()
    });
    world.ok(&resume);
    assert!(!world.instance("a").timers_suspended);
    assert_eq!(world.fire_due(), done(&["TICK"]));
    // Again, there is nothing to resume.
    let Reply::TimersSet {
        wal_offset: None, ..
    } = world.ok(&resume)
    else {
        panic!("nothing was changed");
    };
}

#[test]
fn a_slow_loop_goes_on_for_ever() {
    let mut world = World::new(&LOOP.replace("100ms", "1s"));
    world.create("a");
    assert_eq!(world.pass(10 * MIN).len(), 600);
    assert_eq!(world.state.timers_suspended(), 0);
}

#[test]
fn paused_automation_fires_nothing_and_a_resume_does_what_it_says() {
    let paused = |paused, skip_overdue, shift_timers| {
        Command::SetAutomation(SetAutomation {
            paused,
            reason: None,
            skip_overdue,
            shift_timers,
        })
    };
    let begun = || {
        let mut world = World::order();
        world.create("a");
        world.event("a", "CHECKOUT");
        world.now_ms += MIN;
        world.ok(&paused(true, false, false));
        world.now_ms += 15 * MIN;
        assert_eq!(world.fire_due(), [("first".to_owned(), Firing::Waits)]);
        world
    };
    let mut world = begun();
    world.ok(&paused(false, false, false));
    assert_eq!(world.fire_due(), done(&["first"]), "overdue, it fires");

    let mut world = begun();
    world.ok(&paused(false, true, false));
    // What is armed from now on is not skipped, however early it is due.
    world.ok(&set("a", r#"{"second":{"at":0}}"#));
    let fired = world.fire_due();
    let expected = [
        ("first".to_owned(), Firing::Spent),
        ("second".to_owned(), Firing::Done),
    ];
    assert_eq!(fired, expected);
    let facts = world.entries.iter().flat_map(|(_, entry)| &entry.facts);
    let codes: Vec<_> = facts
        .filter_map(|fact| match &fact.body {
            Some(Body::TimerSpent(spent)) => Some(spent.code.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(codes, ["SKIPPED"]);
    assert_eq!(world.timers("a"), named(&[("EXPIRE", 14)]));

    let mut world = begun();
    let before = Command::FireTimer(world.next_firing());
    world.ok(&paused(false, false, true));
    assert_eq!(world.timers("a"), named(&[("EXPIRE", 29), ("first", 9)]));
    assert_eq!(world.ok(&before), Reply::Fired(Firing::Void));
    world.event("a", "NOTE");
    world.event("a", "RENEW");
    assert_eq!(world.timers("a"), named(&[("EXPIRE", 30), ("first", 10)]));
    assert_eq!(world.pass(10 * MIN), done(&["first"]));
    world.other = reload(&world.other);
    assert_eq!(world.pass(20 * MIN), done(&["EXPIRE"]));
}

/// What was decided before a shift must not undo it.
#[test]
fn a_fact_that_was_decided_before_a_shift_is_stale() {
    let mut world = World::order();
    world.create("a");
    world.event("a", "CHECKOUT");
    world.ok(&Command::SetAutomation(SetAutomation {
        paused: true,
        ..SetAutomation::default()
    }));
    world.now_ms += 5 * MIN;
    let limits = Limits::default();
    let mut pending = PendingEntries::new();
    let mut decided = Vec::new();
    for (number, command) in [
        Command::SetAutomation(SetAutomation {
            shift_timers: true,
            ..SetAutomation::default()
        }),
        set("a", r#"{"first":null}"#),
    ]
    .iter()
    .enumerate()
    {
        let at = DecideAt {
            offset: world.at() + number as u64,
            now_ms: world.now_ms,
            actor: "test",
            meta: None,
            limits: &limits,
            reach: None,
        };
        let Decision::Write {
            entry, compiled, ..
        } = decide(&world.state, &pending, command, &at).unwrap()
        else {
            panic!("both write");
        };
        pending.push(&entry, &compiled);
        decided.push(entry);
    }
    assert_eq!(world.apply(&decided[0]), EntryOutcome::Applied);
    assert_eq!(world.apply(&decided[1]), EntryOutcome::Stale);
    assert_eq!(world.timers("a"), named(&[("EXPIRE", 30), ("first", 10)]));
}

#[test]
fn decisions_in_flight_see_the_timers_of_those_before_them() {
    let mut world = World::order();
    world.create("a");
    let limits = Limits::default();
    let (mut pending, mut entries) = (PendingEntries::new(), Vec::new());
    let commands = [
        apply("a", "CHECKOUT", "{}", None),
        set("a", r#"{"EXPIRE":{"after":"2h"}}"#),
        set("a", r#"{"first":null}"#),
        apply("a", "NOTE", "{}", None),
        set("a", r#"{"second":{"after":"5m"}}"#),
    ];
    for (number, command) in commands.iter().enumerate() {
        let at = DecideAt {
            offset: world.at() + number as u64,
            now_ms: world.now_ms,
            actor: "test",
            meta: None,
            limits: &limits,
            reach: None,
        };
        match decide(&world.state, &pending, command, &at).unwrap() {
            Decision::Write {
                entry, compiled, ..
            } => {
                pending.push(&entry, &compiled);
                entries.push(entry);
            }
            Decision::Answer { reply, .. } => panic!("{reply:?}"),
        }
    }
    let first = world.at();
    for entry in &entries {
        assert_eq!(world.apply(entry), EntryOutcome::Applied);
    }
    assert_eq!(world.timers("a"), named(&[("EXPIRE", 120), ("second", 5)]));
    assert_eq!(world.next_firing().entry, first, "it was entered once");
}

#[test]
fn a_decision_made_ahead_arms_for_no_earlier_than_its_entry() {
    let mut world = World::order();
    world.create("a");
    let limits = Limits::default();
    let command = apply("a", "CHECKOUT", "{}", None);
    let at = |offset, now_ms| DecideAt {
        offset,
        now_ms,
        actor: "test",
        meta: None,
        limits: &limits,
        reach: None,
    };
    let prepared = prepare(&world.state, &command, &at(0, world.now_ms));
    let landed_ms = world.now_ms + 900;
    let landing = at(world.at(), landed_ms);
    let landed = prepared.land(&world.state, &PendingEntries::new(), &command, &landing);
    let Some(Ok(Decision::Write { entry, .. })) = landed else {
        panic!("{landed:?}");
    };
    assert_eq!(world.apply(&entry), EntryOutcome::Applied);
    for timer in world.instance("a").timers {
        let span = if &*timer.name == "first" {
            10 * MIN
        } else {
            30 * MIN
        };
        assert!(timer.due_ms >= landed_ms + span, "{timer:?}");
        assert!(timer.due_ms <= landed_ms + span + 1000, "{timer:?}");
    }
}

#[test]
fn a_retry_that_was_decided_ahead_is_due_no_earlier_than_its_time_behind_the_entry() {
    let mut world = World::order();
    world.create("a");
    world.event("a", "CHECKOUT");
    world.event("a", "PAY");
    let fire = world.next_firing();
    world.now_ms = fire.due_ms;
    let limits = Limits::default();
    let command = Command::FireTimer(fire);
    let at = |offset, now_ms| DecideAt {
        offset,
        now_ms,
        actor: "test",
        meta: None,
        limits: &limits,
        reach: None,
    };
    let prepared = prepare(&world.state, &command, &at(0, world.now_ms));
    let landed_ms = world.now_ms + 900;
    let landing = at(world.at(), landed_ms);
    let landed = prepared.land(&world.state, &PendingEntries::new(), &command, &landing);
    let Some(Ok(Decision::Write { entry, .. })) = landed else {
        panic!("{landed:?}");
    };
    assert_eq!(world.apply(&entry), EntryOutcome::Applied);
    let timer = &world.instance("a").timers[0];
    assert_eq!((&*timer.name, timer.refusals), ("CHECK", 1));
    let again = landed_ms + 10 * MIN;
    assert!((again..=again + 1000).contains(&timer.due_ms), "{timer:?}");
}

#[test]
fn what_is_said_of_timers_is_bounded_before_it_is_read() {
    let mut world = World::order();
    world.create("a");
    let refused = |world: &mut World, timers: &str| {
        let refusal = world.run(&set("a", timers)).unwrap_err();
        assert_eq!(refusal.code(), "BAD_REQUEST");
        refusal.to_string()
    };
    let long = format!(r#"{{"x":{{"after":"{}"}}}}"#, "1".repeat(TIMERS_BYTES_MAX));
    let said = refused(&mut world, &long);
    let allowed = format!("{TIMERS_BYTES_MAX} are allowed");
    assert!(said.contains(&allowed) && said.len() < 200, "{said}");
    // A name is not repeated as a whole.
    let name = "n".repeat(10_000);
    for value in ["1", r#"null,"NAME":null"#] {
        let value = value.replace("NAME", &name);
        let said = refused(&mut world, &format!(r#"{{"{name}":{value}}}"#));
        assert!(said.contains(&name[..64]) && said.len() < 400, "{said}");
    }
    // As long as names can be.
    let names = (0..16).map(|at| format!("{at:0>256}"));
    let all: Vec<String> = names.map(|name| format!(r#""{name}":null"#)).collect();
    let said = refused(&mut world, &format!("{{{}}}", all.join(",")));
    assert!(said.contains("has no timer"), "{said}");
}

#[test]
fn overdue_timers_are_counted_within_the_steps_that_a_page_may_take() {
    let mut world = World::order();
    for number in 0..30 {
        let id = format!("i{number}");
        world.create(&id);
        world.event(&id, "CHECKOUT");
    }
    let query = Query::ListTimers(ListTimers {
        limit: Some(1),
        now_ms: world.now_ms + HOUR,
        ..ListTimers::default()
    });
    assert_eq!(world.state.query_within(None, &query, 50), Ok(None));
    let Ok(Some(Reply::Timers { overdue, items, .. })) =
        world.state.query_within(None, &query, 100)
    else {
        panic!("61 steps are enough");
    };
    assert_eq!((overdue, items.len()), (60, 1));
}

#[test]
fn jitter_is_drawn_once_and_differs_between_instances() {
    let definition = LOOP.replace(r#""after":"100ms""#, r#""after":"1h","jitter":"10m""#);
    let mut world = World::new(&definition);
    let mut due = std::collections::BTreeSet::new();
    for number in 0..50 {
        let id = format!("i{number}");
        world.create(&id);
        let timer = &world.instance(&id).timers[0];
        assert!((HOUR..=HOUR + 10 * MIN).contains(&(timer.due_ms - world.now_ms)));
        due.insert(timer.due_ms);
    }
    assert!(due.len() > 45, "{due:?}");
}

#[test]
fn dry_runs_tell_what_would_be_armed_and_disarmed() {
    let mut world = World::order();
    world.create("a");
    let told = |world: &mut World, command| {
        let dry = Command::DryRun(Box::new(DryRun::Whole(command)));
        match world.ok(&dry) {
            Reply::DryRun(trial) => trial.would.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let would = told(&mut world, apply("a", "CHECKOUT", "{}", None));
    assert_eq!(
        (would.armed, would.disarmed),
        (vec!["EXPIRE".to_owned(), "first".to_owned()], Vec::new())
    );
    world.event("a", "CHECKOUT");
    let would = told(&mut world, apply("a", "PAY", "{}", None));
    assert_eq!(would.armed, ["CHECK"]);
    assert_eq!(would.disarmed, ["EXPIRE", "first"]);
    let would = told(
        &mut world,
        set("a", r#"{"EXPIRE":{"after":"1h"},"first":null}"#),
    );
    assert_eq!(
        (would.armed, would.disarmed),
        (vec!["EXPIRE".to_owned()], vec!["first".to_owned()])
    );
    assert_eq!(world.state.timers_armed(), 2);
}

#[test]
fn timers_are_listed_page_by_page_in_the_order_in_which_they_are_due() {
    let mut world = World::order();
    for number in 0..5 {
        let id = format!("i{number}");
        world.create(&id);
        world.event(&id, "CHECKOUT");
        world.now_ms += 1000;
    }
    let (mut all, mut after): (Vec<_>, Option<TimerPlace>) = (Vec::new(), None);
    loop {
        let query = Query::ListTimers(ListTimers {
            limit: Some(3),
            after: after.take(),
            ..ListTimers::default()
        });
        let Reply::Timers {
            items, next, armed, ..
        } = world.state.query(&query).unwrap()
        else {
            panic!("a page");
        };
        assert!(items.len() <= 3 && armed == 10);
        all.extend(items);
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(all.len(), 10);
    assert!(all.is_sorted_by_key(|item| item.timer.due_ms));
    assert_eq!(all[0].instance_id.as_ref(), "i0");
    assert_eq!(all[0].timer.event.as_deref(), Some("REMIND"));
    let query = Query::ListTimers(ListTimers {
        machine: Some("other".to_owned()),
        now_ms: all[3].timer.due_ms,
        ..ListTimers::default()
    });
    let none = Reply::Timers {
        items: Vec::new(),
        next: None,
        armed: 10,
        overdue: 4,
    };
    assert_eq!(world.state.query(&query), Ok(none));
}

#[test]
fn allowed_events_tell_what_they_would_arm_and_disarm() {
    let mut world = World::order();
    world.create("i");
    world.event("i", "CHECKOUT");
    let query = Query::AllowedEvents {
        instance_id: "i".to_owned(),
        payloads: None,
        headers: Vec::new(),
        asker: Asker::default(),
    };
    let Reply::AllowedEvents(allowed) = world.state.query(&query).unwrap() else {
        panic!("events");
    };
    let told: Vec<String> = allowed
        .events
        .iter()
        .map(|it| format!("{} {:?} {:?}", it.event, it.armed, it.disarmed))
        .collect();
    let expected = [
        r#"REMIND [] []"#,
        r#"RENEW ["EXPIRE", "first"] []"#,
        r#"NOTE [] []"#,
        r#"PAY ["CHECK"] ["EXPIRE", "first"]"#,
        r#"EXPIRE ["delete_after"] ["EXPIRE", "first"]"#,
    ];
    assert_eq!(told, expected);
}

#[test]
fn faults_of_timers_are_told_with_their_places() {
    let with = |states: &str, transitions: &str| {
        let text = format!(
            r#"{{"format":2,"initial":"a","states":[{states},"z"],"transitions":[{transitions}]}}"#
        );
        match Definition::parse(text.as_bytes()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    };
    let go = r#"{"from":"a","event":"GO","to":"z"}"#;
    let timer = |timer: &str| with(&format!(r#"{{"name":"a","timers":[{timer}]}}"#), go);
    assert_eq!(timer(r#"{"event":"GO","after":"1h"}"#), "");
    assert_eq!(timer(r#"{"event":"GO","at":"2030-01-01T00:00:00Z"}"#), "");
    for (text, expected) in [
        (
            r#"{"event":"GO"}"#,
            "states[0].timers[0]: needs `after` or `at`",
        ),
        (
            r#"{"event":"GO","after":"1h","at":"now"}"#,
            "states[0].timers[0]: has `after` and `at`",
        ),
        (
            r#"{"event":"GO","after":5}"#,
            "states[0].timers[0].after: expected an expression",
        ),
        (
            r#"{"event":"GO","after":"1h30"}"#,
            "states[0].timers[0].after: expected a duration",
        ),
        (
            r#"{"event":"GO","after":"9999999999w"}"#,
            "states[0].timers[0].after: expected a shorter duration",
        ),
        (
            r#"{"event":"GO","after":"1 +"}"#,
            "states[0].timers[0].after: expected a name",
        ),
        (
            r#"{"event":"GO","at":"1969-01-01T00:00:00Z"}"#,
            "states[0].timers[0].at: expected a time as in RFC 3339 from 1970 on",
        ),
        (
            r#"{"event":"GO","at":"2030-01-01T00:00:00"}"#,
            "states[0].timers[0].at: expected a time",
        ),
        (
            r#"{"event":"NO","after":"1h"}"#,
            "states[0].timers[0].event: no transition takes \"NO\"",
        ),
        (
            r#"{"event":"GO","after":"1h","late":"never"}"#,
            "states[0].timers[0].late:",
        ),
        (
            r#"{"event":"GO","after":"1h","jitter":"x"}"#,
            "states[0].timers[0].jitter: expected a duration",
        ),
        (
            r#"{"event":"GO","after":"1h","retry":{"after":"1m","times":0}}"#,
            "states[0].timers[0].retry.times:",
        ),
        (
            r#"{"event":"GO","after":"1h","payload":[]}"#,
            "states[0].timers[0].payload: expected an object",
        ),
        (
            r#"{"event":"GO","after":"1h","every":"1d"}"#,
            "states[0].timers[0].every:",
        ),
        (
            r#"{"event":"GO","after":"1h"},{"event":"GO","after":"2h"}"#,
            "states[0].timers[1]: the state has two timers named \"GO\"",
        ),
    ] {
        let told = timer(text);
        assert!(told.contains(expected), "{text}: {told:?}");
    }
    let deleted = with(r#"{"name":"a","delete_after":"1d"}"#, go);
    assert!(
        deleted.contains("states[0].delete_after: is only for a final state"),
        "{deleted}"
    );
    let last = with(
        r#""a",{"name":"f","final":true,"timers":[{"event":"GO","after":"1d"}]}"#,
        go,
    );
    assert!(
        last.contains("states[1].timers: a final state has no transition out"),
        "{last}"
    );
}

/// A log in which 20 timers of the machine `later` are due before the first of `order`, as a program reads it that does
/// not understand `later`.
fn beside_a_machine_of_a_later_program() -> World {
    let mut knows = World::order();
    knows.ok(&put("later", 1, ORDER));
    let mut check_out = |id: &str, machine: &str| {
        knows.ok(&Command::CreateInstance(CreateInstance {
            instance_id: id.to_owned(),
            id_given: true,
            machine: machine.to_owned(),
            version: 1,
            initial_ctx: Some(bytes("{}")),
            idempotency_key: None,
            import: None,
        }));
        knows.event(id, "CHECKOUT");
    };
    for number in 10..20 {
        check_out(&format!("later-{number}"), "later");
    }
    check_out("order", "order");
    let mut world = World {
        state: State::new(),
        other: State::new(),
        now_ms: START + HOUR,
        entries: Vec::new(),
    };
    for (_, mut entry) in knows.entries {
        if let Some(Body::PutMachine(put)) = &mut entry.facts[0].body
            && put.machine == "later"
        {
            put.definition = bytes(&ORDER.replace("\"optional\"", "\"unheard\""));
        }
        assert_eq!(world.apply(&entry), EntryOutcome::Applied, "{entry}");
    }
    world
}

#[test]
fn a_search_passes_over_timers_that_are_not_understood_in_steps_and_once() {
    let mut world = beside_a_machine_of_a_later_program();
    let mut search = DueSearch::new(8);
    let find = |world: &World, search: &mut DueSearch| {
        let found = world
            .state
            .timers_to_fire(search, world.now_ms, 10, |_| false);
        found
            .into_iter()
            .map(|fire| format!("{} {}", fire.instance_id, fire.name))
            .collect::<Vec<_>>()
    };
    // In the order in which they are due: 10 that are due after 10 minutes, the order's, 10 after 30 minutes, the order's.
    assert_eq!(find(&world, &mut search), [""; 0]);
    assert!(search.goes_on());
    assert_eq!(search.left_out(), Some(("later-17", "first")));
    assert_eq!(find(&world, &mut search), ["order first"]);
    assert!(!search.goes_on(), "until it has fired");
    // What is found and left out by the caller is looked at again, and what is behind it.
    let known = world
        .state
        .timers_to_fire(&mut search, world.now_ms, 10, |_| true);
    assert!(known.is_empty(), "{known:?}");
    let mut whole = search.to_the_end();
    assert_eq!(find(&world, &mut whole), ["order first", "order EXPIRE"]);
    let fire = world
        .state
        .timers_to_fire(&mut search, world.now_ms, 1, |_| false)
        .remove(0);
    let fired = world.ok(&Command::FireTimer(fire));
    assert!(matches!(fired, Reply::Fired(Firing::Done)), "{fired:?}");
    assert_eq!(find(&world, &mut search), [""; 0]);
    assert!(search.goes_on());
    assert_eq!(find(&world, &mut search), ["order EXPIRE"]);
    // One that turns out not to be understood is left out, too.
    let fire = world
        .state
        .timers_to_fire(&mut search, world.now_ms, 1, |_| false)
        .remove(0);
    search.pass(fire);
    assert_eq!(find(&world, &mut search), [""; 0]);
    assert!(!search.goes_on());
    // A new search begins at the first.
    let mut whole = DueSearch::new(usize::MAX);
    assert_eq!(find(&world, &mut whole), ["order EXPIRE"]);
    assert_eq!(
        world.state.due_timers(world.now_ms, 100, |_| false).len(),
        21
    );
}
