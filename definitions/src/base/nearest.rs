//! Names that were probably meant.

use rstmdb_engine::definition::edits;

/// Longest name that is compared.
const NAME_CHARS_MAX: usize = 64;

/// The known name that is most similar to this one, if any is similar.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = folded(name);
    if word.is_empty() || word.len() > NAME_CHARS_MAX {
        return None;
    }
    let edits_max = match word.len() {
        1..=2 => 0,
        3..=5 => 1,
        6..=8 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .filter(|other| *other != name)
        .filter_map(|other| {
            let folded = folded(other);
            if folded.len().abs_diff(word.len()) > edits_max {
                return None;
            }
            Some((edits(&word, &folded), other))
        })
        .filter(|(count, _)| *count <= edits_max)
        .min_by_key(|(count, _)| *count)
        .map(|(_, other)| other)
}

/// `; did you mean "PAY"?`, or nothing.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(other) => format!("; did you mean {other:?}?"),
        None => String::new(),
    }
}

/// Without case, `_`, `-`, `.` and spaces.
fn folded(name: &str) -> Vec<char> {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-' | ' ' | '.'))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_probably_meant_is_found() {
        let known = ["PAY", "CHECKOUT", "CANCEL", "paid_at", "ab"];
        for (name, meant) in [
            ("pay", Some("PAY")),
            ("PAYY", Some("PAY")),
            ("CHEKOUT", Some("CHECKOUT")),
            ("CHECKUOT", Some("CHECKOUT")),
            ("paidAt", Some("paid_at")),
            ("cancelled", Some("CANCEL")),
            ("REFUND", None),
            ("ac", None),
            ("", None),
            ("PAY", None),
        ] {
            assert_eq!(nearest(name, known), meant, "{name}");
        }
        assert_eq!(
            did_you_mean("Checkout", known),
            "; did you mean \"CHECKOUT\"?"
        );
        assert_eq!(nearest(&"x".repeat(1000), known), None);
    }
}
