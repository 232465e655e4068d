//! put-machine, get-machine, delete-machine, list-machines.

use clap::Args;

use super::super::about::WriteArgs;
use super::super::asking::{DryRunArgs, Freshness};
use crate::Error;

/// `put-machine`.
#[derive(Debug, Args)]
pub struct PutMachineArgs {
    /// The machine's name, the file's own when absent, and the definition: a file of JSON or YAML, JSON itself, @file, or
    /// - for standard input.
    // One argument for both: clap would take the name for the definition if an option stood between them.
    #[arg(value_name = "[NAME] DEFINITION", required = true, num_args = 1..=2)]
    words: Vec<String>,
    /// The version, from 1; the file's own when absent. If the file has none: the next free one, or the highest if that
    /// is the same definition.
    #[arg(short = 'V', long, short_alias = 'v')]
    pub version: Option<u32>,
    /// The machine's name, as an option.
    #[arg(
        short = 'm',
        long = "machine",
        short_alias = 'n',
        alias = "name",
        value_name = "NAME",
        hide = true
    )]
    name_option: Option<String>,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRunArgs,
    // Takes the global option's place, because -v was the version here before -V was.
    #[arg(long = "verbose", hide = true)]
    verbose: bool,
}

impl PutMachineArgs {
    /// The name, if one was given, and the definition.
    pub fn both(&self) -> Result<(Option<&str>, &str), Error> {
        match (self.name_option.as_deref(), &*self.words) {
            (name, [definition]) => Ok((name, definition)),
            (None, [name, definition]) => Ok((Some(name), definition)),
            _ => {
                let text = "give one name and one definition, in this order: [NAME] DEFINITION";
                Err(Error::Usage(text.to_owned()))
            }
        }
    }
}

/// `get-machine`.
#[derive(Debug, Args)]
pub struct GetMachineArgs {
    /// The machine.
    #[arg(value_name = "MACHINE", required_unless_present = "name_option")]
    name: Option<String>,
    /// The version; the highest when absent.
    version: Option<u32>,
    /// The machine, as an option.
    #[arg(
        short = 'm',
        long = "machine",
        short_alias = 'n',
        alias = "name",
        value_name = "MACHINE",
        hide = true,
        conflicts_with = "name"
    )]
    name_option: Option<String>,
    /// The version, as an option.
    #[arg(
        short = 'V',
        long = "version",
        short_alias = 'v',
        value_name = "VERSION",
        hide = true,
        conflicts_with = "version"
    )]
    version_option: Option<u32>,
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
    // Takes the global option's place, because -v was the version here before -V was.
    #[arg(long = "verbose", hide = true)]
    verbose: bool,
}

impl GetMachineArgs {
    /// The name, however it was given. clap requires one of the two.
    pub fn name(&self) -> &str {
        self.name
            .as_deref()
            .or(self.name_option.as_deref())
            .unwrap_or_default()
    }

    /// The version, however it was given.
    pub fn version(&self) -> Option<u32> {
        self.version.or(self.version_option)
    }
}

/// `delete-machine`.
#[derive(Debug, Args)]
#[command(after_help = "\
A version that an instance has is not deleted. The log keeps it, and its number is free afterwards.")]
pub struct DeleteMachineArgs {
    /// The machine.
    pub machine: String,
    /// The version.
    #[arg(required_unless_present_any = ["version_option", "all_versions"])]
    version: Option<u32>,
    /// The version, as an option.
    #[arg(
        short = 'V',
        long = "version",
        value_name = "VERSION",
        hide = true,
        conflicts_with = "version"
    )]
    version_option: Option<u32>,
    /// All versions.
    #[arg(long, conflicts_with_all = ["version", "version_option"])]
    pub all_versions: bool,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRunArgs,
}

impl DeleteMachineArgs {
    /// The version, however it was given.
    pub fn version(&self) -> Option<u32> {
        self.version.or(self.version_option)
    }
}

/// `list-machines`.
#[derive(Debug, Args)]
pub struct ListMachinesArgs {
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}
