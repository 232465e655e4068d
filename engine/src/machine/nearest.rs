//! Names that were probably meant.

/// Longest name that is compared.
const NAME_CHARS_MAX: usize = 64;
/// So many known names are compared, in their order: a definition may have very many.
const COMPARED_MAX: usize = 500;

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
        .take(COMPARED_MAX)
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

/// How many edits make one word of the other: a letter inserted, deleted, replaced, or swapped with its neighbour. Each
/// letter is edited once at most.
pub(super) fn edits(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, r) in right.iter().enumerate() {
            let replaced = last[j] + usize::from(l != r);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *l == right[j - 1] && left[i - 1] == *r {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[right.len()]
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

    #[test]
    fn edits_are_counted_with_swaps_as_one() {
        let count = |left: &str, right: &str| {
            let [left, right] = [left, right].map(|word| word.chars().collect::<Vec<_>>());
            edits(&left, &right)
        };
        for (left, right, expected) in [
            ("guard", "guard", 0),
            ("gaurd", "guard", 1),
            ("gard", "guard", 1),
            ("guards", "guard", 1),
            ("gurad", "guard", 1),
            ("grd", "guard", 2),
            ("", "to", 2),
            ("label", "guard", 5),
        ] {
            assert_eq!(count(left, right), expected, "{left} {right}");
            assert_eq!(count(right, left), expected, "{right} {left}");
        }
    }
}
