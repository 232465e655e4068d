//! The engine's golden scenarios over RCP: on one node, and on three, through each node in turn.
//!
//! A second engine follows the node. It decides every command at the offset and the time that the node has given
//! it, so its replies and refusals must be the node's answers, its digest must be that of every node, and what it
//! writes down must be the scenario, but for offsets that begin elsewhere, times and digests.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::BytesMut;
use rstmdb_backup::stream::{self, EntryKind, LogEntry};
use rstmdb_engine::Entry;
use rstmdb_engine::fact::level::{CURRENT, FIRST};
use rstmdb_engine::fact::{Message, NO_OFFSET};
use rstmdb_rcp::message::cluster::ClusterStatusResult;
use rstmdb_rcp::message::storage::backup::BackupLogResult;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{ANYONE_IMPORTS, Conn, PATIENCE, TestNode, UNDERSTANDS, outcome};
use crate::scenario::{Came, Run, Step, files, meta, request, steps};
use crate::scenario_rcp::{call, error, result, with_meta};

/// Scenarios that no client can bring about.
const NOT_PLAYED: [(&str, &str); 3] = [
    (
        "levels.txt",
        "no client can ask for a certain level, and `blind` decides without knowing what is in flight",
    ),
    (
        "locks.txt",
        "tokens are offsets and locks end at times, both of which are other ones in every run",
    ),
    (
        "stale.txt",
        "a fact is stale only where a leader decides without knowing what is in flight, which `blind` does",
    ),
];
/// A scenario ends here: what comes behind it stands on a clock that jumps, and a client cannot move a node's.
const PLAYED_UP_TO: &str = "> time ";
/// A scenario with this step begins at the first level, as the cluster of an older program does.
const RAISES: &str = "> level ";
/// Limits are keys of the configuration: the node starts again with them. `retention` is not among them: it shows
/// only where the clock jumps.
const LIMITS: [(&str, &str); 4] = [
    ("flush", "RSTMDB_ALLOW_FLUSH_ALL"),
    ("keys", "RSTMDB_IDEMPOTENCY_MAX_KEYS"),
    ("recreate", "RSTMDB_ALLOW_INSTANCE_RECREATE"),
    ("versions", "RSTMDB_MAX_MACHINE_VERSIONS"),
];

/// A node, or a cluster of three, with connections to all.
struct Serving {
    node: TestNode,
    conns: Vec<Conn>,
}

impl Serving {
    async fn start(dir: TempDir, limits: &BTreeMap<&'static str, String>) -> Self {
        let given = limits.iter().map(|(name, value)| (*name, &**value));
        let variables: Vec<_> = given.chain([(ANYONE_IMPORTS, "")]).collect();
        let node = TestNode::start_on(dir, &variables).await;
        let mut conns = vec![Conn::open(node.addr).await];
        if super::FOLLOWS {
            // A follower that has just formed its cluster may lack the entry with the members: a read waits for it.
            conns[0].ok("LIST_MACHINES", json!({})).await;
            let status = cluster_status(&mut conns[0]).await;
            let addrs = status
                .nodes
                .iter()
                .map(|node| node.rcp_addr.parse().unwrap());
            let addrs: Vec<SocketAddr> = addrs.collect();
            assert_eq!(addrs.len(), 3);
            for addr in addrs.into_iter().filter(|addr| *addr != node.addr) {
                conns.push(Conn::open(addr).await);
            }
        }
        Self { node, conns }
    }
}

struct Player {
    serving: Option<Serving>,
    /// Between two starts.
    dir: Option<TempDir>,
    limits: BTreeMap<&'static str, String>,
    turn: usize,
    engine: Run,
    /// The cluster was formed by the program before, so that it begins at the first level.
    is_old: bool,
    /// Ids that the node made up, and what the scenario calls them.
    made_up: Vec<(String, String)>,
    requests: usize,
}

impl Player {
    /// For a scenario.
    async fn of(script: &str) -> Self {
        let mut player = Self::new();
        if script.contains(RAISES) {
            player.form_at_first_level().await;
        }
        player
    }

    fn new() -> Self {
        Self {
            serving: None,
            is_old: false,
            dir: Some(tempfile::tempdir().unwrap()),
            limits: BTreeMap::new(),
            turn: 0,
            engine: Run::new(),
            made_up: Vec::new(),
            requests: 0,
        }
    }

    async fn play(&mut self, steps: &[Step<'_>]) {
        let mut held = None;
        for (at, step) in steps.iter().enumerate() {
            let text = step.command().unwrap_or("#");
            let is_held = held.is_some();
            match text.split_whitespace().next().unwrap() {
                "limits" => {
                    assert!(
                        !is_held,
                        "a node does not start again with requests in flight"
                    );
                    self.engine.echo(step);
                    self.limit(text).await;
                }
                "hold" => {
                    held = Some(at + 1);
                    self.steer(step, text);
                }
                "release" => {
                    self.perform(&steps[held.take().unwrap()..at]).await;
                    self.steer(step, text);
                    self.compare_digests().await;
                }
                "level" => self.finish_upgrade(step, text).await,
                "blind" | "skip" => panic!("{text} cannot be played over RCP"),
                _ if is_held => {}
                "#" => self.engine.echo(step),
                _ => {
                    self.perform(std::slice::from_ref(step)).await;
                    self.compare_digests().await;
                }
            }
        }
    }

    /// Forms the cluster with nodes of the program before, which write something, and takes over what they have
    /// written. A cluster in which nothing was written would go to the newest level by itself.
    async fn form_at_first_level(&mut self) {
        let variables = [(UNDERSTANDS, "1"), ("RSTMDB_ALLOW_FLUSH_ALL", "true")];
        let dir = self.dir.take().unwrap();
        let node = TestNode::start_on(dir, &variables).await;
        let mut conn = Conn::open(node.addr).await;
        conn.ok("FLUSH_ALL", json!({})).await;
        drop(conn);
        self.dir = Some(node.stop().await);
        self.is_old = true;
    }

    /// Ends the upgrade, which raises the level. The entry is the engine's next one as well.
    async fn finish_upgrade(&mut self, step: &Step<'_>, text: &str) {
        let from = self.engine.level();
        let conn = self.next_conn().await;
        let raised = conn.ok("CLUSTER_FINALIZE_UPGRADE", json!({})).await;
        let last = all_applied(conn, CURRENT).await;
        self.requests += 1;
        let after = self.engine.end() + 1;
        for entry in self.read_log(after, last).await {
            if entry.kind == EntryKind::Normal {
                self.engine.place(entry.offset, entry.time_ms);
            }
        }
        self.steer(step, text);
        assert_eq!(raised, json!({ "from": from, "to": self.engine.level() }));
    }

    fn steer(&mut self, step: &Step<'_>, text: &str) {
        self.engine.echo(step);
        self.engine.line(text, &[]);
    }

    /// Changes the limits, of the node at its next start.
    async fn limit(&mut self, text: &str) {
        let words = text.split_whitespace();
        let words: Vec<_> = words
            .filter(|word| !word.starts_with("retention="))
            .collect();
        for word in &words[1..] {
            let (name, value) = word.split_once('=').unwrap();
            let known = LIMITS.iter().find(|(known, _)| *known == name);
            self.limits.insert(known.unwrap().1, value.to_owned());
        }
        self.engine.line(&words.join(" "), &[]);
        self.stop().await;
    }

    async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            drop(serving.conns);
            self.dir = Some(serving.node.stop().await);
        }
    }

    /// The connection to the next node.
    async fn next_conn(&mut self) -> &mut Conn {
        if let Some(dir) = self.dir.take() {
            self.serving = Some(Serving::start(dir, &self.limits).await);
            let level = if self.is_old { FIRST } else { CURRENT };
            if self.engine.end() == 0 {
                self.take_over(level).await;
            }
        }
        self.turn += 1;
        let conns = &mut self.serving.as_mut().unwrap().conns;
        let at = self.turn % conns.len();
        &mut conns[at]
    }

    /// A new cluster begins with an entry that sets its feature level, and one of the program before with what that has
    /// written. The engine takes it over.
    async fn take_over(&mut self, level: u32) {
        let conn = &mut self.serving.as_mut().unwrap().conns[0];
        let last = all_applied(conn, level).await;
        for entry in self.read_log(1, last).await {
            if entry.kind == EntryKind::Normal {
                let entry = Entry::decode(entry.payload).unwrap();
                self.engine.install(&entry);
            }
        }
        assert_eq!(self.engine.level(), level);
    }

    async fn read_log(&mut self, from: u64, to: u64) -> Vec<LogEntry> {
        let conns = &mut self.serving.as_mut().unwrap().conns;
        let params = json!({ "from_offset": from, "to_offset": to });
        let piece = conns[0].ok("BACKUP_LOG", params).await;
        let piece: BackupLogResult = serde_json::from_value(piece).unwrap();
        let mut arrived = BytesMut::from(&*piece.data.0);
        let entries = (from..=to).map(|at| {
            let body = stream::take_frame(&mut arrived).unwrap().unwrap();
            let entry = LogEntry::decode(body).unwrap();
            assert_eq!(entry.offset, at);
            entry
        });
        entries.collect()
    }

    /// Sends all requests before it waits for an answer, and lets the engine decide them in the same order.
    async fn perform(&mut self, steps: &[Step<'_>]) {
        let texts: Vec<_> = steps
            .iter()
            .map(|step| step.command().map(|text| self.with_node_offset(text)))
            .collect();
        let conn = self.next_conn().await;
        let mut sent = BTreeMap::new();
        for (at, (step, text)) in steps.iter().zip(&texts).enumerate() {
            if let Some(text) = text {
                let (op, mut params) = call(&request(text, &step.ops));
                if let Some(meta) = meta(text) {
                    params = with_meta(&params, &meta);
                }
                let envelope =
                    format!(r#"{{"type":"request","id":"s{at}","op":"{op}","params":{params}}}"#);
                conn.send_text(&envelope).await;
                sent.insert(format!("s{at}"), envelope);
            }
        }
        let mut answers = BTreeMap::new();
        while answers.len() < sent.len() {
            let answer = conn.recv().await;
            let id = answer["id"].as_str().unwrap().to_owned();
            // A leader that has just come up has not asked the other members yet, and names them.
            let held_back = answer["error"]["details"]["held_back_by"].as_array();
            if held_back.is_some_and(|members| !members.is_empty()) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                conn.send_text(&sent[&id]).await;
                continue;
            }
            answers.insert(id, answer);
        }
        for (at, (step, text)) in steps.iter().zip(texts).enumerate() {
            match text {
                Some(text) => {
                    let answer = answers.remove(&format!("s{at}")).unwrap();
                    self.decide_too(step, text, answer).await;
                }
                None => self.engine.echo(step),
            }
        }
        self.requests += sent.len();
    }

    /// The engine does what the node has done, and must come to the same answer.
    async fn decide_too(&mut self, step: &Step<'_>, mut text: String, answer: Value) {
        let offset = answer["meta"]["wal_offset"].as_u64();
        let mut written = None;
        let writes = !text.starts_with("dry ");
        if writes && text.split_whitespace().any(|word| word == "generated") {
            text = self.with_made_up_id(&text, &answer);
        }
        if let Some(offset) = offset.filter(|offset| *offset > self.engine.end()) {
            written = Some(self.entry_at(offset).await);
            let time_ms = written.as_ref().map_or(0, |entry| entry.time_ms);
            self.engine.place(offset, time_ms);
        }
        self.engine.echo(step);
        self.engine.line(&text, &step.ops);
        if let Some(written) =
            written.filter(|written| self.engine.entries.contains_key(&written.index))
        {
            let decided = &self.engine.entries[&written.index];
            assert_eq!(written.facts, decided.facts, "{}", step.line);
            assert_eq!(written.meta, decided.meta, "{}", step.line);
        }
        let engine = &mut self.engine;
        let Came {
            outcome: came,
            offset: written,
        } = engine.came.last_mut().unwrap();
        assert_eq!(offset, *written, "{}: {answer}", step.line);
        match (outcome(answer), came) {
            (Ok(answered), Ok(reply)) => {
                let mut room = usize::MAX;
                let entries = &engine.entries;
                reply.complete(&mut room, &mut |offset| entries.get(&offset).cloned());
                assert_eq!(answered, result(reply), "{}", step.line);
            }
            (Err(answered), Err(refusal)) => {
                let mut expected = error(refusal);
                if expected["message"].is_null() {
                    expected["message"] = answered["message"].clone();
                }
                let seen = ["code", "details", "message"].map(|key| (key, answered[key].clone()));
                let seen: Value = seen.into_iter().collect();
                assert_eq!(seen, expected, "{}", step.line);
            }
            (answered, came) => panic!("{}: {answered:?}, and not {came:?}", step.line),
        }
    }

    /// The scenario's offsets count entries from 1; a node has more in its log.
    fn with_node_offset(&self, text: &str) -> String {
        let written: Vec<u64> = self.engine.entries.keys().copied().collect();
        let of_node = |offset: u64| written[offset as usize - 1].to_string();
        let text = after_each(text, " causation=", of_node);
        let command = text.trim_start_matches("dry ");
        if !["apply ", "delete "]
            .iter()
            .any(|name| command.starts_with(name))
        {
            return text;
        }
        after_each(&text, " offset=", of_node)
    }

    fn with_made_up_id(&mut self, text: &str, answer: &Value) -> String {
        let id = answer["result"]["instance_id"].as_str().unwrap().to_owned();
        let named = text.split_whitespace().nth(1).unwrap().to_owned();
        let text = text.replacen(&named, &id, 1);
        if !self.made_up.iter().any(|(known, _)| *known == id) {
            self.made_up.push((id, named));
        }
        text
    }

    /// The entry at `offset`, before which the log may only have gained entries without facts.
    async fn entry_at(&mut self, offset: u64) -> Entry {
        let from = self.engine.end() + 1;
        let entries = self.read_log(from, offset).await;
        for entry in &entries {
            assert_eq!(entry.kind == EntryKind::Normal, entry.offset == offset);
        }
        Entry::decode(entries.last().unwrap().payload.clone()).unwrap()
    }

    /// Every node has the engine's state, once it has applied all.
    async fn compare_digests(&mut self) {
        let Some(serving) = &mut self.serving else {
            return;
        };
        let end = self.engine.end();
        let waiting = async {
            loop {
                let status = cluster_status(&mut serving.conns[0]).await;
                let mut nodes = status.nodes.iter();
                if nodes.all(|node| node.digest_offset.is_some_and(|offset| offset >= end)) {
                    return status.nodes;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        let nodes = waited.expect("not every node has applied all");
        assert_eq!(nodes.len(), serving.conns.len());
        let digest = format!("{:032x}", self.engine.digest());
        for node in nodes {
            assert_eq!(
                node.digest.as_deref(),
                Some(&*digest),
                "node {}",
                node.node_id
            );
        }
    }

    /// What the engine has written down, with the offsets and ids of the scenario.
    fn written_down(&self) -> String {
        let mut text = self.engine.out.clone();
        for (id, named) in &self.made_up {
            text = text.replace(id, named);
        }
        let entries: Vec<u64> = self.engine.entries.keys().copied().collect();
        for mark in [
            "@",
            "offset Some(",
            "wal_offset ",
            "wal_offset: ",
            "wal_offset\":",
            "causation \"",
            "the instance's last is ",
        ] {
            text = after_each(&text, mark, |offset| {
                if offset == NO_OFFSET {
                    return offset.to_string();
                }
                let at = entries.binary_search(&offset);
                at.map_or_else(|_| format!("{offset}?"), |at| (at + 1).to_string())
            });
        }
        text
    }
}

/// Waits until the cluster is at this level, and every node has applied the same; says up to where.
async fn all_applied(conn: &mut Conn, level: u32) -> u64 {
    let waiting = async {
        loop {
            let status = cluster_status(conn).await;
            let applied: Vec<_> = status.nodes.iter().map(|node| node.applied).collect();
            let first = applied.first().copied().flatten();
            // A member that has just come up has not said yet what it understands.
            let all_know = status
                .nodes
                .iter()
                .all(|node| node.understands_level == Some(CURRENT));
            if let Some(last) = first.filter(|last| *last > 0)
                && status.feature_level == Some(level)
                && all_know
                && applied.iter().all(|applied| *applied == Some(last))
            {
                return last;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| panic!("the cluster does not come to level {level}"))
}

async fn cluster_status(conn: &mut Conn) -> ClusterStatusResult<'static> {
    serde_json::from_value(conn.ok("CLUSTER_STATUS", json!({})).await).unwrap()
}

/// Replaces the number behind each `mark`.
fn after_each(text: &str, mark: &str, replaced: impl Fn(u64) -> String) -> String {
    let mut parts = text.split(mark);
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|digit: char| digit.is_ascii_digit());
        out.push_str(mark);
        match part[..part.len() - rest.len()].parse() {
            Ok(number) => out.push_str(&replaced(number)),
            Err(_) => out.push_str(&part[..part.len() - rest.len()]),
        }
        out.push_str(rest);
    }
    out
}

/// The lines of a scenario without times and digests, which are other ones in every run.
fn comparable(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| match line.split_once(" digest ") {
        Some((applied, _)) if line.starts_with("Applied @") => applied.to_owned(),
        _ => {
            let line = after_each(line, "created_ms: ", |_| String::new());
            let line = after_each(&line, "updated_ms: ", |_| String::new());
            // What an expression made of `now`.
            after_each(&line, "\"at\":", |_| String::new())
        }
    });
    lines.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_plays_over_rcp_as_in_the_engine() {
    let (mut played, mut all) = (0, 0);
    for file in files() {
        let name = file.file_name().unwrap().to_str().unwrap();
        let script = std::fs::read_to_string(&file).unwrap();
        if NOT_PLAYED.iter().any(|(not_played, _)| *not_played == name) {
            continue;
        }
        all += steps(&script)
            .iter()
            .filter(|step| step.command().is_some())
            .count();
        let script = script.split(PLAYED_UP_TO).next().unwrap();
        let mut player = Player::of(script).await;
        player.play(&steps(script)).await;
        player.stop().await;
        let (written, expected) = (comparable(&player.written_down()), comparable(script));
        for (written, expected) in written.iter().zip(&expected) {
            assert_eq!(written, expected, "{name}");
        }
        assert_eq!(written.len(), expected.len(), "{name}");
        played += player.requests;
    }
    assert!(
        played * 3 > all * 2,
        "{played} of {all} commands were played"
    );
}
