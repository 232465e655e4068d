//! Waiting for a lock. The queue is a part of the replicated state, so no leader and no node can lose it. The node that
//! has the client's connection waits here: it looks at the facts that it applies, and asks again for its client. So the
//! client learns that it has the lock, whichever node leads. At the end of the wait the node asks once more without
//! waiting, which gives the place up. If the node or the connection is gone, no node asks for the owner any more, and
//! the owner loses its place after a while: it may be on its way to another node.

use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use rstmdb_engine::fact::Meta;
use rstmdb_engine::{AcquireLock, Command, LockCommand, LockReply, LockTurn, Reply};
use serde::Deserialize;

use super::Replica;
use crate::replica::error::Error;
use crate::replica::parts::answer::Done;
use crate::replica::parts::replied::Replied;
use crate::replica::peers::calls::{Caller, ClientRequest};
use crate::replica::types::Types;
use crate::replica::write::request::Submission;

/// After this time a node asks again for an owner that waits. A place in the queue lasts three times as long, so a
/// change of the leader costs no owner its place.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// The shortest time between two looks at the lock.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Interval between checks whether a leader is known.
const LEADER_INTERVAL: Duration = Duration::from_secs(1);

/// A request for a lock whose client waits.
pub struct LockAttempt {
    /// What the client asks for.
    pub acquire: AcquireLock,
    /// What the client says about it.
    pub meta: Option<Box<Meta>>,
    /// The request as another node gets it if that one leads, by the `wait_ms` that is left.
    pub sent: Box<dyn Fn(u64) -> ClientRequest + Send + Sync>,
}

/// The result of a request that has to wait, as the leader has written it.
#[derive(Deserialize)]
struct PlaceInQueue {
    place: Option<u64>,
}

impl<T: Types> Replica<T> {
    /// Acquires a lock, and waits in its queue for as long as the client does. Dropping the future gives up the answer;
    /// the place in the queue is then lost after a while, and so is a lock that was granted meanwhile.
    ///
    /// # Errors
    ///
    /// A refusal if the lock is held by another owner at the end; those of [`Replica::submit`], at once.
    pub async fn acquire_lock(&self, asked: LockAttempt, caller: Caller) -> Result<Done, Error> {
        let wait_ms = asked.acquire.wait_ms.unwrap_or_default();
        let until = T::now() + Duration::from_millis(wait_ms);
        loop {
            let now = T::now();
            let left = if now < until {
                until - now
            } else {
                Duration::ZERO
            };
            let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            let submission = Submission {
                command: Command::Lock(LockCommand::Acquire(AcquireLock {
                    wait_ms: Some(left_ms),
                    ..asked.acquire.clone()
                })),
                meta: asked.meta.clone(),
                sent: (asked.sent)(left_ms),
                // It may be submitted many times. Its record has only the whole.
                trace: None,
            };
            let done = self.submit(submission, caller.clone()).await?;
            let Some(place) = place_in(&done.reply) else {
                return Ok(done);
            };
            let known_from = place.max(done.offset.unwrap_or_default());
            self.wait_for_turn(&asked.acquire, known_from, left.min(ASK_AGAIN))
                .await;
        }
    }

    /// Returns once the owner may not have to wait any more, or it is time to ask again.
    async fn wait_for_turn(&self, acquire: &AcquireLock, known_from: u64, most: Duration) {
        let applied = &self.parts.log.applied;
        let neighbours = &self.parts.neighbours;
        let again_at = T::now() + most;
        loop {
            let seen = applied.offset();
            let turn = applied.read().lock_turn(&acquire.name, &acquire.owner);
            // This node may not have applied yet that the owner waits.
            if turn != LockTurn::Waits && known_from <= seen {
                return;
            }
            let now = T::now();
            if again_at <= now {
                return;
            }
            let tick = (again_at - now).min(LEADER_INTERVAL);
            tokio::select! {
                biased;
                () = applied.wait_for(seen + 1) => T::sleep(LOOK_INTERVAL).await,
                () = T::sleep(tick) => {}
            }
            // A client of a node that is cut off must learn that soon, and ask another one.
            if !neighbours.is_leader() && neighbours.leader().is_none() {
                return;
            }
        }
    }
}

/// The place in the queue, if the owner has to wait.
fn place_in(reply: &Replied) -> Option<u64> {
    match reply {
        Replied::Here(Reply::Lock(LockReply::Waits { place, .. })) => Some(*place),
        Replied::Here(_) => None,
        Replied::ByLeader(relayed) => {
            let text = relayed.pieces().collect::<Vec<_>>().concat();
            let waits: PlaceInQueue = serde_json::from_slice(&text).ok()?;
            waits.place
        }
    }
}
