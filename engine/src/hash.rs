//! A seedless hasher for the maps inside a machine and an overlay.

use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A map without a random seed; it is never iterated.
pub(crate) type Map<K, V> = hashbrown::HashMap<K, V, BuildHasherDefault<Xxh3>>;

#[derive(Default)]
pub(crate) struct Xxh3(u64);

impl Hasher for Xxh3 {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
