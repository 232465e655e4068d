//! The reply to a command: a reply of this node, or the text that the leader wrote for the client.

use bytes::Bytes;
use rstmdb_engine::Reply;
use rstmdb_engine::fact::Entry;
use rstmdb_engine::reply::ctx_in;

/// The reply to a command.
#[derive(Debug, Clone)]
pub enum Replied {
    /// This node decided the command.
    Here(Reply),
    /// The leader decided the command, and wrote the result.
    ByLeader(Relayed),
}

impl From<Reply> for Replied {
    fn from(reply: Reply) -> Self {
        Self::Here(reply)
    }
}

impl Replied {
    /// The reply, if this node decided the command.
    #[must_use]
    pub fn here(&self) -> Option<&Reply> {
        match self {
            Self::Here(reply) => Some(reply),
            Self::ByLeader(_) => None,
        }
    }

    /// The last offset of the log that [`Replied::complete`] asks for; none where nothing is missing.
    pub(crate) fn incomplete_to(&self) -> Option<u64> {
        match self {
            Self::Here(reply) => reply.incomplete_to(),
            Self::ByLeader(relayed) => relayed.incomplete_to(),
        }
    }

    /// As [`Reply::complete`].
    pub(crate) fn complete(
        &mut self,
        bytes: &mut usize,
        entry: &mut dyn FnMut(u64) -> Option<Entry>,
    ) {
        match self {
            Self::Here(reply) => reply.complete(bytes, entry),
            Self::ByLeader(relayed) => relayed.complete(bytes, entry),
        }
    }
}

/// A result as the leader wrote it. The node that has the client copies it into the client's answer, but for its marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relayed {
    text: Bytes,
    /// Ascending; no two overlap.
    marks: Vec<ReplyMark>,
}

/// A part of a result that the node with the client has to complete or leave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyMark {
    /// Where it begins in the text.
    pub at: usize,
    /// How many bytes of the text it takes.
    pub bytes: usize,
    /// What it is.
    pub part: MarkedPart,
}

/// See [`ReplyMark`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarkedPart {
    /// A field that only clients with the feature `cluster` get.
    Extension {
        /// Whether this client has offered `cluster`.
        shown: bool,
    },
    /// The context that a repeated event left. Only the log has it; the text says `null`.
    Context(ReplayedContext),
}

/// Which event left the context, and the context once it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedContext {
    /// The instance's id.
    pub instance_id: String,
    /// The event's idempotency key.
    pub idempotency_key: String,
    /// The event's offset.
    pub wal_offset: u64,
    /// What the log has.
    pub found: Option<Bytes>,
}

impl Relayed {
    /// `None` if a mark is not a part of the text, or if the marks overlap or do not ascend.
    pub(crate) fn new(text: Bytes, marks: Vec<ReplyMark>) -> Option<Self> {
        let mut end = 0;
        for mark in &marks {
            if mark.at < end {
                return None;
            }
            end = mark.at.checked_add(mark.bytes)?;
        }
        (end <= text.len()).then_some(Self { text, marks })
    }

    /// A result that this node has written for a client of another node.
    pub(crate) fn written(text: Bytes, marks: Vec<ReplyMark>) -> Self {
        let relayed = Self { text, marks };
        debug_assert!(
            Self::new(relayed.text.clone(), relayed.marks.clone()).is_some(),
            "marks that are no parts of the text: {:?}",
            relayed.marks
        );
        relayed
    }

    /// The text as the leader wrote it.
    pub(crate) fn text(&self) -> &Bytes {
        &self.text
    }

    /// Its marks.
    pub(crate) fn marks(&self) -> &[ReplyMark] {
        &self.marks
    }

    /// The text that the client of this node gets, piece by piece.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = 0;
        let between = move |begin: usize, end: usize| self.text.get(begin..end).unwrap_or_default();
        let marked = self.marks.iter().flat_map(move |mark| {
            let (before, end) = (between(at, mark.at), mark.at + mark.bytes);
            at = end;
            let part = match &mark.part {
                MarkedPart::Extension { shown: false } => &[],
                MarkedPart::Context(ReplayedContext {
                    found: Some(ctx), ..
                }) => &ctx[..],
                _ => between(mark.at, end),
            };
            [before, part]
        });
        let last = self.marks.last().map_or(0, |mark| mark.at + mark.bytes);
        marked.chain([between(last, self.text.len())])
    }

    /// Leaves out the fields that only clients with the feature `cluster` get.
    pub(crate) fn hide_extensions(&mut self) {
        for mark in &mut self.marks {
            if let MarkedPart::Extension { shown } = &mut mark.part {
                *shown = false;
            }
        }
    }

    fn contexts(&self) -> impl Iterator<Item = &ReplayedContext> {
        self.marks.iter().filter_map(|mark| match &mark.part {
            MarkedPart::Context(context) => Some(context),
            MarkedPart::Extension { .. } => None,
        })
    }

    fn incomplete_to(&self) -> Option<u64> {
        let missing = self.contexts().filter(|context| context.found.is_none());
        missing.map(|context| context.wal_offset).max()
    }

    fn complete(&mut self, bytes: &mut usize, entry: &mut dyn FnMut(u64) -> Option<Entry>) {
        for mark in &mut self.marks {
            let MarkedPart::Context(context) = &mut mark.part else {
                continue;
            };
            if *bytes == 0 {
                return;
            }
            let found = entry(context.wal_offset);
            let found = found
                .and_then(|entry| ctx_in(&entry, &context.instance_id, &context.idempotency_key));
            if let Some(ctx) = &found {
                *bytes = bytes.saturating_sub(ctx.len());
            }
            context.found = found;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mark(at: usize, bytes: usize) -> ReplyMark {
        ReplyMark {
            at,
            bytes,
            part: MarkedPart::Extension { shown: true },
        }
    }

    #[test]
    fn marks_that_are_no_parts_of_the_text_are_refused() {
        let relayed =
            |marks: &[ReplyMark]| Relayed::new(Bytes::from_static(b"0123456789"), marks.into());
        assert!(relayed(&[]).is_some());
        assert!(relayed(&[mark(0, 4), mark(4, 0), mark(4, 6)]).is_some());
        assert!(relayed(&[mark(0, 11)]).is_none());
        assert!(relayed(&[mark(4, 2), mark(5, 1)]).is_none());
        assert!(relayed(&[mark(4, 2), mark(1, 1)]).is_none());
        assert!(relayed(&[mark(usize::MAX, 2)]).is_none());
    }

    #[test]
    fn the_pieces_are_the_text_but_for_what_is_hidden_and_what_was_found() {
        let context = |found: Option<&'static str>| {
            MarkedPart::Context(ReplayedContext {
                instance_id: "i".to_owned(),
                idempotency_key: "k".to_owned(),
                wal_offset: 7,
                found: found.map(Bytes::from),
            })
        };
        let marks = |found| {
            let context = ReplyMark {
                part: context(found),
                ..mark(6, 2)
            };
            vec![mark(2, 3), context]
        };
        let text = Bytes::from_static(b"0123456789");
        let mut relayed = Relayed::new(text.clone(), marks(None)).unwrap();
        let told = |relayed: &Relayed| relayed.pieces().collect::<Vec<_>>().concat();
        assert_eq!(told(&relayed), b"0123456789");
        relayed.hide_extensions();
        assert_eq!(told(&relayed), b"0156789");
        assert_eq!(relayed.incomplete_to(), Some(7));
        let mut found = Relayed::new(text, marks(Some("{\"n\":1}"))).unwrap();
        found.hide_extensions();
        assert_eq!(told(&found), b"015{\"n\":1}89");
        assert_eq!(found.incomplete_to(), None);
    }
}
