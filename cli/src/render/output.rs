//! Where output goes and in which form: JSON for programs, tables and colour for people.

use std::io::{self, IsTerminal, Write};

use console::Style;
pub use rstmdb_rcp::text::printable;
use rstmdb_rcp::text::printable_json;
use serde::Serialize;

use crate::Error;
use crate::args::Color;

/// How to print, decided once from the options and from what standard output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// Print results as JSON, unchanged.
    pub json: bool,
    /// How tables and drawings are painted.
    pub paint: Paint,
}

/// Colour and room of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    /// Whether escape sequences are wanted.
    pub color: bool,
    /// The columns there are; `None` when output has no edge.
    pub width: Option<usize>,
}

impl Paint {
    /// No colour, no edge.
    pub const PLAIN: Paint = Paint {
        color: false,
        width: None,
    };

    /// `text` in `style`, where colour is wanted.
    pub fn apply(self, style: Style, text: &str) -> String {
        style.force_styling(self.color).apply_to(text).to_string()
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.apply(Style::new().bold(), text)
    }

    /// Something of less interest.
    pub fn dim(self, text: &str) -> String {
        self.apply(Style::new().dim(), text)
    }

    /// Something that is wrong.
    pub fn alarm(self, text: &str) -> String {
        self.apply(Style::new().red().bold(), text)
    }

    /// Something to be found at once.
    pub fn highlight(self, text: &str) -> String {
        self.apply(Style::new().green().bold(), text)
    }
}

impl Output {
    /// Decides from the options and from the kind of standard output.
    pub fn new(json: bool, color: Color) -> Output {
        let terminal = io::stdout().is_terminal();
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none(),
        };
        let width = terminal.then(|| usize::from(console::Term::stdout().size().1));
        Output {
            json: json || !terminal,
            paint: Paint { color, width },
        }
    }

    /// Prints `text` and a newline. Flushed: a reader at the other end of a pipe sees it now.
    pub fn line(&self, text: &str) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        stdout.flush()?;
        Ok(())
    }

    /// Prints `value` as one line of JSON.
    pub fn json_line(&self, value: &impl Serialize) -> Result<(), Error> {
        self.json(&serde_json::to_string(value).map_err(Error::unexpected)?)
    }

    /// Prints JSON: unchanged for programs; on a terminal with hidden characters escaped.
    pub fn json(&self, json: &str) -> Result<(), Error> {
        match self.paint.width {
            Some(_) => self.line(&printable_json(json)),
            None => self.line(json),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_printed_only_where_it_is_wanted() {
        assert_eq!(Paint::PLAIN.bold("x"), "x");
        let paint = Paint {
            color: true,
            width: None,
        };
        assert_eq!(paint.bold("x"), "\u{1b}[1mx\u{1b}[0m");
    }
}
