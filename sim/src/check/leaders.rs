//! A majority that is connected has a leader within five seconds.
//!
//! A majority is connected if for five seconds each of its voters reached each other one both ways over links that are
//! not slow, and none of them was killed, frozen, shut down, without power, without room on its disk, or damaged. Then
//! a majority must have acknowledged some leader within that time. Two majorities share a node, so one of the connected
//! voters follows that leader. The check applies only to runs whose members
//! stay the same and that lose hardly any message. In other runs it is not certain which nodes are a majority, or
//! whether messages have passed.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long a majority that can talk may be without a leader.
pub const LEADER_WITHIN: Duration = Duration::from_secs(5);

/// The last acknowledged leader, and the nodes that can have one.
#[derive(Debug, Default)]
pub struct Leaders {
    /// When a majority last acknowledged a leader, as far as seen. The check begins after the first time.
    led: Option<Duration>,
    /// Since when each node works without trouble.
    fine_since: BTreeMap<u64, Duration>,
}

impl Leaders {
    /// A majority has acknowledged a leader.
    pub fn acknowledged(&mut self, now: Duration) {
        self.led = Some(now);
    }

    /// When a majority last acknowledged a leader.
    #[must_use]
    pub fn led(&self) -> Option<Duration> {
        self.led
    }

    /// A node's process has begun or ended.
    pub fn changed(&mut self, id: u64) {
        self.fine_since.remove(&id);
    }

    /// Notes whether a node works without trouble now.
    pub fn note(&mut self, id: u64, is_fine: bool, now: Duration) {
        if is_fine {
            self.fine_since.entry(id).or_insert(now);
        } else {
            self.fine_since.remove(&id);
        }
    }

    /// The voters that could talk for [`LEADER_WITHIN`] and had no leader for as long. `whole_since` says since when
    /// the way from one node to another is neither cut nor slow.
    pub fn without_leader(
        &self,
        voters: &[u64],
        now: Duration,
        whole_since: impl Fn(u64, u64) -> Option<Duration>,
    ) -> Option<Vec<u64>> {
        let is_long_ago = |since: Duration| now.saturating_sub(since) >= LEADER_WITHIN;
        self.led.filter(|led| is_long_ago(*led))?;
        let is_fine = |id: u64| self.fine_since.get(&id).copied().is_some_and(is_long_ago);
        talking(voters, |from, to| {
            let is_whole = from == to || whole_since(from, to).is_some_and(is_long_ago);
            is_whole && is_fine(from) && is_fine(to)
        })
    }
}

/// A set as large as a majority in which each reaches each other both ways, and itself.
pub fn talking(voters: &[u64], reaches: impl Fn(u64, u64) -> bool) -> Option<Vec<u64>> {
    let sets = (1_usize..1 << voters.len()).map(|set| {
        let members = voters.iter().enumerate();
        let members = members.filter(|(place, _)| set & (1 << place) != 0);
        members.map(|(_, id)| *id).collect::<Vec<_>>()
    });
    let talks = |set: &Vec<u64>| set.iter().all(|a| set.iter().all(|b| reaches(*a, *b)));
    sets.filter(|set| set.len() == voters.len() / 2 + 1)
        .find(talks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOTERS: [u64; 3] = [1, 2, 3];

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// A leader was acknowledged after one second, and all nodes are fine since the second one.
    fn leaders() -> Leaders {
        let mut leaders = Leaders::default();
        leaders.acknowledged(secs(1));
        for id in VOTERS {
            leaders.note(id, true, secs(2));
            leaders.note(id, true, secs(4));
        }
        leaders
    }

    /// Which nodes lack a leader then, where only nodes 1 and 2 reach each other, since the third second.
    fn at(leaders: &Leaders, now: Duration) -> Option<Vec<u64>> {
        let whole_since = |from: u64, to: u64| (from.max(to) < 3).then_some(secs(3));
        leaders.without_leader(&VOTERS, now, whole_since)
    }

    #[test]
    fn a_majority_that_could_talk_for_five_seconds_must_have_a_leader() {
        let leaders = leaders();
        assert_eq!(at(&leaders, secs(7)), None, "the links are whole since 3");
        assert_eq!(at(&leaders, secs(8)), Some(vec![1, 2]));
    }

    #[test]
    fn trouble_a_restart_and_a_leader_begin_the_time_anew() {
        let troubled = |leaders: &mut Leaders| leaders.note(2, false, secs(5));
        let restarted = |leaders: &mut Leaders| leaders.changed(2);
        let led = |leaders: &mut Leaders| leaders.acknowledged(secs(6));
        let what: [&dyn Fn(&mut Leaders); 3] = [&troubled, &restarted, &led];
        for change in what {
            let mut leaders = leaders();
            change(&mut leaders);
            leaders.note(2, true, secs(6));
            assert_eq!(at(&leaders, secs(10)), None);
            assert_eq!(at(&leaders, secs(11)), Some(vec![1, 2]));
        }
    }

    #[test]
    fn nothing_is_claimed_before_the_first_leader_nor_of_a_minority() {
        let whole = |_, _| Some(Duration::ZERO);
        let mut leaders = Leaders::default();
        for id in VOTERS {
            leaders.note(id, true, secs(0));
        }
        assert_eq!(leaders.without_leader(&VOTERS, secs(60), whole), None);
        leaders.acknowledged(secs(1));
        assert!(leaders.without_leader(&VOTERS, secs(60), whole).is_some());
        let cut = |_, _| None;
        assert_eq!(leaders.without_leader(&VOTERS, secs(60), cut), None);
    }
}
