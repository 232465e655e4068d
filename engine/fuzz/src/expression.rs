//! Any text as an expression over documents of its own: it ends within its steps, and an evaluation that is explained or
//! repeated says the same.

use rstmdb_engine::expression::{EvalScope, EvalSteps, ExprWarning, Expression, ScopeNames};

const CTX: &str = r#"{"a":1,"b":2.50,"s":"x\n\u00e9","l":[1,"2",null,{"q":[]}],"o":{"k":{"k":true},"z":-0},"t":"2026-01-31T12:00:00Z"}"#;

/// Panics when something does not hold.
pub fn take(data: &[u8]) {
    let text = data.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let Ok(expression) = Expression::parse(text) else {
        return;
    };
    assert_eq!(expression.text(), text);
    let scope = || EvalScope::new(CTX, r#"{"a":"b","a":"c"}"#, "{}", ScopeNames::default());
    let (mut first, mut second) = (EvalSteps::default(), EvalSteps::default());
    let value = expression.json(&mut scope(), &mut first);
    assert_eq!(expression.json(&mut scope(), &mut second), value);
    assert_eq!(first.left(), second.left());
    let explained = expression.explain(&mut scope(), &mut EvalSteps::default());
    if let Ok(holds) = explained.holds {
        assert_eq!(value, Ok(holds.to_string()));
        assert!(!(holds && expression.warnings().contains(&ExprWarning::NeverTrue)));
    }
    expression.worst_steps(CTX.len() as u64);
}
