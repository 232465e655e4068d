//! The arguments of the commands that work on files, without a server.

use clap::{Args, Subcommand, ValueEnum};
use rstmdb_definitions::export;
use rstmdb_definitions::import;

/// The commands that work on files.
#[derive(Debug, Subcommand)]
pub enum Offline {
    /// Check definitions without a server.
    Validate(ValidateArgs),
    /// Run a machine without a server: type events, see the state, the context and what is allowed.
    Simulate(SimulateArgs),
    /// Run tests of machines without a server.
    Test(TestArgs),
    /// Show what changed between two definitions, and what that means for instances in flight.
    Diff(DiffArgs),
    /// Turn a machine of XState, SCXML, the Amazon States Language or Mermaid into a definition.
    ImportMachine(ImportMachineArgs),
    /// Write a definition in the language of another system.
    ExportMachine(ExportMachineArgs),
    /// Write a definition of format 1 in format 2, with the same meaning.
    Convert(ConvertArgs),
}

/// `validate`.
#[derive(Debug, Args)]
#[command(after_help = "\
The command checks a definition as a server would, but shows all errors, not only the first.\n\
Warnings name parts that are allowed and probably a mistake: states that cannot be reached,\n\
dead ends, events that no transition handles. The exit code is 1 if there is an error.")]
pub struct ValidateArgs {
    /// Definitions: JSON or YAML, - for standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Let warnings count as errors.
    #[arg(long)]
    pub strict: bool,
}

/// `simulate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Type an event and, if it has one, its payload: PAY {\"amount\": 3}, or PAY amount=3.\n\
Lines that begin with a dot are commands: .help lists them. Where standard input is not a\n\
terminal, the events are read from it, one a line, and the exit code is 1 if one of them was\n\
refused. Where standard output is not a terminal, each answer is a JSON object on a line.")]
pub struct SimulateArgs {
    /// The definition: JSON or YAML.
    pub file: String,
    /// The initial context: a JSON object, @file.json, or NAME=VALUE, repeated.
    #[arg(short, long)]
    pub ctx: Vec<String>,
    /// Begin in this state, as if events had led there.
    #[arg(long)]
    pub state: Option<String>,
    /// Who applies the events: the value of `actor` in expressions.
    #[arg(long, default_value = "")]
    pub actor: String,
    /// A header of every write, repeated: a field of `headers` in expressions.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = super::about::header)]
    pub headers: Vec<(String, String)>,
}

/// `test`.
#[derive(Debug, Args)]
#[command(after_help = "\
docs/testing-machines.md describes the files. The exit code is 1 if a test fails.")]
pub struct TestArgs {
    /// Files of tests, in YAML or JSON.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Also write a report in JUnit's XML to this file.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<std::path::PathBuf>,
    /// Only tests whose names contain this.
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
}

/// `diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Signs: + harmless for instances of the older definition, ~ some of their events may be\n\
refused or lead elsewhere, ! they may be in a state that is no longer there. The exit code is\n\
1 if there is a ~ or a !.")]
pub struct DiffArgs {
    /// The older definition.
    pub old: String,
    /// The newer definition.
    pub new: String,
}

/// `import-machine`.
#[derive(Debug, Args)]
#[command(after_help = "\
The definition goes to standard output, notes and losses to standard error. A file with parts\n\
that have no equal is refused, and the message lists all of them. docs/import-export.md says\n\
what becomes of each part.")]
pub struct ImportMachineArgs {
    /// The language of the file.
    #[arg(long, value_name = "LANGUAGE")]
    pub from: ImportFrom,
    /// The file, - for standard input.
    pub file: String,
    /// Leave out or replace what has no equal, where that is possible, and report each loss.
    #[arg(long)]
    pub lossy: bool,
}

/// The languages that `import-machine` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportFrom {
    /// XState's machines as JSON, versions 4 and 5.
    Xstate,
    /// SCXML.
    Scxml,
    /// The Amazon States Language.
    Asl,
    /// Mermaid's state diagrams.
    Mermaid,
}

impl From<ImportFrom> for import::ImportLanguage {
    fn from(from: ImportFrom) -> Self {
        match from {
            ImportFrom::Xstate => Self::Xstate,
            ImportFrom::Scxml => Self::Scxml,
            ImportFrom::Asl => Self::Asl,
            ImportFrom::Mermaid => Self::Mermaid,
        }
    }
}

/// `export-machine`.
#[derive(Debug, Args)]
pub struct ExportMachineArgs {
    /// The language to write.
    #[arg(long, value_name = "LANGUAGE")]
    pub to: ExportTo,
    /// The definition: JSON or YAML, - for standard input.
    pub file: String,
    /// Leave out what has no equal, and report each loss.
    #[arg(long)]
    pub lossy: bool,
}

/// The languages that `export-machine` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportTo {
    /// XState's machines as JSON, version 5.
    Xstate,
    /// SCXML.
    Scxml,
    /// The Amazon States Language.
    Asl,
    /// A Mermaid state diagram.
    Mermaid,
    /// Graphviz.
    Dot,
}

impl From<ExportTo> for export::ExportLanguage {
    fn from(to: ExportTo) -> Self {
        match to {
            ExportTo::Xstate => Self::Xstate,
            ExportTo::Scxml => Self::Scxml,
            ExportTo::Asl => Self::Asl,
            ExportTo::Mermaid => Self::Mermaid,
            ExportTo::Dot => Self::Dot,
        }
    }
}

/// `convert`.
#[derive(Debug, Args)]
#[command(after_help = "\
The definition goes to standard output, a list of what is written in another way to standard\n\
error.")]
pub struct ConvertArgs {
    /// The definition in format 1: JSON or YAML, - for standard input.
    pub file: String,
}
