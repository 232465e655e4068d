//! Patterns of `matches` and of schemas, of bounded size: matching takes time that is linear in the text.

use regex_lite::RegexBuilder;

/// Bytes that a compiled pattern may take.
const BYTES_MAX: usize = 16 << 10;
/// The smallest size limit that is tried; a smaller pattern counts as this size.
const BYTES_MIN: usize = 1 << 10;
/// Bytes of a compiled pattern that count as one part.
const PART_BYTES: usize = 256;
/// The most parts that a pattern has.
pub(super) const PARTS_MAX: usize = BYTES_MAX / PART_BYTES;
const NESTING_MAX: u32 = 32;
/// Longest pattern, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// What compiling a pattern costs at most, in steps.
pub(super) const COMPILE_STEPS: u64 = 4000;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    regex: regex_lite::Regex,
    /// How many bytes it takes at most.
    bytes: usize,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_BYTES_MAX {
            let length = text.len();
            return Err(format!(
                "the pattern is {length} bytes long; {TEXT_BYTES_MAX} are allowed"
            ));
        }
        // The crate does not tell how large a pattern became, only whether it fits.
        let mut bytes = BYTES_MIN;
        loop {
            let built = RegexBuilder::new(text)
                .size_limit(bytes)
                .nest_limit(NESTING_MAX)
                .build();
            match built {
                Ok(regex) => return Ok(Self { regex, bytes }),
                Err(error) if bytes == BYTES_MAX => {
                    return Err(format!("the pattern cannot be used: {error}"));
                }
                Err(_) => bytes *= 2,
            }
        }
    }

    /// How many parts each byte of a text may visit.
    pub(super) fn parts(&self) -> usize {
        self.bytes / PART_BYTES
    }

    /// What matching a text of so many bytes costs, in steps: each of its bytes may visit each part of the pattern.
    pub(crate) fn steps(&self, text_bytes: usize) -> u64 {
        (text_bytes as u64 + 1).saturating_mul(self.parts() as u64)
    }

    pub(super) fn text(&self) -> &str {
        self.regex.as_str()
    }

    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}
