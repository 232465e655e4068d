//! What any client was told so far: a linearizable read that begins later must not show less, whichever
//! node answers it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By instance, the highest offset of a change that somebody knows to have happened. Shared by all
/// connections of a run.
#[derive(Debug, Default)]
pub struct Told {
    offsets: Mutex<HashMap<String, u64>>,
}

impl Told {
    /// An answer says that the instance changed at this offset.
    pub fn raise(&self, instance: &str, offset: u64) {
        let mut offsets = self.lock();
        match offsets.get_mut(instance) {
            Some(known) => *known = offset.max(*known),
            None => {
                offsets.insert(instance.to_owned(), offset);
            }
        }
    }

    /// What a read that begins now has to show at least.
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
        let told = Told::default();
        assert_eq!(told.of("x"), 0);
        told.raise("x", 7);
        told.raise("x", 5);
        told.raise("y", 1);
        assert_eq!((told.of("x"), told.of("y")), (7, 1));
    }
}
