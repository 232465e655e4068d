//! CREATE_INSTANCE and DELETE_INSTANCE; whose instances a client may change.

mod import;
mod reach;

use std::sync::Arc;

use bytes::Bytes;

use super::idempotency::{KeyCheck, ParamsHash};
use super::timers::{Moves, TimersChange};
use super::{Decider, OpDecision, check_offset};
use crate::Refusal;
use crate::api::check_name;
use crate::api::command::{CreateInstance, DeleteInstance};
use crate::api::reply::Reply;
use crate::fact::level::Feature;
use crate::fact::{self, Body, Fired};
use crate::json::{JsonObject, check, compact};
use crate::limits::CTX_BYTES_MAX;
use crate::machine::Machine;
use crate::machine::definition::ChartSettings;
use crate::query::course::{Arrived, Course, not_understood};
use crate::state::{Last, Scope};
use crate::view::View;

/// A JSON object from a client; null counts as absent.
pub(super) struct ObjectParam<'a> {
    pub(super) object: JsonObject<'a>,
    text: &'a [u8],
}

impl ObjectParam<'_> {
    /// Its text; it was checked when the object was read.
    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(self.text).unwrap_or("{}")
    }

    /// Hash of its value.
    pub(super) fn hash(&self) -> u64 {
        // The text was checked when the object was read, so there is a hash.
        check(self.text).unwrap_or_default()
    }
}

pub(super) fn object_param<'a>(
    field: &str,
    text: Option<&'a Bytes>,
) -> Result<Option<ObjectParam<'a>>, Refusal> {
    let Some(text) = text.filter(|text| text.trim_ascii() != b"null") else {
        return Ok(None);
    };
    match JsonObject::parse(text) {
        Ok(object) => Ok(Some(ObjectParam { object, text })),
        Err(fault) => Err(Refusal::bad(
            field,
            format!("{field} must be a JSON object or null: {fault}"),
        )),
    }
}

pub(super) fn check_ctx_bytes(field: &str, ctx: &[u8]) -> Result<(), Refusal> {
    if ctx.len() <= CTX_BYTES_MAX {
        return Ok(());
    }
    Err(Refusal::bad(
        field,
        format!(
            "{field} makes a context of {} bytes; {CTX_BYTES_MAX} are allowed",
            ctx.len()
        ),
    ))
}

/// What a repetition must share. `{}` means the same as an absent context.
fn params_hash(create: &CreateInstance, ctx: Option<&ObjectParam<'_>>) -> ParamsHash {
    let first_ctx = ctx.filter(|ctx| !ctx.object.is_empty());
    let hash = ParamsHash::default()
        .text(Some(&create.machine))
        .number(Some(u64::from(create.version)))
        .number(first_ctx.map(ObjectParam::hash));
    match &create.import {
        None => hash,
        Some(import) => hash
            .text(Some(&import.state))
            .number(import.created_ms)
            .number(import.updated_ms),
    }
}

/// A new instance of a machine of format 1 in this state.
fn arrived_at(state: u16, ctx: Option<&ObjectParam<'_>>) -> Arrived {
    Arrived {
        to: state,
        ctx: match ctx {
            Some(ctx) => compact(&ctx.object),
            None => Bytes::from_static(b"{}"),
        },
        via: Vec::new(),
        emits: Vec::new(),
        armed: None,
    }
}

/// The machine of a new instance: in its highest version, if the client names none.
pub(super) fn machine_of<'a>(view: View<'a>, create: &CreateInstance) -> Option<&'a Arc<Machine>> {
    let version = match create.version {
        0 => view.versions(&create.machine).last().copied()?,
        version => version,
    };
    view.machine(&create.machine, version)
}

impl Decider<'_> {
    pub(super) fn create_instance(self, create: &CreateInstance) -> Result<OpDecision, Refusal> {
        self.check_id("instance_id", &create.instance_id)?;
        check_name("machine", &create.machine)?;
        let ctx = object_param("initial_ctx", create.initial_ctx.as_ref())?;
        let scope = match create.id_given {
            true => Scope::Create(&create.instance_id),
            false => Scope::CreateOf(&create.machine),
        };
        let params = || params_hash(create, ctx.as_ref());
        let key = match self.key(create.idempotency_key.as_deref(), scope, params)? {
            KeyCheck::Seen(found) => return Ok(self.replay(found, None)),
            KeyCheck::New(key) => key,
        };
        let machine = self.machine_of(create)?;
        let prev_offset = self.free_id(&create.instance_id)?;
        let (arrived, imported) = self.arrived(create, machine, ctx.as_ref())?;
        check_ctx_bytes("initial_ctx", &arrived.ctx)?;
        let state = machine.state_name(arrived.to);
        let change = TimersChange::new(arrived.armed, None);
        let moves = Moves::default();
        let timers = self.timers_after(&create.instance_id, change, &moves, |_| Ok(()))?;
        Ok(OpDecision::Write {
            body: Body::CreateInstance(fact::CreateInstance {
                instance_id: create.instance_id.clone(),
                machine: create.machine.clone(),
                version: machine.version,
                state: state.to_string(),
                ctx: arrived.ctx,
                prev_offset,
                key,
                emits: arrived.emits,
                via: arrived.via,
                timers,
                imported,
            }),
            reply: Reply::Created {
                instance_id: Arc::from(create.instance_id.as_str()),
                state: state.clone(),
                wal_offset: self.offset,
            },
            machine: None,
        })
    }

    fn machine_of<'a>(&self, create: &CreateInstance) -> Result<&'a Arc<Machine>, Refusal>
    where
        Self: 'a,
    {
        machine_of(self.view, create).ok_or_else(|| Refusal::MachineNotFound {
            machine: create.machine.clone(),
            version: (create.version != 0).then_some(create.version),
        })
    }

    /// The state in which a new instance comes to rest, and its context there.
    fn begun(
        self,
        create: &CreateInstance,
        machine: &Machine,
        ctx: Option<&ObjectParam<'_>>,
    ) -> Result<Arrived, Refusal> {
        let chart = machine
            .chart()
            .map_err(|reason| not_understood(machine, reason))?;
        if let Some(chart) = chart {
            let headers = self.headers();
            let mut course = self.course(create, machine, chart, &headers);
            return course.create(ctx.map(|ctx| &ctx.object));
        }
        Ok(arrived_at(machine.initial, ctx))
    }

    /// A decision on a new instance of a machine of format 2.
    fn course<'a>(
        &'a self,
        create: &'a CreateInstance,
        machine: &'a Machine,
        chart: &'a ChartSettings,
        headers: &'a str,
    ) -> Course<'a> {
        let names = self.names(&create.instance_id, &machine.name);
        let mut course = Course::new(machine, chart, names, "{}", headers);
        course.slack_ms = self.slack_ms;
        course
    }

    /// The offset of an earlier use of the id.
    fn free_id(self, instance_id: &str) -> Result<u64, Refusal> {
        match self.view.last(instance_id) {
            Last::Never => Ok(0),
            Last::Used(offset) if self.limits.allow_instance_recreate => Ok(offset),
            Last::Used(_) | Last::Live(_) => Err(Refusal::InstanceExists {
                instance_id: instance_id.to_owned(),
            }),
        }
    }

    /// The deletion of a client, or of a timer that has fired.
    pub(super) fn deletion(
        self,
        delete: &DeleteInstance,
        fired: Option<Fired>,
    ) -> Result<OpDecision, Refusal> {
        self.check_id("instance_id", &delete.instance_id)?;
        if delete.expected_wal_offset.is_some() {
            // A leader that does not know the condition would delete the instance whatever has become of it.
            self.require(Feature::ConditionalDelete)?;
        }
        let scope = Scope::Delete(&delete.instance_id);
        let params = || match delete.expected_wal_offset {
            // Keys of earlier versions know no condition.
            None => ParamsHash::default(),
            expected => ParamsHash::default().number(expected),
        };
        let key = match self.key(delete.idempotency_key.as_deref(), scope, params)? {
            KeyCheck::Seen(found) => return Ok(self.replay(found, None)),
            KeyCheck::New(key) => key,
        };
        let Some(current) = self.view.instance(&delete.instance_id) else {
            return Err(Refusal::InstanceNotFound {
                instance_id: delete.instance_id.clone(),
            });
        };
        check_offset(delete.expected_wal_offset, &current)?;
        let mut deleted = fact::DeleteInstance {
            instance_id: delete.instance_id.clone(),
            prev_offset: current.last_offset,
            keep_id: !self.limits.allow_instance_recreate,
            key,
            fired,
            ..fact::DeleteInstance::default()
        };
        if self.reaches(Feature::DeletedState) {
            deleted.machine = current.machine.name.to_string();
            deleted.version = current.machine.version;
            deleted.from_state = current.state_name().to_string();
        }
        Ok(OpDecision::Write {
            body: Body::DeleteInstance(deleted),
            reply: Reply::Deleted {
                instance_id: Arc::from(delete.instance_id.as_str()),
                wal_offset: self.offset,
            },
            machine: None,
        })
    }
}
