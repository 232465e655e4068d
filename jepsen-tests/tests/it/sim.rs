//! Clusters in virtual time: a few seeds, and the proof that a seed always gives the same run.

use std::process::Command;

use crate::turns;
use rstmdb_jepsen::rng;
use rstmdb_jepsen::sim::plan::SimPlan;
use rstmdb_jepsen::sim::run::{self, RunOutput, SeedVerdict};
use rstmdb_jepsen::sim::{Args, many};
use rstmdb_sim::runtime::tasks;

/// Always the same.
const FIXED_SEEDS: u64 = 24;
/// Others each time.
const RANDOM_SEEDS: u64 = 8;

fn hashed(seed: u64) -> SeedVerdict {
    let watched = RunOutput {
        hashed: true,
        ..RunOutput::default()
    };
    run::run(SimPlan::draw(seed, None), watched)
}

/// The hash of a seed's whole trace, from a process of its own.
fn hash_elsewhere(seed: u64) -> u64 {
    let program = env!("CARGO_BIN_EXE_rstmdb-jepsen");
    let seed = seed.to_string();
    let ran = Command::new(program)
        .args(["sim", "--seed", &seed, "--trace-hash"])
        .output();
    let printed = String::from_utf8(ran.unwrap().stdout).unwrap();
    u64::from_str_radix(printed.trim(), 16).unwrap()
}

#[test]
fn a_seed_is_one_run_in_this_process_and_in_any_other() {
    let _turn = turns::heavy();
    let mut hashes = Vec::new();
    for seed in [3, 4, 11, 12] {
        let first = hashed(seed);
        assert!(first.acknowledged > 0, "seed {seed} did nothing");
        let hash = many::fingerprint(&first);
        assert_eq!(many::fingerprint(&hashed(seed)), hash, "seed {seed}, again");
        assert_eq!(hash_elsewhere(seed), hash, "seed {seed}, elsewhere");
        hashes.push(hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 4, "other seeds are other runs");
}

#[test]
fn no_invariant_is_violated() {
    let _turn = turns::heavy();
    tasks::catch_panics();
    let random = rng::seed("sim");
    for (from, seeds) in [(1, FIXED_SEEDS), (random, RANDOM_SEEDS)] {
        println!("seeds {from} to {}", from + seeds - 1);
        let args = Args {
            seeds,
            from,
            seed: None,
            trace_hash: false,
            time: None,
            jobs: Some(2),
            nodes: None,
        };
        let sum = many::run_all(&args);
        let failed = sum
            .failed
            .iter()
            .map(|(seed, verdict)| (seed, &verdict.record));
        assert_eq!(sum.failed.len(), 0, "{:#?}", failed.collect::<Vec<_>>());
        assert_eq!(sum.hollow(), None);
    }
}
