//! The guards that a refused event is told: the first of them, each with the beginning of its text. A state may have
//! hundreds of guards for one event, and the refusal repeats them in its message and in its details.

use crate::limits::{REFUSED_GUARD_BYTES_MAX, REFUSED_GUARDS_MAX};

/// The first guards of a refusal, and how many there are besides.
#[derive(Debug, Default)]
pub(crate) struct GuardTexts {
    /// The texts, in the order in which the guards were tried. One that is longer ends in `…`.
    pub(crate) guards: Vec<String>,
    /// Of each of them why it has no value, where it has none.
    pub(crate) errors: Vec<Option<String>>,
    /// So many more were tried.
    pub(crate) left_out: usize,
}

impl GuardTexts {
    /// Adds a guard that does not hold.
    pub(crate) fn push(&mut self, text: &str, error: Option<&dyn std::fmt::Display>) {
        if self.guards.len() == REFUSED_GUARDS_MAX {
            self.left_out += 1;
            return;
        }
        self.guards.push(beginning(text));
        self.errors
            .push(error.map(|error| beginning(&error.to_string())));
    }
}

/// The guards that were tried, each with the reason why it has no value.
pub(super) fn with_errors(guards: &[String], errors: &[Option<String>], left_out: usize) -> String {
    let guards = guards.iter().enumerate().map(|(at, guard)| {
        match errors.get(at).and_then(Option::as_ref) {
            Some(error) => format!("{guard} ({error})"),
            None => guard.clone(),
        }
    });
    let mut text = guards.collect::<Vec<_>>().join("; ");
    if left_out > 0 {
        text.push_str(&format!("; and {left_out} more"));
    }
    text
}

fn beginning(text: &str) -> String {
    if text.len() <= REFUSED_GUARD_BYTES_MAX {
        return text.to_owned();
    }
    format!(
        "{}…",
        &text[..text.floor_char_boundary(REFUSED_GUARD_BYTES_MAX)]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut texts = GuardTexts::default();
        let exact = "x".repeat(REFUSED_GUARD_BYTES_MAX);
        texts.push(&exact, None);
        texts.push(
            &format!("x{}", "é".repeat(REFUSED_GUARD_BYTES_MAX)),
            Some(&exact),
        );
        assert_eq!(texts.guards[0], exact);
        let cut = &texts.guards[1];
        assert!(cut.ends_with("é…") && cut.len() <= REFUSED_GUARD_BYTES_MAX + '…'.len_utf8());
        assert_eq!(texts.errors, [None, Some(exact)]);
    }
}
