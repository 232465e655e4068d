//! Expressions drawn from a seed, and texts that are nearly expressions. What the check finds before an evaluation is
//! true in the evaluation. A repeated or explained evaluation gives the same outcome. `engine/differential` compares
//! the values with those of another evaluator.

use crate::generate_expressions::Generator;
use rstmdb_engine::expression::{
    EvalFailure, EvalScope, EvalSteps, ExprWarning, Expression, ScopeNames,
};

use proptest::prelude::*;

const CASES: usize = 20_000;

/// The documents, as both evaluators get them.
const DOCUMENTS: [&str; 3] = [
    r#"{"i":3,"j":-4,"z":0,"d":2.5,"e":0.1,"s":"ab","u":"Köln","t":true,"f":false,"n":null,"l":[1,2,3],"m":{"a":1,"b":2},
        "o":[{"q":1,"w":"x"},{"q":0,"w":"y"}],"k":["a","ab"],"x":[],"y":{}}"#,
    r#"{"i":-9,"j":1,"z":0,"d":-0.5,"e":123456789.25,"s":"","u":"a\"b","t":false,"f":false,"n":1,"l":[0,-1.5],
        "m":{"a":"ab"},"o":[],"k":["é"],"x":[[1],[2,3]],"y":{"a":{"b":true}}}"#,
    r#"{"i":0,"j":7,"z":0,"d":1.0,"e":3.75,"s":"abab","u":"ab","t":true,"f":true,"l":[3,3,"ab",null,true],
        "m":{"a":null,"b":[1]},"o":[{"q":"1"},{"w":2}],"k":[],"x":[1.0,1],"y":{"a":1}}"#,
];

fn ours(expression: &Expression, document: &str) -> Result<String, EvalFailure> {
    let names = ScopeNames::default();
    let mut scope = EvalScope::new(document, "{}", "{}", names);
    expression.json(&mut scope, &mut EvalSteps::default())
}

/// Texts that come near to expressions.
fn any_text() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "ctx",
        ".l",
        ".o",
        "[0]",
        "['a']",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "?",
        "1",
        "2u",
        "1.5",
        "'é'",
        "b'x'",
        "\"",
        "'",
        "\\",
        "+",
        "-",
        "*",
        "/",
        "%",
        "==",
        "<=",
        "in",
        "&&",
        "||",
        "!",
        ".all(x, ",
        "x",
        "size(",
        ".map(y, ",
        "has(",
        "now",
        "null",
        "true",
        " ",
        "\n",
        "//",
        "decimal(",
        ".round(",
        "timestamp(",
    ]);
    prop_oneof![
        prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat()),
        ".{0,40}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_evaluated_the_same_twice_or_refused_with_its_place(text in any_text()) {
        let characters = text.chars().count();
        match Expression::parse(&text) {
            Err(error) => prop_assert!((1..=characters + 1).contains(&error.column().unwrap_or(1)), "{}", error),
            Ok(expression) => {
                let value = ours(&expression, DOCUMENTS[0]);
                prop_assert_eq!(&ours(&expression, DOCUMENTS[0]), &value);
                if let Err(failure) = &value {
                    prop_assert!((1..=characters).contains(&failure.column), "{}", failure);
                }
                let mut scope = EvalScope::new(DOCUMENTS[0], "{}", "{}", ScopeNames::default());
                let explained = expression.explain(&mut scope, &mut EvalSteps::default());
                if let Ok(holds) = explained.holds {
                    prop_assert_eq!(value, Ok(holds.to_string()));
                    let never = if holds { ExprWarning::NeverTrue } else { ExprWarning::NeverFalse };
                    prop_assert!(!expression.warnings().contains(&never), "{}", text);
                }
            }
        }
    }
}

#[test]
fn what_is_certain_before_an_evaluation_is_so_in_it() {
    let mut generator = Generator::new(7);
    let mut certain = 0;
    for case in 0..CASES {
        let text = generator.expression();
        let expression = Expression::parse(&text).unwrap();
        let mut scope = EvalScope::new(
            DOCUMENTS[case % DOCUMENTS.len()],
            "{}",
            "{}",
            ScopeNames::default(),
        );
        let holds = expression.holds(&mut scope, &mut EvalSteps::default());
        let warnings = expression.warnings();
        certain += usize::from(!warnings.is_empty());
        assert!(
            !(warnings.contains(&ExprWarning::NeverTrue) && holds == Ok(true)),
            "{text}"
        );
        assert!(
            !(warnings.contains(&ExprWarning::NeverFalse) && holds == Ok(false)),
            "{text}"
        );
    }
    assert!(certain > 100);
}
