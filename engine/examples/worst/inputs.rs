//! The inputs.

use serde_json::{Value, json};

use crate::{Case, machine};

/// The largest documents with which a command is decided at its turn, about.
const SMALL: usize = 1_400;
const MEDIUM: usize = 12_000;
const LARGE: usize = 60_000;
/// Nearly as long as a context may be.
const HUGE: usize = 4_000_000;

type Make = Box<dyn Fn() -> Case>;

pub fn all() -> Vec<Make> {
    let mut all: Vec<Make> = Vec::new();
    for (name, guard) in EXPRESSIONS {
        for bytes in [SMALL, MEDIUM, LARGE, HUGE] {
            let name = format!("{name}, {bytes}");
            all.push(Box::new(move || Case::guard(&name, guard, &lists(bytes))));
        }
    }
    for (name, guard) in CONSTANT {
        all.push(Box::new(move || Case::guard(name, &guard(), "{}")));
    }
    for bytes in [SMALL, MEDIUM, LARGE, HUGE] {
        all.extend(changes(bytes));
        all.extend(schemas(bytes));
    }
    all.extend(definitions());
    all.extend(format_1());
    all
}

/// Over a context with `l`, a list of small numbers; `o`, of small objects; `m`, an object of many fields; `s`, a text;
/// `d`, decimals: each a fifth of the bytes.
const EXPRESSIONS: [(&str, &str); 16] = [
    ("two loops", "ctx.l.all(a, ctx.l.all(b, a < b + 9))"),
    (
        "three loops",
        "ctx.l.all(a, ctx.l.all(b, ctx.l.all(c, a == a)))",
    ),
    (
        "errors in loops",
        "ctx.l.exists(a, ctx.l.exists(b, a.x == 'x'))",
    ),
    (
        "missing keys in loops",
        "ctx.o.exists(a, ctx.o.exists(b, a.x == b.y))",
    ),
    (
        "lists made in loops",
        "size(ctx.l.map(a, ctx.l.map(b, [a, b] + [a]))) < 0",
    ),
    (
        "maps made in loops",
        "ctx.l.exists(a, ctx.l.exists(b, {'k': a, 'j': b}.k == 11))",
    ),
    (
        "items of lists in loops",
        "ctx.l.exists(a, ctx.l[size(ctx.l) - 1] == 11)",
    ),
    (
        "sizes of objects in loops",
        "ctx.l.exists(a, size(ctx.m) < 0)",
    ),
    (
        "objects compared in loops",
        "ctx.l.exists(a, ctx.m != ctx.m)",
    ),
    (
        "texts joined in loops",
        "ctx.l.exists(a, (ctx.s + ctx.s).contains('abx'))",
    ),
    (
        "patterns",
        r"ctx.l.exists(a, ctx.s.matches(r'^(\w+\s)*x$'))",
    ),
    (
        "large patterns",
        r"ctx.l.exists(a, ctx.s.matches(r'(\w{1,3}\s){1,3}x'))",
    ),
    (
        "patterns made in loops",
        "ctx.l.exists(a, 'x'.matches('(a{9}){9}' + string(a)))",
    ),
    (
        "decimals in loops",
        "ctx.d.exists(a, ctx.l.exists(b, decimal(a) / 7 * decimal(a) == decimal(b)))",
    ),
    (
        "times in loops",
        "ctx.l.exists(a, ctx.l.exists(b, timestamp('2026-01-31T12:00:00Z') - duration('1h30m') < timestamp_ms(a)))",
    ),
    (
        "texts of numbers in loops",
        "ctx.d.exists(a, ctx.l.exists(b, string(1e300) == string(double(a))))",
    ),
];

type Text = fn() -> String;

/// Without a document: as much as is allowed when the definition is put.
const CONSTANT: [(&str, Text); 4] = [
    ("loops over literals", || over_literals("a == b")),
    ("errors in loops over literals", || {
        over_literals("a.x == b.y")
    }),
    ("times in loops over literals", || {
        over_literals("timestamp_ms(a) - duration('1h30m') == timestamp_ms(b)")
    }),
    ("texts in loops over literals", || {
        over_literals("string(1e300 * a) == string(1e-300 * b)")
    }),
];

/// Two loops with nearly as many turns as are allowed.
fn over_literals(condition: &str) -> String {
    let guard = |items: usize| {
        let list = vec!["1"; items].join(",");
        format!("[{list}].all(a, [{list}].all(b, {condition} || true))")
    };
    let fits = |items: &usize| {
        let text = guard(*items);
        let expression = rstmdb_engine::expression::Expression::parse(&text);
        expression.is_ok_and(|it| it.worst_steps(0) <= rstmdb_engine::limits::EXPRESSION_STEPS_MAX)
    };
    guard((1..1000).filter(fits).max().unwrap_or(1))
}

/// As many of something, joined by commas, as fit into so many bytes.
fn filled(bytes: usize, one: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for number in 0.. {
        let next = one(number);
        if !text.is_empty() && text.len() + next.len() >= bytes {
            break;
        }
        if number > 0 {
            text.push(',');
        }
        text.push_str(&next);
    }
    text
}

fn lists(bytes: usize) -> String {
    let part = bytes / 5;
    format!(
        r#"{{"l":[{}],"o":[{}],"m":{{{}}},"s":"{}","d":[{}]}}"#,
        filled(part, |it| (it % 10).to_string()),
        filled(part, |it| format!(r#"{{"x":{}}}"#, it % 10)),
        filled(part, |it| format!(r#""f{it}":{}"#, it % 10)),
        "ab ".repeat(part / 3),
        filled(part, |it| format!("{}.1234567", it % 1000)),
    )
}

fn wide(bytes: usize) -> String {
    format!(
        "{{{}}}",
        filled(bytes, |it| format!(r#""f{it}":{}"#, it % 10))
    )
}

/// Objects in objects, with the rest of the bytes in the innermost.
fn deep(bytes: usize, levels: usize) -> String {
    format!(
        "{}{}{}",
        "{\"a\":".repeat(levels),
        wide(bytes),
        "}".repeat(levels)
    )
}

/// Merges, `set` and `always`.
fn changes(bytes: usize) -> Vec<Make> {
    let event = move |name: &str,
                      definition: Value,
                      ctx: fn(usize) -> String,
                      payload: fn(usize) -> String| {
        let name = format!("{name}, {bytes}");
        let make: Make =
            Box::new(move || Case::event(&name, &definition, &ctx(bytes / 2), &payload(bytes / 2)));
        make
    };
    let empty: fn(usize) -> String = |_| "{}".to_owned();
    let set: serde_json::Map<String, Value> =
        (0..256).map(|it| (format!("g{it}"), json!("1"))).collect();
    let path = vec!["a"; 32].join(".");
    let unset: Vec<String> = (0..256).map(|it| format!("f{}", it * 3)).collect();
    let chain = |set: Value| {
        let mut states: Vec<Value> = (0..64)
            .map(|it| json!({"name": format!("s{it}"), "always": [{"to": format!("s{}", it + 1), "set": set}]}))
            .collect();
        states.push(json!("s64"));
        json!({"format": 2, "states": states, "initial": "s64",
            "transitions": [{"from": "s64", "event": "E", "to": "s0"}]})
    };
    vec![
        event("merge of fields", machine(json!({})), wide, wide),
        event("merge of one field", machine(json!({})), wide, |_| {
            r#"{"f1":2}"#.to_owned()
        }),
        event("deep merge", machine(json!({"merge": "deep"})), wide, wide),
        event(
            "deep merge of nested objects",
            machine(json!({"merge": "deep"})),
            |bytes| deep(bytes, 100),
            |bytes| deep(bytes, 100),
        ),
        event("256 values set", machine(json!({"set": set})), wide, empty),
        event(
            "256 fields removed",
            machine(json!({"unset": unset})),
            wide,
            empty,
        ),
        event(
            "a value set 32 objects deep",
            machine(json!({"set": {path.clone(): "1"}})),
            |bytes| deep(bytes, 40),
            empty,
        ),
        event(
            "the context as a value",
            machine(json!({"set": {"x": "ctx", "y": "ctx", "z": "[ctx, ctx]"}})),
            wide,
            empty,
        ),
        event(
            "64 always that set a value",
            chain(json!({"n": "now"})),
            wide,
            empty,
        ),
        event(
            "64 always that set a value 32 deep",
            chain(json!({path: "now"})),
            |bytes| deep(bytes, 40),
            empty,
        ),
    ]
}

fn schemas(bytes: usize) -> Vec<Make> {
    let context = move |name: &str, schema: Value, ctx: fn(usize) -> String| {
        let name = format!("schema: {name}, {bytes}");
        let mut definition = machine(json!({}));
        definition["context"] = json!({"schema": schema});
        let make: Make = Box::new(move || Case::create(&name, &definition, &ctx(bytes)));
        make
    };
    let numbers: fn(usize) -> String =
        |bytes| format!(r#"{{"l":[{}]}}"#, filled(bytes, |it| it.to_string()));
    let large: fn(usize) -> String =
        |bytes| format!(r#"{{"l":[{}]}}"#, filled(bytes, |_| "7e307".to_owned()));
    let texts: fn(usize) -> String = |bytes| format!(r#"{{"l":["{}"]}}"#, "ab ".repeat(bytes / 3));
    let many = |of: Value| Value::from(vec![of; 500]);
    let of_items = |items: Value| json!({"properties": {"l": {"items": items}}});
    vec![
        context(
            "types",
            of_items(json!({"type": "integer", "minimum": 0})),
            numbers,
        ),
        context(
            "anyOf that fails",
            of_items(json!({"anyOf": many(json!({"type": "string"}))})),
            numbers,
        ),
        context(
            "anyOf that fits last",
            of_items(json!({"anyOf": last_fits()})),
            numbers,
        ),
        context("oneOf of nested oneOf", nested_one_of(), numbers),
        context("multipleOf", of_items(json!({"multipleOf": 7})), large),
        context("enum", of_items(json!({"enum": last_fits()})), numbers),
        context(
            "uniqueItems",
            json!({"properties": {"l": {"uniqueItems": true}}}),
            numbers,
        ),
        context(
            "pattern",
            of_items(json!({"pattern": r"^(\w+\s)*$"})),
            texts,
        ),
        context(
            "patternProperties",
            json!({"patternProperties": {"^f\\d+$": true, "^(f|g)+\\w*$": true}}),
            wide,
        ),
        context(
            "propertyNames",
            json!({"propertyNames": {"maxLength": 9}}),
            wide,
        ),
        context(
            "contains",
            json!({"properties": {"l": {"contains": {"const": "x"}}}}),
            numbers,
        ),
    ]
}

/// 500 texts, and then what numbers fit.
fn last_fits() -> Vec<Value> {
    let texts = (0..500).map(|it| json!({"const": format!("x{it}")}));
    texts.chain([json!(true)]).collect()
}

/// 2 to the power of 12 ways to fail.
fn nested_one_of() -> Value {
    let mut schema = json!({"type": "string"});
    for _ in 0..12 {
        schema = json!({"oneOf": [schema, schema]});
    }
    schema
}

/// PUT_MACHINE: the largest that are decided at their turn, and the largest that there are.
fn definitions() -> Vec<Make> {
    let put = |name: String, definition: Value| -> Make {
        Box::new(move || Case::put(&name, &definition))
    };
    let patterns = |count: usize, pattern: &str| {
        let guards = vec![format!("ctx.a.matches('{pattern}')"); count];
        machine(json!({"guard": guards.join("||")}))
    };
    let schema = |count: usize, pattern: &str| {
        let all = vec![json!({"pattern": pattern}); count];
        let mut definition = machine(json!({}));
        definition["context"] = json!({"schema": {"allOf": all}});
        definition
    };
    let plain = |states: usize, ways: usize| {
        let names: Vec<String> = (0..states).map(|it| format!("s{it}")).collect();
        let way = |it: usize| json!({"from": format!("s{}", it % states), "event": format!("E{}", it / states), "to": format!("s{}", (it + 1) % states)});
        let ways: Vec<Value> = (0..ways).map(way).collect();
        json!({"format": 2, "states": names, "initial": "s0", "transitions": ways})
    };
    vec![
        put(
            "definition: 40 patterns".to_owned(),
            patterns(40, "(a{9}){9}"),
        ),
        put(
            "definition: 200 patterns".to_owned(),
            patterns(200, "a{99}"),
        ),
        put(
            "definition: 100 patterns of a schema".to_owned(),
            schema(100, "(a{9}){9}"),
        ),
        put(
            "definition: 250 patterns of a schema".to_owned(),
            schema(250, "((a{9}){9}){2}"),
        ),
        put("definition: 60 transitions".to_owned(), plain(20, 60)),
        put(
            "definition: 10,000 states".to_owned(),
            plain(10_000, 12_000),
        ),
    ]
}

fn format_1() -> Vec<Make> {
    let case = |name: &'static str, guard: String, ctx: fn(usize) -> String| {
        [SMALL, MEDIUM, LARGE, HUGE].map(|bytes| -> Make {
            let definition = json!({"states": ["s"], "initial": "s",
                "transitions": [{"from": "s", "event": "E", "to": "s", "guard": guard}]});
            Box::new(move || {
                Case::event(
                    &format!("format 1: {name}, {bytes}"),
                    &definition,
                    &ctx(bytes),
                    "{\"z\":1}",
                )
            })
        })
    };
    let paths: Vec<String> = (0..400).map(|it| format!("ctx.f{it}")).collect();
    let compared = vec!["ctx.a!=ctx.b"; 290];
    let mut all = Vec::new();
    all.extend(case("400 paths", paths.join("&&"), wide));
    all.extend(case(
        "290 comparisons of lists",
        compared.join("||"),
        |bytes| {
            let items = filled(bytes / 2 - 4, |it| (it % 10).to_string());
            format!(r#"{{"a":[{items}],"b":[{items}]}}"#)
        },
    ));
    all
}
