//! Power cuts everywhere: each workload is run once, and then the disk is rebuilt as it can be after
//! a power cut before any operation of it. What was acknowledged is there, what was never written is
//! not, and the node goes on. `RSTMDB_CASE=workload:operations:choice` runs one case alone.

use crate::support::log::Log;
use crate::support::model::Model;
use crate::support::points::{cut_everywhere, cut_with};
use crate::support::story::Story;

#[test]
fn batches() {
    let mut story = Story::begin(2048);
    for count in [1, 3, 2] {
        story.write(count);
    }
    story.idle();
    assert!(cut_everywhere("batches", &story.end()) > 500);
}

#[test]
fn a_truncation() {
    let mut story = Story::begin(2048);
    story.write(3);
    story.truncate(1);
    story.append(2, 2);
    story.step();
    story.truncate(0);
    story.append(1, 3);
    story.step();
    assert!(cut_everywhere("truncation", &story.end()) > 200);
}

#[test]
fn votes() {
    let mut story = Story::begin(2048);
    story.vote(1);
    story.write(2);
    story.append(1, 1);
    story.vote(2);
    story.idle();
    story.vote(3);
    assert!(cut_everywhere("votes", &story.end()) > 200);
}

#[test]
fn segments_that_are_full() {
    let mut story = Story::begin(640);
    for _ in 0..6 {
        story.write(2);
    }
    story.commit();
    story.vote(4);
    story.write(1);
    assert!(cut_everywhere("rolls", &story.end()) > 300);
}

#[test]
fn a_clean_stop() {
    let mut story = Story::begin(2048);
    story.write(2);
    story.commit();
    let mut story = story.restart();
    story.write(1);
    let mut story = story.restart();
    story.vote(2);
    assert!(cut_everywhere("stop", &story.end()) > 200);
}

#[test]
fn snapshots_and_purges() {
    let mut story = Story::begin(1024);
    story.write(3);
    let first = story.snapshot();
    story.purge(first);
    story.write(2);
    let second = story.snapshot();
    story.purge(second);
    story.idle();
    story.write(1);
    assert!(cut_everywhere("snapshots", &story.end()) > 500);
}

#[test]
fn an_installed_snapshot_beyond_the_log() {
    let mut story = Story::begin(1024);
    story.write(2);
    story.install(50);
    story.write(2);
    story.install(60);
    story.vote(3);
    assert!(cut_everywhere("install", &story.end()) > 500);
}

#[test]
fn retention() {
    for archive in [false, true] {
        let mut story = Story::begin(512);
        for _ in 0..5 {
            story.write(2);
        }
        let id = story.snapshot();
        story.purge(id);
        // Not durable yet, so nothing goes on its account.
        assert_eq!(story.retain(3, archive), 0);
        story.write(1);
        assert!(story.retain(3, archive) > 0);
        story.write(1);
        let name = if archive { "archive" } else { "retention" };
        assert!(cut_everywhere(name, &story.end()) > 300);
    }
}

#[test]
fn history_of_another_node() {
    let mut story = Story::begin(1024);
    story.write(1);
    story.install(30);
    story.write(2);
    story.history(27, 30);
    story.history(24, 26);
    story.write(1);
    assert!(story.retain(3, false) > 0);
    story.install(90);
    story.write(1);
    story.history(88, 90);
    assert!(cut_everywhere("history", &story.end()) > 1000);
}

/// A folder is emptied to join again. After a power cut it is still the old node's, or damaged and the store says so,
/// or empty. It never has its identity without its log, or the reverse.
#[test]
fn rejoining() {
    let mut story = Story::begin(640);
    story.write_identity();
    story.meet(2);
    (0..4).for_each(|_| story.write(2));
    let id = story.snapshot();
    story.purge(id);
    story.write(1);
    let told = story.end();
    let before = told.recording.operations();
    let promise = told.promise(before);
    let whole = told.allowed(&promise).pop().unwrap();
    let fs = told.recording.moment(before).killed();
    fs.record();
    rstmdb_raft_store::rejoin(&fs, &told.options.dir).unwrap();
    let recording = fs.recording();
    let (mut wholes, mut refused, mut empty) = (0, 0, 0);
    for operations in 0..=recording.operations() {
        let moment = recording.moment(operations);
        for cut in moment.cuts(1000, 0) {
            let fs = moment.after(&cut);
            let Ok(mut log) = Log::open(&fs, &told.options) else {
                refused += 1;
                continue;
            };
            match log.store.identity().unwrap() {
                Some(_) => {
                    assert_eq!(Model::of(&mut log), whole, "{}", moment.describe(&cut));
                    let snapshot = log.store.snapshots().current().unwrap();
                    assert!(snapshot.is_some(), "{}", moment.describe(&cut));
                    wholes += 1;
                }
                None => {
                    assert_eq!(Model::of(&mut log), Model::default());
                    assert!(log.store.snapshots().list().is_empty());
                    empty += 1;
                }
            }
        }
    }
    assert!(
        wholes > 0 && refused > 0 && empty > 0,
        "{wholes} {refused} {empty}"
    );
}

#[test]
fn identity_and_roster() {
    let mut story = Story::begin(1024);
    story.write_identity();
    story.meet(2);
    story.write(1);
    story.meet(3);
    let mut story = story.restart();
    story.meet(4);
    assert!(cut_everywhere("identity", &story.end()) > 500);
}

/// A longer life with everything in it, as the seed has it.
fn long(seed: u64) -> Story {
    let mut random = seed;
    let mut below = move |bound: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(seed | 1);
        (random >> 33) % bound
    };
    let mut story = Story::begin(1024);
    let mut term = 1;
    story.write_identity();
    for _ in 0..40 {
        match below(12) {
            0 if story.model().entries.len() > 2 => story.truncate(below(2)),
            1 => {
                term += 1;
                story.vote(term);
            }
            2 => story.idle(),
            3 if !story.model().entries.is_empty() => {
                let id = story.snapshot();
                story.purge(id);
            }
            4 => {
                let next = story.model().last.map_or(0, |last| last.index) + 10;
                story.install(next);
                story.step();
                story.history(next - 2, next);
            }
            5 => story = story.restart(),
            6 if story.model().last.is_some() => story.commit(),
            _ => {
                story.append(below(3) + 1, term);
                if below(3) > 0 {
                    story.step();
                }
            }
        }
    }
    story
}

#[test]
fn long_lives() {
    let given = std::env::var("RSTMDB_SEED").ok();
    let seeds = match given.and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (1..=6).collect(),
    };
    for seed in seeds {
        let disks = cut_with(&format!("long-{seed}"), &long(seed).end(), 40);
        assert!(disks > 500);
    }
}
