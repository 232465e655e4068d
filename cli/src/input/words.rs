//! A typed line, split into words as a shell splits it, with one thing more: a word that begins with `{` or `[` is a
//! document up to its last bracket, and needs no quotes around it.

use super::loose;
pub use super::loose::SplitFault;

/// A word of a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Word {
    /// What it says. A document is JSON.
    pub text: String,
    /// Whether it is a document that was typed without quotes around it.
    pub is_document: bool,
}

/// Whether the line goes on in the next one.
pub fn is_open(line: &str) -> bool {
    matches!(split(line), Err(SplitFault::Open(_)))
}

/// The words of a line.
///
/// # Errors
/// If it is not a whole line, or wrong.
pub fn split(line: &str) -> Result<Vec<Word>, SplitFault> {
    let mut words: Vec<Word> = Vec::new();
    let mut rest = line;
    // Behind it stands another program's command line.
    let mut foreign = false;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(words);
        }
        if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, next)| next);
            continue;
        }
        if let Some(next) = rest.strip_prefix("\\\n") {
            rest = next;
            continue;
        }
        let is_document = rest.starts_with(['{', '[']) && !foreign;
        let (text, next) = match is_document {
            true => document(rest)?,
            false => word(rest, foreign)?,
        };
        foreign |= text == "--";
        words.push(Word { text, is_document });
        rest = next;
    }
}

fn document(text: &str) -> Result<(String, &str), SplitFault> {
    let (document, rest) = loose::document(text)?;
    match rest.chars().next() {
        Some(c) if !c.is_whitespace() => Err(SplitFault::Wrong(format!(
            "{c:?} follows the document; the next word needs a blank before it"
        ))),
        _ => Ok((document.to_string(), rest)),
    }
}

fn word(text: &str, foreign: bool) -> Result<(String, &str), SplitFault> {
    const OPEN: SplitFault = SplitFault::Open("a quote");
    let mut word = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next().filter(|c| !c.is_whitespace()) {
        if matches!(c, '{' | '[') && word.ends_with(":=") && !foreign {
            let (document, next) = document(rest)?;
            word.push_str(&document);
            return Ok((word, next));
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\'' => {
                let (quoted, next) = rest.split_once('\'').ok_or(OPEN)?;
                word.push_str(quoted);
                rest = next;
            }
            '"' => rest = double_quoted(rest, &mut word)?,
            '\\' => {
                let escaped = rest.chars().next();
                let escaped = escaped.ok_or(SplitFault::Open("the line"))?;
                rest = &rest[escaped.len_utf8()..];
                if escaped != '\n' {
                    word.push(escaped);
                }
            }
            c => word.push(c),
        }
    }
    Ok((word, rest))
}

/// What stands behind the closing quote. Before some characters a backslash is none, as in a shell.
fn double_quoted<'a>(text: &'a str, word: &mut String) -> Result<&'a str, SplitFault> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok(&text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, '\n')) => {}
                Some((_, c @ ('$' | '`' | '"' | '\\'))) => word.push(c),
                Some((_, c)) => word.extend(['\\', c]),
                None => break,
            },
            c => word.push(c),
        }
    }
    Err(SplitFault::Open("a quote"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn texts(line: &str) -> Vec<String> {
        split(line)
            .unwrap()
            .into_iter()
            .map(|word| word.text)
            .collect()
    }

    #[test]
    fn a_line_without_documents_is_split_as_a_shell_splits_it() {
        for line in [
            "",
            "  ping  ",
            "a 'b c' \"d e\" f\\ g",
            r#"-p '{"a": "b c"}' --json"#,
            r#""a \" \\ \n b""#,
            "a'b'\"c\"d",
            "a # b",
            "a#b",
            "'' \"\"",
            "a=b{c} d",
            "größe '支 払'",
            "a \\\n b",
            "\"a \\\n b\"",
        ] {
            assert_eq!(texts(line), shell_words::split(line).unwrap(), "{line}");
        }
    }

    #[test]
    fn a_document_needs_no_quotes_and_may_have_several_lines() {
        let words = split("apply order-1 PAY {amount: 3,\n card: {type: visa}} -v").unwrap();
        let word = |text: &str, is_document| Word {
            text: text.to_owned(),
            is_document,
        };
        assert_eq!(
            words,
            [
                word("apply", false),
                word("order-1", false),
                word("PAY", false),
                word(r#"{"amount":3,"card":{"type":"visa"}}"#, true),
                word("-v", false),
            ]
        );
        assert_eq!(
            texts("-p items:=[1, 2] -p b=3"),
            ["-p", "items:=[1,2]", "-p", "b=3"]
        );
        assert_eq!(texts("'{a b}' x{"), ["{a b}", "x{"]);
    }

    #[test]
    fn the_command_line_of_another_program_is_left_alone() {
        let line = "lock run x -- sh -c [ -f {} ] x:=[1]";
        assert_eq!(texts(line), shell_words::split(line).unwrap());
    }

    #[test]
    fn what_is_not_closed_goes_on_in_the_next_line() {
        for line in [
            "a 'b", "a \"b", "a {b", "a [1,", "a \\", "\"a\\", "{a: \"x", "a:={b: 1",
        ] {
            assert!(is_open(line), "{line}");
        }
        for line in [
            "",
            "a",
            "{a: 1}",
            "# it's a comment",
            "a # '",
            "{a: 1}x",
            "{a}",
        ] {
            assert!(!is_open(line), "{line}");
        }
        assert!(split("{a: 1}x").is_err());
    }
}
