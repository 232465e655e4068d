#![allow(clippy::unwrap_used)]

use openraft::entry::RaftEntry;
use openraft::storage::RaftLogStorage;
use rstmdb_engine::State;
use rstmdb_engine::chain::MARK_OFFSETS;
use rstmdb_raft_store::{
    Data, Entry, Options, Payload, SnapshotMeta, Store, StoredMembership, log_id,
};
use tempfile::TempDir;

use super::*;
use crate::server::product::Product;

fn hash(offset: u64) -> EntryHash {
    EntryHash([offset as u8; 32])
}

/// A log of these entries, and the head at each.
fn log(first: u64, last: u64) -> (Hashes, Vec<(u64, Head)>) {
    let mut hashes = Hashes::default();
    let mut head = Head([7; 32]);
    let mut heads = vec![(first - 1, head)];
    for offset in first..=last {
        hashes.take(offset, hash(offset));
        head = head.then(&hash(offset));
        heads.push((offset, head));
    }
    (hashes, heads)
}

fn followed(hashes: &Hashes, heads: &[(u64, Head)]) -> CheckedChain {
    let mut checked = CheckedChain::default();
    let mut known = BTreeMap::new();
    for (offset, head) in heads {
        let source = "snapshot s".to_owned();
        learn(&mut known, *offset, *head, source, &mut checked.faults);
    }
    follow(hashes, &known, &mut checked);
    checked
}

#[test]
fn a_log_that_leads_from_head_to_head_is_sound() {
    let (hashes, heads) = log(5, 40);
    for known in [&heads[..], &heads[3..9], &heads[34..]] {
        let checked = followed(&hashes, known);
        assert_eq!(checked.faults, Vec::<String>::new(), "{}", checked.note);
        let (_, end) = heads.last().unwrap();
        assert!(checked.note.contains(&end.to_string()), "{}", checked.note);
    }
    let late = followed(&hashes, &heads[10..]);
    assert!(
        late.note.contains("entries 5 to 14 lie before"),
        "{}",
        late.note
    );
}

#[test]
fn a_head_that_is_compared_with_nothing_proves_nothing() {
    let (hashes, heads) = log(5, 40);
    let mut checked = CheckedChain::default();
    let mut known = BTreeMap::new();
    learn(
        &mut known,
        20,
        heads[2].1,
        "kept".to_owned(),
        &mut checked.faults,
    );
    assert!(!follow(&hashes, &known, &mut checked));
    assert!(checked.note.contains("the only one"), "{}", checked.note);
}

#[test]
fn a_changed_lost_inserted_or_swapped_entry_is_named_by_the_known_heads_around_it() {
    let (right, heads) = log(5, 40);
    let known = [heads[0], heads[10], heads[20], heads[30]];
    let changes: [fn(&mut Vec<EntryHash>); 4] = [
        |hashes| hashes[14] = hash(99),
        |hashes| {
            hashes.remove(14);
        },
        |hashes| hashes.insert(14, hash(99)),
        |hashes| hashes.swap(14, 15),
    ];
    for change in changes {
        let mut hashes = Hashes {
            first: right.first,
            begins: None,
            hashes: right.hashes.clone(),
        };
        change(&mut hashes.hashes);
        let checked = followed(&hashes, &known);
        let first = &checked.faults[0];
        assert!(
            first.starts_with("an entry from 15 to 24 was changed"),
            "{first}"
        );
    }
}

/// A head that was written down wrongly is one fault, wherever it stands between the others.
#[test]
fn a_kept_head_with_a_wrong_digit_is_one_fault_and_no_damage_of_an_entry() {
    let (hashes, heads) = log(5, 40);
    let found = |kept: &[(u64, Head)], others: &[(u64, Head)]| {
        let mut checked = CheckedChain::default();
        let mut known = BTreeMap::new();
        for (offset, head) in kept {
            let source = "the one that you kept".to_owned();
            learn(&mut known, *offset, *head, source, &mut checked.faults);
            known.get_mut(offset).unwrap().is_kept = true;
        }
        for (offset, head) in others {
            let source = "snapshot s".to_owned();
            learn(&mut known, *offset, *head, source, &mut checked.faults);
        }
        follow(&hashes, &known, &mut checked);
        checked.faults
    };
    let others = [heads[0], heads[10], heads[20]];
    let wrong = |at: usize| (heads[at].0, Head([1; 32]));
    for at in [0, 5, 10, 15] {
        let faults = found(&[wrong(at)], &others);
        assert_eq!(faults.len(), 1, "{at}: {faults:?}");
    }
    let between = &found(&[wrong(15)], &others)[0];
    assert!(
        between.starts_with("the head that you kept at offset 19 is "),
        "{between}"
    );
    let last = &found(&[wrong(30)], &others)[0];
    assert!(last.contains("written down wrongly"), "{last}");
    assert_eq!(
        found(&[heads[15], heads[30]], &others),
        Vec::<String>::new()
    );
    // Two kept heads that fit each other, and not the log before them: that is one change.
    let other = Head([1; 32]);
    let kept = [
        (heads[15].0, other),
        (heads[18].0, hashes.lead(heads[15].0, other, heads[18].0)),
    ];
    let faults = found(&kept, &others[..1]);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].starts_with("an entry from 5 to 19 was changed"),
        "{faults:?}"
    );
}

#[test]
fn known_heads_that_contradict_each_other_are_a_fault() {
    let (hashes, heads) = log(5, 40);
    let checked = followed(&hashes, &[heads[2], (heads[2].0, Head([1; 32]))]);
    assert_eq!(checked.faults.len(), 1, "{:?}", checked.faults);
}

#[test]
fn nothing_known_is_no_fault_and_is_said() {
    let (hashes, _) = log(5, 40);
    let checked = followed(&hashes, &[]);
    assert!(checked.faults.is_empty() && checked.note.contains("not checked"));
    let beyond = followed(&hashes, &[(900, Head([1; 32]))]);
    assert!(beyond.note.contains("no head is known within the log"));
}

#[test]
fn what_was_truncated_or_lies_before_a_gap_does_not_count() {
    let (mut hashes, heads) = log(5, 40);
    hashes.take(30, hash(99));
    assert_eq!(hashes.end(), 30);
    assert_eq!(followed(&hashes, &[heads[0], heads[20]]).faults.len(), 0);
    hashes.take(60, hash(60));
    assert_eq!((hashes.first, hashes.end()), (60, 60));
}

#[test]
fn a_kept_head_is_read_and_anything_else_refused() {
    let text = format!("12:{}", Head([3; 32]));
    let kept: KeptHead = text.parse().unwrap();
    assert_eq!((kept.offset, kept.head), (12, Head([3; 32])));
    for bad in ["", "12", "x:00", "12:00"] {
        assert!(bad.parse::<KeptHead>().is_err(), "{bad}");
    }
}

const LAST: u64 = 2 * MARK_OFFSETS + 7;

fn entry(offset: u64, payload: &str) -> Entry {
    let data = Data(payload.to_owned().into());
    Entry::new(log_id(1, offset), Payload::Normal(data))
}

fn entries() -> Vec<Entry> {
    (1..=LAST)
        .map(|offset| entry(offset, &format!("entry {offset}")))
        .collect()
}

/// A data folder with these entries, and with the snapshot of a state whose chain has those of `chained`. All checksums
/// are right.
async fn folder(entries: &[Entry], chained: &[Entry]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(dir.path());
    options.cluster_id = 7;
    let (store, writer) = Store::open(RealFs, options).unwrap();
    let writer = std::thread::spawn(move || writer.run());
    let mut state = State::new();
    state.begin_chain(1);
    for entry in chained {
        let offset = entry.log_id.index;
        state.skip(offset);
        state.link(offset, &entry_hash(entry)).unwrap();
    }
    let last = entries.last().unwrap().log_id;
    let meta = SnapshotMeta {
        last_log_id: Some(last),
        last_membership: StoredMembership::default(),
    };
    let snapshots = store.snapshots();
    snapshots
        .write(&meta, state.digest(), state.records())
        .unwrap();
    store.log_store::<Product>().purge(last).await.unwrap();
    store.sync().await.unwrap();
    let mut receiver = store
        .receive_history(entries[0].log_id.index, last.index)
        .unwrap();
    receiver.push(entries).unwrap();
    receiver.finish().unwrap();
    store.close();
    writer.join().unwrap();
    dir
}

fn checked(dir: &TempDir, kept: &[KeptHead]) -> CheckedChain {
    let none = |_, _| Err("there is no archive".to_owned());
    check(dir.path(), &Keyring::default(), kept, &none).unwrap()
}

/// The head at an offset of the unchanged log.
fn kept(offset: u64) -> KeptHead {
    let upto = &entries()[..offset as usize];
    let head = upto
        .iter()
        .fold(Head::BEGIN, |head, entry| head.then(&entry_hash(entry)));
    KeptHead { offset, head }
}

#[tokio::test]
async fn a_folder_that_nobody_changed_is_sound_also_against_heads_that_were_kept() {
    let all = entries();
    let dir = folder(&all, &all).await;
    let found = checked(&dir, &[kept(1_000), kept(LAST)]);
    assert_eq!(found.faults, Vec::<String>::new(), "{}", found.note);
    let covered = format!("entries 1 to {LAST} lead");
    assert!(found.note.contains(&covered), "{}", found.note);
    let beyond = KeptHead {
        offset: LAST + 1,
        ..kept(LAST)
    };
    let found = checked(&dir, &[beyond, kept(1_000)]);
    assert_eq!(found.faults, Vec::<String>::new(), "nothing is damaged");
    let said = format!("beyond this log's end at {LAST}");
    assert_eq!(found.unproven.len(), 1, "{found:?}");
    assert!(found.unproven[0].contains(&said), "{found:?}");
}

#[tokio::test]
async fn a_head_from_before_the_folder_is_not_compared_without_the_archive_and_nothing_is_damaged()
{
    let all = entries();
    let dir = folder(&all[2_000..], &all).await;
    let none = |_, _| Err("give --config".to_owned());
    let heads = [kept(1_000), kept(LAST)];
    let found = check(dir.path(), &Keyring::default(), &heads, &none).unwrap();
    assert_eq!(found.faults, Vec::<String>::new(), "nothing is damaged");
    assert_eq!(
        found.unproven,
        [
            "the head at offset 1000 cannot be compared here: the history before offset 2001 is not in this folder: give \
             --config"
        ]
    );
    let archived = |from: u64, to: u64| {
        let older = &all[from as usize - 1..to as usize];
        Ok(older.iter().map(entry_hash).collect())
    };
    let found = check(dir.path(), &Keyring::default(), &heads, &archived).unwrap();
    assert_eq!(found.faults, Vec::<String>::new());
    assert_eq!(found.unproven, Vec::<String>::new());
}

#[tokio::test]
async fn a_byte_that_was_changed_with_all_checksums_right_is_found_between_the_marks_around_it() {
    let all = entries();
    let mut changed = all.clone();
    let offset = MARK_OFFSETS + 9;
    changed[offset as usize - 1] = entry(offset, "entry 4l05");
    let dir = folder(&changed, &all).await;
    let (from, to) = (MARK_OFFSETS + 1, 2 * MARK_OFFSETS);
    let found = checked(&dir, &[]);
    let named = format!("an entry from {from} to {to} was changed");
    assert_eq!(found.faults.len(), 1, "{found:?}");
    assert!(found.faults[0].starts_with(&named), "{found:?}");
    // A head that was kept in between narrows the place down.
    let found = checked(&dir, &[kept(offset - 1), kept(offset)]);
    let named = format!("an entry from {offset} to {offset} was changed");
    assert!(found.faults[0].starts_with(&named), "{found:?}");
}

#[tokio::test]
async fn whoever_changes_the_snapshot_too_is_found_by_a_head_that_was_kept() {
    let mut changed = entries();
    changed[499] = entry(500, "another entry");
    let dir = folder(&changed, &changed).await;
    assert!(checked(&dir, &[]).faults.is_empty());
    let found = checked(&dir, &[kept(600)]);
    assert!(
        found.faults[0].contains("the head that you kept at offset 600 is "),
        "{found:?}"
    );
}

#[test]
fn a_head_from_before_the_log_is_compared_by_what_the_archive_has() {
    let (all, heads) = log(5, 40);
    let later = |from: u64| {
        let mut hashes = Hashes::default();
        (from..=40).for_each(|offset| hashes.take(offset, hash(offset)));
        hashes
    };
    let archived = |from: u64, to: u64| {
        let place = |offset: u64| (offset - all.first) as usize;
        Ok(all.hashes[place(from)..=place(to)].to_vec())
    };
    let compared = |kept: KeptHead, marks: &[(u64, Head)], older: Older<'_>| {
        let mut hashes = later(30);
        let mut checked = CheckedChain::default();
        let mut known = BTreeMap::new();
        for (offset, head) in marks {
            let source = "snapshot s".to_owned();
            learn(&mut known, *offset, *head, source, &mut checked.faults);
        }
        let source = "the one that you kept".to_owned();
        learn(
            &mut known,
            kept.offset,
            kept.head,
            source,
            &mut checked.faults,
        );
        let reached = reach_back(&mut hashes, &known, &[kept], older);
        checked.faults.extend(reached.err());
        follow(&hashes, &known, &mut checked);
        checked.faults
    };
    let (offset, head) = heads[7];
    let kept = KeptHead { offset, head };
    // From a mark before it, and, where there is none, from the kept head to the mark behind it.
    for marks in [&heads[2..3], &heads[30..31], &[heads[2], heads[30]][..]] {
        assert_eq!(compared(kept, marks, &archived), Vec::<String>::new());
    }
    let other = KeptHead {
        offset,
        head: Head([9; 32]),
    };
    let faults = compared(other, &[heads[2], heads[30]], &archived);
    assert!(
        faults.iter().any(|fault| fault.contains("was changed")),
        "{faults:?}"
    );
    let none = |_, _| Err("no archive is configured".to_owned());
    let faults = compared(kept, &heads[2..3], &none);
    assert!(faults[0].contains("no archive is configured"), "{faults:?}");
}
