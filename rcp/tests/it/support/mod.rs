//! A server that does what a test's script says, connection by connection.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use rstmdb_rcp::client::ClientOptions;
use rstmdb_rcp::frame::{Flags, FrameLimits};
use rstmdb_rcp::message::{ErrorBody, RequestHead, response};
use rstmdb_rcp::wire::{self, Decoder, WireMode};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// The server's end of one connection.
pub struct Conn {
    pub socket: Box<dyn Socket>,
    decoder: Decoder,
    buf: BytesMut,
}

pub struct Request {
    pub id: String,
    pub op: String,
    pub params: Value,
}

impl Conn {
    pub fn new(socket: impl Socket + 'static) -> Self {
        Self {
            socket: Box::new(socket),
            decoder: Decoder::new(WireMode::Binary, FrameLimits::default()),
            buf: BytesMut::new(),
        }
    }

    /// The next request; `None` when the client has gone.
    pub async fn next(&mut self) -> Option<Request> {
        loop {
            if let Some(message) = self.decoder.take(&mut self.buf).unwrap() {
                let head = RequestHead::parse(&message.payload).unwrap();
                return Some(Request {
                    id: head.id.into_owned(),
                    op: head.op.into_owned(),
                    params: serde_json::from_str(head.params.get()).unwrap(),
                });
            }
            if self.socket.read_buf(&mut self.buf).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The next request, which has to be this one.
    pub async fn expect(&mut self, op: &str) -> Request {
        let request = self.next().await.expect("the client has gone");
        assert_eq!(request.op, op);
        request
    }

    /// Answers HELLO with what was offered.
    pub async fn greet(mut self) -> Self {
        let Some(hello) = self.next().await else {
            return self;
        };
        assert_eq!(hello.op, "HELLO");
        let mode = hello.params["wire_modes"][0].as_str().unwrap();
        self.ok(
            &hello.id,
            json!({"protocol_version": 1, "wire_mode": mode, "server_name": "rstmdb",
                   "server_version": "0", "features": hello.params["features"]}),
        )
        .await;
        self.decoder.set_mode(WireMode::from_name(mode).unwrap());
        self
    }

    pub async fn ok(&mut self, id: &str, result: Value) {
        let mode = self.decoder.mode();
        let mut out = BytesMut::new();
        response::encode_ok(mode, &mut out, id, &result, None).unwrap();
        self.send(&out).await;
    }

    pub async fn error(&mut self, id: &str, error: ErrorBody) {
        let mode = self.decoder.mode();
        let mut out = BytesMut::new();
        response::encode_error(mode, &mut out, id, &error, None).unwrap();
        self.send(&out).await;
    }

    pub async fn json(&mut self, message: Value) {
        let mut out = BytesMut::new();
        wire::encode_with(self.decoder.mode(), &mut out, Flags::STREAM, |out| {
            out.put_slice(message.to_string().as_bytes());
            Ok(())
        })
        .unwrap();
        self.send(&out).await;
    }

    pub async fn event(&mut self, offset: u64, instance: &str) {
        self.json(
            json!({"type": "event", "subscription_id": "server's", "instance_id": instance,
            "machine": "m", "version": 1, "wal_offset": offset, "from_state": "A",
            "to_state": "B", "event": "E"}),
        )
        .await;
    }

    /// An error means that the client is gone, which scripts notice when they read.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes).await;
        let _ = self.socket.flush().await;
    }

    /// Answers every request with its parameters until the client goes.
    pub async fn echo(mut self) {
        while let Some(request) = self.next().await {
            self.ok(&request.id, request.params).await;
        }
    }

    /// Reads and never answers.
    pub async fn ignore(mut self) {
        while self.next().await.is_some() {}
    }
}

/// Runs the script for each connection, which is numbered from 0; gives the address.
pub async fn server<F, Fut>(script: F) -> String
where
    F: Fn(usize, Conn) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let script = Arc::new(script);
    tokio::spawn(async move {
        for number in 0.. {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(script(number, Conn::new(socket)));
        }
    });
    address
}

/// An address where no server listens.
pub async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

pub fn options(addrs: &[&str]) -> ClientOptions {
    ClientOptions {
        addrs: addrs.iter().map(|addr| (*addr).to_owned()).collect(),
        timeout: Duration::from_secs(5),
        ..ClientOptions::default()
    }
}
