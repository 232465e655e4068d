//! The client against a server that follows a script.

use std::time::{Duration, Instant};

use crate::support::{Conn, nowhere, options, server};
use rstmdb_rcp::Code;
use rstmdb_rcp::client::{Client, ClientOptions, Error};
use rstmdb_rcp::message::instance::{ApplyEvent, CreateInstance, GetInstance};
use rstmdb_rcp::message::{ErrorBody, op};
use rstmdb_rcp::wire::WireMode;
use serde_json::{Value, json, value::RawValue};

fn apply() -> ApplyEvent<'static> {
    ApplyEvent {
        instance_id: "i".into(),
        event: "E".into(),
        ..ApplyEvent::default()
    }
}

fn applied() -> Value {
    json!({"from_state": "A", "to_state": "B", "ctx": {"a": 1}, "wal_offset": 7, "applied": true})
}

fn refusal(error: Error) -> ErrorBody {
    match error {
        Error::Refused(error) => error,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn hello_and_auth_come_first_and_typed_calls_work() {
    let addr = server(|_, conn| async move {
        let mut conn = conn.greet().await;
        let auth = conn.expect("AUTH").await;
        assert_eq!(auth.params, json!({"method": "bearer", "token": "t"}));
        conn.ok(&auth.id, json!({"authenticated": true})).await;
        let apply = conn.expect("APPLY_EVENT").await;
        assert_eq!(apply.params, json!({"instance_id": "i", "event": "E"}));
        conn.ok(&apply.id, applied()).await;
        let bye = conn.expect("BYE").await;
        conn.ok(&bye.id, json!({"goodbye": true})).await;
    })
    .await;
    let client = Client::connect(ClientOptions {
        token: Some("t".into()),
        ..options(&[&addr])
    })
    .await
    .unwrap();
    let answer = client.apply_event(&apply()).await.unwrap();
    assert_eq!(answer.result.to_state, "B");
    assert_eq!(answer.result.ctx.get(), "{\"a\":1}");
    let clone = client.clone();
    client.close().await;
    assert!(matches!(clone.ping().await, Err(Error::Closed)));
}

#[tokio::test]
async fn refused_credentials_are_not_tried_again_or_elsewhere() {
    let addr = server(|number, conn| async move {
        assert_eq!(number, 0);
        let mut conn = conn.greet().await;
        let auth = conn.expect("AUTH").await;
        let error = ErrorBody::new(Code::AuthFailed, "no such token");
        conn.error(&auth.id, error).await;
    })
    .await;
    let error = Client::connect(ClientOptions {
        token: Some("wrong".into()),
        ..options(&[&addr, &addr])
    })
    .await
    .unwrap_err();
    assert_eq!(refusal(error).code, Code::AuthFailed);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_at_once_and_by_name() {
    let addr = nowhere().await;
    let begun = Instant::now();
    let error = Client::connect_once(options(&[&addr])).await.unwrap_err();
    assert!(
        matches!(&error, Error::Connect { reason } if reason.contains(&addr)),
        "{error:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(2));
    let none = Client::connect(options(&[])).await.unwrap_err();
    assert!(matches!(none, Error::Options(_)));
}

#[tokio::test]
async fn a_first_connection_waits_for_a_server_that_restarts() {
    let addr = nowhere().await;
    let place = addr.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let listener = tokio::net::TcpListener::bind(&place).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        Conn::new(socket).greet().await.echo().await;
    });
    let client = Client::connect(options(&[&addr])).await.unwrap();
    assert_eq!(client.address(), addr);
    let begun = Instant::now();
    let gone = nowhere().await;
    let error = Client::connect(ClientOptions {
        timeout: Duration::from_millis(400),
        ..options(&[&gone])
    })
    .await
    .unwrap_err();
    assert!(
        matches!(&error, Error::Connect { reason } if reason.contains(&gone)),
        "{error:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_server_that_is_full_says_so() {
    let addr = server(|_, mut conn| async move {
        conn.error(
            "",
            ErrorBody::new(Code::RateLimited, "1000 connections are open"),
        )
        .await;
    })
    .await;
    let error = Client::connect_once(options(&[&addr])).await.unwrap_err();
    assert_eq!(refusal(error).code, Code::RateLimited);
}

#[tokio::test]
async fn the_second_address_is_used_when_the_first_is_dead_and_after_it_dies() {
    let (dead, first) = (
        nowhere().await,
        server(|number, conn| async move {
            let mut conn = conn.greet().await;
            if number == 0 {
                let ping = conn.expect("PING").await;
                conn.ok(&ping.id, json!({"pong": true})).await;
            }
        })
        .await,
    );
    let second = server(|_, conn| async move { conn.greet().await.echo().await }).await;
    let client = Client::connect(options(&[&dead, &first, &second]))
        .await
        .unwrap();
    assert_eq!(client.address(), first);
    client.ping().await.unwrap();
    for n in 0..10 {
        let answer: Value = client
            .call(op::INFO, &json!({"n": n}))
            .await
            .unwrap()
            .result;
        assert_eq!(answer["n"], n);
    }
    assert_eq!(client.address(), second);
}

#[tokio::test]
async fn calls_are_pipelined_in_order_and_answered_in_any() {
    let addr = server(|_, conn| async move {
        let mut conn = conn.greet().await;
        let mut requests = Vec::new();
        for n in 0..100 {
            let request = conn.next().await.unwrap();
            assert_eq!(
                request.params["n"], n,
                "sent in the order of the first polls"
            );
            requests.push(request);
        }
        for request in requests.into_iter().rev() {
            conn.ok(&request.id, request.params).await;
        }
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    let calls = (0..100).map(|n| {
        let client = client.clone();
        async move {
            client
                .call::<_, Value>(op::INFO, &json!({"n": n}))
                .await
                .unwrap()
                .result
        }
    });
    let answers = futures_util::future::join_all(calls).await;
    assert!(
        answers
            .iter()
            .enumerate()
            .all(|(n, answer)| answer["n"] == n)
    );
}

#[tokio::test]
async fn an_unkeyed_write_that_was_sent_is_not_repeated_and_says_so() {
    let addr = server(|number, conn| async move {
        let mut conn = conn.greet().await;
        if number == 0 {
            // Taken, and the connection lost before the answer.
            conn.expect("APPLY_EVENT").await;
        } else {
            conn.expect("PING").await;
        }
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    let error = client.apply_event(&apply()).await.unwrap_err();
    assert!(
        matches!(error, Error::Disconnected { .. }) && error.outcome_unknown(),
        "{error:?}"
    );
}

#[tokio::test]
async fn reads_and_keyed_writes_are_repeated_with_the_same_key() {
    let addr = server(|number, conn| async move {
        let mut conn = conn.greet().await;
        let request = conn.next().await.unwrap();
        match number {
            0 | 2 => {}
            1 => conn.ok(&request.id, json!({"pong": true})).await,
            _ => {
                assert_eq!(request.params["idempotency_key"], "k");
                conn.ok(&request.id, applied()).await;
            }
        }
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    client.ping().await.unwrap();
    let keyed = ApplyEvent {
        idempotency_key: Some("k".into()),
        ..apply()
    };
    assert_eq!(
        client.apply_event(&keyed).await.unwrap().result.wal_offset,
        7
    );
}

#[tokio::test]
async fn keys_are_made_up_when_asked_for_and_stay_the_same_on_a_retry() {
    let (sender, mut keys) = tokio::sync::mpsc::unbounded_channel();
    let addr = server(move |number, conn| {
        let sender = sender.clone();
        async move {
            let mut conn = conn.greet().await;
            let request = conn.expect("CREATE_INSTANCE").await;
            sender
                .send(request.params["idempotency_key"].clone())
                .unwrap();
            if number > 0 {
                let result = json!({"instance_id": "i", "state": "A", "wal_offset": 1});
                conn.ok(&request.id, result).await;
            }
        }
    })
    .await;
    let client = Client::connect(ClientOptions {
        retry_writes: true,
        ..options(&[&addr])
    })
    .await
    .unwrap();
    let create = CreateInstance {
        machine: "m".into(),
        version: 1,
        ..CreateInstance::default()
    };
    client.create_instance(&create).await.unwrap();
    let (first, second) = (keys.recv().await.unwrap(), keys.recv().await.unwrap());
    assert!(first.is_string());
    assert_eq!(first, second);
}

#[tokio::test]
async fn retryable_refusals_are_retried_for_reads_and_passed_on_for_unkeyed_writes() {
    let addr = server(|_, conn| async move {
        let mut conn = conn.greet().await;
        for n in 0.. {
            let Some(request) = conn.next().await else {
                return;
            };
            if n < 2 || request.op == "APPLY_EVENT" {
                conn.error(&request.id, ErrorBody::new(Code::InternalError, "broken"))
                    .await;
            } else {
                conn.ok(&request.id, json!({"pong": true})).await;
            }
        }
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    client.ping().await.unwrap();
    let error = refusal(client.apply_event(&apply()).await.unwrap_err());
    assert!(error.retryable);
}

#[tokio::test]
async fn a_node_without_a_leader_is_left_for_another() {
    let isolated = server(|_, conn| async move {
        let mut conn = conn.greet().await;
        while let Some(request) = conn.next().await {
            conn.error(&request.id, ErrorBody::new(Code::NoLeader, "alone"))
                .await;
        }
    })
    .await;
    let other = server(|_, conn| async move { conn.greet().await.echo().await }).await;
    let client = Client::connect(options(&[&isolated, &other]))
        .await
        .unwrap();
    client.call::<_, Value>(op::INFO, &json!({})).await.unwrap();
    assert_eq!(client.address(), other);
}

#[tokio::test]
async fn a_timeout_says_whether_the_outcome_is_unknown_and_leaves_the_silent_server() {
    let silent = server(|_, conn| async move { conn.greet().await.ignore().await }).await;
    let alive = server(|_, conn| async move { conn.greet().await.echo().await }).await;
    let client = Client::connect(ClientOptions {
        timeout: Duration::from_millis(200),
        ..options(&[&silent, &alive])
    })
    .await
    .unwrap();
    let error = client.apply_event(&apply()).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error:?}");
    client.call::<_, Value>(op::INFO, &json!({})).await.unwrap();
    assert_eq!(client.address(), alive);
    let client = Client::connect(ClientOptions {
        timeout: Duration::from_millis(100),
        ..options(&[&silent])
    })
    .await
    .unwrap();
    let error = client.apply_event(&apply()).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Timeout {
                outcome_unknown: true,
                ..
            }
        ),
        "{error:?}"
    );
    let read = GetInstance::default();
    let error = client.get_instance(&read).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Timeout {
                outcome_unknown: false,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_code_from_the_future_is_passed_on() {
    let addr = server(|_, conn| async move {
        let mut conn = conn.greet().await;
        let ping = conn.expect("PING").await;
        let error = json!({"code": "TOO_SUNNY", "message": "shade", "details": {"uv": 11}});
        conn.json(json!({"type": "weather"})).await;
        conn.json(json!({"type": "response", "id": ping.id, "status": "error", "error": error}))
            .await;
        conn.ignore().await;
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    let error = refusal(client.ping().await.unwrap_err());
    assert_eq!(error.code, Code::Other("TOO_SUNNY".into()));
    assert_eq!(error.details, Some(json!({"uv": 11})));
}

#[tokio::test]
async fn an_oversized_frame_is_a_protocol_error_of_the_calls_that_wait() {
    let addr = server(|number, conn| async move {
        let mut conn = conn.greet().await;
        if number > 0 {
            return conn.echo().await;
        }
        conn.expect("PING").await;
        let mut header = b"RCPX\0\x01\0\0\0\0".to_vec();
        header.extend((17u32 * 1024 * 1024).to_be_bytes());
        header.extend([0; 4]);
        conn.send(&header).await;
        conn.ignore().await;
    })
    .await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    let error = client.ping().await.unwrap_err();
    assert!(
        matches!(&error, Error::Protocol(text) if text.contains("payload_len")),
        "{error:?}"
    );
    client.call::<_, Value>(op::INFO, &json!({})).await.unwrap();
}

#[tokio::test]
async fn a_request_too_large_for_a_frame_is_refused_and_harms_no_other() {
    let addr = server(|_, conn| async move { conn.greet().await.echo().await }).await;
    let client = Client::connect(options(&[&addr])).await.unwrap();
    let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(17 * 1024 * 1024));
    let error = client
        .call_raw(op::INFO, &RawValue::from_string(huge).unwrap())
        .await;
    assert!(matches!(error, Err(Error::Request(_))));
    client.call::<_, Value>(op::INFO, &json!({})).await.unwrap();
}

#[tokio::test]
async fn jsonl_is_spoken_after_a_framed_hello() {
    let addr = server(|_, conn| async move { conn.greet().await.echo().await }).await;
    let client = Client::connect(ClientOptions {
        wire_mode: WireMode::Jsonl,
        ..options(&[&addr])
    })
    .await
    .unwrap();
    let params = RawValue::from_string("{\"a\":\n[1,\r\n2]}".to_owned()).unwrap();
    let answer = client.call_raw(op::INFO, &params).await.unwrap();
    assert_eq!(answer.result.get(), "{\"a\":[1,2]}");
}

#[tokio::test]
async fn host_names_are_resolved() {
    let addr = server(|_, conn| async move { conn.greet().await.echo().await }).await;
    let named = addr.replace("127.0.0.1", "localhost");
    Client::connect(options(&[&named])).await.unwrap();
}
