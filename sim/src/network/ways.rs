//! The ways between nodes, each in one direction: how long bytes are under way, and whether they get through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::rng::Rng;
use crate::settings::Settings;
use crate::trace;

/// From one node to another.
pub type Way = (u64, u64);

/// The longest time until TCP sends lost bytes again, on a way that loses hardly anything.
const RETRANSMISSION_MAX: Duration = Duration::from_millis(200);

/// The calls that carry entries.
const ENTRIES: &str = "/StreamAppend";

struct WaysState {
    rng: Rng,
    latency: [Duration; 2],
    loss_permille: u64,
    cut: BTreeSet<Way>,
    /// The ways on which something between the nodes refuses connections, although both nodes run.
    rejecting: BTreeSet<Way>,
    /// The extra delay.
    slow: BTreeMap<Way, Duration>,
    /// Bytes a second of each connection.
    narrow: BTreeMap<Way, u64>,
    /// The calls whose bytes do not arrive, by the end of their names.
    muted: BTreeSet<(Way, &'static str)>,
    /// When a way that was cut or slow became whole again.
    healed: BTreeMap<Way, Duration>,
}

/// All ways; clones are the same.
#[derive(Clone)]
pub struct Ways {
    state: Arc<Mutex<WaysState>>,
    changed: Arc<Notify>,
}

/// What becomes of a piece of data.
#[derive(Debug, Clone, Copy)]
pub enum DataFate {
    /// It arrives after this time.
    Arrives(Duration),
    /// The connection is reset after this time.
    Resets(Duration),
}

impl Ways {
    pub(super) fn new(settings: &Settings) -> Self {
        let state = WaysState {
            rng: Rng::new(settings.seed ^ 0x4e7),
            latency: settings.latency,
            loss_permille: settings.loss_permille,
            cut: BTreeSet::new(),
            rejecting: BTreeSet::new(),
            slow: BTreeMap::new(),
            narrow: BTreeMap::new(),
            muted: BTreeSet::new(),
            healed: BTreeMap::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: Arc::default(),
        }
    }

    /// Cuts a way: what is sent waits until the way is healed, or the connection is given up.
    pub fn cut(&self, from: u64, to: u64) {
        self.state.lock().cut.insert((from, to));
    }

    /// From now on connections between two nodes are refused, in both directions, as a firewall does that resets them.
    pub(super) fn reject(&self, one: u64, other: u64) {
        let mut state = self.state.lock();
        state.rejecting.extend([(one, other), (other, one)]);
    }

    /// Whether connections on this way are refused although both nodes run.
    pub(super) fn rejects(&self, from: u64, to: u64) -> bool {
        self.state.lock().rejecting.contains(&(from, to))
    }

    /// Makes a way slow.
    pub fn slow(&self, from: u64, to: u64, more: Duration) {
        self.state.lock().slow.insert((from, to), more);
    }

    /// From now on each connection carries so many bytes a second in this direction.
    pub fn narrow(&self, from: u64, to: u64, bytes_per_second: u64) {
        let mut state = self.state.lock();
        state.narrow.insert((from, to), bytes_per_second.max(1));
    }

    /// From now on the bytes of calls with this name do not get from one node to the other, whether they belong to a
    /// request or to an answer. Other calls pass.
    pub fn mute(&self, from: u64, to: u64, call: &'static str) {
        self.state.lock().muted.insert(((from, to), call));
    }

    /// From now on entries do not get from one node to another; heartbeats and everything else do.
    pub fn lose_entries(&self, from: u64, to: u64) {
        self.mute(from, to, ENTRIES);
    }

    /// All ways are whole, wide and fast again.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let ways = state.cut.iter().chain(&state.rejecting);
        let ways = ways.chain(state.slow.keys());
        state.healed.extend(ways.map(|way| (*way, trace::now())));
        state.cut.clear();
        state.rejecting.clear();
        state.slow.clear();
        state.narrow.clear();
        state.muted.clear();
        self.changed.notify_waiters();
    }

    /// From now on nothing gets lost.
    pub fn calm(&self) {
        self.state.lock().loss_permille = 0;
    }

    /// Whether a way is cut.
    #[must_use]
    pub fn is_cut(&self, from: u64, to: u64) -> bool {
        let state = self.state.lock();
        state.cut.contains(&(from, to)) || state.rejecting.contains(&(from, to))
    }

    /// Since when a way is neither cut nor slow; never while it is.
    #[must_use]
    pub fn whole_since(&self, from: u64, to: u64) -> Option<Duration> {
        let state = self.state.lock();
        let way = (from, to);
        let is_whole = !state.cut.contains(&way)
            && !state.rejecting.contains(&way)
            && !state.slow.contains_key(&way);
        is_whole.then(|| state.healed.get(&way).copied().unwrap_or_default())
    }

    /// How long something small is under way.
    pub(super) fn delay(&self, way: Way) -> Duration {
        self.state.lock().delay(way)
    }

    /// Returns once something small has gone to a node and an answer has come back.
    pub(super) async fn round_trip(&self, from: u64, to: u64) {
        for way in [(from, to), (to, from)] {
            SimRuntime::sleep(self.delay(way)).await;
            self.passes(way, "").await;
        }
    }

    /// What becomes of the next piece of data. Half of what is lost is sent again. The rest stands for a connection
    /// that breaks.
    pub(super) fn fate(&self, way: Way) -> DataFate {
        let mut state = self.state.lock();
        let delay = state.delay(way);
        let permille = state.loss_permille;
        if permille == 0 || state.rng.below(1000) >= permille {
            return DataFate::Arrives(delay);
        }
        match state.rng.percent(50) {
            true => DataFate::Arrives(delay + state.retransmission()),
            false => DataFate::Resets(delay),
        }
    }

    /// How long so many bytes take on a narrow way; no time on others.
    pub(super) fn width_delay(&self, way: Way, bytes: usize) -> Duration {
        let rate = self.state.lock().narrow.get(&way).copied();
        rate.map_or(Duration::ZERO, |rate| {
            Duration::from_micros(bytes as u64 * 1_000_000 / rate)
        })
    }

    /// Waits until bytes of this call get through. Returns at once if they do now.
    pub(super) async fn passes(&self, way: Way, call: &str) {
        let mut has_waited = false;
        loop {
            let changed = self.changed.notified();
            if !self.state.lock().stops(way, call) {
                break;
            }
            changed.await;
            has_waited = true;
        }
        if has_waited {
            let pause = self.state.lock().retransmission();
            SimRuntime::sleep(pause).await;
        }
    }
}

impl WaysState {
    fn stops(&self, way: Way, call: &str) -> bool {
        let mut muted = self.muted.iter();
        self.cut.contains(&way) || muted.any(|(muted, name)| *muted == way && call.ends_with(name))
    }

    fn delay(&mut self, way: Way) -> Duration {
        let [least, more] = self.latency;
        let more = u64::try_from(more.as_micros()).unwrap_or_default();
        let jitter = match more {
            0 => 0,
            // Most messages are fast; a few take the whole time.
            more if self.rng.percent(10) => self.rng.below(more),
            more => self.rng.below(more / 10 + 1),
        };
        let slow = self.slow.get(&way).copied().unwrap_or_default();
        least + slow + Duration::from_micros(jitter)
    }

    fn retransmission(&mut self) -> Duration {
        let max = u64::try_from(RETRANSMISSION_MAX.as_micros()).unwrap_or_default();
        Duration::from_micros(self.rng.below(max))
    }
}
