//! A cluster under two kinds of load: pipelines, whose answers are on ledgers, and keyed calls of the client library.

use std::net::SocketAddr;

use rstmdb_jepsen::audit::{self, Audit};
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::ledger::Ledger;
use rstmdb_jepsen::load::pipelines::{Pipelines, RunningPipelines};
use rstmdb_jepsen::rng::Rng;
use rstmdb_jepsen::steady::{Steady, SteadyWrites};

/// The load while it runs.
pub struct UnderLoad {
    preparation: Ledger,
    pipelines: RunningPipelines,
    /// The keyed calls.
    pub steady: Steady,
}

impl UnderLoad {
    /// Starts this many connections of pipelines, and this many writers.
    pub fn start(addrs: &[SocketAddr], connections: usize, writers: usize, rng: &mut Rng) -> Self {
        let workload = Pipelines::prepare(addrs).unwrap();
        let pipelines = workload.start(connections, rng);
        Self {
            preparation: workload.preparation,
            pipelines,
            steady: Steady::start(addrs, writers),
        }
    }

    /// Ends the load. Returns all ledgers, and the record of the keyed calls.
    pub fn finish(self) -> (Vec<Ledger>, SteadyWrites) {
        let mut ledgers = self.pipelines.finish();
        ledgers.push(self.preparation);
        let written = self.steady.finish().unwrap();
        ledgers.extend(written.ledgers.iter().cloned());
        (ledgers, written)
    }
}

/// Compares the nodes with the ledgers and with each other.
pub fn audited(cluster: &Cluster, ledgers: &[Ledger]) -> Audit {
    let audit = audit::cluster(cluster, ledgers).unwrap();
    assert_eq!(audit.violations, [""; 0], "the nodes and the ledgers");
    audit
}
