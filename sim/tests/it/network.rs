//! Calls over the simulated network under its faults, to a service that sends back what it gets.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use openraft::type_config::TypeConfigExt;
use rstmdb::server::peer::Dial;
use rstmdb_raft_store::MemFs;
use rstmdb_sim::Sim;
use rstmdb_sim::network::Network;
use rstmdb_sim::network::channel::SimDial;
use rstmdb_sim::runtime::tasks::{self, RATE_EXACT};
use rstmdb_sim::settings::{Settings, node_info};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::ServiceExt;

use crate::cluster::in_simulation;

/// Sends back what it is sent. Notes when the body of an answer is dropped.
#[derive(Clone, Default)]
struct Echo {
    ended: Arc<AtomicBool>,
}

struct Ends(Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "echo";
}

impl Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let ends = Ends(self.ended.clone());
        let frames = request.into_body().into_data_stream();
        let frames = frames.map(move |data| {
            let _held = &ends;
            data.map(Frame::data)
        });
        ready(Ok(Response::new(Body::new(StreamBody::new(frames)))))
    }
}

/// Nodes 1 and 2 live, and node 2 serves.
fn network(settings: &Settings) -> (Network, Echo) {
    let (network, echo) = (Network::new(settings), Echo::default());
    for id in [1, 2] {
        tasks::give_life(id, MemFs::new(id), RATE_EXACT);
    }
    network.attach(2, Routes::new(echo.clone()));
    (network, echo)
}

/// Calls node 2 from node 1.
async fn call(
    network: &Network,
    body: impl Stream<Item = Bytes> + Send + 'static,
) -> Result<Body, Status> {
    let dial = SimDial {
        network: network.clone(),
        from: 1,
    };
    let channel = dial
        .dial(
            &node_info(2).peer_addr,
            Arc::new(Vec::new),
            Arc::new(|| false),
        )
        .unwrap();
    let body = body.map(|data| Ok::<_, Status>(Frame::data(data)));
    let request = Request::post("/echo/any").body(Body::new(StreamBody::new(body)));
    let answer = channel.oneshot(request.unwrap()).await?;
    Ok(answer.into_body())
}

fn portions(count: u8, bytes: usize) -> impl Stream<Item = Bytes> + Send + 'static {
    stream::iter((0..count).map(move |n| Bytes::from(vec![n; bytes])))
}

/// A body that sends one byte, and then nothing more.
fn endless() -> impl Stream<Item = Bytes> + Send + 'static {
    portions(1, 1).chain(stream::pending())
}

async fn next(body: &mut Body) -> Result<Bytes, Status> {
    let frame = body.frame().await.unwrap()?;
    Ok(frame.into_data().unwrap())
}

#[test]
fn bytes_arrive_in_their_order_whatever_each_of_them_takes() {
    in_simulation(51, async {
        let ms = Duration::from_millis;
        let (network, _) = network(&Settings {
            latency: [ms(1), ms(50)],
            ..Settings::calm(51, 2)
        });
        let mut body = call(&network, portions(200, 10)).await.unwrap();
        for n in 0..200 {
            assert_eq!(next(&mut body).await.unwrap(), vec![n; 10]);
        }
        assert!(body.frame().await.is_none());
    });
}

#[test]
fn on_a_narrow_way_bytes_take_their_time() {
    in_simulation(52, async {
        let (network, _) = network(&Settings::calm(52, 2));
        network.ways.narrow(1, 2, 100_000);
        let began = Sim::now();
        let body = call(&network, portions(20, 50_000)).await.unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 1_000_000);
        let took = (Sim::now() - began).as_millis();
        assert!((10_000..10_100).contains(&took), "{took} ms");
    });
}

#[test]
fn what_is_sent_over_a_cut_way_arrives_once_it_is_healed() {
    in_simulation(53, async {
        let (network, _) = network(&Settings::calm(53, 2));
        let (give, take) = tokio::sync::mpsc::unbounded_channel();
        let sent = stream::unfold(take, async |mut take| Some((take.recv().await?, take)));
        give.send(Bytes::from("a")).unwrap();
        let mut body = call(&network, sent).await.unwrap();
        assert_eq!(next(&mut body).await.unwrap(), "a");
        network.ways.cut(1, 2);
        give.send(Bytes::from("b")).unwrap();
        let waits = Sim::timeout(Duration::from_secs(2), next(&mut body)).await;
        assert!(waits.is_err(), "{waits:?}");
        network.ways.heal();
        let arrived = Sim::timeout(Duration::from_secs(1), next(&mut body)).await;
        assert_eq!(arrived.unwrap().unwrap(), "b");
    });
}

#[test]
fn a_connection_over_a_way_that_stays_cut_is_given_up() {
    in_simulation(54, async {
        let (network, echo) = network(&Settings::calm(54, 2));
        let mut body = call(&network, endless()).await.unwrap();
        next(&mut body).await.unwrap();
        network.ways.cut(2, 1);
        let began = Sim::now();
        let broken = next(&mut body).await.unwrap_err();
        assert_eq!(broken.code(), Code::Unavailable);
        let took = (Sim::now() - began).as_secs_f64();
        assert!((3.0..5.0).contains(&took), "{took} s");
        Sim::sleep(Duration::from_millis(1)).await;
        assert!(echo.ended.load(Ordering::Relaxed));
        // Nor can another one be opened.
        let refused = call(&network, endless()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
    });
}

#[test]
fn the_caller_learns_of_a_killed_process_at_once_and_of_a_dead_machine_by_its_silence() {
    for (has_power, least, most) in [(true, 0.0, 0.01), (false, 3.0, 5.0)] {
        in_simulation(55, async move {
            let (network, _) = network(&Settings::calm(55, 2));
            let mut body = call(&network, endless()).await.unwrap();
            next(&mut body).await.unwrap();
            let began = Sim::now();
            tasks::kill(2, network.detach(2, has_power));
            let broken = next(&mut body).await.unwrap_err();
            assert_eq!(broken.code(), Code::Unavailable);
            let took = (Sim::now() - began).as_secs_f64();
            assert!((least..most).contains(&took), "{took} s");
            let refused = call(&network, endless()).await.unwrap_err();
            assert_eq!(refused.message(), "connection refused");
        });
    }
}

#[test]
fn a_caller_that_gives_up_ends_the_handler() {
    in_simulation(56, async {
        let (network, echo) = network(&Settings::calm(56, 2));
        let mut body = call(&network, endless()).await.unwrap();
        next(&mut body).await.unwrap();
        Sim::sleep(Duration::from_secs(10)).await;
        assert!(!echo.ended.load(Ordering::Relaxed));
        drop(body);
        Sim::sleep(Duration::from_millis(10)).await;
        assert!(echo.ended.load(Ordering::Relaxed));
    });
}
