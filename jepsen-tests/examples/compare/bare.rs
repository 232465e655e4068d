//! A server that does the least that a durable server of this protocol can do: it reads frames, checks their checksums,
//! parses the requests, appends each write to a file, syncs the file once for all writes that wait, and answers. It has
//! no state and no Raft, so its answers mean nothing.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use bytes::BytesMut;
use rstmdb_jepsen::Error;
use rstmdb_rcp::frame::{self, Flags, FrameLimits};
use rstmdb_rcp::wire::{Decoder, WireMode};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc as channel;

/// Names the address of the server in the process that is to be it.
const VARIABLE: &str = "RSTMDB_COMPARE_BARE";
/// One result for every operation: clients ignore the fields that they do not know.
const RESULT: &str = r#"{"protocol_version":1,"wire_mode":"binary_json","server_name":"bare","server_version":"0","features":[],"pong":true,"machine":"bench","version":1,"stored_checksum":"","created":true,"instance_id":"i","state":"on","ctx":{},"wal_offset":1,"last_wal_offset":1,"from_state":"on","to_state":"off","applied":true,"goodbye":true}"#;

/// The server, in a process of its own.
pub struct Bare {
    pub addr: SocketAddr,
    process: Child,
}

impl Bare {
    /// Starts it on a free port.
    pub fn start() -> Result<Self, Error> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let addr = free.map_err(Error::io("a free port"))?;
        let program = std::env::current_exe().map_err(Error::io("this program"))?;
        let process = Command::new(program)
            .env(VARIABLE, addr.to_string())
            .stdin(Stdio::null())
            .spawn()
            .map_err(Error::io("the bare server"))?;
        let bare = Self { addr, process };
        for _ in 0..500 {
            if std::net::TcpStream::connect(addr).is_ok() {
                return Ok(bare);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(Error::Protocol(
            "the bare server does not listen".to_owned(),
        ))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It fails if the process has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where this process is to be the server, if it is.
pub fn asked_for() -> Option<SocketAddr> {
    std::env::var(VARIABLE).ok()?.parse().ok()
}

/// Serves until the process is killed.
pub fn serve(listen: SocketAddr) -> Result<(), Error> {
    let file = tempfile::tempfile().map_err(Error::io("a temporary file"))?;
    let (log, queued) = mpsc::channel();
    std::thread::spawn(move || write_log(file, &queued));
    let runtime = tokio::runtime::Runtime::new().map_err(Error::io("a runtime"))?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen)
            .await
            .map_err(Error::io("the port"))?;
        loop {
            let (stream, _) = listener.accept().await.map_err(Error::io("accept"))?;
            tokio::spawn(connection(stream, log.clone()));
        }
    })
}

/// A write, and what to do once it is durable.
struct Queued {
    record: Vec<u8>,
    answer: BytesMut,
    to: channel::UnboundedSender<BytesMut>,
}

/// Writes and syncs all that waits, again and again.
fn write_log(mut file: File, queued: &mpsc::Receiver<Queued>) {
    let mut text = Vec::new();
    while let Ok(first) = queued.recv() {
        let mut batch = vec![first];
        batch.extend(queued.try_iter());
        text.clear();
        for write in &batch {
            text.extend_from_slice(&crc32c::crc32c(&write.record).to_be_bytes());
            text.extend_from_slice(&write.record);
        }
        if file
            .write_all(&text)
            .and_then(|()| file.sync_data())
            .is_err()
        {
            return;
        }
        for Queued { answer, to, .. } in batch {
            // The client may be gone.
            let _ = to.send(answer);
        }
    }
}

#[derive(Deserialize)]
struct Asked<'a> {
    id: &'a str,
    op: &'a str,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

/// The fields of a write, parsed as a server must.
#[derive(Deserialize)]
struct Params {
    #[serde(default)]
    payload: serde_json::Map<String, serde_json::Value>,
}

async fn connection(stream: TcpStream, log: mpsc::Sender<Queued>) {
    // It fails only for a connection that has ended.
    let _ = stream.set_nodelay(true);
    let (incoming, mut outgoing) = stream.into_split();
    let (to, mut answers) = channel::unbounded_channel::<BytesMut>();
    tokio::spawn(async move {
        while let Some(mut out) = answers.recv().await {
            while let Ok(more) = answers.try_recv() {
                out.extend_from_slice(&more);
            }
            if outgoing.write_all(&out).await.is_err() {
                return;
            }
        }
    });
    // A client that ends the connection in the middle of a frame is not served.
    let _ = read(incoming, &log, &to).await;
}

async fn read(
    mut incoming: OwnedReadHalf,
    log: &mpsc::Sender<Queued>,
    to: &channel::UnboundedSender<BytesMut>,
) -> Option<()> {
    let mut received = BytesMut::with_capacity(64 << 10);
    let mut decoder = Decoder::new(WireMode::Binary, FrameLimits::default());
    loop {
        while let Some(message) = decoder.take(&mut received).ok()? {
            let asked: Asked<'_> = serde_json::from_slice(&message.payload).ok()?;
            let answer = answer(asked.id)?;
            if asked.op == "APPLY_EVENT" {
                let params: Params = serde_json::from_str(asked.params?.get()).ok()?;
                let record = serde_json::to_vec(&params.payload).ok()?;
                let to = to.clone();
                log.send(Queued { record, answer, to }).ok()?;
            } else {
                to.send(answer).ok()?;
            }
        }
        if incoming.read_buf(&mut received).await.ok()? == 0 {
            return None;
        }
    }
}

fn answer(id: &str) -> Option<BytesMut> {
    let id = serde_json::to_string(id).ok()?;
    let text = format!(r#"{{"type":"response","id":{id},"status":"ok","result":{RESULT}}}"#);
    let mut frame = BytesMut::with_capacity(text.len() + 32);
    frame::encode(&mut frame, Flags::CRC, text.as_bytes()).ok()?;
    Some(frame)
}
