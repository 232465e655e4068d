//! `import`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::about::WriteArgs;
use super::asking::DryRunArgs;
use super::values::duration;

/// `import`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each row becomes an instance in the state that the row names, with its id, context and times. Guards and\n\
actions do not run, and nothing is emitted; defaults, schema and limits hold. Timers of the state begin now.\n\
The token needs the right to import: auth.import_token_hashes in the server's configuration, or `rstmdb --dev`.\n\n\
Try it with --dry-run first: it says how many rows do not fit, and why, and changes nothing. An import may be\n\
repeated: rows that were imported before change nothing. A column that no option names is a field of the\n\
context. From PostgreSQL:\n  \
psql -c \"COPY (SELECT id, status, created_at, total FROM orders) TO STDOUT WITH CSV HEADER\" \\\n    \
| rstmdb-cli import order - --from csv --state status --type total=number --dry-run")]
pub struct ImportArgs {
    /// The machine.
    pub machine: String,
    /// The file: plain or .gz, or - for standard input.
    pub file: String,
    /// What the file holds; when absent, the end of its name decides.
    #[arg(long, value_name = "FORMAT")]
    pub from: Option<RowFormat>,
    /// The machine's version; the highest when absent.
    #[arg(short = 'V', long)]
    pub version: Option<u32>,
    /// Which columns are what.
    #[command(flatten)]
    pub columns: ImportColumns,
    /// Count a row as done if its instance exists already, but not from this import.
    #[arg(long)]
    pub skip_existing: bool,
    /// Write the refused rows to this file, in their original form and order.
    #[arg(long, value_name = "FILE")]
    pub rejected: Option<PathBuf>,
    /// Keep the number of finished rows in this file, and continue after them if it is the same import.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub resume: Option<PathBuf>,
    /// End after this many refused rows; 0: never. A dry run never ends early.
    #[arg(long, value_name = "ROWS", default_value_t = 1000)]
    pub refusals_max: u64,
    /// How many rows may be in flight at the same time.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub in_flight: u32,
    /// How many connections to use.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub connections: u32,
    /// How long to retry a row while the server cannot be reached.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub retry_for: Duration,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRunArgs,
}

/// Which columns are what.
#[derive(Debug, Clone, Args)]
pub struct ImportColumns {
    /// The column with the instance's id.
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    pub id: String,
    /// The column with the state.
    #[arg(long, value_name = "COLUMN", default_value = "state")]
    pub state: String,
    /// A state's name in the rows, and its name in the machine. May be repeated.
    #[arg(long = "map", value_name = "ROW=MACHINE", value_parser = pair)]
    pub states: Vec<(String, String)>,
    /// The column with the time of creation; created_at, if there is such a column.
    #[arg(long, value_name = "COLUMN")]
    pub created: Option<String>,
    /// The column with the time of the last change; updated_at, if there is such a column.
    #[arg(long, value_name = "COLUMN")]
    pub updated: Option<String>,
    /// Numbers in columns of times are seconds, not milliseconds, since 1970. Other times are dates; those without a
    /// zone are UTC.
    #[arg(long)]
    pub unix_seconds: bool,
    /// The column with the whole context, a JSON object; ctx, if there is such a column.
    #[arg(long, value_name = "COLUMN")]
    pub ctx: Option<String>,
    /// Only these columns are fields of the context.
    #[arg(
        long,
        value_name = "COLUMNS",
        value_delimiter = ',',
        conflicts_with = "ctx"
    )]
    pub only: Vec<String>,
    /// What a column of CSV holds, if it is not text: COLUMN=number, bool, json or text. May be repeated.
    #[arg(long = "type", value_name = "COLUMN=TYPE", value_parser = typed)]
    pub types: Vec<(String, FieldType)>,
    /// What separates the columns of CSV.
    #[arg(long, value_name = "CHARACTER", default_value = ",")]
    pub delimiter: char,
}

/// What a file of rows holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    /// Comma-separated values; the first line names the columns.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

/// What a column of CSV holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FieldType {
    /// As it is.
    Text,
    /// A number, kept digit by digit.
    Number,
    /// true, t, 1 or yes; false, f, 0 or no.
    Bool,
    /// Any JSON.
    Json,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("expected NAME=VALUE, got {text:?}"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn typed(text: &str) -> Result<(String, FieldType), String> {
    let (name, kind) = pair(text)?;
    Ok((name, FieldType::from_str(&kind, true)?))
}
