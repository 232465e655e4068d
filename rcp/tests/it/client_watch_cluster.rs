//! Watches of a client with several addresses, when some of the nodes behind them fail.

use std::time::{Duration, Instant};

use crate::support::{Conn, nowhere, options, server};
use futures_util::StreamExt;
use rstmdb_rcp::Code;
use rstmdb_rcp::client::{Client, ClientOptions, Error, Watch};
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::watch::{Event, WatchAll};
use serde_json::{Value, json};

/// Refuses everything with this code.
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

/// Answers WATCH_ALL from any offset.
async fn begin(conn: Conn, from_offset: Value) -> Conn {
    let mut conn = conn.greet().await;
    let watch = conn.expect("WATCH_ALL").await;
    assert_eq!(watch.params["from_offset"], from_offset);
    let result = json!({"subscription_id": "s", "wal_offset": 10, "earliest_offset": 3});
    conn.ok(&watch.id, result).await;
    conn
}

/// The client's own connection goes to the first address, and its watch with it.
async fn calls_or_watch(number: usize, conn: Conn, from_offset: Value) -> Option<Conn> {
    if number == 0 {
        conn.greet().await.echo().await;
        return None;
    }
    Some(begin(conn, from_offset).await)
}

async fn offsets(watch: &mut Watch, count: usize) -> Vec<u64> {
    let events: Vec<Result<Event<'_>, Error>> = watch.take(count).collect().await;
    events
        .into_iter()
        .map(|event| event.unwrap().wal_offset)
        .collect()
}

#[tokio::test]
async fn a_watch_finds_the_node_that_has_kept_its_offset() {
    let first = server(|number, conn| async move {
        if let Some(mut conn) = calls_or_watch(number, conn, json!(5)).await {
            conn.event(6, "a").await;
        }
    })
    .await;
    let keeper = server(|_, conn| async move {
        let mut conn = begin(conn, json!(6)).await;
        conn.event(6, "a").await;
        conn.event(7, "a").await;
        conn.ignore().await;
    })
    .await;
    let (short, shorter) = (
        refusing(Code::OffsetCompacted).await,
        refusing(Code::OffsetCompacted).await,
    );
    let client = Client::connect(options(&[&first, &short, &shorter, &keeper]))
        .await
        .unwrap();
    let params = WatchAll {
        from_offset: Some(5),
        ..WatchAll::default()
    };
    let mut watch = client.watch_all(&params).await.unwrap();
    assert_eq!(offsets(&mut watch, 2).await, [6, 7]);
}

#[tokio::test]
async fn a_watch_that_fell_out_of_one_nodes_log_goes_on_at_another() {
    let first = server(|number, conn| async move {
        if let Some(mut conn) = calls_or_watch(number, conn, Value::Null).await {
            conn.event(11, "a").await;
            let error = json!({"code": "OFFSET_COMPACTED", "message": "gone", "retryable": false});
            conn.json(json!({"type": "end", "subscription_id": "s", "error": error}))
                .await;
            conn.ignore().await;
        }
    })
    .await;
    let keeper = server(|_, conn| async move {
        let mut conn = begin(conn, json!(11)).await;
        conn.event(11, "a").await;
        conn.event(12, "a").await;
    })
    .await;
    let client = Client::connect(options(&[&first, &keeper])).await.unwrap();
    let mut watch = client.watch_all(&WatchAll::default()).await.unwrap();
    assert_eq!(offsets(&mut watch, 2).await, [11, 12]);
}

#[tokio::test]
async fn a_watch_ends_when_every_node_has_dropped_its_offset() {
    let first = server(|number, conn| async move {
        match number {
            0 => conn.greet().await.echo().await,
            1 => begin(conn, Value::Null).await.event(11, "a").await,
            _ => {
                let mut conn = conn.greet().await;
                let watch = conn.expect("WATCH_ALL").await;
                let error = ErrorBody::new(Code::OffsetCompacted, "gone");
                conn.error(&watch.id, error).await;
            }
        }
    })
    .await;
    let short = refusing(Code::OffsetCompacted).await;
    let client = Client::connect(options(&[&first, &short])).await.unwrap();
    let mut watch = client.watch_all(&WatchAll::default()).await.unwrap();
    assert_eq!(offsets(&mut watch, 1).await, [11]);
    let end = watch.next().await.unwrap();
    assert!(matches!(end, Err(Error::Refused(error)) if error.code == Code::OffsetCompacted));
    let error = client.watch_all(&WatchAll::default()).await.unwrap_err();
    assert!(matches!(error, Error::Refused(error) if error.code == Code::OffsetCompacted));
}

#[tokio::test]
async fn a_watch_leaves_a_node_that_shuts_down_and_waits_at_one_that_is_behind() {
    let leaving = server(|number, conn| async move {
        if let Some(mut conn) = calls_or_watch(number, conn, Value::Null).await {
            conn.event(11, "a").await;
            let error = json!({"code": "NO_LEADER", "message": "shutting down", "retryable": true});
            conn.json(json!({"type": "end", "subscription_id": "s", "error": error}))
                .await;
            conn.ignore().await;
        }
    })
    .await;
    // Its log ends at 10, as it says; the watch stands at 11.
    let behind = server(|number, conn| async move {
        assert_eq!(number, 0, "the watch left a node that was only behind");
        let mut conn = begin(conn, json!(11)).await;
        for _ in 0..3 {
            let ping = conn.expect("PING").await;
            conn.ok(&ping.id, json!({"pong": true})).await;
        }
        conn.event(11, "a").await;
        conn.event(12, "a").await;
        conn.ignore().await;
    })
    .await;
    let client = Client::connect(ClientOptions {
        watch_keepalive: Duration::from_millis(200),
        ..options(&[&leaving, &behind])
    })
    .await
    .unwrap();
    let mut watch = client.watch_all(&WatchAll::default()).await.unwrap();
    assert_eq!(offsets(&mut watch, 2).await, [11, 12]);
}

#[tokio::test]
async fn a_watch_begins_where_the_clients_calls_are_answered() {
    let dead = nowhere().await;
    let hung = server(|_, conn| conn.ignore()).await;
    let alive = server(|number, conn| async move {
        if let Some(mut conn) = calls_or_watch(number, conn, Value::Null).await {
            conn.event(11, "a").await;
            conn.ignore().await;
        }
    })
    .await;
    let client = Client::connect(options(&[&dead, &hung, &alive]))
        .await
        .unwrap();
    assert_eq!(client.address(), alive);
    let begun = Instant::now();
    let mut watch = client.watch_all(&WatchAll::default()).await.unwrap();
    assert_eq!(offsets(&mut watch, 1).await, [11]);
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_watch_is_begun_elsewhere_when_the_clients_node_cannot() {
    let alone = refusing(Code::NoLeader).await;
    let other = server(|_, conn| async move {
        let mut conn = begin(conn, Value::Null).await;
        conn.event(11, "a").await;
        conn.ignore().await;
    })
    .await;
    let client = Client::connect(options(&[&alone, &other])).await.unwrap();
    let mut watch = client.watch_all(&WatchAll::default()).await.unwrap();
    assert_eq!(offsets(&mut watch, 1).await, [11]);
}
