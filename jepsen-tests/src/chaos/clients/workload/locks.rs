//! Clients that write under locks. Each acquires a lock, writes under its token through changing nodes, renews the lock, and
//! releases it or leaves it to expire. Some pause for longer than they hold the lock, and then write as if they held it.
//!
//! Each event has the lock and the token in its payload, so that the checker finds in the log under which token it was
//! sent, whatever the log says of its fence.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SHARED_INSTANCES, WorkloadStep};
use crate::Error;
use crate::chaos::check::truth::LEDGER;
use crate::chaos::clients::client::{ChaosClient, ClientsShared, SUITE};
use crate::chaos::history::{RequestOutcome, Workload};
use crate::harness::rng::Rng;
use crate::harness::wait::within;

/// Few, so that clients meet.
const LOCKS: u64 = 2;
/// For how long a lock is held without a renewal, in milliseconds: at least, and at most.
const TTL_MS: (u64, u64) = (1_000, 1_500);
/// For how long a client waits for a lock, in milliseconds. Less than it waits for an answer.
const WAITS_MS: [u64; 4] = [0, 0, 300, 1_500];
/// So often a client asks for one lock under one name, if it does not learn whether it has it.
const TRIES_MAX: u32 = 4;
/// So often a client sends a write with a key, if it does not learn whether it was done.
const ATTEMPTS_MAX: u32 = 3;
/// A client remembers so many locks that it has lost.
const LOST_MAX: usize = 8;
/// The pause before the next attempt, if the cluster knows no locks yet.
const LEVEL_PAUSE: Duration = Duration::from_millis(300);
/// How long a healthy cluster may take until no lock is held any more.
const FREE_WITHIN: Duration = Duration::from_secs(30);

/// A lock that a client holds, or has held.
#[derive(Debug, Clone)]
struct OwnLock {
    number: u64,
    owner: String,
    token: u64,
    ttl_ms: u64,
}

/// What a client has done so far.
#[derive(Debug, Default)]
pub struct LockClient {
    /// How often it was an owner.
    owners: u64,
    sent: u64,
    held: Option<OwnLock>,
    /// What it holds no longer, as far as it knows.
    lost: Vec<OwnLock>,
}

impl WorkloadStep for LockClient {
    fn step(&mut self, client: &mut ChaosClient) {
        if let Some(own) = self.held.clone() {
            return self.work(client, &own);
        }
        match client.rng.below(100) {
            0..10 => look(client),
            // As a process does that has not learned yet that it has lost its lock.
            10..25 if !self.lost.is_empty() => {
                let own = client.rng.pick(&self.lost).clone();
                match client.rng.below(4) {
                    0 => drop(client.call("LOCK_RENEW", own.named())),
                    1 => drop(client.call("LOCK_RELEASE", own.named())),
                    _ => self.write(client, &own),
                }
            }
            _ => self.acquire(client),
        }
    }
}

impl OwnLock {
    fn name(&self) -> String {
        lock(self.number)
    }

    fn named(&self) -> Value {
        json!({"name": self.name(), "token": self.token})
    }

    fn fence(&self) -> Value {
        json!({"lock": self.name(), "token": self.token})
    }
}

impl LockClient {
    /// Asks until it is clear whether it has the lock, each time as the same owner.
    fn acquire(&mut self, client: &mut ChaosClient) {
        self.owners += 1;
        let number = client.rng.below(LOCKS);
        let owner = format!("l{}.{}", client.number, self.owners);
        let ttl_ms = client.rng.between(TTL_MS.0, TTL_MS.1);
        let wait_ms = *client.rng.pick(&WAITS_MS);
        let mut params = json!({"name": lock(number), "owner": owner, "ttl_ms": ttl_ms});
        if wait_ms > 0 {
            params["wait_ms"] = json!(wait_ms);
        }
        for _ in 0..TRIES_MAX {
            match client.call("LOCK_ACQUIRE", params.clone()) {
                Some(RequestOutcome::Unknown { .. }) => {}
                Some(RequestOutcome::Ok(result)) => {
                    self.held = result["token"].as_u64().map(|token| OwnLock {
                        number,
                        owner,
                        token,
                        ttl_ms,
                    });
                    return;
                }
                Some(RequestOutcome::Refused { code, .. }) if code == "FEATURE_LEVEL" => {
                    std::thread::sleep(LEVEL_PAUSE);
                    return;
                }
                Some(RequestOutcome::Refused { .. }) | None => return,
            }
        }
    }

    /// One step of a client that holds a lock, as far as it knows.
    fn work(&mut self, client: &mut ChaosClient, own: &OwnLock) {
        match client.rng.below(100) {
            0..50 => self.write(client, own),
            50..60 => {
                let renewed = client.call("LOCK_RENEW", own.named());
                self.learn(own, renewed.as_ref());
            }
            60..65 => {
                let again = json!({
                    "name": own.name(), "owner": own.owner, "ttl_ms": own.ttl_ms,
                });
                // If another owner has it meanwhile, this one is refused. If nobody has, it gets a new token.
                match client.call("LOCK_ACQUIRE", again) {
                    Some(RequestOutcome::Ok(result)) if result["token"] == own.token => {}
                    Some(RequestOutcome::Unknown { .. }) | None => {}
                    Some(_) => self.lose(own),
                }
            }
            // The client is paused for longer than it holds the lock. It has not noticed.
            65..77 => {
                let pause_ms = own.ttl_ms + client.rng.below(400);
                std::thread::sleep(Duration::from_millis(pause_ms));
                self.write(client, own);
            }
            77..92 => {
                client.call("LOCK_RELEASE", own.named());
                self.lose(own);
                if client.rng.percent(40) {
                    self.write(client, own);
                }
            }
            // The client dies with its lock.
            92..96 => self.lose(own),
            _ => look(client),
        }
    }

    /// A write under a lock: an event, or two in one batch. Some have a key, and are sent until answered.
    fn write(&mut self, client: &mut ChaosClient, own: &OwnLock) {
        let ledgers = (SHARED_INSTANCES - own.number).div_ceil(LOCKS);
        let first = client.rng.below(ledgers);
        let (op, mut params) = match client.rng.percent(80) {
            true => ("APPLY_EVENT", self.event(client, own, first)),
            false => {
                // Of two instances: the checkers know one version of an instance at an offset.
                let mut ops = Vec::new();
                for at in [first, (first + 1) % ledgers] {
                    let params = self.event(client, own, at);
                    ops.push(json!({"op": "APPLY_EVENT", "params": params}));
                }
                ("BATCH", json!({"mode": "atomic", "ops": ops}))
            }
        };
        params["fence"] = own.fence();
        let keyed = op == "APPLY_EVENT" && client.rng.percent(30);
        if keyed {
            params["idempotency_key"] = params["event_id"].clone();
        }
        for _ in 0..if keyed { ATTEMPTS_MAX } else { 1 } {
            let outcome = client.call(op, params.clone());
            self.learn(own, outcome.as_ref());
            if !matches!(outcome, Some(RequestOutcome::Unknown { .. })) {
                return;
            }
        }
    }

    fn event(&mut self, client: &ChaosClient, own: &OwnLock, at: u64) -> Value {
        self.sent += 1;
        let tag = format!("l{}-{}", client.number, self.sent);
        json!({
            "instance_id": ledger(own.number, at), "event": "SET", "event_id": tag,
            "payload": {"lock": own.name(), "token": own.token, "by": tag},
        })
    }

    /// The client is told that it does not hold the lock any more.
    fn learn(&mut self, own: &OwnLock, outcome: Option<&RequestOutcome>) {
        if let Some(RequestOutcome::Refused { code, .. }) = outcome
            && code == "LOCK_LOST"
        {
            self.lose(own);
        }
    }

    fn lose(&mut self, own: &OwnLock) {
        let held = self.held.take_if(|held| held.token == own.token);
        self.lost.extend(held);
        if self.lost.len() > LOST_MAX {
            self.lost.remove(0);
        }
    }
}

fn lock(number: u64) -> String {
    format!("lock-{number}")
}

/// One of the instances that this lock protects, from 0.
fn ledger(number: u64, at: u64) -> String {
    format!("{LEDGER}-{}", number + LOCKS * at)
}

/// Reads what everyone may read.
fn look(client: &mut ChaosClient) {
    let number = client.rng.below(LOCKS);
    match client.rng.below(3) {
        0 => drop(client.call("LOCK_GET", json!({"name": lock(number)}))),
        1 => drop(client.call("LOCK_LIST", json!({"prefix": "lock-"}))),
        _ => {
            let ledgers = (SHARED_INSTANCES - number).div_ceil(LOCKS);
            let id = ledger(number, client.rng.below(ledgers));
            client.call("GET_INSTANCE", json!({"instance_id": id}));
        }
    }
}

/// Releases every lock, also those of owners that have waited and are gone, so that nothing expires any more.
///
/// # Errors
/// When the cluster does not do it in time.
pub fn rest(shared: &ClientsShared, rng: &mut Rng) -> Result<(), Error> {
    let mut client = ChaosClient::new(SUITE, Workload::Lock, rng.fork(), shared);
    within(FREE_WITHIN, || {
        let listed = match client.call("LOCK_LIST", json!({})) {
            Some(RequestOutcome::Ok(listed)) => listed,
            Some(RequestOutcome::Refused { code, .. }) if code == "FEATURE_LEVEL" => return Ok(()),
            other => return Err(format!("locks are not listed: {other:?}")),
        };
        let held = listed["locks"].as_array().map_or(&[][..], Vec::as_slice);
        for lock in held {
            let release = json!({"name": lock["name"], "token": lock["token"]});
            client.call("LOCK_RELEASE", release);
        }
        match held.is_empty() {
            true => Ok(()),
            false => Err(format!("locks are held: {listed}")),
        }
    })
}
