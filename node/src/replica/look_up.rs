//! Reads that may take long: listings.
//!
//! They go through a copy-on-write clone of the state, so that apply goes on. One that has to look at very many
//! instances leaves this thread to others and takes its turn: one at a time takes a processor.

use rstmdb_engine::{Query, Refusal, Reply, State};

use super::Error;
use super::handle::Replica;
use super::types::Types;

/// Instances and machines that a listing may look at on the spot: about a millisecond.
const STEPS_ON_THE_SPOT: usize = 1_000;

impl<T: Types> Replica<T> {
    /// Answers a query from the applied state as it is now.
    ///
    /// # Errors
    ///
    /// Those of [`Replica::query`].
    pub async fn look_up(&self, query: &Query) -> Result<Reply, Error> {
        if !query.lists() {
            return self.query(query);
        }
        self.inner.gate.trust()?;
        let state = self.inner.applied.read().clone();
        Ok(self.answer(&state, query).await?)
    }

    /// Answers queries from the applied state as it is at one moment.
    ///
    /// # Errors
    ///
    /// Those of [`Replica::query`], naming the query; a refusal of too many queries.
    pub async fn look_up_all(&self, queries: &[Query]) -> Result<Vec<Reply>, Error> {
        self.inner.gate.trust()?;
        State::check_batch(queries.len())?;
        let state = self.inner.applied.read().clone();
        let mut replies = Vec::with_capacity(queries.len());
        for (index, query) in queries.iter().enumerate() {
            let reply = self.answer(&state, query).await;
            replies.push(reply.map_err(|refusal| Refusal::InBatch {
                index,
                refusal: Box::new(refusal),
            })?);
        }
        Ok(replies)
    }

    async fn answer(&self, state: &State, query: &Query) -> Result<Reply, Refusal> {
        if let Some(reply) = state.query_within(query, STEPS_ON_THE_SPOT)? {
            return Ok(reply);
        }
        let _turn = self.inner.listing.lock().await;
        let mut reply = Ok(None);
        let host = &self.inner.host;
        host.block(&mut || reply = state.query_within(query, usize::MAX));
        match reply? {
            Some(reply) => Ok(reply),
            None => state.query(query),
        }
    }
}
