//! Networks that do not deliver, or late, or only one way.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Begun, Scene, shuffled};
use crate::Error;
use crate::chaos::links::{Rule, Way};
use crate::chaos::schedule::Kind;

/// Parts that do not reach each other.
pub fn partition(kind: Kind, scene: &mut Scene<'_>) -> Result<Option<Begun>, Error> {
    let ids = shuffled(scene.nodes.ids(), &mut scene.rng);
    let (what, cut) = match kind {
        Kind::Halves => halves(&ids),
        Kind::LeaderAlone => {
            let Some(leader) = scene.nodes.leader() else {
                return Ok(None);
            };
            let others = ids.iter().copied().filter(|id| *id != leader);
            let others: Vec<u64> = others.collect();
            (
                format!("leader {leader} alone"),
                between(&[leader], &others),
            )
        }
        Kind::MajorityRing => ring(&ids),
        Kind::OneWay => {
            let Some(one) = scene.one() else {
                return Ok(None);
            };
            let others = ids.iter().copied().filter(|id| *id != one);
            let hears = scene.rng.percent(50);
            let way = |other| if hears { (one, other) } else { (other, one) };
            let what = if hears { "hears only" } else { "speaks only" };
            (format!("{one} {what}"), others.map(way).collect())
        }
        _ => bridge(&ids),
    };
    let rules = cut.into_iter().map(|way| (way, Rule::Cut)).collect();
    apply(scene, what, rules)
}

/// Late, flapping or breaking connections: of one node, or everywhere.
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

/// A node without the others, by whatever means the cluster has.
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
    // What was under way may arrive after all, or the connections may be found broken.
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

fn between(some: &[u64], others: &[u64]) -> Vec<Way> {
    let pairs = some
        .iter()
        .flat_map(|one| others.iter().map(|other| (*one, *other)));
    pairs
        .flat_map(|(one, other)| [(one, other), (other, one)])
        .collect()
}

fn halves(ids: &[u64]) -> (String, Vec<Way>) {
    let (some, others) = ids.split_at(ids.len() / 2);
    (format!("{some:?} | {others:?}"), between(some, others))
}

/// Each node reaches those next to it in a ring, so many that with itself they are a majority.
fn ring(ids: &[u64]) -> (String, Vec<Way>) {
    let count = ids.len();
    let reach = (count / 2).div_ceil(2);
    let is_near = |a: usize, b: usize| {
        let apart = a.abs_diff(b);
        apart.min(count - apart) <= reach
    };
    let place = |id: u64| ids.iter().position(|at| *at == id).unwrap_or_default();
    let far = all_ways(ids).into_iter();
    let far = far.filter(|(from, to)| !is_near(place(*from), place(*to)));
    let mut cut: Vec<Way> = far.collect();
    if cut.is_empty() {
        // Of three nodes each reaches a majority through one neighbour: the ring is open at one place.
        cut = between(&ids[..1], &ids[count.saturating_sub(1)..]);
        cut.retain(|(from, to)| from != to);
    }
    (format!("majority ring {ids:?}"), cut)
}

fn bridge(ids: &[u64]) -> (String, Vec<Way>) {
    let Some((middle, rest)) = ids.split_first() else {
        return (String::new(), Vec::new());
    };
    let (some, others) = rest.split_at(rest.len() / 2);
    let what = format!("{some:?} - {middle} - {others:?}");
    (what, between(some, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(ids: &[u64], cut: &[Way], from: u64) -> Vec<u64> {
        let others = ids.iter().copied();
        others.filter(|to| !cut.contains(&(from, *to))).collect()
    }

    #[test]
    fn in_a_ring_everybody_reaches_a_majority_and_no_two_of_five_the_same() {
        for count in [3, 4, 5, 7] {
            let ids: Vec<u64> = (1..=count).collect();
            let (_, cut) = ring(&ids);
            assert!(!cut.is_empty(), "{count}");
            let majorities: BTreeSet<Vec<u64>> =
                ids.iter().map(|id| reached(&ids, &cut, *id)).collect();
            let is_majority = |some: &Vec<u64>| some.len() > ids.len() / 2;
            assert!(
                majorities.iter().all(is_majority),
                "{count}: {majorities:?}"
            );
            if count % 2 == 1 && count > 3 {
                assert_eq!(majorities.len(), ids.len());
            }
        }
    }

    #[test]
    fn only_the_bridge_reaches_both_sides() {
        let ids = [1, 2, 3, 4, 5];
        let (_, cut) = bridge(&ids);
        assert_eq!(reached(&ids, &cut, 1), ids);
        assert_eq!(reached(&ids, &cut, 2), [1, 2, 3]);
        assert_eq!(reached(&ids, &cut, 5), [1, 4, 5]);
    }

    #[test]
    fn halves_do_not_reach_each_other() {
        let ids = [1, 2, 3];
        let (_, cut) = halves(&ids);
        assert_eq!(reached(&ids, &cut, 1), [1]);
        assert_eq!(reached(&ids, &cut, 2), [2, 3]);
    }
}
