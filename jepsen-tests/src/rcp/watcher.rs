//! A watcher that resumes by offset, and the check that it saw the right events.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::raw::{RawConnection, RawMessage};
use crate::Error;

/// How long a read waits before the watcher checks again whether it has reached the end.
const READ_TIMEOUT: Duration = Duration::from_millis(100);
/// How long to wait before connecting to a node that is down again.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(3);

/// How long a node may take to begin a watch.
const RESUME_TIMEOUT: Duration = Duration::from_secs(5);

/// An event, reduced to its offset and a fingerprint of everything it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenEvent {
    /// Where it stands in the log.
    pub offset: u64,
    fingerprint: u64,
}

impl SeenEvent {
    /// Of an event of a watch, or of an `apply_event` of the log: they name their fields alike.
    pub fn new(offset: u64, event: &Value) -> Self {
        Self::of(offset, event, &[])
    }

    /// As [`Self::new`], with what was said about the write.
    pub fn with_meta(offset: u64, event: &Value) -> Self {
        Self::of(offset, event, &["meta"])
    }

    fn of(offset: u64, event: &Value, more: &[&str]) -> Self {
        let mut hasher = DefaultHasher::new();
        for field in [
            "instance_id",
            "event",
            "from_state",
            "to_state",
            "payload",
            "ctx",
            "emits",
        ]
        .iter()
        .chain(more)
        {
            // For an absent payload, a watch has no field, but the log has null.
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

/// The record of a watcher.
#[derive(Debug, Default)]
pub struct WatcherRecord {
    /// Every event, in the order it came.
    pub seen: Vec<SeenEvent>,
    /// How many connections it took.
    pub connections: u32,
    /// The last offset up to which a server reported progress.
    looked_at: u64,
}

impl WatcherRecord {
    /// The offset to continue from, and how many events at that offset were seen. It is the one after the last notice
    /// of progress, or that of the last event, because more events may share that offset.
    fn resume(&self) -> WatcherPosition {
        let (last, count) = position(&self.seen);
        if self.looked_at < last || self.looked_at == 0 {
            (last, count)
        } else {
            (self.looked_at + 1, 0)
        }
    }

    /// Adds an event, unless it is before the requested start.
    fn take(&mut self, event: &Value, includes_meta: bool) -> Result<(), Error> {
        let offset = event["wal_offset"].as_u64().unwrap_or_default();
        if offset <= self.looked_at {
            return Err(Error::Protocol(format!(
                "an event at offset {offset} after a notice of progress up to {}",
                self.looked_at
            )));
        }
        self.seen.push(match includes_meta {
            true => SeenEvent::with_meta(offset, event),
            false => SeenEvent::new(offset, event),
        });
        Ok(())
    }
}

/// How far a watcher has come: the last offset, and how many events at that offset, since those of one
/// atomic batch share their offset.
pub type WatcherPosition = (u64, usize);

/// Where these events end.
pub fn position(seen: &[SeenEvent]) -> WatcherPosition {
    let Some(last) = seen.last() else {
        return (0, 0);
    };
    let at_last = |seen: &&SeenEvent| seen.offset == last.offset;
    (last.offset, seen.iter().rev().take_while(at_last).count())
}

/// Watches everything from the beginning until it has seen all up to `end`, which the caller sets once it is known. It
/// begins at the first of the nodes, and goes on at the next one whenever a connection is lost.
///
/// # Errors
/// When the server refuses to resume, or sends what is not RCP.
pub fn watch_until(
    addrs: &[SocketAddr],
    end: &OnceLock<WatcherPosition>,
) -> Result<WatcherRecord, Error> {
    let Some(first) = addrs.first().copied() else {
        return Ok(WatcherRecord::default());
    };
    let mut addrs = addrs.iter().copied().cycle();
    let next = || addrs.next().unwrap_or(first);
    watch_until_at(next, &WantedWatch::default(), end)
}

/// What a watcher asks for, and how.
#[derive(Debug, Clone)]
pub struct WantedWatch {
    /// The parameters of WATCH_ALL that choose events; none for all events.
    pub filter: Value,
    /// How long a connection lasts before the watcher closes it. When absent, it lasts as long as the node keeps it.
    pub lasts: Option<Duration>,
}

impl Default for WantedWatch {
    fn default() -> Self {
        Self {
            filter: json!({}),
            lasts: None,
        }
    }
}

/// As [`watch_until`]. The watcher goes on at `next`, and `end` is the last of the wanted events.
///
/// # Errors
/// As [`watch_until`].
pub fn watch_until_at(
    mut next: impl FnMut() -> SocketAddr,
    wanted: &WantedWatch,
    end: &OnceLock<WatcherPosition>,
) -> Result<WatcherRecord, Error> {
    let mut observed = WatcherRecord::default();
    loop {
        match watch_once(next(), wanted, end, &mut observed) {
            Ok(()) => return Ok(observed),
            Err(
                error @ Error::Refused {
                    retryable: false, ..
                },
            ) => return Err(error),
            Err(error @ Error::Protocol(_)) => return Err(error),
            // The node is down, or went down.
            Err(_) => std::thread::sleep(RECONNECT_INTERVAL),
        }
    }
}

fn watch_once(
    addr: SocketAddr,
    wanted: &WantedWatch,
    end: &OnceLock<WatcherPosition>,
    observed: &mut WatcherRecord,
) -> Result<(), Error> {
    let (from, mut repeats) = observed.resume();
    let mut connection = RawConnection::connect_within(addr, RESUME_TIMEOUT)?;
    let mut watch = wanted.filter.clone();
    watch["from_offset"] = Value::from(from);
    let includes_meta = watch["include_meta"] == true;
    connection.call("WATCH_ALL", &watch)?;
    observed.connections += 1;
    connection.set_timeout(READ_TIMEOUT)?;
    let begun = Instant::now();
    loop {
        if has_reached(&observed.seen, end) {
            return Ok(());
        }
        if wanted.lasts.is_some_and(|lasts| begun.elapsed() >= lasts) {
            return Err(Error::Closed);
        }
        match connection.receive() {
            Ok(RawMessage::Event(event)) => {
                let offset = event["wal_offset"].as_u64().unwrap_or_default();
                if repeats > 0 && offset == from {
                    repeats -= 1;
                } else {
                    observed.take(&event, includes_meta)?;
                }
            }
            Ok(RawMessage::Progress(progress)) => {
                let offset = progress["wal_offset"].as_u64().unwrap_or_default();
                observed.looked_at = observed.looked_at.max(offset);
            }
            // The node is about to stop.
            Ok(RawMessage::End(end)) if end["error"]["retryable"] == true => {
                return Err(Error::Closed);
            }
            Ok(RawMessage::End(end)) => {
                return Err(Error::Protocol(format!("the watch ended: {end}")));
            }
            Ok(RawMessage::Response { .. }) | Err(Error::Silent) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether these are all events up to the end, if the end is known.
pub fn has_reached(seen: &[SeenEvent], end: &OnceLock<WatcherPosition>) -> bool {
    end.get().is_some_and(|end| position(seen) >= *end)
}

/// The first difference between what the log holds and what a watcher saw.
pub fn difference(log: &[SeenEvent], watcher: &[SeenEvent]) -> Option<String> {
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
    #![allow(clippy::unwrap_used)]
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    use bytes::BytesMut;
    use rstmdb_rcp::WireMode;
    use rstmdb_rcp::frame::FrameLimits;
    use rstmdb_rcp::wire::Decoder;

    use super::*;

    fn seen(offsets: &[u64]) -> Vec<SeenEvent> {
        offsets
            .iter()
            .map(|offset| SeenEvent::new(*offset, &json!({})))
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
    fn a_watcher_goes_on_behind_what_was_looked_at_and_objects_to_an_event_before_it() {
        let mut observed = WatcherRecord {
            seen: seen(&[1, 4, 4]),
            looked_at: 3,
            ..WatcherRecord::default()
        };
        assert_eq!(observed.resume(), (4, 2));
        observed.looked_at = 4;
        assert_eq!(observed.resume(), (5, 0));
        assert!(observed.take(&json!({"wal_offset": 4}), false).is_err());
        assert!(observed.take(&json!({"wal_offset": 5}), false).is_ok());
        assert_eq!(observed.resume(), (5, 1));
    }

    #[test]
    fn an_event_that_says_something_else_is_a_difference() {
        let log = [SeenEvent::new(1, &json!({"event": "PAY", "payload": null}))];
        let same = [SeenEvent::new(1, &json!({"event": "PAY"}))];
        let other = [SeenEvent::new(1, &json!({"event": "SHIP"}))];
        assert_eq!(difference(&log, &same), None);
        assert!(difference(&log, &other).is_some());
    }

    #[test]
    fn a_watcher_resumes_in_the_middle_of_a_batch() {
        assert_eq!(position(&seen(&[3, 7, 7])), (7, 2));
        assert_eq!(position(&[]), (0, 0));
    }

    #[test]
    fn the_end_is_reached_with_the_last_event_of_its_batch() {
        let end = OnceLock::new();
        assert!(
            !has_reached(&seen(&[3, 7, 7]), &end),
            "the end is not known yet"
        );
        assert_eq!(end.set((7, 2)), Ok(()));
        assert!(!has_reached(&seen(&[3]), &end));
        assert!(!has_reached(&seen(&[3, 7]), &end));
        assert!(has_reached(&seen(&[3, 7, 7]), &end));
        assert!(has_reached(&seen(&[3, 8]), &end));
    }

    /// A watcher's connection to a stand-in for a node.
    struct Served {
        stream: TcpStream,
        received: BytesMut,
        decoder: Decoder,
    }

    impl Served {
        /// Greets a watcher and answers its watch; gives what it asked for.
        fn accept(listener: &TcpListener) -> (Self, Value) {
            let mut served = Self {
                stream: listener.accept().unwrap().0,
                received: BytesMut::new(),
                decoder: Decoder::new(WireMode::Binary, FrameLimits::default()),
            };
            served.answer();
            let watch = served.answer();
            (served, watch)
        }

        /// Answers the next request; gives its parameters.
        fn answer(&mut self) -> Value {
            let message = loop {
                if let Some(message) = self.decoder.take(&mut self.received).unwrap() {
                    break message;
                }
                let mut piece = [0; 4096];
                let count = self.stream.read(&mut piece).unwrap();
                assert_ne!(count, 0);
                self.received.extend_from_slice(&piece[..count]);
            };
            let request: Value = serde_json::from_slice(&message.payload).unwrap();
            let id = &request["id"];
            self.tell(&json!({"type": "response", "id": id, "status": "ok", "result": {}}));
            request["params"].clone()
        }

        fn tell(&mut self, message: &Value) {
            let framed = crate::rcp::raw::framed(&message.to_string());
            self.stream.write_all(&framed).unwrap();
        }
    }

    #[test]
    fn a_watcher_that_gives_up_its_connection_resumes_behind_the_last_notice() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let end = Arc::new(OnceLock::new());
        let wanted = WantedWatch {
            filter: json!({"machines": ["m"]}),
            lasts: Some(Duration::from_secs(3)),
        };
        let watching = {
            let end = Arc::clone(&end);
            std::thread::spawn(move || watch_until_at(|| addr, &wanted, &end))
        };
        let (mut first, asked) = Served::accept(&listener);
        assert_eq!(asked, json!({"machines": ["m"], "from_offset": 0}));
        first.tell(&json!({"type": "event", "wal_offset": 3}));
        first.tell(&json!({"type": "progress", "wal_offset": 7}));
        let (mut second, asked) = Served::accept(&listener);
        assert_eq!(asked, json!({"machines": ["m"], "from_offset": 8}));
        end.set((9, 1)).unwrap();
        second.tell(&json!({"type": "event", "wal_offset": 9}));
        let observed = watching.join().unwrap().unwrap();
        assert_eq!(position(&observed.seen), (9, 1));
        assert_eq!((observed.seen.len(), observed.connections), (2, 2));
    }
}
