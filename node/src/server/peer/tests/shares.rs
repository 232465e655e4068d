//! Messages that never arrive whole.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};

use super::links::Pair;
use super::relay::{Way, relay};
use super::replica_calls::{create, put};
use super::replicas::Node;
use super::support::{PATIENCE, client, eventually, peer};
use crate::replica::{ForwardStream, Forwarded, Peers};

const MIB: usize = 1024 * 1024;
/// Of one message; two of them are more than a share.
const MESSAGE_BYTES: usize = 20 * MIB;
const SHARE_BYTES: usize = 32 * MIB;
const STREAMS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_unfinished_messages_hold_no_more_than_a_share_and_the_leaders_appends_pass() {
    let pair = Pair::over(Way::default()).await;
    let server = &pair.learner.served.server;
    // So slow that no message is through before this test is.
    let slow = Way {
        rate: Some(2 * MIB),
        ..Way::default()
    };
    let target = peer(2, relay(pair.learner.served.addr, slow).await);
    let ctx = format!("{{\"n\":\"{}\"}}", "x".repeat(MESSAGE_BYTES));
    let command = create("large", Some(ctx));
    let mut streams: Vec<ForwardStream> = Vec::new();
    // The leader itself is one of the two that send so much.
    for sender in [&client(3), &pair.leader.connections] {
        for _ in 0..STREAMS {
            streams.push(sender.forward(&target).await.unwrap());
        }
    }
    for stream in &streams {
        let forwarded = Forwarded {
            seq: 0,
            command: command.clone(),
            actor: "test".into(),
        };
        stream.commands.send(vec![forwarded]).unwrap();
    }
    let held = || server.unfinished_bytes().1;
    eventually("one message of each is begun", || {
        held() > 2 * MESSAGE_BYTES
    })
    .await;
    pair.carry(MIB).await;
    let held_now = held();
    assert!(held_now > 2 * MESSAGE_BYTES, "{held_now}: they are through");
    assert!(held_now <= 2 * SHARE_BYTES, "{held_now}");
    drop(streams);
    eventually("what they held is given back", || {
        server.unfinished_bytes() == (0, 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_for_a_forwarded_command_is_given_back_with_its_outcome() {
    let node = Node::alone(1).await;
    let held = Arc::new(());
    let forwarded = Forwarded {
        seq: 7,
        command: put(),
        actor: "test".into(),
    };
    let commands = stream::iter([vec![(forwarded, held.clone())]]).boxed();
    let mut outcomes = node.replica.serve_forwarded(2, commands);
    assert_eq!(Arc::strong_count(&held), 2);
    let came = tokio::time::timeout(PATIENCE, outcomes.next()).await;
    assert!(came.unwrap().unwrap()[0].outcome.is_ok());
    assert_eq!(Arc::strong_count(&held), 1);
}
