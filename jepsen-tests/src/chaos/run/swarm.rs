//! The configuration of the nodes of a run: drawn from its seed, so that many runs see many configurations.

use crate::harness::rng::Rng;
use crate::process::config::NodeConfig;

/// The configuration of a run.
#[derive(Debug, Clone)]
pub struct Swarm {
    /// The configuration of every node.
    pub config: NodeConfig,
    /// The encryption keys, as the configuration states them; empty if there are none.
    pub keys: String,
}

/// Draws a configuration. It remembers idempotency keys for less time than a clock may jump.
pub fn draw(rng: &mut Rng) -> Swarm {
    let mut config = NodeConfig::for_tests();
    config
        .set("network.request_timeout_ms", "2500")
        // The lowest value that the configuration allows, so that a few connections use it up.
        .set("network.buffers_max_mb", "32")
        .set("compaction.min_interval_secs", "0");
    let snapshots = rng.pick(&["60", "400", "2000", "20000"]);
    config.set("compaction.events_threshold", snapshots);
    let (heartbeat, election) = rng.pick(&[("100", "500-1000"), ("150", "700-1400")]);
    config
        .set("cluster.heartbeat_ms", heartbeat)
        .set("cluster.election_timeout_ms", election);
    config.set("storage.compression", rng.pick::<&str>(&["lz4", "none"]));
    let mut keys = String::new();
    if rng.percent(30) {
        keys = format!("1 {}", "5a".repeat(32));
        config.set("storage.encryption_keys", &format!("\"{keys}\""));
    }
    Swarm { config, keys }
}
