//! import: the rows of a file as instances in the states that they have elsewhere.
//!
//! Rows are sent many at a time, in no particular order: each is another instance. Every row has an idempotency key, so
//! the client library retries it, and a row that was imported before changes nothing. A row that does not fit is counted
//! by its reason, and the others go on. What concerns every row ends the import: no right to import, no such machine, no
//! connection, an unknown outcome.
//!
//! | module | subject |
//! |---|---|
//! | `source` | rows of a file, read and checked on a thread of its own |
//! | `csv`, `time` | comma-separated values; times as databases write them |
//! | `columns` | from a row to an instance |
//! | `report` | counts, reasons in sum, progress |
//! | `files` | rows that were refused; how many rows are done |

mod columns;
mod csv;
mod files;
mod report;
mod source;
mod time;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rstmdb_rcp::Code;
use rstmdb_rcp::client::{Client, ClientOptions};
use rstmdb_rcp::message::instance::CreateInstance;
use rstmdb_rcp::message::machine::{GetMachine, GetMachineResult};
use rstmdb_rcp::message::op;
use rstmdb_rcp::message::session::NoParams;
use rstmdb_rcp::message::storage::WalStatsResult;
use serde::Deserialize;
use serde_json::value::to_raw_value;

use crate::args::{ImportArgs, RowFormat};
use crate::session::{CliSession, from_client};
use crate::{Error, args};
use columns::{ColumnPlan, ImportedRow};
use files::{DoneRows, ImportMark, RejectedRows};
use report::{ImportProgress, RowFate, fault_of};
use source::{RowSource, SourceRow};

/// Imports the file.
pub async fn run(session: &CliSession, args: args::ImportArgs) -> Result<(), Error> {
    let format = format_of(&args)?;
    let rejected = args.rejected.as_deref();
    files::check_apart(&args.file, rejected, args.resume.as_deref())?;
    let mut done = DoneRows::open(args.resume.as_deref())?;
    let plan = ColumnPlan::new(args.columns.clone());
    let mut source = source::spawn(
        &args.file,
        format,
        args.columns.delimiter,
        plan,
        done.rows(),
    )?;
    let target = Target::open(session, &args).await?;
    done.check(ImportMark {
        machine: target.machine.clone(),
        version: target.version,
        begin: source.begin.clone(),
    })?;
    let mut progress = ImportProgress::new(source.size, target.dry_run);
    let mut files = ImportFiles {
        rejected: RejectedRows::open(rejected, source.header.as_deref(), done.rows() > 0)?,
        done,
        refusals_max: if target.dry_run { 0 } else { args.refusals_max },
    };
    let going = send_all(&mut source, &target, &args, &mut progress, &mut files);
    let outcome = tokio::select! {
        outcome = going => outcome,
        _ = tokio::signal::ctrl_c() => Err(Error::Failed(
            "interrupted. Import the file again: rows that were imported change nothing".to_owned(),
        )),
    };
    target.close().await;
    let saved = files.finish();
    let summary = progress.finish();
    // Counts would hide the one reason why nothing was sent.
    let is_hidden = match &outcome {
        Ok(()) => false,
        Err(Error::Refused(body)) if body.code == Code::Forbidden => true,
        Err(_) => summary.rows == 0,
    };
    if !is_hidden {
        summary.print(session)?;
    }
    outcome?;
    saved?;
    match summary.refused {
        0 => Ok(()),
        1 => Err(Error::Failed("1 row does not fit".to_owned())),
        refused => Err(Error::Failed(format!("{refused} rows do not fit"))),
    }
}

/// The refusal of a client without the right to import, which concerns no row in particular.
fn without_right(error: Error, line: u64) -> Error {
    match error {
        Error::Refused(mut body) if body.code == Code::Forbidden => {
            body.message =
                "this client may not import: use --token with a token of auth.import_token_hashes \
                            (docs/import-status-column.md)"
                    .into();
            Error::Refused(body)
        }
        error => error.at_line(line),
    }
}

fn format_of(args: &ImportArgs) -> Result<RowFormat, Error> {
    let name = args.file.strip_suffix(".gz").unwrap_or(&args.file);
    match args.from {
        Some(format) => Ok(format),
        None if name.ends_with(".csv") => Ok(RowFormat::Csv),
        None if name.ends_with(".jsonl") => Ok(RowFormat::Jsonl),
        None => Err(Error::Usage(format!(
            "say what {} holds: --from csv or --from jsonl",
            args.file
        ))),
    }
}

/// Where rows go.
struct Target {
    clients: Vec<Client>,
    machine: String,
    /// The version of all instances, also if a higher one is put meanwhile.
    version: u32,
    /// The log's head before the import. A result at or below this offset is of an earlier one.
    head: u64,
    dry_run: bool,
    skip_existing: bool,
    about: args::WriteArgs,
}

impl Target {
    async fn open(session: &CliSession, args: &ImportArgs) -> Result<Self, Error> {
        let params = GetMachine {
            machine: args.machine.as_str().into(),
            version: args.version,
            ..GetMachine::default()
        };
        let found: GetMachineResult<'_> = session.ask(op::GET_MACHINE, &params).await?;
        let version = args.version.or(found.version).ok_or_else(|| {
            Error::Usage("the server does not say which version is the highest: give -V".to_owned())
        })?;
        let stats: WalStatsResult = session.ask(op::WAL_STATS, &NoParams {}).await?;
        let options = ClientOptions {
            timeout: args.retry_for.max(session.timeout()),
            ..session.own_options()
        };
        let mut clients = Vec::with_capacity(args.connections as usize);
        for _ in 0..args.connections {
            clients.push(session.connect(options.clone()).await?);
        }
        Ok(Self {
            clients,
            machine: args.machine.clone(),
            version,
            head: stats.latest_offset,
            dry_run: args.ask.dry_run,
            skip_existing: args.skip_existing,
            about: args.about.clone(),
        })
    }

    async fn close(self) {
        for client in self.clients {
            client.close().await;
        }
    }

    /// Imports a row, or asks what would become of it. The error ends the import.
    async fn send(&self, number: u64, row: &ImportedRow, dry_run: bool) -> Result<RowFate, Error> {
        #[derive(Deserialize)]
        struct Marks<'a> {
            #[serde(borrow)]
            state: std::borrow::Cow<'a, str>,
            wal_offset: Option<u64>,
            #[serde(default)]
            replayed: bool,
        }
        let params = CreateInstance {
            meta: self.about.clone().meta(),
            dry_run,
            ..row.params(&self.machine, self.version)
        };
        let params = to_raw_value(&params)
            .map_err(|error| Error::Usage(format!("the row can't be sent: {error}")))?;
        let client = &self.clients[(number % self.clients.len() as u64) as usize];
        let answer = match client.call_raw(op::CREATE_INSTANCE, &params).await {
            Ok(answer) => answer,
            Err(error) => return self.refused(from_client(error)),
        };
        let marks: Marks<'_> =
            serde_json::from_str(answer.result.get()).map_err(Error::unexpected)?;
        if marks.state != row.state {
            return Err(Error::Failed(format!(
                "the server has an earlier version and ignores initial_state: \
                 it created an instance in {:?} instead of {:?}",
                marks.state, row.state
            )));
        }
        let before = marks.wal_offset.is_some_and(|offset| offset <= self.head);
        Ok(match marks.replayed || before {
            true => RowFate::Unchanged,
            false => RowFate::Imported,
        })
    }

    fn refused(&self, error: Error) -> Result<RowFate, Error> {
        let body = match &error {
            Error::Refused(body) if !body.retryable => body,
            _ => return Err(error),
        };
        match body.code {
            Code::InstanceExists if self.skip_existing => Ok(RowFate::Existing),
            // All rows would be refused.
            Code::Forbidden
            | Code::FeatureLevel
            | Code::MachineNotFound
            | Code::Unauthorized
            | Code::LockLost => Err(error),
            _ => Ok(RowFate::Refused(fault_of(body))),
        }
    }
}

/// What is written beside an import, and how many rows may be refused.
struct ImportFiles {
    rejected: RejectedRows,
    done: DoneRows,
    /// 0: any number.
    refusals_max: u64,
}

impl ImportFiles {
    /// Writes the refused rows before the number that counts them: a crash between the two repeats rows, but loses
    /// none.
    fn save(&mut self) -> Result<(), Error> {
        self.rejected.flush(self.done.rows())?;
        self.done.save()
    }

    fn finish(mut self) -> Result<(), Error> {
        // Refused rows behind one that is not done come again if the import is to go on.
        if !self.done.is_kept() {
            self.rejected.flush(u64::MAX)?;
        }
        self.save()
    }
}

/// Notes what became of a row. The error ends the import.
fn end_row(
    row: &SourceRow,
    fate: RowFate,
    files: &mut ImportFiles,
    progress: &mut ImportProgress,
) -> Result<(), Error> {
    if matches!(fate, RowFate::Refused(_)) {
        files.rejected.add(row.number, &row.raw);
    }
    if files.done.add(row.number) {
        files.save()?;
    }
    progress.ended(row.line, row.position, fate);
    let most = files.refusals_max;
    if most > 0 && progress.refused() >= most {
        return Err(Error::Failed(format!(
            "ended after {most} refused rows (--refusals-max); --dry-run says how many there are"
        )));
    }
    Ok(())
}

async fn send_all(
    source: &mut RowSource,
    target: &Target,
    args: &ImportArgs,
    progress: &mut ImportProgress,
    files: &mut ImportFiles,
) -> Result<(), Error> {
    let mut in_flight = FuturesUnordered::new();
    let send = |row: SourceRow| async move {
        let fate = match &row.read {
            Ok(asked) => target.send(row.number, asked, target.dry_run).await,
            Err(fault) => Ok(RowFate::Refused(fault.clone())),
        };
        (row, fate)
    };
    let (mut end_of_file, mut is_first) = (false, true);
    let mut failure: Option<Error> = None;
    loop {
        let room = in_flight.len() < args.in_flight as usize;
        let reading = !end_of_file && failure.is_none() && room;
        tokio::select! {
            biased;
            Some((row, fate)) = in_flight.next(), if !in_flight.is_empty() => {
                let row: SourceRow = row;
                let fate: Result<RowFate, Error> = fate;
                let fate = match fate {
                    Ok(fate) => fate,
                    Err(error) => {
                        failure.get_or_insert(error.at_line(row.line));
                        continue;
                    }
                };
                if let Err(error) = end_row(&row, fate, files, progress) {
                    failure.get_or_insert(error);
                }
            }
            row = source.rows.recv(), if reading => match row {
                Some(Ok(row)) => {
                    // The first one is only asked about: it shows whether rows can be imported at all.
                    if let Ok(asked) = &row.read && std::mem::take(&mut is_first) {
                        target.send(row.number, asked, true).await.map_err(|error| without_right(error, row.line))?;
                    }
                    in_flight.push(send(row));
                }
                Some(Err(error)) => failure = Some(error),
                None => end_of_file = true,
            },
            else => break,
        }
    }
    failure.map_or(Ok(()), Err)
}
