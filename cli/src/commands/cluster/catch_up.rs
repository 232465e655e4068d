//! Whether an added node makes progress, is close enough to vote, or is stuck.

use std::time::{Duration, Instant};

use rstmdb_rcp::message::cluster::NodeStatus;

/// A node this many entries behind, or more, has not caught up.
pub const LAG_MAX: u64 = 1000;
/// How long a node may make no progress before the command gives up.
pub const STUCK_AFTER: Duration = Duration::from_secs(60);
/// The same for a node that is refused or cannot be reached. A large snapshot takes time, but these do not end by
/// waiting.
pub const SILENT_AFTER: Duration = Duration::from_secs(20);

/// What the command has seen of a node so far.
#[derive(Debug)]
pub struct CatchUp {
    least_lag: Option<u64>,
    last_log: Option<u64>,
    applied: Option<u64>,
    moved: Instant,
    /// When it last answered, or when no node could tell its status.
    answered: Instant,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum CatchUpNext {
    /// Check again later.
    Wait,
    /// It is close: let it vote.
    Promote,
    /// The node has made no progress for [`STUCK_AFTER`], or has not answered for [`SILENT_AFTER`].
    GiveUp,
}

impl CatchUp {
    /// Nothing seen yet.
    pub fn new(now: Instant) -> CatchUp {
        CatchUp {
            least_lag: None,
            last_log: None,
            applied: None,
            moved: now,
            answered: now,
        }
    }

    /// Takes in the node's status at `now`; `None` if no node could tell it.
    pub fn observe(&mut self, node: Option<&NodeStatus<'_>>, now: Instant) -> CatchUpNext {
        if node.is_none_or(|node| node.reachable) {
            self.answered = now;
        }
        let Some(node) = node.filter(|node| node.reachable) else {
            return self.wait(now);
        };
        // Under load the lag can stay the same although the node keeps up. While a node receives a snapshot,
        // its log does not grow. So any change counts as progress.
        let shrunk = match (self.least_lag, node.lag) {
            (Some(least), Some(lag)) => lag < least,
            (None, lag) => lag.is_some(),
            (Some(_), None) => false,
        };
        if shrunk || node.last_log > self.last_log || node.applied > self.applied {
            self.moved = now;
        }
        self.least_lag = self.least_lag.into_iter().chain(node.lag).min();
        self.last_log = self.last_log.max(node.last_log);
        self.applied = self.applied.max(node.applied);
        if node.lag.is_some_and(|lag| lag < LAG_MAX) {
            return match self.wait(now) {
                // Close all that time, and still refused.
                CatchUpNext::GiveUp => CatchUpNext::GiveUp,
                _ => CatchUpNext::Promote,
            };
        }
        self.wait(now)
    }

    fn wait(&self, now: Instant) -> CatchUpNext {
        let for_at_least = |since, bound| now.saturating_duration_since(since) >= bound;
        if for_at_least(self.moved, STUCK_AFTER) || for_at_least(self.answered, SILENT_AFTER) {
            CatchUpNext::GiveUp
        } else {
            CatchUpNext::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(lag: u64, last_log: u64) -> NodeStatus<'static> {
        NodeStatus {
            node_id: 4,
            reachable: true,
            lag: Some(lag),
            last_log: Some(last_log),
            applied: Some(last_log),
            ..NodeStatus::default()
        }
    }

    #[test]
    fn a_node_is_promoted_once_it_is_close() {
        let begin = Instant::now();
        let mut catch_up = CatchUp::new(begin);
        assert_eq!(
            catch_up.observe(Some(&node(5000, 1)), begin),
            CatchUpNext::Wait
        );
        assert_eq!(
            catch_up.observe(Some(&node(1000, 4000)), begin),
            CatchUpNext::Wait
        );
        assert_eq!(
            catch_up.observe(Some(&node(999, 4001)), begin),
            CatchUpNext::Promote
        );
    }

    #[test]
    fn a_node_that_does_not_answer_is_not_promoted() {
        let begin = Instant::now();
        let silent = NodeStatus {
            reachable: false,
            ..node(0, 9)
        };
        let mut catch_up = CatchUp::new(begin);
        assert_eq!(catch_up.observe(Some(&silent), begin), CatchUpNext::Wait);
        assert_eq!(
            catch_up.observe(None, begin + STUCK_AFTER),
            CatchUpNext::GiveUp
        );
    }

    #[test]
    fn a_node_that_stays_silent_is_given_up_sooner_than_one_that_stands_still() {
        let begin = Instant::now();
        let silent = NodeStatus {
            reachable: false,
            ..node(0, 9)
        };
        let mut catch_up = CatchUp::new(begin);
        let soon = begin + SILENT_AFTER / 2;
        assert_eq!(catch_up.observe(Some(&silent), soon), CatchUpNext::Wait);
        assert_eq!(
            catch_up.observe(Some(&node(5000, 9)), soon),
            CatchUpNext::Wait
        );
        let later = begin + SILENT_AFTER;
        assert_eq!(catch_up.observe(Some(&silent), later), CatchUpNext::Wait);
        assert_eq!(
            catch_up.observe(Some(&silent), soon + SILENT_AFTER),
            CatchUpNext::GiveUp
        );
    }

    #[test]
    fn there_is_no_limit_while_anything_moves() {
        let begin = Instant::now();
        let mut catch_up = CatchUp::new(begin);
        let mut now = begin;
        // The others write as fast as it reads.
        for last_log in 1..100 {
            now += STUCK_AFTER / 2;
            assert_eq!(
                catch_up.observe(Some(&node(50_000, last_log)), now),
                CatchUpNext::Wait
            );
        }
        now += STUCK_AFTER;
        assert_eq!(
            catch_up.observe(Some(&node(50_000, 99)), now),
            CatchUpNext::GiveUp
        );
    }

    #[test]
    fn a_lag_that_goes_up_and_down_is_no_progress() {
        let begin = Instant::now();
        let mut catch_up = CatchUp::new(begin);
        catch_up.observe(Some(&node(5000, 10)), begin);
        let later = begin + STUCK_AFTER / 2;
        catch_up.observe(Some(&node(6000, 10)), later);
        catch_up.observe(Some(&node(5500, 10)), later);
        let end = begin + STUCK_AFTER;
        assert_eq!(
            catch_up.observe(Some(&node(5200, 10)), end),
            CatchUpNext::GiveUp
        );
    }
}
