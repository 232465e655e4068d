//! A node that answers under whatever identity a test gives it.

use std::net::SocketAddr;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use super::support::{CLUSTER, incarnation};
use crate::server::peer::wire;
use crate::server::peer::wire::introduction_server::{Introduction, IntroductionServer};
use crate::server::peer::wire::membership_server::{Membership, MembershipServer};
use crate::server::peer::wire::node_server::{Node, NodeServer};

/// A node with an identity that the test chooses.
#[derive(Clone)]
pub struct Fake {
    pub protocol: &'static str,
    pub cluster: u128,
    pub node_id: u64,
    pub incarnation: u128,
    /// What it answers when it is asked for history.
    pub history: Vec<wire::HistoryPart>,
}

impl Fake {
    /// One that fits.
    pub fn node(node_id: u64) -> Self {
        Self {
            protocol: "3.0",
            cluster: CLUSTER,
            node_id,
            incarnation: incarnation(node_id),
            history: Vec::new(),
        }
    }

    pub async fn serve(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Server::builder()
            .add_service(IntroductionServer::new(self.clone()))
            .add_service(MembershipServer::new(self.clone()))
            .add_service(NodeServer::new(self));
        tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
        addr
    }

    pub fn signed<T>(&self, message: T) -> Response<T> {
        let mut response = Response::new(message);
        let headers = response.metadata_mut();
        for (name, value) in self.headers() {
            headers.insert(name, value.parse().unwrap());
        }
        response
    }

    /// What it says of itself.
    pub fn headers(&self) -> [(&'static str, String); 4] {
        [
            ("rstmdb-protocol", self.protocol.to_owned()),
            ("rstmdb-cluster", format!("{:032x}", self.cluster)),
            ("rstmdb-node", self.node_id.to_string()),
            ("rstmdb-incarnation", format!("{:032x}", self.incarnation)),
        ]
    }
}

#[tonic::async_trait]
impl Introduction for Fake {
    async fn hello(
        &self,
        _request: Request<wire::HelloRequest>,
    ) -> Result<Response<wire::HelloReply>, Status> {
        Ok(Response::new(wire::HelloReply {
            protocol: self.protocol.to_owned(),
            node_id: self.node_id,
            incarnation: self.incarnation.to_be_bytes().to_vec().into(),
            ..wire::HelloReply::default()
        }))
    }
}

#[tonic::async_trait]
impl Membership for Fake {
    async fn report(
        &self,
        _request: Request<wire::ReportRequest>,
    ) -> Result<Response<wire::ReportReply>, Status> {
        Ok(self.signed(wire::ReportReply::default()))
    }

    async fn change(
        &self,
        _request: Request<wire::ChangeRequest>,
    ) -> Result<Response<wire::ChangeReply>, Status> {
        Ok(self.signed(wire::ChangeReply::default()))
    }
}

#[tonic::async_trait]
impl Node for Fake {
    type ForwardStream = BoxStream<'static, Result<wire::ForwardResults, Status>>;
    type HistoryStream = BoxStream<'static, Result<wire::HistoryPart, Status>>;

    async fn forward(
        &self,
        _request: Request<Streaming<wire::ForwardBatch>>,
    ) -> Result<Response<Self::ForwardStream>, Status> {
        Ok(self.signed(stream::empty().boxed()))
    }

    async fn read_index(
        &self,
        _request: Request<wire::ReadIndexRequest>,
    ) -> Result<Response<wire::ReadIndexReply>, Status> {
        Ok(self.signed(wire::ReadIndexReply::default()))
    }

    async fn history(
        &self,
        _request: Request<wire::HistoryRequest>,
    ) -> Result<Response<Self::HistoryStream>, Status> {
        let parts = self.history.clone().into_iter().map(Ok);
        Ok(self.signed(stream::iter(parts).boxed()))
    }
}
