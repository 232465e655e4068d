//! Shapes of partitions. A shape says which ways between nodes are cut, by the places of the nodes in an order.

use crate::harness::rng::Rng;

/// A shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Two halves that do not reach each other.
    Halves,
    /// The first node reaches no other.
    Alone,
    /// Each node reaches its nearest neighbours in a ring, as many as are a majority together with the node. No two of
    /// five nodes reach the same set. A ring of three is open at one place, because otherwise no way would be cut.
    Ring,
    /// Both halves reach the middle node, but not each other.
    Bridge,
    /// The first node receives nothing.
    HearsNobody,
    /// No node receives anything from the first.
    UnheardByAll,
    /// The first node reaches only the second. Of five nodes, the last reaches none. The others are a
    /// majority without the first.
    Tethered,
    /// Each way is cut or not, at random.
    Drawn {
        /// Draws the lots.
        seed: u64,
        /// How many of a hundred ways are cut.
        percent: u64,
    },
}

impl Shape {
    /// Whether the way from one place to another is cut among `count` nodes.
    #[must_use]
    pub fn is_cut(self, count: usize, from: usize, to: usize) -> bool {
        if from == to {
            return false;
        }
        let (apart, half) = (from.abs_diff(to), count / 2);
        let is_one = |place: usize| from == place || to == place;
        match self {
            Self::Halves => (from < half) != (to < half),
            Self::Alone => is_one(0),
            Self::Ring => {
                let is_far = apart.min(count - apart) > half.div_ceil(2);
                is_far || (count <= 3 && apart == count - 1)
            }
            Self::Bridge => !is_one(half) && (from < half) != (to < half),
            Self::HearsNobody => to == 0,
            Self::UnheardByAll => from == 0,
            Self::Tethered => (is_one(0) && !is_one(1)) || (count >= 5 && is_one(count - 1)),
            Self::Drawn { seed, percent } => {
                let way = ((from as u64) << 32) | to as u64;
                Rng::new(seed ^ way).percent(percent)
            }
        }
    }

    /// The ways that are cut, from one place to another.
    #[must_use]
    pub fn cut(self, count: usize) -> Vec<(usize, usize)> {
        let ways = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        ways.filter(|(from, to)| self.is_cut(count, *from, *to))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rstmdb_sim::check::leaders;

    use super::*;

    fn reached(shape: Shape, count: usize, from: usize) -> Vec<usize> {
        let others = 0..count;
        others
            .filter(|to| !shape.is_cut(count, from, *to))
            .collect()
    }

    #[test]
    fn in_a_ring_everybody_reaches_a_majority_and_no_two_of_five_the_same() {
        for count in [3, 4, 5, 7] {
            assert!(!Shape::Ring.cut(count).is_empty(), "{count}");
            let majorities = (0..count).map(|from| reached(Shape::Ring, count, from));
            let majorities: BTreeSet<Vec<usize>> = majorities.collect();
            let is_majority = |some: &Vec<usize>| some.len() > count / 2;
            assert!(
                majorities.iter().all(is_majority),
                "{count}: {majorities:?}"
            );
            if count % 2 == 1 && count > 3 {
                assert_eq!(majorities.len(), count);
            }
        }
    }

    #[test]
    fn only_the_bridge_reaches_both_sides() {
        assert_eq!(reached(Shape::Bridge, 5, 2), [0, 1, 2, 3, 4]);
        assert_eq!(reached(Shape::Bridge, 5, 0), [0, 1, 2]);
        assert_eq!(reached(Shape::Bridge, 5, 4), [2, 3, 4]);
    }

    #[test]
    fn halves_do_not_reach_each_other() {
        assert_eq!(reached(Shape::Halves, 3, 0), [0]);
        assert_eq!(reached(Shape::Halves, 3, 1), [1, 2]);
    }

    #[test]
    fn behind_a_tether_there_is_a_majority_without_the_first() {
        assert_eq!(reached(Shape::Tethered, 4, 0), [0, 1]);
        assert_eq!(reached(Shape::Tethered, 4, 1), [0, 1, 2, 3]);
        assert_eq!(reached(Shape::Tethered, 4, 3), [1, 2, 3]);
        assert_eq!(reached(Shape::Tethered, 5, 2), [1, 2, 3]);
        assert_eq!(reached(Shape::Tethered, 5, 4), [4]);
    }

    #[test]
    fn lots_are_the_same_for_the_same_seed_and_differ_by_direction() {
        let drawn = |seed| Shape::Drawn { seed, percent: 50 };
        assert_eq!(drawn(1).cut(5), drawn(1).cut(5));
        assert_ne!(drawn(1).cut(5), drawn(2).cut(5));
        let one_way = |(from, to): &(usize, usize)| !drawn(1).is_cut(5, *to, *from);
        assert!(drawn(1).cut(5).iter().any(one_way));
    }

    #[test]
    fn who_can_talk_depends_on_the_shape() {
        let voters = [0, 1, 2, 3, 4];
        let talks = |shape: Shape| {
            leaders::talking(&voters, |from, to| {
                let place = |id| usize::try_from(id).unwrap_or_default();
                !shape.is_cut(voters.len(), place(from), place(to))
            })
        };
        assert_eq!(talks(Shape::Halves), Some(vec![2, 3, 4]));
        assert_eq!(talks(Shape::Tethered), Some(vec![1, 2, 3]));
        assert_eq!(talks(Shape::Ring), None);
        assert_eq!(talks(Shape::HearsNobody), Some(vec![1, 2, 3]));
    }
}
