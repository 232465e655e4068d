//! create-instance, get-instance, list-instances, delete-instance.

use std::borrow::Cow;
use std::time::Duration;

use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::asking::AllowedEvents;
use rstmdb_rcp::message::instance::{
    CreateInstance, DeleteInstance, GetInstance, IncludeOfInstance, ListInstances,
    ListInstancesResult,
};
use rstmdb_rcp::message::meta::Headers;
use rstmdb_rcp::message::op;

use crate::render::view;
use crate::session::CliSession;
use crate::session::filters::NamesInFilter;
use crate::session::hint::HintAbout;
use crate::{Error, args, input};

/// How long people wait for what is beside the answer.
const PATIENCE: Duration = Duration::from_secs(2);

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
        initial_state: args.initial_state.map(Into::into),
        created_at: args.created_at,
        updated_at: args.updated_at,
        meta: args.about.meta(),
        dry_run: args.ask.dry_run,
    };
    match session.show(op::CREATE_INSTANCE, &params).await {
        Err(error) => Err(session.with_hint(error, HintAbout::default()).await),
        done => done,
    }
}

pub(super) async fn get(session: &CliSession, args: args::GetInstanceArgs) -> Result<(), Error> {
    let freshness = args.freshness.options();
    let params = GetInstance {
        instance_id: args.instance.id().into(),
        include: match args.meta {
            true => vec![IncludeOfInstance::Meta],
            false => Vec::new(),
        },
        read: freshness,
    };
    session.show(op::GET_INSTANCE, &params).await?;
    if session.out.for_programs() {
        return Ok(());
    }
    let params = AllowedEvents {
        instance_id: args.instance.id().into(),
        payloads: None,
        headers: Headers::default(),
        read: freshness,
    };
    // Only to help people: a server of an earlier version does not know it, and nobody waits long for it.
    let next = tokio::time::timeout(PATIENCE, session.call(op::ALLOWED_EVENTS, &params)).await;
    let Ok(Ok(answer)) = next else { return Ok(()) };
    let next = Json::parse(answer.result.get()).map_err(Error::unexpected)?;
    session
        .out
        .line(&view::next_events(&next, session.out.paint))
}

pub(super) async fn list(session: &CliSession, args: args::ListInstancesArgs) -> Result<(), Error> {
    let all = args.all;
    let params = ListInstances {
        machine: args.machine.name().map(Into::into),
        state: args.state.map(Into::into),
        limit: args.limit.map(u64::from),
        offset: args.offset,
        read: args.freshness.options(),
        ..ListInstances::default()
    };
    if all {
        let params = ListInstances {
            limit: Some(ListInstances::LIMIT_MAX),
            ..params
        };
        return session.show_all(op::LIST_INSTANCES, params, after).await;
    }
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

/// Asks for the page behind this one, if there is one.
fn after(params: &mut ListInstances<'_>, page: &Json) -> bool {
    let last = page["instances"].items().last();
    let last = last.and_then(|item| item["id"].as_str());
    params.after = last.map(|id| id.to_owned().into());
    page["has_more"] == Json::Bool(true) && last.is_some()
}

pub(super) async fn delete(
    session: &CliSession,
    args: args::DeleteInstanceArgs,
) -> Result<(), Error> {
    let params = DeleteInstance {
        instance_id: args.instance.id().into(),
        expected_wal_offset: args.expected_wal_offset,
        idempotency_key: args.idempotency_key.map(Into::into),
        meta: args.about.meta(),
        dry_run: args.ask.dry_run,
    };
    session.show(op::DELETE_INSTANCE, &params).await
}
