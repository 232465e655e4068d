//! Reads that may take long: listings, and the guards of many events.
//!
//! They go through a copy-on-write clone of the state, so that apply goes on. One that takes very many steps runs
//! where it delays no other task of this thread. Only one of them runs at a time, so they take one processor.

use std::sync::Arc;

use rstmdb_engine::{Query, Reach, Refusal, Reply, State};

use crate::replica::error::Error;
use crate::replica::parts::applied::Applied;
use crate::replica::parts::gate::Gate;
use crate::replica::types::Host;

/// Instances and machines that a listing may look at without leaving its thread: about a millisecond.
const STEPS_ON_THE_SPOT: usize = 1_000;

/// Answers queries from the applied state as it is now.
pub(crate) struct Queries {
    pub applied: Arc<Applied>,
    pub gate: Arc<Gate>,
    pub host: Arc<dyn Host>,
    /// Held while a listing goes through all instances, so that only one does so at a time.
    pub listing: tokio::sync::Mutex<()>,
}

impl Queries {
    /// Answers a query on the spot.
    pub(crate) fn query(&self, query: &Query, reach: Option<&Reach>) -> Result<Reply, Error> {
        self.gate.trust()?;
        // A query may take long; a copy-on-write clone lets apply go on.
        if !query.is_light() {
            let state = self.applied.read().clone();
            return Ok(state.query_for(reach, query)?);
        }
        Ok(self.applied.read().query_for(reach, query)?)
    }

    /// About how many bytes the context of an instance has, unless something is being applied.
    pub(crate) fn context_bytes(&self, id: &str) -> Option<usize> {
        let state = self.applied.try_read()?;
        Some(state.context_bytes(id))
    }

    /// Answers a query. One that takes long does not delay the other tasks of this thread.
    pub(crate) async fn look_up(
        &self,
        query: &Query,
        reach: Option<&Reach>,
    ) -> Result<Reply, Error> {
        if query.is_light() {
            return self.query(query, reach);
        }
        self.gate.trust()?;
        let state = self.applied.read().clone();
        Ok(self.answer(&state, query, reach).await?)
    }

    /// Answers queries from the applied state as it is at one moment.
    pub(crate) async fn look_up_all(
        &self,
        queries: &[Query],
        reach: Option<&Reach>,
    ) -> Result<Vec<Reply>, Error> {
        self.gate.trust()?;
        State::check_batch(queries.len())?;
        let state = self.applied.read().clone();
        let mut replies = Vec::with_capacity(queries.len());
        for (index, query) in queries.iter().enumerate() {
            let reply = self.answer(&state, query, reach).await;
            replies.push(reply.map_err(|refusal| Refusal::InBatch {
                index,
                refusal: Box::new(refusal),
            })?);
        }
        Ok(replies)
    }

    async fn answer(
        &self,
        state: &State,
        query: &Query,
        reach: Option<&Reach>,
    ) -> Result<Reply, Refusal> {
        if let Some(reply) = state.query_within(reach, query, STEPS_ON_THE_SPOT)? {
            return Ok(reply);
        }
        let _one_at_a_time = self.listing.lock().await;
        let mut reply = Ok(None);
        let host = &self.host;
        host.block(&mut || reply = state.query_within(reach, query, usize::MAX));
        match reply? {
            Some(reply) => Ok(reply),
            None => state.query_for(reach, query),
        }
    }
}
