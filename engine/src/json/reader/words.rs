//! Eight bytes at a time: most bytes of a document are none that a reader has to stop at.

const BYTES: usize = size_of::<u64>();
/// One in each byte.
const ONES: u64 = u64::MAX / 255;
/// The highest bit of each byte.
const HIGHEST: u64 = ONES << 7;

/// Eight bytes of a text, the first in the lowest bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word(u64);

/// Some bytes of a word: the highest bit of each.
pub(super) type Bytes = u64;

impl Word {
    /// The eight bytes from here on; `None` where fewer are left.
    pub(super) fn at(text: &[u8], at: usize) -> Option<Self> {
        let bytes = text.get(at..)?.first_chunk::<BYTES>()?;
        Some(Self(u64::from_le_bytes(*bytes)))
    }

    /// The bytes that are this one.
    pub(super) fn equal(self, byte: u8) -> Bytes {
        let other = self.0 ^ (ONES * u64::from(byte));
        // A carry out of the lower seven bits shows that one of them is set. It never reaches the next byte.
        !(((other & !HIGHEST) + !HIGHEST) | other) & HIGHEST
    }

    /// The bytes that are below this one, which is at most 0x80. Bytes after the first may be wrong.
    pub(super) fn below(self, byte: u8) -> Bytes {
        self.0.wrapping_sub(ONES * u64::from(byte)) & !self.0 & HIGHEST
    }

    /// The bytes that open a list or an object: `[` and `{` differ in one bit.
    pub(super) fn opening(self) -> Bytes {
        Self(self.0 | (ONES * 0x20)).equal(b'{')
    }

    /// The bytes that close one.
    pub(super) fn closing(self) -> Bytes {
        Self(self.0 | (ONES * 0x20)).equal(b'}')
    }
}

/// All bytes of a word, or none.
pub(super) fn all(yes: bool) -> Bytes {
    if yes { HIGHEST } else { 0 }
}

/// For each byte whether an odd number of these is at it and before it.
pub(super) fn odd(bytes: Bytes) -> Bytes {
    ((bytes >> 7).wrapping_mul(ONES) & ONES) << 7
}

/// Whether the last byte of the word is one of these.
pub(super) fn has_last(bytes: Bytes) -> bool {
    bytes >> 63 == 1
}

/// The place of the first of these in its word.
pub(super) fn first(bytes: Bytes) -> usize {
    bytes.trailing_zeros() as usize / 8
}

/// The bytes without the first of them.
pub(super) fn without_first(bytes: Bytes) -> Bytes {
    bytes & bytes.wrapping_sub(1)
}

/// The first byte from here on that is wanted, or the end. Only the first byte that `wanted` names has to be right.
pub(super) fn find(text: &[u8], mut at: usize, wanted: impl Fn(Word) -> Bytes) -> usize {
    while let Some(word) = Word::at(text, at) {
        let found = wanted(word);
        if found != 0 {
            return at + first(found);
        }
        at += BYTES;
    }
    let rest = text.get(at..).unwrap_or_default();
    if rest.is_empty() {
        return text.len();
    }
    // Filled with what no text is searched for.
    let mut last = [b' '; BYTES];
    last[..rest.len()].copy_from_slice(rest);
    match wanted(Word(u64::from_le_bytes(last))) {
        0 => text.len(),
        found => (at + first(found)).min(text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte beside every other.
    #[test]
    fn bytes_are_found_in_every_place_of_a_word() {
        for byte in 0..=255_u8 {
            for other in 0..=255_u8 {
                let mut text = [other; BYTES];
                text[3] = byte;
                let word = Word(u64::from_le_bytes(text));
                for (found, is) in [
                    (word.equal(b'"'), (|it| it == b'"') as fn(u8) -> bool),
                    (word.opening(), |it| it == b'[' || it == b'{'),
                    (word.closing(), |it| it == b']' || it == b'}'),
                ] {
                    let expected = text.iter().enumerate().filter(|(_, it)| is(**it));
                    let expected = expected.fold(0, |all, (at, _)| all | (0x80 << (8 * at)));
                    assert_eq!(found, expected, "{byte} among {other}");
                }
                let first_below = text.iter().position(|it| *it < 0x20);
                let below = word.below(0x20);
                assert_eq!((below != 0).then(|| first(below)), first_below);
            }
        }
    }

    #[test]
    fn quotes_before_a_byte_are_counted() {
        let quotes = 0x0080_0000_8000_8000;
        assert_eq!(odd(quotes), 0x8080_0000_0080_8000);
        assert!(!has_last(quotes));
        assert!(has_last(all(true)));
        assert_eq!(first(quotes), 1);
        assert_eq!(first(without_first(quotes)), 3);
    }

    #[test]
    fn the_first_byte_is_found_at_every_distance_from_the_end() {
        for length in 0..40 {
            for at in 0..=length {
                let mut text = vec![b'x'; length];
                if at < length {
                    text[at] = b'"';
                }
                for from in 0..=at {
                    assert_eq!(find(&text, from, |word| word.equal(b'"')), at);
                }
            }
        }
    }
}
