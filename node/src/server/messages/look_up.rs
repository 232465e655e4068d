//! From an operation and its parameters to what it looks up.

use bytes::Bytes;
use rstmdb_engine::reply::TimerPlace;
use rstmdb_engine::{Asker, ListInstances, ListLocks, ListTimers, Query};
use rstmdb_rcp::message::instance::IncludeOfInstance;
use rstmdb_rcp::message::instance::timers::TimerList;
use rstmdb_rcp::message::locks::{LockGet, LockList};
use rstmdb_rcp::message::machine::IncludeOfMachine;
use rstmdb_rcp::message::{ErrorBody, Params, ReadOptions, asking, instance, machine};
use serde_json::value::RawValue;

use super::meta;
use super::op::Op;

/// Something to look up.
pub(crate) struct LookUp {
    pub(crate) query: Query,
    /// How fresh the answer must be.
    pub(crate) options: ReadOptions,
    /// What is asked for beside it.
    pub(crate) beside: Option<Beside>,
}

/// What a request asks for beside what the state has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Of an instance: what is known about its last write.
    Meta,
    /// Of a machine: where the parts of its diagram stand.
    Layout,
}

/// What a request looks up. `None` for operations that are no queries.
pub(crate) fn query(op: Op, params: &RawValue) -> Option<Result<LookUp, ErrorBody>> {
    let mut beside = None;
    let found = match op {
        Op::AllowedEvents => understood(params).map(|params: asking::AllowedEvents<'_>| {
            let text = |raw: &RawValue| Bytes::copy_from_slice(raw.get().as_bytes());
            let query = Query::AllowedEvents {
                instance_id: params.instance_id.into_owned(),
                payloads: params.payloads.map(text),
                headers: meta::headers(params.headers),
                asker: Asker::default(),
            };
            (query, params.read)
        }),
        Op::GetMachine => understood(params).map(|params: machine::GetMachine<'_>| {
            let with_layout = params.include.contains(&IncludeOfMachine::Layout);
            beside = with_layout.then_some(Beside::Layout);
            let query = Query::GetMachine {
                machine: params.machine.into_owned(),
                version: params.version,
            };
            (query, params.read)
        }),
        Op::ListMachines => understood(params).map(|params: machine::ListMachines| {
            let query = Query::ListMachines {
                limit: params.limit,
                offset: params.offset,
            };
            (query, params.read)
        }),
        Op::GetInstance => understood(params).map(|params: instance::GetInstance<'_>| {
            let with_meta = params.include.contains(&IncludeOfInstance::Meta);
            beside = with_meta.then_some(Beside::Meta);
            let query = Query::GetInstance {
                instance_id: params.instance_id.into_owned(),
            };
            (query, params.read)
        }),
        Op::ListInstances => understood(params).map(list_instances),
        Op::TimerList => understood(params).map(timer_list),
        Op::LockGet => understood(params).map(lock_get),
        Op::LockList => understood(params).map(lock_list),
        _ => return None,
    };
    Some(found.map(|(query, options)| LookUp {
        query,
        options,
        beside,
    }))
}

fn list_instances(params: instance::ListInstances<'_>) -> (Query, ReadOptions) {
    let limit = params.page_limit();
    let query = Query::ListInstances(ListInstances {
        machine: params.machine.map(Into::into),
        state: params.state.map(Into::into),
        limit: Some(limit),
        offset: params.offset,
        after: params.after.map(Into::into),
    });
    (query, params.read)
}

fn timer_list(params: TimerList<'_>) -> (Query, ReadOptions) {
    let query = Query::ListTimers(ListTimers {
        machine: params.machine.map(Into::into),
        due_before_ms: params.due_before,
        suspended: params.suspended,
        limit: params.limit,
        after: params.after.map(|after| TimerPlace {
            due_ms: after.due_at,
            instance_id: after.instance_id.into_owned(),
            name: after.name.into_owned(),
        }),
        now_ms: 0,
    });
    (query, params.read)
}

fn lock_get(params: LockGet<'_>) -> (Query, ReadOptions) {
    let query = Query::GetLock {
        name: params.name.into_owned(),
        now_ms: 0,
    };
    (query, params.read)
}

fn lock_list(params: LockList<'_>) -> (Query, ReadOptions) {
    let query = Query::ListLocks(ListLocks {
        prefix: params.prefix.map(Into::into),
        limit: params.limit,
        after: params.after.map(Into::into),
        now_ms: 0,
    });
    (query, params.read)
}

fn understood<'a, P: Params<'a>>(params: &'a RawValue) -> Result<P, ErrorBody> {
    P::read(params).map_err(ErrorBody::from)
}
