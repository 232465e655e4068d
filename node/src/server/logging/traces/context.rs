//! `traceparent` of W3C Trace Context: which trace a request belongs to, and which span it continues.

use std::fmt;

/// The characters of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// The flag that says that the caller records its part.
const SAMPLED: u8 = 1;

/// A valid `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceParent {
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    pub(super) flags: u8,
}

impl TraceParent {
    /// The parent that a sampled request hands on.
    pub(super) fn sampled(trace_id: [u8; 16], span_id: [u8; 8]) -> Self {
        Self {
            trace_id,
            span_id,
            flags: SAMPLED,
        }
    }

    /// Reads one. `None` if it is anything but version 00 with lower-case digits and ids that are not zero.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != LENGTH {
            return None;
        }
        let mut parts = text.split('-');
        let [version, trace_id, span_id, flags] = [(); 4].map(|()| parts.next());
        if parts.next().is_some() || version != Some("00") {
            return None;
        }
        let [flags] = digits(flags?)?;
        let parent = Self {
            trace_id: digits(trace_id?)?,
            span_id: digits(span_id?)?,
            flags,
        };
        let is_known = parent.trace_id != [0; 16] && parent.span_id != [0; 8];
        is_known.then_some(parent)
    }

    /// Whether the caller records its part.
    pub(crate) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace_id,
            span_id,
            flags,
        } = self;
        let (trace_id, span_id) = (hex::encode(trace_id), hex::encode(span_id));
        write!(f, "00-{trace_id}-{span_id}-{flags:02x}")
    }
}

fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_lower = text
        .bytes()
        .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; N];
    (is_lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_parent_is_read_as_it_is_written() {
        let parent = TraceParent::parse(VALID).unwrap();
        assert!(parent.is_sampled());
        assert_eq!(parent.to_string(), VALID);
        let unsampled = TraceParent::parse(&VALID.replace("-01", "-00")).unwrap();
        assert!(!unsampled.is_sampled());
        assert!(
            TraceParent::parse(&VALID.replace("-01", "-03"))
                .unwrap()
                .is_sampled()
        );
    }

    #[test]
    fn what_is_no_parent_of_version_00_counts_as_none() {
        for wrong in [
            String::new(),
            VALID.to_uppercase(),
            VALID.replace("00-4b", "01-4b"),
            VALID.replace("00-4b", "ff-4b"),
            VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
            VALID.replace("4736-00f0", "473-600f0"),
            VALID.replace("-01", "-0g"),
            VALID.replace("-01", "-0ü"),
            VALID.replace('-', "_"),
            format!("{VALID}-"),
            format!(" {VALID}"),
            format!("{VALID}-00"),
        ] {
            assert_eq!(TraceParent::parse(&wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_none_or_written_back(text in "[0-9a-g-]{50,60}|\\PC*|00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}") {
            if let Some(parent) = TraceParent::parse(&text) {
                prop_assert_eq!(parent.to_string(), text);
            }
        }
    }
}
