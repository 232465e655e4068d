//! Faults of a definition, each with its place.

use crate::limits::FAULTS_MAX;

/// Something that is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionFault {
    /// The place, as a path like `transitions[3].guard`; empty for the definition as a whole.
    pub place: String,
    /// What is wrong and what is allowed.
    pub text: String,
}

/// The faults found so far. The first ones are kept, the others counted.
#[derive(Debug, Default)]
pub(super) struct Faults {
    all: Vec<DefinitionFault>,
    more: usize,
}

impl Faults {
    pub(super) fn add(&mut self, place: impl Into<String>, text: impl Into<String>) {
        if self.all.len() == FAULTS_MAX {
            self.more += 1;
            return;
        }
        self.all.push(DefinitionFault {
            place: place.into(),
            text: text.into(),
        });
    }

    /// Whether a further one is only counted.
    pub(super) fn are_full(&self) -> bool {
        self.all.len() == FAULTS_MAX
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.all.len() + self.more
    }

    /// All of them, in the order found.
    pub(super) fn into_all(mut self) -> Vec<DefinitionFault> {
        if self.more > 0 {
            let text = format!("{} more faults are not shown", self.more);
            self.all.push(DefinitionFault {
                place: String::new(),
                text,
            });
        }
        self.all
    }
}

/// The faults as one text.
pub(super) fn joined(faults: &[DefinitionFault]) -> String {
    let faults: Vec<String> = faults.iter().map(DefinitionFault::to_string).collect();
    faults.join("; ")
}

impl std::fmt::Display for DefinitionFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.text)
    }
}
