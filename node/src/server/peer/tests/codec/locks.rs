//! Requests about locks on their way to the leader, and its answers.

use std::sync::Arc;

use prost::Message;
use rstmdb_engine::fact::{Fence, Meta};
use rstmdb_engine::{
    AcquireLock, Command, LockCommand, LockRefusal, LockReply, LockView, Refusal, ReleaseLock,
    RenewLock, Reply,
};

use crate::replica::{Done, Error, ForwardResult, Forwarded, Submission};
use crate::server::messages::testing::told;
use crate::server::peer::codec::{decode_result, encode_result, received};
use crate::server::peer::wire;

fn travel<M: Message + Default>(message: impl Into<M>) -> M {
    M::decode(message.into().encode_to_vec().as_slice()).unwrap()
}

fn acquire() -> LockCommand {
    LockCommand::Acquire(AcquireLock {
        name: "l".to_owned(),
        owner: "o".to_owned(),
        ttl_ms: 1000,
        wait_ms: Some(5000),
    })
}

fn renew() -> LockCommand {
    LockCommand::Renew(RenewLock {
        name: "l".to_owned(),
        token: 7,
        ttl_ms: None,
    })
}

fn release() -> LockCommand {
    LockCommand::Release(ReleaseLock {
        name: "l".to_owned(),
        token: 7,
    })
}

fn lock() -> LockView {
    LockView {
        name: "l".into(),
        owner: "o".into(),
        token: 7,
        expires_ms: 9000,
        ttl_ms: 1000,
        waiting: 2,
    }
}

#[test]
fn a_leader_reads_what_the_follower_read_and_the_fence_too() {
    let meta = Meta {
        reason: Some("why".to_owned()),
        fence: Some(Fence {
            lock: "other".to_owned(),
            token: u64::MAX,
        }),
        ..Meta::default()
    };
    for command in [acquire(), renew(), release()].map(Command::Lock) {
        let request = Submission::from((command.clone(), Some(meta.clone()))).sent;
        let forwarded = Forwarded {
            seq: 1,
            request,
            caller: "a".into(),
            traceparent: None,
        };
        let message: wire::Forwarded = travel(forwarded);
        let back = received(message, Arc::new(())).unwrap();
        assert_eq!(back.command, command);
        assert_eq!(back.meta.as_deref(), Some(&meta));
    }
}

#[test]
fn a_simulation_reads_a_leaders_reply_as_it_was() {
    let held = LockReply::Held {
        lock: lock(),
        wal_offset: Some(4),
    };
    let known = LockReply::Held {
        lock: lock(),
        wal_offset: None,
    };
    let waits = LockReply::Waits {
        lock: lock(),
        place: 3,
        ahead: 1,
        until_ms: 8000,
        wal_offset: Some(4),
    };
    let released = LockReply::Released {
        name: "l".into(),
        owner: "o".into(),
        token: 7,
        next: Some("p".into()),
        wal_offset: 4,
    };
    for (command, reply) in [
        (acquire(), held.clone()),
        (acquire(), known),
        (acquire(), waits),
        (renew(), held),
        (release(), released),
    ] {
        let reply = Reply::Lock(reply);
        let outcome = Ok(Done {
            reply: reply.clone().into(),
            offset: Some(4),
        });
        let came = decode_result(travel(encode_result(ForwardResult { seq: 1, outcome })));
        let done = told(&Command::Lock(command), came.outcome).unwrap();
        assert_eq!(done.reply.here(), Some(&reply));
    }
}

#[test]
fn a_simulation_reads_a_leaders_refusal_as_it_was() {
    for refusal in [
        LockRefusal::Held {
            name: "l".to_owned(),
            owner: "o".to_owned(),
            expires_ms: 9000,
        },
        LockRefusal::Lost {
            lock: "l".to_owned(),
            token: 7,
            current: None,
        },
        LockRefusal::Lost {
            lock: "l".to_owned(),
            token: 7,
            current: Some(8),
        },
    ] {
        let refusal = Refusal::Lock(refusal);
        let outcome = Err(Error::Refused(refusal.clone()));
        let came = decode_result(travel(encode_result(ForwardResult { seq: 1, outcome })));
        match told(&Command::Lock(acquire()), came.outcome) {
            Err(Error::Refused(came)) => assert_eq!(came, refusal),
            other => panic!("{other:?}"),
        }
    }
}
