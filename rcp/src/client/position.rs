//! How far a watch has come, and where it resumes.

use serde_json::{Map, Value};

use super::Error;

/// What both kinds of watches answer when they begin.
#[derive(serde::Deserialize)]
pub(super) struct BegunWatch {
    pub(super) subscription_id: String,
    pub(super) wal_offset: Option<u64>,
    pub(super) current_state: Option<String>,
    pub(super) current_wal_offset: Option<u64>,
    pub(super) earliest_offset: Option<u64>,
    pub(super) cluster_id: Option<String>,
}

/// How far a watch has come. Several events of one atomic batch share an offset, and a connection
/// may be lost between them; their order is the same on every node, so counting tells where to go on.
pub(super) struct WatchPosition {
    /// Where to resume from, inclusive.
    pub(super) offset: u64,
    /// How many events at that offset have been delivered.
    delivered: u64,
    /// How many of those the current connection will bring again.
    repeats: u64,
}

impl WatchPosition {
    pub(super) fn of(params: &Map<String, Value>, begun: &BegunWatch) -> Self {
        let head = begun.wal_offset.or(begun.current_wal_offset).unwrap_or(0);
        let offset = match params.get("from_offset").and_then(Value::as_u64) {
            // The instance may not have changed since before the retained history. Then no event of it is missing.
            None => head
                .saturating_add(1)
                .max(begun.earliest_offset.unwrap_or(0)),
            // "The earliest" must stay the same offset, even if retention drops entries before the watch resumes.
            Some(0) => begun.earliest_offset.unwrap_or(0),
            Some(from) => from,
        };
        Self {
            offset,
            delivered: 0,
            repeats: 0,
        }
    }

    /// The connection is a new one and starts at `offset` again.
    pub(super) fn resume(&mut self) {
        self.repeats = self.delivered;
    }

    /// Whether the event at this offset is new.
    pub(super) fn advance(&mut self, offset: u64) -> Result<bool, Error> {
        if offset < self.offset {
            return Err(Error::Protocol(format!(
                "an event at offset {offset} after one at {}",
                self.offset
            )));
        }
        if offset > self.offset {
            *self = Self {
                offset,
                delivered: 1,
                repeats: 0,
            };
            return Ok(true);
        }
        if self.repeats > 0 {
            self.repeats -= 1;
            return Ok(false);
        }
        self.delivered += 1;
        Ok(true)
    }

    /// The server has compared everything up to this offset with the filter, and has sent what matched.
    pub(super) fn looked_at(&mut self, offset: u64) {
        if offset >= self.offset {
            *self = Self {
                offset: offset.saturating_add(1),
                delivered: 0,
                repeats: 0,
            };
        }
    }

    /// Whether a change at this offset has been delivered, or is before the requested start.
    pub(super) fn covers(&self, offset: u64) -> bool {
        offset < self.offset || (offset == self.offset && self.delivered > 0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn position(params: Value, begun: Value) -> WatchPosition {
        let Value::Object(params) = params else {
            panic!("no object");
        };
        WatchPosition::of(&params, &serde_json::from_value(begun).unwrap())
    }

    #[test]
    fn a_watch_starts_after_the_head_or_where_it_was_asked_to() {
        let begun = json!({"subscription_id": "s", "wal_offset": 10, "earliest_offset": 3});
        assert_eq!(position(json!({}), begun.clone()).offset, 11);
        assert_eq!(position(json!({"from_offset": 0}), begun.clone()).offset, 3);
        assert_eq!(position(json!({"from_offset": 7}), begun).offset, 7);
        let rested = json!({"subscription_id": "s", "current_wal_offset": 2, "earliest_offset": 9});
        assert_eq!(position(json!({}), rested).offset, 9);
    }

    #[test]
    fn events_of_one_offset_are_counted_and_going_back_is_an_error() {
        let begun = json!({"subscription_id": "s", "wal_offset": 4});
        let mut position = position(json!({}), begun);
        assert!(!position.covers(5) && position.covers(4));
        assert!(position.advance(6).unwrap());
        assert!(position.advance(6).unwrap());
        position.resume();
        assert!(!position.advance(6).unwrap());
        // Lost again in the middle of the repetition.
        position.resume();
        assert!(!position.advance(6).unwrap());
        assert!(!position.advance(6).unwrap());
        assert!(position.advance(6).unwrap());
        assert!(position.covers(6) && !position.covers(7));
        assert!(position.advance(9).unwrap());
        assert!(position.advance(8).is_err());
    }

    #[test]
    fn a_watch_goes_on_behind_what_was_looked_at() {
        let begun = json!({"subscription_id": "s", "wal_offset": 4});
        let mut position = position(json!({}), begun);
        assert!(position.advance(6).unwrap());
        position.looked_at(5);
        assert_eq!(position.offset, 6);
        position.looked_at(6);
        assert_eq!(position.offset, 7);
        position.looked_at(90);
        position.resume();
        assert!(position.covers(90) && !position.covers(91));
        assert!(position.advance(91).unwrap());
        assert!(position.advance(90).is_err());
    }
}
