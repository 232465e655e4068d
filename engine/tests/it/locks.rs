//! Locks: one holder at a time, tokens that grow, a queue in order, and writes under a fence.

#![allow(clippy::disallowed_methods)]

use rstmdb_engine::command::Query;
use rstmdb_engine::fact::{Body, Entry, Fact, Fence, LockChanged, LockEnded, Message, Meta, level};
use rstmdb_engine::limits::{
    LOCK_CLAIM_MS_MAX, LOCK_PLACE_LATE_MS_MAX, LOCK_PLACE_MS_MAX, LOCK_PLACE_SLACK_MS,
    LOCK_WAITERS_MAX,
};
use rstmdb_engine::{
    AcquireLock, BatchOp, Command, DecideAt, Decision, DryRun, EntryOutcome, ExpireLock, Limits,
    ListLocks, ListTimers, LockCommand, LockExpiry, LockRefusal, LockReply, LockTurn, LockView,
    PendingEntries, Refusal, ReleaseLock, RenewLock, Reply, SetAutomation, State, decide,
    is_settled, prepare,
};

use crate::common::{ORDER, apply, create, put, reload};

const START: u64 = 1_700_000_000_000;
const TTL: u64 = 20_000;

/// One node's log. Each entry goes through its bytes to two replicas, one of which is loaded from a snapshot now and then.
struct World {
    state: State,
    other: State,
    pending: PendingEntries,
    held: Vec<Entry>,
    /// Entries wait for [`World::land`].
    in_flight: bool,
    now_ms: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            state: State::new(),
            other: State::new(),
            pending: PendingEntries::new(),
            held: Vec::new(),
            in_flight: false,
            now_ms: START,
        };
        world.ok(&Command::SetLevel { level: 2 });
        world.ok(&put("order", 1, ORDER));
        world
    }

    fn at(&self) -> u64 {
        self.state.last_applied() + self.held.len() as u64 + 1
    }

    fn decide(&self, command: &Command, meta: Option<&Meta>) -> Result<Decision, Refusal> {
        let limits = Limits {
            allow_flush_all: true,
            ..Limits::default()
        };
        let at = DecideAt {
            offset: self.at(),
            now_ms: self.now_ms,
            actor: "test",
            meta,
            limits: &limits,
            reach: None,
        };
        decide(&self.state, &self.pending, command, &at)
    }

    fn run_as(&mut self, command: &Command, meta: Option<&Meta>) -> Result<Reply, Refusal> {
        match self.decide(command, meta)? {
            Decision::Answer { reply, .. } => Ok(reply),
            Decision::Write {
                entry,
                reply,
                compiled,
            } => {
                assert!(level::needed_by(&entry) <= level::CURRENT, "{entry}");
                let entry = Entry::decode(entry.encode_to_vec().as_slice()).unwrap();
                self.pending.push(&entry, &compiled);
                self.held.push(entry);
                if !self.in_flight {
                    self.land();
                }
                Ok(reply)
            }
        }
    }

    /// Applies what is in flight.
    fn land(&mut self) {
        for entry in std::mem::take(&mut self.held) {
            let offset = self.state.last_applied() + 1;
            let outcome = self.state.apply(&entry, offset);
            assert_eq!(outcome, Ok(EntryOutcome::Applied), "{entry}");
            assert_eq!(self.other.apply(&entry, offset), Ok(EntryOutcome::Applied));
            self.pending.settle(offset);
            self.pending.check_invariants(offset).unwrap();
            self.state.check_invariants().unwrap();
            assert_eq!(self.other.digest(), self.state.digest());
            if offset.is_multiple_of(3) {
                let needs = |record: &bytes::Bytes| level::needed_by_record(record);
                assert!(self.other.records().all(|it| needs(&it) <= level::CURRENT));
                self.other = reload(&self.other);
            }
        }
    }

    fn run(&mut self, command: &Command) -> Result<Reply, Refusal> {
        self.run_as(command, None)
    }

    fn ok(&mut self, command: &Command) -> Reply {
        self.run(command).unwrap()
    }

    fn lock(&mut self, command: LockCommand) -> Result<LockReply, Refusal> {
        match self.run(&Command::Lock(command))? {
            Reply::Lock(reply) => Ok(reply),
            Reply::Refused(refusal) => Err(*refusal),
            other => panic!("{other:?}"),
        }
    }

    fn acquire(&mut self, owner: &str, wait_ms: u64) -> Result<LockReply, Refusal> {
        self.lock(acquire("l", owner, wait_ms))
    }

    /// Acquires a lock that is free, or that the owner has.
    fn held(&mut self, owner: &str) -> LockView {
        match self.acquire(owner, 0).unwrap() {
            LockReply::Held { lock, .. } => lock,
            other => panic!("{other:?}"),
        }
    }

    /// Takes a place in the queue: the place, and how many are before it.
    fn waits(&mut self, owner: &str, wait_ms: u64) -> (u64, u64) {
        match self.acquire(owner, wait_ms).unwrap() {
            LockReply::Waits { place, ahead, .. } => (place, ahead),
            other => panic!("{other:?}"),
        }
    }

    fn release(&mut self, token: u64) -> Result<LockReply, Refusal> {
        let name = "l".to_owned();
        self.lock(LockCommand::Release(ReleaseLock { name, token }))
    }

    /// Lets time pass, and ends the locks whose time is over in it.
    fn pass(&mut self, ms: u64) -> Vec<LockExpiry> {
        let end = self.now_ms + ms;
        let mut outcomes = Vec::new();
        while let Some(first_ms) = self.state.next_lock_expiry_ms().filter(|ms| *ms <= end) {
            self.now_ms = first_ms;
            for expire in self.state.expired_locks(first_ms, 10, |_| false) {
                match self.lock(LockCommand::Expire(expire)).unwrap() {
                    LockReply::Expired(expiry) => outcomes.push(expiry),
                    other => panic!("{other:?}"),
                }
            }
        }
        self.now_ms = end;
        outcomes
    }

    fn view(&self) -> Option<LockView> {
        let query = Query::GetLock {
            name: "l".to_owned(),
            now_ms: self.now_ms,
        };
        match self.state.query(&query).unwrap() {
            Reply::Lock(LockReply::Found { lock, .. }) => lock,
            other => panic!("{other:?}"),
        }
    }

    fn holder(&self) -> Option<String> {
        self.view().map(|lock| lock.owner.to_string())
    }

    fn fenced(&mut self, command: &Command, token: u64) -> Result<Reply, Refusal> {
        self.run_as(command, Some(&fence(token)))
    }
}

fn acquire(name: &str, owner: &str, wait_ms: u64) -> LockCommand {
    LockCommand::Acquire(AcquireLock {
        name: name.to_owned(),
        owner: owner.to_owned(),
        ttl_ms: TTL,
        wait_ms: (wait_ms > 0).then_some(wait_ms),
    })
}

fn renew(token: u64, ttl_ms: Option<u64>) -> LockCommand {
    LockCommand::Renew(RenewLock {
        name: "l".to_owned(),
        token,
        ttl_ms,
    })
}

fn fence(token: u64) -> Meta {
    Meta {
        fence: Some(Fence {
            lock: "l".to_owned(),
            token,
        }),
        ..Meta::default()
    }
}

fn held_by(owner: &str, expires_ms: u64) -> Refusal {
    Refusal::Lock(LockRefusal::Held {
        name: "l".to_owned(),
        owner: owner.to_owned(),
        expires_ms,
    })
}

fn lost(token: u64, current: Option<u64>) -> Refusal {
    Refusal::Lock(LockRefusal::Lost {
        lock: "l".to_owned(),
        token,
        current,
    })
}

#[test]
fn a_lock_is_granted_with_the_offset_of_its_fact_and_refused_to_others() {
    let mut world = World::new();
    let offset = world.at();
    let lock = world.held("a");
    assert_eq!((lock.token, lock.expires_ms), (offset, START + TTL));
    assert_eq!(world.acquire("b", 0), Err(held_by("a", START + TTL)));
    let refusal = world.acquire("b", 0).unwrap_err();
    assert_eq!(refusal.code(), "LOCK_HELD");
    assert_eq!(refusal.details()["owner"], "a");
    world.release(lock.token).unwrap();
    assert_eq!(world.view(), None);
    assert_eq!(world.state.locks_held(), 0);
    assert!(world.held("b").token > lock.token);
}

#[test]
fn an_owner_that_asks_again_gets_its_token_and_the_expiry_never_moves_back() {
    let mut world = World::new();
    let first = world.held("a");
    let end = world.state.last_applied();
    assert_eq!(world.held("a"), first);
    assert_eq!(world.state.last_applied(), end);
    world.now_ms += 5_000;
    let again = world.held("a");
    assert_eq!(again.token, first.token);
    assert_eq!(again.expires_ms, first.expires_ms + 5_000);
    let shorter = world.lock(renew(first.token, Some(1000))).unwrap();
    let LockReply::Held { lock, wal_offset } = shorter else {
        panic!("{shorter:?}");
    };
    assert_eq!((lock.expires_ms, wal_offset), (again.expires_ms, None));
}

#[test]
fn a_renewal_extends_from_the_log_time_and_needs_the_token() {
    let mut world = World::new();
    let token = world.held("a").token;
    world.now_ms += 1000;
    world.lock(renew(token, None)).unwrap();
    assert_eq!(world.view().unwrap().expires_ms, world.now_ms + TTL);
    world.lock(renew(token, Some(60_000))).unwrap();
    assert_eq!(world.view().unwrap().expires_ms, world.now_ms + 60_000);
    assert_eq!(
        world.lock(renew(token - 1, None)),
        Err(lost(token - 1, Some(token)))
    );
    // Not a millisecond after its time, whether or not that is in the log.
    world.now_ms += 60_000;
    assert_eq!(world.lock(renew(token, None)), Err(lost(token, None)));
    assert_eq!(world.release(token), Err(lost(token, None)));
    assert_eq!(lost(token, None).code(), "LOCK_LOST");
    assert_eq!(world.view(), None);
}

#[test]
fn an_expired_lock_goes_to_the_next_that_asks_although_no_fact_says_that_it_expired() {
    let mut world = World::new();
    let first = world.held("a");
    world.now_ms = first.expires_ms - 1;
    assert!(world.acquire("b", 0).is_err());
    world.now_ms = first.expires_ms;
    let second = world.held("b");
    assert!(second.token > first.token);
    // The owner of before gets a new token, too.
    world.now_ms = second.expires_ms;
    let third = world.held("b");
    assert!(third.token > second.token);
}

#[test]
fn those_that_wait_get_the_lock_in_order_by_the_fact_that_ends_it() {
    let mut world = World::new();
    let token = world.held("a").token;
    let (b, before_b) = world.waits("b", 60_000);
    let (c, before_c) = world.waits("c", 60_000);
    assert!(b < c);
    assert_eq!((before_b, before_c), (0, 1));
    assert_eq!(world.view().unwrap().waiting, 2);
    assert_eq!(world.state.lock_turn("l", "b"), LockTurn::Waits);
    let released = world.release(token).unwrap();
    assert!(matches!(&released, LockReply::Released { next: Some(next), .. } if **next == *"b"));
    let granted = world.view().unwrap();
    assert_eq!((&*granted.owner, granted.waiting), ("b", 1));
    assert_eq!(granted.token, world.state.last_applied());
    // It may have gone away.
    assert_eq!(granted.expires_ms, world.now_ms + LOCK_CLAIM_MS_MAX);
    // It has not.
    let claimed = world.held("b");
    assert_eq!(claimed.token, granted.token);
    assert_eq!(claimed.expires_ms, world.now_ms + TTL);
    assert_eq!(world.state.lock_turn("l", "b"), LockTurn::Held);
    // One that comes later does not pass.
    assert_eq!(world.acquire("d", 0), Err(held_by("b", claimed.expires_ms)));
    world.now_ms = claimed.expires_ms;
    let refused = world.acquire("d", 0);
    assert_eq!(refused, Err(held_by("c", world.now_ms + LOCK_CLAIM_MS_MAX)));
    let (_, before_d) = world.waits("d", 60_000);
    assert_eq!((world.holder().as_deref(), before_d), (Some("c"), 0));
    assert!(world.view().unwrap().token > granted.token);
}

#[test]
fn an_owner_that_asks_again_keeps_its_place() {
    let mut world = World::new();
    let token = world.held("a").token;
    let (b, _) = world.waits("b", 60_000);
    let (c, _) = world.waits("c", 60_000);
    world.now_ms += 10_000;
    assert_eq!(world.waits("c", 60_000), (c, 1));
    assert_eq!(world.waits("b", 60_000), (b, 0));
    // Also if it asks too late, as long as no other owner has got the lock.
    world.lock(renew(token, Some(3_600_000))).unwrap();
    world.now_ms += LOCK_PLACE_MS_MAX + LOCK_PLACE_LATE_MS_MAX - 1;
    assert_eq!(world.view().unwrap().waiting, 0);
    assert_eq!(world.waits("c", 60_000).0, c);
    assert_eq!(world.waits("b", 60_000), (b, 0));
}

#[test]
fn an_owner_whose_wait_has_ended_is_passed_over_at_once() {
    let mut world = World::new();
    let token = world.held("a").token;
    world.waits("b", 1000);
    world.waits("c", 60_000);
    world.now_ms += 1000;
    let before = world.at();
    let refusal = world.acquire("b", 0).unwrap_err();
    assert_eq!(refusal.code(), "LOCK_HELD");
    assert_eq!(refusal.details()["owner"], "a");
    assert_eq!((world.at(), world.state.locks_waiting()), (before + 1, 1));
    // There is no place to give up any more, so nothing is written.
    world.acquire("b", 0).unwrap_err();
    assert_eq!(world.at(), before + 1);
    world.release(token).unwrap();
    assert_eq!(world.holder().as_deref(), Some("c"));
}

#[test]
fn an_owner_that_asks_without_waiting_keeps_the_place_of_a_longer_wait() {
    let mut world = World::new();
    let token = world.held("a").token;
    let (place, _) = world.waits("b", 60_000);
    world.waits("c", 60_000);
    let before = world.at();
    world.acquire("b", 0).unwrap_err();
    assert_eq!(world.at(), before);
    assert_eq!(world.waits("b", 60_000), (place, 0));
    world.release(token).unwrap();
    assert_eq!(world.holder().as_deref(), Some("b"));
}

#[test]
fn an_owner_that_waits_no_longer_gets_no_lock() {
    let mut world = World::new();
    let token = world.held("a").token;
    world.waits("gone", 1000);
    world.waits("b", 60_000);
    world.now_ms += 1000 + LOCK_PLACE_SLACK_MS;
    world.release(token).unwrap();
    assert_eq!(world.holder().as_deref(), Some("b"));
    assert_eq!(world.state.locks_waiting(), 0);
    // A node that has not claimed the lock for its client is gone, too.
    let expired = world.pass(LOCK_CLAIM_MS_MAX);
    assert_eq!(expired, [LockExpiry::Done { granted: false }]);
    assert_eq!(world.holder(), None);
}

#[test]
fn an_expiry_gives_the_lock_to_the_first_that_waits_and_fires_once() {
    let mut world = World::new();
    let first = world.held("a");
    world.now_ms += TTL - 1000;
    world.waits("b", 60_000);
    let expire = LockCommand::Expire(ExpireLock {
        name: "l".to_owned(),
        token: first.token,
        expires_ms: first.expires_ms,
    });
    let early = world.lock(expire.clone()).unwrap();
    assert_eq!(early, LockReply::Expired(LockExpiry::Waits));
    assert_eq!(world.pass(1000), [LockExpiry::Done { granted: true }]);
    assert_eq!(world.holder().as_deref(), Some("b"));
    let twice = world.lock(expire).unwrap();
    assert_eq!(twice, LockReply::Expired(LockExpiry::Void));
}

#[test]
fn a_renewed_lock_does_not_expire_at_its_earlier_time() {
    let mut world = World::new();
    let first = world.held("a");
    world.now_ms += 1000;
    world.lock(renew(first.token, None)).unwrap();
    world.now_ms = first.expires_ms;
    let stale = LockCommand::Expire(ExpireLock {
        name: "l".to_owned(),
        token: first.token,
        expires_ms: first.expires_ms,
    });
    assert_eq!(
        world.lock(stale).unwrap(),
        LockReply::Expired(LockExpiry::Void)
    );
    assert_eq!(world.holder().as_deref(), Some("a"));
}

#[test]
fn locks_expire_while_automation_is_paused() {
    let mut world = World::new();
    world.held("a");
    world.ok(&Command::SetAutomation(SetAutomation {
        paused: true,
        ..SetAutomation::default()
    }));
    assert_eq!(world.pass(TTL), [LockExpiry::Done { granted: false }]);
}

#[test]
fn a_write_takes_effect_only_under_the_token_that_holds() {
    let mut world = World::new();
    let first = world.held("a");
    world
        .fenced(&create("i", Some(r#"{"total":1}"#), None), first.token)
        .unwrap();
    let wrong = world.fenced(&apply("i", "PAY", None, None), first.token + 1);
    assert_eq!(wrong, Err(lost(first.token + 1, Some(first.token))));
    world.now_ms = first.expires_ms;
    let late = world.fenced(&apply("i", "PAY", None, None), first.token);
    assert_eq!(late, Err(lost(first.token, None)));
    let second = world.held("b");
    let event = apply("i", "PAY", None, Some("k"));
    assert_eq!(
        world.fenced(&event, first.token),
        Err(lost(first.token, Some(second.token)))
    );
    // That the lock is lost is told first, whatever else is wrong.
    let impossible = apply("i", "SHIP", None, None);
    assert_eq!(
        world.fenced(&impossible, first.token),
        Err(lost(first.token, Some(second.token)))
    );
    let done = world.fenced(&event, second.token).unwrap();
    // What was done is answered as it was, also when the lock is lost.
    world.release(second.token).unwrap();
    let Ok(Reply::Applied {
        applied: false,
        wal_offset,
        ..
    }) = world.fenced(&event, second.token)
    else {
        panic!("a retry answers as the first call did");
    };
    assert!(matches!(done, Reply::Applied { wal_offset: first, .. } if first == wal_offset));
}

#[test]
fn every_write_and_a_whole_batch_obey_the_fence() {
    let mut world = World::new();
    let token = world.held("a").token;
    world.ok(&create("i", Some(r#"{"total":1}"#), None));
    world.release(token).unwrap();
    let batch = |alone: bool| {
        let ops = [apply("i", "PAY", None, None), create("j", None, None)];
        match alone {
            false => Command::Batch(ops.map(BatchOp::Write).into()),
            true => {
                let ops = ops.map(|op| Ok(BatchOp::Write(op)));
                Command::DryRun(Box::new(DryRun::EachAlone(ops.into())))
            }
        }
    };
    let dry = |command| Command::DryRun(Box::new(DryRun::Whole(command)));
    let refused = [
        put("order", 2, ORDER),
        create("j", None, None),
        apply("i", "PAY", None, None),
        crate::common::delete("i", None),
        batch(false),
        Command::FlushAll,
        dry(apply("i", "PAY", None, None)),
        dry(batch(false)),
        Command::Lock(acquire("other", "a", 0)),
        Command::SetAutomation(SetAutomation {
            paused: true,
            ..SetAutomation::default()
        }),
    ];
    let end = world.state.last_applied();
    for command in refused {
        let refusal = world.fenced(&command, token);
        assert_eq!(refusal, Err(lost(token, None)), "{command}");
    }
    let Ok(Reply::DryRun(trial)) = world.fenced(&batch(true), token) else {
        panic!("each operation is refused on its own");
    };
    let Reply::Batch(replies) = trial.reply else {
        panic!("{trial:?}");
    };
    let is_lost = |reply: &Reply| *reply == Reply::Refused(Box::new(lost(token, None)));
    assert!(replies.iter().all(is_lost), "{replies:?}");
    // Also what would change nothing.
    for command in [put("order", 1, ORDER), Command::Batch(Vec::new())] {
        let refusal = world.fenced(&command, token);
        assert_eq!(refusal, Err(lost(token, None)), "{command}");
    }
    assert_eq!(world.state.last_applied(), end);
}

#[test]
fn a_write_behind_a_fact_in_flight_that_ends_the_lock_is_refused() {
    let mut world = World::new();
    let token = world.held("a").token;
    world.ok(&create("i", Some(r#"{"total":1}"#), None));
    world.in_flight = true;
    world.waits("b", 60_000);
    world
        .fenced(&create("x", None, None), token + 1)
        .unwrap_err();
    world.fenced(&apply("i", "PAY", None, None), token).unwrap();
    world.release(token).unwrap();
    let next = world.at() - 1;
    let refused = world.fenced(&apply("i", "NOTE", None, None), token);
    assert_eq!(refused, Err(lost(token, Some(next))));
    assert_eq!(world.held("b").token, next);
    world.fenced(&create("j", None, None), next).unwrap();
    world.land();
    assert_eq!(world.view().unwrap().token, next);
}

#[test]
fn an_entry_whose_fence_does_not_hold_where_it_lands_is_stale() {
    let mut world = World::new();
    let first = world.held("a");
    let write = create("i", None, None);
    let Decision::Write { mut entry, .. } =
        world.decide(&write, Some(&fence(first.token))).unwrap()
    else {
        panic!("it writes");
    };
    let mut state = world.state.clone();
    entry.time_ms = first.expires_ms;
    assert_eq!(state.apply(&entry, entry.index), Ok(EntryOutcome::Stale));
    world.release(first.token).unwrap();
    entry.time_ms = world.now_ms;
    entry.index += 1;
    assert_eq!(
        world.state.apply(&entry, entry.index),
        Ok(EntryOutcome::Stale)
    );
}

#[test]
fn a_decision_made_ahead_is_made_again_if_the_lock_is_lost_meanwhile() {
    let mut world = World::new();
    let token = world.held("a").token;
    let limits = Limits::default();
    let said = fence(token);
    let write = create("i", None, None);
    let at = |offset, now_ms| DecideAt {
        offset,
        now_ms,
        actor: "test",
        meta: Some(&said),
        limits: &limits,
        reach: None,
    };
    let ahead = at(0, world.now_ms);
    assert!(is_settled(&world.state, &world.pending, &write));
    let prepared = prepare(&world.state, &write, &ahead);
    let there = at(world.at(), world.now_ms + 5);
    let landed = prepared.land(&world.state, &world.pending, &write, &there);
    assert!(matches!(landed, Some(Ok(Decision::Write { .. }))));
    let prepared = prepare(&world.state, &write, &ahead);
    let late = at(world.at(), world.now_ms + TTL);
    let landed = prepared.land(&world.state, &world.pending, &write, &late);
    assert!(landed.is_none());
    let prepared = prepare(&world.state, &write, &ahead);
    world.in_flight = true;
    world.release(token).unwrap();
    let there = at(world.at(), world.now_ms);
    let landed = prepared.land(&world.state, &world.pending, &write, &there);
    assert!(landed.is_none());
}

#[test]
fn facts_that_contradict_the_lock_are_errors_and_late_ones_are_stale() {
    let mut world = World::new();
    let first = world.held("a");
    let ended = |token, expired| LockChanged {
        name: "l".to_owned(),
        prev_offset: first.token,
        ended: Some(LockEnded {
            owner: "a".to_owned(),
            token,
            expired,
        }),
        ..LockChanged::default()
    };
    let at = world.at();
    let entry = |fact: LockChanged| Entry {
        index: at,
        time_ms: START,
        facts: vec![Fact::from(Body::LockChanged(fact))],
        ..Entry::default()
    };
    let mut state = world.state.clone();
    let early = state.apply(&entry(ended(first.token, true)), at);
    assert!(early.unwrap_err().to_string().contains("before its time"));
    let other = state.apply(&entry(ended(first.token - 1, false)), at);
    assert!(other.is_err());
    let moved_on = LockChanged {
        prev_offset: first.token - 1,
        ..ended(first.token, false)
    };
    assert_eq!(state.apply(&entry(moved_on), at), Ok(EntryOutcome::Stale));
}

#[test]
fn the_clock_of_the_node_that_is_asked_ends_no_lock() {
    let mut world = World::new();
    world.acquire("a", 0).unwrap();
    let mut get = Query::GetLock {
        name: "l".to_owned(),
        now_ms: 0,
    };
    let mut list = Query::ListLocks(ListLocks::default());
    for query in [&mut get, &mut list] {
        query.ask_as(&"token:1".into(), || START + 100 * TTL);
        match world.state.query(query).unwrap() {
            Reply::Lock(LockReply::Found { lock, .. }) => assert!(lock.is_some()),
            Reply::Lock(LockReply::Listed { items, .. }) => assert_eq!(items.len(), 1),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_lock_needs_its_level_and_an_entry_of_its_own() {
    let mut world = World::new();
    let in_batch = Command::Batch(vec![BatchOp::Write(Command::Lock(acquire("l", "a", 0)))]);
    assert_eq!(world.run(&in_batch).unwrap_err().code(), "BAD_REQUEST");
    let reads = [
        Query::GetLock {
            name: "l".to_owned(),
            now_ms: 0,
        },
        Query::ListLocks(ListLocks::default()),
        Query::ListTimers(ListTimers::default()),
    ];
    for read in reads {
        let op = BatchOp::Read(read);
        let refusal = world.run(&Command::Batch(vec![op.clone()])).unwrap_err();
        assert_eq!(refusal.code(), "BAD_REQUEST", "{op:?}");
        let alone = DryRun::EachAlone(vec![Ok(op)]);
        let Ok(Reply::DryRun(trial)) = world.run(&Command::DryRun(Box::new(alone))) else {
            panic!("each is refused on its own");
        };
        assert!(
            matches!(&trial.reply, Reply::Batch(replies) if matches!(replies[..], [Reply::Refused(_)]))
        );
    }
    let mut old = World {
        state: State::new(),
        other: State::new(),
        ..world
    };
    assert_eq!(old.acquire("a", 0).unwrap_err().code(), "FEATURE_LEVEL");
    let fenced = old.fenced(&create("i", None, None), 1);
    assert_eq!(fenced.unwrap_err().code(), "FEATURE_LEVEL");
}

#[test]
fn bounds_are_kept() {
    let mut world = World::new();
    let long = "x".repeat(1025);
    for wrong in [
        acquire("", "a", 0),
        acquire(&long, "a", 0),
        acquire("l", "", 0),
        acquire("l", &long, 0),
        acquire("l", "a", 86_400_001),
    ] {
        assert_eq!(world.lock(wrong).unwrap_err().code(), "BAD_REQUEST");
    }
    for ttl_ms in [0, 999, 86_400_001] {
        let short = LockCommand::Acquire(AcquireLock {
            name: "l".to_owned(),
            owner: "a".to_owned(),
            ttl_ms,
            wait_ms: None,
        });
        assert_eq!(world.lock(short).unwrap_err().code(), "BAD_REQUEST");
    }
    let name = "x".repeat(1024);
    world.lock(acquire(&name, &name, 0)).unwrap();
    world.held("a");
    world.in_flight = true;
    for number in 0..LOCK_WAITERS_MAX {
        world.waits(&format!("w{number}"), 10_000);
    }
    world.land();
    world.in_flight = false;
    let refusal = world.acquire("one more", 10_000).unwrap_err();
    assert_eq!(refusal.code(), "QUOTA_EXCEEDED");
    assert!(refusal.to_string().contains("1000 owners that wait"));
    // Those that have lost their place make room.
    world.now_ms += 14_000;
    world.waits("one more", 10_000);
    assert_eq!(world.state.locks_waiting(), 1);
}

#[test]
fn everything_removed_means_no_lock_held() {
    let mut world = World::new();
    let token = world.held("a").token;
    world.waits("b", 10_000);
    world.in_flight = true;
    world.ok(&Command::FlushAll);
    assert_eq!(world.release(token), Err(lost(token, None)));
    let next = world.held("c").token;
    world.land();
    assert!(next > token);
    assert_eq!(world.holder().as_deref(), Some("c"));
}

#[test]
fn locks_are_listed_by_name_and_prefix_page_by_page() {
    let mut world = World::new();
    for name in ["b/1", "a", "b/2", "b/3", "c"] {
        world.lock(acquire(name, "o", 0)).unwrap();
    }
    world.lock(acquire("b/2", "p", 10_000)).unwrap();
    let page = |world: &World, prefix: &str, limit, after: Option<&str>| {
        let list = Query::ListLocks(ListLocks {
            prefix: Some(prefix.to_owned()),
            limit,
            after: after.map(str::to_owned),
            now_ms: world.now_ms,
        });
        match world.state.query(&list).unwrap() {
            Reply::Lock(LockReply::Listed { items, next }) => {
                let items = items.into_iter();
                let items = items.map(|lock| (lock.name.to_string(), lock.waiting));
                (items.collect::<Vec<_>>(), next)
            }
            other => panic!("{other:?}"),
        }
    };
    let named = |names: &[(&str, u64)]| -> Vec<(String, u64)> {
        let names = names.iter();
        names
            .map(|(name, waiting)| ((*name).to_owned(), *waiting))
            .collect()
    };
    let (items, next) = page(&world, "b/", Some(2), None);
    assert_eq!(items, named(&[("b/1", 0), ("b/2", 1)]));
    assert_eq!(next.as_deref(), Some("b/2"));
    let (items, next) = page(&world, "b/", Some(2), next.as_deref());
    assert_eq!((items, next), (named(&[("b/3", 0)]), None));
    assert_eq!(page(&world, "", None, None).0.len(), 5);
    world.now_ms += TTL;
    assert!(page(&world, "", None, None).0.is_empty());
}
