//! Golden scenarios: `scenarios/*.txt`. They hold commands (`> `, operations of a batch `| `), each with its results.
//! The engine's tests play them here; the node's tests include this file, and play them over RCP.
//!
//! `hold` decides over what is in flight, `blind` on the applied state alone; both keep the entries
//! until `release` applies them at the log's next offsets. `skip` passes over one offset.

#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use crate::common::{bytes, reload, said};
use rstmdb_engine::command::{
    AcquireLock, ApplyEvent, Asker, BatchOp, CreateInstance, DeleteInstance, DeleteMachine, DryRun,
    Import, ListInstances, LockCommand, PutMachine, Query, ReleaseLock, RenewLock, SetAutomation,
};
use rstmdb_engine::fact::{Fence, Header, Meta};
use rstmdb_engine::{
    Command, Decision, Entry, EntryOutcome, Limits, PendingEntries, Refusal, Reply, State,
};

/// The files of all scenarios, by name.
pub fn files() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/scenarios");
    let listed = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = listed.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 6, "scenarios are missing");
    files
}

/// A comment, or a command with the operations of its batch, without results.
pub struct Step<'a> {
    pub line: &'a str,
    pub ops: Vec<&'a str>,
}

impl<'a> Step<'a> {
    /// `None` for a comment.
    pub fn command(&self) -> Option<&'a str> {
        self.line.strip_prefix("> ")
    }
}

pub fn steps(script: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for line in script.lines() {
        if line.starts_with('#') || line.starts_with("> ") {
            let ops = Vec::new();
            steps.push(Step { line, ops });
        } else if let Some(op) = line.strip_prefix("| ") {
            steps.last_mut().unwrap().ops.push(op);
        }
    }
    steps
}

/// What a line asks for.
pub enum Request {
    Command(Command),
    Query(Query),
}

/// `text` is a line without its mark, and no line that steers the run.
pub fn request(text: &str, ops: &[&str]) -> Request {
    if let Some(asked) = text.strip_prefix("dry ") {
        return Request::Command(Command::DryRun(Box::new(dry_run(asked, ops))));
    }
    let line = Line::parse(text);
    if line.words[0] == "batch" {
        let ops = ops
            .iter()
            .map(|op| Line::parse(op))
            .map(|op| match op.query() {
                Some(query) => BatchOp::Read(query),
                None => BatchOp::Write(op.command()),
            });
        return Request::Command(Command::Batch(ops.collect()));
    }
    match line.query() {
        Some(query) => Request::Query(query),
        None => Request::Command(line.command()),
    }
}

/// What the client of a line says about its write: `reason=`, `correlation=`, `causation=`, `header=NAME:VALUE` and
/// `fence=LOCK@TOKEN`.
pub fn meta(text: &str) -> Option<Meta> {
    let line = Line::parse(text);
    let headers = line.words.iter();
    let headers = headers.filter_map(|word| word.strip_prefix("header=")?.split_once(':'));
    let meta = Meta {
        headers: headers
            .map(|(name, value)| Header {
                name: name.to_owned(),
                value: value.to_owned(),
            })
            .collect(),
        reason: line.option("reason"),
        correlation_id: line.option("correlation"),
        causation_id: line.option("causation"),
        fence: line.option("fence").map(|fence| {
            let (lock, token) = fence.split_once('@').unwrap();
            Fence {
                lock: lock.to_owned(),
                token: token.parse().unwrap(),
            }
        }),
    };
    (meta != Meta::default()).then_some(meta)
}

/// `dry batch alone` asks for operations that stand alone.
fn dry_run(text: &str, ops: &[&str]) -> DryRun {
    match request(text, ops) {
        Request::Command(Command::Batch(ops)) if text.contains("alone") => {
            DryRun::EachAlone(ops.into_iter().map(Ok).collect())
        }
        Request::Command(command) => DryRun::Whole(command),
        Request::Query(_) => panic!("a dry run of a query"),
    }
}

/// What came of a request.
pub struct Came {
    pub outcome: Result<Reply, Refusal>,
    /// The offset at which it was written, now or by the first call with its key.
    pub offset: Option<u64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Direct,
    Hold,
    Blind,
}

/// The engine on a log of its own.
pub struct Run {
    state: State,
    pending: PendingEntries,
    held: Vec<Entry>,
    mode: Mode,
    now_ms: u64,
    limits: Limits,
    /// The scenario as it was played.
    pub out: String,
    /// What came of each request.
    pub came: Vec<Came>,
    /// What was applied, by its offset.
    pub entries: BTreeMap<u64, Entry>,
}

/// A line: words, options, and a JSON text at the end.
struct Line<'a> {
    words: Vec<&'a str>,
    json: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Self {
        let (head, json) = match line.find(['{', '[']) {
            Some(at) => (&line[..at], Some(&line[at..])),
            None => (line, None),
        };
        Self {
            words: head.split_whitespace().collect(),
            json,
        }
    }

    fn option(&self, name: &str) -> Option<String> {
        let prefix = format!("{name}=");
        let value = self
            .words
            .iter()
            .find_map(|word| word.strip_prefix(&prefix));
        value.map(str::to_owned)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.option(name).map(|number| number.parse().unwrap())
    }

    fn query(&self) -> Option<Query> {
        match self.words[0] {
            "get" => Some(Query::GetInstance {
                instance_id: self.words[1].to_owned(),
            }),
            "allowed" => Some(Query::AllowedEvents {
                instance_id: self.words[1].to_owned(),
                payloads: self.json.map(bytes),
                headers: Vec::new(),
                asker: Asker::default(),
            }),
            "lock" => Some(Query::GetLock {
                name: self.words[1].to_owned(),
                now_ms: 0,
            }),
            "machine" => Some(Query::GetMachine {
                machine: self.words[1].to_owned(),
                version: self.words.get(2).map(|version| version.parse().unwrap()),
            }),
            "machines" => Some(Query::ListMachines {
                limit: self.number("limit"),
                offset: self.number("offset"),
            }),
            "list" => Some(Query::ListInstances(ListInstances {
                machine: self.option("machine"),
                state: self.option("state"),
                limit: self.number("limit"),
                offset: self.number("offset"),
                after: self.option("after"),
            })),
            _ => None,
        }
    }

    fn command(&self) -> Command {
        let word = |at: usize| self.words[at].to_owned();
        let json = self.json.map(bytes);
        let idempotency_key = self.option("key");
        match self.words[0] {
            "put" => Command::PutMachine(PutMachine {
                machine: word(1),
                version: word(2).parse().unwrap(),
                definition: json.unwrap(),
                checksum: self.option("checksum"),
            }),
            "create" => Command::CreateInstance(CreateInstance {
                instance_id: word(1),
                id_given: !self.words.contains(&"generated"),
                machine: word(2),
                version: word(3).parse().unwrap(),
                initial_ctx: json,
                idempotency_key,
                import: self.option("in").map(|state| {
                    Box::new(Import {
                        state,
                        created_ms: self.number("created"),
                        updated_ms: self.number("updated"),
                    })
                }),
            }),
            "drop" => Command::DeleteMachine(DeleteMachine {
                machine: word(1),
                version: self.words.get(2).map(|version| version.parse().unwrap()),
            }),
            "apply" => Command::ApplyEvent(ApplyEvent {
                instance_id: word(1),
                event: word(2),
                payload: json,
                expected_state: self.option("state"),
                expected_wal_offset: self.number("offset"),
                event_id: self.option("id"),
                idempotency_key,
                timers: None,
            }),
            "delete" => Command::DeleteInstance(DeleteInstance {
                instance_id: word(1),
                expected_wal_offset: self.number("offset"),
                idempotency_key,
            }),
            "acquire" => Command::Lock(LockCommand::Acquire(AcquireLock {
                name: word(1),
                owner: word(2),
                ttl_ms: self.number("ttl").unwrap(),
                wait_ms: None,
            })),
            "renew" => Command::Lock(LockCommand::Renew(RenewLock {
                name: word(1),
                token: word(2).parse().unwrap(),
                ttl_ms: self.number("ttl"),
            })),
            "unlock" => Command::Lock(LockCommand::Release(ReleaseLock {
                name: word(1),
                token: word(2).parse().unwrap(),
            })),
            "flush" => Command::FlushAll,
            "level" => Command::SetLevel {
                level: word(1).parse().unwrap(),
            },
            "pause" => Command::SetAutomation(SetAutomation {
                paused: true,
                reason: self.option("reason"),
                ..SetAutomation::default()
            }),
            "resume" => Command::SetAutomation(SetAutomation {
                reason: self.option("reason"),
                skip_overdue: self.words.contains(&"skip"),
                shift_timers: self.words.contains(&"shift"),
                ..SetAutomation::default()
            }),
            other => panic!("unknown command {other}"),
        }
    }
}

impl Run {
    pub fn new() -> Self {
        Self {
            state: State::new(),
            pending: PendingEntries::new(),
            held: Vec::new(),
            mode: Mode::Direct,
            now_ms: 1000,
            limits: Limits::default(),
            out: String::new(),
            came: Vec::new(),
            entries: BTreeMap::new(),
        }
    }

    /// The last offset of the log.
    pub fn end(&self) -> u64 {
        self.state.last_applied() + self.held.len() as u64
    }

    /// The next entry is written at this offset and at this time.
    pub fn place(&mut self, offset: u64, now_ms: u64) {
        while self.end() + 1 < offset {
            assert!(self.held.is_empty(), "a gap before @{offset}");
            self.state.skip(self.end() + 1);
        }
        self.now_ms = now_ms;
    }

    pub fn level(&self) -> u32 {
        self.state.level()
    }

    /// Takes an entry that no request of the scenario has asked for.
    pub fn install(&mut self, entry: &Entry) {
        self.place(entry.index, entry.time_ms);
        assert_eq!(
            self.state.apply(entry, entry.index),
            Ok(EntryOutcome::Applied)
        );
    }

    pub fn digest(&self) -> u128 {
        self.state.digest()
    }

    pub fn echo(&mut self, step: &Step<'_>) {
        self.say(step.line);
        for op in &step.ops {
            self.say(&format!("| {op}"));
        }
    }

    /// Plays a line without its mark.
    pub fn line(&mut self, text: &str, ops: &[&str]) {
        let line = Line::parse(text);
        match line.words[0] {
            "time" => self.now_ms = line.words[1].parse().unwrap(),
            "limits" => self.set_limits(&line),
            "level" => self.command(
                &Command::SetLevel {
                    level: line.words[1].parse().unwrap(),
                },
                None,
            ),
            "hold" => self.mode = Mode::Hold,
            "blind" => self.mode = Mode::Blind,
            "skip" => self.state.skip(self.state.last_applied() + 1),
            "release" => self.release(),
            _ => match request(text, ops) {
                Request::Query(query) => self.query(&query),
                Request::Command(command) => self.command(&command, meta(text).as_ref()),
            },
        }
    }

    fn set_limits(&mut self, line: &Line<'_>) {
        let flag = |name| line.option(name).map(|flag| flag == "true");
        let limits = &mut self.limits;
        limits.allow_flush_all = flag("flush").unwrap_or(limits.allow_flush_all);
        limits.allow_instance_recreate = flag("recreate").unwrap_or(limits.allow_instance_recreate);
        limits.idempotency_keys_max = line.number("keys").unwrap_or(limits.idempotency_keys_max);
        limits.idempotency_retention_ms = line
            .number("retention")
            .unwrap_or(limits.idempotency_retention_ms);
        if let Some(versions) = line.number("versions") {
            limits.max_machine_versions = versions as u32;
        }
    }

    fn say(&mut self, text: &str) {
        writeln!(self.out, "{text}").unwrap();
    }

    fn reply(&mut self, reply: &Reply) {
        match reply {
            Reply::Batch(replies) => replies.iter().for_each(|reply| self.reply(reply)),
            reply => self.say(&format!("reply {reply:?}")),
        }
    }

    fn query(&mut self, query: &Query) {
        let outcome = self.state.query(query);
        match &outcome {
            Ok(reply) => self.reply(reply),
            Err(refusal) => self.say(&format!("refused {}: {refusal}", refusal.code())),
        }
        self.came(outcome, None);
    }

    fn came(&mut self, outcome: Result<Reply, Refusal>, offset: Option<u64>) {
        self.came.push(Came { outcome, offset });
    }

    fn command(&mut self, command: &Command, meta: Option<&Meta>) {
        let offset = self.end() + 1;
        let nothing = PendingEntries::new();
        let pending = match self.mode {
            Mode::Blind => &nothing,
            Mode::Direct | Mode::Hold => &self.pending,
        };
        let decision = said(
            &self.state,
            pending,
            command,
            meta,
            offset,
            self.now_ms,
            &self.limits,
        );
        match decision {
            Err(refusal) => {
                self.say(&format!("refused {}: {refusal}", refusal.code()));
                self.say(&format!("details {}", refusal.details()));
                self.came(Err(refusal), None);
            }
            Ok(Decision::Answer { reply, offset }) => {
                self.say(&format!("answer, offset {offset:?}"));
                self.reply(&reply);
                self.came(Ok(reply), offset);
            }
            Ok(Decision::Write {
                entry,
                reply,
                compiled,
            }) => {
                self.say(&entry.to_string());
                if matches!(reply, Reply::Batch(_) | Reply::Flushed { .. }) {
                    self.reply(&reply);
                }
                self.came(Ok(reply), Some(offset));
                if self.mode == Mode::Hold {
                    self.pending.push(&entry, &compiled);
                }
                self.held.push(entry);
                if self.mode == Mode::Direct {
                    self.release();
                }
            }
        }
    }

    fn release(&mut self) {
        for entry in std::mem::take(&mut self.held) {
            let offset = self.state.last_applied() + 1;
            let outcome = self.state.apply(&entry, offset).unwrap();
            self.pending.settle(offset);
            let digest = self.state.digest();
            assert_eq!(digest, self.state.recompute_digest());
            assert_eq!(digest, reload(&self.state).digest());
            self.say(&format!("{outcome:?} @{offset} digest {digest:032x}"));
            if outcome == EntryOutcome::Applied {
                self.entries.insert(offset, entry);
            }
        }
        assert!(self.pending.is_empty());
        self.mode = Mode::Direct;
    }
}
