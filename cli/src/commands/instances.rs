//! create-instance, get-instance, list-instances, delete-instance.

use std::borrow::Cow;

use rstmdb_rcp::message::instance::{
    CreateInstance, DeleteInstance, GetInstance, IncludeOfInstance, ListInstances,
    ListInstancesResult,
};
use rstmdb_rcp::message::op;

use crate::session::CliSession;
use crate::session::filters::NamesInFilter;
use crate::session::hint::HintAbout;
use crate::{Error, args, input};

pub(super) async fn create(
    session: &CliSession,
    args: args::CreateInstanceArgs,
) -> Result<(), Error> {
    let ctx = input::document("--ctx", &args.ctx)?;
    let params = CreateInstance {
        instance_id: args.instance_id.map(Into::into),
        machine: args.machine.name().into(),
        version: args.version.unwrap_or(0),
        initial_ctx: ctx.as_deref(),
        idempotency_key: args.idempotency_key.map(Into::into),
        meta: args.about.meta(),
        dry_run: args.ask.dry_run,
    };
    match session.show(op::CREATE_INSTANCE, &params).await {
        Err(error) => Err(session.with_hint(error, HintAbout::default()).await),
        done => done,
    }
}

pub(super) async fn get(session: &CliSession, args: args::GetInstanceArgs) -> Result<(), Error> {
    let params = GetInstance {
        instance_id: args.instance.id().into(),
        include: match args.meta {
            true => vec![IncludeOfInstance::Meta],
            false => Vec::new(),
        },
        read: args.freshness.options(),
    };
    session.show(op::GET_INSTANCE, &params).await
}

pub(super) async fn list(session: &CliSession, args: args::ListInstancesArgs) -> Result<(), Error> {
    let params = ListInstances {
        machine: args.machine.name().map(Into::into),
        state: args.state.map(Into::into),
        limit: args.limit.map(u64::from),
        offset: args.offset,
        read: args.freshness.options(),
        ..ListInstances::default()
    };
    let answer = session.call(op::LIST_INSTANCES, &params).await?;
    session.print(op::LIST_INSTANCES, &answer.result)?;
    let found: Result<ListInstancesResult<'_>, _> = serde_json::from_str(answer.result.get());
    if found.is_ok_and(|found| found.total == 0) {
        let owned = |name: &Option<Cow<'_, str>>| name.iter().map(ToString::to_string).collect();
        let filter = NamesInFilter {
            machines: owned(&params.machine),
            states: owned(&params.state),
            events: Vec::new(),
        };
        session.warn_of(&filter).await;
    }
    Ok(())
}

pub(super) async fn delete(
    session: &CliSession,
    args: args::DeleteInstanceArgs,
) -> Result<(), Error> {
    let params = DeleteInstance {
        instance_id: args.instance.id().into(),
        idempotency_key: args.idempotency_key.map(Into::into),
        meta: args.about.meta(),
        dry_run: args.ask.dry_run,
    };
    session.show(op::DELETE_INSTANCE, &params).await
}
