//! LOCK_ACQUIRE, LOCK_RENEW, LOCK_RELEASE, LOCK_GET, LOCK_LIST.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::message::fields::{DRY_RUN, Fields};
use crate::message::meta::{Meta, names_of_write};
use crate::message::{ParamFault, Params, ReadOptions};

/// For how long a lock is granted, in milliseconds: a second to a day.
pub const TTL_MS: RangeInclusive<u64> = 1_000..=86_400_000;
/// For how long a client may wait for a lock, in milliseconds: a day at most.
pub const WAIT_MS: RangeInclusive<u64> = 0..=86_400_000;

/// Parameters of LOCK_ACQUIRE. Asking again does no harm: an owner that holds the lock gets the same token.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LockAcquire<'a> {
    /// The lock's name. There is no need to create a lock.
    pub name: Cow<'a, str>,
    /// Who asks. Two processes that give the same owner share the lock, so each needs an owner of its own.
    pub owner: Cow<'a, str>,
    /// After how many milliseconds the lock expires, unless the owner renews it. See [`TTL_MS`].
    pub ttl_ms: u64,
    /// For how long to wait while another owner has the lock. See [`WAIT_MS`]; 0 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// What the client says about the write.
    #[serde(flatten)]
    pub meta: Meta<'a>,
}

impl<'a> Params<'a> for LockAcquire<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = names_of_write!["name", "owner", "ttl_ms", "wait_ms"];
        let fields = Fields::of_params(params, names)?;
        refuse_dry_run(&fields)?;
        Ok(Self {
            name: fields.text("name")?,
            owner: fields.text("owner")?,
            ttl_ms: fields.integer_in("ttl_ms", &TTL_MS)?,
            wait_ms: fields.optional_integer_in("wait_ms", &WAIT_MS)?,
            meta: Meta::of(&fields)?,
        })
    }
}

/// Parameters of LOCK_RENEW.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LockRenew<'a> {
    /// The lock's name.
    pub name: Cow<'a, str>,
    /// The token that LOCK_ACQUIRE answered.
    pub token: u64,
    /// After how many milliseconds from now the lock expires; the same time as before if absent. See [`TTL_MS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// What the client says about the write.
    #[serde(flatten)]
    pub meta: Meta<'a>,
}

impl<'a> Params<'a> for LockRenew<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = names_of_write!["name", "token", "ttl_ms"];
        let fields = Fields::of_params(params, names)?;
        refuse_dry_run(&fields)?;
        Ok(Self {
            name: fields.text("name")?,
            token: fields.token("token")?,
            ttl_ms: fields.optional_integer_in("ttl_ms", &TTL_MS)?,
            meta: Meta::of(&fields)?,
        })
    }
}

/// Parameters of LOCK_RELEASE.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LockRelease<'a> {
    /// The lock's name.
    pub name: Cow<'a, str>,
    /// The token that LOCK_ACQUIRE answered.
    pub token: u64,
    /// What the client says about the write.
    #[serde(flatten)]
    pub meta: Meta<'a>,
}

impl<'a> Params<'a> for LockRelease<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = names_of_write!["name", "token"];
        let fields = Fields::of_params(params, names)?;
        refuse_dry_run(&fields)?;
        Ok(Self {
            name: fields.text("name")?,
            token: fields.token("token")?,
            meta: Meta::of(&fields)?,
        })
    }
}

fn refuse_dry_run<const N: usize>(fields: &Fields<'_, N>) -> Result<(), ParamFault> {
    match fields.dry_run()? {
        false => Ok(()),
        true => Err(ParamFault::new(
            format!("params.{DRY_RUN}"),
            "operations on locks have no dry run; nothing was changed",
        )),
    }
}

/// Result of LOCK_ACQUIRE and LOCK_RENEW.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHeld<'a> {
    /// The lock.
    #[serde(flatten)]
    pub lock: LockItem<'a>,
    /// The offset of the grant or the renewal; absent when nothing was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_offset: Option<u64>,
}

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockItem<'a> {
    /// The lock's name.
    pub name: Cow<'a, str>,
    /// Who holds it.
    pub owner: Cow<'a, str>,
    /// The offset at which the owner got it: greater than every earlier token of the lock.
    pub token: u64,
    /// When it expires unless the owner renews, Unix ms by the log's time.
    pub expires_at: u64,
    /// For how long the owner asked for it.
    #[serde(default)]
    pub ttl_ms: u64,
    /// How many owners wait for it.
    #[serde(default)]
    pub waiting: u64,
}

/// Result of LOCK_RELEASE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockReleased<'a> {
    /// The lock's name.
    pub name: Cow<'a, str>,
    /// Who held it.
    pub owner: Cow<'a, str>,
    /// The token that no longer holds it.
    pub token: u64,
    /// Always true.
    pub released: bool,
    /// Who holds it now: the first owner that waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_owner: Option<Cow<'a, str>>,
    /// Its offset in the log.
    pub wal_offset: u64,
}

/// Parameters of LOCK_GET.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LockGet<'a> {
    /// The lock's name.
    pub name: Cow<'a, str>,
    /// Extension.
    #[serde(flatten)]
    pub read: ReadOptions,
}

impl<'a> Params<'a> for LockGet<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["name", "consistency", "min_wal_offset"])?;
        Ok(Self {
            name: fields.text("name")?,
            read: fields.read_options()?,
        })
    }
}

/// Parameters of LOCK_LIST.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LockList<'a> {
    /// Only locks whose names begin like this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Cow<'a, str>>,
    /// 100 if absent, 1000 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// The page that follows: `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Cow<'a, str>>,
    /// Extension.
    #[serde(flatten)]
    pub read: ReadOptions,
}

impl<'a> Params<'a> for LockList<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = ["prefix", "limit", "after", "consistency", "min_wal_offset"];
        let fields = Fields::of_params(params, names)?;
        Ok(Self {
            prefix: fields.optional_text("prefix")?,
            limit: fields.optional_integer("limit")?,
            after: fields.optional_text("after")?,
            read: fields.read_options()?,
        })
    }
}

/// Result of LOCK_GET, with no lock or one, and of LOCK_LIST.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locks<'a> {
    /// The locks that are held, by name.
    pub locks: Vec<LockItem<'a>>,
    /// Where the next page begins; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Cow<'a, str>>,
}

#[cfg(test)]
mod tests;
