//! Golden scenarios: `scenarios/*.txt`, commands (`> `, operations of a batch `| `) with what
//! came of each. `UPDATE_SCENARIOS=1` rewrites what came of them.
//!
//! `hold` decides over what is in flight, `blind` on the applied state alone; both keep the entries
//! until `release` applies them at the log's next offsets. `skip` passes over one offset.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::fmt::Write;

use crate::common::{bytes, decided, reload};
use rstmdb_engine::command::{
    ApplyEvent, BatchOp, CreateInstance, DeleteInstance, ListInstances, PutMachine, Query,
};
use rstmdb_engine::{Command, Decision, Entry, Limits, Pending, Reply, State};

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Direct,
    Hold,
    Blind,
}

struct Run {
    state: State,
    pending: Pending,
    held: Vec<Entry>,
    mode: Mode,
    now_ms: u64,
    limits: Limits,
    out: String,
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
            }),
            "apply" => Command::ApplyEvent(ApplyEvent {
                instance_id: word(1),
                event: word(2),
                payload: json,
                expected_state: self.option("state"),
                expected_wal_offset: self.number("offset"),
                event_id: self.option("id"),
                idempotency_key,
            }),
            "delete" => Command::DeleteInstance(DeleteInstance {
                instance_id: word(1),
                idempotency_key,
            }),
            "flush" => Command::FlushAll,
            other => panic!("unknown command {other}"),
        }
    }
}

impl Run {
    fn new() -> Self {
        Self {
            state: State::new(),
            pending: Pending::new(),
            held: Vec::new(),
            mode: Mode::Direct,
            now_ms: 1000,
            limits: Limits::default(),
            out: String::new(),
        }
    }

    fn line(&mut self, text: &str, ops: &[&str]) {
        let line = Line::parse(text);
        match line.words[0] {
            "time" => self.now_ms = line.words[1].parse().unwrap(),
            "limits" => self.set_limits(&line),
            "hold" => self.mode = Mode::Hold,
            "blind" => self.mode = Mode::Blind,
            "skip" => self.state.skip(self.state.last_applied() + 1),
            "release" => self.release(),
            "batch" => {
                let ops = ops
                    .iter()
                    .map(|op| Line::parse(op))
                    .map(|op| match op.query() {
                        Some(query) => BatchOp::Read(query),
                        None => BatchOp::Write(op.command()),
                    });
                self.command(&Command::Batch(ops.collect()));
            }
            _ => match line.query() {
                Some(query) => match self.state.query(&query) {
                    Ok(reply) => self.reply(&reply),
                    Err(refusal) => self.say(&format!("refused {}: {refusal}", refusal.code())),
                },
                None => self.command(&line.command()),
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

    fn command(&mut self, command: &Command) {
        let offset = self.state.last_applied() + 1 + self.held.len() as u64;
        let nothing = Pending::new();
        let pending = match self.mode {
            Mode::Blind => &nothing,
            Mode::Direct | Mode::Hold => &self.pending,
        };
        let decision = decided(
            &self.state,
            pending,
            command,
            offset,
            self.now_ms,
            &self.limits,
        );
        match decision {
            Err(refusal) => {
                self.say(&format!("refused {}: {refusal}", refusal.code()));
                self.say(&format!("details {}", refusal.details()));
            }
            Ok(Decision::Answer { reply, offset }) => {
                self.say(&format!("answer, offset {offset:?}"));
                self.reply(&reply);
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
        }
        assert!(self.pending.is_empty());
        self.mode = Mode::Direct;
    }
}

fn play(script: &str) -> String {
    let mut run = Run::new();
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            run.say(line);
        }
        let Some(command) = line.strip_prefix("> ") else {
            continue;
        };
        let mut ops = Vec::new();
        while let Some(op) = lines.peek().and_then(|line| line.strip_prefix("| ")) {
            ops.push(op);
            lines.next();
        }
        run.say(line);
        for op in &ops {
            run.say(&format!("| {op}"));
        }
        run.line(command, &ops);
    }
    run.out
}

#[test]
fn every_scenario_plays_as_written() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    let update = std::env::var_os("UPDATE_SCENARIOS").is_some();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    files.sort_by_key(std::fs::DirEntry::path);
    assert!(files.len() >= 6, "scenarios are missing");
    for file in files {
        let written = std::fs::read_to_string(file.path()).unwrap();
        let played = play(&written);
        if update {
            std::fs::write(file.path(), played).unwrap();
        } else {
            assert_eq!(written, played, "{}", file.path().display());
        }
    }
}
