//! The members of the cluster, for operators and for nodes that pass a request on.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::served::Served;
use crate::replica::{LeaderChange, Types};
use crate::server::config::address;
use crate::server::peer::wire;
use crate::server::peer::wire::membership_server::Membership;

/// The gRPC service that reports and changes the members of the cluster.
pub(crate) struct MembershipService<T: Types>(pub(crate) Arc<Served<T>>);

#[tonic::async_trait]
impl<T: Types> Membership for MembershipService<T> {
    async fn report(
        &self,
        _request: Request<wire::ReportRequest>,
    ) -> Result<Response<wire::ReportReply>, Status> {
        Ok(Response::new(self.0.replica()?.report().into()))
    }

    async fn change(
        &self,
        request: Request<wire::ChangeRequest>,
    ) -> Result<Response<wire::ChangeReply>, Status> {
        let change = LeaderChange::try_from(request.into_inner())?;
        if let LeaderChange::AddLearner { node, .. } | LeaderChange::SetAddress { node, .. } =
            &change
        {
            for addr in [&node.peer_addr, &node.rcp_addr] {
                if !address::is_dialable(addr) {
                    let expected = address::DIALABLE;
                    let refused = format!("{addr:?} is not an address; expected {expected}");
                    return Err(Status::invalid_argument(refused));
                }
            }
        }
        let changed = self.0.replica()?.change_here(&change).await;
        Ok(Response::new(wire::ChangeReply {
            error: changed.err().map(Into::into),
        }))
    }
}
