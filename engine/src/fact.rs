//! Facts: what the log carries. The schema is `proto/fact.proto`.

use std::fmt;

#[allow(missing_docs, clippy::all)]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/rstmdb.fact.rs"));
}

pub use prost::Message;
pub use proto::fact::Body;
pub use proto::{
    ApplyEvent, CreateInstance, DeleteInstance, Entry, Fact, FlushAll, Key, KeyBounds, PutMachine,
};

/// Stands for the offset of an entry that does not have one yet, or never gets one.
pub const NO_OFFSET: u64 = u64::MAX;

impl From<Body> for Fact {
    fn from(body: Body) -> Self {
        Self { body: Some(body) }
    }
}

impl Fact {
    /// The instance it is about, where it is about one.
    pub(crate) fn instance_id(&self) -> Option<&str> {
        match self.body.as_ref()? {
            Body::CreateInstance(create) => Some(&create.instance_id),
            Body::ApplyEvent(apply) => Some(&apply.instance_id),
            Body::DeleteInstance(delete) => Some(&delete.instance_id),
            Body::PutMachine(_) | Body::FlushAll(_) => None,
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
        Ok(())
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.body {
            None => f.write_str("unknown fact"),
            Some(Body::PutMachine(put)) => write!(f, "machine {} v{}", put.machine, put.version),
            Some(Body::CreateInstance(create)) => {
                write!(
                    f,
                    "{} created in {} of {} v{} ctx {}",
                    create.instance_id,
                    create.state,
                    create.machine,
                    create.version,
                    Text(&create.ctx)
                )?;
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
                    Text(&apply.ctx)
                )?;
                after(f, apply.prev_offset, apply.key.as_ref())
            }
            Some(Body::DeleteInstance(delete)) => {
                let kept = if delete.keep_id { ", id kept" } else { "" };
                write!(f, "{} deleted{kept}", delete.instance_id)?;
                after(f, delete.prev_offset, delete.key.as_ref())
            }
            Some(Body::FlushAll(_)) => f.write_str("everything removed"),
        }
    }
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

struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}
