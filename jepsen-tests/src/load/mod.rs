//! Load for tests, and the record of what each connection sent.
//!
//! | module | subject |
//! |---|---|
//! | [`machines`] | the machines the tests use, written down a second time |
//! | [`ledger`] | what was sent, acknowledged, refused, unanswered |
//! | [`known_offsets`] | the offsets that clients know of; later reads must not be older |
//! | [`said`] | what clients say about their writes |
//! | [`pipeline`] | one connection under load, across kills |
//! | [`pipelines`] | several of them on instances they share |
//! | [`steady`] | writers of the client library, which must not notice that one node fails |
//! | [`mixed`] | a random workload of everything the log can hold |
//! | [`crowd`] | very many instances, for measurements of size |
//! | [`incidents`] | the incidents file and what it must lead to |

pub mod crowd;
pub mod incidents;
pub mod known_offsets;
pub mod ledger;
pub mod mixed;
pub mod pipeline;
pub mod pipelines;
pub mod said;
pub mod steady;

pub use rstmdb_sim::machines;
