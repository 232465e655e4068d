//! Texts in a URL: `%2F` is a slash of an id, and no separator.

use std::borrow::Cow;

/// Decodes a part of a path or, with `plus_is_space`, of a query.
///
/// # Errors
/// When a `%` has not two hexadecimal digits behind it, or the bytes are not UTF-8.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> Result<Cow<'_, str>, &'static str> {
    let is_plain = |byte: u8| byte != b'%' && !(plus_is_space && byte == b'+');
    if text.bytes().all(is_plain) {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let digits = after
                    .split_first_chunk::<2>()
                    .map(|(two, rest)| (*two, rest));
                let Some((value, after)) = digits.and_then(|(two, rest)| Some((hex(two)?, rest)))
                else {
                    return Err("has a % without two hexadecimal digits behind it");
                };
                decoded.push(value);
                rest = after;
            }
            b'+' if plus_is_space => decoded.push(b' '),
            other => decoded.push(*other),
        }
    }
    let decoded = String::from_utf8(decoded);
    decoded.map(Cow::Owned).map_err(|_| "is not UTF-8")
}

fn hex([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// A text as one segment of a path: everything but letters, digits and `-._~` is encoded.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_bytes_of_utf_8_and_a_plus_is_a_space_in_a_query_only() {
        assert_eq!(decode("a%2Fb%20c", false).unwrap(), "a/b c");
        assert_eq!(decode("gr%C3%BC%c3%9fe", false).unwrap(), "grüße");
        assert_eq!(decode("a+b", false).unwrap(), "a+b");
        assert_eq!(decode("a+b%2B", true).unwrap(), "a b+");
        for wrong in ["%", "%a", "%zz", "%+1", "a%C3", "%FF"] {
            assert!(decode(wrong, true).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_id_is_one_segment(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert!(encoded.is_ascii() && !encoded.contains(['/', '?', '#', '+']));
            prop_assert_eq!(decode(&encoded, false).unwrap(), &*text);
            prop_assert_eq!(decode(&encoded, true).unwrap(), &*text);
        }

        #[test]
        fn any_text_is_decoded_or_refused(text in any::<String>(), query in any::<bool>()) {
            let _ = decode(&text, query);
        }
    }
}
