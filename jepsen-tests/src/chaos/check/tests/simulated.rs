//! A database without faults and clients that overlap, by seed: long histories that are known to be good.

use std::collections::BTreeMap;

use super::*;
use crate::harness::rng::Rng;
use crate::load::machines::TestMachine;

/// How far a request may begin before it takes effect, and end after.
const SPREAD: u64 = 60;
const REGISTERS: u64 = 8;
const ORDERS: u64 = 8;
const ACCOUNTS: u64 = 5;
const CLIENTS: u32 = 10;

pub struct Simulated {
    pub entries: Vec<HistoryEntry>,
    pub facts: Vec<TrueFact>,
    rng: Rng,
    now: u64,
    offset: u64,
    current: BTreeMap<String, TrueFact>,
    /// What each client has seen of each register.
    seen: BTreeMap<(u32, String), u64>,
    /// Every version of the registers, by offset.
    versions: BTreeMap<String, Vec<TrueFact>>,
    items: Vec<String>,
}

/// A fact as a read shows it.
pub fn read_of(fact: &TrueFact) -> Value {
    let mut result = json!({"machine": fact.machine, "version": 1, "state": fact.to,
        "ctx": fact.ctx, "last_wal_offset": fact.offset});
    if let Some(event_id) = &fact.event_id {
        result["last_event_id"] = json!(event_id);
    }
    result
}

fn ack_of(fact: &TrueFact) -> Value {
    json!({"from_state": fact.from, "to_state": fact.to, "ctx": fact.ctx,
        "wal_offset": fact.offset, "applied": true})
}

impl Simulated {
    /// A history of at least this many requests, of these workloads.
    pub fn run(seed: u64, requests: usize, workloads: &[Workload]) -> Self {
        let mut it = Self {
            entries: Vec::new(),
            facts: Vec::new(),
            rng: Rng::new(seed),
            now: 100_000,
            offset: 1,
            current: BTreeMap::new(),
            seen: BTreeMap::new(),
            versions: BTreeMap::new(),
            items: Vec::new(),
        };
        for n in 0..REGISTERS {
            it.create(&format!("reg-{n}"), "register", "on", json!({"v": 0}));
            it.create(&format!("once-{n}"), "counter", "on", json!({}));
        }
        for n in 0..ORDERS {
            let total = json!({"total_cents": 5});
            it.create(&format!("order-{n}"), "order", "created", total);
        }
        for n in 0..ACCOUNTS {
            it.create(
                &format!("acct-{n}"),
                "account",
                "open",
                json!({"cents": 1000}),
            );
        }
        while it.entries.len() < requests {
            it.now += it.rng.between(1, 20);
            match *it.rng.pick(workloads) {
                Workload::Register => it.register(),
                Workload::Lease => it.read_register(Workload::Lease),
                Workload::Monotonic => it.local(),
                Workload::Machine => it.order(),
                Workload::Once => it.once(),
                Workload::Bank => it.bank(),
                Workload::Set => it.set(),
                // Their histories are made by hand.
                Workload::Asking
                | Workload::Parcel
                | Workload::Automation
                | Workload::Timer
                | Workload::Lock => it.order(),
            }
        }
        it.entries.sort_by_key(|entry| entry.begun);
        it
    }

    pub fn truth(&self) -> Truth {
        Truth::from_facts(self.facts.clone())
    }

    fn put(&mut self, fact: TrueFact) {
        if fact.machine == "register" {
            let versions = self.versions.entry(fact.instance.clone());
            versions.or_default().push(fact.clone());
        }
        if fact.kind == FactKind::Delete {
            self.current.remove(&fact.instance);
        } else {
            self.current.insert(fact.instance.clone(), fact.clone());
        }
        self.facts.push(fact);
    }

    fn next_offset(&mut self) -> u64 {
        self.offset += self.rng.between(1, 3);
        self.offset
    }

    fn create(&mut self, id: &str, machine: &str, state: &str, ctx: Value) -> TrueFact {
        let fact = TrueFact {
            machine: machine.to_owned(),
            to: state.to_owned(),
            ctx,
            ..TrueFact::bare(self.next_offset(), FactKind::Create, id)
        };
        self.put(fact.clone());
        fact
    }

    fn event(&mut self, offset: u64, params: &Value, to: &str) -> TrueFact {
        let id = params["instance_id"].as_str().unwrap();
        let before = self.current[id].clone();
        let mut ctx = before.ctx.as_object().unwrap().clone();
        ctx.extend(params["payload"].as_object().unwrap().clone());
        let text = |field: &str| params[field].as_str().map(str::to_owned);
        let fact = TrueFact {
            offset,
            kind: FactKind::Event,
            event: text("event").unwrap(),
            from: before.to.clone(),
            to: to.to_owned(),
            payload: params["payload"].clone(),
            ctx: Value::Object(ctx),
            event_id: text("event_id"),
            key: text("idempotency_key"),
            ..before
        };
        self.put(fact.clone());
        fact
    }

    fn tag(&self) -> String {
        format!("t{}", self.entries.len())
    }

    fn push(&mut self, workload: Workload, op: &str, params: Value, outcome: RequestOutcome) {
        let (before, after) = (self.rng.below(SPREAD), self.rng.below(SPREAD));
        let client = self.rng.below(u64::from(CLIENTS)) as u32;
        self.entries.push(HistoryEntry {
            workload,
            client,
            pipeline: 0,
            actor: String::new(),
            node: 1,
            begun: self.now - before,
            ended: self.now + after,
            op: op.to_owned(),
            params,
            outcome,
        });
    }

    /// Whether the answer to what is done now is lost; it may also have been sent long ago.
    fn lost(&mut self, workload: Workload, params: &Value) -> bool {
        let is_lost = self.rng.percent(2);
        if is_lost {
            self.push(workload, "APPLY_EVENT", params.clone(), fixtures::unknown());
            let entry = self.entries.last_mut().unwrap();
            entry.begun -= self.rng.below(5000);
            entry.ended = entry.begun + 50;
        }
        is_lost
    }

    fn register(&mut self) {
        if self.rng.percent(50) {
            return self.read_register(Workload::Register);
        }
        let id = format!("reg-{}", self.rng.below(REGISTERS));
        let mut params = json!({"instance_id": id, "event": "SET",
            "payload": {"v": self.entries.len() + 1}, "event_id": self.tag()});
        let current = self.current[&id].offset;
        if self.rng.percent(40) {
            let versions = &self.versions[&id];
            let back = self.rng.below(versions.len().min(2) as u64) as usize;
            let expected = versions[versions.len() - 1 - back].offset;
            params["expected_wal_offset"] = json!(expected);
            if expected != current {
                let details =
                    json!({"expected_wal_offset": expected, "actual_wal_offset": current});
                let conflict = fixtures::refused("CONFLICT", details);
                return self.push(Workload::Register, "APPLY_EVENT", params, conflict);
            }
        }
        if self.rng.percent(1) {
            // Without an answer, and without effect.
            return self.push(
                Workload::Register,
                "APPLY_EVENT",
                params,
                fixtures::unknown(),
            );
        }
        let lost = self.lost(Workload::Register, &params);
        let offset = self.next_offset();
        let fact = self.event(offset, &params, "on");
        if !lost {
            let ack = RequestOutcome::Ok(ack_of(&fact));
            self.push(Workload::Register, "APPLY_EVENT", params, ack);
        }
    }

    fn read_register(&mut self, workload: Workload) {
        let id = format!("reg-{}", self.rng.below(REGISTERS));
        let found = RequestOutcome::Ok(read_of(&self.current[&id]));
        self.push(workload, "GET_INSTANCE", json!({"instance_id": id}), found);
    }

    fn local(&mut self) {
        let id = format!("reg-{}", self.rng.below(REGISTERS));
        let client = self.rng.below(u64::from(CLIENTS)) as u32;
        let seen = self.seen.get(&(client, id.clone())).copied().unwrap_or(0);
        let versions = &self.versions[&id];
        let first = versions.partition_point(|fact| fact.offset < seen);
        let at = first + self.rng.index(versions.len() - first);
        let found = RequestOutcome::Ok(read_of(&versions[at]));
        let offset = versions[at].offset;
        self.seen.insert((client, id.clone()), offset);
        let params = json!({"instance_id": id, "consistency": "local", "min_wal_offset": seen});
        self.push(Workload::Monotonic, "GET_INSTANCE", params, found);
        let entry = self.entries.last_mut().unwrap();
        // A client has one request at a time.
        (entry.client, entry.begun, entry.ended) = (client, self.now, self.now);
    }

    fn order(&mut self) {
        let id = format!("order-{}", self.rng.below(ORDERS));
        let before = self.current[&id].clone();
        if self.rng.percent(30) {
            let found = RequestOutcome::Ok(read_of(&before));
            let params = json!({"instance_id": id});
            return self.push(Workload::Machine, "GET_INSTANCE", params, found);
        }
        let event = *self.rng.pick(&TestMachine::ORDER_EVENTS);
        let payload = match event {
            "PAY" => json!({"paid_cents": self.rng.below(10)}),
            _ => json!({"by": self.tag()}),
        };
        let params = json!({"instance_id": id, "event": event, "payload": payload,
            "event_id": self.tag()});
        let ctx = before.ctx.as_object().unwrap();
        let code = match TestMachine::Order.next(&before.to, event, ctx) {
            Ok(to) => {
                let lost = self.lost(Workload::Machine, &params);
                let offset = self.next_offset();
                let fact = self.event(offset, &params, to);
                if !lost {
                    let ack = RequestOutcome::Ok(ack_of(&fact));
                    self.push(Workload::Machine, "APPLY_EVENT", params, ack);
                }
                return;
            }
            Err(refusal) => refusal.code(),
        };
        let details = json!({"current_state": before.to, "event": event});
        let refusal = fixtures::refused(code, details);
        self.push(Workload::Machine, "APPLY_EVENT", params, refusal);
    }

    fn once(&mut self) {
        let id = format!("once-{}", self.rng.below(REGISTERS));
        let tag = self.tag();
        let params = json!({"instance_id": id, "event": "SET", "payload": {"n": tag},
            "event_id": tag, "idempotency_key": tag});
        let offset = self.next_offset();
        let fact = self.event(offset, &params, "on");
        let mut answer = ack_of(&fact);
        if self.rng.percent(20) {
            self.push(
                Workload::Once,
                "APPLY_EVENT",
                params.clone(),
                fixtures::unknown(),
            );
            self.now += 200;
            answer["applied"] = json!(false);
        }
        self.push(
            Workload::Once,
            "APPLY_EVENT",
            params,
            RequestOutcome::Ok(answer),
        );
    }

    fn bank(&mut self) {
        let ids: Vec<String> = (0..ACCOUNTS).map(|n| format!("acct-{n}")).collect();
        let part = |op: &str, params: Value| json!({"op": op, "params": params});
        let done = |result: Value| json!({"status": "ok", "result": result});
        let (ops, results): (Vec<Value>, Vec<Value>) = if self.rng.percent(50) {
            let read = |id: &String| {
                let params = json!({"instance_id": id});
                let result = read_of(&self.current[id]);
                (part("GET_INSTANCE", params), done(result))
            };
            ids.iter().map(read).unzip()
        } else {
            let from = self.rng.index(ids.len());
            let to = (from + 1 + self.rng.index(ids.len() - 1)) % ids.len();
            let (offset, tag) = (self.next_offset(), self.tag());
            let change = [(from, -7), (to, 7)];
            let moved = change.into_iter().enumerate().map(|(n, (at, change))| {
                let before = &self.current[&ids[at]];
                let cents = before.ctx["cents"].as_i64().unwrap() + change;
                let params = json!({"instance_id": ids[at], "event": "SET",
                    "payload": {"cents": cents}, "event_id": format!("{tag}.{n}"),
                    "expected_wal_offset": before.offset});
                let fact = self.event(offset, &params, "open");
                (part("APPLY_EVENT", params), done(ack_of(&fact)))
            });
            moved.collect::<Vec<_>>().into_iter().unzip()
        };
        let params = json!({"mode": "atomic", "ops": ops});
        let result = RequestOutcome::Ok(json!({"results": results}));
        self.push(Workload::Bank, "BATCH", params, result);
    }

    fn set(&mut self) {
        match self.rng.below(100) {
            0..30 => {
                let id = format!(
                    "item-{:08}",
                    self.rng.below(100) * 1_000_000 + self.items.len() as u64
                );
                let fact = self.create(&id, "item", "in", json!({}));
                let params = json!({"instance_id": id, "machine": "item", "version": 1,
                    "initial_ctx": {}});
                let result = json!({"instance_id": id, "state": "in", "wal_offset": fact.offset});
                self.items.push(id);
                self.push(
                    Workload::Set,
                    "CREATE_INSTANCE",
                    params,
                    RequestOutcome::Ok(result),
                );
            }
            30..50 if !self.items.is_empty() => {
                let id = self.rng.pick(&self.items).clone();
                let params = json!({"instance_id": id});
                let Some(before) = self.current.get(&id).cloned() else {
                    let gone = fixtures::refused("INSTANCE_NOT_FOUND", params.clone());
                    return self.push(Workload::Set, "DELETE_INSTANCE", params, gone);
                };
                let offset = self.next_offset();
                self.put(TrueFact {
                    offset,
                    kind: FactKind::Delete,
                    machine: String::new(),
                    to: String::new(),
                    ctx: Value::Null,
                    ..before
                });
                let result = json!({"instance_id": id, "deleted": true, "wal_offset": offset});
                self.push(
                    Workload::Set,
                    "DELETE_INSTANCE",
                    params,
                    RequestOutcome::Ok(result),
                );
            }
            50..90 if !self.items.is_empty() => {
                let id = self.rng.pick(&self.items).clone();
                let params = json!({"instance_id": id});
                let outcome = match self.current.get(&id) {
                    Some(fact) => RequestOutcome::Ok(read_of(fact)),
                    None => fixtures::refused("INSTANCE_NOT_FOUND", params.clone()),
                };
                self.push(Workload::Set, "GET_INSTANCE", params, outcome);
            }
            _ => self.list(),
        }
    }

    fn list(&mut self) {
        let after = format!("item-{:02}", self.rng.below(100));
        let from = self.current.range(after.clone()..);
        let mut page: Vec<&TrueFact> = from
            .map(|found| found.1)
            .filter(|fact| fact.machine == "item")
            .take(21)
            .collect();
        let has_more = page.len() > 20;
        page.truncate(20);
        let instances: Vec<Value> = page
            .iter()
            .map(|fact| {
                json!({"id": fact.instance, "machine": "item", "version": 1, "state": fact.to,
                    "last_wal_offset": fact.offset})
            })
            .collect();
        let all = self.current.values();
        let total = all.filter(|fact| fact.machine == "item").count();
        let result = json!({"instances": instances, "total": total, "has_more": has_more});
        let params = json!({"machine": "item", "limit": 20, "after": after});
        self.push(
            Workload::Set,
            "LIST_INSTANCES",
            params,
            RequestOutcome::Ok(result),
        );
    }
}
