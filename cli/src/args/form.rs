//! The form of results.

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
