//! Any sequence of requests, renewals, releases, expiries and passing time: locks are those of a model that knows nothing
//! of facts, also while facts are in flight.

use proptest::prelude::*;
use rstmdb_engine::fact::{Entry, Fence, Message, Meta};
use rstmdb_engine::{
    AcquireLock, Command, DecideAt, Decision, EntryOutcome, Limits, LockCommand, LockReply,
    PendingEntries, Query, Refusal, ReleaseLock, RenewLock, Reply, State, decide,
};

use crate::common::{ORDER, create, put, reload};

const OWNERS: [&str; 4] = ["a", "b", "c", "d"];
const CLAIM_MS: u64 = 10_000;
const PLACE_MS: u64 = 30_000;
const SLACK_MS: u64 = 3_000;
const LATE_MS: u64 = 30_000;

#[derive(Clone, Debug)]
enum Step {
    Acquire {
        owner: usize,
        ttl_ms: u64,
        wait_ms: u64,
    },
    /// With the newest token, or the one before it.
    Renew {
        newest: bool,
        ttl_ms: u64,
    },
    Release {
        newest: bool,
    },
    Write {
        newest: bool,
    },
    Pass(u64),
    Expire,
    Land,
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    let ttl = 1_000_u64..20_000;
    let newest = prop::bool::weighted(0.8);
    prop_oneof![
        8 => (0..OWNERS.len(), ttl.clone(), prop_oneof![Just(0_u64), 1_u64..50_000])
            .prop_map(|(owner, ttl_ms, wait_ms)| Step::Acquire { owner, ttl_ms, wait_ms }),
        3 => (newest, ttl).prop_map(|(newest, ttl_ms)| Step::Renew { newest, ttl_ms }),
        3 => newest.prop_map(|newest| Step::Release { newest }),
        4 => newest.prop_map(|newest| Step::Write { newest }),
        5 => prop_oneof![4 => 1_u64..9_000, 1 => 9_000_u64..40_000].prop_map(Step::Pass),
        2 => Just(Step::Expire),
        4 => Just(Step::Land),
        1 => Just(Step::Reload),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Holder {
    owner: usize,
    token: u64,
    expires_ms: u64,
}

/// What is to be answered.
#[derive(Debug, PartialEq)]
enum Said {
    Holds { token: u64, expires_ms: u64 },
    Waits { place: u64, ahead: u64 },
    Held { owner: usize },
    Lost,
    Done,
    Nothing,
}

#[derive(Debug, Default)]
struct Model {
    holder: Option<Holder>,
    /// Owner, place, ttl, until.
    queue: Vec<(usize, u64, u64, u64)>,
}

impl Model {
    fn holds(&self, token: u64, now_ms: u64) -> bool {
        let holder = self.holder.as_ref();
        holder.is_some_and(|holder| holder.token == token && now_ms < holder.expires_ms)
    }

    /// Places that were lost long ago go while a holding goes on.
    fn let_go(&mut self, now_ms: u64) {
        self.queue.retain(|waiter| now_ms < waiter.3 + LATE_MS);
    }

    /// The lock goes to the first that still waits, or becomes free.
    fn next(&mut self, asks: Option<usize>, offset: u64, now_ms: u64) {
        self.holder = None;
        while !self.queue.is_empty() {
            let (owner, _, ttl_ms, until_ms) = self.queue.remove(0);
            if now_ms < until_ms || asks == Some(owner) {
                self.holder = Some(Holder {
                    owner,
                    token: offset,
                    expires_ms: now_ms + ttl_ms.min(CLAIM_MS),
                });
                return;
            }
        }
    }

    fn acquire(
        &mut self,
        owner: usize,
        ttl_ms: u64,
        wait_ms: u64,
        offset: u64,
        now_ms: u64,
    ) -> Said {
        let (holder, queue) = (self.holder.clone(), self.queue.clone());
        let ended = holder.as_ref().is_some_and(|it| it.expires_ms <= now_ms);
        if ended {
            self.next(Some(owner), offset, now_ms);
        }
        let Some(held) = &mut self.holder else {
            let expires_ms = now_ms + ttl_ms;
            self.holder = Some(Holder {
                owner,
                token: offset,
                expires_ms,
            });
            return Said::Holds {
                token: offset,
                expires_ms,
            };
        };
        if held.owner == owner {
            let extends = held.expires_ms < now_ms + ttl_ms;
            held.expires_ms = held.expires_ms.max(now_ms + ttl_ms);
            let (token, expires_ms) = (held.token, held.expires_ms);
            if extends && !ended {
                self.let_go(now_ms);
            }
            return Said::Holds { token, expires_ms };
        }
        if wait_ms == 0 {
            let said = Said::Held { owner: held.owner };
            // A refusal changes nothing but the place of a wait that has ended.
            (self.holder, self.queue) = (holder, queue);
            if !ended {
                let goes = |waiter: &(usize, u64, u64, u64)| {
                    waiter.0 == owner && waiter.3 <= now_ms + 2 * SLACK_MS
                };
                self.queue.retain(|waiter| !goes(waiter));
            }
            return said;
        }
        let until_ms = now_ms + (wait_ms + SLACK_MS).min(PLACE_MS);
        let at = match self.queue.iter().position(|waiter| waiter.0 == owner) {
            Some(at) => {
                let waiter = &mut self.queue[at];
                if waiter.3 < until_ms || ended {
                    waiter.2 = ttl_ms;
                }
                waiter.3 = waiter.3.max(until_ms);
                at
            }
            None => {
                if !ended {
                    self.let_go(now_ms);
                }
                self.queue.push((owner, offset, ttl_ms, until_ms));
                self.queue.len() - 1
            }
        };
        let before = self.queue.iter().take(at);
        let ahead = before.filter(|waiter| now_ms < waiter.3).count() as u64;
        Said::Waits {
            place: self.queue[at].1,
            ahead,
        }
    }
}

struct Run {
    state: State,
    pending: PendingEntries,
    held: Vec<Entry>,
    now_ms: u64,
    model: Model,
    tokens: Vec<u64>,
    written: u64,
}

impl Run {
    fn at(&self) -> u64 {
        self.state.last_applied() + self.held.len() as u64 + 1
    }

    fn run(&mut self, command: &Command, meta: Option<&Meta>) -> Result<Reply, Refusal> {
        let limits = Limits::default();
        let at = DecideAt {
            offset: self.at(),
            now_ms: self.now_ms,
            actor: "test",
            meta,
            limits: &limits,
            reach: None,
        };
        match decide(&self.state, &self.pending, command, &at)? {
            Decision::Answer { reply, .. } => Ok(reply),
            Decision::Write {
                entry,
                reply,
                compiled,
            } => {
                let entry = Entry::decode(entry.encode_to_vec().as_slice()).unwrap();
                self.pending.push(&entry, &compiled);
                self.held.push(entry);
                Ok(reply)
            }
        }
    }

    fn land(&mut self) {
        for entry in std::mem::take(&mut self.held) {
            let offset = self.state.last_applied() + 1;
            assert_eq!(
                self.state.apply(&entry, offset),
                Ok(EntryOutcome::Applied),
                "{entry}"
            );
            self.pending.settle(offset);
            self.pending.check_invariants(offset).unwrap();
        }
        self.state.check_invariants().unwrap();
        let query = Query::GetLock {
            name: "l".to_owned(),
            now_ms: self.now_ms,
        };
        let Ok(Reply::Lock(LockReply::Found { lock, .. })) = self.state.query(&query) else {
            panic!("a lock can be looked up");
        };
        let holder = self.model.holder.clone();
        let holder = holder.filter(|holder| self.now_ms < holder.expires_ms);
        let found = lock.as_ref().map(|lock| Holder {
            owner: OWNERS
                .iter()
                .position(|owner| **owner == *lock.owner)
                .unwrap(),
            token: lock.token,
            expires_ms: lock.expires_ms,
        });
        assert_eq!(found, holder);
        let waiting = self
            .model
            .queue
            .iter()
            .filter(|waiter| self.now_ms < waiter.3);
        if let Some(lock) = lock {
            assert_eq!(lock.waiting, waiting.count() as u64);
        }
        assert_eq!(self.state.locks_waiting(), self.model.queue.len() as u64);
    }

    fn said(&mut self, command: LockCommand) -> Said {
        let outcome = match self.run(&Command::Lock(command), None) {
            Ok(Reply::Refused(refusal)) => Err(*refusal),
            outcome => outcome,
        };
        match outcome {
            Ok(Reply::Lock(LockReply::Held { lock, .. })) => Said::Holds {
                token: lock.token,
                expires_ms: lock.expires_ms,
            },
            Ok(Reply::Lock(LockReply::Waits { place, ahead, .. })) => Said::Waits { place, ahead },
            Ok(_) => Said::Done,
            Err(refusal) => match refusal.code() {
                "LOCK_LOST" => Said::Lost,
                "LOCK_HELD" => {
                    let details = refusal.details();
                    let owner = details["owner"].as_str().unwrap();
                    let owner = OWNERS.iter().position(|it| *it == owner).unwrap();
                    Said::Held { owner }
                }
                other => panic!("{other}"),
            },
        }
    }

    fn token(&self, newest: bool) -> u64 {
        let mut tokens = self.tokens.iter().rev();
        let newest_token = tokens.next().copied().unwrap_or(1);
        match newest {
            true => newest_token,
            false => tokens.next().copied().unwrap_or(1),
        }
    }

    fn step(&mut self, step: &Step) {
        let (offset, now_ms) = (self.at(), self.now_ms);
        let name = "l".to_owned();
        let (said, expected) = match *step {
            Step::Acquire {
                owner,
                ttl_ms,
                wait_ms,
            } => {
                let expected = self.model.acquire(owner, ttl_ms, wait_ms, offset, now_ms);
                let said = self.said(LockCommand::Acquire(AcquireLock {
                    name,
                    owner: OWNERS[owner].to_owned(),
                    ttl_ms,
                    wait_ms: (wait_ms > 0).then_some(wait_ms),
                }));
                (said, expected)
            }
            Step::Renew { newest, ttl_ms } => {
                let token = self.token(newest);
                let expected = match self.model.holder.as_mut() {
                    Some(holder) if holder.token == token && now_ms < holder.expires_ms => {
                        let extends = holder.expires_ms < now_ms + ttl_ms;
                        holder.expires_ms = holder.expires_ms.max(now_ms + ttl_ms);
                        let expires_ms = holder.expires_ms;
                        if extends {
                            self.model.let_go(now_ms);
                        }
                        Said::Holds { token, expires_ms }
                    }
                    _ => Said::Lost,
                };
                let ttl_ms = Some(ttl_ms);
                (
                    self.said(LockCommand::Renew(RenewLock {
                        name,
                        token,
                        ttl_ms,
                    })),
                    expected,
                )
            }
            Step::Release { newest } => {
                let token = self.token(newest);
                let expected = match self.model.holds(token, now_ms) {
                    true => {
                        self.model.next(None, offset, now_ms);
                        Said::Done
                    }
                    false => Said::Lost,
                };
                (
                    self.said(LockCommand::Release(ReleaseLock { name, token })),
                    expected,
                )
            }
            Step::Write { newest } => {
                let token = self.token(newest);
                self.written += 1;
                let fence = Some(Fence { lock: name, token });
                let meta = Meta {
                    fence,
                    ..Meta::default()
                };
                let write = create(&format!("i{}", self.written), None, None);
                let done = self.run(&write, Some(&meta)).is_ok();
                assert_eq!(done, self.model.holds(token, now_ms), "token {token}");
                (Said::Nothing, Said::Nothing)
            }
            Step::Pass(ms) => {
                self.now_ms += ms;
                (Said::Nothing, Said::Nothing)
            }
            Step::Expire => {
                self.land();
                for expire in self.state.expired_locks(now_ms, 10, |_| false) {
                    let offset = self.at();
                    assert_eq!(self.said(LockCommand::Expire(expire)), Said::Done);
                    self.model.next(None, offset, now_ms);
                }
                (Said::Nothing, Said::Nothing)
            }
            Step::Land => {
                self.land();
                (Said::Nothing, Said::Nothing)
            }
            Step::Reload => {
                self.land();
                self.state = reload(&self.state);
                (Said::Nothing, Said::Nothing)
            }
        };
        assert_eq!(said, expected);
        if let Some(holder) = &self.model.holder
            && self.tokens.last() != Some(&holder.token)
        {
            // A token is greater than all before it.
            assert!(self.tokens.last() < Some(&holder.token));
            self.tokens.push(holder.token);
        }
    }
}

proptest! {
    #[test]
    fn locks_are_those_of_the_model(steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run {
            state: State::new(),
            pending: PendingEntries::new(),
            held: Vec::new(),
            now_ms: 1_700_000_000_000,
            model: Model::default(),
            tokens: Vec::new(),
            written: 0,
        };
        run.run(&Command::SetLevel { level: 2 }, None).unwrap();
        run.run(&put("order", 1, ORDER), None).unwrap();
        run.land();
        for step in &steps {
            run.step(step);
        }
        run.land();
    }
}
