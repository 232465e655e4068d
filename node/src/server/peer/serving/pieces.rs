//! Entries of which a part has arrived.
//!
//! For each sender this node keeps the newest one when its stream breaks, so that the next stream goes on there. It
//! does not keep it for long, because it lies in memory. A newer stream of a sender ends an earlier one, which can be
//! the rest of a connection that only the sender knows to be broken. All senders together have a limit, within which
//! the leader goes first.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use openraft::Instant;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use parking_lot::Mutex;
use rstmdb_rcp::text::counted;
use tonic::Status;

use crate::replica::Types;
use crate::server::peer::{ENTRY_BYTES_MAX, wire};

/// A part of an entry is dropped when no stream adds to it within this time.
const KEEP_TIMEOUT: Duration = Duration::from_secs(60);
/// The bytes of all senders together: the leader's entry, and one that the last leader has left.
const ALL_BYTES_MAX: usize = 2 * ENTRY_BYTES_MAX;

/// Names an entry, and its bytes by their checksum.
#[derive(Clone, Copy, PartialEq, Eq)]
struct EntryName {
    log_id: wire::LogId,
    entry: wire::EntryInPieces,
}

struct UnfinishedEntry {
    which: EntryName,
    data: Vec<u8>,
}

struct PiecesSlot<T: Types> {
    /// The stream that may add to it.
    stream: u64,
    unfinished: Option<UnfinishedEntry>,
    used: InstantOf<T>,
}

/// The unfinished entry of each sender.
#[derive(Default)]
pub(crate) struct EntryPieces<T: Types>(Mutex<BTreeMap<u64, PiecesSlot<T>>>);

/// One stream's access to the pieces of its sender.
#[derive(Clone, Copy)]
pub(crate) struct Ticket {
    from: u64,
    stream: u64,
}

impl<T: Types> EntryPieces<T> {
    /// Begins a stream of a sender; returns what is here.
    pub(crate) fn enter(&self, from: u64) -> (Ticket, Option<wire::HeldEntry>) {
        let mut slots = self.0.lock();
        let slot = slots.entry(from).or_insert_with(|| PiecesSlot {
            stream: 0,
            unfinished: None,
            used: T::now(),
        });
        slot.stream += 1;
        slot.used = T::now();
        let held = slot.unfinished.as_ref().map(|unfinished| wire::HeldEntry {
            log_id: Some(unfinished.which.log_id),
            entry: Some(unfinished.which.entry),
            bytes: unfinished.data.len() as u64,
        });
        let stream = slot.stream;
        (Ticket { from, stream }, held)
    }

    /// Adds a piece. If its sender `leads`, the pieces of other senders make room for it.
    pub(crate) fn add(
        &self,
        ticket: Ticket,
        piece: &wire::EntryPiece,
        leads: bool,
    ) -> Result<(), Status> {
        let which = which(piece.log_id, piece.entry)?;
        let mut slots = self.0.lock();
        slot(&mut slots, ticket)?;
        make_room(&mut slots, ticket, piece.data.len(), leads)?;
        let slot = slot(&mut slots, ticket)?;
        slot.used = T::now();
        if slot.unfinished.as_ref().is_none_or(|it| it.which != which) {
            slot.unfinished = Some(UnfinishedEntry {
                which,
                data: Vec::new(),
            });
        }
        // It was put there above.
        let Some(unfinished) = slot.unfinished.as_mut() else {
            return Ok(());
        };
        let at = unfinished.data.len() as u64;
        if piece.position != at || at + piece.data.len() as u64 > which.entry.bytes {
            return Err(Status::aborted(format!(
                "the next piece of this entry must begin at byte {at}, of {} in all; this one begins at byte {} and \
                 has {}",
                which.entry.bytes,
                piece.position,
                counted(piece.data.len() as u64, "byte", "bytes")
            )));
        }
        unfinished.data.extend_from_slice(&piece.data);
        check_invariants(&slots);
        Ok(())
    }

    /// Takes out an entry that is complete.
    pub(crate) fn take(
        &self,
        ticket: Ticket,
        log_id: Option<wire::LogId>,
        entry: wire::EntryInPieces,
    ) -> Result<Bytes, Status> {
        let which = which(log_id, Some(entry))?;
        let mut slots = self.0.lock();
        let slot = slot(&mut slots, ticket)?;
        let unfinished = slot.unfinished.take_if(|it| it.which == which);
        let data = unfinished.map(|unfinished| unfinished.data);
        let data = data.unwrap_or_default();
        if data.len() as u64 != entry.bytes || crc32c::crc32c(&data) != entry.crc32c {
            return Err(Status::data_loss(format!(
                "the entry at index {} has arrived incomplete or damaged: {} of its {} bytes are here",
                which.log_id.index,
                data.len(),
                entry.bytes
            )));
        }
        Ok(data.into())
    }

    /// Drops the pieces to which no sender has added for long.
    pub(crate) fn sweep(&self) {
        for slot in self.0.lock().values_mut() {
            if slot.used.elapsed() > KEEP_TIMEOUT {
                slot.unfinished = None;
            }
        }
    }
}

impl<T: Types> PiecesSlot<T> {
    fn bytes(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |it| it.data.len())
    }
}

fn which(
    log_id: Option<wire::LogId>,
    entry: Option<wire::EntryInPieces>,
) -> Result<EntryName, Status> {
    let missing = |what: &str| Status::invalid_argument(format!("{what} is missing"));
    let log_id = log_id.ok_or_else(|| missing("the log id of an entry in pieces"))?;
    let entry = entry.ok_or_else(|| missing("EntryPiece.entry"))?;
    if entry.bytes > ENTRY_BYTES_MAX as u64 {
        return Err(Status::invalid_argument(format!(
            "an entry of {} bytes is too large: at most {ENTRY_BYTES_MAX} are allowed",
            entry.bytes
        )));
    }
    Ok(EntryName { log_id, entry })
}

fn make_room<T: Types>(
    slots: &mut BTreeMap<u64, PiecesSlot<T>>,
    ticket: Ticket,
    bytes: usize,
    leads: bool,
) -> Result<(), Status> {
    let all: usize = slots.values().map(PiecesSlot::bytes).sum();
    if all + bytes <= ALL_BYTES_MAX {
        return Ok(());
    }
    if !leads {
        return Err(Status::unavailable(
            "too many large entries of other nodes are under way to this one",
        ));
    }
    for (from, slot) in slots {
        if *from != ticket.from {
            slot.unfinished = None;
        }
    }
    Ok(())
}

/// What must hold after each piece, for anything that the senders send.
fn check_invariants<T: Types>(slots: &BTreeMap<u64, PiecesSlot<T>>) {
    debug_assert!(
        slots.values().map(PiecesSlot::bytes).sum::<usize>() <= ALL_BYTES_MAX,
        "the pieces of all senders take more than their bound"
    );
    debug_assert!(
        slots.values().all(|slot| slot.bytes() <= ENTRY_BYTES_MAX),
        "an entry in pieces is larger than the largest one"
    );
}

fn slot<T: Types>(
    slots: &mut BTreeMap<u64, PiecesSlot<T>>,
    ticket: Ticket,
) -> Result<&mut PiecesSlot<T>, Status> {
    let slot = slots.get_mut(&ticket.from);
    let slot = slot.filter(|slot| slot.stream == ticket.stream);
    slot.ok_or_else(|| Status::aborted("the same node has opened a newer stream of appends"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::server::product::Product;

    const SENDER: u64 = 3;

    fn whole() -> (Bytes, wire::EntryInPieces) {
        let data: Vec<u8> = (0..=255).collect();
        let entry = wire::EntryInPieces {
            bytes: 256,
            crc32c: crc32c::crc32c(&data),
        };
        (data.into(), entry)
    }

    fn id(index: u64) -> wire::LogId {
        wire::LogId { term: 1, index }
    }

    fn piece(index: u64, range: std::ops::Range<usize>) -> wire::EntryPiece {
        let (data, entry) = whole();
        wire::EntryPiece {
            log_id: Some(id(index)),
            entry: Some(entry),
            position: range.start as u64,
            data: data.slice(range),
        }
    }

    #[test]
    fn the_next_stream_goes_on_where_the_last_one_broke() {
        let pieces = EntryPieces::<Product>::default();
        let (first, held) = pieces.enter(SENDER);
        assert_eq!(held, None);
        pieces.add(first, &piece(9, 0..100), false).unwrap();
        let (second, held) = pieces.enter(SENDER);
        assert_eq!(held.unwrap().bytes, 100);
        pieces.add(second, &piece(9, 100..256), false).unwrap();
        let taken = pieces.take(second, Some(id(9)), whole().1).unwrap();
        assert_eq!(taken, whole().0);
        assert_eq!(pieces.enter(SENDER).1, None);
    }

    #[test]
    fn a_stream_that_was_replaced_adds_and_takes_nothing() {
        let pieces = EntryPieces::<Product>::default();
        let (first, _) = pieces.enter(SENDER);
        pieces.add(first, &piece(9, 0..256), false).unwrap();
        let (second, _) = pieces.enter(SENDER);
        assert!(pieces.add(first, &piece(10, 0..256), false).is_err());
        assert!(pieces.take(first, Some(id(9)), whole().1).is_err());
        assert!(pieces.take(second, Some(id(9)), whole().1).is_ok());
    }

    #[test]
    fn only_what_fits_is_added_and_only_what_is_whole_is_taken() {
        let pieces = EntryPieces::<Product>::default();
        let (ticket, _) = pieces.enter(SENDER);
        assert!(pieces.add(ticket, &piece(9, 10..20), false).is_err());
        pieces.add(ticket, &piece(9, 0..255), false).unwrap();
        assert!(pieces.add(ticket, &piece(9, 0..255), false).is_err());
        assert!(pieces.take(ticket, Some(id(9)), whole().1).is_err());
        let mut damaged = piece(9, 0..256);
        damaged.data = vec![1; 256].into();
        pieces.add(ticket, &damaged, false).unwrap();
        assert!(pieces.take(ticket, Some(id(9)), whole().1).is_err());
        let mut huge = piece(9, 0..256);
        huge.entry = Some(wire::EntryInPieces {
            bytes: u64::MAX,
            crc32c: 0,
        });
        assert!(pieces.add(ticket, &huge, false).is_err());
    }

    #[test]
    fn the_leaders_entry_goes_before_what_others_have_left() {
        let pieces = EntryPieces::<Product>::default();
        let entry = wire::EntryInPieces {
            bytes: ENTRY_BYTES_MAX as u64,
            crc32c: 0,
        };
        let all = wire::EntryPiece {
            log_id: Some(id(9)),
            entry: Some(entry),
            position: 0,
            data: vec![0; ENTRY_BYTES_MAX].into(),
        };
        for other in [4, 5] {
            let (ticket, _) = pieces.enter(other);
            pieces.add(ticket, &all, false).unwrap();
        }
        let (leader, _) = pieces.enter(SENDER);
        assert!(pieces.add(leader, &piece(9, 0..100), false).is_err());
        pieces.add(leader, &piece(9, 0..100), true).unwrap();
        assert_eq!(pieces.enter(4).1, None);
        assert_eq!(pieces.enter(SENDER).1.unwrap().bytes, 100);
    }

    #[test]
    fn another_entry_of_the_same_sender_takes_the_place() {
        let pieces = EntryPieces::<Product>::default();
        let (ticket, _) = pieces.enter(SENDER);
        pieces.add(ticket, &piece(9, 0..100), false).unwrap();
        pieces.add(ticket, &piece(10, 0..50), false).unwrap();
        let held = pieces.enter(SENDER).1.unwrap();
        assert_eq!((held.log_id, held.bytes), (Some(id(10)), 50));
    }
}
