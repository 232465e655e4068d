//! Limits how fast tokens can be guessed. AUTH with a wrong token is answered late, and ends the connection when it is
//! repeated. Each wrong token counts against its address and against all addresses together, so that more connections
//! do not help.
//!
//! A right token is answered at once, unless its address, or all addresses together, have used up their wrong tokens.
//! So a client that shares an address with an attacker has to wait, and while very many addresses guess at the same
//! time, every client has to.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Wrong tokens of one connection; the last one closes it.
pub(crate) const FAILURES_MAX: u32 = 5;
/// The first wrong token is answered after this time, each further one of the connection after twice the time before.
const DELAY: Duration = Duration::from_millis(100);
/// A token that had to wait is checked after this time.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Wrong tokens that one address may send: at once, and then in a second.
const OF_ONE: Rate = Rate {
    burst: 20.0,
    per_sec: 10.0,
};
/// The limits of all addresses together.
const OF_ALL: Rate = Rate {
    burst: 400.0,
    per_sec: 200.0,
};
/// Addresses that are remembered; any further ones share the limit of all.
const ADDRESSES_MAX: usize = 10_000;

struct Rate {
    burst: f64,
    per_sec: f64,
}

/// What is left of a [`Rate`], and at which time.
#[derive(Clone, Copy)]
struct Left {
    failures: f64,
    at: Instant,
    /// How many there were since the address is remembered.
    count: u64,
}

impl Left {
    fn now(self, rate: &Rate, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.failures + since * rate.per_sec).min(rate.burst)
    }
}

/// Recent wrong tokens. Counts wrong tokens for each address and in all, and says how long the next AUTH waits.
pub(crate) struct Guesses {
    seen: Mutex<RecentGuesses>,
}

struct RecentGuesses {
    all: Left,
    addresses: HashMap<IpAddr, Left>,
}

/// How long the answer to the `count`-th wrong token of a connection waits.
pub(crate) fn delay(count: u32) -> Duration {
    DELAY * 2u32.saturating_pow(count.saturating_sub(1).min(FAILURES_MAX))
}

impl Guesses {
    pub(crate) fn new() -> Self {
        Self {
            seen: Mutex::new(RecentGuesses {
                all: Left {
                    failures: OF_ALL.burst,
                    at: Instant::now(),
                    count: 0,
                },
                addresses: HashMap::new(),
            }),
        }
    }

    /// Whether a token that came from `address` may be checked now.
    pub(crate) fn may_look(&self, address: IpAddr, now: Instant) -> bool {
        let seen = self.seen.lock();
        let left = seen.addresses.get(&network(address));
        seen.all.now(&OF_ALL, now) >= 1.0 && left.is_none_or(|left| left.now(&OF_ONE, now) >= 1.0)
    }

    /// How many wrong tokens came from `address` since it is remembered.
    pub(crate) fn count(&self, address: IpAddr) -> u64 {
        let seen = self.seen.lock();
        let left = seen.addresses.get(&network(address));
        left.map_or(0, |left| left.count)
    }

    /// A token that came from `address` was wrong. Returns how many there were since the address is remembered; 0 if it
    /// cannot be.
    pub(crate) fn failed(&self, address: IpAddr, now: Instant) -> u64 {
        let mut seen = self.seen.lock();
        seen.all = Left {
            failures: seen.all.now(&OF_ALL, now) - 1.0,
            at: now,
            count: seen.all.count + 1,
        };
        let address = network(address);
        if seen.addresses.len() >= ADDRESSES_MAX && !seen.addresses.contains_key(&address) {
            // An address that has not failed for a while need not be remembered.
            let is_full = |left: &Left| left.now(&OF_ONE, now) >= OF_ONE.burst;
            seen.addresses.retain(|_, left| !is_full(left));
            if seen.addresses.len() >= ADDRESSES_MAX {
                return 0;
            }
        }
        let left = seen.addresses.entry(address).or_insert(Left {
            failures: OF_ONE.burst,
            at: now,
            count: 0,
        });
        *left = Left {
            failures: left.now(&OF_ONE, now) - 1.0,
            at: now,
            count: left.count + 1,
        };
        left.count
    }
}

/// A client that has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn guessed_in(guesses: &Guesses, address: IpAddr, begin: Instant, secs: u32) -> u32 {
        let mut guessed = 0;
        for step in 0..secs * 1000 {
            let now = begin + Duration::from_millis(1) * step;
            while guesses.may_look(address, now) {
                guesses.failed(address, now);
                guessed += 1;
            }
        }
        guessed
    }

    #[test]
    fn one_address_guesses_ten_times_a_second_and_holds_up_no_other() {
        let guesses = Guesses::new();
        let begin = Instant::now();
        let guessed = guessed_in(&guesses, "10.0.0.1".parse().unwrap(), begin, 10);
        assert!((110..=121).contains(&guessed), "{guessed}");
        let at_the_end = begin + Duration::from_secs(10);
        assert!(guesses.may_look("10.0.0.2".parse().unwrap(), at_the_end));
        assert!(!guesses.may_look("::ffff:10.0.0.1".parse().unwrap(), begin));
    }

    #[test]
    fn many_addresses_share_a_bound_and_cost_bounded_memory() {
        let guesses = Guesses::new();
        let now = Instant::now();
        let mut guessed = 0;
        for n in 0..20_000u32 {
            let address: IpAddr = std::net::Ipv4Addr::from(n).into();
            if guesses.may_look(address, now) {
                guesses.failed(address, now);
                guessed += 1;
            }
        }
        assert_eq!(guessed, 400);
        for n in 0..20_000u32 {
            guesses.failed(std::net::Ipv4Addr::from(n).into(), now);
        }
        assert!(guesses.seen.lock().addresses.len() <= ADDRESSES_MAX);
    }

    #[test]
    fn answers_come_later_each_time() {
        let delays: Vec<u128> = (1..=FAILURES_MAX).map(|n| delay(n).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600]);
    }
}
