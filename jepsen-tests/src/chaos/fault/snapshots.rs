//! Snapshots and compaction without a pause.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::{BegunFault, Scene};
use crate::Error;
use crate::rcp::raw::RawConnection;

const TIMEOUT: Duration = Duration::from_secs(5);
/// The pause after a node that does not answer.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells each node, again and again, to take a snapshot and to drop the log that it covers.
pub fn storm(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let ids = scene.nodes.ids();
    for id in &ids {
        let (addr, stop) = (scene.nodes.addr(*id)?, Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let compacted =
                    RawConnection::connect_within(addr, TIMEOUT).and_then(|mut connection| {
                        connection.call("COMPACT", &json!({"force_snapshot": true}))
                    });
                if compacted.is_err() {
                    std::thread::sleep(PAUSE);
                }
            }
        });
    }
    Ok(Some(BegunFault {
        what: format!("snapshots without a pause on {ids:?}"),
        holds: BTreeSet::new(),
        healing: Box::new(move |_| {
            stop.store(true, Ordering::Relaxed);
            Ok(true)
        }),
    }))
}
