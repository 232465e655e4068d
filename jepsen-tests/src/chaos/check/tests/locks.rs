//! Locks, as the log has them, and what clients were told of them.

use std::sync::Arc;

use rstmdb_engine::fact::{
    self, Body, Fence, LockChanged, LockEnded, LockHolder, LockWaiter, Meta,
};

use super::fixtures::*;
use super::truth::LocksOfLog;
use super::*;

const LOCK: &str = "lock-0";
const LEDGER: &str = "ledger-0";

/// A log and a history in the making.
struct Locked {
    log: Log,
    history: History,
    locks: LocksOfLog,
    times: Vec<(u64, u64)>,
}

fn holder(owner: &str, token: u64, expires_ms: u64) -> Option<LockHolder> {
    Some(LockHolder {
        owner: owner.to_owned(),
        token,
        expires_ms,
        ttl_ms: 1000,
    })
}

fn ended(owner: &str, token: u64, expired: bool) -> Option<LockEnded> {
    Some(LockEnded {
        owner: owner.to_owned(),
        token,
        expired,
    })
}

impl Locked {
    fn new() -> Self {
        let mut log = Log::default();
        log.create(2, LEDGER, "counter", "on", json!({}));
        Self {
            log,
            history: History::of(Workload::Lock),
            locks: LocksOfLog::default(),
            times: Vec::new(),
        }
    }

    /// Puts a change of the lock into the log.
    fn change(&mut self, offset: u64, time_ms: u64, change: LockChanged) {
        let changed = LockChanged {
            name: LOCK.to_owned(),
            ..change
        };
        let entry = fact::Entry {
            time_ms,
            facts: vec![Body::LockChanged(changed).into()],
            ..fact::Entry::default()
        };
        self.locks.take(offset, &entry);
        self.times.push((offset, time_ms));
    }

    /// Puts an event into the log that its client has sent under a token, with a fence if it is not lost.
    fn put(&mut self, offset: u64, time_ms: u64, token: u64, fence: Option<u64>) {
        let tag = format!("w{offset}");
        let payload = json!({"lock": LOCK, "token": token, "by": tag});
        self.log.event(offset, LEDGER, ("SET", "on"), payload, &tag);
        let fence = fence.map(|token| Fence {
            lock: LOCK.to_owned(),
            token,
        });
        if let (Some(fact), Some(fence)) = (self.log.facts.last_mut(), &fence) {
            fact.meta = json!({"fence": {"lock": fence.lock, "token": fence.token}});
        }
        let entry = fact::Entry {
            time_ms,
            meta: fence.map(|fence| Meta {
                fence: Some(fence),
                ..Meta::default()
            }),
            ..fact::Entry::default()
        };
        self.locks.take(offset, &entry);
        self.times.push((offset, time_ms));
    }

    /// A client acquires the lock, and is told this token.
    fn acquired(&mut self, when: (u64, u64), owner: &str, token: u64) {
        let params = json!({"name": LOCK, "owner": owner, "ttl_ms": 1000});
        let told = json!({"name": LOCK, "owner": owner, "token": token, "expires_at": 1,
            "ttl_ms": 1000, "waiting": 0, "wal_offset": token});
        let told = RequestOutcome::Ok(told);
        self.history.push(when, "LOCK_ACQUIRE", params, told);
    }

    /// A client sends the event that the log may have at this offset.
    fn sent(&mut self, when: (u64, u64), offset: u64, token: u64, outcome: RequestOutcome) {
        let tag = format!("w{offset}");
        let params = json!({"instance_id": LEDGER, "event": "SET", "event_id": tag,
            "payload": {"lock": LOCK, "token": token, "by": tag},
            "fence": {"lock": LOCK, "token": token}});
        self.history.push(when, "APPLY_EVENT", params, outcome);
    }

    fn ack(&self, offset: u64) -> RequestOutcome {
        RequestOutcome::Ok(self.log.ack(LEDGER, offset))
    }

    fn released(&mut self, when: (u64, u64), token: u64, offset: u64) {
        let params = json!({"name": LOCK, "token": token});
        let told = json!({"name": LOCK, "owner": "a", "token": token, "released": true,
            "wal_offset": offset});
        let told = RequestOutcome::Ok(told);
        self.history.push(when, "LOCK_RELEASE", params, told);
    }

    fn judge(self) -> CheckerResult {
        let mut truth = self.log.truth();
        truth.locks = Arc::new(self.locks);
        truth.times = self.times;
        result(&self.history.entries, &truth, "locks", "lock")
    }
}

/// `a` acquires the lock with token 5, writes at 6, and loses it at 8, where `b` gets it, who has waited since 7.
/// `b` writes at 9, and releases the lock at 10.
fn good() -> Locked {
    let mut it = Locked::new();
    let grant = LockChanged {
        holder: holder("a", 0, 2000),
        ..LockChanged::default()
    };
    it.change(5, 1000, grant);
    it.acquired((10, 20), "a", 5);
    it.put(6, 1500, 5, Some(5));
    let ack = it.ack(6);
    it.sent((30, 40), 6, 5, ack);
    let waits = LockChanged {
        holder: holder("a", 5, 2000),
        waiter: Some(LockWaiter {
            owner: "b".to_owned(),
            place: 0,
            ttl_ms: 1000,
            until_ms: 9000,
        }),
        ..LockChanged::default()
    };
    it.change(7, 1600, waits);
    it.change(8, 2000, passed("b"));
    it.acquired((50, 80), "b", 8);
    it.put(9, 2100, 8, Some(8));
    let ack = it.ack(9);
    it.sent((90, 100), 9, 8, ack);
    let free = LockChanged {
        ended: ended("b", 8, false),
        ..LockChanged::default()
    };
    it.change(10, 2200, free);
    it.released((110, 120), 8, 10);
    it
}

/// The lock of `a` expires, and the first that waits has it.
fn passed(to: &str) -> LockChanged {
    LockChanged {
        ended: ended("a", 5, true),
        holder: holder(to, 0, 3000),
        gone: vec![7],
        ..LockChanged::default()
    }
}

fn lost(current: Value) -> RequestOutcome {
    refused(
        "LOCK_LOST",
        json!({"lock": LOCK, "token": 5, "current_token": current}),
    )
}

/// What is wrong can be in the log alone, so the window may be without requests.
fn assert_says(found: &CheckerResult, what: &str) {
    let says = |violation: &Violation| violation.message.contains(what);
    assert!(
        found.violations().iter().any(says),
        "{what:?} is not in: {found}"
    );
}

#[test]
fn a_lock_that_goes_from_one_owner_to_the_next_is_valid() {
    let mut it = good();
    // A write that comes too late is refused; one without an answer has not taken effect.
    it.sent((85, 88), 11, 5, lost(json!(8)));
    it.sent((86, 4000), 12, 5, unknown());
    it.sent((130, 140), 13, 8, lost(Value::Null));
    let name = json!({"name": LOCK});
    let shown = json!({"locks": [{"name": LOCK, "owner": "b", "token": 8}]});
    let none = json!({"locks": []});
    for (when, shown) in [((85, 88), &shown), ((130, 140), &none)] {
        let shown = RequestOutcome::Ok(shown.clone());
        it.history
            .push(when, "LOCK_GET", name.clone(), shown.clone());
        it.history.push(when, "LOCK_LIST", json!({}), shown);
    }
    let asks = json!({"name": LOCK, "owner": "c", "ttl_ms": 1000});
    let held = refused("LOCK_HELD", json!({"name": LOCK, "owner": "b"}));
    it.history.push((85, 88), "LOCK_ACQUIRE", asks, held);
    // The same owner asks again.
    it.acquired((85, 88), "b", 8);
    let found = it.judge();
    assert_eq!(found.verdict, CheckVerdict::Valid, "{found}");
    assert!(found.notes[0].contains("2 granted, 1 of them after a wait; 1 expired; 2 writes"));
}

#[test]
fn a_history_without_a_write_under_a_lock_shows_nothing() {
    let mut it = good();
    it.history.entries.retain(|entry| entry.op != "APPLY_EVENT");
    let found = it.judge();
    assert!(matches!(found.verdict, CheckVerdict::Unknown(_)), "{found}");
}

#[test]
fn tokens_that_do_not_grow_are_found() {
    let mut it = good();
    let again = LockChanged {
        holder: holder("c", 8, 4000),
        ..LockChanged::default()
    };
    it.change(11, 2300, again);
    assert_says(&it.judge(), "is granted at 11, behind token 8");
}

#[test]
fn a_second_holder_is_found() {
    // It does not wait until the time of the first is over.
    let mut it = Locked::new();
    let grant = |owner| LockChanged {
        holder: holder(owner, 0, 2000),
        ..LockChanged::default()
    };
    it.change(5, 1000, grant("a"));
    it.change(6, 1200, grant("b"));
    it.acquired((10, 20), "a", 5);
    assert_says(&it.judge(), "holds the lock, and then");
}

/// The token is that of `a`, whose lock `b` has.
#[test]
fn a_write_behind_a_later_grant_is_found() {
    let mut it = good();
    it.put(11, 2300, 5, Some(5));
    let ack = it.ack(11);
    it.sent((130, 140), 11, 5, ack);
    let found = it.judge();
    assert_says(&found, "a write under token 5 of lock-0 took effect");
    assert_says(&found, "took effect behind one under 8");
    assert_says(&found, "acknowledged at 11 under token 5 of lock-0: nobody");
}

/// The suite's own engine does not take such an entry, so the log may lack it. The answer is enough.
#[test]
fn an_acknowledged_write_without_the_lock_is_found_by_the_answer_alone() {
    let mut it = good();
    let told = json!({"from_state": "on", "to_state": "on", "ctx": {}, "wal_offset": 9});
    it.sent((85, 100), 11, 5, RequestOutcome::Ok(told));
    assert_says(&it.judge(), "there b held it with token 8");
}

#[test]
fn a_write_after_the_time_is_over_is_found_before_the_log_has_the_end() {
    let mut it = Locked::new();
    let grant = LockChanged {
        holder: holder("a", 0, 2000),
        ..LockChanged::default()
    };
    it.change(5, 1000, grant);
    it.acquired((10, 20), "a", 5);
    it.put(6, 2000, 5, Some(5));
    let ack = it.ack(6);
    it.sent((30, 40), 6, 5, ack);
    let found = it.judge();
    assert_says(&found, "took effect at 2000 ms, when it did not hold");
    assert_says(&found, "its time was over since 2000");
}

#[test]
fn a_write_after_an_acknowledged_release_is_found() {
    let mut it = good();
    it.put(11, 2300, 8, Some(8));
    let ack = it.ack(11);
    it.sent((130, 140), 11, 8, ack);
    assert_says(&it.judge(), "under token 8 of lock-0: nobody held it there");
}

#[test]
fn a_release_that_the_log_does_not_have_is_found() {
    let mut it = good();
    it.released((130, 140), 8, 9);
    assert_says(&it.judge(), "a release is acknowledged");
}

#[test]
fn two_owners_of_one_token_are_found() {
    let mut it = good();
    it.acquired((85, 88), "c", 8);
    let found = it.judge();
    assert_says(&found, "two owners of lock-0 were told");
    assert_says(&found, "which the log has granted to Some(\"b\")");
}

#[test]
fn a_token_that_was_never_granted_or_is_over_is_found() {
    let mut it = good();
    it.acquired((130, 140), "c", 12);
    assert_says(&it.judge(), "granted to None");
    // Another node answers from what it knew: without an offset, the lock must be held at that time.
    let mut it = good();
    it.acquired((130, 140), "a", 5);
    if let RequestOutcome::Ok(told) = &mut it.history.last().outcome {
        told["wal_offset"] = Value::Null;
    }
    assert_says(&it.judge(), "did not hold lock-0 between question and");
}

#[test]
fn a_refused_write_that_took_effect_is_found() {
    let mut it = good();
    it.put(11, 2300, 8, Some(8));
    it.sent((130, 140), 11, 8, lost(Value::Null));
    assert_says(&it.judge(), "w11 was refused, and took effect");
}

#[test]
fn a_refusal_without_a_reason_is_found() {
    let mut it = good();
    it.sent((22, 25), 11, 5, lost(Value::Null));
    assert_says(&it.judge(), "is said to be lost, and held");
    // Another token is named than that of the lock.
    let mut it = good();
    it.sent((130, 140), 11, 5, lost(json!(8)));
    assert_says(&it.judge(), "token 8 is said to hold lock-0");
    let mut it = good();
    let asks = json!({"name": LOCK, "owner": "c", "ttl_ms": 1000});
    let held = refused("LOCK_HELD", json!({"name": LOCK, "owner": "b"}));
    it.history.push((130, 140), "LOCK_ACQUIRE", asks, held);
    assert_says(&it.judge(), "is said to be held, and was free");
}

#[test]
fn a_refused_owner_that_has_the_lock_is_found() {
    let mut it = good();
    let grant = LockChanged {
        holder: holder("c", 0, 4000),
        ..LockChanged::default()
    };
    it.change(11, 2300, grant);
    let asks = json!({"name": LOCK, "owner": "c", "ttl_ms": 1000});
    let held = refused("LOCK_HELD", json!({"name": LOCK, "owner": "b"}));
    it.history.push((85, 88), "LOCK_ACQUIRE", asks, held);
    assert_says(&it.judge(), "c was refused lock-0");
}

#[test]
fn a_read_of_what_was_not_so_is_found() {
    let shown = json!({"locks": [{"name": LOCK, "owner": "a", "token": 5}]});
    let none = json!({"locks": []});
    let cases = [
        ((130, 140), &shown, "which was not so"),
        ((22, 25), &none, "which was held all the time"),
    ];
    for (when, shown, what) in cases {
        for (op, params) in [
            ("LOCK_GET", json!({"name": LOCK})),
            ("LOCK_LIST", json!({})),
        ] {
            let mut it = good();
            let shown = RequestOutcome::Ok(shown.clone());
            it.history.push(when, op, params, shown);
            assert_says(&it.judge(), what);
        }
    }
}

#[test]
fn a_fence_that_the_log_has_lost_is_found() {
    let mut it = good();
    it.put(11, 2300, 8, None);
    it.sent((110, 140), 11, 8, unknown());
    assert_says(&it.judge(), "the log has the fence null");
}
