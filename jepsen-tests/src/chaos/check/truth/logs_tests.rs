#![allow(clippy::unwrap_used)]

use std::process::Command;

use openraft::EntryPayload;
use rstmdb_raft_store::{Data, log_id};
use serde_json::Value;

use super::*;

const KEYS: &str = "1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n\
                    2 202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";

fn entry(term: u64, index: u64, text: &str) -> Entry {
    Entry {
        log_id: log_id(term, index),
        payload: EntryPayload::Normal(Data(Bytes::from(text.to_owned()))),
    }
}

/// Logs that were followed record by record, one after the other.
#[derive(Default)]
struct Cluster {
    contents: Contents,
    disagreements: Vec<String>,
    logs: Vec<NodeLog>,
}

impl Cluster {
    fn node(&mut self, follow: impl FnOnce(&mut NodeLogReader<'_>)) -> &mut Self {
        let node = self.logs.len() as u64 + 1;
        let mut reader = NodeLogReader {
            log: NodeLog::new(node),
            contents: &mut self.contents,
            disagreements: &mut self.disagreements,
        };
        follow(&mut reader);
        let log = reader.log;
        self.logs.push(log);
        self
    }

    /// The committed log ids, and what is wrong.
    fn agree(&mut self) -> (Vec<LogId>, Vec<String>) {
        let committed = agree(&self.logs, &mut self.disagreements);
        let found = std::mem::take(&mut self.disagreements);
        (committed.into_values().collect(), found)
    }
}

fn appends(reader: &mut NodeLogReader<'_>, entries: &[(u64, u64)]) {
    for (term, index) in entries {
        reader.entry(entry(*term, *index, &format!("{term}-{index}")));
    }
}

#[test]
fn a_folder_of_a_node_gives_the_state_it_had() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/format-1");
    for name in ["clear", "encrypted"] {
        let folder = tempfile::tempdir().unwrap();
        let archive = fixtures.join(format!("{name}.tar.gz"));
        let dir = folder.path().to_path_buf();
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(&archive).arg("-C").arg(&dir);
        assert!(tar.status().unwrap().success());
        let keys = Keyring::parse(KEYS).unwrap();
        let folders = [(1, dir.clone()), (2, dir.clone())];
        let truth = Truth::from_folders(&folders, &keys).unwrap();

        let text = std::fs::read_to_string(fixtures.join(format!("{name}.json"))).unwrap();
        let expected: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(expected["digest"].as_str(), Some(truth.digest.as_str()));
        assert_eq!((truth.nodes, &truth.disagreements), (2, &Vec::new()));
        let order = truth.of_instance("order-3").collect::<Vec<_>>();
        assert_eq!(order[0].key.as_deref(), Some("create-3"));
        assert_eq!(
            (order[1].event.as_str(), order[1].to.as_str()),
            ("PAY", "paid")
        );
        assert_eq!(truth.of_event("pay-3").count(), 1);
        assert_eq!(truth.of_key("create-3").count(), 1);
    }
}

#[test]
fn a_folder_without_a_log_is_no_truth() {
    let folder = tempfile::tempdir().unwrap();
    let folders = [(1, folder.path().to_path_buf())];
    assert!(Truth::from_folders(&folders, &Keyring::default()).is_err());
    assert!(matches!(
        Truth::from_folders(&[], &Keyring::default()),
        Err(Error::NoLog)
    ));
}

#[test]
fn tails_that_are_not_committed_may_differ() {
    let mut cluster = Cluster::default();
    cluster.node(|node| {
        appends(node, &[(1, 0), (1, 1), (1, 2)]);
        node.commit(Some(log_id(1, 1)));
    });
    cluster.node(|node| {
        appends(node, &[(1, 0), (1, 1), (2, 2), (2, 3)]);
        node.commit(Some(log_id(2, 2)));
    });
    let expected = vec![log_id(1, 0), log_id(1, 1), log_id(2, 2)];
    assert_eq!(cluster.agree(), (expected, Vec::new()));
}

#[test]
fn what_all_nodes_hold_is_committed() {
    let mut cluster = Cluster::default();
    for _ in 0..2 {
        cluster.node(|node| appends(node, &[(1, 0), (1, 1)]));
    }
    let expected = vec![log_id(1, 0), log_id(1, 1)];
    assert_eq!(cluster.agree(), (expected, Vec::new()));
}

#[test]
fn committed_entries_that_differ_are_found() {
    let mut cluster = Cluster::default();
    for term in [1, 2] {
        cluster.node(|node| {
            appends(node, &[(1, 0), (term, 1)]);
            node.commit(Some(log_id(term, 1)));
        });
    }
    let (_, found) = cluster.agree();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("node 2 has committed"), "{found:?}");
}

#[test]
fn the_same_log_id_with_another_content_is_found() {
    let mut cluster = Cluster::default();
    cluster.node(|node| node.entry(entry(1, 0, "one")));
    cluster.node(|node| node.entry(entry(1, 0, "other")));
    assert_eq!(cluster.agree().1.len(), 1);
}

#[test]
fn a_conflicting_tail_may_be_cut_off_but_nothing_committed() {
    let mut cluster = Cluster::default();
    cluster.node(|node| {
        appends(node, &[(1, 0), (1, 1), (1, 2)]);
        node.commit(Some(log_id(1, 1)));
        node.truncate(Some(log_id(1, 1)));
        appends(node, &[(2, 2)]);
        node.commit(Some(log_id(2, 2)));
    });
    let expected = vec![log_id(1, 0), log_id(1, 1), log_id(2, 2)];
    assert_eq!(cluster.agree(), (expected, Vec::new()));
    cluster.node(|node| {
        appends(node, &[(1, 0), (1, 1), (1, 2)]);
        node.commit(Some(log_id(1, 1)));
        node.truncate(Some(log_id(1, 0)));
    });
    let (_, found) = cluster.agree();
    assert!(found[0].contains("cut off its log from 1 on"), "{found:?}");
}

#[test]
fn what_is_told_to_be_committed_counts_once_it_is_held() {
    let mut cluster = Cluster::default();
    cluster.node(|node| {
        // Told ahead of the entry, while another one is still there.
        appends(node, &[(1, 0), (1, 1)]);
        node.commit(Some(log_id(2, 1)));
        node.truncate(Some(log_id(1, 0)));
        appends(node, &[(2, 1), (2, 2)]);
    });
    cluster.node(|_| {});
    let expected = vec![log_id(1, 0), log_id(2, 1)];
    assert_eq!(cluster.agree(), (expected, Vec::new()));
}

#[test]
fn a_snapshot_in_place_of_the_log_leaves_what_was_committed() {
    let mut cluster = Cluster::default();
    cluster.node(|node| {
        appends(node, &[(1, 0), (1, 1), (1, 2)]);
        node.commit(Some(log_id(1, 1)));
        node.purge(log_id(3, 9));
        appends(node, &[(3, 10)]);
        node.commit(Some(log_id(3, 10)));
        let mut history = NodeLog::new(1);
        for index in 2..10 {
            history.entries.insert(index, log_id(3, index));
        }
        node.join(history);
    });
    let (committed, found) = cluster.agree();
    assert_eq!((committed.len(), found), (11, Vec::new()));
    assert_eq!(committed[2], log_id(3, 2));
}

#[test]
fn history_that_contradicts_the_log_is_found() {
    let mut cluster = Cluster::default();
    cluster.node(|node| {
        appends(node, &[(1, 0), (1, 1)]);
        let mut history = NodeLog::new(1);
        history.entries.insert(1, log_id(2, 1));
        node.join(history);
    });
    assert_eq!(cluster.agree().1.len(), 1);
}

#[test]
fn a_gap_in_what_all_nodes_hold_is_no_truth() {
    let (mut committed, mut contents) = (BTreeMap::new(), Contents::new());
    for index in [0, 1, 3] {
        committed.insert(index, log_id(1, index));
        contents.insert(log_id(1, index), EntryContent::Nothing);
    }
    let missing = apply(&committed, &contents);
    assert!(matches!(missing, Err(Error::Missing(2))), "{missing:?}");
    committed.insert(2, log_id(1, 2));
    assert_eq!(apply(&committed, &contents).unwrap().last_offset, 3);
    committed.retain(|index, _| *index > 1);
    assert!(matches!(
        apply(&committed, &contents),
        Err(Error::Missing(1))
    ));
}
