//! Watches against a server that follows a script.

use std::time::Duration;

use crate::support::{Conn, options, server};
use futures_util::StreamExt;
use rstmdb_rcp::Code;
use rstmdb_rcp::client::{Client, ClientOptions, Error, Watch, WatchItem};
use rstmdb_rcp::message::watch::{WatchAll, WatchInstance};
use rstmdb_rcp::message::{ErrorBody, op};
use serde_json::{Value, json};

/// Connection 0 is the client's own; watches come after.
async fn begin(conn: Conn, from_offset: Value) -> Conn {
    let mut conn = conn.greet().await;
    let watch = conn.expect("WATCH_ALL").await;
    assert_eq!(watch.params["from_offset"], from_offset);
    assert_eq!(watch.params["machines"], json!(["m"]));
    let result = json!({"subscription_id": "s", "wal_offset": 10, "earliest_offset": 3});
    conn.ok(&watch.id, result).await;
    conn
}

fn all() -> WatchAll<'static> {
    WatchAll {
        machines: vec!["m".into()],
        ..WatchAll::default()
    }
}

async fn take(watch: &mut Watch, count: usize) -> Vec<(u64, String)> {
    let mut events = Vec::new();
    for _ in 0..count {
        let event = watch.next().await.unwrap().unwrap();
        assert_eq!(event.subscription_id, "s");
        events.push((event.wal_offset, event.instance_id.into_owned()));
    }
    events
}

#[tokio::test]
async fn a_watch_resumes_right_behind_its_last_event_even_inside_an_atomic_batch() {
    let addr = server(|number, conn| async move {
        match number {
            0 => conn.greet().await.echo().await,
            // Lost before the first event: go on after the head that was told.
            1 => drop(begin(conn, Value::Null).await),
            2 => {
                let mut conn = begin(conn, json!(11)).await;
                conn.event(11, "a").await;
                conn.event(12, "b").await;
                conn.event(12, "c").await;
            }
            3 => {
                let mut conn = begin(conn, json!(12)).await;
                for instance in ["b", "c", "d"] {
                    conn.event(12, instance).await;
                }
            }
            // Refused for a while, then well again.
            4 => {
                let mut conn = conn.greet().await;
                let watch = conn.expect("WATCH_ALL").await;
                conn.error(&watch.id, ErrorBody::new(Code::NoLeader, "wait"))
                    .await;
            }
            _ => {
                let mut conn = begin(conn, json!(12)).await;
                for instance in ["b", "c", "d"] {
                    conn.event(12, instance).await;
                }
                conn.event(15, "e").await;
                conn.ignore().await;
            }
        }
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    let mut watch = client.watch_all(&all()).await.unwrap();
    assert_eq!(watch.subscription_id(), "s");
    assert!(watch.started().get().contains("\"wal_offset\":10"));
    let events = take(&mut watch, 5).await;
    let expected = [(11, "a"), (12, "b"), (12, "c"), (12, "d"), (15, "e")];
    assert_eq!(events, expected.map(|(offset, id)| (offset, id.to_owned())));
}

#[tokio::test]
async fn a_watch_goes_on_at_another_address() {
    let first = server(|number, conn| async move {
        match number {
            0 => conn.greet().await.echo().await,
            1 => begin(conn, json!(5)).await.event(6, "a").await,
            // Accepts and hangs up.
            _ => drop(conn),
        }
    })
    .await;
    let second = server(|_, conn| async move {
        let mut conn = begin(conn, json!(6)).await;
        conn.event(6, "a").await;
        conn.event(7, "b").await;
        conn.ignore().await;
    })
    .await;
    let client = Client::connect(options(&[&first, &second])).await.unwrap();
    let from = WatchAll {
        from_offset: Some(5),
        ..all()
    };
    let mut watch = client.watch_all(&from).await.unwrap();
    assert_eq!(
        take(&mut watch, 2).await,
        [(6, "a".to_owned()), (7, "b".to_owned())]
    );
}

#[tokio::test]
async fn a_watch_from_the_earliest_resumes_from_what_was_the_earliest_then() {
    let addr = server(|number, conn| async move {
        match number {
            0 => conn.greet().await.echo().await,
            1 => drop(begin(conn, json!(0)).await),
            _ => {
                let mut conn = begin(conn, json!(3)).await;
                conn.event(3, "a").await;
                conn.ignore().await;
            }
        }
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    let from = WatchAll {
        from_offset: Some(0),
        ..all()
    };
    let mut watch = client.watch_all(&from).await.unwrap();
    assert_eq!(take(&mut watch, 1).await, [(3, "a".to_owned())]);
}

#[tokio::test]
async fn a_watch_whose_offset_fell_out_of_retention_ends_with_that() {
    let addr = server(|number, conn| async move {
        match number {
            0 => conn.greet().await.echo().await,
            1 => begin(conn, Value::Null).await.event(11, "a").await,
            _ => {
                let mut conn = conn.greet().await;
                let watch = conn.expect("WATCH_ALL").await;
                let error = ErrorBody::new(Code::OffsetCompacted, "gone")
                    .with_details(json!({"earliest_offset": 99}));
                conn.error(&watch.id, error).await;
            }
        }
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    let mut watch = client.watch_all(&all()).await.unwrap();
    take(&mut watch, 1).await;
    let end = watch.next().await.unwrap();
    assert!(matches!(end, Err(Error::Refused(error)) if error.code == Code::OffsetCompacted));
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn an_end_frame_ends_the_watch_with_its_error() {
    let addr = server(|number, conn| async move {
        if number == 0 {
            return conn.greet().await.echo().await;
        }
        let mut conn = begin(conn, Value::Null).await;
        let error = json!({"code": "OFFSET_COMPACTED", "message": "gone", "retryable": false});
        conn.json(json!({"type": "end", "subscription_id": "s", "error": error}))
            .await;
        conn.ignore().await;
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    let mut watch = client.watch_all(&all()).await.unwrap();
    assert!(matches!(watch.next().await, Some(Err(Error::Refused(_)))));
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_refused_watch_is_an_error_at_once() {
    let addr = server(|_, conn| async move {
        let mut conn = conn.greet().await;
        if let Some(watch) = conn.next().await {
            let error = ErrorBody::new(Code::InstanceNotFound, "no such instance");
            conn.error(&watch.id, error).await;
        }
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    let error = client
        .watch_instance(&WatchInstance::default())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Refused(error) if error.code == Code::InstanceNotFound));
}

#[tokio::test]
async fn a_slow_consumer_holds_up_nobody_and_misses_nothing() {
    const EVENTS: u64 = 50_000;
    let addr = server(|number, conn| async move {
        if number == 0 {
            return conn.greet().await.echo().await;
        }
        let mut conn = begin(conn, Value::Null).await;
        for offset in 11..11 + EVENTS {
            conn.event(offset, "i").await;
        }
        conn.ignore().await;
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    let mut watch = client.watch_all(&all()).await.unwrap();
    for n in 0..100 {
        client
            .call::<_, Value>(op::INFO, &json!({"n": n}))
            .await
            .unwrap();
    }
    let offsets: Vec<u64> = take(&mut watch, EVENTS as usize)
        .await
        .into_iter()
        .map(|(offset, _)| offset)
        .collect();
    assert!(offsets.into_iter().eq(11..11 + EVENTS));
}

#[tokio::test]
async fn a_server_that_went_silent_is_noticed_and_one_with_nothing_to_tell_is_kept() {
    let addr = server(|number, conn| async move {
        match number {
            0 => conn.greet().await.echo().await,
            // Reads pings and answers none.
            1 => begin(conn, Value::Null).await.ignore().await,
            2 => {
                let mut conn = begin(conn, json!(11)).await;
                for _ in 0..3 {
                    let ping = conn.expect("PING").await;
                    conn.ok(&ping.id, json!({"pong": true})).await;
                }
                conn.event(11, "a").await;
                conn.ignore().await;
            }
            _ => panic!("a live connection was left"),
        }
    })
    .await;
    let client = Client::connect(ClientOptions {
        watch_keepalive: Duration::from_millis(100),
        ..options(&[&addr])
    })
    .await
    .unwrap();
    let mut watch = client.watch_all(&all()).await.unwrap();
    assert_eq!(take(&mut watch, 1).await, [(11, "a".to_owned())]);
}

#[tokio::test]
async fn a_watch_that_finds_no_server_ends_in_bounded_time_and_a_dropped_one_hangs_up() {
    let (sender, mut gone) = tokio::sync::mpsc::unbounded_channel();
    let addr = server(move |number, conn| {
        let sender = sender.clone();
        async move {
            match number {
                0 => conn.greet().await.echo().await,
                1 => {
                    begin(conn, Value::Null).await.ignore().await;
                    sender.send(()).unwrap();
                }
                2 => drop(begin(conn, Value::Null).await),
                3 => drop(conn),
                // The time is over before these answer: the reason is still that of the last whole try.
                _ => {
                    conn.ignore().await;
                }
            }
        }
    })
    .await;
    let client = Client::connect(ClientOptions {
        watch_resume_timeout: Duration::from_secs(1),
        ..options(&[&addr])
    })
    .await
    .unwrap();
    client.watch_all(&all()).await.unwrap().unwatch();
    tokio::time::timeout(Duration::from_secs(5), gone.recv())
        .await
        .unwrap();
    let mut watch = client.watch_all(&all()).await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(5), watch.next())
        .await
        .unwrap();
    assert!(matches!(end, Some(Err(Error::Connect { .. }))), "{end:?}");
    assert!(watch.next().await.is_none());
}

/// A server whose instance was at offset 5 and state B when the watch began, whose history is gone
/// when the watch comes back, and which then says this about the instance.
async fn rested(current_state: &'static str, current_wal_offset: u64) -> Watch {
    let addr = server(move |number, conn| async move {
        let mut conn = conn.greet().await;
        if number == 0 {
            return conn.echo().await;
        }
        let watch = conn.expect("WATCH_INSTANCE").await;
        let begun = |state: &str, offset: u64| {
            json!({"subscription_id": "s", "instance_id": "i", "current_state": state,
                   "current_wal_offset": offset})
        };
        if number == 1 {
            return conn.ok(&watch.id, begun("B", 5)).await;
        }
        assert_eq!(watch.params["from_offset"], 6);
        conn.error(&watch.id, ErrorBody::new(Code::OffsetCompacted, "gone"))
            .await;
        let watch = conn.expect("WATCH_INSTANCE").await;
        assert_eq!(watch.params["from_offset"], Value::Null);
        conn.ok(&watch.id, begun(current_state, current_wal_offset))
            .await;
        conn.event(30, "i").await;
        conn.ignore().await;
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    let params = WatchInstance {
        instance_id: "i".into(),
        ..WatchInstance::default()
    };
    client.watch_instance(&params).await.unwrap()
}

#[tokio::test]
async fn a_resting_instance_is_watched_on_though_its_history_is_gone_unless_it_has_moved() {
    let mut watch = rested("B", 5).await;
    assert_eq!(take(&mut watch, 1).await, [(30, "i".to_owned())]);
    let mut moved = rested("C", 20).await;
    let end = moved.next().await.unwrap();
    assert!(matches!(end, Err(Error::Refused(error)) if error.code == Code::OffsetCompacted));
}

/// A watch of a server that says which cluster it belongs to.
async fn begin_in(cluster_id: &str, conn: Conn, from_offset: Value, named: Value) -> Conn {
    let mut conn = conn.greet().await;
    let watch = conn.expect("WATCH_ALL").await;
    assert_eq!(watch.params["from_offset"], from_offset);
    assert_eq!(watch.params["cluster_id"], named);
    let result = json!({"subscription_id": "s", "wal_offset": 10, "earliest_offset": 3, "cluster_id": cluster_id});
    conn.ok(&watch.id, result).await;
    conn
}

async fn progress(conn: &mut Conn, offset: u64) {
    let notice = json!({"type": "progress", "subscription_id": "t", "wal_offset": offset});
    conn.json(notice).await;
}

#[tokio::test]
async fn a_watch_resumes_behind_its_progress_and_names_its_cluster() {
    let addr = server(|number, conn| async move {
        match number {
            0 => conn.greet().await.echo().await,
            1 => {
                let mut conn = begin_in("c1", conn, Value::Null, Value::Null).await;
                conn.event(11, "a").await;
                progress(&mut conn, 500).await;
            }
            2 => {
                let mut conn = begin_in("c1", conn, json!(501), json!("c1")).await;
                conn.event(600, "b").await;
                // Says what is known already.
                progress(&mut conn, 550).await;
            }
            _ => {
                let mut conn = begin_in("c1", conn, json!(600), json!("c1")).await;
                conn.event(600, "b").await;
                conn.event(601, "c").await;
                conn.ignore().await;
            }
        }
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    let mut watch = client.watch_all(&all()).await.unwrap();
    assert_eq!(watch.cluster_id(), Some("c1"));
    assert_eq!(watch.resume_offset(), 11);
    assert_eq!(take(&mut watch, 1).await, [(11, "a".to_owned())]);
    assert_eq!(watch.resume_offset(), 11);
    let item = watch.next_item().await.unwrap().unwrap();
    assert!(matches!(item, WatchItem::Progress { wal_offset: 500 }));
    assert_eq!(watch.resume_offset(), 501);
    let events = take(&mut watch, 2).await;
    assert_eq!(events, [(600, "b".to_owned()), (601, "c".to_owned())]);
    assert_eq!(watch.resume_offset(), 601);
}

#[tokio::test]
async fn a_watch_of_another_cluster_s_log_ends_with_what_to_do() {
    let ahead = || ErrorBody::new(Code::OffsetAhead, "read the state anew");
    let first = server(|number, conn| async move {
        match number {
            0 => conn.greet().await.echo().await,
            1 => {
                let mut conn = begin_in("c1", conn, Value::Null, Value::Null).await;
                conn.event(11, "a").await;
            }
            _ => drop(conn),
        }
    })
    .await;
    let restored = server(move |_, conn| async move {
        let mut conn = conn.greet().await;
        let watch = conn.expect("WATCH_ALL").await;
        assert_eq!(watch.params["cluster_id"], "c1");
        conn.error(&watch.id, ahead()).await;
    })
    .await;
    // Where another address still leads to the old cluster, the watch goes on there.
    let old = server(|_, conn| async move {
        let mut conn = begin_in("c1", conn, json!(11), json!("c1")).await;
        conn.event(11, "a").await;
        conn.event(12, "b").await;
        conn.ignore().await;
    })
    .await;
    let addrs = [&*first, &*restored, &*old];
    let client = Client::connect(options(&addrs)).await.unwrap();
    let mut watch = client.watch_all(&all()).await.unwrap();
    let events = take(&mut watch, 2).await;
    assert_eq!(events, [(11, "a".to_owned()), (12, "b".to_owned())]);

    let alone = server(move |number, conn| async move {
        match number {
            0 => conn.greet().await.echo().await,
            1 => drop(begin_in("c1", conn, Value::Null, Value::Null).await),
            _ => {
                let mut conn = conn.greet().await;
                let watch = conn.expect("WATCH_ALL").await;
                conn.error(&watch.id, ahead()).await;
            }
        }
    })
    .await;
    let client = Client::connect(options(&[&alone])).await.unwrap();
    let mut watch = client.watch_all(&all()).await.unwrap();
    let end = watch.next().await.unwrap();
    let Err(Error::Refused(error)) = end else {
        panic!("{end:?}");
    };
    assert_eq!(error.code, Code::OffsetAhead);
    assert_eq!(&*error.message, "read the state anew");
    assert!(watch.next().await.is_none());
}
