//! The arguments of `bench`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::duration;

/// `bench`.
#[derive(Debug, Args)]
#[command(after_help = "\
Registers a machine named `bench`, creates its own instances, deletes them afterwards\n\
(the machine stays: RCP has no operation that removes one). Connections are spread over\n\
the addresses of --server.\n\n\
Without --rate each request waits for the answer to the one before it (a closed loop):\n\
this finds the highest throughput. But while the server stands still, the bench sends nothing\n\
and so measures nothing. With --rate the bench fixes the moment of each request beforehand\n\
(an open loop), and counts its latency from that moment, even if it could send the request\n\
only later.\n\n\
`--op mixed` is --mix get=50,apply=50. `--op watch` opens as many watches as --connections\n\
says and measures the time from sending an event until the last watch has it, one event at\n\
a time. --watches opens watches beside the load instead. `--op guard` sends events without a\n\
guard and with one by turns of 100 ms, and says what the guard costs.")]
pub struct BenchArgs {
    /// What to measure.
    #[arg(long, default_value = "apply", conflicts_with = "mix")]
    pub op: BenchOp,
    /// Several operations at once, each with its share, such as apply=70,get=25,create=5.
    #[arg(long, value_name = "OP=SHARE,...")]
    pub mix: Option<Mix>,
    /// How many connections.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// How many requests wait for their answer on each connection.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub in_flight: u32,
    /// How many requests are sent each second, all connections together; as many as are answered when absent.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub rate: Option<u32>,
    /// Which instance a request is for: own (each request in flight has an instance that no other uses), uniform,
    /// sequential (one after the other, over and over), zipf or zipf:THETA (few instances get most requests).
    #[arg(long, default_value = "own")]
    pub keys: BenchKeys,
    /// How many instances there are; not with --keys own [default: 10000].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub instances: Option<u32>,
    /// How many watches to open beside the load.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub watches: u32,
    /// What the watches of --watches are to deliver.
    #[arg(long, default_value = "matching")]
    pub watch_kind: WatchKind,
    /// How long to measure.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// How long to run before measuring.
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub warm_up: Duration,
    /// Bytes of each payload.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    pub payload: u32,
    /// Bytes of the context of a new instance [default: --payload, for --op guard 10240].
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=4_194_304))]
    pub context: Option<u32>,
    /// How many threads make the load; half of the cores when absent.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: Option<u32>,
    /// Leave the instances in place.
    #[arg(long)]
    pub keep: bool,
}

/// What `bench` measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchOp {
    /// APPLY_EVENT.
    Apply,
    /// CREATE_INSTANCE.
    Create,
    /// GET_INSTANCE, linearizable.
    Get,
    /// GET_INSTANCE and APPLY_EVENT, as many of each.
    Mixed,
    /// One event to many watches.
    Watch,
    /// APPLY_EVENT with a guard over a context of 10 KiB and without one, by turns.
    Guard,
}

/// What the watches beside the load deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WatchKind {
    /// Nothing: their filter matches no event.
    Idle,
    /// Every event of the load; the time until its delivery is measured.
    Matching,
}

impl WatchKind {
    /// The name as typed.
    pub fn name(self) -> &'static str {
        match self {
            WatchKind::Idle => "idle",
            WatchKind::Matching => "matching",
        }
    }
}

/// An operation of a mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MixedOp {
    /// APPLY_EVENT.
    Apply,
    /// CREATE_INSTANCE.
    Create,
    /// GET_INSTANCE.
    Get,
    /// APPLY_EVENT with a guard.
    Guarded,
}

impl MixedOp {
    /// Those that can be a part of a mix.
    const ALL: [MixedOp; 3] = [MixedOp::Apply, MixedOp::Create, MixedOp::Get];

    /// The name as typed.
    pub fn name(self) -> &'static str {
        match self {
            MixedOp::Apply => "apply",
            MixedOp::Create => "create",
            MixedOp::Get => "get",
            MixedOp::Guarded => "guarded",
        }
    }
}

/// Operations and their shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix(Vec<(MixedOp, u32)>);

impl Mix {
    const SHARE_MAX: u32 = 1_000_000;

    /// Only one operation.
    pub fn only(kind: MixedOp) -> Mix {
        Mix(vec![(kind, 1)])
    }

    /// What an operation of `--op` stands for.
    pub fn of(op: BenchOp) -> Mix {
        match op {
            BenchOp::Apply | BenchOp::Watch => Mix::only(MixedOp::Apply),
            BenchOp::Create => Mix::only(MixedOp::Create),
            BenchOp::Get => Mix::only(MixedOp::Get),
            BenchOp::Mixed => Mix(vec![(MixedOp::Get, 50), (MixedOp::Apply, 50)]),
            BenchOp::Guard => Mix(vec![(MixedOp::Apply, 50), (MixedOp::Guarded, 50)]),
        }
    }

    /// Each operation with its share; at least one, no share is 0.
    pub fn shares(&self) -> &[(MixedOp, u32)] {
        &self.0
    }

    /// Whether it has this operation.
    pub fn has(&self, kind: MixedOp) -> bool {
        self.0.iter().any(|(other, _)| *other == kind)
    }

    /// The operation at `point`, which is below the sum of all shares.
    pub fn at(&self, mut point: u32) -> MixedOp {
        for (kind, share) in &self.0 {
            match point.checked_sub(*share) {
                Some(rest) => point = rest,
                None => return *kind,
            }
        }
        self.0[0].0
    }

    /// The sum of all shares.
    pub fn sum(&self) -> u32 {
        self.0.iter().map(|(_, share)| share).sum()
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut shares: Vec<(MixedOp, u32)> = Vec::new();
        for part in text.split(',') {
            let refused = || {
                format!(
                    "{part:?} is not OP=SHARE with apply, get or create and a share from 1 to {}",
                    Mix::SHARE_MAX
                )
            };
            let (name, share) = part.split_once('=').ok_or_else(refused)?;
            let mut kinds = MixedOp::ALL.into_iter();
            let kind = kinds.find(|kind| kind.name() == name.trim());
            let kind = kind.ok_or_else(refused)?;
            let share = share.trim().parse().ok();
            let share = share.filter(|share| (1..=Mix::SHARE_MAX).contains(share));
            if shares.iter().any(|(other, _)| *other == kind) {
                return Err(format!("{:?} is named twice", kind.name()));
            }
            shares.push((kind, share.ok_or_else(refused)?));
        }
        Ok(Mix(shares))
    }
}

/// Which instance a request is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BenchKeys {
    /// Each request in flight has an instance that no other uses.
    Own,
    /// Each instance as often as any other.
    Uniform,
    /// One after the other.
    Sequential,
    /// The instance of rank k in proportion to 1/k^theta.
    Zipf {
        /// Greater than 0; the greater, the fewer instances get most requests.
        theta: f64,
    },
}

impl BenchKeys {
    /// The theta of `zipf` alone, which is that of the YCSB benchmark.
    const THETA: f64 = 0.99;
    const THETA_MAX: f64 = 10.0;
}

impl FromStr for BenchKeys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let theta = match text {
            "own" => return Ok(BenchKeys::Own),
            "uniform" => return Ok(BenchKeys::Uniform),
            "sequential" => return Ok(BenchKeys::Sequential),
            "zipf" => Some(BenchKeys::THETA),
            _ => text
                .strip_prefix("zipf:")
                .and_then(|theta| theta.parse().ok())
                .filter(|theta: &f64| *theta > 0.0 && *theta <= BenchKeys::THETA_MAX),
        };
        let theta = theta.ok_or_else(|| {
            format!(
                "expected own, uniform, sequential, zipf, or zipf:THETA with a theta above 0 and at most {}",
                BenchKeys::THETA_MAX
            )
        })?;
        Ok(BenchKeys::Zipf { theta })
    }
}

impl fmt::Display for BenchKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BenchKeys::Own => f.write_str("own"),
            BenchKeys::Uniform => f.write_str("uniform"),
            BenchKeys::Sequential => f.write_str("sequential"),
            BenchKeys::Zipf { theta } => write!(f, "zipf:{theta}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_mix_has_each_operation_with_its_share() {
        let mix: Mix = "apply=70,get=25,create=5".parse().unwrap();
        assert_eq!(
            mix.shares(),
            [
                (MixedOp::Apply, 70),
                (MixedOp::Get, 25),
                (MixedOp::Create, 5)
            ]
        );
        assert_eq!(mix.sum(), 100);
        let kinds = [0, 69, 70, 94, 95, 99].map(|point| mix.at(point).name());
        assert_eq!(kinds, ["apply", "apply", "get", "get", "create", "create"]);
    }

    #[test]
    fn a_mix_that_is_none_is_refused_with_what_is_allowed() {
        for wrong in [
            "",
            "apply",
            "apply=0",
            "apply=-1",
            "apply=x",
            "apply=1000001",
            "delete=5",
            "apply=1,",
        ] {
            let error = wrong.parse::<Mix>().expect_err(wrong);
            assert!(error.contains("apply, get or create"), "{wrong}: {error}");
        }
        let error = "get=1,get=2".parse::<Mix>().expect_err("twice");
        assert_eq!(error, "\"get\" is named twice");
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        for text in ["own", "uniform", "sequential", "zipf:0.5", "zipf:1.2"] {
            assert_eq!(text.parse::<BenchKeys>().unwrap().to_string(), text);
        }
        assert_eq!(
            "zipf".parse::<BenchKeys>().unwrap().to_string(),
            "zipf:0.99"
        );
        for wrong in [
            "", "zipf:", "zipf:0", "zipf:-1", "zipf:nan", "zipf:11", "random",
        ] {
            let error = wrong.parse::<BenchKeys>().expect_err(wrong);
            assert!(error.contains("zipf:THETA"), "{wrong}: {error}");
        }
    }
}
