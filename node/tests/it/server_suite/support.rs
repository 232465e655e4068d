//! A node in this process, and a client that knows nothing but frames.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::BytesMut;
use rstmdb::server::node::StartedNode;
use rstmdb::server::product::Replica;
use rstmdb::server::{Config, Listeners};
use rstmdb_rcp::frame::{self, Flags, FrameLimits};
use rstmdb_rcp::wire::{Decoder, WireMode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{agreement, unused};

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A node on free ports and a temporary folder: alone, or the follower of two others, by
/// [`super::FOLLOWS`].
pub struct TestNode {
    pub addr: SocketAddr,
    pub admin: SocketAddr,
    pub http: SocketAddr,
    /// The node itself, then the others of its cluster.
    nodes: Vec<Served>,
    dir: TempDir,
    data: PathBuf,
}

/// A node that serves.
struct Served {
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), rstmdb::server::node::Error>>,
}

impl Served {
    fn begin(node: StartedNode, config: Config, listeners: Listeners) -> Self {
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            let shutdown = async move {
                let _ = stopped.await;
            };
            node.serve(&config, listeners, shutdown).await
        });
        Self {
            stop: Some(stop),
            served,
        }
    }

    fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).unwrap();
        }
    }

    async fn ended(self) {
        let ended = tokio::time::timeout(Duration::from_secs(10), self.served).await;
        ended.unwrap().unwrap().unwrap();
    }
}

impl TestNode {
    /// With these variables beside those of a test.
    pub async fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_on(tempfile::tempdir().unwrap(), variables).await
    }

    pub async fn start_on(dir: TempDir, variables: &[(&str, &str)]) -> Self {
        if super::FOLLOWS {
            return Self::start_follower(dir, variables).await;
        }
        let config = config_on(dir.path(), variables);
        let mut listeners = Listeners::bind(&config).await.unwrap();
        let addr = listeners.rcp.local_addr().unwrap();
        let admin = listeners.admin.as_ref().unwrap().local_addr().unwrap();
        let http = listeners.http.as_ref().unwrap().local_addr().unwrap();
        let node = StartedNode::start(&config, listeners.peers.take())
            .await
            .unwrap();
        Self {
            addr,
            admin,
            http,
            nodes: vec![Served::begin(node, config, listeners)],
            data: dir.path().to_owned(),
            dir,
        }
    }

    /// One of three, which does not lead.
    async fn start_follower(dir: TempDir, variables: &[(&str, &str)]) -> Self {
        let of_test = |name: &str| variables.iter().find(|(known, _)| *known == name);
        let own_id = of_test("RSTMDB_NODE_ID").map_or("3", |(_, id)| id);
        let ids = [own_id, "1", "2"];
        // The members' addresses are in the log: a restart has to use the same.
        let known = std::fs::read_to_string(dir.path().join("peers"));
        let peers = known.unwrap_or_else(|_| {
            let peer = |id| format!("{id}={}/{}", unused_addr(), unused_addr());
            ids.map(peer).join(",")
        });
        std::fs::write(dir.path().join("peers"), &peers).unwrap();
        let mut bound = Vec::new();
        for id in ids {
            let config = config_on(&dir.path().join(id), &in_cluster(variables, id, &peers));
            bound.push(Listeners::bind(&config).await.unwrap());
        }
        let addr = bound[0].rcp.local_addr().unwrap();
        let admin = bound[0].admin.as_ref().unwrap().local_addr().unwrap();
        let http = bound[0].http.as_ref().unwrap().local_addr().unwrap();
        let starts = ids.iter().zip(bound).map(|(id, mut listeners)| {
            let config = config_on(&dir.path().join(id), &in_cluster(variables, id, &peers));
            async move {
                let started = StartedNode::start(&config, listeners.peers.take()).await;
                (started.unwrap(), config, listeners)
            }
        });
        let started = futures_util::future::join_all(starts).await;
        follow(started[0].0.replica()).await;
        let nodes = started
            .into_iter()
            .map(|(node, config, listeners)| Served::begin(node, config, listeners));
        Self {
            addr,
            admin,
            http,
            nodes: nodes.collect(),
            data: dir.path().join(own_id),
            dir,
        }
    }

    /// The folder it runs on.
    // Only suites that a follower does not run look at it.
    #[allow(dead_code)]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Shuts the node down, and its cluster, and gives back the folder of all.
    pub async fn stop(mut self) -> TempDir {
        self.nodes.iter_mut().for_each(Served::begin_stop);
        for node in self.nodes {
            node.ended().await;
        }
        self.dir
    }

    /// Begins the shutdown without waiting for it.
    pub fn begin_stop(&mut self) {
        self.nodes[0].begin_stop();
    }

    /// GET of the admin listener: status line and body.
    pub async fn admin_get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }
}

/// An address that no other test uses, also while no node listens there.
pub fn unused_addr() -> SocketAddr {
    let port = unused::unused().unwrap().expect("a free port");
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The variables of a test for a node of a cluster.
fn in_cluster<'a>(
    variables: &[(&'a str, &'a str)],
    id: &'a str,
    peers: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let listed = peers.split(',').find_map(|peer| {
        let (other, addresses) = peer.split_once('=')?;
        addresses.split_once('/').filter(|_| other == id)
    });
    let (peer_bind, bind) = listed.unwrap();
    let own = [
        ("RSTMDB_NODE_ID", id),
        ("RSTMDB_PEERS", peers),
        ("RSTMDB_PEER_BIND", peer_bind),
        ("RSTMDB_BIND", bind),
        ("RSTMDB_HEARTBEAT_MS", "50"),
        ("RSTMDB_ELECTION_TIMEOUT_MS", "400-700"),
    ];
    own.into_iter().chain(variables.iter().copied()).collect()
}

/// Waits until another node leads, handing over if this one does.
async fn follow(replica: &Replica) {
    let (me, _) = replica.node();
    let waiting = async {
        loop {
            match replica.status().leader {
                Some(leader) if leader != me => return,
                Some(_) => replica.hand_over().await,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.expect("no other node leads");
}

/// Stands among the variables of a test for the highest feature level that its nodes understand.
pub const UNDERSTANDS: &str = "UNDERSTANDS";

/// Stands among the variables of a test for the path of a configuration file.
pub const CONFIG_FILE: &str = "CONFIG_FILE";

/// Stands among the variables of a test for a server on which every client may import.
pub const ANYONE_IMPORTS: &str = "ANYONE_IMPORTS";
/// Stands among the variables of a test for a clock that stands still until it is advanced.
// Only suites that a follower does not run have one.
#[allow(dead_code)]
pub const MANUAL_CLOCK: &str = "MANUAL_CLOCK";

/// The configuration of a test, with these variables.
pub fn config_on(dir: &Path, variables: &[(&str, &str)]) -> Config {
    let file = variables.iter().find(|(known, _)| *known == CONFIG_FILE);
    let file = file.map(|(_, path)| Path::new(*path));
    let config = Config::load(file, |name| {
        let given = variables.iter().find(|(known, _)| *known == name);
        match name {
            "RSTMDB_METRICS_BIND" => Some("127.0.0.1:0".to_owned()),
            "RSTMDB_BIND" | "RSTMDB_HTTP_BIND" if given.is_none() => Some("127.0.0.1:0".to_owned()),
            "RSTMDB_DATA" => Some(dir.display().to_string()),
            "RSTMDB_WAL_SEGMENT_SIZE_MB" => Some("1".to_owned()),
            "RSTMDB_MIN_FREE_MB" => Some("0".to_owned()),
            _ => given.map(|(_, value)| (*value).to_owned()),
        }
    });
    let mut config = config.unwrap();
    let understands = variables.iter().find(|(known, _)| *known == UNDERSTANDS);
    config.cluster.understands = understands.map(|(_, level)| level.parse().unwrap());
    config.anyone_imports = variables.iter().any(|(known, _)| *known == ANYONE_IMPORTS);
    config.clock_is_manual = variables.iter().any(|(known, _)| *known == MANUAL_CLOCK);
    config
}

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection that sees every frame.
pub struct Conn {
    pub stream: Box<dyn Stream>,
    received: BytesMut,
    decoder: Decoder,
    mode: WireMode,
    next_id: u64,
    /// The length of the newest message.
    message_bytes: usize,
}

impl Conn {
    /// A connection on which nothing was said yet.
    pub async fn raw(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap())
    }

    pub fn over(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            received: BytesMut::new(),
            decoder: Decoder::new(WireMode::Binary, FrameLimits::default()),
            mode: WireMode::Binary,
            next_id: 0,
            message_bytes: 0,
        }
    }

    /// After a HELLO that offers everything.
    pub async fn open(addr: SocketAddr) -> Self {
        let mut conn = Self::raw(addr).await;
        conn.hello(
            json!(["idempotency", "batch", "wal_read", "cluster", "lifecycle"]),
            None,
        )
        .await;
        conn
    }

    /// As an existing client does.
    pub async fn legacy(addr: SocketAddr) -> Self {
        let mut conn = Self::raw(addr).await;
        conn.hello(json!(["idempotency", "batch", "wal_read"]), None)
            .await;
        conn
    }

    pub async fn hello(&mut self, features: Value, wire_mode: Option<WireMode>) -> Value {
        let mut params =
            json!({ "protocol_version": 1, "client_name": "test", "features": features });
        if let Some(mode) = wire_mode {
            params["wire_modes"] = json!([mode.name()]);
        }
        let result = self.ok("HELLO", params).await;
        if let Some(mode) = wire_mode {
            self.mode = mode;
            self.decoder.set_mode(mode);
        }
        result
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub async fn send_json(&mut self, message: &Value) {
        self.send_text(&message.to_string()).await;
    }

    /// Sends a message as it is written here.
    pub async fn send_text(&mut self, text: &str) {
        let mut out = BytesMut::new();
        match self.mode {
            WireMode::Binary => frame::encode(&mut out, Flags::NONE, text.as_bytes()).unwrap(),
            WireMode::Jsonl => out.extend_from_slice(format!("{text}\n").as_bytes()),
        }
        self.send_bytes(&out).await;
    }

    /// Sends a request without waiting, and names it.
    pub async fn send(&mut self, op: &str, params: Value) -> String {
        self.next_id += 1;
        let id = self.next_id.to_string();
        let request = json!({ "type": "request", "id": id, "op": op, "params": params });
        self.send_json(&request).await;
        id
    }

    /// The next message; `None` when the connection was closed.
    pub async fn next(&mut self) -> Option<(Flags, Value)> {
        loop {
            if let Some(message) = self.decoder.take(&mut self.received).unwrap() {
                let value = rstmdb_rcp::json::value_of_bytes(&message.payload).unwrap();
                self.message_bytes = message.payload.len();
                self.assert_known(&value);
                return Some((message.flags, value));
            }
            let read = self.stream.read_buf(&mut self.received);
            match tokio::time::timeout(PATIENCE, read)
                .await
                .expect("nothing received")
            {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub async fn recv(&mut self) -> Value {
        self.next().await.expect("the connection was closed").1
    }

    /// Sends a request and waits for its response; `Err` is the error's body.
    pub async fn call(&mut self, op: &str, params: Value) -> Result<Value, Value> {
        let asked = Asked::new(op, &params);
        let id = self.send(op, params).await;
        let response = self.recv().await;
        assert_eq!(response["id"], json!(id), "{response}");
        let outcome = outcome(response)?;
        if self.message_bytes <= COMPARED_BYTES_MAX {
            asked.assert_known(&outcome);
        }
        Ok(outcome)
    }

    /// The client library knows every field of what a watch delivers.
    fn assert_known(&self, message: &Value) {
        let delivered = matches!(message["type"].as_str(), Some("event" | "progress" | "end"));
        if delivered && self.message_bytes <= COMPARED_BYTES_MAX {
            let again = agreement::delivered_again(&message.to_string());
            let again = again.unwrap_or_else(|error| panic!("{error}: {message}"));
            assert_eq!(without_nulls(&again), without_nulls(message));
        }
    }

    pub async fn ok(&mut self, op: &str, params: Value) -> Value {
        self.call(op, params)
            .await
            .unwrap_or_else(|error| panic!("{op}: {error}"))
    }

    /// The error of a request, by code.
    pub async fn refused(&mut self, op: &str, params: Value, code: &str) -> Value {
        let error = self.call(op, params).await.expect_err("was not refused");
        assert_eq!(error["code"], json!(code), "{error}");
        error
    }

    /// Waits until the other side closes, without another message.
    pub async fn closed(&mut self) {
        assert_eq!(self.next().await.map(|(_, value)| value), None);
    }

    /// Puts the order machine and creates an instance of it, both under fresh names.
    pub async fn order(&mut self) -> (String, String) {
        let machine = self.order_machine().await;
        let id = fresh("order");
        let params = json!({ "instance_id": id, "machine": machine, "version": 1, "initial_ctx": { "total": 5 } });
        self.ok("CREATE_INSTANCE", params).await;
        (machine, id)
    }

    pub async fn order_machine(&mut self) -> String {
        let machine = fresh("order");
        let params = json!({ "machine": machine, "version": 1, "definition": order_definition() });
        self.ok("PUT_MACHINE", params).await;
        machine
    }
}

/// Longer answers are not compared: some tests measure the time and the memory that they take.
const COMPARED_BYTES_MAX: usize = 64 * 1024;

/// What a result belongs to.
struct Asked {
    op: String,
    dry_run: bool,
    /// The operations of a batch.
    ops: Vec<String>,
}

impl Asked {
    fn new(op: &str, params: &Value) -> Self {
        let ops = params["ops"].as_array().into_iter().flatten();
        let name = |op: &Value| op["op"].as_str().unwrap_or_default().to_owned();
        Self {
            op: op.to_owned(),
            dry_run: params["dry_run"] == json!(true),
            ops: ops.map(name).collect(),
        }
    }

    /// The client library knows every field of a result.
    fn assert_known(&self, result: &Value) {
        let row = agreement::row(&self.op);
        let row = row.unwrap_or_else(|| panic!("{} has no row", self.op));
        let again = match self.dry_run {
            true => row.dry_run,
            false => row.result,
        };
        assert_read_whole(&self.op, again, result);
        // In a dry run, a read may show that what it has read has no offset yet.
        let results = result["results"].as_array().filter(|_| !self.dry_run);
        for (op, item) in self.ops.iter().zip(results.into_iter().flatten()) {
            if let (Some(row), Some(result)) = (agreement::row(op), item.get("result")) {
                assert_read_whole(op, row.result, result);
            }
        }
    }
}

fn assert_read_whole(op: &str, again: agreement::ResultAgain, result: &Value) {
    let read = again(&result.to_string());
    let read = read.unwrap_or_else(|error| panic!("{op}: {error}: {result}"));
    assert_eq!(without_nulls(&read), without_nulls(result), "{op}");
}

/// A field that is null counts as absent.
fn without_nulls(message: &Value) -> Value {
    let mut message = message.clone();
    if let Some(fields) = message.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    message
}

/// Splits a response; the rest of the envelope is checked.
pub fn outcome(response: Value) -> Result<Value, Value> {
    assert_eq!(response["type"], "response", "{response}");
    assert!(response["meta"]["leader"].is_boolean(), "{response}");
    match response["status"].as_str() {
        Some("ok") => Ok(response["result"].clone()),
        Some("error") => {
            let error = response["error"].clone();
            assert!(
                error["message"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty())
            );
            assert!(error["retryable"].is_boolean());
            Err(error)
        }
        _ => panic!("{response}"),
    }
}

/// A name that no other test uses: suites share a node.
pub fn fresh(prefix: &str) -> String {
    format!("{prefix}-{}", Uuid::new_v4().simple())
}

pub fn order_definition() -> Value {
    json!({
        "states": ["created", "paid", "shipped"],
        "initial": "created",
        "transitions": [
            { "from": "created", "event": "PAY", "to": "paid" },
            { "from": "paid", "event": "SHIP", "to": "shipped", "guard": "ctx.address != null" },
            { "from": ["created", "paid"], "event": "NOTE", "to": "created" },
        ],
        "meta": { "owner": "tests" },
    })
}
