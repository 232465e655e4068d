//! The order that one connection is promised: requests that touch the same instance take effect
//! in the order they were sent.
//!
//! Writes are handed to the replica in the order they arrive and decided in that order, so writes
//! never wait for writes. What has to wait:
//!
//! | request | waits for |
//! |---|---|
//! | read | this connection's unfinished writes of what it reads |
//! | write | this connection's unfinished reads of what it writes |
//! | exclusive (a batch that mixes reads and writes; a write that touches everything) | both |
//!
//! and if a request waits, everything behind it that touches the same instances waits for it. Instances are known by a
//! hash: two that collide merely wait for each other. Only instances that are touched right now have an entry.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// Lanes up to which debug builds check the sums after every step.
const CHECKED_LANES_MAX: usize = 64;

/// What a request touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClaimTouch {
    /// Nothing that has an order.
    Nothing,
    /// The instance with this hash.
    Instance(u64),
    /// These; sorted, none twice.
    Instances(Box<[u64]>),
    /// Anything.
    Everything,
}

/// How a request touches an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It reads it.
    Read,
    /// It changes it by commands that are handed over at once.
    Write,
    /// It changes it by commands that are handed over in parts, or by one that others may pass.
    Exclusive,
}

/// What a request touches, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) touch: ClaimTouch,
    pub(crate) access: Access,
}

impl Claim {
    /// For requests that have no order.
    pub(crate) const FREE: Claim = Claim {
        touch: ClaimTouch::Nothing,
        access: Access::Read,
    };
}

#[derive(Debug, Default, Clone, Copy)]
struct UnfinishedRequests {
    reads: u32,
    writes: u32,
    exclusive: u32,
}

impl UnfinishedRequests {
    fn slot(&mut self, access: Access) -> &mut u32 {
        match access {
            Access::Read => &mut self.reads,
            Access::Write => &mut self.writes,
            Access::Exclusive => &mut self.exclusive,
        }
    }

    fn allows(&self, access: Access) -> bool {
        self.exclusive == 0
            && match access {
                Access::Read => self.writes == 0,
                Access::Write => self.reads == 0,
                Access::Exclusive => self.reads == 0 && self.writes == 0,
            }
    }

    fn is_empty(&self) -> bool {
        self.reads == 0 && self.writes == 0 && self.exclusive == 0
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct OrderLane {
    held: UnfinishedRequests,
    waiting: u32,
}

/// Takes an instance's hash as it is: hashing it once more would make nothing better.
#[derive(Debug, Default, Clone, Copy)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Lanes are u64; anything else is still told apart.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type ByHash = BuildHasherDefault<AsItIs>;

/// The unfinished and the waiting requests of one connection; `T` is what waits.
#[derive(Debug)]
pub(crate) struct Order<T> {
    lanes: HashMap<u64, OrderLane, ByHash>,
    /// Requests that touch everything.
    everything: OrderLane,
    /// All unfinished requests that touch anything.
    total: UnfinishedRequests,
    waiting: VecDeque<(Claim, T)>,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self {
            lanes: HashMap::default(),
            everything: OrderLane::default(),
            total: UnfinishedRequests::default(),
            waiting: VecDeque::new(),
        }
    }
}

impl<T> Order<T> {
    /// Whether a request that has just arrived may begin.
    pub(crate) fn allows(&self, claim: &Claim) -> bool {
        let nothing_waits = match &claim.touch {
            ClaimTouch::Nothing => true,
            ClaimTouch::Instance(hash) => {
                self.everything.waiting == 0 && self.lane(*hash).waiting == 0
            }
            ClaimTouch::Instances(hashes) => {
                self.everything.waiting == 0
                    && hashes.iter().all(|hash| self.lane(*hash).waiting == 0)
            }
            ClaimTouch::Everything => self.waiting.is_empty(),
        };
        nothing_waits && self.fits(claim)
    }

    /// A request has begun, and will not be finished at once.
    pub(crate) fn hold(&mut self, claim: &Claim) {
        self.count(claim, |held, access| *held.slot(access) += 1);
        self.check_invariants();
    }

    /// A held request has finished.
    pub(crate) fn release(&mut self, claim: &Claim) {
        self.count(claim, |held, access| *held.slot(access) -= 1);
        self.check_invariants();
    }

    /// A request has to wait.
    pub(crate) fn defer(&mut self, claim: Claim, item: T) {
        self.wait(&claim, |waiting| *waiting += 1);
        self.waiting.push_back((claim, item));
        self.check_invariants();
    }

    /// The next waiting request that may begin now; it no longer waits.
    pub(crate) fn pop_ready(&mut self) -> Option<(Claim, T)> {
        let mut ahead = HashSet::<u64, ByHash>::default();
        let mut everything_ahead = false;
        let position = self.waiting.iter().position(|(claim, _)| {
            let blocked = everything_ahead
                || match &claim.touch {
                    ClaimTouch::Nothing => false,
                    ClaimTouch::Instance(hash) => ahead.contains(hash),
                    ClaimTouch::Instances(hashes) => hashes.iter().any(|hash| ahead.contains(hash)),
                    ClaimTouch::Everything => !ahead.is_empty(),
                };
            if !blocked && self.fits(claim) {
                return true;
            }
            match &claim.touch {
                ClaimTouch::Nothing => {}
                ClaimTouch::Instance(hash) => {
                    ahead.insert(*hash);
                }
                ClaimTouch::Instances(hashes) => ahead.extend(hashes.iter().copied()),
                ClaimTouch::Everything => everything_ahead = true,
            }
            false
        })?;
        let (claim, item) = self.waiting.remove(position)?;
        self.wait(&claim, |waiting| *waiting -= 1);
        self.check_invariants();
        Some((claim, item))
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes out the waiting requests that `give_up` selects.
    pub(crate) fn give_up(&mut self, mut select: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut given_up = Vec::new();
        for (claim, item) in std::mem::take(&mut self.waiting) {
            if select(&item) {
                self.wait(&claim, |waiting| *waiting -= 1);
                given_up.push(item);
            } else {
                self.waiting.push_back((claim, item));
            }
        }
        self.check_invariants();
        given_up
    }

    /// The waiting requests.
    pub(crate) fn iter_waiting(&self) -> impl Iterator<Item = &T> {
        self.waiting.iter().map(|(_, item)| item)
    }

    /// What must hold between any two calls, for any requests. The sums are checked while there are few lanes.
    fn check_invariants(&self) {
        if !cfg!(debug_assertions) || self.lanes.len() > CHECKED_LANES_MAX {
            return;
        }
        let (total, everything) = (&self.total, &self.everything);
        let lanes = || self.lanes.values();
        debug_assert!(
            lanes().all(|lane| lane.waiting > 0 || !lane.held.is_empty()),
            "an instance has an entry that no request touches"
        );
        for (all, of) in [
            (
                total.reads,
                (|held| held.reads) as fn(&UnfinishedRequests) -> u32,
            ),
            (total.writes, |held| held.writes),
            (total.exclusive, |held| held.exclusive),
        ] {
            debug_assert!(
                lanes().all(|lane| of(&lane.held) + of(&everything.held) <= all),
                "an unfinished request is not counted among all"
            );
        }
        let waiting = self.waiting.len();
        debug_assert!(
            lanes().all(|lane| (lane.waiting + everything.waiting) as usize <= waiting),
            "a request is counted that no longer waits"
        );
        debug_assert!(
            !total.is_empty() || lanes().all(|lane| lane.held.is_empty()),
            "an instance is held by a request that is finished"
        );
    }

    fn lane(&self, hash: u64) -> OrderLane {
        self.lanes.get(&hash).copied().unwrap_or_default()
    }

    fn fits(&self, claim: &Claim) -> bool {
        let fits_lane = |hash: &u64| self.lane(*hash).held.allows(claim.access);
        match &claim.touch {
            ClaimTouch::Nothing => true,
            ClaimTouch::Instance(hash) => {
                self.everything.held.allows(claim.access) && fits_lane(hash)
            }
            ClaimTouch::Instances(hashes) => {
                self.everything.held.allows(claim.access) && hashes.iter().all(fits_lane)
            }
            ClaimTouch::Everything => self.total.allows(claim.access),
        }
    }

    fn count(&mut self, claim: &Claim, change: impl Fn(&mut UnfinishedRequests, Access)) {
        if claim.touch == ClaimTouch::Nothing {
            return;
        }
        change(&mut self.total, claim.access);
        self.each_lane(claim, |lane| change(&mut lane.held, claim.access));
    }

    fn wait(&mut self, claim: &Claim, change: impl Fn(&mut u32)) {
        self.each_lane(claim, |lane| change(&mut lane.waiting));
    }

    fn each_lane(&mut self, claim: &Claim, mut change: impl FnMut(&mut OrderLane)) {
        let hashes = match &claim.touch {
            ClaimTouch::Nothing => return,
            ClaimTouch::Instance(hash) => std::slice::from_ref(hash),
            ClaimTouch::Instances(hashes) => hashes,
            ClaimTouch::Everything => return change(&mut self.everything),
        };
        for hash in hashes {
            let lane = self.lanes.entry(*hash).or_default();
            change(lane);
            if lane.waiting == 0 && lane.held.is_empty() {
                self.lanes.remove(hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn claim(hash: u64, access: Access) -> Claim {
        Claim {
            touch: ClaimTouch::Instance(hash),
            access,
        }
    }

    fn all(access: Access) -> Claim {
        Claim {
            touch: ClaimTouch::Everything,
            access,
        }
    }

    /// Begins what may begin, lets the rest wait; answers whether it began.
    fn arrive(order: &mut Order<&'static str>, claim: Claim, name: &'static str) -> bool {
        if order.allows(&claim) {
            order.hold(&claim);
            return true;
        }
        order.defer(claim, name);
        false
    }

    fn begin_ready(order: &mut Order<&'static str>) -> Vec<&'static str> {
        let mut names = Vec::new();
        while let Some((claim, name)) = order.pop_ready() {
            order.hold(&claim);
            names.push(name);
        }
        names
    }

    #[test]
    fn writes_of_one_instance_pipeline() {
        let mut order = Order::default();
        for _ in 0..3 {
            assert!(arrive(&mut order, claim(1, Access::Write), "w"));
        }
    }

    #[test]
    fn a_read_waits_for_the_writes_before_it_and_a_write_for_the_reads_before_it() {
        let mut order = Order::default();
        assert!(arrive(&mut order, claim(1, Access::Write), "w1"));
        assert!(!arrive(&mut order, claim(1, Access::Read), "r1"));
        assert!(!arrive(&mut order, claim(1, Access::Write), "w2"));
        assert!(!arrive(&mut order, claim(1, Access::Read), "r2"));
        assert!(arrive(&mut order, claim(2, Access::Read), "other"));
        assert!(begin_ready(&mut order).is_empty());
        order.release(&claim(1, Access::Write));
        assert_eq!(begin_ready(&mut order), ["r1"]);
        order.release(&claim(1, Access::Read));
        assert_eq!(begin_ready(&mut order), ["w2"]);
        order.release(&claim(1, Access::Write));
        assert_eq!(begin_ready(&mut order), ["r2"]);
        order.release(&claim(1, Access::Read));
        order.release(&claim(2, Access::Read));
        assert!(order.lanes.is_empty(), "{order:?}");
        assert!(order.total.is_empty());
    }

    #[test]
    fn a_listing_waits_for_every_write_and_holds_up_later_ones() {
        let mut order = Order::default();
        assert!(arrive(&mut order, claim(1, Access::Write), "w1"));
        assert!(!arrive(&mut order, all(Access::Read), "list"));
        assert!(!arrive(&mut order, claim(2, Access::Write), "w2"));
        order.release(&claim(1, Access::Write));
        assert_eq!(begin_ready(&mut order), ["list"]);
        assert!(!arrive(&mut order, claim(3, Access::Write), "w3"));
        assert!(arrive(&mut order, claim(3, Access::Read), "r3") || order.waiting() == 3);
        order.release(&all(Access::Read));
        assert_eq!(begin_ready(&mut order)[0], "w2");
    }

    #[test]
    fn an_exclusive_batch_waits_for_both_and_is_waited_for_by_both() {
        let mut order = Order::default();
        let batch = Claim {
            touch: ClaimTouch::Instances(Box::new([1, 2])),
            access: Access::Exclusive,
        };
        assert!(arrive(&mut order, claim(1, Access::Write), "w1"));
        assert!(arrive(&mut order, claim(2, Access::Read), "r2"));
        assert!(!arrive(&mut order, batch.clone(), "batch"));
        order.release(&claim(1, Access::Write));
        assert!(begin_ready(&mut order).is_empty());
        order.release(&claim(2, Access::Read));
        assert_eq!(begin_ready(&mut order), ["batch"]);
        assert!(!arrive(&mut order, claim(1, Access::Write), "w"));
        assert!(!arrive(&mut order, claim(2, Access::Read), "r"));
        assert!(arrive(&mut order, claim(3, Access::Write), "w3"));
        order.release(&batch);
        assert_eq!(begin_ready(&mut order), ["w", "r"]);
    }

    #[test]
    fn giving_up_frees_those_behind() {
        let mut order = Order::default();
        assert!(arrive(&mut order, claim(1, Access::Read), "r"));
        assert!(!arrive(&mut order, claim(1, Access::Write), "late"));
        assert!(!arrive(&mut order, claim(1, Access::Read), "behind"));
        assert_eq!(order.give_up(|name| *name == "late"), ["late"]);
        assert_eq!(begin_ready(&mut order), ["behind"]);
    }
}
