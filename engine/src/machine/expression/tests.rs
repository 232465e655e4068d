//! The language case by case, by the specification of the Common Expression Language.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::limits::EXPRESSION_BYTES_MAX;

const CTX: &str = r#"{"total":129.90,"paid":100,"items":[{"sku":"A-1","n":2},{"sku":"B-2","n":0}],"status":"open",
    "none":null,"flag":true,"big":12345678901234567890,"tags":["x","y"],"address":{"city":"Köln","zip":"50667"},
    "odd key":1,"esc":"a\"b\u00e9","empty":[],"nested":{"list":[[1,2],[3]]},"twice":{"a":1,"a":2},
    "at":"2026-01-31T12:00:00Z","exp":1e3,"due_ms":1700000000000}"#;
const EVENT: &str = r#"{"amount": 30, "currency":"EUR","rate":1.5}"#;

fn scope() -> EvalScope<'static> {
    let names = ScopeNames {
        now_ms: 1_700_000_000_123,
        state: "open",
        instance_id: "order-1",
        machine: "order",
        actor: "shop",
    };
    EvalScope::new(CTX, EVENT, r#"{"trace":"t-1"}"#, names)
}

/// The value as JSON, or the reason why there is none.
fn value(text: &str) -> String {
    let expression = match Expression::parse(text) {
        Ok(expression) => expression,
        Err(error) => return format!("parse: {error}"),
    };
    match expression.json(&mut scope(), &mut EvalSteps::default()) {
        Ok(json) => json,
        Err(failure) => format!("error: {}", failure.why),
    }
}

fn all(cases: &[(&str, &str)]) {
    for (text, wanted) in cases {
        assert_eq!(value(text), *wanted, "{text}");
    }
}

#[test]
fn literals_are_those_of_the_language() {
    all(&[
        ("null", "null"),
        ("true", "true"),
        ("12", "12"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775807", "9223372036854775807"),
        ("0xFF", "255"),
        ("-0x10", "-16"),
        ("18446744073709551615u", "18446744073709551615"),
        ("0xffu", "255"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("1e3", "1000.0"),
        ("-2.5E-1", "-0.25"),
        ("'a\\tb'", r#""a\tb""#),
        ("\"it's\"", r#""it's""#),
        ("r'a\\tb'", r#""a\\tb""#),
        ("'''two\nlines'''", r#""two\nlines""#),
        ("\"\\u00e9\\x41\\101\\U0001F600\"", r#""éAA😀""#),
        ("size(b'\\xff\\377é')", "4"),
        ("b'ab' == b\"ab\"", "true"),
        ("[1, 'two', 3.0,]", r#"[1,"two",3.0]"#),
        ("{'a': 1, 'b': [2]}", r#"{"a":1,"b":[2]}"#),
        ("{}", "{}"),
        ("1 // a comment\n + 1", "2"),
    ]);
}

#[test]
fn a_text_that_is_no_expression_is_refused_with_its_place() {
    for (text, wanted) in [
        (
            "",
            "expected a name, a literal, `!`, `-`, `(`, `[` or `{` at column 1, found the end",
        ),
        ("1 +", "at column 4, found the end"),
        (
            "(1",
            "expected `)` or an operator at column 3, found the end",
        ),
        (
            "1 2",
            "expected an operator or the end at column 3, found `2`",
        ),
        ("ctx.total >", "at column 12"),
        ("ctx.", "expected the name of a field or method at column 5"),
        (
            "é",
            "expected a name, a literal or an operator at column 1, found `é`",
        ),
        (
            "'é' == foo",
            "unknown name `foo` at column 8; there are ctx, event,",
        ),
        (
            "evnet.n > 1",
            "unknown name `evnet` at column 1; did you mean `event`? there are ctx, event,",
        ),
        (
            "ctx.a && strtsWith('a', 'b')",
            "unknown function `strtsWith` at column 10; there are size, int,",
        ),
        (
            "decmal('1') > 0",
            "unknown function `decmal` at column 1; did you mean `decimal`? there are size, int,",
        ),
        (
            "'a'.startswith('b')",
            "unknown method `startswith` at column 5; did you mean `startsWith`? there are size,",
        ),
        (
            "nope(1)",
            "unknown function `nope` at column 1; there are size, int,",
        ),
        (
            "ctx.a.nope()",
            "unknown method `nope` at column 7; there are size, matches,",
        ),
        ("size()", "`size` takes one argument, not 0, at column 1"),
        ("size(1, 2)", "`size` takes one argument, not 2"),
        ("matches('a')", "`matches` takes two arguments, not 1"),
        ("'a'.startsWith()", "`startsWith` takes one argument, not 0"),
        ("has(ctx)", "`has` takes a field, such as `ctx.total`"),
        ("has(ctx['a'])", "`has` takes a field"),
        ("has(ctx.items[0])", "`has` takes a field"),
        (
            "[1].all(1, true)",
            "expected the name of a variable at column 9",
        ),
        ("[1].all(in, true)", "expected the name of a variable"),
        ("[1].all(x, x > 0, x)", "expected `,` or `)`"),
        ("'abc", "the string has no end at column 1"),
        ("'a\nb'", "the string has no end on its line"),
        ("'\\q'", "`\\q` is no escape"),
        ("'\\ud800'", "the escape is no code point"),
        ("9223372036854775808", "out of the range of an int"),
        ("18446744073709551616u", "out of the range of 64 bits"),
        ("1e999", "out of the range of a double"),
        ("12abc", "a number cannot go on with `a`"),
        ("1e", "expected a digit of the exponent"),
        (
            "ctx.a = 1",
            "expected an operator or the end at column 7, found `=`",
        ),
        ("if", "found `if`"),
        ("Order{id: 1}", "unknown name `Order`"),
        ("ctx{id: 1}", "messages cannot be made here"),
        ("'a'.matches('(')", "the pattern cannot be used"),
        ("'a'.matches('(a{99}){99}')", "the pattern cannot be used"),
        (
            "&",
            "expected a name, a literal or an operator at column 1, found `&`",
        ),
    ] {
        let error = Expression::parse(text).unwrap_err().to_string();
        assert!(error.contains(wanted), "{text}: {error}");
    }
}

#[test]
fn what_is_too_long_or_too_deep_is_refused() {
    let long = format!("1{}", " ".repeat(EXPRESSION_BYTES_MAX));
    assert!(matches!(
        Expression::parse(&long),
        Err(Error::TooLong { bytes: 4097 })
    ));
    for deep in [
        format!("{}1{}", "(".repeat(100), ")".repeat(100)),
        format!("{}1", "-(".repeat(100)),
        format!("{}true", "!".repeat(100)),
        format!("{}1{}", "[".repeat(100), "]".repeat(100)),
        format!("1{}", "+1".repeat(100)),
        format!("ctx{}", ".a".repeat(100)),
        format!("dyn(ctx){}", ".a".repeat(100)),
        format!("{}1{}", "true?1:".repeat(100), ""),
        format!("dyn({}1{})", "dyn(".repeat(100), ")".repeat(100)),
    ] {
        assert!(
            matches!(Expression::parse(&deep), Err(Error::TooDeep { .. })),
            "{deep}"
        );
    }
    let wide = ["ctx.total > 1"; 200].join(" && ");
    assert!(Expression::parse(&wide).is_ok());
}

#[test]
fn operators_bind_as_in_the_grammar() {
    all(&[
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 3 - 2", "5"),
        ("7 / 2 * 2", "6"),
        ("-7 / 2", "-3"),
        ("-7 % 3", "-1"),
        ("2 - -1", "3"),
        ("-(1 + 1)", "-2"),
        ("!true || true", "true"),
        ("1 < 2 == true", "true"),
        ("1 in [1] && true", "true"),
        ("true ? 1 : false ? 2 : 3", "1"),
        ("false ? 1 : false ? 2 : 3", "3"),
        ("true || false && false", "true"),
        ("'a' + 'b' == 'ab'", "true"),
        ("-ctx.paid", "-100"),
        ("ctx.items[0].sku.size()", "3"),
    ]);
}

#[test]
fn whole_numbers_never_wrap() {
    all(&[
        (
            "9223372036854775807 + 1",
            "error: 9223372036854775807 + 1 is out of range",
        ),
        (
            "-9223372036854775808 - 1",
            "error: -9223372036854775808 - 1 is out of range",
        ),
        (
            "9223372036854775807 * 2",
            "error: 9223372036854775807 * 2 is out of range",
        ),
        (
            "-9223372036854775808 / -1",
            "error: -9223372036854775808 / -1 is out of range",
        ),
        (
            "-(-9223372036854775808)",
            "error: -(-9223372036854775808) is out of range",
        ),
        ("1u - 2u", "error: 1u - 2u is out of range"),
        ("1 / 0", "error: division by zero"),
        ("1u % 0u", "error: division by zero"),
        ("1.0 / 0.0 > 1e300", "true"),
        ("1 + 1.0", "error: no such overload: int + double"),
        ("1 + 1u", "error: no such overload: int + uint"),
        ("1.5 % 1.0", "error: no such overload: double % double"),
        ("-1u", "error: no such overload: -uint"),
        ("'a' - 'b'", "error: no such overload: string - string"),
    ]);
}

#[test]
fn numbers_of_all_types_compare_by_value() {
    all(&[
        ("1 == 1.0", "true"),
        ("1 == 1u", "true"),
        ("1u < 1.5", "true"),
        ("9223372036854775807 == 9223372036854775807.0", "false"),
        ("9223372036854775807 < 9223372036854775808.0", "true"),
        ("-1 < 1u", "true"),
        ("18446744073709551615u > 9223372036854775807", "true"),
        ("0.0 == -0.0", "true"),
        ("double('NaN') == double('NaN')", "false"),
        ("double('NaN') != double('NaN')", "true"),
        ("double('NaN') < 1.0 || double('NaN') >= 1.0", "false"),
        ("1 == '1'", "false"),
        ("1 != null", "true"),
        ("null == null", "true"),
        ("[1, 2.0] == [1.0, 2]", "true"),
        ("[1] == [1, 2]", "false"),
        ("{'a': 1, 'b': 2} == {'b': 2.0, 'a': 1u}", "true"),
        ("{1: 'a'} == {1u: 'a'}", "true"),
        ("{'a': 1} == {'b': 1}", "false"),
        ("1 < 'a'", "error: no such overload: int < string"),
        ("[1] < [2]", "error: no such overload: list < list"),
        (
            "null <= null",
            "error: no such overload: null_type <= null_type",
        ),
        ("false < true", "true"),
        (
            "'a' < 'b' && 'B' < 'a' && 'z' < 'é' && '\\uffff' < '\\U00010000'",
            "true",
        ),
        ("b'a' < b'b'", "true"),
    ]);
}

#[test]
fn an_operand_that_decides_makes_up_for_an_error() {
    all(&[
        ("false && 1 / 0 == 1", "false"),
        ("1 / 0 == 1 && false", "false"),
        ("true || ctx.missing", "true"),
        ("ctx.missing || true", "true"),
        ("ctx.missing || false", "error: no such key: ctx.missing"),
        ("ctx.missing && true", "error: no such key: ctx.missing"),
        ("ctx.missing && ctx.other && false", "false"),
        ("1 && false", "false"),
        ("1 && true", "error: no such overload: `&&` of int"),
        ("'a' || true", "true"),
        ("[0, 1].exists(x, 1 / x == 1)", "true"),
        ("[0, 2].exists(x, 1 / x == 1)", "error: division by zero"),
        ("[0, 2].all(x, 1 / x == 1)", "false"),
        ("[0, 1].all(x, 1 / x == 1)", "error: division by zero"),
        (
            "[1, 0].exists_one(x, 1 / x == 1)",
            "error: division by zero",
        ),
        ("true ? 1 : 1 / 0", "1"),
        ("1 ? 2 : 3", "error: no such overload: `? :` of int"),
    ]);
}

#[test]
fn documents_are_read_by_path() {
    all(&[
        ("ctx.total", "129.90"),
        ("ctx.items[1].sku", r#""B-2""#),
        ("ctx['odd key']", "1"),
        (
            "ctx[ctx.missing_or ? 'a' : 'b']",
            "error: no such key: ctx.missing_or",
        ),
        ("ctx['sta' + 'tus']", r#""open""#),
        ("ctx.address", r#"{"city":"Köln","zip":"50667"}"#),
        ("ctx.esc", "\"a\\\"bé\""),
        ("ctx.twice.a", "2"),
        ("size(ctx.twice)", "1"),
        ("ctx.twice == {'a': 2}", "true"),
        ("ctx.nested.list[0][1]", "2"),
        (
            "ctx.address.street",
            "error: no such key: ctx.address.street",
        ),
        (
            "ctx.address.street.number",
            "error: no such key: ctx.address.street",
        ),
        ("ctx.status.size", "error: no such overload: string.size"),
        ("ctx.none.a", "error: no such overload: null_type.a"),
        ("ctx.items[2]", "error: index 2 is outside of a list of 2"),
        ("ctx.items[-1]", "error: index -1 is outside of a list of 2"),
        ("ctx.items['a']", "error: no such overload: list.a"),
        ("ctx[0]", "error: no such key: ctx[0]"),
        ("ctx.items[ctx.paid - 100].n", "2"),
        ("ctx.tags[1.0] + ctx.tags[0u]", r#""yx""#),
        ("[1, 2][1.5]", "error: no such overload: list[double]"),
        ("{1: 'a'}[1.0]", r#""a""#),
        ("{'a': 1}.b", "error: no such key: b"),
        ("{'a': 1, 'a': 2}", "error: the map has the key \"a\" twice"),
        ("{1: 1, 1u: 2}", "error: the map has the key 1u twice"),
        (
            "{1.5: 1}",
            "error: no such overload: a map with a key of type double",
        ),
        ("event.amount", "30"),
        ("headers.trace", r#""t-1""#),
        (
            "[now, state, instance_id, machine, actor]",
            r#"[1700000000123,"open","order-1","order","shop"]"#,
        ),
        (
            "has(ctx.none) && !has(ctx.nope) && has(ctx.address.city)",
            "true",
        ),
        ("has(ctx.nope.a)", "error: no such key: ctx.nope"),
        ("has(ctx.status.a)", "error: no such overload: string.a"),
        ("has({'a': 1}.a) && !has({'a': 1}.b)", "true"),
        (
            "ctx.items.filter(i, has(i.n) && i.n > 0)",
            r#"[{"sku":"A-1","n":2}]"#,
        ),
    ]);
}

#[test]
fn a_number_of_json_is_what_its_neighbour_needs() {
    all(&[
        (
            "type(ctx.paid) == int && type(ctx.total) == double && type(ctx.exp) == double",
            "true",
        ),
        ("ctx.paid + 1", "101"),
        ("ctx.paid + 1.5", "101.5"),
        (
            "dyn(ctx.paid) + 1.5",
            "error: no such overload: int + double",
        ),
        ("ctx.total + 1.0", "130.9"),
        ("ctx.total + 1", "error: no such overload: double + int"),
        ("ctx.paid - event.rate", "98.5"),
        ("event.rate * ctx.paid", "150.0"),
        ("ctx.paid / 3", "33"),
        ("ctx.big > 1", "true"),
        ("type(ctx.big) == double", "true"),
        ("decimal(ctx.big)", "12345678901234567890"),
        ("decimal(ctx.total) - ctx.paid", "29.90"),
        ("decimal(ctx.total) * 3", "389.70"),
        ("decimal('0.1') + decimal('0.2') == decimal('0.3')", "true"),
        ("decimal(0.1)", "0.1"),
        (
            "decimal('1') * 1.5",
            "error: no such overload: decimal * double",
        ),
        (
            "decimal(ctx.total) == ctx.total && decimal('129.9') == 129.9",
            "true",
        ),
        ("decimal('0.30') > 0.3", "false"),
        (
            "decimal('1.5') < 1e300 && decimal('1.5') > -1.0 / 0.0",
            "true",
        ),
        ("decimal(10) / 4", "2.5"),
        ("decimal(1) / 0", "error: division by zero"),
        ("(decimal(100) / 3).round(2)", "33.33"),
        (
            "decimal('abc')",
            "error: \"abc\" is no decimal of at most 38 digits, 28 of them behind the point",
        ),
        (
            "decimal('2.345').round(-1)",
            "error: 2.345.round(-1) is out of range",
        ),
        ("int(decimal('12.9')) + int(-3.9)", "9"),
        ("string(decimal('12.90'))", r#""12.90""#),
        ("-decimal('1.5')", "-1.5"),
        (
            "decimal(7) % 2",
            "error: no such overload: decimal % decimal",
        ),
    ]);
}

#[test]
fn macros_go_over_lists_and_the_keys_of_maps() {
    all(&[
        ("ctx.items.all(i, i.n >= 0)", "true"),
        ("ctx.items.exists(i, i.n == 0)", "true"),
        ("ctx.items.exists_one(i, i.n == 0)", "true"),
        ("[1, 1].exists_one(x, x == 1)", "false"),
        ("ctx.items.map(i, i.sku)", r#"["A-1","B-2"]"#),
        ("ctx.items.map(i, i.n > 0, i.sku + '!')", r#"["A-1!"]"#),
        ("[1, 2, 3].filter(x, x % 2 == 1)", "[1,3]"),
        (
            "ctx.address.filter(k, ctx.address[k] == '50667')",
            r#"["zip"]"#,
        ),
        ("{'b': 1, 'a': 2}.map(k, k)", r#"["b","a"]"#),
        ("[].all(x, x) && ![].exists(x, x)", "true"),
        ("[[1, 2], [3]].map(x, x.map(y, y * size(x)))", "[[2,4],[3]]"),
        ("[1].map(ctx, ctx + 1)", "[2]"),
        ("[1, 2].map(x, [10].map(x, x))", "[[10],[10]]"),
        ("1.all(x, x)", "error: no such overload: int.all(…)"),
        ("[1].all(x, x)", "error: no such overload: `all` of int"),
        (
            "[1].filter(x, 'a')",
            "error: no such overload: `filter` of string",
        ),
        ("2 in [1, 2.0] && !('a' in [])", "true"),
        ("'city' in ctx.address && !('x' in ctx.address)", "true"),
        ("1 in {1: 2} && 1.0 in {1u: 2}", "true"),
        ("1 in 'a'", "error: no such overload: int in string"),
        ("'x' in ctx.tags", "true"),
        ("ctx.tags + ['z']", r#"["x","y","z"]"#),
        ("[1, 2] + [3]", "[1,2,3]"),
    ]);
}

#[test]
fn strings_count_code_points() {
    all(&[
        ("size('Köln😀')", "5"),
        ("ctx.address.city.size()", "4"),
        ("size(b'Köln')", "5"),
        ("size([1, 2]) + size({'a': 1}) + size(ctx.items)", "5"),
        ("size(1)", "error: no such overload: size(int)"),
        (
            "ctx.status.startsWith('op') && ctx.status.endsWith('en') && ctx.status.contains('pe')",
            "true",
        ),
        (
            "'a'.startsWith(1)",
            "error: no such overload: startsWith(string, int)",
        ),
        ("ctx.items[0].sku.matches('^[A-Z]-[0-9]+$')", "true"),
        ("'xabcx'.matches('b')", "true"),
        ("matches('a', '^b')", "false"),
        ("'a1'.matches('^' + 'a[0-9]' + '$')", "true"),
        (
            "dyn(1).matches('a')",
            "error: no such overload: matches(int)",
        ),
    ]);
    assert!(value("'a'.matches('(' + 'a')").starts_with("error: the pattern cannot be used: "));
}

#[test]
fn conversions_refuse_what_does_not_fit() {
    all(&[
        ("int('42') + int(3.99) + int(5u)", "50"),
        ("int('4x')", "error: \"4x\" is no int"),
        ("int('+4')", "error: \"+4\" is no int"),
        (
            "int(1e19)",
            "error: int(10000000000000000000) is out of range",
        ),
        ("int(double('NaN'))", "error: int(NaN) is out of range"),
        (
            "int(18446744073709551615u)",
            "error: int(18446744073709551615u) is out of range",
        ),
        ("uint(3.7)", "3"),
        ("uint(-1)", "error: uint(-1) is out of range"),
        ("double(3) + double('0.5') + double(1u)", "4.5"),
        ("double('x')", "error: \"x\" is no double"),
        (
            "string(1.5) + string(2) + string(true) + string(3u)",
            r#""1.52true3""#,
        ),
        ("string(1e30)", r#""1e30""#),
        ("string(b'abc')", r#""abc""#),
        ("string(b'\\xff')", "error: 1 bytes is no UTF-8"),
        ("string([1])", "error: no such overload: string(list)"),
        ("bool('true') && !bool('0')", "true"),
        ("bool('yes')", "error: \"yes\" is no bool"),
        ("bool(1)", "error: no such overload: bool(int)"),
        (
            "type(1) == int && type('a') == string && type(null) == null_type && type(int) == type",
            "true",
        ),
        ("type(1) == type(1u)", "false"),
        ("int(null)", "error: no such overload: int(null_type)"),
        (
            "1.0 / 0.0",
            "error: a double that is no number cannot be stored in JSON",
        ),
        (
            "b'a'",
            "error: a value of type bytes cannot be stored in JSON",
        ),
        (
            "{1: 2}",
            "error: a map with a key that is no string cannot be stored in JSON",
        ),
    ]);
}

#[test]
fn times_are_computed_without_a_clock() {
    all(&[
        (
            "timestamp('2026-01-31T12:00:00Z') + duration('24h')",
            r#""2026-02-01T12:00:00Z""#,
        ),
        (
            "duration('1h') + timestamp('2026-01-31T23:30:00.5+01:00')",
            r#""2026-01-31T23:30:00.5Z""#,
        ),
        (
            "timestamp(ctx.at) - timestamp('2026-01-31T11:59:30Z')",
            r#""30s""#,
        ),
        (
            "timestamp(ctx.at) - duration('1s') < timestamp(ctx.at)",
            "true",
        ),
        (
            "duration('1h30m') - duration('90m') == duration('0s')",
            "true",
        ),
        ("timestamp(0)", r#""1970-01-01T00:00:00Z""#),
        ("int(timestamp(ctx.at))", "1769860800"),
        ("timestamp_ms(now)", r#""2023-11-14T22:13:20.123Z""#),
        ("millis(timestamp_ms(now)) == now", "true"),
        ("now - ctx.due_ms < millis(duration('1s'))", "true"),
        (
            "timestamp(now)",
            "error: timestamp(1700000000123), which takes seconds (timestamp_ms takes milliseconds), is out of range",
        ),
        (
            "timestamp('today')",
            "error: \"today\" is no timestamp, such as 2026-01-31T12:00:00Z",
        ),
        (
            "duration('1 day')",
            "error: \"1 day\" is no duration, such as 1h30m",
        ),
        (
            "timestamp('9999-12-31T23:59:59Z') + duration('1s')",
            "error: 9999-12-31T23:59:59Z + 1s is out of range",
        ),
        (
            "timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z')",
            "error: 9999-12-31T23:59:59Z - 0001-01-01T00:00:00Z is out of range",
        ),
        ("timestamp(ctx.at).getFullYear()", "2026"),
        ("timestamp(ctx.at).getMonth()", "0"),
        ("timestamp(ctx.at).getDate()", "31"),
        ("timestamp(ctx.at).getDayOfMonth()", "30"),
        ("timestamp(ctx.at).getDayOfWeek()", "6"),
        ("timestamp(ctx.at).getDayOfYear()", "30"),
        ("timestamp(ctx.at).getHours('+05:30')", "17"),
        ("timestamp(ctx.at).getMinutes('-00:15')", "45"),
        (
            "timestamp(ctx.at).getHours('Europe/Berlin')",
            "error: \"Europe/Berlin\" is no zone: UTC or an offset such as +05:30",
        ),
        (
            "duration('90m').getHours() + duration('90m').getMinutes()",
            "91",
        ),
        ("duration('1.250s').getMilliseconds()", "250"),
        (
            "duration('1h').getFullYear()",
            "error: no such overload: getFullYear(google.protobuf.Duration)",
        ),
        ("string(duration('1h1ms'))", r#""3600.001s""#),
    ]);
}

#[test]
fn a_failure_says_where_it_is() {
    for (text, wanted) in [
        (
            "ctx.total > 1.0 && ctx.nope == 1",
            "no such key: ctx.nope, at column 20",
        ),
        ("'é' + (1)", "no such overload: string + int, at column 5"),
        (
            "[1, 2].map(x, 1 / (x - 1))",
            "division by zero, at column 17",
        ),
        ("ctx.paid", "100 is no bool, at column 1"),
    ] {
        let expression = Expression::parse(text).unwrap();
        let failure = expression
            .holds(&mut scope(), &mut EvalSteps::default())
            .unwrap_err();
        assert_eq!(failure.to_string(), wanted);
    }
}

#[test]
fn an_explanation_names_what_was_read_and_nothing_else() {
    let text =
        "ctx.status == 'open' && event.amount >= ctx.total && ctx.items[0].n > 0 && has(ctx.nope)";
    let expression = Expression::parse(text).unwrap();
    let explained = expression.explain(&mut scope(), &mut EvalSteps::default());
    assert_eq!(explained.holds, Ok(false));
    let read: Vec<(&str, Option<&str>)> = explained
        .read
        .iter()
        .map(|read| (read.path.as_str(), read.value.as_deref()))
        .collect();
    let wanted = [
        ("ctx.status", Some("\"open\"")),
        ("event.amount", Some("30")),
        ("ctx.total", Some("129.90")),
    ];
    assert_eq!(read, wanted, "&& ends with the operand that is false");
}

#[test]
fn names_that_are_no_documents_are_explained_once_each() {
    let text = "now > 5 && (actor == 'ann' || actor == ctx.owner) && state != instance_id";
    let expression = Expression::parse(text).unwrap();
    let names = ScopeNames {
        now_ms: 7,
        state: "open",
        instance_id: "i\"1",
        machine: "m",
        actor: "eve",
    };
    let mut scope = EvalScope::new(r#"{"owner":"bob"}"#, "{}", "{}", names);
    let explained = expression.explain(&mut scope, &mut EvalSteps::default());
    assert_eq!(explained.holds, Ok(false));
    let read: Vec<(&str, Option<&str>)> = explained
        .read
        .iter()
        .map(|read| (read.path.as_str(), read.value.as_deref()))
        .collect();
    let wanted = [
        ("ctx.owner", Some("\"bob\"")),
        ("now", Some("7")),
        ("actor", Some("\"eve\"")),
        ("state", Some("\"open\"")),
        ("instance_id", Some(r#""i\"1""#)),
    ];
    assert_eq!(read, wanted);
}

#[test]
fn a_missing_value_is_explained_too() {
    let expression = Expression::parse("ctx.nope == 1 || ctx['odd key'] == 2").unwrap();
    let explained = expression.explain(&mut scope(), &mut EvalSteps::default());
    assert_eq!(
        explained.holds.unwrap_err().why,
        Why::NoSuchKey("ctx.nope".to_owned())
    );
    assert_eq!(explained.read[0].value, None);
    assert_eq!(explained.read[1].path, r#"ctx["odd key"]"#);
    assert_eq!(explained.read[1].value.as_deref(), Some("1"));
}

#[test]
fn steps_end_and_no_operand_makes_up_for_it() {
    let items = ["1"; 1000].join(",");
    let ctx = format!(r#"{{"l":[{items}]}}"#);
    for text in [
        "ctx.l.all(a, ctx.l.all(b, ctx.l.all(c, a == b))) || true",
        "ctx.l.map(a, ctx.l.map(b, ctx.l)) == [] || true",
        "true || ctx.l.exists(a, ctx.l.exists(b, a != b))",
    ] {
        let expression = Expression::parse(text).unwrap();
        let mut steps = EvalSteps::default();
        let result = expression.holds(
            &mut EvalScope::new(&ctx, "{}", "{}", ScopeNames::default()),
            &mut steps,
        );
        match text.starts_with("true") {
            true => assert_eq!(result, Ok(true), "what decides first is not paid for"),
            false => {
                assert_eq!(result.unwrap_err().why, Why::Limit, "{text}");
                assert_eq!(steps.left(), 0);
            }
        }
        assert!(expression.worst_steps(ctx.len() as u64) > crate::limits::EXPRESSION_STEPS_MAX);
    }
    let cheap = Expression::parse("ctx.a > 0 && [1, 2, 3].all(x, x > ctx.b)").unwrap();
    assert!(cheap.worst_steps(10_000) < crate::limits::EXPRESSION_STEPS_MAX);
}

#[test]
fn steps_are_shared_by_the_expressions_of_a_decision() {
    let expression = Expression::parse("ctx.items.all(i, i.n >= 0)").unwrap();
    let mut steps = EvalSteps::new(60);
    let mut scope = scope();
    let mut runs = 0;
    while expression.holds(&mut scope, &mut steps).is_ok() {
        runs += 1;
        assert!(runs < 60);
    }
    assert!(runs > 0);
}

#[test]
fn what_is_certain_is_told_before_an_evaluation() {
    let warnings = |text: &str| {
        let warnings = Expression::parse(text).unwrap().warnings();
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let none: Vec<String> = Vec::new();
    for fine in [
        "ctx.total > 100",
        "size(ctx.items) > 0 && event.currency in ['EUR', 'USD']",
        "timestamp_ms(now) - timestamp(ctx.at) < duration('1h')",
        "decimal(event.amount) >= decimal(ctx.total) * 2",
        "ctx.a == 1 || 'a' == ctx.b",
        "[1, 'a'].exists(x, x + 1 == 2)",
        "dyn('a') == ctx.x",
        "has(ctx.a) ? ctx.a : false",
    ] {
        assert_eq!(warnings(fine), none, "{fine}");
    }
    let never_true = "the condition is never true";
    let never_false = "the condition is never false";
    assert_eq!(warnings("state == 1"), [never_true]);
    assert_eq!(warnings("ctx.a == 2 && size(ctx.b) == 'x'"), [never_true]);
    assert_eq!(warnings("1 == 2"), [never_true]);
    assert_eq!(warnings("true || ctx.a"), [never_false]);
    assert_eq!(warnings("!(false && ctx.a)"), [never_false]);
    assert_eq!(warnings("now + 1"), [never_true, never_false]);
    assert_eq!(warnings("ctx.a + 1"), [never_true, never_false]);
    let fails = warnings("ctx.a && state < 1");
    assert_eq!(
        fails,
        [
            "no such overload: string < int, at column 16: it fails whenever it is evaluated",
            never_true
        ],
    );
    for failing in [
        "'a' + 1 == ctx.x",
        "state.getHours() == 1",
        "size(now) > 1",
        "-'a' == ctx.b",
        "!state",
        "now.a == 1",
        "state[0] == 'o'",
        "now.all(x, x)",
        "1 in 'abc'",
        "state ? true : false",
        "now.matches('a')",
    ] {
        assert!(
            warnings(failing)[0].contains("it fails whenever"),
            "{failing}"
        );
    }
}

#[test]
fn expressions_say_the_same_whatever_their_spaces_and_brackets() {
    let same = |left: &str, right: &str| {
        let (left, right) = (
            Expression::parse(left).unwrap(),
            Expression::parse(right).unwrap(),
        );
        assert_eq!(left.says_the_same(&right), right.says_the_same(&left));
        left.says_the_same(&right)
    };
    for (left, right) in [
        ("ctx.a > 0", " ( ctx . a )>0"),
        ("ctx.a.b", "ctx['a'].b"),
        (
            "event.b == ctx.a && true",
            "event['b'] == (ctx.a) && (true)",
        ),
        ("'a' + \"b\"", "\"a\" + 'b'"),
        ("0x10 == 1e3", "16 == 1000.0"),
        ("ctx.l.map(x, x > 1, x)", "ctx.l.map(y, y > 1, y)"),
        ("ctx.a.matches('a+')", "ctx.a.matches(\"a+\")"),
        (
            "has(ctx.a) ? [1, {'k': -ctx.n}] : !ctx.b",
            "has(ctx.a)?[1,{'k':-ctx.n}]:!ctx.b",
        ),
    ] {
        assert!(same(left, right), "{left} and {right}");
    }
    for (left, right) in [
        ("ctx.a", "event.a"),
        ("ctx.a", "ctx.b"),
        ("ctx.a > ctx.b", "ctx.b > ctx.a"),
        ("1", "1.0"),
        ("1", "1u"),
        ("0.0", "-0.0"),
        ("ctx.a && ctx.b", "ctx.a || ctx.b"),
        ("ctx.a && ctx.b", "ctx.a && ctx.b && ctx.c"),
        ("ctx.l.all(x, x)", "ctx.l.exists(x, x)"),
        ("ctx.l.map(x, x)", "ctx.l.map(x, x, x)"),
        ("ctx.l.filter(x, x)", "ctx.l.map(x, x)"),
        ("ctx.a.matches('a')", "ctx.a.matches('b')"),
        ("size(ctx.a)", "int(ctx.a)"),
        ("has(ctx.a)", "ctx.a"),
        (
            "ctx.l.all(x, ctx.l.all(y, x))",
            "ctx.l.all(x, ctx.l.all(y, y))",
        ),
        ("now", "state"),
    ] {
        assert!(!same(left, right), "{left} and {right}");
    }
}
