//! Text that comes from files of other systems, and text that goes to a terminal.
//!
//! People must see the real text. A name may hold characters that move the cursor, reverse the direction of
//! writing or are invisible. On a terminal each of them is shown by its number.

use std::borrow::Cow;

/// Why bytes are not text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A byte that UTF-8 does not have at this place.
    #[error("it is not UTF-8 text: byte {offset} is invalid")]
    NotUtf8 {
        /// Where it is, from 0.
        offset: usize,
    },
    /// It begins like UTF-16, but is not valid UTF-16.
    #[error("it has a UTF-16 byte order mark, but is not valid UTF-16")]
    NotUtf16,
}

/// The text of a file: UTF-8 with or without a byte order mark, or UTF-16 with one, as some editors and
/// shells write it. The mark is no part of the text.
///
/// # Errors
/// When it is neither.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes.as_chunks::<2>();
        let text: Result<String, _> =
            char::decode_utf16(units.iter().map(|pair| unit(*pair))).collect();
        match (text, rest) {
            (Ok(text), []) => Ok(Cow::Owned(text)),
            _ => Err(Error::NotUtf16),
        }
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest, 3),
        _ => utf8(bytes, 0),
    }
}

fn utf8(bytes: &[u8], before: usize) -> Result<Cow<'_, str>, Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) => Err(Error::NotUtf8 {
            offset: before + error.valid_up_to(),
        }),
    }
}

/// Whether a terminal would obey the character or hide it instead of drawing it. These are control
/// characters, characters that set the direction of writing, and characters without a shape.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// `text` on one line of a terminal: [hidden](is_hidden) characters by their numbers.
pub fn printable(text: &str) -> String {
    escaped(text, |_| false)
}

/// `text` on lines of a terminal: as [`printable`], but its line ends stay.
pub fn printable_lines(text: &str) -> String {
    escaped(text, |c| c == '\n')
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_hidden(c) && !stays(c) {
            true => match c {
                '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
                _ => shown.extend(c.escape_unicode()),
            },
            false => shown.push(c),
        }
    }
    shown
}

/// The same JSON with everything visible on a terminal. [Hidden](is_hidden) characters, which can only be
/// inside strings, become JSON escapes. Line ends between tokens stay.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let is_meant = |c: char| is_hidden(c) && c != '\n';
    if !json.contains(is_meant) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if !is_meant(c) {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            shown.push_str(&format!("\\u{unit:04x}"));
        }
    }
    Cow::Owned(shown)
}

/// A count and its word: `1 entry`, `2 entries`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    let word = if count == 1 { one } else { many };
    format!("{count} {word}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_is_not_counted_as_many() {
        let shown = [0, 1, 2].map(|count| counted(count, "entry", "entries"));
        assert_eq!(shown, ["0 entries", "1 entry", "2 entries"]);
    }

    #[test]
    fn files_of_other_systems_are_read_as_people_expect() {
        let utf16 = |unit: fn(u16) -> [u8; 2], mark: u16| -> Vec<u8> {
            let text = "é€😀\r\n".encode_utf16();
            std::iter::once(mark).chain(text).flat_map(unit).collect()
        };
        for bytes in [
            "é€😀\r\n".as_bytes().to_vec(),
            "\u{feff}é€😀\r\n".as_bytes().to_vec(),
            utf16(u16::to_le_bytes, 0xfeff),
            utf16(u16::to_be_bytes, 0xfeff),
        ] {
            assert_eq!(decode(&bytes).unwrap(), "é€😀\r\n", "{bytes:?}");
        }
        assert_eq!(decode(b"").unwrap(), "");
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_place() {
        assert_eq!(decode(b"ab\xffc"), Err(Error::NotUtf8 { offset: 2 }));
        assert_eq!(
            decode(b"\xef\xbb\xbfa\xff"),
            Err(Error::NotUtf8 { offset: 4 })
        );
        assert_eq!(decode(b"\xff\xfea"), Err(Error::NotUtf16));
        assert_eq!(decode(b"\xff\xfe\x00\xd8"), Err(Error::NotUtf16));
    }

    #[test]
    fn nothing_on_a_terminal_is_hidden() {
        assert_eq!(printable("a\u{1b}[31mé\n"), "a\\u{1b}[31mé\\n");
        assert_eq!(printable("pay\u{202e}dnufer"), "pay\\u{202e}dnufer");
        assert_eq!(
            printable("a\u{200b}b\u{9b}c\u{7f}"),
            "a\\u{200b}b\\u{9b}c\\u{7f}"
        );
        assert_eq!(printable_lines("a\nb\u{2028}\r"), "a\nb\\u{2028}\\r");
        assert_eq!(printable("日本語 ελληνικά עברית"), "日本語 ελληνικά עברית");
    }

    #[test]
    fn json_on_a_terminal_says_the_same() {
        let json = "{\"a\u{202e}\":\"\u{9b}31m\u{e0041}\",\n\"b\":\"é\"}";
        let shown = printable_json(json);
        assert_eq!(
            shown,
            "{\"a\\u202e\":\"\\u009b31m\\udb40\\udc41\",\n\"b\":\"é\"}"
        );
        let [one, other] = [json, &*shown].map(|text| {
            serde_json::from_str::<std::collections::BTreeMap<String, String>>(text).unwrap()
        });
        assert_eq!(one, other);
        assert!(matches!(printable_json("{}"), Cow::Borrowed("{}")));
    }
}
