//! A watcher that resumes by offset, and whether it saw what it should.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::Error;
use crate::raw::{Connection, Message};

/// How long a read waits before the end is looked for again.
const READ_TIMEOUT: Duration = Duration::from_millis(100);
/// How long to wait before connecting to a node that is down again.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(3);

/// An event, reduced to its offset and a fingerprint of everything it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Where it stands in the log.
    pub offset: u64,
    fingerprint: u64,
}

impl Seen {
    /// Of an event of a watch, or of an `apply_event` of the log: they name their fields alike.
    pub fn new(offset: u64, event: &Value) -> Self {
        let mut hasher = DefaultHasher::new();
        for field in [
            "instance_id",
            "event",
            "from_state",
            "to_state",
            "payload",
            "ctx",
        ] {
            // A watch leaves an absent payload out where the log says null.
            event
                .get(field)
                .unwrap_or(&Value::Null)
                .to_string()
                .hash(&mut hasher);
        }
        Self {
            offset,
            fingerprint: hasher.finish(),
        }
    }
}

/// What a watcher has to show.
#[derive(Debug, Default)]
pub struct Observed {
    /// Every event, in the order it came.
    pub seen: Vec<Seen>,
    /// How many connections it took.
    pub connections: u32,
}

impl Observed {
    /// From where to resume, inclusive, and how many events at that offset are known already: those of
    /// one atomic batch share their offset.
    fn position(&self) -> (u64, usize) {
        let Some(last) = self.seen.last() else {
            return (0, 0);
        };
        let known = self
            .seen
            .iter()
            .rev()
            .take_while(|seen| seen.offset == last.offset)
            .count();
        (last.offset, known)
    }
}

/// Watches everything from the beginning, across any number of lost connections, until it has seen the
/// offset in `last` (`u64::MAX` as long as nobody knows).
///
/// # Errors
/// When the server refuses to resume, or sends what is not RCP.
pub fn watch_until(addr: SocketAddr, last: &AtomicU64) -> Result<Observed, Error> {
    let mut observed = Observed::default();
    loop {
        match watch_once(addr, last, &mut observed) {
            Ok(()) => return Ok(observed),
            Err(Error::Refused(body)) if !body.retryable => return Err(Error::Refused(body)),
            Err(error @ Error::Protocol(_)) => return Err(error),
            // The node is down, or went down.
            Err(_) => std::thread::sleep(RECONNECT_INTERVAL),
        }
    }
}

fn watch_once(addr: SocketAddr, last: &AtomicU64, observed: &mut Observed) -> Result<(), Error> {
    let (from, mut repeats) = observed.position();
    let mut connection = Connection::connect(addr)?;
    connection.call("WATCH_ALL", &json!({"from_offset": from}))?;
    observed.connections += 1;
    connection.set_timeout(READ_TIMEOUT)?;
    loop {
        let reached = observed.seen.last().map_or(0, |seen| seen.offset);
        if reached >= last.load(Ordering::Acquire) {
            return Ok(());
        }
        match connection.receive() {
            Ok(Message::Event(event)) => {
                let offset = event["wal_offset"].as_u64().unwrap_or_default();
                if repeats > 0 && offset == from {
                    repeats -= 1;
                } else {
                    observed.seen.push(Seen::new(offset, &event));
                }
            }
            Ok(Message::End(end)) => {
                return Err(Error::Protocol(format!("the watch ended: {end}")));
            }
            Ok(Message::Response { .. }) | Err(Error::Silent) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The first difference between what the log holds and what a watcher saw.
pub fn difference(log: &[Seen], watcher: &[Seen]) -> Option<String> {
    let at = log
        .iter()
        .zip(watcher)
        .position(|(log, watcher)| log != watcher);
    let at = at.or((log.len() != watcher.len()).then(|| log.len().min(watcher.len())))?;
    Some(format!(
        "event {at}: the log has {:?}, the watcher {:?} (of {} and {} events)",
        log.get(at),
        watcher.get(at),
        log.len(),
        watcher.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(offsets: &[u64]) -> Vec<Seen> {
        offsets
            .iter()
            .map(|offset| Seen::new(*offset, &json!({})))
            .collect()
    }

    #[test]
    fn a_gap_a_repetition_and_a_wrong_order_are_differences() {
        let log = seen(&[1, 2, 2, 5]);
        assert_eq!(difference(&log, &seen(&[1, 2, 2, 5])), None);
        for wrong in [
            &[1, 2, 5][..],
            &[1, 2, 2, 2, 5],
            &[2, 1, 2, 5],
            &[1, 2, 2],
            &[],
        ] {
            assert!(difference(&log, &seen(wrong)).is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn an_event_that_says_something_else_is_a_difference() {
        let log = [Seen::new(1, &json!({"event": "PAY", "payload": null}))];
        let same = [Seen::new(1, &json!({"event": "PAY"}))];
        let other = [Seen::new(1, &json!({"event": "SHIP"}))];
        assert_eq!(difference(&log, &same), None);
        assert!(difference(&log, &other).is_some());
    }

    #[test]
    fn a_watcher_resumes_in_the_middle_of_a_batch() {
        let mut observed = Observed {
            seen: seen(&[3, 7, 7]),
            connections: 1,
        };
        assert_eq!(observed.position(), (7, 2));
        observed.seen.clear();
        assert_eq!(observed.position(), (0, 0));
    }
}
