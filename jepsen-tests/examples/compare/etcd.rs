//! etcd, and its load: puts and linearizable gets over gRPC.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rstmdb_jepsen::Error;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::Load;
use super::figures::Figures;

/// As long as the payload of an event of `rstmdb-cli bench`.
const VALUE_BYTES: usize = 100;
const READY_WITHIN: Duration = Duration::from_secs(20);

/// `etcdserverpb.PutRequest`, as far as it is used.
#[derive(Clone, PartialEq, prost::Message)]
struct Put {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `etcdserverpb.RangeRequest`, as far as it is used: a linearizable read of one key.
#[derive(Clone, PartialEq, prost::Message)]
struct Range {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
}

/// An answer whose fields are not looked at.
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {}

/// The servers of one cluster.
pub struct Etcd {
    servers: Vec<Child>,
    endpoints: Vec<String>,
    runtime: Runtime,
    _folder: TempDir,
}

/// Whether etcd is there.
pub fn installed() -> Result<(), String> {
    let asked = Command::new("etcd")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    match asked {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("etcd --version: {status}")),
        Err(error) => Err(format!(
            "etcd: {error} (Debian: apt-get install etcd-server)"
        )),
    }
}

impl Etcd {
    /// Starts as many servers, and waits until they take writes.
    pub fn start(nodes: u64) -> Result<Self, Error> {
        let folder = TempDir::new().map_err(Error::io("a folder"))?;
        let ports = free_ports(2 * nodes as usize)?;
        let (clients, peers) = ports.split_at(nodes as usize);
        let url = |port: &u16| format!("http://127.0.0.1:{port}");
        let members = peers.iter().enumerate();
        let members: Vec<String> = members
            .map(|(n, port)| format!("n{n}={}", url(port)))
            .collect();
        let mut etcd = Self {
            servers: Vec::new(),
            endpoints: clients.iter().map(url).collect(),
            runtime: Runtime::new().map_err(Error::io("a runtime"))?,
            _folder: folder,
        };
        for (n, (client, peer)) in clients.iter().zip(peers).enumerate() {
            let data = etcd._folder.path().join(n.to_string());
            let server = Command::new("etcd")
                .arg("--data-dir")
                .arg(data)
                .args(["--name", &format!("n{n}"), "--log-level", "error"])
                .args([
                    "--listen-client-urls",
                    &url(client),
                    "--advertise-client-urls",
                    &url(client),
                ])
                .args([
                    "--listen-peer-urls",
                    &url(peer),
                    "--initial-advertise-peer-urls",
                    &url(peer),
                ])
                .args(["--initial-cluster", &members.join(",")])
                // Enough for all rounds.
                .args(["--quota-backend-bytes", &(8_u64 << 30).to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(Error::io("etcd"))?;
            etcd.servers.push(server);
        }
        etcd.wait_ready()?;
        Ok(etcd)
    }

    fn wait_ready(&self) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            let ready = self.runtime.block_on(async {
                for endpoint in &self.endpoints {
                    put(&mut grpc(endpoint).await?, b"ready").await?;
                }
                Ok::<(), Error>(())
            });
            match ready {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() > READY_WITHIN => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Runs the load for `time`, with the connections spread over the servers.
    pub fn load(&self, load: Load, time: Duration) -> Result<Figures, Error> {
        let mut latencies = self.runtime.block_on(async {
            let until = Instant::now() + time;
            let mut workers = Vec::new();
            for connection in 0..load.connections {
                let endpoint = &self.endpoints[connection % self.endpoints.len()];
                let grpc = grpc(endpoint).await?;
                for slot in 0..load.in_flight {
                    let key: Arc<[u8]> = format!("{connection}/{slot}").into_bytes().into();
                    workers.push(tokio::spawn(work(grpc.clone(), load.op, key, until)));
                }
            }
            let mut all = Vec::new();
            for worker in workers {
                let panicked = |_| Error::Protocol("a worker panicked".to_owned());
                all.extend(worker.await.map_err(panicked)??);
            }
            Ok::<Vec<Duration>, Error>(all)
        })?;
        latencies.sort_unstable();
        let middle = latencies
            .get(latencies.len() / 2)
            .copied()
            .unwrap_or_default();
        Ok(Figures {
            per_second: latencies.len() as f64 / time.as_secs_f64(),
            p50_us: middle.as_secs_f64() * 1e6,
        })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // It fails if the process has ended by itself.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

async fn work(
    mut grpc: Grpc<Channel>,
    op: &'static str,
    key: Arc<[u8]>,
    until: Instant,
) -> Result<Vec<Duration>, Error> {
    put(&mut grpc, &key).await?;
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        match op {
            "get" => get(&mut grpc, &key).await?,
            _ => put(&mut grpc, &key).await?,
        }
        latencies.push(begun.elapsed());
    }
    Ok(latencies)
}

async fn grpc(endpoint: &str) -> Result<Grpc<Channel>, Error> {
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(failed)?;
    let channel = endpoint.tcp_nodelay(true).connect().await.map_err(failed)?;
    Ok(Grpc::new(channel))
}

async fn put(grpc: &mut Grpc<Channel>, key: &[u8]) -> Result<(), Error> {
    let put = Put {
        key: key.to_vec(),
        value: vec![b'x'; VALUE_BYTES],
    };
    call(grpc, put, "/etcdserverpb.KV/Put").await
}

async fn get(grpc: &mut Grpc<Channel>, key: &[u8]) -> Result<(), Error> {
    let range = Range { key: key.to_vec() };
    call(grpc, range, "/etcdserverpb.KV/Range").await
}

async fn call<M: prost::Message + Default + 'static>(
    grpc: &mut Grpc<Channel>,
    message: M,
    path: &'static str,
) -> Result<(), Error> {
    grpc.ready().await.map_err(failed)?;
    let codec = ProstCodec::<M, Answer>::default();
    let path = PathAndQuery::from_static(path);
    grpc.unary(Request::new(message), path, codec)
        .await
        .map_err(failed)?;
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Protocol(format!("etcd: {error}"))
}

fn free_ports(count: usize) -> Result<Vec<u16>, Error> {
    let listeners = (0..count).map(|_| std::net::TcpListener::bind("127.0.0.1:0"));
    let listeners: Result<Vec<_>, _> = listeners.collect();
    let listeners = listeners.map_err(Error::io("free ports"))?;
    let ports = listeners
        .iter()
        .map(|free| free.local_addr().map(|addr| addr.port()));
    ports
        .collect::<Result<_, _>>()
        .map_err(Error::io("free ports"))
}
