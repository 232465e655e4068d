//! The changes that clients know of: a linearizable read that begins later must not show less, on any node.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By instance, the highest offset of a change that an answer has shown. All connections of a run share it.
#[derive(Debug, Default)]
pub struct KnownOffsets {
    offsets: Mutex<HashMap<String, u64>>,
}

impl KnownOffsets {
    /// An answer says that the instance changed at this offset.
    pub fn raise(&self, instance: &str, offset: u64) {
        let mut offsets = self.lock();
        match offsets.get_mut(instance) {
            Some(highest) => *highest = offset.max(*highest),
            None => {
                offsets.insert(instance.to_owned(), offset);
            }
        }
    }

    /// The lowest offset that a read which begins now must show.
    pub fn of(&self, instance: &str) -> u64 {
        self.lock().get(instance).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_only_rises() {
        let known = KnownOffsets::default();
        assert_eq!(known.of("x"), 0);
        known.raise("x", 7);
        known.raise("x", 5);
        known.raise("y", 1);
        assert_eq!((known.of("x"), known.of("y")), (7, 1));
    }
}
