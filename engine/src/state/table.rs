//! A hash table in shards behind reference counts, copied on write.
//!
//! Cloning copies one pointer. The first write to a shard after that copies the shard (a few hundred
//! pointers). So an apply never waits long while a snapshot is being written.

use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use xxhash_rust::xxh3::xxh3_64;

/// Not a power of two: tables double, and a round number of items must not find all shards just
/// beyond a doubling. At a million items these are filled to 76 % (4096 shards: to 48 %).
const SHARDS: usize = 5120;

/// An item that is found by a part of itself.
pub(crate) trait Keyed: Clone {
    fn key(&self) -> &[u8];
}

impl<T: Keyed> Keyed for Arc<T> {
    fn key(&self) -> &[u8] {
        (**self).key()
    }
}

#[derive(Clone)]
pub(crate) struct Table<T> {
    shards: Arc<Vec<Arc<HashTable<T>>>>,
    len: usize,
}

impl<T: Keyed> Table<T> {
    pub(crate) fn new() -> Self {
        // All shards share one empty table until they are written.
        let empty = Arc::new(HashTable::new());
        Self {
            shards: Arc::new(vec![empty; SHARDS]),
            len: 0,
        }
    }

    /// Room for this many, so that filling it moves nothing.
    pub(crate) fn with_capacity(items: usize) -> Self {
        // Hashes spread like dice: two standard deviations are enough for nearly all shards.
        let mean = items / SHARDS;
        let room = mean + 2 * mean.isqrt();
        if room == 0 {
            return Self::new();
        }
        let shards = (0..SHARDS).map(|_| Arc::new(HashTable::with_capacity(room)));
        Self {
            shards: Arc::new(shards.collect()),
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&T> {
        let hash = xxh3_64(key);
        self.shards[shard_of(hash)].find(hash, |item| item.key() == key)
    }

    /// Puts the item in place of the one with the same key, which is returned.
    pub(crate) fn insert(&mut self, item: T) -> Option<T> {
        let hash = xxh3_64(item.key());
        match self.shard_mut(hash).entry(
            hash,
            |other| other.key() == item.key(),
            |other| xxh3_64(other.key()),
        ) {
            Entry::Occupied(mut entry) => Some(std::mem::replace(entry.get_mut(), item)),
            Entry::Vacant(entry) => {
                entry.insert(item);
                self.len += 1;
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<T> {
        let hash = xxh3_64(key);
        let removed = self
            .shard_mut(hash)
            .find_entry(hash, |item| item.key() == key)
            .ok()?
            .remove()
            .0;
        self.len -= 1;
        Some(removed)
    }

    /// All items, in no defined order. Only for uses that do not depend on the order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    fn shard_mut(&mut self, hash: u64) -> &mut HashTable<T> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.shards)[shard_of(hash)])
    }
}

/// Bits that the table inside the shard does not use for its own slots and tags.
fn shard_of(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

#[cfg(test)]
mod tests;
