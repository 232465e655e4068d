//! The members of the cluster, for operators and for nodes that pass on what they were asked.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::server::Served;
use super::wire;
use super::wire::membership_server::Membership;
use crate::replica::Change;

/// See the module documentation.
pub(super) struct MembershipService(pub(super) Arc<Served>);

#[tonic::async_trait]
impl Membership for MembershipService {
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
        let change = Change::try_from(request.into_inner())?;
        let changed = self.0.replica()?.change_here(&change).await;
        Ok(Response::new(wire::ChangeReply {
            error: changed.err().map(Into::into),
        }))
    }
}
