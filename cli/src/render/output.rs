//! Where output goes and in which form: JSON or YAML for programs, tables and colour for people.

use std::io::{self, IsTerminal, Write};

use console::Style;
use jiff::Timestamp;
use rstmdb_rcp::json::Json;
pub use rstmdb_rcp::text::printable;
use rstmdb_rcp::text::printable_json;
use serde::Serialize;

use super::yaml;
use crate::Error;
use crate::args::{Color, OutputForm};

/// The end of a cell or of a line that is shortened.
pub const SHORTENED: &str = "…";

/// What a command says if it has shortened something.
pub const SAYS_SHORTENED: &str =
    "what ends in … is shortened to fit the terminal; -o wide or -o json shows all of it";

/// How to print, decided once from the options and from what standard output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    form: OutputForm,
    /// Whether the form was asked for. Without that, tables become JSON in a pipe.
    asked: bool,
    /// Whether standard output is a terminal, which would obey what it must only show.
    terminal: bool,
    /// How tables and drawings are painted.
    pub paint: Paint,
}

/// Colour and room of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    /// Whether escape sequences are wanted.
    pub color: bool,
    /// Whether tables have every column.
    pub wide: bool,
    /// Whether times are told by how long ago they were.
    pub relative: bool,
    /// The columns there are; `None` when output has no edge.
    pub width: Option<usize>,
    /// How far the server's clock is ahead of this machine's, in milliseconds.
    pub ahead_ms: i64,
}

impl Paint {
    /// No colour, no edge.
    pub const PLAIN: Paint = Paint {
        color: false,
        wide: false,
        relative: false,
        width: None,
        ahead_ms: 0,
    };

    /// The time by the server's clock, in Unix milliseconds. This machine's clock may be wrong, and the times that are
    /// told are the server's.
    pub fn now_ms(self) -> i64 {
        let here = Timestamp::now().as_millisecond();
        here.saturating_add(self.ahead_ms)
    }

    /// Whether `text`, drawn by `draw` for this terminal, has shortened cells or lines that are whole without an edge.
    pub fn shortens(self, text: &str, draw: impl FnOnce(Paint) -> String) -> bool {
        let marks = |text: &str| text.matches(SHORTENED).count();
        let has_edge = self.width.is_some() && marks(text) > 0;
        let whole = Paint {
            width: None,
            ..self
        };
        has_edge && marks(text) > marks(&draw(whole))
    }

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

/// Lines that are printed when they come: that some of them are shortened is said once.
#[derive(Debug, Default)]
pub struct DrawnLines {
    said: bool,
}

impl DrawnLines {
    /// Prints what `draw` makes of this terminal.
    pub fn draw(
        &mut self,
        out: &Output,
        paint: Paint,
        draw: impl Fn(Paint) -> String,
    ) -> Result<(), Error> {
        let text = draw(paint);
        if !self.said && paint.shortens(&text, draw) {
            self.said = true;
            eprintln!("{SAYS_SHORTENED}");
        }
        out.line(&text)
    }
}

impl Output {
    /// Decides from the options and from the kind of standard output.
    pub fn new(asked: Option<OutputForm>, color: Color) -> Output {
        let terminal = io::stdout().is_terminal();
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none(),
        };
        let form = match terminal {
            true => OutputForm::Table,
            false => OutputForm::Json,
        };
        let paint = Paint {
            color,
            ..Paint::PLAIN
        };
        let output = Output {
            form,
            asked: false,
            terminal,
            paint,
        };
        output.in_form(asked.unwrap_or(form), asked.is_some())
    }

    /// The same, in the form that is asked for, if one is.
    #[must_use]
    pub fn asked_for(self, form: Option<OutputForm>) -> Output {
        match form {
            Some(form) => self.in_form(form, true),
            None => self,
        }
    }

    /// The same, as wide as the terminal is now.
    #[must_use]
    pub fn resized(self) -> Output {
        self.in_form(self.form, self.asked)
    }

    fn in_form(mut self, form: OutputForm, asked: bool) -> Output {
        self.form = form;
        self.asked = asked;
        self.paint.wide = form == OutputForm::Wide;
        // A file or another program must not get what is true for a moment only.
        self.paint.relative = self.terminal && form == OutputForm::Table;
        let cut = self.terminal && !self.paint.wide;
        self.paint.width = cut.then(|| usize::from(console::Term::stdout().size().1));
        self
    }

    /// The form of results.
    pub fn form(&self) -> OutputForm {
        self.form
    }

    /// Whether results are for programs, and not tables for people.
    pub fn for_programs(&self) -> bool {
        !matches!(self.form, OutputForm::Table | OutputForm::Wide)
    }

    /// Whether a form for programs was asked for. Without that, reports of offline tools are text, also in the log of
    /// a CI system.
    pub fn programs_asked(&self) -> bool {
        self.asked && self.for_programs()
    }

    /// Whether errors are JSON objects, too. They are only if JSON was asked for: scripts read the errors of piped commands
    /// as text.
    pub fn errors_are_json(&self) -> bool {
        self.asked && matches!(self.form, OutputForm::Json | OutputForm::Jsonl)
    }

    /// Says on standard error what went wrong.
    pub fn report(&self, error: &Error) {
        let report = match self.errors_are_json() {
            true => error.report_json(),
            false => error.report(),
        };
        if let Some(report) = report {
            eprintln!("{report}");
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

    /// Prints what `draw` makes of this terminal, and says on standard error if cells of it are shortened.
    pub fn draw(&self, paint: Paint, draw: impl Fn(Paint) -> String) -> Result<(), Error> {
        let text = draw(paint);
        self.line(&text)?;
        if paint.shortens(&text, draw) {
            eprintln!("{SAYS_SHORTENED}");
        }
        Ok(())
    }

    /// Prints the one result of a command: JSON on one line, or YAML.
    pub fn value(&self, value: &impl Serialize) -> Result<(), Error> {
        self.json(&serde_json::to_string(value).map_err(Error::unexpected)?)
    }

    /// The same for a result that is JSON already: unchanged, but for hidden characters, which a terminal would obey.
    pub fn json(&self, json: &str) -> Result<(), Error> {
        match self.form {
            OutputForm::Yaml => {
                let value = Json::parse(json).map_err(Error::unexpected)?;
                self.line(&yaml::document(&value))
            }
            _ if self.terminal => self.line(&printable_json(json)),
            _ => self.line(json),
        }
    }

    /// Prints one of several results, of which a command prints each when it has it: JSON on a line, or a document of
    /// YAML.
    pub fn item(&self, item: &impl Serialize) -> Result<(), Error> {
        self.json_item(&serde_json::to_string(item).map_err(Error::unexpected)?)
    }

    /// The same for an item that is JSON already.
    pub fn json_item(&self, json: &str) -> Result<(), Error> {
        if self.form == OutputForm::Yaml {
            self.line("---")?;
        }
        self.json(json)
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
            ..Paint::PLAIN
        };
        assert_eq!(paint.bold("x"), "\u{1b}[1mx\u{1b}[0m");
    }
}
