//! The console blocks of a Markdown document: the commands, and the output that they must have.
//!
//! ````text
//! ```console
//! $ a command \
//!     over two lines
//! its output
//! $ another command
//! ```
//! ````

/// A command and the output it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleStep {
    /// Where it stands, counted from 1.
    pub line: usize,
    /// Without the prompt, in one line.
    pub command: String,
    /// The lines up to the next command.
    pub output: Vec<String>,
}

/// Every step of every block, in order.
pub fn steps(document: &str) -> Vec<ConsoleStep> {
    let mut steps: Vec<ConsoleStep> = Vec::new();
    let mut block = Vec::new();
    let mut inside = false;
    for (at, line) in document.lines().enumerate() {
        if line.starts_with("```") {
            // The block ends here, so its first line is as far away as it has lines.
            let first = at + 1 - block.len();
            steps.extend(steps_of(block.drain(..), first));
            inside = !inside && line.trim_end() == "```console";
        } else if inside {
            block.push(line);
        }
    }
    steps
}

/// The steps of one block, whose first line has this number.
pub fn steps_of<'a>(block: impl Iterator<Item = &'a str>, first: usize) -> Vec<ConsoleStep> {
    let mut steps: Vec<ConsoleStep> = Vec::new();
    let mut continues = false;
    for (at, line) in block.enumerate() {
        if let Some(command) = line.strip_prefix("$ ") {
            continues = command.ends_with('\\');
            steps.push(ConsoleStep {
                line: first + at,
                command: command.trim_end_matches('\\').trim_end().to_owned(),
                output: Vec::new(),
            });
        } else if let Some(step) = steps.last_mut() {
            if continues {
                continues = line.ends_with('\\');
                step.command.push(' ');
                step.command.push_str(line.trim_end_matches('\\').trim());
            } else {
                step.output.push(line.trim_end().to_owned());
            }
        }
    }
    steps
}

/// Whether `actual` is what the document shows. A line that is only `…` stands for any lines, and `…`
/// inside a line for any text.
pub fn matches(shown: &[String], actual: &[&str]) -> bool {
    match shown.split_first() {
        None => actual.is_empty(),
        Some((line, rest)) if line.trim() == "…" => {
            (0..=actual.len()).any(|skipped| matches(rest, &actual[skipped..]))
        }
        Some((line, rest)) => match actual.split_first() {
            None => false,
            Some((first, others)) => line_matches(line, first) && matches(rest, others),
        },
    }
}

fn line_matches(shown: &str, actual: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = parts.next().and_then(|first| actual.strip_prefix(first)) else {
        return false;
    };
    let mut ends_open = false;
    for part in parts {
        ends_open = part.is_empty();
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    ends_open || rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "text\n```sh\n$ not this\n```\n```console\n$ one \\\n    -x\na\nb\n$ two\n```\n$ nor this\n```console\n$ three\nc\n```\n";

    #[test]
    fn commands_are_found_in_console_blocks_only() {
        let steps = steps(DOCUMENT);
        let commands: Vec<&str> = steps.iter().map(|step| step.command.as_str()).collect();
        assert_eq!(commands, ["one -x", "two", "three"]);
        assert_eq!(steps[0].output, ["a", "b"]);
        assert_eq!((steps[0].line, steps[2].line), (6, 14));
        assert!(steps[1].output.is_empty());
    }

    #[test]
    fn output_is_exact_but_for_what_is_left_out() {
        let shown = |lines: &[&str]| {
            lines
                .iter()
                .map(|line| (*line).to_owned())
                .collect::<Vec<_>>()
        };
        assert!(matches(&shown(&["a", "b"]), &["a", "b"]));
        assert!(!matches(&shown(&["a"]), &["a", "b"]));
        assert!(!matches(&shown(&["a"]), &["a "]));
        assert!(matches(&shown(&["…", "z"]), &["a", "b", "z"]));
        assert!(matches(&shown(&["id … made"]), &["id 0f3c made"]));
        assert!(!matches(&shown(&["id … made"]), &["id 0f3c made it"]));
        assert!(matches(&shown(&["id …"]), &["id 0f3c made it"]));
    }
}
