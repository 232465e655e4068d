//! The command line's syntax. What the commands do is elsewhere.
//!
//! `Cli` is the shell's command line, `LineArgs` one line of the REPL. Both hold the same `CliCommand`,
//! so a command is spelled the same in both places.

mod about;
mod asking;
mod bench;
mod cluster;
mod commands;
mod form;
mod help;
mod import;
mod named;
mod offline;
mod tools;
mod values;

pub use about::WriteArgs;
pub(crate) use about::header;
pub use asking::{Allowed, ConsistencyArg, DryRunArgs, ExplainArgs, Freshness};
pub use bench::{BenchArgs, BenchKeys, BenchOp, Mix, MixedOp, WatchKind};
pub use cluster::{
    ClusterAddArgs, ClusterArgs, ClusterCommand, DemoArgs, NodeId, SetAddress, TransferLeader,
};
pub use commands::{
    Acquiring, AncestorsArgs, ApplyEventArgs, AutomationArgs, AutomationCommand, BatchArgs,
    CliCommand, ClockAdvanceArgs, ClockArgs, ClockCommand, CompactArgs, CreateInstanceArgs,
    DeleteInstanceArgs, DeleteMachineArgs, FlushAllArgs, GetInstanceArgs, GetMachineArgs,
    HashTokenArgs, IncludedKind as WatchedKind, InstanceIdArgs, ListInstancesArgs,
    ListMachinesArgs, LockAcquireArgs, LockArgs, LockCommandArgs, LockGetArgs, LockListArgs,
    LockReleaseArgs, LockRenewArgs, LockRun, PauseArgs, ProfileAdd, ProfileArgs, ProfileCommand,
    ProfileName, ProfileUse, PutMachineArgs, ResumeArgs, SummaryArgs, TimersArgs, TimersCommand,
    TimersList, TimersResume, TimersSet, TopArgs, UnwatchArgs, WalReadArgs, WatchAllArgs,
    WatchInstanceArgs,
};
pub use form::{FormArgs, OutputForm, form_asked};
pub use import::{FieldType, ImportArgs, ImportColumns, RowFormat};
pub use named::{MachineFilter, NamedEvent, NamedInstance, NamedMachine, NamedTimer};
pub use offline::{
    ConvertArgs, DiffArgs, ExportMachineArgs, ExportTo, ImportFrom, ImportMachineArgs, Offline,
    SimulateArgs, TestArgs, ValidateArgs,
};
pub use tools::{
    AuditHeadArgs, AuditProofArgs, BackupArgs, BucketArgs, CompletionsArgs, DiagramArgs,
    DiagramFormat, ExportArgs, HistoryArgs, LoadArgs,
};
pub use values::duration;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

/// The server asked when none is named.
pub const DEFAULT_SERVER: &str = "127.0.0.1:7401";

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 the server refused (code and message on standard error), the command\n\
found damage or differences, or it could not write a local file; 2 wrong arguments, or an\n\
input file that is wrong or cannot be read; 3 no connection;\n\
4 timeout or unknown outcome. `lock` has some of its own: see `lock --help`.\n\n\
Results are tables on a terminal, and RCP's JSON, unchanged, if the output is piped. -o says\n\
otherwise: `-o table | less -S`, `-o jsonl | grep PAID`, `-o yaml`.";

/// The client of rstmdb, the replicated database of state machines.
#[derive(Debug, Parser)]
#[command(name = "rstmdb-cli", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// Where and how to connect, and how to print.
    #[command(flatten)]
    pub global: Global,
    /// What to do; the REPL when absent.
    #[command(subcommand)]
    pub command: Option<CliCommand>,
}

impl Cli {
    /// Reads the words of a command line, without the program's name.
    ///
    /// # Errors
    /// What is wrong with them, or the help that they ask for.
    pub fn parse_words<T: Into<OsString>>(
        words: impl IntoIterator<Item = T>,
    ) -> Result<Cli, clap::Error> {
        let mut grammar = help::of_program(Cli::command());
        let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
        let typed = words.iter().map(|word| word.to_string_lossy().into_owned());
        let typed: Vec<String> = typed.collect();
        let words = std::iter::once(OsString::from("rstmdb-cli")).chain(words);
        let found = grammar.try_get_matches_from_mut(words);
        let found = found.map_err(|error| help::tips::with_tip(error, &grammar, &typed))?;
        let mut cli = Cli::from_arg_matches(&found).map_err(|error| error.format(&mut grammar))?;
        cli.global.given = GivenOptions::of(&found);
        Ok(cli)
    }
}

/// What was probably meant by a command line that is wrong, if that can be told.
pub fn suggestion(said: &clap::Error) -> Option<String> {
    const MEANT: [ContextKind; 3] = [
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedArg,
        ContextKind::SuggestedValue,
    ];
    // Of several, clap puts the nearest last.
    let nearest = |value: &ContextValue| match value {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.last().cloned(),
        _ => None,
    };
    let mut meant = MEANT.into_iter().filter_map(|kind| said.get(kind));
    let meant = meant.find_map(nearest)?;
    Some(format!("did you mean {meant}?"))
}

/// One line typed in the REPL.
#[derive(Debug, Parser)]
#[command(
    name = "rstmdb",
    no_binary_name = true,
    disable_version_flag = true,
    // For typing: `apply` is enough for apply-event.
    infer_subcommands = true,
    about = "Commands are those of the command line; Ctrl-C ends one, Ctrl-D the REPL.",
    override_usage = "COMMAND [ARGUMENTS]"
)]
pub struct LineArgs {
    /// How results are printed.
    #[command(flatten)]
    pub form: FormArgs,
    /// Print each request and how long its answer took.
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: LineCommand,
}

impl LineArgs {
    /// Reads the words of a line.
    ///
    /// # Errors
    /// What is wrong with them, or the help that they ask for.
    pub fn parse_words(words: Vec<String>) -> Result<LineArgs, clap::Error> {
        let mut grammar = help::of_line(LineArgs::command());
        let words = help::tips::written_out(&grammar, words);
        let found = grammar.try_get_matches_from_mut(words.clone());
        let found = found.map_err(|error| help::tips::with_tip(error, &grammar, &words))?;
        LineArgs::from_arg_matches(&found).map_err(|error| error.format(&mut grammar))
    }
}

/// Everything a line of the REPL can ask for.
#[derive(Debug, Subcommand)]
pub enum LineCommand {
    /// A command of the command line.
    #[command(flatten)]
    Command(Box<CliCommand>),
    /// Leave the REPL (also quit, Ctrl-D).
    #[command(alias = "quit")]
    Exit,
}

impl LineCommand {
    /// Whether the command changes nothing in the database, however it is ended.
    pub fn only_reads(&self) -> bool {
        match self {
            LineCommand::Command(command) => command.only_reads(),
            LineCommand::Exit => true,
        }
    }
}

/// Which options of a connection were given, and how.
#[derive(Debug, Clone, Default)]
pub struct GivenOptions {
    pub(crate) typed: Vec<&'static str>,
    pub(crate) variables: Vec<&'static str>,
}

impl GivenOptions {
    /// Those that a profile has, too, and the profile's own.
    const OF_CONNECTION: [&'static str; 9] = [
        "profile",
        "server",
        "token",
        "tls",
        "ca_cert",
        "client_cert",
        "client_key",
        "insecure",
        "server_name",
    ];

    fn of(found: &ArgMatches) -> GivenOptions {
        let from = |source: ValueSource| {
            let given = Self::OF_CONNECTION.into_iter();
            given
                .filter(|id| found.value_source(id) == Some(source))
                .collect()
        };
        GivenOptions {
            typed: from(ValueSource::CommandLine),
            variables: from(ValueSource::EnvVariable),
        }
    }

    /// Whether the option stands on the command line.
    pub fn is_typed(&self, id: &str) -> bool {
        self.typed.contains(&id)
    }

    /// Whether the option's variable is set, and it does not stand on the command line.
    pub fn is_variable(&self, id: &str) -> bool {
        self.variables.contains(&id)
    }
}

/// Options every command takes, before or after its name.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Servers. The client uses one that answers, and changes to another when it no longer does.
    #[arg(short, long, env = "RSTMDB_SERVER", value_name = "ADDR[,ADDR…]", global = true,
          value_delimiter = ',', default_value = DEFAULT_SERVER)]
    pub server: Vec<String>,
    /// The connection that `profile add` has kept under this name.
    #[arg(long, env = "RSTMDB_PROFILE", value_name = "PROFILE", global = true)]
    pub profile: Option<String>,
    /// The token to authenticate with.
    #[arg(
        short,
        long,
        env = "RSTMDB_TOKEN",
        hide_env_values = true,
        global = true
    )]
    pub token: Option<String>,
    /// Connect with TLS.
    #[arg(long, env = "RSTMDB_TLS", global = true, value_parser = FalseyValueParser::new())]
    pub tls: bool,
    /// The CA that signed the server's certificate (PEM).
    #[arg(long, env = "RSTMDB_CA_CERT", value_name = "FILE", global = true)]
    pub ca_cert: Option<PathBuf>,
    /// This client's certificate (PEM), where the server asks for one.
    #[arg(long, env = "RSTMDB_CLIENT_CERT", value_name = "FILE", global = true)]
    pub client_cert: Option<PathBuf>,
    /// The key of --client-cert (PEM).
    #[arg(long, env = "RSTMDB_CLIENT_KEY", value_name = "FILE", global = true)]
    pub client_key: Option<PathBuf>,
    /// Accept any server certificate. Anyone between the client and the server can then read and change everything.
    #[arg(short = 'k', long, global = true)]
    pub insecure: bool,
    /// The name to expect in the server's certificate.
    #[arg(long, value_name = "NAME", global = true)]
    pub server_name: Option<String>,
    /// How messages are encoded.
    #[arg(long, value_name = "MODE", global = true, default_value = "binary")]
    pub wire_mode: WireMode,
    /// How results are printed.
    #[command(flatten)]
    pub form: FormArgs,
    /// Print each request and how long its answer took, to standard error.
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// How long to wait for an answer: 5, 5s, 500ms, 1m. A server waits 4.5s for a leader before it says that there is none.
    #[arg(long, global = true, default_value = "10s", value_parser = duration)]
    pub timeout: Duration,
    /// Colour in tables and drawings.
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub color: Color,
    /// Which of these were given.
    #[arg(skip)]
    pub given: GivenOptions,
}

impl Global {
    /// Whether any option asks for TLS. An option that names a certificate does.
    pub fn wants_tls(&self) -> bool {
        self.tls
            || self.insecure
            || self.ca_cert.is_some()
            || self.client_cert.is_some()
            || self.server_name.is_some()
    }
}

/// How messages travel after the first exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WireMode {
    /// Frames with a length and a checksum.
    Binary,
    /// One JSON object a line.
    Jsonl,
}

/// When to print colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[cfg(test)]
mod tests;
