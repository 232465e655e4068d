//! Clients that make the node hold much memory for them: they send endless frames, or do not read answers.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rstmdb_rcp::frame::{self, Flags};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::program::Program;
use super::support::{Conn, PATIENCE};

/// The smallest budget there may be.
const BUDGET_MB: usize = 32;
/// The budget, what one connection may hold beyond it, as much again for what the allocator keeps and the sockets of
/// the system do not, and the node itself.
const RESIDENT_MAX: usize = 4 * (BUDGET_MB << 20);
/// What others still get done within.
const SOON: Duration = Duration::from_secs(2);

fn program() -> Program {
    let budget = BUDGET_MB.to_string();
    Program::start(1024, &[("RSTMDB_BUFFERS_MAX_MB", &budget)], |mut reader| {
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    })
}

/// A PING of so many bytes, as a frame.
fn large_ping(bytes: usize) -> Bytes {
    let params = json!({ "pad": "x".repeat(bytes) });
    let request = json!({ "type": "request", "id": "1", "op": "PING", "params": params });
    let mut out = BytesMut::new();
    frame::encode(&mut out, Flags::NONE, request.to_string().as_bytes()).unwrap();
    out.freeze()
}

/// Small events one after the other until it is told to stop, none of which takes long.
struct Bystander {
    stop: oneshot::Sender<()>,
    done: JoinHandle<usize>,
}

impl Bystander {
    fn begin(node: &Program) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let addr = node.rcp;
        let done = tokio::spawn(async move {
            let mut conn = Conn::open(addr).await;
            let (_, id) = conn.order().await;
            let mut count = 0;
            while stopped.try_recv().is_err() {
                let noted = conn.ok("APPLY_EVENT", json!({ "instance_id": id, "event": "NOTE" }));
                timeout(SOON, noted)
                    .await
                    .expect("a small event takes long");
                count += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            count
        });
        Self { stop, done }
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        let count = self.done.await.unwrap();
        assert!(count > 100, "{count}");
    }
}

/// A connection whose socket buffers little unread data.
async fn narrow(node: &Program) -> Conn {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut conn = Conn::over(socket.connect(node.rcp).await.unwrap());
    conn.hello(json!(["batch"]), None).await;
    conn
}

/// A connection that has made the instance `large`, with a context of 4 MiB.
async fn with_large_instance(node: &Program) -> Conn {
    let mut conn = Conn::open(node.rcp).await;
    let machine = conn.order_machine().await;
    let ctx = json!({ "pad": "x".repeat(4_000 << 10) });
    let params =
        json!({ "instance_id": "large", "machine": machine, "version": 1, "initial_ctx": ctx });
    conn.ok("CREATE_INSTANCE", params).await;
    conn
}

/// Waits until the node holds little more than before. Returns the most that it held until then.
async fn until_it_holds_little(node: &Program, before: usize) -> usize {
    let began = Instant::now();
    let mut most = 0;
    loop {
        let now = node.resident_bytes();
        most = most.max(now);
        if now < before + (BUDGET_MB << 20) {
            return most;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{} MiB are still held",
            now >> 20
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The most that the node holds until `done` is over.
async fn most_held<T>(node: &Program, done: impl Future<Output = T>) -> (T, usize) {
    let mut done = std::pin::pin!(done);
    let mut most = 0;
    loop {
        most = most.max(node.resident_bytes());
        let looked = timeout(Duration::from_millis(20), done.as_mut());
        if let Ok(done) = looked.await {
            return (done, most);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_take_no_more_than_the_budget() {
    let node = program();
    let mut conn = with_large_instance(&node).await;
    conn.ok("COMPACT", json!({ "force_snapshot": true })).await;
    let before = node.resident_bytes();
    let bystander = Bystander::begin(&node);
    let get = json!({ "op": "GET_INSTANCE", "params": { "instance_id": "large" } });
    let mut hoarders = Vec::new();
    for _ in 0..12 {
        let mut hoarder = narrow(&node).await;
        let params = json!({ "mode": "atomic", "ops": [get, get, get] });
        hoarder.send("BATCH", params).await;
        hoarders.push(hoarder);
    }
    // A client that reads gets its answer, once the node has given up the clients before it.
    let large = conn.ok("GET_INSTANCE", json!({ "instance_id": "large" }));
    let (large, most) = most_held(&node, timeout(2 * PATIENCE, large)).await;
    assert_eq!(large.unwrap()["state"], "created");
    assert!(
        most < before + RESIDENT_MAX,
        "{} MiB, {} before",
        most >> 20,
        before >> 20
    );
    until_it_holds_little(&node, before).await;
    bystander.end().await;
    drop(hoarders);
    assert_eq!(node.ended(), Some(0));
}

/// A batch of reads whose answer is too long for a frame is refused, and leaves nothing of it behind.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_do_not_fit_leave_no_memory_behind() {
    let node = program();
    with_large_instance(&node).await;
    let before = node.resident_bytes();
    let get = json!({ "op": "GET_INSTANCE", "params": { "instance_id": "large" } });
    let mut open = Vec::new();
    for _ in 0..16 {
        let mut conn = Conn::open(node.rcp).await;
        let params = json!({ "mode": "atomic", "ops": vec![&get; 10] });
        conn.refused("BATCH", params, "BAD_REQUEST").await;
        open.push(conn);
    }
    let now = node.resident_bytes();
    assert!(
        now < before + RESIDENT_MAX,
        "{} MiB, {} before",
        now >> 20,
        before >> 20
    );
    drop(open);
    assert_eq!(node.ended(), Some(0));
}

/// The node does not make an answer before there is room for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_large_reads_that_nobody_reads_hold_up_no_other_client() {
    let node = program();
    let mut conn = with_large_instance(&node).await;
    let mut hoarders = Vec::new();
    for _ in 0..4 {
        let mut hoarder = narrow(&node).await;
        for _ in 0..1000 {
            let get = json!({ "instance_id": "large", "consistency": "local" });
            hoarder.send("GET_INSTANCE", get).await;
        }
        hoarders.push(hoarder);
    }
    for _ in 0..20 {
        let pong = timeout(SOON / 2, conn.ok("PING", json!({}))).await;
        assert_eq!(pong.unwrap()["pong"], true);
    }
    drop(hoarders);
    assert_eq!(node.ended(), Some(0));
}

/// A client that always has more to read, and reads some megabytes a second; until it is told to stop.
async fn steady_reader(node: &Program) -> (oneshot::Sender<()>, JoinHandle<usize>) {
    let mut conn = narrow(node).await;
    let machine = conn.order_machine().await;
    let ctx = json!({ "pad": "x".repeat(100_000) });
    let params =
        json!({ "instance_id": "read", "machine": machine, "version": 1, "initial_ctx": ctx });
    conn.ok("CREATE_INSTANCE", params).await;
    let get = json!({ "instance_id": "read" });
    // More than the sockets take.
    for _ in 0..64 {
        conn.send("GET_INSTANCE", get.clone()).await;
    }
    let (stop, mut stopped) = oneshot::channel();
    let reading = tokio::spawn(async move {
        let mut count = 0;
        while stopped.try_recv().is_err() {
            let answer = conn.recv().await;
            assert_eq!(answer["status"], "ok", "{}", answer["error"]);
            conn.send("GET_INSTANCE", get.clone()).await;
            count += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        count
    });
    (stop, reading)
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_do_not_end_are_given_up_together() {
    let node = program();
    let (stop_reading, reading) = steady_reader(&node).await;
    let before = node.resident_bytes();
    let bystander = Bystander::begin(&node);
    let whole = large_ping(12 << 20);
    let mut hoarders = Vec::new();
    for _ in 0..8 {
        let mut hoarder = Conn::open(node.rcp).await;
        let part = whole.slice(..whole.len() - 1);
        hoarders.push(tokio::spawn(async move {
            let _ = hoarder.stream.write_all(&part).await;
            hoarder
        }));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut conn = Conn::open(node.rcp).await;
    let large = async {
        conn.send_bytes(&whole).await;
        conn.recv().await
    };
    // Two of them at a time are read, and given up after 5 s.
    let (large, most) = most_held(&node, timeout(2 * PATIENCE, large)).await;
    assert_eq!(large.unwrap()["result"]["pong"], true);
    assert!(
        most < before + RESIDENT_MAX,
        "{} MiB, {} before",
        most >> 20,
        before >> 20
    );
    // Those who leave are noticed at once.
    for hoarder in hoarders {
        hoarder.abort();
    }
    until_it_holds_little(&node, before).await;
    bystander.end().await;
    stop_reading.send(()).unwrap();
    let read = reading.await.unwrap();
    assert!(read > 200, "{read} answers in all that time");
    assert_eq!(node.ended(), Some(0));
}

/// What an answer may take is guessed from the contexts, not from the guesses before.
#[tokio::test(flavor = "multi_thread")]
async fn batches_of_events_in_a_pipeline_need_little() {
    let node = program();
    let mut conn = Conn::open(node.rcp).await;
    let (_, id) = conn.order().await;
    let event = json!({ "op": "APPLY_EVENT", "params": { "instance_id": id, "event": "NOTE", "payload": { "pad": "x".repeat(250) } } });
    let ops = vec![event; 100];
    for mode in ["atomic", "best_effort"] {
        for _ in 0..10 {
            conn.send("BATCH", json!({ "mode": mode, "ops": ops }))
                .await;
        }
        for _ in 0..10 {
            let answer = timeout(SOON, conn.recv()).await.unwrap();
            assert_eq!(answer["status"], "ok", "{}", answer["error"]);
        }
    }
    assert_eq!(node.ended(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_left_alone_while_there_is_room() {
    let node = program();
    let whole = large_ping(1 << 20);
    let mut slow = Conn::open(node.rcp).await;
    slow.send_bytes(&whole[..500_000]).await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    slow.send_bytes(&whole[500_000..]).await;
    assert_eq!(slow.recv().await["result"]["pong"], true);
    assert_eq!(node.ended(), Some(0));
}

/// Requests of one connection that wait for each other's room go on one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn many_large_requests_at_once_are_all_answered() {
    let node = program();
    let mut clients = Vec::new();
    for number in 0..12 {
        let addr = node.rcp;
        clients.push(tokio::spawn(async move {
            let mut conn = Conn::open(addr).await;
            let machine = conn.order_machine().await;
            let id = format!("large {number}");
            let ctx = json!({ "pad": "x".repeat(2 << 20) });
            let params = json!({ "instance_id": id, "machine": machine, "version": 1, "initial_ctx": ctx });
            conn.ok("CREATE_INSTANCE", params).await;
            let note = json!({ "instance_id": id, "event": "NOTE", "payload": { "n": "y".repeat(1 << 20) } });
            for _ in 0..4 {
                conn.send("APPLY_EVENT", note.clone()).await;
            }
            for _ in 0..4 {
                let answer = conn.recv().await;
                assert_eq!(answer["status"], "ok", "{}", answer["error"]);
            }
        }));
    }
    for client in clients {
        timeout(PATIENCE, client).await.unwrap().unwrap();
    }
    assert_eq!(node.ended(), Some(0));
}
