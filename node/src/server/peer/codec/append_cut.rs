//! Cuts appends into messages of a size that a slow link carries in a moment.
//!
//! A run of small entries is cut between entries: each part is an append of its own, with an answer of its own. A
//! larger entry goes in pieces before its append. The other side keeps the pieces that have arrived, so that the next
//! stream goes on behind them.

use std::collections::VecDeque;

use bytes::Bytes;
use openraft::raft::AppendEntriesRequest;
use rstmdb_raft_store::{Entry, LogId, Payload, StoreConfig};

use crate::server::peer::wire;
use crate::server::peer::wire::append_part::Part;

/// One message, with the bytes of entries in it.
pub(crate) struct AppendMessage {
    pub(crate) part: Part,
    pub(crate) bytes: u64,
}

/// The messages that bring `request`, in order. Pieces that the other side has according to `held` are not sent again.
pub(crate) fn cut<T: StoreConfig>(
    request: AppendEntriesRequest<T>,
    message_bytes: usize,
    held: Option<&wire::HeldEntry>,
) -> VecDeque<AppendMessage> {
    let mut cutting = Cutting {
        vote: request.vote.into(),
        prev: request.prev_log_id,
        commit: request.leader_commit.map(Into::into),
        run: Vec::new(),
        run_last: None,
        run_bytes: 0,
        messages: VecDeque::new(),
    };
    for entry in request.entries {
        match entry.payload {
            Payload::Normal(data) if data.0.len() > message_bytes => {
                cutting.end_run();
                cutting.pieces(entry.log_id, &data.0, message_bytes, held);
            }
            _ => {
                if cutting.run_bytes + size(&entry) > message_bytes {
                    cutting.end_run();
                }
                cutting.add(entry);
            }
        }
    }
    // An append without entries is one too.
    if cutting.messages.is_empty() || !cutting.run.is_empty() {
        cutting.append();
    }
    cutting.messages
}

/// The bytes of an entry that are counted.
pub(crate) fn size(entry: &Entry) -> usize {
    match &entry.payload {
        Payload::Normal(data) => data.0.len(),
        Payload::Blank | Payload::Membership(_) => 0,
    }
}

struct Cutting {
    vote: wire::Vote,
    /// The log id that the next append follows.
    prev: Option<LogId>,
    commit: Option<wire::LogId>,
    /// The entries of the next append.
    run: Vec<wire::Entry>,
    run_last: Option<LogId>,
    run_bytes: usize,
    messages: VecDeque<AppendMessage>,
}

impl Cutting {
    fn add(&mut self, entry: Entry) {
        self.run_bytes += size(&entry);
        self.run_last = Some(entry.log_id);
        self.run.push(entry.into());
    }

    fn end_run(&mut self) {
        if !self.run.is_empty() {
            self.append();
        }
    }

    fn append(&mut self) {
        let bytes = std::mem::take(&mut self.run_bytes) as u64;
        self.append_of(bytes);
    }

    fn append_of(&mut self, bytes: u64) {
        let append = wire::AppendRequest {
            vote: Some(self.vote),
            prev_log_id: self.prev.map(Into::into),
            entries: std::mem::take(&mut self.run),
            leader_commit: self.commit,
        };
        self.prev = self.run_last.take().or(self.prev);
        self.messages.push_back(AppendMessage {
            part: Part::Append(append),
            bytes,
        });
    }

    fn pieces(
        &mut self,
        log_id: LogId,
        data: &Bytes,
        message_bytes: usize,
        held: Option<&wire::HeldEntry>,
    ) {
        let whole = wire::EntryInPieces {
            bytes: data.len() as u64,
            crc32c: crc32c::crc32c(data),
        };
        let id = wire::LogId::from(log_id);
        let there = held.filter(|held| held.log_id == Some(id) && held.entry == Some(whole));
        let there = there.and_then(|held| usize::try_from(held.bytes).ok());
        let mut at = there.unwrap_or(0).min(data.len());
        while at < data.len() {
            let end = data.len().min(at + message_bytes);
            let piece = wire::EntryPiece {
                log_id: Some(id),
                entry: Some(whole),
                position: at as u64,
                data: data.slice(at..end),
            };
            self.messages.push_back(AppendMessage {
                bytes: (end - at) as u64,
                part: Part::Piece(piece),
            });
            at = end;
        }
        self.run.push(wire::Entry {
            log_id: Some(id),
            payload: Some(wire::entry::Payload::InPieces(whole)),
        });
        self.run_last = Some(log_id);
        self.append_of(0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rstmdb_raft_store::{Data, LeaderId, Vote, log_id};

    use super::*;
    use crate::server::product::Product;

    const MESSAGE: usize = 100;

    fn request(sizes: &[usize]) -> AppendEntriesRequest<Product> {
        let entries = sizes.iter().zip(6..).map(|(size, index)| Entry {
            log_id: log_id(2, index),
            payload: Payload::Normal(Data(vec![7; *size].into())),
        });
        AppendEntriesRequest {
            vote: Vote {
                leader_id: LeaderId {
                    term: 2,
                    voted_for: 1,
                },
                committed: true,
            },
            prev_log_id: Some(log_id(1, 5)),
            entries: entries.collect(),
            leader_commit: Some(log_id(1, 4)),
        }
    }

    /// The appends as (index before, indexes, bytes counted), the pieces as their positions.
    fn shape(messages: &VecDeque<AppendMessage>) -> Vec<String> {
        let text = |message: &AppendMessage| match &message.part {
            Part::Append(append) => {
                let ids = append
                    .entries
                    .iter()
                    .map(|entry| entry.log_id.unwrap().index);
                let before = append.prev_log_id.unwrap().index;
                format!("{before}|{:?}|{}", ids.collect::<Vec<_>>(), message.bytes)
            }
            Part::Piece(piece) => format!("{}+{}", piece.position, piece.data.len()),
        };
        messages.iter().map(text).collect()
    }

    #[test]
    fn small_entries_go_in_appends_that_follow_each_other() {
        let messages = cut(request(&[60, 40, 1, 100, 30]), MESSAGE, None);
        let expected = ["5|[6, 7]|100", "7|[8]|1", "8|[9]|100", "9|[10]|30"];
        assert_eq!(shape(&messages), expected);
    }

    #[test]
    fn a_large_entry_goes_in_pieces_before_its_append() {
        let messages = cut(request(&[10, 250, 10]), MESSAGE, None);
        let expected = [
            "5|[6]|10", "0+100", "100+100", "200+50", "6|[7]|0", "7|[8]|10",
        ];
        assert_eq!(shape(&messages), expected);
    }

    #[test]
    fn what_the_other_side_holds_of_the_same_entry_is_not_sent_again() {
        let whole = wire::EntryInPieces {
            bytes: 250,
            crc32c: crc32c::crc32c(&[7; 250]),
        };
        let mut held = wire::HeldEntry {
            log_id: Some(log_id(2, 6).into()),
            entry: Some(whole),
            bytes: 130,
        };
        let sent = |held: &wire::HeldEntry| shape(&cut(request(&[250]), MESSAGE, Some(held)));
        assert_eq!(sent(&held), ["130+100", "230+20", "5|[6]|0"]);
        held.bytes = 250;
        assert_eq!(sent(&held), ["5|[6]|0"]);
        held.entry = Some(wire::EntryInPieces { crc32c: 1, ..whole });
        assert_eq!(sent(&held).len(), 4);
        held.log_id = Some(log_id(1, 6).into());
        assert_eq!(sent(&held).len(), 4);
    }

    #[test]
    fn an_append_without_entries_is_one_message() {
        assert_eq!(shape(&cut(request(&[]), MESSAGE, None)), ["5|[]|0"]);
    }
}
