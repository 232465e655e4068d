//! Facts: what the log carries. The schema is `proto/fact.proto`.

pub mod chain;
pub mod level;
pub(crate) mod planted;

use std::fmt;

#[allow(missing_docs, clippy::all)]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/rstmdb.fact.rs"));
}

pub use prost::Message;
pub use proto::fact::Body;
pub use proto::{
    ApplyEvent, CreateInstance, DeleteInstance, DeleteMachine, Entry, Fact, Fence, Fired, FlushAll,
    Header, Imported, Key, KeyBounds, LockChanged, LockEnded, LockHolder, LockWaiter, Meta,
    PutMachine, SetAutomation, SetLevel, SetTimers, Timer, TimerSpent, Timers,
};

use crate::limits::Limits;

/// Stands for the offset of an entry that does not have one yet, or never gets one.
pub const NO_OFFSET: u64 = u64::MAX;

impl From<Body> for Fact {
    fn from(body: Body) -> Self {
        Self { body: Some(body) }
    }
}

impl From<&Limits> for KeyBounds {
    fn from(limits: &Limits) -> Self {
        Self {
            retention_ms: limits.idempotency_retention_ms,
            keys_max: limits.idempotency_keys_max,
            bytes_max: limits.idempotency_bytes_max,
            of_lives: true,
        }
    }
}

impl Fact {
    /// The instance it is about, where it is about one.
    pub fn instance_id(&self) -> Option<&str> {
        match self.body.as_ref()? {
            Body::CreateInstance(create) => Some(&create.instance_id),
            Body::ApplyEvent(apply) => Some(&apply.instance_id),
            Body::DeleteInstance(delete) => Some(&delete.instance_id),
            Body::TimerSpent(spent) => Some(&spent.instance_id),
            Body::SetTimers(set) => Some(&set.instance_id),
            Body::PutMachine(_)
            | Body::DeleteMachine(_)
            | Body::FlushAll(_)
            | Body::SetLevel(_)
            | Body::SetAutomation(_)
            | Body::LockChanged(_) => None,
        }
    }
}

impl CreateInstance {
    /// When the instance counts as created and as changed last, if its entry is of `entry_ms`.
    pub fn times(&self, entry_ms: u64) -> (u64, u64) {
        let or_entry = |ms| if ms == 0 { entry_ms } else { ms };
        match &self.imported {
            Some(imported) => (or_entry(imported.created_ms), or_entry(imported.updated_ms)),
            None => (entry_ms, entry_ms),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.index)?;
        for (position, fact) in self.facts.iter().enumerate() {
            let separator = if position == 0 { ' ' } else { ';' };
            write!(f, "{separator}{fact}")?;
        }
        match &self.meta {
            Some(meta) => write!(f, ", {meta}"),
            None => Ok(()),
        }
    }
}

/// Headers as a JSON object.
pub(crate) fn headers_json(headers: &[Header]) -> String {
    let fields = headers.iter().map(|header| {
        let value = serde_json::Value::from(header.value.as_str());
        (header.name.clone(), value)
    });
    serde_json::Value::Object(fields.collect()).to_string()
}

impl Meta {
    /// Bytes of all its texts.
    pub fn text_bytes(&self) -> usize {
        let headers = self.headers.iter();
        let headers: usize = headers
            .map(|header| header.name.len() + header.value.len())
            .sum();
        let texts = [&self.reason, &self.correlation_id, &self.causation_id];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let fence = self.fence.as_ref().map_or(0, |fence| fence.lock.len() + 20);
        headers + texts + fence
    }

    /// The offset of the write that was its cause, if it names one.
    pub fn cause(&self) -> Option<u64> {
        offset_in(self.causation_id.as_deref()?)
    }
}

/// The offset that a causation id names: it is a decimal number and nothing else.
pub fn offset_in(causation_id: &str) -> Option<u64> {
    let is_number = causation_id.bytes().all(|byte| byte.is_ascii_digit());
    let offset = is_number.then(|| causation_id.parse().ok()).flatten()?;
    (offset > 0).then_some(offset)
}

impl fmt::Display for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("meta")?;
        for header in &self.headers {
            write!(f, " {}={:?}", header.name, header.value)?;
        }
        let texts = [
            ("reason", &self.reason),
            ("correlation", &self.correlation_id),
            ("causation", &self.causation_id),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                write!(f, " {name} {text:?}")?;
            }
        }
        match &self.fence {
            Some(fence) => write!(f, " fence {}@{}", fence.lock, fence.token),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.body {
            None => f.write_str("unknown fact"),
            Some(Body::PutMachine(put)) => write!(f, "machine {} v{}", put.machine, put.version),
            Some(Body::DeleteMachine(delete)) => write!(f, "{delete}"),
            Some(Body::CreateInstance(create)) => {
                write!(
                    f,
                    "{} {} in {} of {} v{} ctx {}",
                    create.instance_id,
                    if create.imported.is_some() {
                        "imported"
                    } else {
                        "created"
                    },
                    create.state,
                    create.machine,
                    create.version,
                    LossyText(&create.ctx)
                )?;
                course(f, &create.via, &create.emits)?;
                imported(f, create.imported.as_ref())?;
                timers(f, create.timers.as_ref())?;
                after(f, create.prev_offset, create.key.as_ref())
            }
            Some(Body::ApplyEvent(apply)) => {
                write!(
                    f,
                    "{} {}: {} -> {} ctx {}",
                    apply.instance_id,
                    apply.event,
                    apply.from_state,
                    apply.to_state,
                    LossyText(&apply.ctx)
                )?;
                course(f, &apply.via, &apply.emits)?;
                fired(f, apply.fired.as_ref())?;
                timers(f, apply.timers.as_ref())?;
                after(f, apply.prev_offset, apply.key.as_ref())
            }
            Some(Body::DeleteInstance(delete)) => {
                let kept = if delete.keep_id { ", id kept" } else { "" };
                write!(f, "{} deleted{kept}", delete.instance_id)?;
                fired(f, delete.fired.as_ref())?;
                after(f, delete.prev_offset, delete.key.as_ref())
            }
            Some(Body::TimerSpent(spent)) => write!(f, "{spent}"),
            Some(Body::SetTimers(set)) => write!(f, "{set}"),
            Some(Body::FlushAll(_)) => f.write_str("everything removed"),
            Some(Body::SetLevel(set)) => write!(f, "feature level {}", set.level),
            Some(Body::SetAutomation(set)) => write!(f, "{set}"),
            Some(Body::LockChanged(changed)) => write!(f, "{changed}"),
        }
    }
}

impl fmt::Display for DeleteMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions = self.versions.iter().map(|version| format!(" v{version}"));
        let versions: String = versions.collect();
        write!(f, "machine {}{versions} deleted", self.machine)
    }
}

impl fmt::Display for SetAutomation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.paused {
            true => "automation paused",
            false => "automation running",
        })?;
        for (is_so, what) in [
            (self.skip_overdue, ", overdue skipped"),
            (self.shift_timers, ", timers shifted"),
        ] {
            f.write_str(if is_so { what } else { "" })?;
        }
        match self.reason.as_str() {
            "" => Ok(()),
            reason => write!(f, ": {reason}"),
        }
    }
}

impl fmt::Display for TimerSpent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} timer spent, {}", self.instance_id, self.code)?;
        fired(f, self.fired.as_ref())?;
        timers(f, self.timers.as_ref())?;
        after(f, self.prev_offset, None)
    }
}

impl fmt::Display for SetTimers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} timers set", self.instance_id)?;
        timers(f, self.timers.as_ref())?;
        after(f, self.prev_offset, None)
    }
}

impl fmt::Display for LockChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lock {}:", self.name)?;
        if let Some(ended) = &self.ended {
            let how = if ended.expired { "expired" } else { "released" };
            write!(f, " {how} by {}@{},", ended.owner, ended.token)?;
        }
        match &self.holder {
            Some(holder) if holder.token == 0 => write!(f, " granted to {}", holder.owner)?,
            Some(holder) => write!(f, " held by {}@{}", holder.owner, holder.token)?,
            None => f.write_str(" free")?,
        }
        if let Some(holder) = &self.holder {
            write!(f, " until {}", holder.expires_ms)?;
        }
        if let Some(waiter) = &self.waiter {
            write!(f, ", {} waits until {}", waiter.owner, waiter.until_ms)?;
        }
        if !self.gone.is_empty() {
            write!(f, ", gone {:?}", self.gone)?;
        }
        after(f, self.prev_offset, None)
    }
}

fn course(f: &mut fmt::Formatter<'_>, via: &[String], emits: &[String]) -> fmt::Result {
    if !via.is_empty() {
        write!(f, " via {}", via.join(", "))?;
    }
    match emits.is_empty() {
        true => Ok(()),
        false => write!(f, " emits {}", emits.join(", ")),
    }
}

fn imported(f: &mut fmt::Formatter<'_>, imported: Option<&Imported>) -> fmt::Result {
    let Some(imported) = imported else {
        return Ok(());
    };
    for (name, ms) in [
        ("created", imported.created_ms),
        ("updated", imported.updated_ms),
    ] {
        if ms != 0 {
            write!(f, " {name} {ms}")?;
        }
    }
    Ok(())
}

fn fired(f: &mut fmt::Formatter<'_>, fired: Option<&Fired>) -> fmt::Result {
    match fired {
        Some(fired) => write!(f, " by timer {} due {}", fired.name, fired.due_ms),
        None => Ok(()),
    }
}

fn timers(f: &mut fmt::Formatter<'_>, timers: Option<&Timers>) -> fmt::Result {
    let Some(timers) = timers else { return Ok(()) };
    f.write_str(" timers [")?;
    for (position, timer) in timers.armed.iter().enumerate() {
        let separator = if position == 0 { "" } else { ", " };
        write!(f, "{separator}{} {}", timer.name, timer.due_ms)?;
    }
    f.write_str(if timers.suspended { "] suspended" } else { "]" })
}

fn after(f: &mut fmt::Formatter<'_>, prev_offset: u64, key: Option<&Key>) -> fmt::Result {
    if prev_offset != 0 {
        write!(f, " after @{prev_offset}")?;
    }
    match key {
        Some(key) => write!(f, " key {}", key.key),
        None => Ok(()),
    }
}

struct LossyText<'a>(&'a [u8]);

impl fmt::Display for LossyText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}
