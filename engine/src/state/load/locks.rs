//! The locks in a snapshot.

use std::sync::Arc;

use super::StateLoader;
use super::proto;
use crate::state::locks::{HeldLock, QueuedOwner, WaitQueue};

impl StateLoader {
    pub(super) fn lock(&mut self, message: proto::Lock) -> Result<(), String> {
        let name = message.name;
        if self.state.locks.get(&name).is_some() {
            return Err(format!("lock {name:?} is there twice"));
        }
        self.check_offset(message.last_offset)?;
        let places = message.waiters.windows(2);
        let ascend = places.into_iter().all(|it| it[0].place < it[1].place);
        let last_place = message.waiters.last().map_or(0, |waiter| waiter.place);
        if !ascend || message.token.max(last_place) > message.last_offset {
            return Err(format!(
                "the places at lock {name:?} do not ascend, or are behind its last change"
            ));
        }
        let mut waiters = WaitQueue::default();
        for waiter in message.waiters {
            let of_place = QueuedOwner {
                owner: Arc::from(waiter.owner),
                ttl_ms: waiter.ttl_ms,
                until_ms: waiter.until_ms,
            };
            if waiters.place_of(&of_place.owner).is_some() {
                return Err(format!("an owner has two places at lock {name:?}"));
            }
            waiters.insert(waiter.place, of_place);
        }
        let lock = HeldLock {
            name: Arc::from(name.as_str()),
            last_offset: message.last_offset,
            owner: Arc::from(message.owner),
            token: message.token,
            expires_ms: message.expires_ms,
            ttl_ms: message.ttl_ms,
            waiters,
        };
        if let (_, Some(digest)) = self.state.locks.put(&name, Some(lock)) {
            self.state.add_digest(digest);
        }
        Ok(())
    }
}
