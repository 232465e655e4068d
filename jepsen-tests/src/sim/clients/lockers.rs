//! Clients that write under locks. Each waits for a lock through changing nodes, writes under its token, sometimes for
//! longer than the lock is its own, and releases the lock or leaves it to expire.
//!
//! The checks of the log follow every entry meanwhile: see `rstmdb_sim::check::locks`. What a client is answered is
//! compared with the log here.

use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rstmdb::replica::{Done, Error, LockAttempt, Replied, Submission};
use rstmdb::server::testing::told;
use rstmdb_engine::fact::{Fence, Meta};
use rstmdb_engine::{
    AcquireLock, Command, LockCommand, LockReply, LockView, ReleaseLock, RenewLock, Reply,
};
use rstmdb_sim::check::said;
use rstmdb_sim::machines::TestMachine;
use rstmdb_sim::rng::Rng;
use rstmdb_sim::runtime::tasks;
use rstmdb_sim::trace;
use rstmdb_sim::world::World;

use super::create;

/// How many locks there are.
const LOCKS: u64 = 2;
/// A client asks through so many nodes for its lock, under one name.
const TRIES_MAX: u32 = 4;

/// A client that writes under locks.
pub struct Locker {
    world: Arc<World>,
    name: u64,
    rng: Rng,
    count: u64,
}

impl Locker {
    /// How many of them the run of a seed has.
    #[must_use]
    pub fn count(seed: u64) -> u64 {
        *Rng::new(seed ^ 0x10cc).pick(&[0, 0, 2, 4])
    }

    /// A client of this number.
    #[must_use]
    pub fn new(world: &Arc<World>, name: u64) -> Self {
        Self {
            rng: Rng::new(world.settings.seed ^ (0x10cc << 16) ^ name),
            world: world.clone(),
            name,
            count: 0,
        }
    }

    /// Works until `until`.
    pub async fn run(mut self, until: Duration) {
        while trace::now() < until && !trace::is_violated() {
            if let Some(lock) = self.acquire().await {
                self.work(lock).await;
            }
            let pause = Duration::from_millis(self.rng.below(100));
            SimRuntime::sleep(pause).await;
        }
    }

    fn node(&mut self) -> u64 {
        *self.rng.pick(&self.world.members())
    }

    /// Each attempt has the same owner: it finds its place again.
    async fn acquire(&mut self) -> Option<LockView> {
        self.count += 1;
        let acquire = AcquireLock {
            name: format!("lock-{}", self.rng.below(LOCKS)),
            owner: format!("owner-{}.{}", self.name, self.count),
            ttl_ms: self.rng.between(1_000, 1_500),
            wait_ms: Some(*self.rng.pick(&[0, 300, 2_000])),
        };
        for _ in 0..TRIES_MAX {
            let node = self.node();
            let outcome = wait_for(&self.world, node, acquire.clone()).await;
            self.world.observe_all();
            match outcome {
                Some(Ok(done)) => return self.granted(node, &acquire, done),
                Some(Err(Error::Refused(_))) => return None,
                _ => SimRuntime::sleep(Duration::from_millis(20)).await,
            }
        }
        None
    }

    /// What a client is told to hold was granted to it.
    fn granted(&self, node: u64, acquire: &AcquireLock, done: Done) -> Option<LockView> {
        let Replied::Here(Reply::Lock(LockReply::Held { lock, .. })) = done.reply else {
            let text = format!("{acquire:?} through node {node}: {:?}", done.reply);
            trace::violated("a client that asks for a lock is told who holds it", text);
            return None;
        };
        let chain = self.world.chain.lock();
        let owner = chain.facts().locks().granted_to(&lock.name, lock.token);
        if owner != Some(&acquire.owner) || *lock.owner != *acquire.owner {
            let text =
                format!("{acquire:?} through node {node} got {lock:?}, the log says {owner:?}");
            trace::violated("a lock is held by the owner that it was granted to", text);
        }
        trace::note(node, "locked", [chain.end(), lock.token]);
        Some(lock)
    }

    /// Writes under the lock, and renews it. A client that pauses for too long loses it.
    async fn work(&mut self, lock: LockView) {
        for number in 0..self.rng.between(1, 4) {
            if trace::is_violated() {
                return;
            }
            let pause = *self.rng.pick(&[1, 20, 200, 1_600]);
            SimRuntime::sleep(Duration::from_millis(pause)).await;
            let id = format!("under-{}-{}.{}.{number}", lock.name, self.name, self.count);
            self.write(&lock, id).await;
            if self.rng.percent(30) {
                let renew = LockCommand::Renew(RenewLock {
                    name: lock.name.to_string(),
                    token: lock.token,
                    ttl_ms: None,
                });
                self.ask(Command::Lock(renew), None).await;
            }
        }
        // Some clients die with their lock.
        if self.rng.percent(70) {
            let release = LockCommand::Release(ReleaseLock {
                name: lock.name.to_string(),
                token: lock.token,
            });
            self.ask(Command::Lock(release), None).await;
        }
    }

    /// A write under the lock: acknowledged, it is in the log, and refused, it is not.
    async fn write(&mut self, lock: &LockView, id: String) {
        let command = create(&id, TestMachine::Counter, false);
        let meta = Meta {
            fence: Some(Fence {
                lock: lock.name.to_string(),
                token: lock.token,
            }),
            ..said::of_command(&command).unwrap_or_default()
        };
        let outcome = self.ask(command, Some(meta)).await;
        self.world.observe_all();
        let chain = self.world.chain.lock();
        let written = chain.facts().offset_of(&id);
        let fits = match &outcome {
            Some(Ok(done)) => written.is_some() && written == done.offset,
            Some(Err(Error::Refused(_))) => written.is_none(),
            _ => true,
        };
        if !fits {
            let text =
                format!("{id} under {lock:?}: {outcome:?}, and the log has it at {written:?}");
            trace::violated("a write under a lock is what its client is told", text);
        }
    }

    /// Sends a command through some node, once.
    async fn ask(&mut self, command: Command, meta: Option<Meta>) -> Option<Result<Done, Error>> {
        let node = self.node();
        let replica = self.world.replica(node)?;
        let limit = self.world.settings.leader_wait * 4;
        let asking = tasks::spawn(node, async move {
            let submitted = replica.submit((command.clone(), meta), said::ACTOR.into());
            told(&command, submitted.await)
        });
        SimRuntime::timeout(limit, asking).await.ok()?.ok()
    }
}

/// Asks for a lock through a node. `None` if the node died, or did not answer in time.
async fn wait_for(
    world: &Arc<World>,
    node: u64,
    acquire: AcquireLock,
) -> Option<Result<Done, Error>> {
    let replica = world.replica(node)?;
    let wait = Duration::from_millis(acquire.wait_ms.unwrap_or_default());
    let limit = wait + world.settings.leader_wait * 4;
    let command = Command::Lock(LockCommand::Acquire(acquire.clone()));
    let asked = acquire.clone();
    let request = LockAttempt {
        acquire,
        meta: None,
        sent: Box::new(move |left_ms| {
            let again = LockCommand::Acquire(AcquireLock {
                wait_ms: Some(left_ms),
                ..asked.clone()
            });
            Submission::from(Command::Lock(again)).sent
        }),
    };
    let waiting = tasks::spawn(node, async move {
        let outcome = replica.acquire_lock(request, said::ACTOR.into()).await;
        told(&command, outcome)
    });
    SimRuntime::timeout(limit, waiting).await.ok()?.ok()
}
