//! Percentiles of latencies, exact: all samples of a test fit into memory.

use std::time::Duration;

/// How long requests took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latencies {
    /// How many there were.
    pub count: usize,
    /// Half of them were faster.
    pub p50: Duration,
    /// 99 of 100 were faster.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
}

impl Latencies {
    /// Of these requests.
    pub fn of(mut taken: Vec<Duration>) -> Self {
        taken.sort_unstable();
        let at = |percent: usize| {
            let index = taken.len() * percent / 100;
            taken
                .get(index.min(taken.len().saturating_sub(1)))
                .copied()
                .unwrap_or_default()
        };
        Self {
            count: taken.len(),
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        let latencies = Latencies::of((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!(latencies.p50, Duration::from_millis(101));
        assert_eq!(latencies.p99, Duration::from_millis(199));
        assert_eq!(latencies.max, Duration::from_millis(200));
        assert_eq!(Latencies::of(Vec::new()).count, 0);
    }
}
