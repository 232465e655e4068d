//! A log and a history, made by hand.

use super::*;

/// A log in the making.
#[derive(Default)]
pub struct Log {
    pub facts: Vec<TrueFact>,
}

impl Log {
    fn last(&self, id: &str) -> Option<&TrueFact> {
        self.facts.iter().rev().find(|fact| fact.instance == id)
    }

    pub fn push(&mut self, fact: TrueFact) {
        self.facts.push(fact);
    }

    /// A fact about an instance as it is now; the caller changes what is to be otherwise.
    pub fn fact(&self, offset: u64, kind: FactKind, id: &str) -> TrueFact {
        let last = self.last(id);
        TrueFact {
            offset,
            position: 0,
            kind,
            instance: id.to_owned(),
            machine: last.map_or("register", |last| &last.machine).to_owned(),
            event: String::new(),
            from: String::new(),
            to: last.map_or("on", |last| &last.to).to_owned(),
            payload: Value::Null,
            ctx: last.map_or(json!({}), |last| last.ctx.clone()),
            event_id: None,
            key: None,
            via: Vec::new(),
            emits: Vec::new(),
            meta: json!({}),
        }
    }

    pub fn create(&mut self, offset: u64, id: &str, machine: &str, state: &str, ctx: Value) {
        let fact = TrueFact {
            machine: machine.to_owned(),
            to: state.to_owned(),
            ctx,
            ..self.fact(offset, FactKind::Create, id)
        };
        self.push(fact);
    }

    pub fn event(
        &mut self,
        offset: u64,
        id: &str,
        (event, to): (&str, &str),
        payload: Value,
        tag: &str,
    ) {
        let before = self.fact(offset, FactKind::Event, id);
        let mut ctx: Map<String, Value> = before.ctx.as_object().unwrap().clone();
        ctx.extend(payload.as_object().unwrap().clone());
        let position = self.facts.iter().filter(|fact| fact.offset == offset);
        self.push(TrueFact {
            position: position.count(),
            event: event.to_owned(),
            from: before.to.clone(),
            to: to.to_owned(),
            payload,
            ctx: Value::Object(ctx),
            event_id: Some(tag.to_owned()),
            ..before
        });
    }

    /// A register's event.
    pub fn set(&mut self, offset: u64, id: &str, value: u64, tag: &str) {
        self.event(offset, id, ("SET", "on"), json!({"v": value}), tag);
    }

    pub fn delete(&mut self, offset: u64, id: &str) {
        let fact = TrueFact {
            machine: String::new(),
            to: String::new(),
            ctx: Value::Null,
            ..self.fact(offset, FactKind::Delete, id)
        };
        self.push(fact);
    }

    pub fn truth(&self) -> Truth {
        let mut truth = Truth::from_facts(self.facts.clone());
        truth.nodes = 3;
        truth
    }

    fn at(&self, id: &str, offset: u64) -> &TrueFact {
        let mut facts = self.facts.iter();
        facts
            .find(|fact| fact.instance == id && fact.offset == offset)
            .unwrap()
    }

    /// What a read of this version answers.
    pub fn read(&self, id: &str, offset: u64) -> Value {
        let fact = self.at(id, offset);
        let mut result = json!({"machine": fact.machine, "version": 1, "state": fact.to,
            "ctx": fact.ctx, "last_wal_offset": offset});
        if let Some(event_id) = &fact.event_id {
            result["last_event_id"] = json!(event_id);
        }
        result
    }

    /// What the event at this offset was acknowledged with.
    pub fn ack(&self, id: &str, offset: u64) -> Value {
        let fact = self.at(id, offset);
        json!({"from_state": fact.from, "to_state": fact.to, "ctx": fact.ctx,
            "wal_offset": offset, "applied": true, "event_id": fact.event_id})
    }
}

/// A history in the making.
#[derive(Default)]
pub struct History {
    pub entries: Vec<HistoryEntry>,
    pub workload: Option<Workload>,
}

impl History {
    pub fn of(workload: Workload) -> Self {
        Self {
            entries: Vec::new(),
            workload: Some(workload),
        }
    }

    pub fn push(
        &mut self,
        (begun, ended): (u64, u64),
        op: &str,
        params: Value,
        outcome: RequestOutcome,
    ) {
        let client = self.entries.len() as u32;
        self.entries.push(HistoryEntry {
            workload: self.workload.unwrap(),
            client,
            pipeline: 0,
            node: 1,
            actor: String::new(),
            begun,
            ended,
            op: op.to_owned(),
            params,
            outcome,
        });
    }

    pub fn set(
        &mut self,
        when: (u64, u64),
        id: &str,
        value: u64,
        tag: &str,
        outcome: RequestOutcome,
    ) {
        let params =
            json!({"instance_id": id, "event": "SET", "payload": {"v": value}, "event_id": tag});
        self.push(when, "APPLY_EVENT", params, outcome);
    }

    pub fn get(&mut self, when: (u64, u64), id: &str, outcome: RequestOutcome) {
        self.push(when, "GET_INSTANCE", json!({"instance_id": id}), outcome);
    }

    pub fn last(&mut self) -> &mut HistoryEntry {
        self.entries.last_mut().unwrap()
    }
}

pub fn unknown() -> RequestOutcome {
    RequestOutcome::Unknown {
        why: "the connection was lost".to_owned(),
    }
}

pub fn refused(code: &str, details: Value) -> RequestOutcome {
    RequestOutcome::Refused {
        code: code.to_owned(),
        details,
    }
}

/// The result of one checker on one subject.
pub fn result(
    entries: &[HistoryEntry],
    truth: &Truth,
    checker: &str,
    subject: &str,
) -> CheckerResult {
    let results = check(entries, truth);
    let mut found = results
        .iter()
        .filter(|result| result.checker == checker && result.subject == subject);
    found
        .next()
        .unwrap_or_else(|| panic!("no {checker} of {subject}: {results:#?}"))
        .clone()
}

/// That a checker finds exactly one thing, and says this of it.
pub fn assert_finds(found: &CheckerResult, part: &str) {
    let violations = found.violations();
    assert_eq!(violations.len(), 1, "{found}");
    let message = violations[0].to_string();
    assert!(message.contains(part), "{message:?} lacks {part:?}");
    let window = &violations[0].window;
    assert!(!window.entries.is_empty() || !window.facts.is_empty());
    assert!(window.entries.len() <= 3, "{window:#?}");
}

/// The register of [`register`].
pub const REGISTER: &str = "reg-1";

/// A register that begins with this context at offset 10, and so many writes at the offsets behind it, sent
/// one after the other from 100, 200, … on, each for 50.
pub fn register(ctx: Value, writes: u64) -> (Log, History) {
    let mut log = Log::default();
    log.create(10, REGISTER, "register", "on", ctx);
    let mut history = History::of(Workload::Register);
    for n in 1..=writes {
        let tag = format!("w{n}");
        log.set(10 + n, REGISTER, n, &tag);
        let ack = RequestOutcome::Ok(log.ack(REGISTER, 10 + n));
        history.set((n * 100, n * 100 + 50), REGISTER, n, &tag, ack);
    }
    (log, history)
}
