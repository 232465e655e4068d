//! Networks that lose or delay messages, or deliver them one way only.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{BegunFault, Scene, shuffled};
use crate::Error;
use crate::chaos::nodes::links::{LinkRule, Way};
use crate::chaos::schedule::FaultKind;
use crate::faults::partition::Shape;

/// Parts that do not reach each other.
pub fn partition(kind: FaultKind, scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let mut ids = shuffled(scene.nodes.ids(), &mut scene.rng);
    let (shape, first) = match kind {
        FaultKind::Halves => (Shape::Halves, None),
        FaultKind::LeaderAlone => (Shape::Alone, Some(scene.nodes.leader())),
        FaultKind::Tethered => (Shape::Tethered, Some(scene.nodes.leader())),
        FaultKind::MajorityRing => (Shape::Ring, None),
        FaultKind::OneWay => {
            let hears = scene.rng.percent(50);
            let shape = if hears {
                Shape::UnheardByAll
            } else {
                Shape::HearsNobody
            };
            (shape, Some(scene.one()))
        }
        FaultKind::AnyWays => {
            let (seed, percent) = (scene.rng.number(), scene.rng.between(15, 55));
            (Shape::Drawn { seed, percent }, None)
        }
        _ => (Shape::Bridge, None),
    };
    if let Some(first) = first {
        let Some(place) = first.and_then(|first| ids.iter().position(|id| *id == first)) else {
            return Ok(None);
        };
        ids.swap(0, place);
    }
    let cut = shape.cut(ids.len()).into_iter();
    let rules = cut.map(|(from, to)| ((ids[from], ids[to]), LinkRule::Cut));
    let rules = rules.collect();
    apply(scene, format!("{shape:?} {ids:?}"), rules)
}

/// Late, narrow, flapping or breaking connections: of one node, or everywhere.
pub fn disturb(kind: FaultKind, scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let millis = Duration::from_millis;
    let (name, rule) = match kind {
        FaultKind::Slow => {
            let by = millis(scene.rng.between(5, 250));
            (format!("late by {by:?}"), LinkRule::Slow(by))
        }
        FaultKind::Flapping => {
            let period = millis(scene.rng.between(30, 900));
            (format!("flapping every {period:?}"), LinkRule::Flap(period))
        }
        FaultKind::Narrow => {
            let bytes = scene.rng.between(16, 512) * 1024;
            (format!("carrying {bytes} bytes/s"), LinkRule::Rate(bytes))
        }
        FaultKind::LargeLost => {
            let max = scene.rng.between(600, 1400);
            (
                format!("dropping more than {max} bytes"),
                LinkRule::PacketMax(max),
            )
        }
        _ => {
            let every = millis(scene.rng.between(20, 500));
            (format!("breaking every {every:?}"), LinkRule::Reset(every))
        }
    };
    let ids = scene.nodes.ids();
    let one = scene.rng.percent(50).then(|| scene.one()).flatten();
    let ways = all_ways(&ids).into_iter();
    let ways = ways.filter(|(from, to)| one.is_none_or(|one| *from == one || *to == one));
    let rules = ways.map(|way| (way, rule)).collect();
    let whose = one.map_or("all links".to_owned(), |one| format!("links of {one}"));
    apply(scene, format!("{whose} {name}"), rules)
}

/// Isolates a node, by the means that the cluster has for it.
pub fn isolate(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let Some(victim) = scene.one() else {
        return Ok(None);
    };
    scene.nodes.isolate(victim)?;
    Ok(Some(BegunFault {
        what: format!("isolated {victim}"),
        holds: BTreeSet::from([victim]),
        healing: Box::new(move |nodes| nodes.rejoin(victim).map(|()| true)),
    }))
}

fn apply(
    scene: &mut Scene<'_>,
    what: String,
    rules: Vec<(Way, LinkRule)>,
) -> Result<Option<BegunFault>, Error> {
    let Some(links) = scene.nodes.links().filter(|_| !rules.is_empty()) else {
        return Ok(None);
    };
    let number = scene.number;
    links.add(number, rules);
    // Messages in flight may still arrive, or the connections may break.
    let breaks = scene.rng.percent(40);
    Ok(Some(BegunFault {
        what,
        holds: BTreeSet::new(),
        healing: Box::new(move |nodes| {
            if let Some(links) = nodes.links() {
                if breaks {
                    links.break_all();
                }
                links.remove(number);
            }
            Ok(true)
        }),
    }))
}

fn all_ways(ids: &[u64]) -> Vec<Way> {
    let ways = ids
        .iter()
        .flat_map(|from| ids.iter().map(|to| (*from, *to)));
    ways.filter(|(from, to)| from != to).collect()
}
