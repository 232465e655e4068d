#![allow(clippy::unwrap_used)]

use super::*;

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

fn followed(hashes: &Hashes, heads: &[(u64, Head)]) -> Checked {
    let mut checked = Checked::default();
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
    for known in [&heads[..], &heads[..1], &heads[3..9], &heads[35..]] {
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
fn a_changed_lost_inserted_or_swapped_entry_is_named_by_the_known_heads_around_it() {
    let (right, heads) = log(5, 40);
    let known = [heads[0], heads[10], heads[20], heads[30]];
    let changes: [fn(&mut Vec<EntryHash>); 4] = [
        |hashes| hashes[14] = hash(99),
        |hashes| drop(hashes.remove(14)),
        |hashes| hashes.insert(14, hash(99)),
        |hashes| hashes.swap(14, 15),
    ];
    for change in changes {
        let mut hashes = Hashes {
            first: right.first,
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
