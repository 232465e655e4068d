//! Messages that never arrive whole.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};

use super::links::Pair;
use super::relay::{Way, relay};
use super::replica_calls::{create, forwarded, put};
use super::replicas::Node;
use super::support::{PATIENCE, client, eventually, peer};
use crate::replica::{ForwardStream, Peers, Received};

const MIB: usize = 1024 * 1024;
/// The size of one message. Two messages are more than a share.
const MESSAGE_BYTES: usize = 20 * MIB;
const SHARE_BYTES: usize = 32 * MIB;
const STREAMS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_unfinished_messages_hold_no_more_than_a_share_and_the_leaders_appends_pass() {
    let pair = Pair::over(Way::default()).await;
    let server = &pair.learner.served.server;
    // So slow that no message arrives before this test ends.
    let slow = Way {
        rate: Some(2 * MIB),
        ..Way::default()
    };
    let target = peer(2, relay(pair.learner.served.addr, slow).await);
    let ctx = format!("{{\"n\":\"{}\"}}", "x".repeat(MESSAGE_BYTES));
    let command = create("large", Some(ctx));
    let mut streams: Vec<ForwardStream> = Vec::new();
    // The leader itself is one of the two nodes that send this much.
    for sender in [&client(3), &pair.leader.connections] {
        for _ in 0..STREAMS {
            streams.push(sender.forward(&target).await.unwrap());
        }
    }
    for stream in &streams {
        let forwarded = forwarded(0, command.clone());
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

fn received(held: &Arc<()>) -> Received {
    Received {
        seq: 7,
        command: put(),
        meta: None,
        caller: "test".into(),
        permit: held.clone(),
        trace: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_for_a_forwarded_command_is_given_back_with_the_command() {
    let node = Node::alone(1).await;
    let held = Arc::new(());
    let commands = stream::iter([vec![received(&held)]]).boxed();
    let mut outcomes = node.replica.serve_forwarded(2, commands);
    assert_eq!(Arc::strong_count(&held), 2);
    let came = tokio::time::timeout(PATIENCE, outcomes.next()).await;
    assert!(came.unwrap().unwrap()[0].outcome.is_ok());
    eventually("it is given back", || Arc::strong_count(&held) == 1).await;
}

// In one thread: nothing takes the command from the queue before this test waits.
#[tokio::test]
async fn what_is_held_for_a_forwarded_command_outlives_its_stream() {
    let node = Node::alone(1).await;
    let held = Arc::new(());
    let commands = stream::iter([vec![received(&held)]]).chain(stream::pending());
    let mut outcomes = node.replica.serve_forwarded(2, commands.boxed());
    assert!(outcomes.next().now_or_never().is_none());
    drop(outcomes);
    assert_eq!(
        Arc::strong_count(&held),
        2,
        "the command is still in the queue"
    );
    eventually("it is given back", || Arc::strong_count(&held) == 1).await;
}
