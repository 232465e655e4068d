//! Numbers against an oracle that writes them out: they are compared and hashed by their exact value, however they are
//! written.

use std::cmp::Ordering;

use crate::common;
use proptest::prelude::*;
use rstmdb_engine::{Limits, Refusal, State};

/// Places behind the point, and before it, that the oracle writes out.
const PLACES: usize = 80;

/// A number as JSON text, and what it is made of.
#[derive(Clone, Debug)]
struct Number {
    negative: bool,
    whole: String,
    fraction: String,
    exponent: Option<i32>,
    capital: bool,
    plus: bool,
}

impl Number {
    fn text(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let fraction = match self.fraction.is_empty() {
            true => String::new(),
            false => format!(".{}", self.fraction),
        };
        let exponent = self.exponent.map_or_else(String::new, |exponent| {
            let e = if self.capital { 'E' } else { 'e' };
            let plus = if self.plus && exponent >= 0 { "+" } else { "" };
            format!("{e}{plus}{exponent}")
        });
        format!("{sign}{}{fraction}{exponent}", self.whole)
    }

    /// All digits with the point at a fixed place.
    fn written_out(&self) -> Vec<u8> {
        let mut digits = vec![b'0'; 2 * PLACES];
        let exponent = self.exponent.unwrap_or(0);
        let first = PLACES as i32 - self.whole.len() as i32 - exponent;
        for (place, digit) in (first..).zip(self.whole.bytes().chain(self.fraction.bytes())) {
            digits[usize::try_from(place).unwrap()] = digit;
        }
        digits
    }

    fn compare(&self, other: &Self) -> Ordering {
        let (left, right) = (self.written_out(), other.written_out());
        let is_zero = |digits: &[u8]| digits.iter().all(|digit| *digit == b'0');
        match (
            self.negative && !is_zero(&left),
            other.negative && !is_zero(&right),
        ) {
            (false, false) => left.cmp(&right),
            (true, true) => right.cmp(&left),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

fn number() -> impl Strategy<Value = Number> {
    // Few digits, so that numbers are often equal; long ones too, beyond what a double holds.
    let whole = prop_oneof![3 => "0|[1-2]0{0,3}", 1 => "[1-9][0-9]{0,24}"];
    let fraction = prop_oneof![3 => "|0{0,3}[1-2]?0{0,2}", 1 => "[0-9]{0,24}"];
    let exponent = prop::option::of(prop_oneof![3 => -4..5i32, 1 => -40..40i32]);
    let written = (any::<bool>(), any::<bool>());
    (any::<bool>(), whole, fraction, exponent, written).prop_map(
        |(negative, whole, fraction, exponent, (capital, plus))| Number {
            negative,
            whole,
            fraction,
            exponent,
            capital,
            plus,
        },
    )
}

/// The same number without a point, with some zeros more and the exponent that makes up for both.
fn written_otherwise(number: &Number, zeros: usize) -> Number {
    let digits = format!("{}{}{}", number.whole, number.fraction, "0".repeat(zeros));
    let whole = match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    };
    let places = i32::try_from(number.fraction.len() + zeros).unwrap();
    Number {
        whole,
        fraction: String::new(),
        exponent: Some(number.exponent.unwrap_or(0) - places),
        capital: !number.capital,
        ..number.clone()
    }
}

const COMPARE: &str = r#"{"states":["s"],"initial":"s","transitions":[
{"from":"s","event":"LESS","to":"s","guard":"ctx.a < ctx.b"},
{"from":"s","event":"LESS_OR_EQUAL","to":"s","guard":"ctx.a <= ctx.b"},
{"from":"s","event":"EQUAL","to":"s","guard":"ctx.a == ctx.b"},
{"from":"s","event":"NOT_EQUAL","to":"s","guard":"ctx.a != ctx.b"},
{"from":"s","event":"GREATER","to":"s","guard":"ctx.a > ctx.b"},
{"from":"s","event":"GREATER_OR_EQUAL","to":"s","guard":"ctx.a >= ctx.b"},
{"from":"s","event":"TRUE","to":"s","guard":"ctx.a"},
{"from":"s","event":"SET","to":"s"}]}"#;

/// An instance whose context holds both numbers.
fn instance(left: &str, right: &str) -> State {
    let mut state = State::new();
    let limits = Limits::default();
    common::run(&mut state, &common::put("order", 1, COMPARE), 1, &limits).unwrap();
    let ctx = format!(r#"{{"a":{left},"b":{right}}}"#);
    common::run(
        &mut state,
        &common::create("i", Some(&ctx), None),
        1,
        &limits,
    )
    .unwrap();
    state
}

fn holds(state: &mut State, event: &str) -> bool {
    let apply = common::apply("i", event, None, None);
    match common::run(state, &apply, 1, &Limits::default()) {
        Ok(_) => true,
        Err(Refusal::GuardFailed { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

/// Whether a second event with the same key and the other number is a repetition of the first.
fn is_repetition(state: &mut State, left: &str, right: &str) -> bool {
    let limits = Limits::default();
    let set = |number: &str| {
        let payload = format!(r#"{{"n":[{number}]}}"#);
        common::apply("i", "SET", Some(&payload), Some("key"))
    };
    common::run(state, &set(left), 1, &limits).unwrap();
    match common::run(state, &set(right), 1, &limits) {
        Ok((entry, _)) => {
            assert!(entry.is_none(), "a repetition writes nothing");
            true
        }
        Err(Refusal::KeyConflict { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

fn check(left: &Number, right: &Number) -> Result<(), TestCaseError> {
    let (one, other) = (left.text(), right.text());
    let mut state = instance(&one, &other);
    let order = left.compare(right);
    for (event, expected) in [
        ("LESS", order.is_lt()),
        ("LESS_OR_EQUAL", order.is_le()),
        ("EQUAL", order.is_eq()),
        ("NOT_EQUAL", order.is_ne()),
        ("GREATER", order.is_gt()),
        ("GREATER_OR_EQUAL", order.is_ge()),
        (
            "TRUE",
            left.written_out().iter().any(|digit| *digit != b'0'),
        ),
    ] {
        prop_assert_eq!(
            holds(&mut state, event),
            expected,
            "{} {} {}",
            event,
            one,
            other
        );
    }
    let same = is_repetition(&mut state, &one, &other);
    prop_assert_eq!(same, order.is_eq(), "{} {}", one, other);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn numbers_compare_and_hash_as_they_do_written_out(left in number(), right in number()) {
        check(&left, &right)?;
    }

    #[test]
    fn a_number_written_otherwise_is_the_same(number in number(), zeros in 0..9usize) {
        let other = written_otherwise(&number, zeros);
        prop_assert_eq!(number.compare(&other), Ordering::Equal);
        check(&number, &other)?;
    }
}

#[test]
fn the_oracle_knows_these() {
    let number = |negative, whole: &str, fraction: &str, exponent| Number {
        negative,
        whole: whole.to_owned(),
        fraction: fraction.to_owned(),
        exponent: Some(exponent),
        capital: false,
        plus: false,
    };
    for (left, right, order) in [
        (
            number(false, "1", "", 0),
            number(false, "10", "", -1),
            Ordering::Equal,
        ),
        (
            number(true, "0", "", 3),
            number(false, "0", "00", 0),
            Ordering::Equal,
        ),
        (
            number(true, "2", "", 0),
            number(true, "1", "", 0),
            Ordering::Less,
        ),
        (
            number(false, "0", "1", 0),
            number(false, "1", "", -2),
            Ordering::Greater,
        ),
        (
            number(true, "1", "", -9),
            number(false, "0", "", 0),
            Ordering::Less,
        ),
    ] {
        assert_eq!(
            left.compare(&right),
            order,
            "{} {}",
            left.text(),
            right.text()
        );
    }
}
