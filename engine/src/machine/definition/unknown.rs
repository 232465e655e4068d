//! Unknown keys: misspelt known keys are refused, others are named in warnings.
//!
//! A transition whose `guard` is misspelt would be taken without a condition, for good: definitions
//! are immutable. But clients send keys of their own and rely on their being ignored, so a key must be
//! close to be refused:
//!
//! | key | refused, beside other capitals or `_` and `-` |
//! |---|---|
//! | in a transition | within two edits of `guard`, or a word that others use for it |
//! | in a transition | within one edit of `event` |
//! | in the definition | within one edit of `initial` or `transitions` |
//!
//! `from`, `to` and `states` are close to words of other systems (`form`, `do`, `status`). They are required,
//! so the missing key shows a misspelling. If the right key is there too, the other one gets a warning. An
//! edit
//! inserts, deletes or replaces a letter, or swaps two neighbours.

use super::raw::{KEY_CHARS_SHOWN, KEYS, TRANSITION_KEYS, Unknown};
use crate::machine::nearest::edits;

/// Words that other systems or people use for a guard.
const GUARD_WORDS: [&str; 12] = [
    "cond",
    "conds",
    "condition",
    "conditions",
    "if",
    "iff",
    "onlyif",
    "predicate",
    "precondition",
    "unless",
    "when",
    "whenever",
];

/// A longer key is never taken for a misspelt known key.
const KEY_BYTES_MAX: usize = 32;

/// Whether others call a guard so.
pub(super) fn is_a_guard(key: &str) -> bool {
    GUARD_WORDS.contains(&key.to_lowercase().as_str())
}

impl Unknown<'_> {
    /// Where the key is, as a path like `transitions[3].gaurd`.
    pub(super) fn place(&self) -> String {
        let key: String = self.key.chars().take(KEY_CHARS_SHOWN).collect();
        match self.transition {
            Some(position) => format!("transitions[{position}].{key}"),
            None => key,
        }
    }

    fn ours(&self) -> [&'static str; 4] {
        match self.transition {
            Some(_) => TRANSITION_KEYS,
            None => KEYS,
        }
    }

    fn owner(&self) -> &'static str {
        match self.transition {
            Some(_) => "transition",
            None => "definition",
        }
    }

    /// The known key that was probably meant.
    pub(super) fn meant(&self) -> Option<&'static str> {
        if self.key.len() > KEY_BYTES_MAX {
            return None;
        }
        let key: Vec<char> = self
            .key
            .chars()
            .filter(|c| !matches!(c, '_' | '-' | ' '))
            .flat_map(char::to_lowercase)
            .collect();
        let word: String = key.iter().collect();
        if self.transition.is_some() && GUARD_WORDS.contains(&word.as_str()) {
            return Some("guard");
        }
        self.ours().into_iter().find(|ours| {
            let edits_max = match *ours {
                "guard" => 2,
                "from" | "to" | "states" | "meta" => 0,
                _ => 1,
            };
            edits(&key, &ours.chars().collect::<Vec<_>>()) <= edits_max
        })
    }

    /// Why it is refused.
    pub(super) fn refusal(&self, meant: &str) -> String {
        format!(
            "is not a key of a {}; did you mean `{meant}`? Allowed are {}",
            self.owner(),
            self.ours().map(|key| format!("`{key}`")).join(", ")
        )
    }

    /// The warning to the client if it is ignored.
    pub(super) fn warning(&self) -> String {
        format!(
            "is not a key of a {} and is ignored; known are {}",
            self.owner(),
            self.ours().map(|key| format!("`{key}`")).join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn meant(transition: Option<usize>, key: &str) -> Option<&'static str> {
        let key = Cow::Borrowed(key);
        Unknown { transition, key }.meant()
    }

    #[test]
    fn slips_are_told_from_keys_of_others() {
        for key in [
            "gaurd", "gard", "guards", "Guard", "GUARD", "guard_", "grd", "cond", "if",
        ] {
            assert_eq!(meant(Some(0), key), Some("guard"), "{key}");
        }
        for key in ["when", "unless", "only_if", "Condition", "pre-condition"] {
            assert_eq!(meant(Some(0), key), Some("guard"), "{key}");
        }
        for (key, ours) in [
            ("events", "event"),
            ("Event", "event"),
            ("TO", "to"),
            ("From", "from"),
        ] {
            assert_eq!(meant(Some(0), key), Some(ours), "{key}");
        }
        for (key, ours) in [
            ("States", "states"),
            ("intial", "initial"),
            ("Meta", "meta"),
        ] {
            assert_eq!(meant(None, key), Some(ours), "{key}");
        }
        for key in [
            "label", "do", "form", "id", "t", "", "name", "actions", "emits", "after",
        ] {
            assert_eq!(meant(Some(0), key), None, "{key}");
        }
        for key in [
            "status",
            "state",
            "name",
            "version",
            "description",
            "guard",
            "when",
            "id",
            "data",
        ] {
            assert_eq!(meant(None, key), None, "{key}");
        }
        assert_eq!(meant(Some(0), &"guard".repeat(1000)), None);
    }
}
