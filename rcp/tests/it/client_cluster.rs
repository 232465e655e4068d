//! The client with several addresses, when some of the nodes behind them fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{nowhere, options, server};
use rstmdb_rcp::Code;
use rstmdb_rcp::client::{Client, ClientOptions, Error};
use rstmdb_rcp::message::cluster::ClusterRemove;
use rstmdb_rcp::message::instance::ApplyEvent;
use rstmdb_rcp::message::{ErrorBody, LEADERS_LOST, op};
use serde_json::{Value, json};

const PONG: &str = "{\"pong\":true}";

fn within(timeout_ms: u64, addrs: &[&str]) -> ClientOptions {
    ClientOptions {
        timeout: Duration::from_millis(timeout_ms),
        ..options(addrs)
    }
}

fn apply(key: Option<&'static str>) -> ApplyEvent<'static> {
    ApplyEvent {
        instance_id: "i".into(),
        event: "E".into(),
        idempotency_key: key.map(Into::into),
        ..ApplyEvent::default()
    }
}

fn applied() -> Value {
    json!({"from_state": "A", "to_state": "B", "ctx": {}, "wal_offset": 7, "applied": true})
}

async fn ask(client: &Client) -> Value {
    client
        .call::<_, Value>(op::INFO, &json!({"n": 1}))
        .await
        .unwrap()
        .result
}

/// Accepts connections and says nothing, not even to HELLO: a process that was stopped.
async fn stopped() -> String {
    server(|_, conn| conn.ignore()).await
}

/// Answers HELLO and then nothing: a process that was stopped later.
async fn stopped_after_hello() -> String {
    server(|_, conn| async move { conn.greet().await.ignore().await }).await
}

/// Answers PING and nothing else: a node that was cut off from the others.
async fn cut_off() -> String {
    server(|_, conn| async move {
        let mut conn = conn.greet().await;
        while let Some(request) = conn.next().await {
            if request.op == op::PING {
                conn.ok(&request.id, serde_json::from_str(PONG).unwrap())
                    .await;
            }
        }
    })
    .await
}

/// Answers every APPLY_EVENT as done and all else with its parameters.
async fn well() -> String {
    server(|_, conn| async move {
        let mut conn = conn.greet().await;
        while let Some(request) = conn.next().await {
            let result = match request.op.as_str() {
                op::APPLY_EVENT => applied(),
                _ => request.params,
            };
            conn.ok(&request.id, result).await;
        }
    })
    .await
}

#[tokio::test]
async fn nodes_that_accept_and_hang_hold_up_connecting_only_a_little() {
    let (first, second, third) = (stopped().await, stopped().await, well().await);
    let begun = Instant::now();
    let options = ClientOptions {
        connect_timeout: Duration::from_secs(30),
        ..within(30_000, &[&first, &second, &third])
    };
    let client = Client::connect(options).await.unwrap();
    assert_eq!(client.address(), third);
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_read_or_keyed_write_at_a_node_that_hangs_goes_to_the_next_in_time() {
    let (hung, other) = (stopped_after_hello().await, well().await);
    // Too short for an attempt of its own: it is the silence that is noticed.
    let client = Client::connect(within(1900, &[&hung, &other]))
        .await
        .unwrap();
    assert_eq!(client.address(), hung);
    assert_eq!(ask(&client).await["n"], 1);
    assert_eq!(client.address(), other);
    let client = Client::connect(within(1900, &[&hung, &other]))
        .await
        .unwrap();
    let answer = client.apply_event(&apply(Some("k"))).await.unwrap();
    assert_eq!(answer.result.wal_offset, 7);
}

#[tokio::test]
async fn an_unkeyed_write_at_a_node_that_hangs_says_that_its_outcome_is_unknown() {
    let (hung, other) = (stopped_after_hello().await, well().await);
    let client = Client::connect(within(1900, &[&hung, &other]))
        .await
        .unwrap();
    let error = client.apply_event(&apply(None)).await.unwrap_err();
    assert!(
        matches!(error, Error::Disconnected { .. }) && error.outcome_unknown(),
        "{error:?}"
    );
    ask(&client).await;
    assert_eq!(client.address(), other);
}

#[tokio::test]
async fn a_node_that_is_slow_and_answers_pings_is_kept() {
    let slow = server(|number, conn| async move {
        assert_eq!(number, 0, "the connection was given up");
        let mut conn = conn.greet().await;
        let request = conn.expect("INFO").await;
        let ping = conn.expect("PING").await;
        conn.ok(&ping.id, serde_json::from_str(PONG).unwrap()).await;
        conn.ok(&request.id, request.params).await;
        conn.ignore().await;
    })
    .await;
    let other = well().await;
    let client = Client::connect(within(5000, &[&slow, &other]))
        .await
        .unwrap();
    assert_eq!(ask(&client).await["n"], 1);
    assert_eq!(client.address(), slow);
}

#[tokio::test]
async fn a_call_leaves_a_node_that_is_cut_off_before_its_time_is_over() {
    // Half of a long deadline would be too long to wait.
    for timeout_ms in [2_500, 60_000] {
        let (alone, other) = (cut_off().await, well().await);
        let client = Client::connect(within(timeout_ms, &[&alone, &other]))
            .await
            .unwrap();
        assert_eq!(client.address(), alone);
        let asked = Instant::now();
        assert_eq!(ask(&client).await["n"], 1);
        assert_eq!(client.address(), other);
        assert!(asked.elapsed() < Duration::from_secs(3), "{timeout_ms}");
    }
}

#[tokio::test]
async fn maintenance_of_one_node_is_not_done_at_another_because_it_takes_long() {
    let (alone, other) = (cut_off().await, well().await);
    let client = Client::connect(within(2100, &[&alone, &other]))
        .await
        .unwrap();
    let error = client
        .call::<_, Value>(op::COMPACT, &json!({}))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    // The next call does not wait there, too.
    ask(&client).await;
    assert_eq!(client.address(), other);
}

async fn refusing(code: Code) -> String {
    server(move |_, conn| {
        let code = code.clone();
        async move {
            let mut conn = conn.greet().await;
            while let Some(request) = conn.next().await {
                let error = ErrorBody::new(code.clone(), "not now");
                conn.error(&request.id, error).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn what_was_certainly_not_done_is_tried_elsewhere_even_without_a_key() {
    for code in [Code::NoLeader, Code::ReadOnlyMode] {
        let (refusing, other) = (refusing(code).await, well().await);
        let client = Client::connect(options(&[&refusing, &other]))
            .await
            .unwrap();
        client.apply_event(&apply(None)).await.unwrap();
        assert_eq!(client.address(), other);
    }
    let (failing, other) = (refusing(Code::InternalError).await, well().await);
    let client = Client::connect(options(&[&failing, &other])).await.unwrap();
    let error = client.apply_event(&apply(None)).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
    client.apply_event(&apply(Some("k"))).await.unwrap();
    assert_eq!(client.address(), other);
}

#[tokio::test]
async fn a_call_whose_time_is_over_says_why_a_node_refused_it() {
    // As a node without a leader: it refuses late, so the next attempt has no time left for an answer.
    let addr = server(|_, conn| async move {
        let mut conn = conn.greet().await;
        let request = conn.next().await.unwrap();
        let error = ErrorBody::new(Code::NoLeader, "an election");
        conn.error(&request.id, error).await;
        conn.ignore().await;
    })
    .await;
    let client = Client::connect(within(1000, &[&addr])).await.unwrap();
    let read = client.call::<_, Value>(op::GET_INSTANCE, &json!({})).await;
    let Err(Error::Refused(refusal)) = read else {
        panic!("the refusal is hidden: {read:?}");
    };
    assert_eq!(refusal.code, Code::NoLeader);
    let told = &refusal.message;
    assert!(told.starts_with("an election (tried for "), "{told}");
    assert!(told.ends_with("; the last try got no answer)"), "{told}");
    // The second attempt of a write was sent, so that no refusal can say that nothing was changed.
    for key in [Some("k"), None] {
        let client = Client::connect(within(1000, &[&addr])).await.unwrap();
        let error = client.apply_event(&apply(key)).await.unwrap_err();
        assert!(
            matches!(error, Error::Timeout { .. }) && error.outcome_unknown(),
            "{error:?}"
        );
        let told = error.to_string();
        let hint = "; before that a node said NO_LEADER";
        assert!(told.ends_with(hint), "{told}");
    }
}

/// A node waits for a leader before it refuses. A write that is sent again with less time left than that would hardly be
/// answered, and then its outcome would be unknown.
#[tokio::test]
async fn a_write_is_not_sent_again_with_less_time_than_the_refusal_took() {
    let addr = server(|number, conn| async move {
        assert_eq!(number, 0, "one connection is enough");
        let mut conn = conn.greet().await;
        let request = conn.expect("APPLY_EVENT").await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        let error = ErrorBody::new(Code::NoLeader, "an election");
        conn.error(&request.id, error).await;
        conn.ignore().await;
    })
    .await;
    let client = Client::connect(within(1000, &[&addr])).await.unwrap();
    let began = std::time::Instant::now();
    let error = client.apply_event(&apply(Some("k"))).await.unwrap_err();
    assert!(!error.outcome_unknown(), "{error:?}");
    assert!(began.elapsed() < Duration::from_millis(950), "{error:?}");
    let Error::Refused(refusal) = error else {
        panic!("the refusal is hidden: {error:?}");
    };
    assert_eq!((refusal.code, refusal.retryable), (Code::NoLeader, true));
}

#[tokio::test]
async fn changes_of_the_cluster_are_tried_again_without_a_leader_and_after_a_lost_connection() {
    let addr = server(|number, conn| async move {
        let mut conn = conn.greet().await;
        let request = conn.expect("CLUSTER_REMOVE").await;
        match number {
            0 => {}
            1 => {
                let error = ErrorBody::new(Code::NoLeader, "an election");
                conn.error(&request.id, error).await;
                let request = conn.expect("CLUSTER_REMOVE").await;
                let error = ErrorBody::new(Code::RateLimited, "busy");
                conn.error(&request.id, error).await;
                let request = conn.expect("CLUSTER_REMOVE").await;
                conn.ok(&request.id, json!({"node_id": 3, "removed": true}))
                    .await;
            }
            _ => panic!("too many connections"),
        }
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    let removed = client.cluster_remove(&ClusterRemove { node_id: 3 }).await;
    assert!(removed.unwrap().result.removed);
}

#[tokio::test]
async fn a_keyed_write_that_was_sent_once_stays_in_doubt_when_no_later_attempt_succeeds() {
    let dead = nowhere().await;
    let addr = server(|number, conn| async move {
        if number == 0 {
            conn.greet().await.expect("APPLY_EVENT").await;
        }
        // No server answers HELLO any more.
    })
    .await;
    let client = Client::connect(within(500, &[&addr, &dead])).await.unwrap();
    let error = client.apply_event(&apply(Some("k"))).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error:?}");

    let addr = server(|number, conn| async move {
        let mut conn = conn.greet().await;
        if number == 0 {
            conn.expect("APPLY_EVENT").await;
            return;
        }
        while let Some(request) = conn.next().await {
            let error = ErrorBody::new(Code::NoLeader, "an election");
            conn.error(&request.id, error).await;
        }
    })
    .await;
    let client = Client::connect(within(500, &[&addr])).await.unwrap();
    let error = client.apply_event(&apply(Some("k"))).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error:?}");
}

/// Loses each connection over which a write comes.
async fn dying(tries: &Arc<AtomicUsize>) -> String {
    let tries = tries.clone();
    server(move |_, conn| {
        let tries = tries.clone();
        async move {
            conn.greet().await.expect("APPLY_EVENT").await;
            tries.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await
}

#[tokio::test]
async fn what_two_nodes_were_lost_with_is_not_sent_to_a_third() {
    let tries = Arc::default();
    let (first, second) = (dying(&tries).await, dying(&tries).await);
    let well = well().await;
    let client = Client::connect(within(10_000, &[&first, &second, &well]))
        .await
        .unwrap();
    let begun = Instant::now();
    let error = client.apply_event(&apply(Some("k"))).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error:?}");
    assert_eq!(tries.load(Ordering::Relaxed), 2);
    assert!(begun.elapsed() < Duration::from_secs(5));
    client.apply_event(&apply(Some("other"))).await.unwrap();
}

#[tokio::test]
async fn what_two_leaders_were_lost_with_is_not_sent_again() {
    let addr = server(|_, conn| async move {
        let mut conn = conn.greet().await;
        let request = conn.expect("APPLY_EVENT").await;
        let error = ErrorBody::new(Code::InternalError, "two leaders were lost")
            .with_details(json!({"outcome": "unknown", LEADERS_LOST: 2}));
        conn.error(&request.id, error).await;
        assert_eq!(conn.expect("INFO").await.op, op::INFO);
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    let error = client.apply_event(&apply(Some("k"))).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error:?}");
    let _ = client.call::<_, Value>(op::INFO, &json!({})).await;
}
