//! Guards against a model: a tree that is written with any parentheses and spaces is read as that tree, is printed in
//! its one normal form, and holds exactly where the model says.

use std::cmp::Ordering;

use crate::common;
use proptest::collection::vec;
use proptest::prelude::*;
use rstmdb_engine::guard::Guard;
use rstmdb_engine::{Limits, Refusal, State};
use serde_json::{Value, json};

#[derive(Clone, Debug)]
enum Tree {
    Or(Vec<Tree>),
    And(Vec<Tree>),
    Not(Box<Tree>),
    Compare(Operand, &'static str, Operand),
    Truthy(Operand),
}

#[derive(Clone, Debug)]
enum Operand {
    Path(&'static str),
    Literal(Value),
}

fn ctx() -> Value {
    json!({
        "n": 1, "z": 0, "f": 1.5, "s": "b", "e": "", "t": true, "null": null,
        "l": [1, "x"], "el": [], "o": {"n": 1, "length": "own"}, "eo": {}
    })
}

impl Operand {
    fn text(&self) -> String {
        match self {
            Self::Path(path) => format!("ctx.{path}"),
            Self::Literal(value) => value.to_string(),
        }
    }

    fn value(&self, ctx: &Value) -> Value {
        let path = match self {
            Self::Path(path) => path,
            Self::Literal(value) => return value.clone(),
        };
        let names = path.split('.');
        names.fold(ctx.clone(), |value, name| match value {
            Value::Object(fields) => fields.get(name).cloned().unwrap_or_default(),
            Value::Array(items) if name == "length" => json!(items.len()),
            _ => Value::Null,
        })
    }
}

impl Tree {
    fn holds(&self, ctx: &Value) -> bool {
        match self {
            Self::Or(terms) => terms.iter().any(|term| term.holds(ctx)),
            Self::And(terms) => terms.iter().all(|term| term.holds(ctx)),
            Self::Not(inner) => !inner.holds(ctx),
            Self::Compare(left, sign, right) => compare(&left.value(ctx), sign, &right.value(ctx)),
            Self::Truthy(operand) => is_truthy(&operand.value(ctx)),
        }
    }

    fn level(&self) -> u8 {
        match self {
            Self::Or(_) => 0,
            Self::And(_) => 1,
            Self::Not(_) => 2,
            Self::Compare(..) | Self::Truthy(_) => 3,
        }
    }

    /// With parentheses only where they are needed, and one space around what joins.
    fn normal(&self) -> String {
        self.write(&mut |text| text, " ")
    }

    /// `dress` may put parentheses and spaces around a whole term.
    fn write(&self, dress: &mut impl FnMut(String) -> String, space: &str) -> String {
        match self {
            Self::Or(terms) => self.join(terms, &format!("{space}||{space}"), dress, space),
            Self::And(terms) => self.join(terms, &format!("{space}&&{space}"), dress, space),
            Self::Not(inner) => format!("!{}", self.term(inner, dress, space)),
            Self::Compare(left, sign, right) => {
                format!("{}{space}{sign}{space}{}", left.text(), right.text())
            }
            Self::Truthy(operand) => operand.text(),
        }
    }

    fn join(
        &self,
        terms: &[Tree],
        sign: &str,
        dress: &mut impl FnMut(String) -> String,
        space: &str,
    ) -> String {
        let terms = terms.iter().map(|term| self.term(term, dress, space));
        terms.collect::<Vec<_>>().join(sign)
    }

    fn term(&self, term: &Tree, dress: &mut impl FnMut(String) -> String, space: &str) -> String {
        let text = term.write(dress, space);
        match term.level() < self.level() {
            true => format!("({text})"),
            false => dress(text),
        }
    }
}

fn compare(left: &Value, sign: &str, right: &Value) -> bool {
    let order = match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left.as_f64().unwrap().partial_cmp(&right.as_f64().unwrap())
        }
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    };
    match sign {
        "==" => order.map_or(left == right, Ordering::is_eq),
        "!=" => !order.map_or(left == right, Ordering::is_eq),
        "<" => order.is_some_and(Ordering::is_lt),
        "<=" => order.is_some_and(Ordering::is_le),
        ">" => order.is_some_and(Ordering::is_gt),
        _ => order.is_some_and(Ordering::is_ge),
    }
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn operand() -> impl Strategy<Value = Operand> {
    let path = prop::sample::select(vec![
        "n",
        "z",
        "f",
        "s",
        "e",
        "t",
        "null",
        "l",
        "el",
        "o",
        "eo",
        "o.n",
        "o.length",
        "l.length",
        "el.length",
        "s.length",
        "none",
        "none.deeper",
        "n.deeper",
    ]);
    let literal = prop::sample::select(vec![
        json!(1),
        json!(0),
        json!(-3),
        json!(1.5),
        json!("b"),
        json!(""),
        json!("é\""),
        json!(true),
        json!(false),
        Value::Null,
    ]);
    prop_oneof![2 => path.prop_map(Operand::Path), 1 => literal.prop_map(Operand::Literal)]
}

fn tree() -> impl Strategy<Value = Tree> {
    let sign = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        operand().prop_map(Tree::Truthy),
        (operand(), sign, operand())
            .prop_map(|(left, sign, right)| Tree::Compare(left, sign, right)),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        // A parenthesis around terms that are joined by the same sign is not needed, so such a tree is another one.
        let not_or = inner
            .clone()
            .prop_filter("joined by ||", |tree| tree.level() != 0);
        let not_and = inner
            .clone()
            .prop_filter("joined by &&", |tree| tree.level() != 1);
        prop_oneof![
            vec(not_or, 2..4).prop_map(Tree::Or),
            vec(not_and, 2..4).prop_map(Tree::And),
            inner.prop_map(|inner| Tree::Not(Box::new(inner))),
        ]
    })
}

fn holds(guard: &str) -> bool {
    let definition = json!({
        "states": ["s"], "initial": "s",
        "transitions": [{"from": "s", "event": "E", "to": "s", "guard": guard}],
    });
    let (mut state, limits) = (State::new(), Limits::default());
    common::run(
        &mut state,
        &common::put("order", 1, &definition.to_string()),
        1,
        &limits,
    )
    .unwrap();
    let ctx = ctx().to_string();
    common::run(
        &mut state,
        &common::create("i", Some(&ctx), None),
        1,
        &limits,
    )
    .unwrap();
    match common::run(&mut state, &common::apply("i", "E", None, None), 1, &limits) {
        Ok(_) => true,
        Err(Refusal::GuardFailed { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn a_guard_is_read_as_its_tree_and_printed_in_one_form(
        tree in tree(),
        dresses in vec(0..4u8, 1..20),
        space in prop::sample::select(vec!["", " ", "\t", "\n  "]),
    ) {
        let mut dresses = dresses.iter().cycle();
        let mut dress = |text: String| match dresses.next() {
            Some(0) => format!("({text})"),
            Some(1) => format!("( ({text}) )"),
            Some(2) => format!(" {text} "),
            _ => text,
        };
        let text = tree.write(&mut dress, space);
        let guard = Guard::parse(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        let normal = tree.normal();
        prop_assert_eq!(guard.to_string(), normal.clone(), "{}", text);
        prop_assert_eq!(Guard::parse(&normal).unwrap().to_string(), normal);
        prop_assert_eq!(guard.text(), text.clone());
        prop_assert_eq!(holds(&text), tree.holds(&ctx()), "{}", text);
    }
}
