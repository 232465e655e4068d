//! Checks each call before a service gets it: refuses callers that do not belong, limits what the others may send, and
//! names this node in every answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;

use super::served::Served;
use crate::replica::Types;
use crate::server::peer::budget::metered;
use crate::server::peer::handshake::credentials::Caller;
use crate::server::peer::identity::gate::{PeerGate, Speaker};
use crate::server::peer::identity::refusal::IdentityRefusal;

/// Which callers a service is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Nodes of this cluster only.
    Nodes,
    /// Nodes of this cluster, and operators, who do not name a node. A caller that says it is a node must be one of this
    /// cluster.
    Anybody,
    /// All callers, known or not; the answer itself names this node.
    Strangers,
}

/// A layer around a service: it checks the caller before the service gets the call.
#[derive(Clone)]
pub(crate) struct PeerGuard<S, T: Types> {
    inner: S,
    served: Arc<Served<T>>,
    audience: Audience,
}

impl<S, T: Types> PeerGuard<S, T> {
    pub(crate) fn new(inner: S, served: Arc<Served<T>>, audience: Audience) -> Self {
        Self {
            inner,
            served,
            audience,
        }
    }
}

impl<S: NamedService, T: Types> NamedService for PeerGuard<S, T> {
    const NAME: &'static str = S::NAME;
}

impl<S, T> Service<Request<Body>> for PeerGuard<S, T>
where
    T: Types,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The service that was asked whether it is ready must be the one that is called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let (served, audience) = (self.served.clone(), self.audience);
        Box::pin(async move {
            let Served { gate, shares, .. } = &*served;
            if audience == Audience::Strangers {
                let metered = metered::meter::<T>(shares, None, request);
                return inner.call(metered).await;
            }
            let mut response = match judge::<T>(gate, audience, &mut request).await {
                Ok(()) => {
                    let caller = request.extensions().get::<Caller>();
                    if let Some(arrival) = caller.and_then(|caller| caller.arrival.as_ref()) {
                        arrival.is_known();
                    }
                    let speaker = request.extensions().get::<Speaker>();
                    let sender = speaker.map(|speaker| speaker.node_id);
                    let metered = metered::meter::<T>(shares, sender, request);
                    inner.call(metered).await?
                }
                Err(status) => status.into_http(),
            };
            gate.sign(response.headers_mut());
            Ok(response)
        })
    }
}

async fn judge<T: Types>(
    gate: &PeerGate,
    audience: Audience,
    request: &mut Request<Body>,
) -> Result<(), Status> {
    let known = request.extensions().get::<Caller>();
    let caller = known.cloned().unwrap_or_default();
    if audience == Audience::Anybody && !PeerGate::is_signed(request.headers()) {
        let admitted = gate.admit_operator(&caller);
        return admitted.map_err(|refusal| refused(gate, "an operator", refusal));
    }
    if gate.local.cluster_id.get().is_none() {
        return Err(Status::unavailable(
            "this node is starting: it belongs to no cluster yet",
        ));
    }
    match gate.admit::<T>(request.headers(), &caller).await {
        Ok(speaker) => {
            request.extensions_mut().insert(speaker);
            Ok(())
        }
        Err(refusal) => Err(refused(gate, &PeerGate::caller(request.headers()), refusal)),
    }
}

fn refused(gate: &PeerGate, caller: &str, refusal: IdentityRefusal) -> Status {
    if matches!(refusal, IdentityRefusal::NoMember { .. }) && !gate.members.are_in_force() {
        // The members are in the log, which this node is still reading.
        return Status::unavailable(format!("this node is starting: {refusal}"));
    }
    gate.refusals.callers.fetch_add(1, Ordering::Relaxed);
    let reason = refusal.to_string();
    gate.warn(caller, "a call of another node is refused", &reason);
    refusal.into()
}
