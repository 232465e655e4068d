//! apply-event, batch.

use rstmdb_rcp::message::batch::{Batch, BatchMode, BatchOp, BatchResult, OpStatus};
use rstmdb_rcp::message::instance::ApplyEvent;
use rstmdb_rcp::message::op;

use crate::session::CliSession;
use crate::session::hint::HintAbout;
use crate::{Error, args, input};

pub(super) async fn apply(session: &CliSession, args: args::ApplyEventArgs) -> Result<(), Error> {
    let (instance_id, event) = args.named.both()?;
    let payload = input::document("--payload", &args.payload)?;
    let timers = args.timers.as_slice();
    let timers = input::document("--timers", timers)?;
    let params = ApplyEvent {
        instance_id: instance_id.as_str().into(),
        event: event.into(),
        payload: payload.as_deref(),
        expected_state: args.expected_state.as_deref().map(Into::into),
        expected_wal_offset: args.expected_wal_offset,
        event_id: args.event_id.map(Into::into),
        timers: timers.as_deref(),
        idempotency_key: args.idempotency_key.map(Into::into),
        meta: args.about.meta(),
        dry_run: args.ask.dry_run,
    };
    let about = HintAbout {
        instance: Some(&instance_id),
        state: args.expected_state.as_deref(),
    };
    match session.show(op::APPLY_EVENT, &params).await {
        Err(error) => Err(session.with_hint(error, about).await),
        done => done,
    }
}

pub(super) async fn batch(session: &CliSession, args: args::BatchArgs) -> Result<(), Error> {
    let operations = input::operations(&args.file)?;
    let params = Batch {
        mode: if args.atomic {
            BatchMode::Atomic
        } else {
            BatchMode::BestEffort
        },
        ops: operations
            .iter()
            .map(|operation| BatchOp {
                op: operation.op.as_str().into(),
                params: &operation.params,
            })
            .collect(),
        meta: args.about.meta(),
        dry_run: args.ask.dry_run,
    };
    let answer = session.call(op::BATCH, &params).await?;
    session.print(op::BATCH, &answer.result)?;
    let batch: BatchResult<'_> =
        serde_json::from_str(answer.result.get()).map_err(Error::unexpected)?;
    refused(&batch)
}

/// Operations of a best-effort batch that were refused make the command fail as a whole.
fn refused(batch: &BatchResult<'_>) -> Result<(), Error> {
    const NAMED_MAX: usize = 10;
    let items = batch.results.iter().enumerate();
    let refused: Vec<String> = items
        .filter(|(_, item)| item.status == OpStatus::Error)
        .map(|(at, _)| at.to_string())
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let more = match refused.len() > NAMED_MAX {
        true => " …",
        false => "",
    };
    Err(Error::Failed(format!(
        "{} of {} operations were refused; counted from 0: {}{more}",
        refused.len(),
        batch.results.len(),
        refused[..refused.len().min(NAMED_MAX)].join(", ")
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_refused_operation_fails_a_best_effort_batch() {
        let ok = r#"{"results":[{"status":"ok","result":{}}]}"#;
        refused(&serde_json::from_str(ok).unwrap()).unwrap();
        let mixed = r#"{"results":[{"status":"ok","result":{}},
            {"status":"error","error":{"code":"CONFLICT","message":"","retryable":false}}]}"#;
        let error = refused(&serde_json::from_str(mixed).unwrap()).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        let said = "1 of 2 operations were refused; counted from 0: 1";
        assert_eq!(error.to_string(), said);
    }
}
