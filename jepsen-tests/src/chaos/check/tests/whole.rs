//! All checkers over long histories, and what they make of a single wrong answer.

use std::time::Instant;

use super::simulated::{Simulated, read_of};
use super::*;
use crate::harness::rng::{self, Rng};

const ALL: [Workload; 7] = [
    Workload::Register,
    Workload::Machine,
    Workload::Once,
    Workload::Bank,
    Workload::Set,
    Workload::Monotonic,
    Workload::Lease,
];

fn assert_all_valid(results: &[CheckerResult]) {
    for result in results.iter().filter(|result| result.checker != "logs") {
        assert_eq!(result.verdict, CheckVerdict::Valid, "{result}");
    }
}

#[test]
fn a_long_good_history_is_valid_to_every_checker() {
    let seed = rng::seed("a_long_good_history_is_valid_to_every_checker");
    let run = Simulated::run(seed, 20_000, &ALL);
    let results = check(&run.entries, &run.truth());
    assert_all_valid(&results);
    let names: Vec<&str> = results
        .iter()
        .map(|result| result.checker.as_str())
        .collect();
    for name in [
        "order",
        "exactly once",
        "bank",
        "set",
        "monotonic",
        "search",
    ] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
}

#[test]
#[ignore = "a measurement: how long a run of the largest size takes"]
fn the_largest_run() {
    let run = Simulated::run(1, 300_000, &ALL);
    let truth = run.truth();
    for (name, checker) in CHECKS {
        let begun = Instant::now();
        let results = checker(&run.entries, &truth);
        println!("{name}: {:?}", begun.elapsed());
        for result in results {
            println!("  {result}");
        }
    }
}

/// The linear pass and the search know nothing of each other. What the search refutes the pass refutes; the
/// pass refutes a little more, because it knows the order of writes that overlap.
#[test]
fn what_the_search_refutes_the_pass_refutes() {
    let first = rng::seed("what_the_search_refutes_the_pass_refutes");
    let (mut both, mut apart) = ([0, 0], 0);
    for seed in (0..150).map(|n| first.wrapping_add(n)) {
        let mut run = Simulated::run(seed, 300, &[Workload::Register]);
        let truth = run.truth();
        let mut rng = Rng::new(seed);
        let reads = |entry: &&mut HistoryEntry| entry.op == "GET_INSTANCE";
        let mut reads: Vec<&mut HistoryEntry> = run.entries.iter_mut().filter(reads).collect();
        let at = rng.index(reads.len());
        let read = &mut reads[at];
        // A version not far from the right one, which may have been current meanwhile or not.
        let id = read.param("instance_id").to_owned();
        let versions: Vec<&TrueFact> = truth.of_instance(&id).collect();
        let right = read.result().unwrap()["last_wal_offset"].as_u64().unwrap();
        let right = versions
            .iter()
            .position(|fact| fact.offset == right)
            .unwrap();
        let other = (right + rng.index(3))
            .saturating_sub(1)
            .min(versions.len() - 1);
        read.outcome = RequestOutcome::Ok(read_of(versions[other]));
        let order = fixtures::result(&run.entries, &truth, "order", "register");
        let search = fixtures::result(&run.entries, &truth, "search", "register");
        assert!(
            !order.is_valid() || search.is_valid(),
            "seed {seed}: {order}\n{search}"
        );
        both[usize::from(order.is_valid())] += 1;
        apart += usize::from(order.is_valid() != search.is_valid());
    }
    assert!(both[0] > 10 && both[1] > 10, "one-sided: {both:?}");
    assert!(apart * 4 < both[0], "{apart} of {both:?} are judged apart");
}

#[test]
fn a_workload_without_a_request_is_no_pass() {
    let run = Simulated::run(1, 100, &[Workload::Register]);
    let expected = [Workload::Register, Workload::Bank];
    let results = check_all(&expected, &run.entries, &run.truth());
    let of_bank: Vec<_> = results.iter().filter(|it| it.subject == "bank").collect();
    assert!(matches!(of_bank[..], [only] if matches!(only.verdict, CheckVerdict::Unknown(_))));
    // Nor is a register without pipelines.
    let invalid = results.iter().filter(|it| !it.is_valid());
    let invalid: Vec<_> = invalid.map(|it| it.checker.as_str()).collect();
    assert_eq!(invalid, ["any", "pipelined"]);
}

#[test]
fn a_checker_that_panics_fails_by_itself() {
    let panics: Checker = |_, _| panic!("out of its depth");
    let found = run_one("odd", panics, &[], &Truth::default());
    let CheckVerdict::Failed(why) = &found[0].verdict else {
        panic!("{found:?}");
    };
    assert!(why.contains("out of its depth"), "{why}");
    assert!(!found[0].is_valid());
}

#[test]
fn nodes_that_disagree_are_a_violation() {
    let run = Simulated::run(1, 100, &[Workload::Register]);
    let mut truth = run.truth();
    truth
        .disagreements
        .push("node 2 has committed something else".to_owned());
    let found = fixtures::result(&run.entries, &truth, "logs", "all");
    assert_eq!(found.violations().len(), 1);
}

#[test]
fn two_accounts_of_a_log_are_compared_fact_by_fact() {
    let run = Simulated::run(1, 200, &ALL);
    let (one, mut other) = (run.truth(), run.facts.clone());
    assert_eq!(one.difference(&run.truth()), None);
    other[20].ctx["more"] = json!(1);
    let differs = one.difference(&Truth::from_facts(other.clone()));
    assert!(differs.unwrap().contains("more"));
    other.truncate(20);
    let shorter = one.difference(&Truth::from_facts(other));
    assert!(shorter.unwrap().contains("in one of them only"));
}
