//! Power cuts by seed. All acknowledged data is there, and nothing is invented. What survives beyond it is a prefix of
//! what the caller asked for.

use std::io::ErrorKind;

use crate::support::entry;
use crate::support::log::{Log, options};
use crate::support::model::{Change, Model, Run};
use openraft::EntryPayload;
use proptest::prelude::*;
use rstmdb_raft_store::fs::{DiskFault, FaultOp};
use rstmdb_raft_store::{MemFs, log_id};

/// Does one operation.
fn operate(run: &mut Run, operation: &Operation) {
    match operation {
        Operation::Append(count, term) => run.append(*count, *term),
        Operation::Truncate(back) => run.truncate(*back),
        Operation::Purge(ahead) => run.purge(*ahead),
        Operation::Vote(term) => run.vote(*term),
        Operation::Step => run.step(),
        Operation::Idle => run.log.writer.idle(),
        Operation::Commit => {
            if let Some(last) = run.now().last {
                let _ = run.log.commit(last);
            }
        }
        Operation::Fault(op, nth) => run.log.fs.inject(DiskFault {
            op: *op,
            nth: *nth,
            error: ErrorKind::Other,
            sticky: false,
        }),
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Append(u64, u64),
    Truncate(u64),
    Purge(u64),
    Vote(u64),
    Commit,
    Step,
    Idle,
    Fault(FaultOp, u64),
}

fn operation(faults: bool) -> impl Strategy<Value = Operation> {
    let fault_weight = if faults { 1 } else { 0 };
    prop_oneof![
        6 => (1..6u64, 1..4u64).prop_map(|(count, term)| Operation::Append(count, term)),
        1 => (0..4u64).prop_map(Operation::Truncate),
        1 => (0..5u64).prop_map(Operation::Purge),
        1 => (1..9u64).prop_map(Operation::Vote),
        1 => Just(Operation::Commit),
        5 => Just(Operation::Step),
        1 => Just(Operation::Idle),
        fault_weight => (
            prop_oneof![Just(FaultOp::Write), Just(FaultOp::Sync), Just(FaultOp::Open), Just(FaultOp::SyncDir)],
            1..4u64
        ).prop_map(|(op, nth)| Operation::Fault(op, nth)),
    ]
}

fn rounds(faults: bool) -> impl Strategy<Value = Vec<(Vec<Operation>, bool)>> {
    let round = (
        prop::collection::vec(operation(faults), 1..25),
        any::<bool>(),
    );
    prop::collection::vec(round, 1..6)
}

fn small_segments() -> rstmdb_raft_store::Options {
    let mut options = options();
    options.segment_bytes = 2048;
    options
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_power_cut_loses_nothing_acknowledged_and_invents_nothing(
        seed in any::<u64>(),
        rounds in rounds(true),
    ) {
        let mut run = Run::new(Log::open(&MemFs::new(seed), &small_segments()).unwrap());
        for (operations, power_cut) in &rounds {
            operations.iter().for_each(|operation| operate(&mut run, operation));
            run = run.restart(*power_cut);
        }
    }

    #[test]
    fn the_log_always_reads_as_the_model(rounds in rounds(false)) {
        let mut run = Run::new(Log::open(&MemFs::new(0), &small_segments()).unwrap());
        for (operations, _) in &rounds {
            for operation in operations {
                // openraft never truncates committed entries. So this test commits nothing, and any truncation is
                // allowed.
                if !matches!(operation, Operation::Commit) {
                    operate(&mut run, operation);
                }
                prop_assert_eq!(Model::of(&mut run.log), run.now());
            }
            while run.log.writer.step() {}
            run.collect();
            prop_assert!(run.waiting.is_empty());
            let expected = run.now();
            run = run.restart(false);
            prop_assert_eq!(&run.base, &expected);
        }
    }
}

#[test]
fn a_crash_after_every_single_operation_keeps_what_was_acknowledged() {
    for stop in 1..120 {
        let mut run = Run::new(Log::open(&MemFs::new(stop), &small_segments()).unwrap());
        for op in [FaultOp::Write, FaultOp::Sync] {
            // From here on every operation of this kind fails: the disk is gone.
            let error = ErrorKind::Other;
            run.log.fs.inject(DiskFault {
                op,
                nth: stop,
                error,
                sticky: true,
            });
        }
        for round in 0..20 {
            run.append(3, 1);
            if round % 5 == 4 {
                run.truncate(1);
            }
            run.step();
        }
        run.restart(true);
    }
}

#[test]
fn the_model_itself_is_checked() {
    let mut model = Model::default();
    model.apply(&Change::Entry(entry(1, 0, "a")));
    model.apply(&Change::Entry(entry(1, 1, "b")));
    model.apply(&Change::Truncate(Some(log_id(1, 0))));
    assert_eq!(model.last, Some(log_id(1, 0)));
    assert!(matches!(model.entries[0].payload, EntryPayload::Normal(_)));
    model.apply(&Change::Purge(log_id(2, 7)));
    assert_eq!((model.entries.len(), model.last), (0, Some(log_id(2, 7))));
}
