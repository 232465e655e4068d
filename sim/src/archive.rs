//! An archive that is slow, fails and lies, by a seed.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::type_config::TypeConfigExt;
use parking_lot::Mutex;
use rstmdb::replica::{Archive, ArchiveError};

use crate::Sim;
use crate::rng::Rng;

/// An archive in memory. It outlives the nodes.
#[derive(Debug)]
pub struct SimArchive {
    state: Mutex<SimStore>,
    /// The longest that a call takes.
    slowest: Duration,
}

#[derive(Debug)]
struct SimStore {
    objects: BTreeMap<String, Bytes>,
    rng: Rng,
    /// How many calls of 100 fail.
    fails_percent: u64,
    calls: u64,
}

impl SimArchive {
    /// An empty one.
    #[must_use]
    pub fn new(seed: u64, slowest: Duration, fails_percent: u64) -> Self {
        Self {
            state: Mutex::new(SimStore {
                objects: BTreeMap::new(),
                rng: Rng::new(seed),
                fails_percent,
                calls: 0,
            }),
            slowest,
        }
    }

    /// From now on so many calls of 100 fail.
    pub fn fail(&self, percent: u64) {
        self.state.lock().fails_percent = percent;
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// All objects.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.state.lock().objects.clone()
    }

    /// Replaces all objects.
    pub fn set(&self, objects: BTreeMap<String, Bytes>) {
        self.state.lock().objects = objects;
    }

    /// Waits for the time that the call takes, and returns how it ends.
    async fn call(&self) -> Result<(), ArchiveError> {
        let (delay, fails) = {
            let mut state = self.state.lock();
            state.calls += 1;
            let slowest = u64::try_from(self.slowest.as_micros()).unwrap_or_default();
            let delay = state.rng.below(slowest + 1);
            let percent = state.fails_percent;
            (delay, state.rng.below(100) < percent)
        };
        Sim::sleep(Duration::from_micros(delay)).await;
        match fails {
            true => Err(ArchiveError("the simulation says no".to_owned())),
            false => Ok(()),
        }
    }
}

impl Archive for SimArchive {
    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, ArchiveError>> {
        async move {
            self.call().await?;
            Ok(self.state.lock().objects.keys().cloned().collect())
        }
        .boxed()
    }

    fn put(&self, name: &str, object: Bytes) -> BoxFuture<'_, Result<(), ArchiveError>> {
        let name = name.to_owned();
        async move {
            let done = self.call().await;
            let mut state = self.state.lock();
            // A call that fails may have kept the object. A call that reports success may have kept half of it.
            let kept = match state.rng.below(100) {
                0..20 if state.fails_percent > 0 => object.slice(..object.len() / 2),
                _ => object,
            };
            if done.is_ok() || state.rng.below(2) == 0 {
                state.objects.insert(name, kept);
            }
            done
        }
        .boxed()
    }

    fn get(&self, name: &str, bytes_max: u64) -> BoxFuture<'_, Result<Bytes, ArchiveError>> {
        let name = name.to_owned();
        async move {
            self.call().await?;
            let state = self.state.lock();
            match state.objects.get(&name) {
                Some(object) if object.len() as u64 <= bytes_max => Ok(object.clone()),
                Some(_) => Err(ArchiveError(format!("{name} is too large"))),
                None => Err(ArchiveError(format!("there is no {name}"))),
            }
        }
        .boxed()
    }
}
