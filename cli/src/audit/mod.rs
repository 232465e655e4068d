//! audit-head and audit-proof: they show later whether the history was changed.
//!
//! The head of the chain at an offset depends on every entry of the log up to there. An operator who keeps a head
//! outside of the cluster can have any instance's history proven against it. A proof holds the entries about the
//! instance whole, and only the hashes of all other entries up to the head.
//!
//! | module | subject |
//! |---|---|
//! | `make` | a proof from the log of a running cluster |
//! | [`check`] | whether a proof leads to a head, and which history it shows; needs no server |
//! | `facts` | the facts of a proof, as they are shown |
//! | [`mod@format`] | the lines of a proof |

pub mod check;
pub mod facts;
pub mod format;
mod make;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use jiff::Timestamp;
use rstmdb_engine::chain::Head;
use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::op;
use rstmdb_rcp::message::session::{InfoResult, NoParams};
use rstmdb_rcp::message::storage::audit::{AuditRead, AuditReadResult};
use rstmdb_rcp::text::counted;
use serde::Serialize;

use crate::render::view;
use crate::session::CliSession;
use crate::{Error, args};
use check::{ProofBeginning, Proven};

/// A head, to be kept outside of the cluster.
#[derive(Serialize)]
struct KeptHead {
    cluster_id: String,
    chain_from: u64,
    wal_offset: u64,
    head: String,
    /// When it was asked for.
    time: String,
}

/// Prints the head at an offset, or at the last offset that the answering node has applied.
pub(crate) async fn head(session: &CliSession, args: &args::AuditHeadArgs) -> Result<(), Error> {
    let time = Timestamp::now().to_string();
    let kept = match args.at {
        Some(at) => {
            let page = read(session, at.saturating_add(1), None, Some(1)).await;
            let page = match page {
                Err(error) => return Err(not_provable(session, at, error).await),
                Ok(page) => page,
            };
            KeptHead {
                cluster_id: page.cluster_id.into_owned(),
                chain_from: page.chain_from,
                wal_offset: at,
                head: page.head_before.into_owned(),
                time,
            }
        }
        None => {
            // Offset and head are read at one moment, so they belong together.
            let info: InfoResult<'_> = session.ask(op::INFO, &NoParams {}).await?;
            let cluster = info.cluster.ok_or_else(no_chain)?;
            let chain = cluster.chain.ok_or_else(no_chain)?;
            KeptHead {
                cluster_id: cluster.cluster_id.into_owned(),
                chain_from: chain.from,
                wal_offset: cluster.last_applied,
                head: chain.head.into_owned(),
                time,
            }
        }
    };
    if session.out.for_programs() {
        return session.out.value(&kept);
    }
    let KeptHead {
        cluster_id,
        wal_offset,
        head,
        time,
        ..
    } = kept;
    session.out.line(&format!(
        "head {head} at offset {wal_offset} of cluster {cluster_id}, {time}"
    ))
}

/// The refusal of an offset, in the words of the option: the request has the offset behind it.
async fn not_provable(session: &CliSession, at: u64, error: Error) -> Error {
    let info: Result<InfoResult<'_>, Error> = session.ask(op::INFO, &NoParams {}).await;
    let cluster = info.ok().and_then(|info| info.cluster);
    let Some(cluster) = cluster else { return error };
    let first = cluster.chain.map_or(1, |chain| chain.from);
    let first = first.max(cluster.earliest_offset);
    let last = cluster.last_applied;
    match at.saturating_add(1) < first || at > last {
        true => Error::Usage(format!(
            "--at: the log is provable from offset {first} to {last}, got {at}"
        )),
        false => error,
    }
}

fn no_chain() -> Error {
    let message = "the server has no chain over its log: it is of an earlier version, or its cluster was not raised \
                   to feature level 2";
    Error::Failed(message.to_owned())
}

async fn read(
    session: &CliSession,
    from_offset: u64,
    instance_id: Option<&str>,
    limit: Option<u64>,
) -> Result<AuditReadResult<'static>, Error> {
    let params = AuditRead {
        from_offset,
        instance_id: instance_id.map(Into::into),
        limit,
    };
    session.ask(op::AUDIT_READ, &params).await
}

/// Makes a proof, or checks one.
pub(crate) async fn proof(session: &CliSession, args: &args::AuditProofArgs) -> Result<(), Error> {
    match (&args.check, args.head, args.instance()) {
        (Some(file), Some(head), _) => check_file(session, file, head),
        (None, head, Some(id)) => make::make(session, args, id, head).await,
        // clap refuses both.
        (Some(_), None, _) => Err(Error::Usage("--check needs --head".to_owned())),
        (None, _, None) => Err(Error::Usage("name an instance".to_owned())),
    }
}

fn check_file(session: &CliSession, file: &Path, kept: Head) -> Result<(), Error> {
    let named = |what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
    let opened = File::open(file).map_err(|error| Error::Usage(named(&error)))?;
    let proven =
        check::check(BufReader::new(opened)).map_err(|fault| Error::Failed(named(&fault)))?;
    if proven.head != kept {
        let what = format!(
            "it proves nothing: it leads to the head {} at offset {}, not to {kept}. The head was kept at another \
             offset or of another cluster, the history was changed, or the proof",
            proven.head, proven.to_offset
        );
        return Err(Error::Failed(named(&what)));
    }
    show(session, &proven)
}

fn show(session: &CliSession, proven: &Proven) -> Result<(), Error> {
    if session.out.for_programs() {
        for record in &proven.facts {
            session.out.item(record)?;
        }
    } else {
        let mut records = Vec::with_capacity(proven.facts.len());
        for record in &proven.facts {
            let text = serde_json::to_string(record).map_err(Error::unexpected)?;
            records.push(Json::parse(&text).map_err(Error::unexpected)?);
        }
        session.draw(|paint| view::history_page(&records, paint))?;
    }
    let facts = proven.facts.len() as u64;
    eprintln!(
        "proven against the head at offset {}: {} of {:?} from offset {} to {}, in this order{}. \
         None between them is missing, and up to offset {} the id was created and deleted at no other offset",
        proven.to_offset,
        counted(facts, "fact", "facts"),
        proven.instance_id,
        proven.from_offset,
        proven.last_fact,
        match proven.beginning {
            ProofBeginning::Created => ", from its creation on".to_owned(),
            ProofBeginning::Behind(offset) =>
                format!("; the facts up to offset {offset} are not part of it"),
        },
        proven.to_offset,
    );
    if !proven.said_stale.is_empty() {
        let offsets: Vec<String> = proven.said_stale.iter().map(u64::to_string).collect();
        eprintln!(
            "by the word of the node only: the entries at {} create or delete the instance and had no effect",
            offsets.join(", ")
        );
    }
    Ok(())
}
