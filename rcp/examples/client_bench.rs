//! What the client library itself costs: one client on one thread, an echo server on another.
//!
//! ```text
//! cargo run --release -p rstmdb-rcp --features client --example client_bench
//! ```
//!
//! Prints requests per second of wall time and per second of the client thread's own CPU time; the
//! latter does not depend on what else the machine does.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use futures_util::future::join_all;
use rstmdb_rcp::client::{Client, ClientOptions};
use rstmdb_rcp::frame::FrameLimits;
use rstmdb_rcp::message::instance::ApplyEvent;
use rstmdb_rcp::message::session::HelloResult;
use rstmdb_rcp::message::{RequestHead, op, response};
use rstmdb_rcp::wire::{Decoder, WireMode};
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const IN_FLIGHT: usize = 1024;
const DURATION: Duration = Duration::from_secs(3);

fn main() -> Result<(), Failure> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        on_this_thread(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            sender.send(listener.local_addr()?.to_string())?;
            let (socket, _) = listener.accept().await?;
            echo(socket).await
        })
    });
    let addr = receiver.recv()?;
    on_this_thread(load(addr))
}

fn on_this_thread(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

async fn load(addr: String) -> Result<(), Failure> {
    let client = Client::connect(ClientOptions {
        addrs: vec![addr],
        ..ClientOptions::default()
    })
    .await?;
    let (begun, cpu_begun) = (Instant::now(), cpu_secs());
    let workers = (0..IN_FLIGHT).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut count = 0u64;
            while begun.elapsed() < DURATION {
                client.apply_event(&event()).await?;
                count += 1;
            }
            Ok::<u64, rstmdb_rcp::client::Error>(count)
        })
    });
    let mut total = 0;
    for count in join_all(workers).await {
        total += count??;
    }
    let total = total as f64;
    let per_second = total / begun.elapsed().as_secs_f64();
    println!("{per_second:.0} requests per second of wall time");
    if let (Some(from), Some(to)) = (cpu_begun, cpu_secs()) {
        println!(
            "{:.0} requests per second of the client's CPU time",
            total / (to - from)
        );
    }
    Ok(())
}

fn event() -> ApplyEvent<'static> {
    ApplyEvent {
        instance_id: "order-000123".into(),
        event: "PAY".into(),
        ..ApplyEvent::default()
    }
}

/// What this thread has used, where the system tells.
fn cpu_secs() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let used_ns: f64 = stat.split_whitespace().next()?.parse().ok()?;
    Some(used_ns / 1e9)
}

async fn echo(mut socket: TcpStream) -> Result<(), Failure> {
    socket.set_nodelay(true)?;
    let result = RawValue::from_string(
        r#"{"from_state":"NEW","to_state":"PAID","ctx":{"amount":100},"wal_offset":123456,"applied":true}"#
            .to_owned(),
    )?;
    let hello = HelloResult {
        protocol_version: 1,
        wire_mode: WireMode::Binary.name().into(),
        server_name: "echo".into(),
        server_version: "0".into(),
        features: Vec::new(),
    };
    let mut decoder = Decoder::new(WireMode::Binary, FrameLimits::default());
    let (mut buf, mut out) = (BytesMut::new(), BytesMut::new());
    loop {
        while let Some(message) = decoder.take(&mut buf)? {
            let head = RequestHead::parse(&message.payload)?;
            if head.op == op::HELLO {
                response::encode_ok(WireMode::Binary, &mut out, &head.id, &hello, None)?;
            } else {
                response::encode_ok(WireMode::Binary, &mut out, &head.id, &result, None)?;
            }
        }
        socket.write_all(&out).await?;
        out.clear();
        buf.reserve(64 * 1024);
        if socket.read_buf(&mut buf).await? == 0 {
            return Ok(());
        }
    }
}
