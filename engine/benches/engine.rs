//! The time that the engine takes for an order's event: deciding it, applying its entry, encoding the entry for the log, and the
//! guards and expressions alone: `cargo bench -p rstmdb-engine --bench engine`.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rstmdb_engine::expression::{EvalScope, EvalSteps, Expression, ScopeNames};
use rstmdb_engine::fact::{Body, Message};
use rstmdb_engine::{
    ApplyEvent, Command, CreateInstance, DecideAt, Decision, Entry, Limits, PendingEntries,
    PutMachine, State, decide,
};

/// Bytes of the payload and of the context before it, about.
const SIZES: [(usize, usize); 4] = [(100, 300), (2_000, 300), (100, 10 << 10), (2_000, 10 << 10)];

const ONE_PATH: &str = "ctx.total > 0";
const SAME_IN_FORMAT_1: &str = "ctx.total > 0 && ctx.status == \"confirmed\"";
const IN_FORMAT_2: &str = "ctx.total > 0 && ctx.status == 'confirmed'";
const FIVE_PATHS: &str = "ctx.total > 0 && ctx.items.length >= 1 && ctx.address.city != null && ctx.status == \
                          \"confirmed\" && !ctx.blocked";

/// Orders that stay open, so that the same event can be decided over and over.
fn order(format: u32, guard: Option<&str>) -> Bytes {
    let guard = guard.map_or_else(String::new, |guard| {
        format!(",\"guard\":{}", serde_json::Value::from(guard))
    });
    let text = format!(
        r#"{{"format":{format},"states":["open"],"initial":"open",
        "transitions":[{{"from":"open","event":"CHANGE","to":"open"{guard}}}]}}"#
    );
    Bytes::from(text)
}

/// What an order holds, filled up to about so many bytes.
fn ctx(bytes: usize) -> Bytes {
    let head = r#"{"customer":"c-1048","total":129.90,"status":"confirmed","blocked":false,"#;
    let address = r#""address":{"street":"Long Road 1","city":"Springfield"},"items":["#;
    let mut text = format!("{head}{address}");
    let mut number = 0;
    while number == 0 || text.len() < bytes {
        let comma = if number == 0 { "" } else { "," };
        text.push_str(&format!(
            r#"{comma}{{"sku":"A-{number:05}","n":{}}}"#,
            number % 7
        ));
        number += 1;
    }
    text.push_str("]}");
    Bytes::from(text)
}

/// One field that is new and one that is there, of about so many bytes.
fn payload(bytes: usize) -> Bytes {
    let note = "n".repeat(bytes.saturating_sub(40));
    Bytes::from(format!(r#"{{"total":130.00,"note":"{note}"}}"#))
}

struct Order {
    state: State,
    command: Command,
    limits: Limits,
}

impl Order {
    fn new(guard: Option<&str>, payload_bytes: usize, ctx_bytes: usize) -> Self {
        Self::with(1, guard, payload(payload_bytes), ctx(ctx_bytes))
    }

    fn with(format: u32, guard: Option<&str>, payload: Bytes, ctx: Bytes) -> Self {
        let mut order = Self {
            state: State::new(),
            command: Command::ApplyEvent(ApplyEvent {
                instance_id: "order-000001".to_owned(),
                event: "CHANGE".to_owned(),
                payload: Some(payload),
                ..ApplyEvent::default()
            }),
            limits: Limits::default(),
        };
        let put = PutMachine {
            machine: "order".to_owned(),
            version: 1,
            definition: self::order(format, guard),
            checksum: None,
        };
        order.write(&Command::SetLevel {
            level: rstmdb_engine::fact::level::CURRENT,
        });
        order.write(&Command::PutMachine(put));
        let create = CreateInstance {
            instance_id: "order-000001".to_owned(),
            id_given: true,
            machine: "order".to_owned(),
            version: 1,
            initial_ctx: Some(ctx),
            idempotency_key: None,
            import: None,
        };
        order.write(&Command::CreateInstance(create));
        order
    }

    fn write(&mut self, command: &Command) {
        let entry = self.entry(command);
        let offset = entry.index;
        self.state.apply(&entry, offset).unwrap();
    }

    fn decide(&self, command: &Command) -> Decision {
        let at = DecideAt {
            offset: self.state.last_applied() + 1,
            now_ms: 1_700_000_000_000,
            actor: "bench",
            meta: None,
            limits: &self.limits,
            reach: None,
        };
        decide(&self.state, &PendingEntries::new(), command, &at).unwrap()
    }

    fn entry(&self, command: &Command) -> Entry {
        match self.decide(command) {
            Decision::Write { entry, .. } => entry,
            Decision::Answer { .. } => unreachable!("every command here is new"),
        }
    }
}

fn decide_events(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for (payload_bytes, ctx_bytes) in SIZES {
        let order = Order::new(None, payload_bytes, ctx_bytes);
        group.throughput(Throughput::Bytes((payload_bytes + ctx_bytes) as u64));
        group.bench_function(name(payload_bytes, ctx_bytes), |bencher| {
            bencher.iter(|| order.decide(black_box(&order.command)));
        });
    }
    group.finish();
}

fn apply_events(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    for (payload_bytes, ctx_bytes) in SIZES {
        let mut order = Order::new(None, payload_bytes, ctx_bytes);
        group.bench_function(name(payload_bytes, ctx_bytes), |bencher| {
            let mut entry = order.entry(&order.command);
            bencher.iter(|| {
                // Each entry follows the one before: the same entry would be stale the second time.
                let offset = order.state.last_applied() + 1;
                follow(&mut entry, offset);
                order.state.apply(black_box(&entry), offset).unwrap()
            });
        });
    }
    group.finish();
}

/// Makes the entry one for this offset, decided on the entry before.
fn follow(entry: &mut Entry, offset: u64) {
    entry.index = offset;
    for fact in &mut entry.facts {
        if let Some(Body::ApplyEvent(apply)) = &mut fact.body {
            apply.prev_offset = offset - 1;
        }
    }
}

fn encode_entries(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for (payload_bytes, ctx_bytes) in SIZES {
        let order = Order::new(None, payload_bytes, ctx_bytes);
        let entry = order.entry(&order.command);
        group.throughput(Throughput::Bytes(entry.encoded_len() as u64));
        group.bench_function(name(payload_bytes, ctx_bytes), |bencher| {
            bencher.iter(|| black_box(&entry).encode_to_vec());
        });
        let bytes = Bytes::from(entry.encode_to_vec());
        let decoding = format!("back, {}", name(payload_bytes, ctx_bytes));
        group.bench_function(decoding, |bencher| {
            bencher.iter(|| Entry::decode(black_box(&bytes).clone()).unwrap());
        });
    }
    group.finish();
}

/// The whole decision without a guard, and with each: the difference is the guard's.
fn guards(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("guard");
    for (paths, guard) in [(0, None), (1, Some(ONE_PATH)), (5, Some(FIVE_PATHS))] {
        for ctx_bytes in [300, 10 << 10] {
            let order = Order::new(guard, 100, ctx_bytes);
            group.bench_function(format!("{paths} paths, ctx {ctx_bytes}"), |bencher| {
                bencher.iter(|| order.decide(black_box(&order.command)));
            });
        }
    }
    group.finish();
}

/// An order of 10 KiB whose total stands behind so many of its items.
fn ctx_with_total_behind(items: usize) -> String {
    let mut text = String::from("{");
    for number in 0..280 {
        if number == items {
            text.push_str(r#""total":129.90,"status":"confirmed","#);
        }
        text.push_str(&format!(
            r#""item{number:03}":{{"sku":"A-{number:05}","n":1}},"#
        ));
    }
    text.push_str(r#""last":null}"#);
    text
}

/// A guard alone, as an expression: reading what it names out of the context, and its operators.
fn expressions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("expression");
    let guard = Expression::parse(IN_FORMAT_2).unwrap();
    for (place, items) in [("begin", 0), ("middle", 140), ("end", 279)] {
        let ctx = ctx_with_total_behind(items);
        group.bench_function(
            format!("ctx {}, field at the {place}", ctx.len()),
            |bencher| {
                bencher.iter(|| {
                    let mut scope =
                        EvalScope::new(black_box(&ctx), "{}", "{}", ScopeNames::default());
                    guard.holds(&mut scope, &mut EvalSteps::default()).unwrap()
                });
            },
        );
    }
    for (place, items) in [("begin", 0), ("middle", 140), ("end", 279)] {
        for (format, name, guard) in [
            (1, "no guard", None),
            (1, "its guard", Some(SAME_IN_FORMAT_1)),
            (2, "no guard", None),
            (2, "its guard", Some(IN_FORMAT_2)),
        ] {
            let order = Order::with(
                format,
                guard,
                payload(100),
                Bytes::from(ctx_with_total_behind(items)),
            );
            group.bench_function(
                format!("decided in format {format} with {name}, field at the {place}"),
                |bencher| {
                    bencher.iter(|| order.decide(black_box(&order.command)));
                },
            );
        }
    }
    let ctx = ctx_with_total_behind(0);
    group.bench_function("serde_json: the same context as values", |bencher| {
        bencher.iter(|| serde_json::from_str::<serde_json::Value>(black_box(&ctx)).unwrap());
    });
    group.finish();
}

/// Expressions that use up their steps, or nearly: how long a decision can take at most.
fn worst_expressions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("worst expression");
    let numbers = ["1"; 1000].join(",");
    let fields: Vec<String> = (0..300_000)
        .map(|number| format!(r#""f{number}":1"#))
        .collect();
    let text = "ab ".repeat(1 << 18);
    let (words, few) = (&text[..48_000], &text[..3000]);
    let lists = format!(r#"{{"l":[{numbers}],"few":"{few}","words":"{words}","s":"{text}"}}"#);
    let wide = format!("{{{}}}", fields.join(","));
    for (name, ctx, guard) in [
        (
            "loops in loops",
            &lists,
            "ctx.l.all(a, ctx.l.all(b, ctx.l.all(c, a == b)))",
        ),
        (
            "errors in loops",
            &lists,
            "ctx.l.exists(a, ctx.l.exists(b, ctx.l.exists(c, a.x == 'x')))",
        ),
        (
            "lists in lists",
            &lists,
            "ctx.l.map(a, ctx.l.map(b, [a, b] + [a])) == ctx.l",
        ),
        (
            "a small pattern",
            &lists,
            r"ctx.words.matches(r'^(\w+\s)*x$')",
        ),
        (
            "a large pattern",
            &lists,
            r"ctx.few.matches(r'(\w{1,3}\s){1,3}x')",
        ),
        (
            "patterns made in a loop",
            &lists,
            "ctx.l.exists(a, 'x'.matches('(a{9}){9}' + string(a)))",
        ),
        ("300,000 fields", &wide, "ctx.nope == 1"),
        (
            "long strings",
            &lists,
            "ctx.l.exists(a, (ctx.s + ctx.s).contains('abx'))",
        ),
    ] {
        let guard = Expression::parse(guard).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut scope = EvalScope::new(black_box(ctx), "{}", "{}", ScopeNames::default());
                guard.holds(&mut scope, &mut EvalSteps::default())
            });
        });
    }
    group.finish();
}

fn name(payload_bytes: usize, ctx_bytes: usize) -> String {
    format!("payload {payload_bytes}, ctx {ctx_bytes}")
}

criterion_group!(
    benches,
    decide_events,
    apply_events,
    encode_entries,
    guards,
    expressions,
    worst_expressions
);
criterion_main!(benches);
