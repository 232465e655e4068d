//! The form of results.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

/// The options that choose the form of results.
#[derive(Debug, Clone, Copy, Args)]
pub struct FormArgs {
    /// How results are printed: `table` on a terminal and `json` in a pipe when absent.
    #[arg(
        short,
        long,
        value_name = "FORM",
        global = true,
        conflicts_with = "json"
    )]
    pub output: Option<OutputForm>,
    /// The same as `-o json`.
    #[arg(long, global = true)]
    pub json: bool,
}

impl FormArgs {
    /// The form, if one was asked for.
    pub fn asked(self) -> Option<OutputForm> {
        match self.json {
            true => Some(OutputForm::Json),
            false => self.output,
        }
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// Columns for people, cut at the edge of the terminal.
    Table,
    /// The same with every column, and nothing cut.
    Wide,
    /// RCP's JSON, unchanged, as one object.
    Json,
    /// Of a list each item as JSON on a line of its own.
    Jsonl,
    /// RCP's result as YAML.
    Yaml,
}

/// The form that a command line asks for which is no right one otherwise, so that what is wrong with it is said in that
/// form.
pub fn form_asked(words: impl Iterator<Item = OsString>) -> Option<OutputForm> {
    let mut words = words.map_while(|word| word.into_string().ok());
    let mut asked = None;
    while let Some(word) = words.next() {
        let form = match word.as_str() {
            // The rest is another program's command line.
            "--" => break,
            "--json" => Some("json".to_owned()),
            "-o" | "--output" => words.next(),
            word => word
                .strip_prefix("--output=")
                .or_else(|| word.strip_prefix("-o"))
                .map(|form| form.trim_start_matches('=').to_owned()),
        };
        let form = form.and_then(|form| OutputForm::from_str(&form, false).ok());
        asked = form.or(asked);
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_found_in_a_command_line_that_is_wrong_otherwise() {
        let asked = |line: &str| form_asked(line.split(' ').map(OsString::from));
        for line in [
            "--json nonsense",
            "nonsense --json",
            "-o json x",
            "-ojson",
            "x -o=json",
            "--output json",
            "--output=json",
        ] {
            assert_eq!(asked(line), Some(OutputForm::Json), "{line}");
        }
        assert_eq!(asked("-o jsonl nonsense"), Some(OutputForm::Jsonl));
        for line in ["nonsense", "-o", "-o xml", "lock run a -- b --json", "-x"] {
            assert_eq!(asked(line), None, "{line}");
        }
    }
}
