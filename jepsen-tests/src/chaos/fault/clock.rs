//! Clocks that jump or run at another speed.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{BegunFault, Scene};
use crate::Error;
use crate::faults::faketime::{self, Library};

/// How far a wall clock jumps, in milliseconds: from less than an operator notices to more than a day.
const JUMPS_MS: [i64; 6] = [40, 900, 12_000, 600_000, 7_200_000, 100_000_000];
/// How fast clocks run: more than any oscillator errs, less than a lease allows for.
const RATES: [f64; 4] = [0.9, 0.97, 1.03, 1.1];

/// The wall clock of a node jumps, and jumps back. Only one clock is wrong at a time. A leader may read three
/// of five clocks, and two wrong ones would decide the median.
pub fn jump(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let victims: Vec<u64> = scene.one().into_iter().collect();
    let mut offset = SignedDuration::from_millis(*scene.rng.pick(&JUMPS_MS));
    if scene.rng.percent(50) {
        offset = -offset;
    }
    let ids = scene.nodes.ids();
    let Some(processes) = scene.nodes.processes().filter(|_| !victims.is_empty()) else {
        return Ok(None);
    };
    for id in &ids {
        let wrong_by = match victims.contains(id) {
            true => offset,
            false => SignedDuration::ZERO,
        };
        if let Some(clock) = processes.clock(*id) {
            clock.jump_to(wrong_by)?;
        }
    }
    Ok(Some(BegunFault {
        what: format!("clocks of {victims:?} jump by {offset:#}"),
        holds: victims.iter().copied().collect(),
        healing: Box::new(move |nodes| {
            for id in &victims {
                if let Some(clock) = nodes.processes().and_then(|processes| processes.clock(*id)) {
                    clock.jump_to(SignedDuration::ZERO)?;
                }
            }
            Ok(true)
        }),
    }))
}

/// All clocks of a node run at another speed; the node has to be restarted for that.
pub fn drift(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let Some(victim) = scene.one() else {
        return Ok(None);
    };
    let rate = *scene.rng.pick(&RATES);
    let library = Library::find().map_err(Error::Command)?;
    scene.nodes.kill(victim)?;
    let Some(processes) = scene.nodes.processes() else {
        return Ok(None);
    };
    let tool = faketime::rate(&library, rate);
    processes.start_with(victim, tool)?;
    Ok(Some(BegunFault {
        what: format!("clocks of {victim} run {rate} times as fast"),
        holds: BTreeSet::from([victim]),
        healing: Box::new(move |nodes| {
            nodes.kill(victim)?;
            nodes.start(victim)?;
            Ok(true)
        }),
    }))
}
