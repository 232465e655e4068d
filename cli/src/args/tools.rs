//! The arguments of the commands that are more than one operation of the protocol.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use clap_complete::Shell;
use rstmdb_engine::chain::Head;
use rstmdb_objects::{BucketLocation, BucketOptions, Location};

use super::duration;
use super::named::{MachineFilter, NamedInstance, NamedMachine};

/// `load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The file: plain or .gz, or - for standard input.
    pub file: String,
    /// Go on after an operation that the server refuses for good. The exit code is still 1. The load still ends when
    /// there is no leader, or when an outcome is unknown.
    #[arg(long)]
    pub continue_on_error: bool,
    /// How many operations may be in flight at the same time.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub in_flight: u32,
    /// How many connections to use.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub connections: u32,
    /// How long to retry an operation while the server cannot be reached. The load ends when the connection is lost
    /// twice with the same operation in flight, because that operation may be the cause.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub retry_for: Duration,
}

/// `export`.
#[derive(Debug, Args)]
#[command(after_help = "\
An instance can only be brought to its state by the events that led there, so this\n\
prints, in the order of the log, each live instance's creation and every event since.\n\
Each gets an idempotency key from its offset, so loading the output twice changes nothing. Kept: definitions, ids,\n\
contexts, payloads, event ids, states and the order of events. Not kept: offsets, times,\n\
who asked, idempotency keys, deleted instances. Instances whose history the log no\n\
longer holds in full cannot be exported; their number is reported and the exit code is 1.")]
pub struct ExportArgs {
    /// Only this machine and its instances.
    #[command(flatten)]
    pub machine: MachineFilter,
}

/// `backup`.
#[derive(Debug, Args)]
#[command(after_help = "\
Any node of the cluster can give the backup, and goes on working. If the folder already holds\n\
a backup of the same cluster, only new entries are copied. If the cluster still has its whole log,\n\
the backup is that log, and every offset can be restored. Otherwise the backup is the newest\n\
snapshot and the log after it. The backup is not encrypted.\n\
Restore with `rstmdb restore --from DIR --data DIR`.")]
pub struct BackupArgs {
    /// The folder of the backup, created if it does not exist; or s3://BUCKET/PREFIX.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Only read and check the backup in the folder.
    #[arg(long)]
    pub verify: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub s3: BucketArgs,
}

impl BackupArgs {
    /// The bucket, where the backup is in one.
    pub(crate) fn bucket(&self) -> Result<Option<BucketLocation>, crate::Error> {
        let Some(text) = self.dir.to_str().filter(|text| Location::is_bucket(text)) else {
            return Ok(None);
        };
        match Location::parse(text) {
            Ok(Location::Bucket(bucket)) => Ok(Some(bucket)),
            Ok(Location::Folder(_)) => Ok(None),
            Err(why) => Err(crate::Error::Usage(why)),
        }
    }
}

/// How a bucket is reached. The variables are those of the server.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Bucket (s3://…)")]
pub struct BucketArgs {
    /// The server's URL; Amazon's when absent.
    #[arg(long, value_name = "URL", env = "RSTMDB_ARCHIVE_S3_ENDPOINT")]
    pub s3_endpoint: Option<String>,
    /// The region; that of AWS_REGION or us-east-1 when absent.
    #[arg(long, value_name = "NAME", env = "RSTMDB_ARCHIVE_S3_REGION")]
    pub s3_region: Option<String>,
    /// Allow an endpoint without TLS.
    #[arg(long, env = "RSTMDB_ARCHIVE_S3_ALLOW_HTTP")]
    pub s3_allow_http: bool,
    /// The certificates to trust, PEM; the system's when absent.
    #[arg(long, value_name = "FILE", env = "RSTMDB_ARCHIVE_S3_CA")]
    pub s3_ca: Option<PathBuf>,
    /// A file with the access key; without it, credentials come from the environment (AWS_ACCESS_KEY_ID and others).
    #[arg(long, value_name = "FILE", env = "RSTMDB_ARCHIVE_S3_ACCESS_KEY_FILE")]
    pub s3_access_key_file: Option<PathBuf>,
    /// A file with the secret key that belongs to it.
    #[arg(long, value_name = "FILE", env = "RSTMDB_ARCHIVE_S3_SECRET_KEY_FILE")]
    pub s3_secret_key_file: Option<PathBuf>,
}

impl BucketArgs {
    /// The same for the bucket.
    pub(crate) fn options(&self) -> BucketOptions {
        BucketOptions {
            endpoint: self.s3_endpoint.clone(),
            region: self.s3_region.clone(),
            allow_http: self.s3_allow_http,
            ca_path: self.s3_ca.clone(),
            access_key_file: self.s3_access_key_file.clone(),
            secret_key_file: self.s3_secret_key_file.clone(),
        }
    }
}

/// `diagram`.
#[derive(Debug, Args)]
pub struct DiagramArgs {
    /// The machine.
    #[command(flatten)]
    pub machine: NamedMachine,
    /// The version; the highest when absent, or the instance's with -i.
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
    /// The form of the drawing.
    #[arg(long, default_value = "text")]
    pub format: DiagramFormat,
    /// Mark the state this instance is in.
    #[arg(short = 'i', long = "id", alias = "instance-id", value_name = "ID")]
    pub instance_id: Option<String>,
}

impl DiagramArgs {
    /// The version, however it was given.
    pub fn version(&self) -> Option<u32> {
        self.version.or(self.version_option)
    }
}

/// The languages of drawings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DiagramFormat {
    /// For the terminal.
    Text,
    /// A Mermaid state diagram.
    Mermaid,
    /// Graphviz.
    Dot,
    /// A picture.
    Svg,
}

/// `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// The instance.
    #[command(flatten)]
    pub instance: NamedInstance,
    /// How many facts at most.
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
}

/// `audit-head`.
#[derive(Debug, Args)]
#[command(after_help = "\
Keep what it prints outside of the cluster, where people who can write to the nodes' disks\n\
cannot write. As long as the cluster shows the same head at that offset, the log up to there\n\
was not changed. `rstmdb-cli audit-proof` proves an instance's history against the head.")]
pub struct AuditHeadArgs {
    /// The head at this offset; at the last one that the answering node has applied when absent.
    #[arg(long, value_name = "OFFSET")]
    pub at: Option<u64>,
}

/// `audit-proof`.
#[derive(Debug, Args)]
#[command(after_help = "\
The proof holds the entries of the log about the instance, and the hashes of all other\n\
entries up to the head; 32 bytes for each entry, and 16 more for each instance that it\n\
creates or deletes. An entry of an atomic batch is shown with all of its facts. It proves\n\
that these facts, and no others between the first and the last of them, are in the log that\n\
had this head, and that the instance was not created or deleted at any other offset that the\n\
proof covers. It cannot prove that no event came after the last fact.")]
pub struct AuditProofArgs {
    /// The instance.
    #[arg(
        value_name = "ID",
        required_unless_present_any = ["check", "instance_option"],
        conflicts_with = "check"
    )]
    instance: Option<String>,
    /// The instance, as an option.
    #[arg(
        short = 'i',
        long = "id",
        alias = "instance-id",
        value_name = "ID",
        hide = true,
        conflicts_with_all = ["check", "instance"]
    )]
    instance_option: Option<String>,
    /// Check a proof, without a server, against the head that was kept.
    #[arg(
        long,
        value_name = "FILE",
        requires = "head",
        conflicts_with_all = ["at", "from", "out"]
    )]
    pub check: Option<PathBuf>,
    /// The head that was kept. A proof that does not lead to it is not made.
    #[arg(long, value_name = "HEX")]
    pub head: Option<Head>,
    /// The offset of the head; the last one that the answering node has applied when absent.
    #[arg(long, value_name = "OFFSET")]
    pub at: Option<u64>,
    /// Look for the instance's facts from this offset on; in all of the log when absent.
    #[arg(long, value_name = "OFFSET")]
    pub from: Option<u64>,
    /// Where to write the proof; standard output when absent.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

impl AuditProofArgs {
    /// The instance, however it was given; none for a check.
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref().or(self.instance_option.as_deref())
    }
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: Shell,
}
