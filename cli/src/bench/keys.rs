//! Which instance a request is for.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::args::BenchKeys;

/// Draws instances, numbered from 0.
#[derive(Debug)]
pub struct Picker {
    count: u32,
    way: KeyChoice,
}

#[derive(Debug)]
enum KeyChoice {
    Own,
    Uniform,
    Sequential(AtomicU64),
    Zipf(Zipf),
}

impl Picker {
    /// Over `count` instances, at least one.
    pub fn new(keys: BenchKeys, count: u32) -> Picker {
        let way = match keys {
            BenchKeys::Own => KeyChoice::Own,
            BenchKeys::Uniform => KeyChoice::Uniform,
            BenchKeys::Sequential => KeyChoice::Sequential(AtomicU64::new(0)),
            BenchKeys::Zipf { theta } => KeyChoice::Zipf(Zipf::new(count, theta)),
        };
        Picker { count, way }
    }

    /// The instance of a worker's next request.
    pub fn pick(&self, worker: u32, random: &mut fastrand::Rng) -> u32 {
        match &self.way {
            KeyChoice::Own => worker,
            KeyChoice::Uniform => random.u32(0..self.count),
            KeyChoice::Sequential(next) => {
                let next = next.fetch_add(1, Ordering::Relaxed) % u64::from(self.count);
                u32::try_from(next).unwrap_or_default()
            }
            KeyChoice::Zipf(zipf) => zipf.draw(random),
        }
    }
}

/// Draws rank k of 1 to `count` with a probability in proportion to k^-theta, by rejection-inversion (Hörmann and
/// Derflinger 1996): no table, and hardly ever a second try.
///
/// Draws a continuous variable with the density x^-theta, and rounds it to a rank. Some draws are rejected, so that
/// each rank has its right probability.
#[derive(Debug)]
struct Zipf {
    count: f64,
    theta: f64,
    /// The areas under the curve at which the drawing begins and ends.
    first: f64,
    last: f64,
    /// Up to this distance left of a rank every draw is accepted.
    sure: f64,
}

impl Zipf {
    fn new(count: u32, theta: f64) -> Zipf {
        let mut zipf = Zipf {
            count: f64::from(count),
            theta,
            first: 0.0,
            last: 0.0,
            sure: 0.0,
        };
        zipf.first = zipf.area(1.5) - 1.0;
        zipf.last = zipf.area(zipf.count + 0.5);
        zipf.sure = 2.0 - zipf.at_area(zipf.area(2.5) - zipf.height(2.0));
        zipf
    }

    fn height(&self, x: f64) -> f64 {
        x.powf(-self.theta)
    }

    /// The integral of the height, which is 0 at 1.
    fn area(&self, x: f64) -> f64 {
        let rest = 1.0 - self.theta;
        if rest.abs() < 1e-9 {
            x.ln()
        } else {
            (x.powf(rest) - 1.0) / rest
        }
    }

    /// The inverse of the area.
    fn at_area(&self, area: f64) -> f64 {
        let rest = 1.0 - self.theta;
        if rest.abs() < 1e-9 {
            area.exp()
        } else {
            (1.0 + area * rest).max(0.0).powf(1.0 / rest)
        }
    }

    /// A rank, less 1.
    fn draw(&self, random: &mut fastrand::Rng) -> u32 {
        loop {
            let area = self.last + random.f64() * (self.first - self.last);
            let x = self.at_area(area);
            let rank = x.round().clamp(1.0, self.count);
            if rank - x <= self.sure || area >= self.area(rank + 0.5) - self.height(rank) {
                return rank as u32 - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(keys: BenchKeys, count: u32, draws: u32) -> Vec<u32> {
        let picker = Picker::new(keys, count);
        let mut random = fastrand::Rng::with_seed(17);
        let mut seen = vec![0; count as usize];
        for _ in 0..draws {
            seen[picker.pick(3, &mut random) as usize] += 1;
        }
        seen
    }

    #[test]
    fn zipf_draws_each_rank_as_often_as_its_formula_says() {
        const COUNT: u32 = 50;
        const DRAWS: u32 = 400_000;
        for theta in [0.5, 0.99, 1.0, 1.5, 3.0] {
            let seen = drawn(BenchKeys::Zipf { theta }, COUNT, DRAWS);
            let weights = (1..=COUNT).map(|rank| f64::from(rank).powf(-theta));
            let sum: f64 = weights.clone().sum();
            for (rank, (seen, weight)) in seen.iter().zip(weights).enumerate() {
                let expected = weight / sum * f64::from(DRAWS);
                // Six standard deviations, and one draw for the rare ranks.
                let bound = 6.0 * expected.sqrt() + 1.0;
                let off = (f64::from(*seen) - expected).abs();
                assert!(
                    off < bound,
                    "theta {theta}, rank {rank}: {seen}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn zipf_reaches_every_one_of_few_instances_and_stays_within_many() {
        for count in [1, 2, 3] {
            let seen = drawn(BenchKeys::Zipf { theta: 0.99 }, count, 1_000);
            assert!(seen.iter().all(|seen| *seen > 0), "{seen:?}");
        }
        // A draw beyond the last would panic here.
        let seen = drawn(BenchKeys::Zipf { theta: 0.2 }, 3_000_000, 200_000);
        assert_eq!(seen.iter().sum::<u32>(), 200_000);
    }

    #[test]
    fn uniform_is_even_sequential_goes_round_and_own_stays() {
        let seen = drawn(BenchKeys::Uniform, 10, 100_000);
        assert!(
            seen.iter().all(|seen| (9_400..10_600).contains(seen)),
            "{seen:?}"
        );
        assert_eq!(drawn(BenchKeys::Sequential, 7, 14), [2; 7]);
        assert_eq!(drawn(BenchKeys::Own, 5, 9), [0, 0, 0, 9, 0]);
    }
}
