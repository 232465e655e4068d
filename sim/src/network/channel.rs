//! The channels into which the product's peer code sends its requests. Each request goes over a simulated connection to
//! the services of another node.
//!
//! The handler of a request runs as a task of the node that is called, and the body of the request is read by a task of
//! the caller. Each task runs on its node's clock, and is frozen or killed with its node.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use parking_lot::Mutex;
use rstmdb::server::peer::{BadAddress, Channel, Dial, Others, SmallSegments};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response, request, response};
use tonic::service::Routes;

use super::Network;
use super::connection::{ConnectionEnd, SimConnection};
use super::pipe::{CallerWaits, Receiving, Sending, pipe};
use crate::runtime::tasks;
use crate::settings::node_at;

/// Time limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Time limit for finding out whether a connection is refused.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(250);

/// Makes the channels of one node.
pub struct SimDial {
    /// The network.
    pub network: Network,
    /// The node.
    pub from: u64,
}

impl Dial for SimDial {
    fn dial(
        &self,
        addr: &str,
        others: Others,
        _small: SmallSegments,
    ) -> Result<Channel, BadAddress> {
        let (to, moves) = node_at(addr).ok_or_else(|| BadAddress {
            addr: addr.to_owned(),
            reason: "it names no simulated node".to_owned(),
        })?;
        let line = Arc::new(ChannelLine {
            network: self.network.clone(),
            from: self.from,
            to,
            moves,
            others,
            open: Mutex::default(),
        });
        let call = move |request| call(line.clone(), request);
        Ok(Channel::new(tower::service_fn(call)))
    }

    fn is_refused(&self, addr: &str) -> BoxFuture<'static, bool> {
        let (network, from, place) = (self.network.clone(), self.from, node_at(addr));
        let answered = async move {
            let Some((to, moves)) = place else {
                return false;
            };
            if network.ways.rejects(from, to) {
                return true;
            }
            network.ways.round_trip(from, to).await;
            network.refuses(to, moves)
        };
        let answered = SimRuntime::timeout(REFUSAL_TIMEOUT, answered);
        answered.map(|refused| refused.unwrap_or(false)).boxed()
    }
}

/// One channel: a connection, if it is open.
struct ChannelLine {
    network: Network,
    from: u64,
    to: u64,
    /// How often the node had moved whose address this is.
    moves: u64,
    /// Where else the node may be: where it has said that it is, and where the configuration has it.
    others: Others,
    open: Mutex<Option<OpenedChannel>>,
}

/// A connection, and the services of the process that has accepted it.
#[derive(Clone)]
struct OpenedChannel {
    connection: Arc<SimConnection>,
    services: Routes,
}

impl ChannelLine {
    fn is_open(&self) -> Option<OpenedChannel> {
        let open = self.open.lock().clone();
        open.filter(|open| !open.connection.is_broken(ConnectionEnd::Caller))
    }

    /// The connection, opened if there is none. The opening goes on even after the call that needs it has timed out.
    async fn opened(self: &Arc<Self>) -> Result<OpenedChannel, Status> {
        if let Some(open) = self.is_open() {
            return Ok(open);
        }
        let opening = tasks::spawn(self.from, self.clone().connect());
        opening.await.map_err(|_| refused())?
    }

    async fn connect(self: Arc<Self>) -> Result<OpenedChannel, Status> {
        if self.network.ways.rejects(self.from, self.to) {
            return Err(refused());
        }
        let shakes_hands = self.network.ways.round_trip(self.from, self.to);
        let shaken = SimRuntime::timeout(CONNECT_TIMEOUT, shakes_hands).await;
        shaken.map_err(|_| Status::unavailable("the node does not answer"))?;
        // An earlier call may have opened it meanwhile.
        if let Some(open) = self.is_open() {
            return Ok(open);
        }
        let others = (self.others)();
        let others = others.iter().filter_map(|addr| Some(node_at(addr)?.1));
        let mut opened = std::iter::once(self.moves)
            .chain(others)
            .filter_map(|moves| self.network.open(self.from, self.to, moves));
        let opened = opened.next();
        let (connection, services) = opened.ok_or_else(refused)?;
        let opened = OpenedChannel {
            connection,
            services,
        };
        *self.open.lock() = Some(opened.clone());
        Ok(opened)
    }
}

fn refused() -> Status {
    Status::unavailable("connection refused")
}

async fn call(line: Arc<ChannelLine>, request: Request<Body>) -> Result<Response<Body>, Status> {
    let OpenedChannel {
        connection,
        services,
    } = line.opened().await?;
    let (head, body) = request.into_parts();
    let name: Arc<str> = Arc::from(head.uri.path());
    let over = CancellationToken::new();
    let (tell, told) = oneshot::channel();
    let waiting = CallerWaits {
        connection: connection.clone(),
        over: over.clone(),
        tell: Some(tell),
    };
    let (asks, asked) = pipe(&connection, ConnectionEnd::Caller, &name, over, None);
    let never = CancellationToken::new();
    let (answers, mut answered) = pipe(
        &connection,
        ConnectionEnd::Callee,
        &name,
        never,
        Some(waiting),
    );
    // If the process has died meanwhile, neither it nor the next process takes the request.
    if !connection.is_broken(ConnectionEnd::Callee) {
        let served = serve(connection, services, asked, answers, told);
        drop(tasks::spawn(line.to, served));
    }
    drop(tasks::spawn(line.from, asks.message(head, body)));
    let head: response::Parts = answered.head().await?;
    Ok(Response::from_parts(head, answered.into_body()))
}

/// Handles one request, until it is done, the caller has given it up, or the connection breaks.
async fn serve(
    connection: Arc<SimConnection>,
    services: Routes,
    asked: Receiving<request::Parts>,
    answers: Sending<response::Parts>,
    given_up: oneshot::Receiver<Duration>,
) {
    let is_given_up = async {
        match given_up.await {
            Ok(at) => connection.arrive(ConnectionEnd::Caller, at, "").await,
            // Either the caller has died without closing the connection, or it has the whole answer.
            Err(_) => pending().await,
        }
    };
    tokio::select! {
        biased;
        () = connection.broken(ConnectionEnd::Callee) => {}
        () = is_given_up => {}
        _ = handle(services, asked, answers) => {}
    }
}

async fn handle(
    mut services: Routes,
    mut asked: Receiving<request::Parts>,
    answers: Sending<response::Parts>,
) -> Option<()> {
    let head = asked.head().await.ok()?;
    let request = Request::from_parts(head, asked.into_body());
    let Ok(response) = services.call(request).await;
    let (head, body) = response.into_parts();
    answers.message(head, body).await
}
