//! Locks of the client library, against a server that does what a test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rstmdb_rcp::Code;
use rstmdb_rcp::client::{Client, Error};
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::locks::LockAcquire;
use rstmdb_rcp::message::meta::{Fence, Meta};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::support::{Conn, Request, options, server};

const SOON: Duration = Duration::from_secs(5);

type Told = UnboundedSender<(String, Value)>;

fn held(request: &Request) -> Value {
    if request.op == "LOCK_RELEASE" {
        return json!({"name": "l", "owner": "o", "token": 7, "released": true, "wal_offset": 9});
    }
    let owner = request.params.get("owner").cloned();
    json!({"name": "l", "owner": owner.unwrap_or(json!("o")), "token": 7, "expires_at": 9000, "ttl_ms": 1000,
        "waiting": 0, "wal_offset": 7})
}

fn lost() -> ErrorBody {
    ErrorBody::new(Code::LockLost, "token 7 does not hold lock \"l\"")
        .with_details(json!({"lock": "l", "token": 7, "current_token": null}))
}

/// A server that tells each request, and answers it as `answer` says; `None`: not at all.
async fn telling(
    answer: impl Fn(usize, &Request) -> Option<Result<Value, ErrorBody>> + Send + Sync + 'static,
) -> (Client, UnboundedReceiver<(String, Value)>) {
    let (told, asked) = unbounded_channel();
    let (answer, told): (_, Told) = (Arc::new(answer), told);
    let address = server(move |number, conn| {
        let (answer, told) = (answer.clone(), told.clone());
        async move {
            let mut conn = conn.greet().await;
            while let Some(request) = conn.next().await {
                let _ = told.send((request.op.clone(), request.params.clone()));
                match answer(number, &request) {
                    Some(Ok(result)) => conn.ok(&request.id, result).await,
                    Some(Err(error)) => conn.error(&request.id, error).await,
                    None => {}
                }
            }
        }
    })
    .await;
    (Client::connect(options(&[&address])).await.unwrap(), asked)
}

async fn next(asked: &mut UnboundedReceiver<(String, Value)>, op: &str) -> Value {
    let (name, params) = timeout(SOON, asked.recv()).await.unwrap().unwrap();
    assert_eq!(name, op, "{params}");
    params
}

#[tokio::test]
async fn a_lock_renews_itself_and_is_released() {
    let (client, mut asked) = telling(|_, request| Some(Ok(held(request)))).await;
    let begun = Instant::now();
    let ttl = Duration::from_millis(1200);
    let lock = client
        .lock("l")
        .owner("w")
        .ttl(ttl)
        .acquire()
        .await
        .unwrap();
    let params = next(&mut asked, "LOCK_ACQUIRE").await;
    let owner = params["owner"].as_str().unwrap();
    assert!(owner.starts_with("w-") && owner.len() == 14, "{owner}");
    assert_eq!((lock.name(), lock.owner()), ("l", owner));
    assert_eq!(params["ttl_ms"], 1200);
    assert_eq!(lock.token().unwrap(), 7);
    let fence = serde_json::to_value(lock.fence().unwrap()).unwrap();
    assert_eq!(fence, json!({"lock": "l", "token": 7}));
    for _ in 0..3 {
        let params = next(&mut asked, "LOCK_RENEW").await;
        assert_eq!(params, json!({"name": "l", "token": 7, "ttl_ms": 1200}));
    }
    assert!(begun.elapsed() >= ttl, "each at a third");
    assert!(lock.check().is_ok() && lock.expires_at() == Some(9000));
    lock.release().await.unwrap();
    let params = next(&mut asked, "LOCK_RELEASE").await;
    assert_eq!(params, json!({"name": "l", "token": 7}));
    // Nothing renews it any more.
    tokio::time::sleep(ttl / 2).await;
    assert!(asked.try_recv().is_err());
}

#[tokio::test]
async fn two_locks_of_one_name_have_two_owners() {
    let (client, mut asked) = telling(|_, request| Some(Ok(held(request)))).await;
    let _first = client.lock("l").owner("w").acquire().await.unwrap();
    let _second = client.lock("l").owner("w").acquire().await.unwrap();
    let first = next(&mut asked, "LOCK_ACQUIRE").await;
    let second = next(&mut asked, "LOCK_ACQUIRE").await;
    assert_ne!(first["owner"], second["owner"]);
}

#[tokio::test]
async fn a_lock_that_is_dropped_is_released() {
    let (client, mut asked) = telling(|_, request| Some(Ok(held(request)))).await;
    drop(client.lock("l").acquire().await.unwrap());
    next(&mut asked, "LOCK_ACQUIRE").await;
    let params = next(&mut asked, "LOCK_RELEASE").await;
    assert_eq!(params["token"], 7);
}

#[tokio::test]
async fn a_lock_that_the_server_gives_up_is_lost_at_once() {
    let (client, _asked) = telling(|_, request| match &*request.op {
        "LOCK_ACQUIRE" => Some(Ok(held(request))),
        _ => Some(Err(lost())),
    })
    .await;
    let ttl = Duration::from_millis(1500);
    let lock = client.lock("l").ttl(ttl).acquire().await.unwrap();
    let error = timeout(SOON, lock.lost()).await.unwrap();
    assert!(error.is_lock_lost());
    assert!(error.to_string().contains("does not hold"), "{error}");
    for error in [lock.token().unwrap_err(), lock.fence().unwrap_err()] {
        assert!(matches!(error, Error::LockLost { token: 7, .. }), "{error}");
    }
    assert!(lock.release().await.unwrap_err().is_lock_lost());
}

#[tokio::test]
async fn a_lock_that_cannot_be_renewed_is_lost_before_its_time_is_over() {
    let (client, _asked) = telling(|_, request| match &*request.op {
        "LOCK_ACQUIRE" => Some(Ok(held(request))),
        _ => None,
    })
    .await;
    let begun = Instant::now();
    let ttl = Duration::from_millis(1600);
    let lock = client.lock("l").ttl(ttl).acquire().await.unwrap();
    tokio::time::sleep(ttl / 2).await;
    assert!(lock.check().is_ok());
    let error = timeout(SOON, lock.lost()).await.unwrap();
    let lasted = begun.elapsed();
    assert!(
        lasted >= ttl / 8 * 7 - Duration::from_millis(20),
        "{lasted:?}"
    );
    assert!(lasted < ttl, "{lasted:?}");
    assert!(error.to_string().contains("not renewed in time"), "{error}");
    assert!(lock.fence().is_err());
}

#[tokio::test]
async fn a_lock_is_renewed_over_lost_connections_and_refusals_that_pass() {
    let renewals = AtomicUsize::new(0);
    let (client, mut asked) = telling(move |_, request| match &*request.op {
        "LOCK_RENEW" if renewals.fetch_add(1, Ordering::SeqCst) < 2 => {
            Some(Err(ErrorBody::new(Code::NoLeader, "none")))
        }
        _ => Some(Ok(held(request))),
    })
    .await;
    let ttl = Duration::from_millis(1500);
    let lock = client.lock("l").ttl(ttl).acquire().await.unwrap();
    next(&mut asked, "LOCK_ACQUIRE").await;
    for _ in 0..4 {
        next(&mut asked, "LOCK_RENEW").await;
    }
    assert!(lock.check().is_ok());
}

#[tokio::test]
async fn a_wait_has_its_own_connection_and_goes_on_when_that_is_lost() {
    let (told, mut asked) = unbounded_channel();
    let address = server(move |number, conn| {
        let told = told.clone();
        async move {
            let mut conn = conn.greet().await;
            while let Some(request) = conn.next().await {
                if request.op == "PING" {
                    conn.ok(&request.id, json!({"pong": true})).await;
                    continue;
                }
                let op = format!("{number} {}", request.op);
                let _ = told.send((op, request.params.clone()));
                match number {
                    // The client's own connection.
                    0 => conn.ok(&request.id, held(&request)).await,
                    1 => {
                        tokio::time::sleep(Duration::from_millis(600)).await;
                        return;
                    }
                    _ => {
                        tokio::time::sleep(Duration::from_millis(600)).await;
                        conn.ok(&request.id, held(&request)).await;
                    }
                }
            }
        }
    })
    .await;
    let client = Client::connect(options(&[&address])).await.unwrap();
    let lock = client.lock("l").ttl(Duration::from_millis(1500));
    let lock = lock.wait(Duration::from_secs(20)).acquire().await.unwrap();
    let first = next(&mut asked, "1 LOCK_ACQUIRE").await;
    let second = next(&mut asked, "2 LOCK_ACQUIRE").await;
    assert_eq!(first["owner"], second["owner"], "it keeps its place");
    let wait = |params: &Value| params["wait_ms"].as_u64().unwrap();
    assert!(wait(&first) <= 20_000 && wait(&first) > 19_000);
    assert!(wait(&second) < wait(&first) - 500);
    // Its time counts from a request, and that one was sent long before the grant.
    next(&mut asked, "0 LOCK_RENEW").await;
    assert_eq!(lock.token().unwrap(), 7);
    drop(client);
}

#[tokio::test]
async fn a_call_that_waits_and_is_sent_again_waits_for_what_is_left() {
    let tries = AtomicUsize::new(0);
    let (client, mut asked) = telling(move |_, request| {
        Some(match tries.fetch_add(1, Ordering::SeqCst) {
            0..3 => Err(ErrorBody::new(Code::NoLeader, "the node ends")),
            _ => Ok(held(request)),
        })
    })
    .await;
    let params = LockAcquire {
        name: "l".into(),
        owner: "o".into(),
        ttl_ms: 1000,
        wait_ms: Some(20_000),
        ..LockAcquire::default()
    };
    client.lock_acquire(&params).await.unwrap();
    let mut before = 20_001;
    for _ in 0..4 {
        let asked = next(&mut asked, "LOCK_ACQUIRE").await;
        let left = asked["wait_ms"].as_u64().unwrap();
        assert!(left < before && left > 10_000, "{left} after {before}");
        before = left;
    }
}

#[tokio::test]
async fn a_wait_that_is_given_up_ends_its_connection() {
    let (told, mut ended) = unbounded_channel();
    let address = server(move |number, conn| {
        let told = told.clone();
        async move {
            let mut conn = conn.greet().await;
            while conn.next().await.is_some() {}
            let _ = told.send((format!("{number}"), json!(null)));
        }
    })
    .await;
    let client = Client::connect(options(&[&address])).await.unwrap();
    let wait = client.lock("l").wait(Duration::from_secs(60)).acquire();
    assert!(timeout(Duration::from_millis(300), wait).await.is_err());
    next(&mut ended, "1").await;
}

#[tokio::test]
async fn a_wait_that_meets_a_limit_asks_again_on_its_connection() {
    let (told, mut asked) = unbounded_channel();
    let tries = Arc::new(AtomicUsize::new(0));
    let address = server(move |number, conn| {
        let (told, tries) = (told.clone(), tries.clone());
        async move {
            let mut conn = conn.greet().await;
            while let Some(request) = conn.next().await {
                let op = format!("{number} {}", request.op);
                let _ = told.send((op, request.params.clone()));
                let code = match tries.fetch_add(1, Ordering::SeqCst) {
                    0 => Code::QuotaExceeded,
                    1 => Code::RateLimited,
                    // Another node may serve.
                    2 => Code::NoLeader,
                    _ => {
                        conn.ok(&request.id, held(&request)).await;
                        continue;
                    }
                };
                conn.error(&request.id, ErrorBody::new(code, "no")).await;
            }
        }
    })
    .await;
    let client = Client::connect(options(&[&address])).await.unwrap();
    let lock = client.lock("l").wait(Duration::from_secs(20));
    let lock = timeout(SOON, lock.acquire()).await.unwrap().unwrap();
    let first = next(&mut asked, "1 LOCK_ACQUIRE").await;
    for op in ["1 LOCK_ACQUIRE", "1 LOCK_ACQUIRE", "2 LOCK_ACQUIRE"] {
        let again = next(&mut asked, op).await;
        assert_eq!(first["owner"], again["owner"]);
    }
    assert_eq!(lock.token().unwrap(), 7);
}

#[tokio::test]
async fn a_wait_of_more_than_a_day_is_refused_before_anything_is_sent() {
    let (client, mut asked) = telling(|_, request| Some(Ok(held(request)))).await;
    let day = Duration::from_secs(86_400);
    for wait in [day + Duration::from_millis(1), Duration::MAX] {
        let error = client.lock("l").wait(wait).acquire().await.unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, Error::Request(_)), "{said}");
        assert!(said.contains("0 to 86400000 are allowed"), "{said}");
    }
    assert!(asked.try_recv().is_err());
    let lock = client.lock("l").wait(day).acquire().await.unwrap();
    let params = next(&mut asked, "LOCK_ACQUIRE").await;
    assert!(params["wait_ms"].as_u64().unwrap() > 86_390_000);
    drop(lock);
}

#[tokio::test]
async fn the_log_is_told_the_same_about_the_grant_and_the_release() {
    let (client, mut asked) = telling(|_, request| Some(Ok(held(request)))).await;
    let meta = Meta::default()
        .reason("the nightly run")
        .header("ticket", "T-1")
        .fence(Fence::new("other", 3));
    let request = client.lock("l").meta(meta);
    request
        .clone()
        .acquire()
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
    drop(request.acquire().await.unwrap());
    for _ in 0..2 {
        let params = next(&mut asked, "LOCK_ACQUIRE").await;
        assert_eq!(params["fence"], json!({"lock": "other", "token": 3}));
        let params = next(&mut asked, "LOCK_RELEASE").await;
        let expected = json!({"name": "l", "token": 7, "reason": "the nightly run", "headers": {"ticket": "T-1"}});
        assert_eq!(params, expected);
    }
}

#[tokio::test]
async fn a_lock_that_is_held_is_told_with_its_owner() {
    let (client, _asked) = telling(|_, _| {
        let body = ErrorBody::new(Code::LockHeld, "held").with_details(json!({"owner": "other"}));
        Some(Err(body))
    })
    .await;
    for wait in [Duration::ZERO, Duration::from_millis(500)] {
        let error = client.lock("l").wait(wait).acquire().await.unwrap_err();
        let Error::Refused(body) = error else {
            panic!("{error}");
        };
        assert_eq!(body.code, Code::LockHeld);
        assert_eq!(body.details.unwrap()["owner"], "other");
    }
}

#[tokio::test]
async fn a_release_that_took_effect_unheard_is_done() {
    let address = server(|number, conn: Conn| async move {
        let mut conn = conn.greet().await;
        while let Some(request) = conn.next().await {
            match &*request.op {
                // The answer to the first try is lost.
                "LOCK_RELEASE" if number == 0 => return,
                "LOCK_RELEASE" => conn.error(&request.id, lost()).await,
                _ => conn.ok(&request.id, held(&request)).await,
            }
        }
    })
    .await;
    let client = Client::connect(options(&[&address])).await.unwrap();
    let lock = client.lock("l").acquire().await.unwrap();
    lock.release().await.unwrap();
}
