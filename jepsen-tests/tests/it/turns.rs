//! Which tests may run at the same time.
//!
//! Each test begins by taking a turn. The kind of the turn says which tests may run beside it. All turns come from one
//! counter of this process, so any number of test threads is right: with more threads, more tests wait.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many units all turns have together: two heavy tests and two light ones, or eight light ones.
const UNITS: usize = 8;
const LIGHT: usize = 1;
const HEAVY: usize = 3;

/// The kinds, in the order in which they go first. Heavy tests are first, because a long test that begins late prolongs
/// the run. A test that needs the machine for itself is last, because otherwise all others would wait for it.
const KINDS: [usize; 3] = [HEAVY, LIGHT, UNITS];

/// How many units light tests have together while a heavy one waits.
const LIGHT_BESIDE_HEAVY: usize = UNITS - 2 * HEAVY;

static TURNS: Mutex<Turns> = Mutex::new(Turns {
    taken: 0,
    light: 0,
    waiting: [0; KINDS.len()],
});
static CHANGED: Condvar = Condvar::new();

struct Turns {
    /// Units.
    taken: usize,
    /// Those of light tests.
    light: usize,
    /// Tests of each kind.
    waiting: [usize; KINDS.len()],
}

impl Turns {
    /// Whether a test of this kind may begin: there are enough units, and no waiting test of another kind goes before
    /// it.
    fn may_begin(&self, kind: usize) -> bool {
        let is_last = kind == KINDS.len() - 1;
        let others_wait = self.waiting[..kind].iter().any(|count| *count > 0);
        let stands_back = match KINDS[kind] {
            LIGHT => others_wait && self.light >= LIGHT_BESIDE_HEAVY,
            _ => is_last && others_wait,
        };
        self.taken + KINDS[kind] <= UNITS && !stands_back
    }
}

/// The turn of a test, until it is dropped.
#[must_use]
pub struct Turn {
    units: usize,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = turns();
        turns.taken -= self.units;
        if self.units == LIGHT {
            turns.light -= LIGHT;
        }
        drop(turns);
        CHANGED.notify_all();
    }
}

/// A test that mostly waits, of one node or of a cluster without load.
pub fn light() -> Turn {
    take(LIGHT)
}

/// A test that keeps processors busy: a cluster under load, or a simulation.
pub fn heavy() -> Turn {
    take(HEAVY)
}

/// A test that measures times which other tests would disturb, or takes something that exists only once: containers
/// with fixed ports, a network with fixed addresses, nearly all descriptors of this process.
pub fn alone() -> Turn {
    take(UNITS)
}

fn turns() -> MutexGuard<'static, Turns> {
    TURNS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(units: usize) -> Turn {
    let kind = KINDS.iter().position(|kind| *kind == units).unwrap();
    let mut turns = turns();
    turns.waiting[kind] += 1;
    while !turns.may_begin(kind) {
        turns = CHANGED.wait(turns).unwrap_or_else(PoisonError::into_inner);
    }
    turns.waiting[kind] -= 1;
    turns.taken += units;
    if units == LIGHT {
        turns.light += LIGHT;
    }
    drop(turns);
    CHANGED.notify_all();
    Turn { units }
}
