//! The cap on JSON nesting, checked on the bytes before anything is parsed.
//!
//! Parsers, and code that walks the parsed value, recurse; nesting is the one dimension of a payload
//! that the length limit does not bound. The scan only knows strings and escapes. For text that is not JSON
//! its answer has no meaning, but the parser refuses such text anyway.

/// JSON is nested deeper than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("JSON is nested deeper than {depth_max} levels at byte {at}")]
pub struct TooDeep {
    /// The deepest level allowed, inclusive.
    pub depth_max: usize,
    /// Where the first level beyond it opens.
    pub at: usize,
}

/// Checks that no array or object in `json` opens at a level beyond `depth_max`.
///
/// # Errors
/// [`TooDeep`] at the first bracket beyond the cap.
pub fn check(json: &[u8], depth_max: usize) -> Result<(), TooDeep> {
    // Nearly every payload has fewer brackets than levels allowed, and counting vectorizes.
    let opening = json.iter().filter(|b| matches!(b, b'{' | b'[')).count();
    if opening <= depth_max {
        return Ok(());
    }
    scan(json, depth_max)
}

fn scan(json: &[u8], depth_max: usize) -> Result<(), TooDeep> {
    let mut depth = 0usize;
    let mut bytes = json.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return Err(TooDeep { depth_max, at });
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some((_, inside)) = bytes.next() {
                    match inside {
                        b'"' => break,
                        b'\\' => {
                            bytes.next();
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Vec<u8> {
        [b"[".repeat(depth), b"]".repeat(depth)].concat()
    }

    #[test]
    fn the_cap_itself_passes_and_one_more_does_not() {
        assert_eq!(check(&nested(128), 128), Ok(()));
        assert_eq!(
            check(&nested(129), 128),
            Err(TooDeep {
                depth_max: 128,
                at: 128
            })
        );
        assert!(check(&nested(1_000_000), 128).is_err());
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        let text = format!(
            r#"{{"a\"{}":"\\","b":[{}]}}"#,
            "[".repeat(500),
            "[],".repeat(200)
        );
        assert_eq!(check(text.as_bytes(), 3), Ok(()));
        assert!(check(text.as_bytes(), 2).is_err());
    }

    #[test]
    fn siblings_do_not_add_up() {
        assert_eq!(check("[{}],".repeat(1000).as_bytes(), 2), Ok(()));
    }

    #[test]
    fn text_that_is_not_json_does_no_harm() {
        for text in ["]]]]", "\"\\", "\"[[[[", "[\"\\\"[[[[[", "\\\"[["] {
            let _ = check(text.as_bytes(), 1);
        }
    }
}
