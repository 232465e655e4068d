#![allow(clippy::unwrap_used)]

use rstmdb_engine::fact::{ApplyEvent, CreateInstance, DeleteInstance, FlushAll};
use rstmdb_rcp::message::storage::backup::Blob;

use super::*;

/// An entry with these facts at an offset.
fn entry(offset: u64, facts: Vec<Body>) -> AuditEntry {
    let entry = Entry {
        index: offset,
        time_ms: 1_000 * offset,
        actor: "ann".to_owned(),
        facts: facts.into_iter().map(Fact::from).collect(),
        ..Entry::default()
    };
    AuditEntry {
        offset,
        term: 2,
        data: Blob(entry.encode_to_vec()),
        stale: false,
    }
}

fn create(id: &str, prev_offset: u64) -> Body {
    Body::CreateInstance(CreateInstance {
        instance_id: id.to_owned(),
        machine: "order".to_owned(),
        version: 1,
        state: "new".to_owned(),
        ctx: Bytes::from_static(b"{\"total\":7}"),
        prev_offset,
        ..CreateInstance::default()
    })
}

fn event(id: &str, prev_offset: u64) -> Body {
    Body::ApplyEvent(ApplyEvent {
        instance_id: id.to_owned(),
        event: "PAY".to_owned(),
        from_state: "new".to_owned(),
        to_state: "paid".to_owned(),
        payload: Some(Bytes::from_static(b"{\"by\":\"ann\"}")),
        ctx: Bytes::from_static(b"{\"total\":7}"),
        prev_offset,
        ..ApplyEvent::default()
    })
}

fn delete(id: &str, prev_offset: u64) -> Body {
    Body::DeleteInstance(DeleteInstance {
        instance_id: id.to_owned(),
        prev_offset,
        ..DeleteInstance::default()
    })
}

/// The proof of "a" over these entries, from the first on. All other entries are hidden.
fn proof(from_offset: u64, shown: &[AuditEntry], to_offset: u64) -> Vec<u8> {
    let begin = Begin {
        format: FORMAT.to_owned(),
        version: VERSION,
        cluster_id: "c".to_owned(),
        instance_id: "a".to_owned(),
        from_offset,
        head_before: Head([5; 32]).to_string(),
    };
    let mut head = Head([5; 32]);
    let mut lines = vec![serde_json::to_string(&begin).unwrap()];
    for offset in from_offset..=to_offset {
        let line = match shown.iter().find(|entry| entry.offset == offset) {
            Some(entry) => {
                let logged = Logged {
                    term: entry.term,
                    offset,
                    kind: EntryKind::Normal,
                    payload: &entry.data.0,
                };
                head = head.then(&logged.hash());
                ProofLine {
                    entry: Some(entry.clone()),
                    ..ProofLine::default()
                }
            }
            None => {
                // Even: an entry that creates and deletes nothing.
                let hash = EntryHash([offset as u8 * 2; 32]);
                head = head.then(&hash);
                ProofLine {
                    hashes: Some(Blob(hash.0.to_vec())),
                    ..ProofLine::default()
                }
            }
        };
        lines.push(serde_json::to_string(&line).unwrap());
    }
    let end = ProofLine {
        end: Some(ProofEnd {
            to_offset,
            head: head.to_string(),
        }),
        ..ProofLine::default()
    };
    lines.push(serde_json::to_string(&end).unwrap());
    (lines.join("\n") + "\n").into_bytes()
}

fn life() -> Vec<AuditEntry> {
    vec![
        entry(10, vec![create("a", 0)]),
        entry(12, vec![event("a", 10), event("b", 7)]),
        entry(15, vec![event("a", 12), event("a", 15)]),
    ]
}

fn refused(shown: &[AuditEntry]) -> String {
    let from = shown[0].offset;
    check(&*proof(from, shown, 20)).unwrap_err().to_string()
}

#[test]
fn a_proof_shows_the_facts_of_the_instance_and_no_others() {
    let proven = check(&*proof(10, &life(), 17)).unwrap();
    let offsets: Vec<u64> = proven.facts.iter().map(|fact| fact.offset).collect();
    assert_eq!(offsets, [10, 12, 15, 15]);
    assert_eq!(
        (proven.from_offset, proven.last_fact, proven.to_offset),
        (10, 15, 17)
    );
    assert_eq!(proven.beginning, ProofBeginning::Created);
    let shown = serde_json::to_string(&proven.facts[1]).unwrap();
    for part in [
        "\"event\":\"PAY\"",
        "\"prev_offset\":10",
        "\"actor\":\"ann\"",
        "{\"by\":\"ann\"}",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn a_history_may_begin_behind_what_the_log_keeps_and_says_so() {
    let proven = check(&*proof(12, &life()[1..], 17)).unwrap();
    assert_eq!(proven.beginning, ProofBeginning::Behind(10));
}

#[test]
fn an_instance_may_be_deleted_created_again_and_flushed() {
    let mut entries = life();
    entries.push(entry(16, vec![delete("a", 15)]));
    entries.push(entry(17, vec![create("a", 16)]));
    entries.push(entry(18, vec![Body::FlushAll(FlushAll::default())]));
    entries.push(entry(19, vec![create("a", 0)]));
    let proven = check(&*proof(10, &entries, 20)).unwrap();
    assert_eq!(proven.facts.len(), 8);
}

#[test]
fn a_fact_that_is_left_out_or_has_no_effect_is_noticed() {
    let mut entries = life();
    entries.remove(1);
    let gap = refused(&entries);
    assert!(gap.contains("it follows a fact at offset 12"), "{gap}");
    let twice = refused(&[
        entry(10, vec![create("a", 0)]),
        entry(11, vec![create("a", 0)]),
    ]);
    assert!(twice.contains("which was there since offset 10"), "{twice}");
    let deleted = refused(&[
        entry(10, vec![create("a", 0)]),
        entry(11, vec![delete("a", 10)]),
        entry(12, vec![event("a", 11)]),
    ]);
    assert!(deleted.contains("there was no instance then"), "{deleted}");
    let mut stale = entry(10, vec![create("a", 0)]);
    stale.data = entry(9, vec![create("a", 0)]).data;
    let stale = refused(&[stale]);
    assert!(stale.contains("was decided for offset 9"), "{stale}");
    let none = refused(&[entry(10, vec![create("b", 0)])]);
    assert!(none.contains("no fact about the instance"), "{none}");
}

/// The lines of a proof in which this entry stands as something else.
fn with_line(whole: &[u8], entry: &AuditEntry, line: &ProofLine) -> String {
    let shown = serde_json::to_string(&ProofLine {
        entry: Some(entry.clone()),
        ..ProofLine::default()
    });
    let (shown, line) = (shown.unwrap(), serde_json::to_string(line).unwrap());
    let text = String::from_utf8(whole.to_vec()).unwrap();
    assert!(text.contains(&shown));
    text.replace(&shown, &line)
}

fn opened(entry: &AuditEntry) -> OpenedEntry {
    let logged = Logged {
        term: entry.term,
        offset: entry.offset,
        kind: EntryKind::Normal,
        payload: &entry.data.0,
    };
    logged.opened()
}

#[test]
fn a_whole_life_cannot_be_left_out() {
    let mut entries = life();
    let lives = [
        entry(16, vec![delete("a", 15)]),
        entry(17, vec![create("a", 0)]),
        entry(18, vec![event("a", 17)]),
        entry(19, vec![delete("a", 18)]),
    ];
    entries.extend(lives.iter().cloned());
    entries.push(entry(20, vec![create("a", 0)]));
    let whole = proof(10, &entries, 20);
    assert_eq!(check(&*whole).unwrap().facts.len(), 9);
    // The second life, hidden behind hashes of its entries.
    for hidden in [&lives[0], &lives[1], &lives[3]] {
        let hash = ProofLine {
            hashes: Some(Blob(opened(hidden).hash().0.to_vec())),
            ..ProofLine::default()
        };
        let text = with_line(&whole, hidden, &hash);
        let fault = check(text.as_bytes()).unwrap_err().to_string();
        assert!(fault.contains("it is not said which"), "{fault}");
        let named = ProofLine {
            lives: Some(Blob(opened(hidden).to_bytes())),
            ..ProofLine::default()
        };
        let text = with_line(&whole, hidden, &named);
        let fault = check(text.as_bytes()).unwrap_err().to_string();
        assert!(fault.contains("and is not shown"), "{fault}");
    }
    // Hashes that name no life are others, so the lines lead to another head.
    let mut text = whole;
    for hidden in &lives[1..] {
        let mut content = opened(hidden).content;
        content[31] &= !1;
        let cleared = ProofLine {
            hashes: Some(Blob(content.to_vec())),
            ..ProofLine::default()
        };
        text = with_line(&text, hidden, &cleared).into_bytes();
    }
    let fault = check(&*text).unwrap_err().to_string();
    assert!(fault.contains("head: the lines lead to"), "{fault}");
}

#[test]
fn other_instances_may_come_and_go_unseen() {
    let mut entries = life();
    let other = entry(16, vec![create("b", 0), create("c", 0)]);
    entries.push(other.clone());
    let named = ProofLine {
        lives: Some(Blob(opened(&other).to_bytes())),
        ..ProofLine::default()
    };
    let text = with_line(&proof(10, &entries, 17), &other, &named);
    let proven = check(text.as_bytes()).unwrap();
    assert_eq!((proven.facts.len(), proven.to_offset), (4, 17));
    assert!(!text.contains("\"b\""));
}

#[test]
fn an_entry_that_is_said_to_have_no_effect_is_told() {
    let mut entries = life();
    let mut void = entry(16, vec![delete("a", 12)]);
    void.stale = true;
    entries.push(void);
    // Decided for another offset, so it had none for certain.
    let mut certain = entry(17, vec![create("a", 0)]);
    certain.data = entry(16, vec![create("a", 0)]).data;
    certain.stale = true;
    entries.push(certain);
    let proven = check(&*proof(10, &entries, 18)).unwrap();
    assert_eq!(proven.said_stale, [16]);
    assert_eq!(proven.facts.len(), 4);
}

#[test]
fn what_a_client_said_about_a_write_is_shown() {
    let mut entries = life();
    let mut written = Entry::decode(Bytes::from(entries[0].data.0.clone())).unwrap();
    written.meta = Some(rstmdb_engine::fact::Meta {
        reason: Some("by phone".to_owned()),
        correlation_id: Some("w-1".to_owned()),
        ..rstmdb_engine::fact::Meta::default()
    });
    entries[0].data = Blob(written.encode_to_vec());
    let proven = check(&*proof(10, &entries, 17)).unwrap();
    let meta = &proven.facts[0].meta;
    assert_eq!(meta.reason.as_deref(), Some("by phone"));
    assert_eq!(meta.correlation_id.as_deref(), Some("w-1"));
    assert_eq!(meta.actor.as_deref(), Some("ann"));
}

#[test]
fn no_changed_byte_shows_another_history_under_the_same_head() {
    let whole = proof(10, &life(), 13);
    let right = check(&*whole).unwrap();
    let facts = |proven: &Proven| serde_json::to_string(&proven.facts).unwrap();
    let mut refused = 0;
    for at in 0..whole.len() {
        for bits in [1u8, 0x20, 0x80] {
            let mut changed = whole.clone();
            changed[at] ^= bits;
            match check(&*changed) {
                Ok(proven) if proven.head == right.head => {
                    assert_eq!(facts(&proven), facts(&right), "byte {at}");
                }
                _ => refused += 1,
            }
        }
    }
    // All fields but the name of the cluster, which is in no entry.
    assert!(
        refused > 3 * whole.len() - 40,
        "{refused} of {}",
        3 * whole.len()
    );
}

#[test]
fn lines_that_are_lost_repeated_or_swapped_are_noticed() {
    let whole = String::from_utf8(proof(10, &life(), 17)).unwrap();
    let right = check(whole.as_bytes()).unwrap().head;
    let lines: Vec<&str> = whole.lines().collect();
    let leads_there = |lines: &[&str]| {
        let text = lines.join("\n") + "\n";
        check(text.as_bytes()).is_ok_and(|proven| proven.head == right)
    };
    for at in 0..lines.len() {
        let mut lost = lines.clone();
        lost.remove(at);
        assert!(!leads_there(&lost), "without line {at}");
        let mut repeated = lines.clone();
        repeated.insert(at, lines[at]);
        assert!(!leads_there(&repeated), "line {at} twice");
        if at + 1 < lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            assert!(!leads_there(&swapped), "line {at} behind the next one");
        }
        let cut = &whole[..whole.len() - 2];
        assert!(check(cut.as_bytes()).is_err());
    }
}

#[test]
fn what_is_no_proof_is_refused_with_line_and_reason() {
    let whole = String::from_utf8(proof(10, &life(), 17)).unwrap();
    for (text, expected) in [
        ("".to_owned(), "line 1: it ends without its last line"),
        ("{}\n".to_owned(), "line 1: missing field"),
        (
            whole.replacen(FORMAT, "other", 1),
            "line 1: format: expected",
        ),
        (
            whole.replacen("\"version\":1", "\"version\":2", 1),
            "line 1: version: this program reads 1, got 2",
        ),
        (
            whole.replacen("\"from_offset\":10", "\"from_offset\":0", 1),
            "line 1: from_offset",
        ),
        (
            whole.replacen("0505", "05", 1),
            "line 1: head_before: expected a head",
        ),
        (
            whole.replacen("\"hashes\"", "\"hash\"", 1),
            "line 3: unknown field",
        ),
        (
            whole.replacen("\"hashes\":\"", "\"hashes\":\"AAAA", 1),
            "line 3: hashes: expected 32 bytes",
        ),
        (
            whole.replacen("\"to_offset\":17", "\"to_offset\":18", 1),
            "to_offset: the lines lead to 17",
        ),
        (format!("{whole}\n"), "it follows the last line"),
    ] {
        let refused = check(text.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}, not {expected}");
    }
}
