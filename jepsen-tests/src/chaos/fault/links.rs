//! Networks that lose or delay messages, or deliver them one way only.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Begun, Scene, shuffled};
use crate::Error;
use crate::chaos::nodes::links::{Rule, Way};
use crate::chaos::schedule::Kind;
use crate::faults::partition::Shape;

/// Parts that do not reach each other.
pub fn partition(kind: Kind, scene: &mut Scene<'_>) -> Result<Option<Begun>, Error> {
    let mut ids = shuffled(scene.nodes.ids(), &mut scene.rng);
    let (shape, first) = match kind {
        Kind::Halves => (Shape::Halves, None),
        Kind::LeaderAlone => (Shape::Alone, Some(scene.nodes.leader())),
        Kind::Tethered => (Shape::Tethered, Some(scene.nodes.leader())),
        Kind::MajorityRing => (Shape::Ring, None),
        Kind::OneWay => {
            let hears = scene.rng.percent(50);
            let shape = if hears {
                Shape::UnheardByAll
            } else {
                Shape::HearsNobody
            };
            (shape, Some(scene.one()))
        }
        Kind::AnyWays => {
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
    let rules = cut.map(|(from, to)| ((ids[from], ids[to]), Rule::Cut));
    let rules = rules.collect();
    apply(scene, format!("{shape:?} {ids:?}"), rules)
}

/// Late, narrow, flapping or breaking connections: of one node, or everywhere.
pub fn disturb(kind: Kind, scene: &mut Scene<'_>) -> Result<Option<Begun>, Error> {
    let millis = Duration::from_millis;
    let (name, rule) = match kind {
        Kind::Slow => {
            let by = millis(scene.rng.between(5, 250));
            (format!("late by {by:?}"), Rule::Slow(by))
        }
        Kind::Flapping => {
            let period = millis(scene.rng.between(30, 900));
            (format!("flapping every {period:?}"), Rule::Flap(period))
        }
        Kind::Narrow => {
            let bytes = scene.rng.between(16, 512) * 1024;
            (format!("carrying {bytes} bytes/s"), Rule::Rate(bytes))
        }
        Kind::LargeLost => {
            let max = scene.rng.between(600, 1400);
            (
                format!("dropping more than {max} bytes"),
                Rule::PacketMax(max),
            )
        }
        _ => {
            let every = millis(scene.rng.between(20, 500));
            (format!("breaking every {every:?}"), Rule::Reset(every))
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
pub fn isolate(scene: &mut Scene<'_>) -> Result<Option<Begun>, Error> {
    let Some(victim) = scene.one() else {
        return Ok(None);
    };
    scene.nodes.isolate(victim)?;
    Ok(Some(Begun {
        what: format!("isolated {victim}"),
        holds: BTreeSet::from([victim]),
        healing: Box::new(move |nodes| nodes.rejoin(victim).map(|()| true)),
    }))
}

fn apply(
    scene: &mut Scene<'_>,
    what: String,
    rules: Vec<(Way, Rule)>,
) -> Result<Option<Begun>, Error> {
    let Some(links) = scene.nodes.links().filter(|_| !rules.is_empty()) else {
        return Ok(None);
    };
    let number = scene.number;
    links.add(number, rules);
    // Messages in flight may still arrive, or the connections may break.
    let breaks = scene.rng.percent(40);
    Ok(Some(Begun {
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
