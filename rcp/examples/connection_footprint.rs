//! What a server's memory grows by for each idle connection, each watch, and large frames that are gone again.
//!
//! ```text
//! cargo build --release && target/release/rstmdb --dev &
//! cargo run --release -p rstmdb-rcp --features client --example connection_footprint -- 127.0.0.1:7401 PID
//! ```
//!
//! Prints bytes of resident memory, as `/proc/PID/status` has it.

use std::time::Duration;

use bytes::BytesMut;
use rstmdb_rcp::frame::{self, Flags, FrameLimits};
use rstmdb_rcp::wire::{Decoder, WireMode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failure = Box<dyn std::error::Error>;

const CONNECTIONS: usize = 500;
const WATCHES: usize = 10_000;
const LARGE_BYTES: usize = 4 << 20;
/// Memory that was given back is gone by then.
const PAUSE: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(addr), Some(pid)) = (arguments.next(), arguments.next()) else {
        return Err("arguments: the server's address and its process id".into());
    };
    // Whatever is built up once is there.
    drop(connections(&addr, CONNECTIONS).await?);
    let before = resident(&pid).await?;
    let idle = connections(&addr, CONNECTIONS).await?;
    per_piece(
        "idle connection",
        before,
        resident(&pid).await?,
        CONNECTIONS,
    );
    drop(idle);

    let mut watcher = Connection::open(&addr).await?;
    let before = resident(&pid).await?;
    for _ in 0..WATCHES {
        watcher
            .call("WATCH_ALL", json!({ "machines": ["none"] }))
            .await?;
    }
    per_piece("watch", before, resident(&pid).await?, WATCHES);
    drop(watcher);

    let before = resident(&pid).await?;
    let mut large = connections(&addr, 100).await?;
    for connection in &mut large {
        connection
            .call("PING", json!({ "pad": "x".repeat(LARGE_BYTES) }))
            .await?;
    }
    per_piece(
        "idle connection after a frame of 4 MiB",
        before,
        resident(&pid).await?,
        100,
    );
    let mut unfinished = BytesMut::new();
    frame::encode(&mut unfinished, Flags::NONE, &vec![b' '; LARGE_BYTES])?;
    for connection in &mut large {
        connection
            .socket
            .write_all(&unfinished[..LARGE_BYTES])
            .await?;
    }
    per_piece(
        "unfinished frame of 4 MiB",
        before,
        resident(&pid).await?,
        100,
    );
    drop(large);
    println!(
        "{:>10} bytes more than before once they are closed",
        resident(&pid).await?.saturating_sub(before)
    );
    Ok(())
}

fn per_piece(what: &str, before: u64, after: u64, pieces: usize) {
    let more = after.saturating_sub(before);
    println!("{:>10} bytes for each {what}", more / pieces as u64);
}

/// Resident memory in bytes, once it is at rest.
async fn resident(pid: &str) -> Result<u64, Failure> {
    tokio::time::sleep(PAUSE).await;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.ok_or("no VmRSS")?.parse::<u64>()? * 1024)
}

async fn connections(addr: &str, count: usize) -> Result<Vec<Connection>, Failure> {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(Connection::open(addr).await?);
    }
    Ok(connections)
}

struct Connection {
    socket: TcpStream,
    received: BytesMut,
    decoder: Decoder,
}

impl Connection {
    async fn open(addr: &str) -> Result<Self, Failure> {
        let mut connection = Self {
            socket: TcpStream::connect(addr).await?,
            received: BytesMut::new(),
            decoder: Decoder::new(WireMode::Binary, FrameLimits::default()),
        };
        connection
            .call("HELLO", json!({ "protocol_version": 1 }))
            .await?;
        Ok(connection)
    }

    async fn call(&mut self, op: &str, params: Value) -> Result<(), Failure> {
        let request = json!({ "type": "request", "id": "1", "op": op, "params": params });
        let mut out = BytesMut::new();
        frame::encode(&mut out, Flags::NONE, request.to_string().as_bytes())?;
        self.socket.write_all(&out).await?;
        loop {
            if let Some(answer) = self
                .decoder
                .take(&mut self.received)
                .map_err(|reject| reject.to_string())?
            {
                let answer: Value = serde_json::from_slice(&answer.payload)?;
                return match answer["status"].as_str() {
                    Some("ok") => Ok(()),
                    _ => Err(answer.to_string().into()),
                };
            }
            if self.socket.read_buf(&mut self.received).await? == 0 {
                return Err("the server has closed the connection".into());
            }
        }
    }
}
