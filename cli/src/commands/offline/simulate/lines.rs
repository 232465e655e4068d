//! What a line of a simulation says, and where it ends.

use rustyline::validate::{ValidationContext, ValidationResult, Validator};

use crate::input::words;
use crate::{Error, args, input};

pub(super) const HELP: &str = "\
EVENT                   apply an event without a payload
EVENT {a: 1, b: text}   … with a payload
EVENT a=1 b.c=text      … the same in short
.allowed                what is possible now, with an empty payload
.ctx                    the context
.diagram                the machine, with the current state marked
.back                   undo the last event
.wait 90s               let time pass
.actor NAME             who applies the events from now on
.headers a=x b=y        the headers of the events from now on
.restart                begin again
.quit                   leave (also Ctrl-D)";

/// Whether what stands behind an event, or is to be a header, goes on in the next line.
pub(super) fn is_open(line: &str) -> bool {
    let line = line.trim_start();
    let rest = line.split_once(char::is_whitespace).map_or("", |it| it.1);
    !line.starts_with('#') && words::is_open(rest)
}

pub(super) type LineEditor = rustyline::Editor<OpenLines, rustyline::history::DefaultHistory>;

/// Reads on while a line is open.
pub(super) struct OpenLines;

impl rustyline::Helper for OpenLines {}

impl rustyline::completion::Completer for OpenLines {
    type Candidate = String;
}

impl rustyline::highlight::Highlighter for OpenLines {}

impl rustyline::hint::Hinter for OpenLines {
    type Hint = String;
}

impl Validator for OpenLines {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match is_open(context.input()) {
            true => ValidationResult::Incomplete,
            false => ValidationResult::Valid(None),
        })
    }
}

/// What begins the errors of a script.
pub(super) const SCRIPT: &str = "simulate: ";
/// Most lines that are listed.
const LINES_MAX: usize = 10;

pub(super) fn refused_at(lines: &[u64]) -> String {
    let shown = lines.iter().take(LINES_MAX).map(u64::to_string);
    let shown: Vec<String> = shown.collect();
    let more = match lines.len() > LINES_MAX {
        true => ", …",
        false => "",
    };
    format!(
        "{} of the events were refused, at line {}{more}",
        lines.len(),
        shown.join(", ")
    )
}

/// Words of the form `NAME=VALUE`.
pub(super) fn headers(text: &str) -> Result<Vec<(String, String)>, Error> {
    let words = words::split(text)?;
    let pairs = words.iter().map(|word| args::header(&word.text));
    let pairs: Result<_, String> = pairs.collect();
    pairs.map_err(|why| Error::Usage(format!("the headers: {why}")))
}

/// The payload that stands behind an event.
pub(super) fn payload(text: &str) -> Result<Option<String>, Error> {
    let words = words::split(text)?.into_iter();
    let words: Vec<String> = words.map(|word| word.text).collect();
    let json = input::document("the payload", &words)?;
    Ok(json.map(|json| json.get().to_owned()))
}
