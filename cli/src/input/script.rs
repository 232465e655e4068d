//! Commands on standard input, of which each has one line or, if something is not closed at its end, several.

use std::io;

use crate::Error;

/// Longest command, because a quote that is never closed would take all that follows.
const COMMAND_BYTES_MAX: usize = 1 << 20;

/// Reads commands, and counts lines.
#[derive(Debug, Default)]
pub struct ScriptReader {
    lines: u64,
}

/// A command, and the number of its first line, from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct ScriptCommand {
    /// The number.
    pub line: u64,
    /// The lines.
    pub text: String,
}

impl ScriptReader {
    /// The next command on standard input; none at its end. `is_open` says whether a command goes on in the next line.
    ///
    /// # Errors
    /// If standard input cannot be read, or a command does not end.
    pub fn next(&mut self, is_open: impl Fn(&str) -> bool) -> Result<Option<ScriptCommand>, Error> {
        // Do not hold the lock meanwhile: a document given as - is the rest of the script.
        self.next_of(|text| io::stdin().read_line(text), is_open)
    }

    fn next_of(
        &mut self,
        mut read: impl FnMut(&mut String) -> io::Result<usize>,
        is_open: impl Fn(&str) -> bool,
    ) -> Result<Option<ScriptCommand>, Error> {
        let mut text = String::new();
        let line = self.lines + 1;
        loop {
            let count = read(&mut text)
                .map_err(|error| Error::Usage(format!("cannot read standard input: {error}")))?;
            if count == 0 {
                // What is still open then is said when the command is read.
                let command = ScriptCommand { line, text };
                return Ok((!command.text.is_empty()).then_some(command));
            }
            self.lines += 1;
            if !is_open(text.trim_end_matches(['\r', '\n'])) {
                return Ok(Some(ScriptCommand { line, text }));
            }
            if text.len() > COMMAND_BYTES_MAX {
                let text =
                    format!("a quote or bracket is not closed within {COMMAND_BYTES_MAX} bytes");
                return Err(Error::Usage(text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{BufRead, Cursor};

    use super::super::words::is_open;
    use super::*;

    fn commands(script: &str) -> Vec<(u64, String)> {
        let mut input = Cursor::new(script);
        let mut reader = ScriptReader::default();
        let mut found = Vec::new();
        while let Some(command) = reader
            .next_of(|text| input.read_line(text), is_open)
            .unwrap()
        {
            found.push((command.line, command.text));
        }
        found
    }

    #[test]
    fn a_command_has_the_number_of_its_first_line() {
        let found = commands("ping\n\napply a B {\n x: 1\n}\ninfo \\\n -v\nlast");
        let expected = [
            (1, "ping\n"),
            (2, "\n"),
            (3, "apply a B {\n x: 1\n}\n"),
            (6, "info \\\n -v\n"),
            (8, "last"),
        ];
        assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn what_is_never_closed_is_given_out_at_the_end() {
        assert_eq!(commands("ping 'a\nb\n"), [(1, "ping 'a\nb\n".to_owned())]);
    }

    #[test]
    fn a_command_that_does_not_end_is_not_read_for_ever() {
        let mut reader = ScriptReader::default();
        let read = |text: &mut String| {
            text.push_str(&"x".repeat(1 << 16));
            Ok(1 << 16)
        };
        let error = reader.next_of(read, |_| true).unwrap_err();
        assert!(error.to_string().contains("not closed"), "{error}");
    }
}
