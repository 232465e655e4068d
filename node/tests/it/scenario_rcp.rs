//! The requests of a scenario and their results, as RCP writes them.

use rstmdb_engine::command::{BatchOp, DryRun, Query};
use rstmdb_engine::definition::Warning;
use rstmdb_engine::fact::{Meta, NO_OFFSET};
use rstmdb_engine::guard::Tried;
use rstmdb_engine::reply::{AllowedEvent, Trial};
use rstmdb_engine::{Command, LockCommand, LockReply, LockView, Refusal, Reply};
use rstmdb_rcp::message::storage::automation::Automation;
use rstmdb_rcp::message::{asking, instance, machine, meta};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::scenario::Request;

/// The operation and its parameters. They are text: the documents in them go out as they are written.
pub fn call(request: &Request) -> (&'static str, String) {
    match request {
        Request::Command(command) => command_call(command),
        Request::Query(query) => query_call(query),
    }
}

/// The parameters of a write with what its client says about it.
pub fn with_meta(params: &str, meta: &Meta) -> String {
    let headers = meta.headers.iter();
    let headers: serde_json::Map<_, _> = headers
        .map(|header| (header.name.clone(), json!(header.value)))
        .collect();
    let said = [
        ("headers", (!headers.is_empty()).then(|| json!(headers))),
        ("reason", meta.reason.clone().map(Value::from)),
        (
            "correlation_id",
            meta.correlation_id.clone().map(Value::from),
        ),
        ("causation_id", meta.causation_id.clone().map(Value::from)),
        (
            "fence",
            meta.fence
                .as_ref()
                .map(|fence| json!({ "lock": fence.lock, "token": fence.token })),
        ),
    ];
    let said = said
        .into_iter()
        .filter_map(|(name, value)| Some(format!(r#""{name}":{}"#, value?)));
    let said: Vec<String> = said.collect();
    let rest = params.strip_prefix('{').unwrap();
    let comma = if rest == "}" { "" } else { "," };
    format!("{{{}{comma}{rest}", said.join(","))
}

fn command_call(command: &Command) -> (&'static str, String) {
    match command {
        Command::PutMachine(put) => {
            let mut params =
                machine::PutMachine::new(&*put.machine, put.version, raw(&put.definition));
            params.checksum = put.checksum.as_deref().map(Into::into);
            ("PUT_MACHINE", text(&params))
        }
        Command::DeleteMachine(delete) => {
            let params = machine::DeleteMachine {
                machine: (&*delete.machine).into(),
                version: delete.version,
                all_versions: delete.version.is_none(),
                ..machine::DeleteMachine::default()
            };
            ("DELETE_MACHINE", text(&params))
        }
        Command::CreateInstance(create) => {
            let import = create.import.as_deref();
            let params = instance::CreateInstance {
                instance_id: create.id_given.then(|| (&*create.instance_id).into()),
                machine: (&*create.machine).into(),
                version: create.version,
                initial_ctx: create.initial_ctx.as_deref().map(raw),
                idempotency_key: create.idempotency_key.as_deref().map(Into::into),
                initial_state: import.map(|import| (&*import.state).into()),
                created_at: import.and_then(|import| import.created_ms),
                updated_at: import.and_then(|import| import.updated_ms),
                ..instance::CreateInstance::default()
            };
            ("CREATE_INSTANCE", text(&params))
        }
        Command::ApplyEvent(apply) => {
            let params = instance::ApplyEvent {
                instance_id: (&*apply.instance_id).into(),
                event: (&*apply.event).into(),
                payload: apply.payload.as_deref().map(raw),
                expected_state: apply.expected_state.as_deref().map(Into::into),
                expected_wal_offset: apply.expected_wal_offset,
                event_id: apply.event_id.as_deref().map(Into::into),
                idempotency_key: apply.idempotency_key.as_deref().map(Into::into),
                ..instance::ApplyEvent::default()
            };
            ("APPLY_EVENT", text(&params))
        }
        Command::DeleteInstance(delete) => {
            let params = instance::DeleteInstance {
                instance_id: (&*delete.instance_id).into(),
                expected_wal_offset: delete.expected_wal_offset,
                idempotency_key: delete.idempotency_key.as_deref().map(Into::into),
                ..instance::DeleteInstance::default()
            };
            ("DELETE_INSTANCE", text(&params))
        }
        Command::FlushAll => ("FLUSH_ALL", "{}".to_owned()),
        Command::SetAutomation(set) => {
            let params = Automation {
                set: Some(if set.paused { "paused" } else { "running" }.into()),
                meta: meta::Meta {
                    reason: set.reason.as_deref().map(Into::into),
                    ..meta::Meta::default()
                },
                skip_overdue: set.skip_overdue.then_some(true),
                shift_timers: set.shift_timers.then_some(true),
            };
            ("AUTOMATION", text(&params))
        }
        Command::Lock(lock) => lock_call(lock),
        Command::SetTimers(_) => panic!("no scenario asks for {command}"),
        Command::SetLevel { .. } | Command::FireTimer(_) => {
            panic!("no client can ask for {command}")
        }
        Command::Batch(ops) => ("BATCH", batch_params("atomic", ops)),
        Command::DryRun(asked) => {
            let (op, params) = match &**asked {
                DryRun::Whole(command) => command_call(command),
                DryRun::EachAlone(ops) => {
                    let ops: Vec<_> = ops.iter().map(|op| op.clone().unwrap()).collect();
                    ("BATCH", batch_params("best_effort", &ops))
                }
            };
            let rest = params.strip_prefix('{').unwrap();
            let comma = if rest == "}" { "" } else { "," };
            (op, format!(r#"{{"dry_run":true{comma}{rest}"#))
        }
    }
}

fn lock_call(lock: &LockCommand) -> (&'static str, String) {
    let name = lock.name();
    let (op, params) = match lock {
        LockCommand::Acquire(acquire) => (
            "LOCK_ACQUIRE",
            json!({ "name": name, "owner": acquire.owner, "ttl_ms": acquire.ttl_ms }),
        ),
        LockCommand::Renew(renew) => {
            let mut params = json!({ "name": name, "token": renew.token });
            if let Some(ttl_ms) = renew.ttl_ms {
                params["ttl_ms"] = json!(ttl_ms);
            }
            ("LOCK_RENEW", params)
        }
        LockCommand::Release(release) => (
            "LOCK_RELEASE",
            json!({ "name": name, "token": release.token }),
        ),
        LockCommand::Expire(_) => panic!("no client can ask for {lock}"),
    };
    (op, params.to_string())
}

fn query_call(query: &Query) -> (&'static str, String) {
    match query {
        Query::GetInstance { instance_id } => {
            let params = instance::GetInstance {
                instance_id: instance_id.into(),
                ..instance::GetInstance::default()
            };
            ("GET_INSTANCE", text(&params))
        }
        Query::ListInstances(list) => {
            let params = instance::ListInstances {
                machine: list.machine.as_deref().map(Into::into),
                state: list.state.as_deref().map(Into::into),
                limit: list.limit,
                offset: list.offset,
                after: list.after.as_deref().map(Into::into),
                ..instance::ListInstances::default()
            };
            ("LIST_INSTANCES", text(&params))
        }
        Query::AllowedEvents {
            instance_id,
            payloads,
            ..
        } => {
            let params = asking::AllowedEvents {
                instance_id: instance_id.into(),
                payloads: payloads.as_deref().map(raw),
                ..asking::AllowedEvents::default()
            };
            ("ALLOWED_EVENTS", text(&params))
        }
        Query::GetMachine { machine, version } => {
            let params = machine::GetMachine {
                machine: machine.into(),
                version: *version,
                ..machine::GetMachine::default()
            };
            ("GET_MACHINE", text(&params))
        }
        Query::GetLock { name, .. } => ("LOCK_GET", json!({ "name": name }).to_string()),
        Query::ListTimers(_) | Query::ListLocks(_) => panic!("no scenario lists them"),
        Query::ListMachines { limit, offset } => {
            let params = machine::ListMachines {
                limit: *limit,
                offset: *offset,
                ..machine::ListMachines::default()
            };
            ("LIST_MACHINES", text(&params))
        }
    }
}

fn batch_params(mode: &str, ops: &[BatchOp]) -> String {
    let ops = ops.iter().map(|op| {
        let (op, params) = match op {
            BatchOp::Write(command) => command_call(command),
            BatchOp::Read(query) => query_call(query),
        };
        format!(r#"{{"op":"{op}","params":{params}}}"#)
    });
    let ops: Vec<String> = ops.collect();
    format!(r#"{{"mode":"{mode}","ops":[{}]}}"#, ops.join(","))
}

fn text(params: &impl Serialize) -> String {
    serde_json::to_string(params).unwrap()
}

fn raw(document: &[u8]) -> &RawValue {
    serde_json::from_slice(document).unwrap()
}

fn document(text: &[u8]) -> Value {
    rstmdb_rcp::json::value_of_bytes(text).unwrap()
}

/// The result that a client gets of `reply`.
pub fn result(reply: &Reply) -> Value {
    match reply {
        Reply::PutMachine {
            machine,
            version,
            checksum,
            created,
            warnings,
        } => {
            let mut put = json!({ "machine": **machine, "version": version, "stored_checksum": **checksum, "created": created });
            if !warnings.is_empty() {
                put["warnings"] = warnings_of(warnings);
            }
            put
        }
        Reply::Created {
            instance_id,
            state,
            wal_offset,
        } => json!({ "instance_id": **instance_id, "state": **state, "wal_offset": wal_offset }),
        Reply::Applied {
            from_state,
            to_state,
            ctx,
            applied,
            event_id,
            wal_offset,
        } => {
            let mut event = json!({ "from_state": **from_state, "to_state": **to_state,
                "ctx": document(ctx), "applied": applied, "wal_offset": wal_offset });
            if let Some(id) = event_id {
                event["event_id"] = json!(**id);
            }
            event
        }
        Reply::Replayed { .. } => panic!("a node has the context in its log: {reply:?}"),
        Reply::Deleted {
            instance_id,
            wal_offset,
        } => json!({ "instance_id": **instance_id, "deleted": true, "wal_offset": wal_offset }),
        Reply::MachineDeleted {
            machine,
            versions,
            wal_offset,
        } => {
            json!({ "machine": **machine, "deleted": true, "versions": versions, "wal_offset": wal_offset })
        }
        Reply::Flushed {
            instances_removed,
            machines_removed,
        } => json!({ "flushed": true, "instances_removed": instances_removed,
            "machines_removed": machines_removed }),
        Reply::Batch(replies) => {
            let items = replies.iter().map(|reply| match reply {
                Reply::Refused(refusal) => {
                    let error = error(refusal);
                    json!({ "status": "error", "error": { "code": error["code"], "details": error["details"],
                        "message": error["message"], "retryable": false } })
                }
                reply => json!({ "status": "ok", "result": result(reply) }),
            });
            json!({ "results": items.collect::<Vec<_>>() })
        }
        Reply::DryRun(trial) => trial_result(trial),
        Reply::Lock(lock) => lock_result(lock),
        found => found_result(found),
    }
}

fn lock_result(reply: &LockReply) -> Value {
    let shown = |lock: &LockView| {
        json!({ "name": *lock.name, "owner": *lock.owner, "token": lock.token, "expires_at": lock.expires_ms,
            "ttl_ms": lock.ttl_ms, "waiting": lock.waiting })
    };
    match reply {
        LockReply::Held { lock, wal_offset } => {
            let mut held = shown(lock);
            if let Some(offset) = wal_offset {
                held["wal_offset"] = json!(offset);
            }
            held
        }
        LockReply::Released {
            name,
            owner,
            token,
            next: None,
            wal_offset,
        } => {
            json!({ "name": **name, "owner": **owner, "token": token, "released": true, "wal_offset": wal_offset })
        }
        LockReply::Found { lock, .. } => {
            json!({ "locks": lock.iter().map(shown).collect::<Vec<_>>() })
        }
        other => panic!("no scenario gets {other:?}"),
    }
}

fn trial_result(trial: &Trial) -> Value {
    let mut told = result(&trial.reply);
    let object = told.as_object_mut().unwrap();
    for name in ["wal_offset", "last_wal_offset"] {
        if object.get(name) == Some(&json!(NO_OFFSET)) {
            object[name] = Value::Null;
        }
    }
    if trial.id_drawn {
        object["instance_id"] = Value::Null;
    }
    // The result of a read within a batch is not a dry run, but may show what has no offset.
    for item in object
        .get_mut("results")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if item["result"]["last_wal_offset"] == json!(NO_OFFSET) {
            item["result"]["last_wal_offset"] = Value::Null;
        }
    }
    object.insert("dry_run".to_owned(), json!(true));
    if trial.replayed {
        object.insert("replayed".to_owned(), json!(true));
    }
    if let Some(would) = &trial.would {
        if let Some(ctx) = &would.ctx {
            object.insert("ctx".to_owned(), document(ctx));
        }
        let would = json!({ "set": would.set, "unset": would.unset, "armed": would.armed,
            "disarmed": would.disarmed, "emits": would.emits, "via": would.via });
        object.insert("would".to_owned(), would);
    }
    told
}

fn allowed_event(allowed: &AllowedEvent) -> Value {
    let guards: Vec<Value> = allowed.guards.iter().map(tried).collect();
    let mut told = json!({ "event": allowed.event, "guards": guards });
    assert_eq!(allowed.guards_left_out, 0, "{allowed:?}");
    if !allowed.always.is_empty() {
        let always = allowed.always.iter().map(|always| {
            let guards: Vec<Value> = always.guards.iter().map(tried).collect();
            json!({ "state": always.state, "guards": guards })
        });
        told["always"] = json!(always.collect::<Vec<_>>());
    }
    for (key, names) in [("armed", &allowed.armed), ("disarmed", &allowed.disarmed)] {
        if !names.is_empty() {
            told[key] = json!(names);
        }
    }
    if let Some(refusal) = &allowed.refusal {
        told["code"] = json!(refusal.code());
        told["message"] = json!(refusal.to_string());
    }
    match &allowed.to_state {
        Some(state) => {
            told["outcome"] = json!("taken");
            told["to_state"] = json!(**state);
        }
        None => told["outcome"] = json!("refused"),
    }
    told
}

fn tried(tried: &Tried) -> Value {
    assert!(!tried.values.iter().any(|read| read.cut));
    let values = tried.values.iter();
    let values: serde_json::Map<_, _> = values
        .map(|read| (read.path.clone(), document(read.value.as_bytes())))
        .collect();
    let mut told = json!({ "text": tried.text, "holds": tried.holds, "values": values });
    if let Some(error) = &tried.error {
        told["error"] = json!(error);
    }
    told
}

fn warnings_of(warnings: &[Warning]) -> Value {
    let warnings = warnings.iter();
    let warnings = warnings.map(|it| json!({ "place": it.place, "text": it.text }));
    json!(warnings.collect::<Vec<_>>())
}

/// The result of a query.
fn found_result(reply: &Reply) -> Value {
    match reply {
        Reply::Instance(instance) => {
            let mut found = json!({ "machine": *instance.machine, "version": instance.version,
                "state": *instance.state, "ctx": document(&instance.ctx),
                "last_wal_offset": instance.last_wal_offset });
            if let Some(id) = &instance.last_event_id {
                found["last_event_id"] = json!(**id);
            }
            found
        }
        Reply::Instances {
            items,
            total,
            has_more,
        } => {
            let items = items.iter().map(|item| {
                json!({ "id": *item.id, "machine": *item.machine, "version": item.version,
                    "state": *item.state, "created_at": item.created_ms, "updated_at": item.updated_ms,
                    "last_wal_offset": item.last_wal_offset })
            });
            json!({ "instances": items.collect::<Vec<_>>(), "total": total, "has_more": has_more })
        }
        Reply::Machine {
            machine: _,
            version,
            definition,
            checksum,
            format,
            warnings,
        } => {
            let mut result = json!({ "definition": document(definition), "checksum": **checksum, "version": version });
            if *format > 1 {
                result["format"] = json!(format);
            }
            if !warnings.is_empty() {
                result["warnings"] = warnings_of(warnings);
            }
            result
        }
        Reply::Machines { items } => {
            let items = items.iter().map(|item| match item.format {
                1 => json!({ "machine": *item.machine, "versions": item.versions }),
                format => {
                    json!({ "machine": *item.machine, "versions": item.versions, "format": format })
                }
            });
            json!({ "items": items.collect::<Vec<_>>() })
        }
        Reply::AllowedEvents(allowed) => {
            assert!(!allowed.has_more);
            let events: Vec<Value> = allowed.events.iter().map(allowed_event).collect();
            json!({ "state": *allowed.state, "last_wal_offset": allowed.last_wal_offset, "events": events })
        }
        other => panic!("no result of a query: {other:?}"),
    }
}

/// The code, the details and the message of the error that a client gets of `refusal`. A message that names a field is
/// left out, because the session and the engine word it differently.
pub fn error(refusal: &Refusal) -> Value {
    let mut details = refusal.details();
    let field = details["field"].as_str().map(str::to_owned);
    if let Some(field) = &field {
        details["field"] = json!(path(refusal, field));
    }
    if field.as_deref() == Some("op") {
        // An operation that no batch may hold makes it a batch that cannot be read: no operation was refused.
        details.as_object_mut().unwrap().remove("index");
    }
    let has_details = details
        .as_object()
        .is_some_and(|details| !details.is_empty());
    json!({
        "code": refusal.code(),
        "details": has_details.then_some(details),
        "message": field.is_none().then(|| refusal.to_string()),
    })
}

/// Where the engine's field is in the request.
fn path(refusal: &Refusal, field: &str) -> String {
    match (refusal, field) {
        (Refusal::InBatch { index, .. }, "op") => format!("params.ops[{index}].op"),
        (Refusal::InBatch { index, .. }, _) => format!("params.ops[{index}].params.{field}"),
        _ => format!("params.{field}"),
    }
}
