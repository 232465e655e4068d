//! The crash model against what it promises.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use crate::fs::{File, FileSystem, MemFs};

const PATH: &str = "/folder/file";

/// The contents that a power cut can leave of the file, `None` where its name is lost.
fn outcomes(fs: &MemFs) -> BTreeSet<Option<Vec<u8>>> {
    let recording = fs.recording();
    let moment = recording.moment(recording.operations());
    let cuts = moment.cuts(100_000, 0);
    let content = |cut| moment.after(cut).content(Path::new(PATH)).ok();
    cuts.iter().map(content).collect()
}

fn synced(content: &[u8]) -> (MemFs, crate::fs::MemFile) {
    synced_on(MemFs::new(0), content)
}

fn synced_on(fs: MemFs, content: &[u8]) -> (MemFs, crate::fs::MemFile) {
    fs.record();
    let file = fs.create(Path::new(PATH)).unwrap();
    file.write_all_at(content, 0).unwrap();
    file.sync().unwrap();
    fs.sync_dir(Path::new("/folder")).unwrap();
    (fs, file)
}

fn set(contents: &[&[u8]]) -> BTreeSet<Option<Vec<u8>>> {
    contents.iter().map(|bytes| Some(bytes.to_vec())).collect()
}

/// Two operations that each want to cut the power must not restore it.
#[test]
fn power_that_is_gone_stays_gone() {
    let (fs, file) = synced(b"abc");
    fs.cut_power_after(1);
    fs.cut_power_after(5);
    file.write_all_at(b"d", 3).unwrap();
    assert!(fs.has_lost_power());
    fs.cut_power_after(5);
    assert!(fs.has_lost_power());
    assert!(file.write_all_at(b"e", 4).is_err());
}

#[test]
fn what_is_synced_has_one_outcome() {
    assert_eq!(outcomes(&synced(b"abc").0), set(&[b"abc"]));
}

#[test]
fn a_write_is_lost_kept_or_torn_at_every_byte() {
    let (fs, file) = synced(b"abcd");
    file.write_all_at(b"xyz", 1).unwrap();
    let torn: [&[u8]; 6] = [b"abcd", b"axyz", b"axcd", b"axyd", b"abyz", b"abcz"];
    assert_eq!(outcomes(&fs), set(&torn));
}

#[test]
fn unsynced_changes_survive_in_any_combination() {
    let (fs, file) = synced(b"ab");
    file.write_all_at(b"x", 0).unwrap();
    file.set_len(4).unwrap();
    file.write_all_at(b"y", 1).unwrap();
    let mut expected = BTreeSet::new();
    for first in [b'a', b'x'] {
        for second in [b'b', b'y'] {
            expected.insert(Some(vec![first, second]));
            expected.insert(Some(vec![first, second, 0, 0]));
        }
    }
    assert_eq!(outcomes(&fs), expected);
}

#[test]
fn sectors_of_a_long_write_survive_in_any_combination() {
    let (fs, file) = synced(&[0; 1536]);
    file.write_all_at(&[1; 1536], 0).unwrap();
    let masks: BTreeSet<Vec<bool>> = outcomes(&fs)
        .into_iter()
        .flatten()
        .filter_map(|content| {
            let sectors = content.chunks(512);
            let whole = |sector: &[u8]| sector.iter().all(|byte| *byte == sector[0]);
            let all_whole = sectors.clone().all(whole);
            all_whole.then(|| sectors.map(|sector| sector[0] == 1).collect())
        })
        .collect();
    assert_eq!(masks.len(), 8);
}

#[test]
fn an_unsynced_name_is_lost_or_kept_and_a_rename_leaves_either_name() {
    let (fs, _file) = synced(b"old");
    let temporary = Path::new("/folder/new");
    let file = fs.create(temporary).unwrap();
    file.write_all_at(b"new", 0).unwrap();
    file.sync().unwrap();
    fs.rename(temporary, Path::new(PATH)).unwrap();
    assert_eq!(outcomes(&fs), set(&[b"old", b"new"]));
    fs.sync_dir(Path::new("/folder")).unwrap();
    fs.remove(Path::new(PATH)).unwrap();
    let mut expected = set(&[b"new"]);
    expected.insert(None);
    assert_eq!(outcomes(&fs), expected);
}

#[test]
fn a_folder_that_is_lost_takes_along_what_is_in_it() {
    let fs = MemFs::new(0);
    fs.record();
    fs.create_dir_all(Path::new("/folder")).unwrap();
    let file = fs.create(Path::new(PATH)).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    file.sync().unwrap();
    fs.sync_dir(Path::new("/folder")).unwrap();
    assert!(outcomes(&fs).contains(&None));
    fs.sync_dir(Path::new("/")).unwrap();
    assert_eq!(outcomes(&fs), set(&[b"x"]));
}

#[test]
fn a_seeded_crash_is_one_of_the_outcomes_and_reaches_most() {
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let (fs, file) = synced_on(MemFs::new(seed), b"abcd");
        file.write_all_at(b"xyz", 1).unwrap();
        let possible = outcomes(&fs);
        fs.crash();
        let found = fs.content(Path::new(PATH)).ok();
        assert!(possible.contains(&found), "seed {seed}: {found:?}");
        seen.insert(found);
    }
    assert_eq!(seen.len(), 6);
}

#[test]
fn too_many_outcomes_become_a_choice_with_each_change_alone() {
    let (fs, file) = synced(&[0; 40]);
    for place in 0..20 {
        file.write_all_at(&[1], place * 2).unwrap();
    }
    let recording = fs.recording();
    let moment = recording.moment(recording.operations());
    let contents: BTreeSet<_> = moment
        .cuts(1000, 7)
        .iter()
        .map(|cut| moment.after(cut).content(Path::new(PATH)).unwrap())
        .collect();
    let kept = |content: &&Vec<u8>| content.iter().filter(|byte| **byte == 1).count();
    let with = |count| {
        contents
            .iter()
            .filter(|content| kept(content) == count)
            .count()
    };
    assert_eq!((with(0), with(20), with(1), with(19)), (1, 1, 20, 20));
    assert!(contents.len() > 60, "nothing is drawn");
    assert_eq!(moment.cuts(1000, 7), moment.cuts(1000, 7));
}

#[test]
fn a_recording_can_be_cut_before_each_operation() {
    let (fs, _file) = synced(b"abc");
    let recording = fs.recording();
    // Created, written, synced, its folder synced.
    assert_eq!((recording.operations(), fs.recorded()), (4, 4));
    let whole = |operations| {
        let moment = recording.moment(operations);
        let cuts = moment.cuts(1000, 0);
        let found = cuts
            .iter()
            .map(|cut| moment.after(cut).content(Path::new(PATH)).ok());
        found.collect::<BTreeSet<_>>()
    };
    assert_eq!(whole(0), BTreeSet::from([None]));
    assert_eq!(whole(1), BTreeSet::from([None, Some(vec![])]));
    assert_eq!(whole(2).len(), 7);
    assert_eq!(whole(3), BTreeSet::from([None, Some(b"abc".to_vec())]));
    assert_eq!(whole(4), BTreeSet::from([Some(b"abc".to_vec())]));
}
