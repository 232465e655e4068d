//! What the log shows to watches.

use rstmdb_engine::fact::Meta;

/// What kind of thing a watch shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownKind {
    /// An event.
    Event,
    /// A creation, to watches that include them.
    Created,
    /// A deletion, to watches that include them.
    Deleted,
    /// A timer that had no effect, to watches that include them.
    Spent,
}

/// What watches show.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownEvent {
    /// What it is.
    pub kind: ShownKind,
    /// Where it took effect.
    pub offset: u64,
    /// Whose.
    pub instance: String,
    /// The event's id; for a creation or a deletion, the instance's id; for a timer, what it is called.
    pub tag: String,
    /// The states before and after it; empty where there is none. Of a spent timer, the state of its instance.
    pub states: [String; 2],
    /// The context after it; of a deletion, nothing.
    pub ctx: Vec<u8>,
    /// What its client said about it.
    pub said: Option<Meta>,
}
