//! Answers about locks.

use rstmdb_engine::{LockCommand, LockRefusal, LockReply, LockView, Refusal};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::locks::{LockHeld, LockReleased};
use serde::Deserialize;
use serde_json::Value;

use super::read;

/// What a leader adds while the owner waits.
#[derive(Deserialize)]
struct LockPlace {
    place: u64,
    ahead: u64,
    until: u64,
}

pub(super) fn reply(command: &LockCommand, text: &[u8]) -> Option<LockReply> {
    if let LockCommand::Release(_) = command {
        let released: LockReleased<'_> = read(text)?;
        return Some(LockReply::Released {
            name: (*released.name).into(),
            owner: (*released.owner).into(),
            token: released.token,
            next: released.next_owner.as_deref().map(Into::into),
            wal_offset: released.wal_offset,
        });
    }
    let LockHeld { lock, wal_offset } = read(text)?;
    let lock = LockView {
        name: (*lock.name).into(),
        owner: (*lock.owner).into(),
        token: lock.token,
        expires_ms: lock.expires_at,
        ttl_ms: lock.ttl_ms,
        waiting: lock.waiting,
    };
    Some(match read::<LockPlace>(text) {
        Some(waits) => LockReply::Waits {
            lock,
            place: waits.place,
            ahead: waits.ahead,
            until_ms: waits.until,
            wal_offset,
        },
        None => LockReply::Held { lock, wal_offset },
    })
}

pub(super) fn refusal(code: &Code, details: &Value) -> Option<Refusal> {
    let text = |field: &str| Some(details.get(field)?.as_str()?.to_owned());
    let number = |field: &str| details.get(field)?.as_u64();
    let refusal = match code {
        Code::LockHeld => LockRefusal::Held {
            name: text("name")?,
            owner: text("owner")?,
            expires_ms: number("expires_at")?,
        },
        Code::LockLost => LockRefusal::Lost {
            lock: text("lock")?,
            token: number("token")?,
            current: number("current_token"),
        },
        // The engine says of what with a text of its own.
        _ => LockRefusal::TooMany {
            what: "locks, or owners that wait for them",
            most: number("max")?,
        },
    };
    Some(Refusal::Lock(refusal))
}
