//! The node and the protocol crate agree: results that the node writes by hand, and parameters that it reads into
//! commands and queries of the engine.

#![allow(clippy::unwrap_used)]

#[path = "../../../../rcp/tests/it/agreement.rs"]
mod agreement;

use bytes::{Bytes, BytesMut};
use rstmdb_engine::definition::Warning;
use rstmdb_engine::fact::NO_OFFSET;
use rstmdb_engine::guard::{Tried, ValueRead};
use rstmdb_engine::reply::{
    AllowedEvent, AllowedEvents, AlwaysTried, InstanceSummary, MachineSummary, TimerListed,
    TimerPlace, TimerView, Trial, Would,
};
use rstmdb_engine::{InstanceView, LockReply, LockView, Refusal, Reply};
use rstmdb_rcp::json;
use serde_json::{Value, json};

use super::command::{NewIds, ParamsText, command};
use super::look_up::{Beside, query};
use super::op::Op;
use super::{reply, testing};
use crate::replica::Submission;

/// How the node understands the parameters of an operation.
enum Understood {
    /// As a command of the engine.
    Command,
    /// As a query of the engine.
    Query,
    /// As the protocol crate reads them.
    AsRead,
}

fn understood(op: Op) -> Understood {
    match op {
        Op::PutMachine
        | Op::DeleteMachine
        | Op::CreateInstance
        | Op::DeleteInstance
        | Op::ApplyEvent
        | Op::TimerSet
        | Op::LockAcquire
        | Op::LockRenew
        | Op::LockRelease
        | Op::Batch
        | Op::FlushAll
        | Op::Automation => Understood::Command,
        Op::GetMachine
        | Op::ListMachines
        | Op::GetInstance
        | Op::ListInstances
        | Op::AllowedEvents
        | Op::TimerList
        | Op::LockGet
        | Op::LockList => Understood::Query,
        Op::Hello
        | Op::Auth
        | Op::Ping
        | Op::Info
        | Op::Whoami
        | Op::Bye
        | Op::WatchInstance
        | Op::WatchAll
        | Op::Unwatch
        | Op::SnapshotInstance
        | Op::WalRead
        | Op::Ancestors
        | Op::WalStats
        | Op::ReplicationStatus
        | Op::Compact
        | Op::ClockAdvance
        | Op::ClusterStatus
        | Op::ClusterAdd
        | Op::ClusterPromote
        | Op::ClusterRemove
        | Op::ClusterSetAddress
        | Op::ClusterTransferLeader
        | Op::ClusterFinalizeUpgrade
        | Op::RotateKey
        | Op::Reload
        | Op::BackupDescribe
        | Op::BackupSnapshot
        | Op::BackupLog
        | Op::AuditRead => Understood::AsRead,
    }
}

#[test]
fn the_node_understands_every_parameter_that_a_client_writes() {
    for op in Op::ALL.iter().copied() {
        let row = agreement::row(op.name()).unwrap_or_else(|| panic!("{op:?} has no row"));
        for whole in row.whole {
            let text = Bytes::from_static(whole.as_bytes());
            let expected = json::value(whole).unwrap();
            let params = ParamsText::owned(&text).unwrap();
            let understood = match understood(op) {
                Understood::Command => as_command(op, &params, &expected),
                Understood::Query => as_query(op, &params),
                Understood::AsRead => (row.params)(params.raw()).unwrap(),
            };
            assert_eq!(understood, expected, "{op:?}");
        }
    }
}

/// Of parameters that make no command, the parameters as they are.
fn as_command(op: Op, params: &ParamsText<'_>, all: &Value) -> Value {
    let Some(asked) = command(op, params, &mut NewIds::default()) else {
        return all.clone();
    };
    let asked = asked.unwrap();
    let submission = Submission::from((asked.command, asked.meta.map(|meta| *meta)));
    json::value_of_bytes(&submission.sent.params).unwrap()
}

fn as_query(op: Op, params: &ParamsText<'_>) -> Value {
    let found = query(op, params.raw()).unwrap().unwrap();
    let mut out = BytesMut::new();
    testing::write_query(&mut out, &found.query);
    let mut written = json::value_of_bytes(&out).unwrap();
    let fields = written.as_object_mut().unwrap();
    let options = serde_json::to_value(found.options).unwrap();
    fields.extend(options.as_object().unwrap().clone());
    match found.beside {
        Some(Beside::Meta) => fields.insert("include".to_owned(), json!(["meta"])),
        Some(Beside::Layout) => fields.insert("include".to_owned(), json!(["layout"])),
        None => None,
    };
    written
}

/// The operation whose result this is. `None`: no client gets it alone.
fn op_of(reply: &Reply) -> Option<Op> {
    Some(match reply {
        Reply::PutMachine { .. } => Op::PutMachine,
        Reply::Created { .. } => Op::CreateInstance,
        Reply::Applied { .. } | Reply::Replayed { .. } => Op::ApplyEvent,
        Reply::Deleted { .. } => Op::DeleteInstance,
        Reply::MachineDeleted { .. } => Op::DeleteMachine,
        Reply::Flushed { .. } => Op::FlushAll,
        Reply::LevelSet { .. } => Op::ClusterFinalizeUpgrade,
        Reply::Automation { .. } => Op::Automation,
        Reply::TimersSet { .. } => Op::TimerSet,
        Reply::Timers { .. } => Op::TimerList,
        Reply::Instance(_) => Op::GetInstance,
        Reply::Instances { .. } => Op::ListInstances,
        Reply::Machine { .. } => Op::GetMachine,
        Reply::Machines { .. } => Op::ListMachines,
        Reply::AllowedEvents(_) => Op::AllowedEvents,
        Reply::Batch(_) => Op::Batch,
        Reply::DryRun(trial) => return op_of(&trial.reply),
        Reply::Lock(reply) => return op_of_lock(reply),
        Reply::Fired(_) | Reply::Refused(_) => return None,
    })
}

/// Each of the two operations that hold a lock answers as the other does.
fn op_of_lock(reply: &LockReply) -> Option<Op> {
    Some(match reply {
        LockReply::Held { wal_offset, .. } if wal_offset.is_some() => Op::LockRenew,
        LockReply::Held { .. } => Op::LockAcquire,
        LockReply::Released { .. } => Op::LockRelease,
        LockReply::Found { .. } => Op::LockGet,
        LockReply::Listed { .. } => Op::LockList,
        LockReply::Waits { .. } | LockReply::Expired(_) => return None,
    })
}

#[test]
fn a_client_reads_every_field_of_a_result_that_the_node_writes() {
    let mut shown = Vec::new();
    for reply in alone().into_iter().chain(trials()) {
        let op = op_of(&reply).unwrap();
        shown.push(op);
        let row = agreement::row(op.name()).unwrap_or_else(|| panic!("{op:?} has no row"));
        let again = match reply {
            Reply::DryRun(_) => row.dry_run,
            _ => row.result,
        };
        let mut out = BytesMut::new();
        reply::write(&mut out, &reply.into());
        let text = std::str::from_utf8(&out).unwrap();
        let read = again(text).unwrap_or_else(|error| panic!("{op:?}: {error}: {text}"));
        let written = json::value(text).unwrap();
        assert_eq!(without_nulls(read), without_nulls(written), "{op:?}");
    }
    for op in Op::ALL {
        let by_hand = !matches!(understood(*op), Understood::AsRead);
        assert!(!by_hand || shown.contains(op), "no result of {op:?}");
    }
}

/// A field that is null counts as absent.
fn without_nulls(mut value: Value) -> Value {
    let fields = value.as_object_mut().unwrap();
    fields.retain(|_, value| !value.is_null());
    value
}

fn warnings() -> Vec<Warning> {
    vec![Warning {
        place: "transitions[3]".to_owned(),
        text: "never taken".to_owned(),
    }]
}

fn timer(event: Option<&str>, refusals: u32) -> TimerView {
    TimerView {
        name: "EXPIRE".into(),
        event: event.map(Into::into),
        due_ms: 1_767_229_200_000,
        refusals,
    }
}

fn ctx() -> Bytes {
    Bytes::from_static(br#"{"total":7,"list":[1.50,null],"text":"\u00e4"}"#)
}

fn instance(timers: Vec<TimerView>, last_event_id: Option<&str>) -> Reply {
    Reply::Instance(InstanceView {
        instance_id: "order-1".into(),
        machine: "order".into(),
        version: 2,
        state: "paid".into(),
        ctx: ctx(),
        created_ms: 1,
        updated_ms: 2,
        last_event_id: last_event_id.map(Into::into),
        last_wal_offset: 9,
        timers_suspended: !timers.is_empty(),
        timers,
    })
}

fn applied(event_id: Option<&str>, wal_offset: u64) -> Reply {
    Reply::Applied {
        from_state: "created".into(),
        to_state: "paid".into(),
        ctx: ctx(),
        applied: true,
        event_id: event_id.map(Into::into),
        wal_offset,
    }
}

fn replayed(wal_offset: u64) -> Reply {
    Reply::Replayed {
        instance_id: "order-1".into(),
        idempotency_key: "k".into(),
        from_state: "created".into(),
        to_state: "paid".into(),
        event_id: Some("e".into()),
        wal_offset,
    }
}

fn created(wal_offset: u64) -> Reply {
    Reply::Created {
        instance_id: "order-1".into(),
        state: "created".into(),
        wal_offset,
    }
}

fn deleted(wal_offset: u64) -> Reply {
    Reply::Deleted {
        instance_id: "order-1".into(),
        wal_offset,
    }
}

fn machine_deleted(wal_offset: u64) -> Reply {
    Reply::MachineDeleted {
        machine: "order".into(),
        versions: vec![1, 3],
        wal_offset,
    }
}

fn put(warnings: Vec<Warning>) -> Reply {
    Reply::PutMachine {
        machine: "order".into(),
        version: 2,
        checksum: "ab".into(),
        created: true,
        warnings: warnings.into(),
    }
}

fn flushed() -> Reply {
    Reply::Flushed {
        instances_removed: 3,
        machines_removed: 1,
    }
}

fn timers_set(wal_offset: Option<u64>) -> Reply {
    Reply::TimersSet {
        instance_id: "order-1".into(),
        timers: vec![timer(Some("EXPIRE"), 2), timer(None, 0)],
        applied: wal_offset.is_some(),
        wal_offset,
    }
}

fn automation(paused: bool) -> Reply {
    Reply::Automation {
        paused,
        since_ms: if paused { 5 } else { 0 },
        reason: if paused { "a copy" } else { "" }.into(),
        wal_offset: paused.then_some(9),
    }
}

fn tried(error: Option<&str>) -> Tried {
    let read = |path: &str, value: &str, cut| ValueRead {
        path: path.to_owned(),
        value: value.to_owned(),
        cut,
    };
    Tried {
        text: "ctx.total > 5".to_owned(),
        holds: error.is_none(),
        values: vec![
            read("ctx.total", "7", false),
            read("ctx.list", "[1,2", true),
        ],
        error: error.map(Into::into),
    }
}

fn allowed() -> Reply {
    let event = |name: &str, to_state: Option<&str>| AllowedEvent {
        event: name.to_owned(),
        to_state: to_state.map(Into::into),
        guards: vec![tried(None), tried(Some("no number"))],
        guards_left_out: 2,
        refusal: to_state.is_none().then(|| Refusal::InstanceNotFound {
            instance_id: "order-1".to_owned(),
        }),
        always: vec![AlwaysTried {
            state: "checking".to_owned(),
            guards: vec![tried(None)],
        }],
        armed: vec!["EXPIRE".to_owned()],
        disarmed: vec!["REMIND".to_owned()],
    };
    Reply::AllowedEvents(AllowedEvents {
        state: "created".into(),
        last_wal_offset: 9,
        events: vec![event("PAY", Some("paid")), event("SHIP", None)],
        has_more: true,
    })
}

fn machine(format: u32, warnings: Vec<Warning>) -> Reply {
    Reply::Machine {
        machine: "order".into(),
        version: 2,
        definition: ctx(),
        checksum: "ab".into(),
        format,
        warnings: warnings.into(),
    }
}

fn listings() -> Vec<Reply> {
    let listed = TimerListed {
        instance_id: "order-1".into(),
        machine: "order".into(),
        version: 2,
        state: "paid".into(),
        timer: timer(Some("EXPIRE"), 1),
    };
    let summary = InstanceSummary {
        id: "order-1".into(),
        machine: "order".into(),
        version: 2,
        state: "paid".into(),
        created_ms: 1,
        updated_ms: 2,
        last_wal_offset: 9,
    };
    let machine = |format, warning_count| MachineSummary {
        machine: "order".into(),
        versions: vec![1, 2],
        format,
        warning_count,
    };
    vec![
        Reply::Timers {
            items: vec![listed],
            next: Some(TimerPlace {
                due_ms: 3,
                instance_id: "order-1".to_owned(),
                name: "EXPIRE".to_owned(),
            }),
            armed: 5,
            overdue: 2,
        },
        Reply::Timers {
            items: Vec::new(),
            next: None,
            armed: 0,
            overdue: 0,
        },
        Reply::Instances {
            items: vec![summary],
            total: 7,
            has_more: true,
        },
        Reply::Machines {
            items: vec![machine(1, 0), machine(2, 3)],
        },
    ]
}

fn locks() -> Vec<Reply> {
    let lock = || LockView {
        name: "n".into(),
        owner: "o".into(),
        token: 7,
        expires_ms: 5,
        ttl_ms: 5_000,
        waiting: 2,
    };
    let held = |wal_offset| LockReply::Held {
        lock: lock(),
        wal_offset,
    };
    let released = |next: Option<&str>| LockReply::Released {
        name: "n".into(),
        owner: "o".into(),
        token: 7,
        next: next.map(Into::into),
        wal_offset: 9,
    };
    let found = |lock| LockReply::Found {
        name: "n".into(),
        lock,
    };
    let listed = |items, next| LockReply::Listed { items, next };
    let replies = [
        held(None),
        held(Some(9)),
        released(None),
        released(Some("p")),
        found(None),
        found(Some(lock())),
        listed(vec![lock(), lock()], Some("n".to_owned())),
        listed(Vec::new(), None),
    ];
    replies.map(Reply::Lock).into()
}

/// With every optional field, and without.
fn alone() -> Vec<Reply> {
    let mut replies = vec![
        put(warnings()),
        put(Vec::new()),
        created(9),
        applied(Some("e"), 9),
        applied(None, 9),
        replayed(9),
        deleted(9),
        machine_deleted(9),
        flushed(),
        Reply::LevelSet { from: 1, to: 2 },
        automation(true),
        automation(false),
        timers_set(Some(9)),
        timers_set(None),
        instance(vec![timer(Some("EXPIRE"), 2), timer(None, 0)], Some("e")),
        instance(Vec::new(), None),
        machine(2, warnings()),
        machine(1, Vec::new()),
        allowed(),
        Reply::Batch(vec![
            created(9),
            applied(None, 9),
            instance(Vec::new(), None),
        ]),
    ];
    replies.extend(listings());
    replies.extend(locks());
    replies
}

fn trials() -> Vec<Reply> {
    let names = |name: &str| vec![name.to_owned()];
    let would = |ctx: Option<Bytes>| Would {
        set: names("total"),
        unset: names("old"),
        armed: names("EXPIRE"),
        disarmed: names("REMIND"),
        emits: names("paid"),
        via: names("checking"),
        ctx,
    };
    let trial = |reply, would| {
        Reply::DryRun(Box::new(Trial {
            reply,
            id_drawn: false,
            replayed: false,
            would,
        }))
    };
    let again = |reply, would| {
        Reply::DryRun(Box::new(Trial {
            reply,
            id_drawn: false,
            replayed: true,
            would: Some(would),
        }))
    };
    let drawn = Trial {
        reply: created(NO_OFFSET),
        id_drawn: true,
        replayed: false,
        would: Some(would(Some(ctx()))),
    };
    let refused = Reply::Refused(Box::new(Refusal::InstanceNotFound {
        instance_id: "order-1".to_owned(),
    }));
    let in_batch = vec![trial(created(NO_OFFSET), Some(would(Some(ctx())))), refused];
    vec![
        trial(applied(Some("e"), NO_OFFSET), Some(would(None))),
        again(replayed(7), Would::default()),
        Reply::DryRun(Box::new(drawn)),
        again(created(7), Would::default()),
        trial(deleted(NO_OFFSET), Some(would(None))),
        trial(machine_deleted(NO_OFFSET), None),
        again(deleted(7), Would::default()),
        trial(timers_set(Some(NO_OFFSET)), Some(would(None))),
        trial(timers_set(None), None),
        again(timers_set(Some(7)), Would::default()),
        trial(put(warnings()), None),
        trial(flushed(), None),
        trial(Reply::Batch(in_batch), None),
    ]
}
