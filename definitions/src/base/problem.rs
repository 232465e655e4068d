//! What is wrong at which place of a file.

use std::fmt;

use rstmdb_engine::nearest::did_you_mean;

/// Most problems of one file that are reported one by one.
pub const PROBLEMS_MAX: usize = 200;

/// Something about one place of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// A path like `transitions[3].guard` or `$.states.paid.on.PAY`, or a line like `line 12`; empty for the file as
    /// a whole.
    pub place: String,
    /// What is wrong or remarkable, and what is allowed.
    pub text: String,
}

impl Problem {
    /// A problem at a place.
    pub fn new(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            text: text.into(),
        }
    }

    /// A problem of the file as a whole.
    pub fn whole(text: impl Into<String>) -> Self {
        Self::new("", text)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.is_empty() {
            true => f.write_str(&self.text),
            false => write!(f, "{}: {}", self.place, self.text),
        }
    }
}

/// A translation: its result, and what the reader must know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Translated<T> {
    /// What came of it.
    pub result: T,
    /// Parts that say the same in another way. Nothing is lost.
    pub notes: Vec<Problem>,
    /// Parts that were left out or replaced because they have no equal. Empty unless losses are allowed.
    pub losses: Vec<Problem>,
}

/// Collects what a translation meets.
#[derive(Debug, Default)]
pub(crate) struct TranslationFindings {
    lossy: bool,
    notes: Vec<Problem>,
    losses: Vec<Problem>,
    refused: Vec<Problem>,
    more: usize,
}

impl TranslationFindings {
    /// `lossy`: what has no equal may be left out or replaced, where a replacement is known.
    pub(crate) fn new(lossy: bool) -> Self {
        Self {
            lossy,
            ..Self::default()
        }
    }

    /// Something says the same in another way.
    pub(crate) fn note(&mut self, place: impl Into<String>, text: impl Into<String>) {
        if self.notes.len() < PROBLEMS_MAX {
            self.notes.push(Problem::new(place, text));
        }
    }

    /// Reports something without an equal. If losses are allowed, `instead` takes its place.
    pub(crate) fn lose(
        &mut self,
        place: impl Into<String>,
        what: impl fmt::Display,
        instead: impl fmt::Display,
    ) {
        if self.lossy {
            if self.losses.len() < PROBLEMS_MAX {
                self.losses
                    .push(Problem::new(place, format!("{what}: {instead}")));
            }
        } else {
            self.refuse(place, format!("{what}; with --lossy: {instead}"));
        }
    }

    /// Something has no equal, and nothing can replace it.
    pub(crate) fn refuse(&mut self, place: impl Into<String>, text: impl Into<String>) {
        match self.refused.len() < PROBLEMS_MAX {
            true => self.refused.push(Problem::new(place, text)),
            false => self.more += 1,
        }
    }

    /// The name that was probably meant, for a message. Comparing with all names takes time, so it is not done for
    /// messages that are not shown.
    pub(crate) fn meant<'a>(&self, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
        match self.refused.len() < PROBLEMS_MAX {
            true => did_you_mean(name, known),
            false => String::new(),
        }
    }

    pub(crate) fn is_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// The outcome: all that was refused, or the result.
    pub(crate) fn finish<T>(mut self, result: T) -> Result<Translated<T>, Vec<Problem>> {
        if self.refused.is_empty() {
            return Ok(Translated {
                result,
                notes: self.notes,
                losses: self.losses,
            });
        }
        if self.more > 0 {
            let more = format!("{} more problems are not shown", self.more);
            self.refused.push(Problem::whole(more));
        }
        Err(self.refused)
    }
}
