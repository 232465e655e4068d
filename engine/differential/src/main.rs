//! Compares the engine's evaluator of expressions with another one of the Common Expression Language. For the same
//! generated text and the same documents both give the same value, or both give none.
//!
//! `RSTMDB_SEED` repeats a run or begins another one, `RSTMDB_CASES` sets how many expressions are compared.

#[path = "../../tests/it/generate_expressions.rs"]
mod generate;
mod theirs;

use rstmdb_engine::expression::{EvalFailure, EvalScope, EvalSteps, Expression, ScopeNames, Why};

use generate::Generator;

/// The documents, as both evaluators get them.
const DOCUMENTS: [&str; 3] = [
    r#"{"i":3,"j":-4,"z":0,"d":2.5,"e":0.1,"s":"ab","u":"Köln","t":true,"f":false,"n":null,"l":[1,2,3],"m":{"a":1,"b":2},
        "o":[{"q":1,"w":"x"},{"q":0,"w":"y"}],"k":["a","ab"],"x":[],"y":{}}"#,
    r#"{"i":-9,"j":1,"z":0,"d":-0.5,"e":123456789.25,"s":"","u":"a\"b","t":false,"f":false,"n":1,"l":[0,-1.5],
        "m":{"a":"ab"},"o":[],"k":["é"],"x":[[1],[2,3]],"y":{"a":{"b":true}}}"#,
    r#"{"i":0,"j":7,"z":0,"d":1.0,"e":3.75,"s":"abab","u":"ab","t":true,"f":true,"l":[3,3,"ab",null,true],
        "m":{"a":null,"b":[1]},"o":[{"q":"1"},{"w":2}],"k":[],"x":[1.0,1],"y":{"a":1}}"#,
];

/// Where the two differ, and what is right.
fn excluded(
    text: &str,
    ours: &Result<String, EvalFailure>,
    theirs: &Result<String, String>,
) -> Option<&'static str> {
    let large = [
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
    ];
    let is_large = large.iter().any(|large| text.contains(large));
    match (ours, theirs) {
        (Err(failure), _) if failure.why == Why::Limit => Some("it takes too many steps"),
        (Ok(_), Err(why)) if why.contains("can not be compared") && why.contains("NaN") => {
            Some("a comparison with NaN is false, and no error")
        }
        (Ok(_), Ok(_)) if is_large => {
            Some("an int near the end of its range is compared with a double exactly")
        }
        (Ok(_), Err(why)) if why == "JSON cannot hold it" => {
            Some("a time or a span becomes a text in JSON here; the crate writes none")
        }
        (Err(failure), Ok(_)) if matches!(&failure.why, Why::NoOverload(what) if what.starts_with('!')) => {
            Some("`!` of anything but a bool is an error, as CEL says; the crate takes it")
        }
        (Err(failure), Ok(_)) if matches!(&failure.why, Why::NoOverload(what) if what == "list + map") => {
            Some("a list and a map have no sum, as CEL says; the crate adds the keys")
        }
        (_, Ok(_)) if text.contains("getMilliseconds") => Some(
            "the milliseconds of a span are those of its last second, as CEL says; the crate gives all",
        ),
        (Ok(_), Ok(_)) if text.contains("1e300") => {
            Some("a large double is written with an exponent; the crate writes all its digits")
        }
        (Ok(_), Ok(_)) if text.contains("+01:00") && text.contains(".get") => Some(
            "parts of a time are those of UTC, as CEL says; the crate takes the offset it was written with",
        ),
        _ => None,
    }
}

fn ours(expression: &Expression, document: &str) -> Result<String, EvalFailure> {
    let names = ScopeNames::default();
    let mut scope = EvalScope::new(document, "{}", "{}", names);
    expression.json(&mut scope, &mut EvalSteps::default())
}

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let cases = number("RSTMDB_CASES", 100_000) as usize;
    let mut generator = Generator::new(number("RSTMDB_SEED", 20_261_128));
    let documents = DOCUMENTS.map(theirs::TheirDocument::new);
    let (mut values, mut failures, mut differences) = (0, 0, Vec::new());
    let mut exclusions = std::collections::BTreeMap::new();
    for case in 0..cases {
        // A number of JSON beside a double is a double here, and an error there: `dyn` makes it an error here too.
        let (text, strict) = generator.expression_and_strict();
        let at = case % DOCUMENTS.len();
        let theirs = documents[at].value(&text);
        let [loose, ours] = [&text, &strict].map(|text| {
            let expression = Expression::parse(text);
            let expression = expression.unwrap_or_else(|error| panic!("{text}: {error}"));
            ours(&expression, DOCUMENTS[at])
        });
        if ours.is_ok() {
            assert_eq!(loose, ours, "{text}");
        }
        match (&ours, &theirs) {
            (Ok(left), Ok(right)) if left == right => values += 1,
            (Err(_), Err(_)) => failures += 1,
            _ => match excluded(&text, &ours, &theirs) {
                Some(reason) => *exclusions.entry(reason).or_insert(0) += 1,
                None => differences.push(format!(
                    "document {at}: {strict}\n  ours:   {ours:?}\n  theirs: {theirs:?}"
                )),
            },
        }
    }
    println!(
        "{cases} expressions: {values} with the same value, {failures} without one, excluded {exclusions:?}"
    );
    let shown = differences.iter().take(40).cloned().collect::<Vec<_>>();
    assert!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        shown.join("\n")
    );
    assert!(
        values > cases / 2,
        "most have a value, so that it is values that are compared"
    );
    assert!(failures > cases / 100, "some have none");
    assert!(exclusions.values().sum::<usize>() < cases / 100);
}
