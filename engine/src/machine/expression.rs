//! The expression language of format 2: the Common Expression Language over an instance's JSON.
//!
//! An expression is parsed once. Its evaluation reads only what it names of the documents, and takes a bounded number
//! of [`EvalSteps`]. It depends on its arguments alone. docs/expressions.md is the language as users see it.
//!
//! | module | holds |
//! |---|---|
//! | `eval` | the value of an expression: operators, functions, macros |
//! | `check` | findings before an evaluation: types that never fit, the most steps that it can take |
//! | `moment` | spans and times that expressions give |
//! | `parser` | text to tree |
//! | `syntax` | the tree |
//! | `scope`, `source` | the documents that an expression reads, as JSON text, and the steps that it has left |
//! | `value` | values: times, decimals and the others |
//! | `functions` | the names of functions |
//! | `same` | whether two expressions say the same |
//! | `error` | what can go wrong |

mod check;
mod error;
mod eval;
mod functions;
mod moment;
mod parser;
mod same;
mod scope;
mod source;
mod syntax;
mod value;

#[cfg(test)]
mod tests;

pub use error::{Error, EvalFailure, Why};
pub(crate) use moment::time_of_text;
pub use scope::{EvalScope, ScopeNames};
pub use source::EvalSteps;

use std::cell::{Cell, RefCell};

use super::pattern::PARTS_MAX;
use eval::{ExprEval, Fail, FoundValue, to_json};
use syntax::{DocumentPath, Expr, ExprNode, ScopeName};
use value::ExprValue;

/// A parsed expression with its text.
#[derive(Clone, Debug)]
pub struct Expression {
    text: Box<str>,
    expr: Expr,
    paths: Box<[DocumentPath]>,
}

/// A finding about an expression that holds for every evaluation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExprWarning {
    /// A part that always fails.
    #[error("{why}, at column {column}: it fails whenever it is evaluated")]
    Fails {
        /// Where, in characters from 1.
        column: usize,
        /// Why.
        why: String,
    },
    /// As a condition it is never true.
    #[error("the condition is never true")]
    NeverTrue,
    /// As a condition it is true or fails with an error, but is never false.
    #[error("the condition is never false")]
    NeverFalse,
}

/// The outcome of a condition, and the values that decided it.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// Whether it is true, or why it has no value.
    pub holds: Result<bool, EvalFailure>,
    /// The paths of the documents that it read, in the order of its text, and then the other names that it has.
    pub read: Vec<ReadPath>,
}

/// A path of a document that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPath {
    /// As a user writes it: `ctx.items[0].sku`.
    pub path: String,
    /// The value as JSON; `None` if there is none.
    pub value: Option<String>,
}

/// An evaluation of a condition.
#[derive(Debug)]
pub(crate) struct EvalAttempt<'a> {
    pub(crate) expression: &'a Expression,
    pub(crate) holds: Result<bool, EvalFailure>,
    found: Vec<Option<FoundValue<'a>>>,
    names: ScopeNames<'a>,
}

impl EvalAttempt<'_> {
    /// The paths that were read, and the names that are no documents, such as `actor`. Of a value with more than
    /// `bytes_max` bytes, a beginning that is longer than that.
    pub(crate) fn read(&self, bytes_max: usize) -> Vec<ReadPath> {
        let paths = self.expression.paths.iter().zip(&self.found);
        let names = self.expression.names();
        let names = names.into_iter().map(|name| ReadPath {
            path: name.text().to_owned(),
            value: shown(&self.names.value(name), bytes_max),
        });
        let read = paths.filter_map(|(path, found)| {
            let found = found.as_ref()?.as_ref().ok();
            Some(ReadPath {
                path: path.text(path.steps.len()),
                value: found.and_then(|value| shown(value, bytes_max)),
            })
        });
        read.chain(names).collect()
    }
}

impl Expression {
    /// Parses a text. Names, functions, arguments and constant patterns are checked.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (expr, paths) = parser::parse(text)?;
        Ok(Self {
            text: text.into(),
            expr,
            paths,
        })
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether both have the same tree: spaces, brackets that change nothing, and the way in which a literal is written
    /// do not count.
    pub fn says_the_same(&self, other: &Self) -> bool {
        same::same((&self.expr, &self.paths), (&other.expr, &other.paths))
    }

    /// Whether it is true. A value of another type is a failure.
    pub fn holds<'a>(
        &'a self,
        scope: &mut EvalScope<'a>,
        steps: &mut EvalSteps,
    ) -> Result<bool, EvalFailure> {
        let (result, _) = self.run(scope, steps);
        self.is_true(result)
    }

    /// Its value as JSON text.
    pub fn json<'a>(
        &'a self,
        scope: &mut EvalScope<'a>,
        steps: &mut EvalSteps,
    ) -> Result<String, EvalFailure> {
        let (result, _) = self.run(scope, steps);
        let value = result.map_err(|fail| self.failure(fail))?;
        let mut text = String::new();
        match to_json(&value, &mut text, steps) {
            Ok(()) => Ok(text),
            Err(why) => Err(self.failure(Fail {
                at: self.expr.at,
                why,
            })),
        }
    }

    /// Whether it is true, with the values that it read.
    pub fn explain<'a>(&'a self, scope: &mut EvalScope<'a>, steps: &mut EvalSteps) -> Explained {
        let attempt = self.attempt(scope, steps);
        Explained {
            read: attempt.read(usize::MAX),
            holds: attempt.holds,
        }
    }

    /// Whether it is true. What it read can be shown afterwards, without another evaluation.
    pub(crate) fn attempt<'a>(
        &'a self,
        scope: &mut EvalScope<'a>,
        steps: &mut EvalSteps,
    ) -> EvalAttempt<'a> {
        let (result, found) = self.run(scope, steps);
        EvalAttempt {
            expression: self,
            holds: self.is_true(result),
            found,
            names: scope.names(),
        }
    }

    fn run<'a>(
        &'a self,
        scope: &mut EvalScope<'a>,
        steps: &mut EvalSteps,
    ) -> (Result<ExprValue<'a>, Fail>, Vec<Option<FoundValue<'a>>>) {
        let mut eval = ExprEval {
            paths: &self.paths,
            found: vec![None; self.paths.len()],
            variables: Vec::new(),
            scope,
            steps,
        };
        (eval.eval(&self.expr), eval.found)
    }

    fn is_true(&self, result: Result<ExprValue<'_>, Fail>) -> Result<bool, EvalFailure> {
        match result {
            Ok(ExprValue::Bool(value)) => Ok(value),
            Ok(other) => Err(self.failure(Fail {
                at: self.expr.at,
                why: Why::Conversion {
                    value: other.to_string(),
                    wanted: "bool",
                },
            })),
            Err(fail) => Err(self.failure(fail)),
        }
    }

    fn failure(&self, fail: Fail) -> EvalFailure {
        EvalFailure {
            column: parser::column(&self.text, usize::from(fail.at)),
            why: fail.why,
        }
    }

    /// How many loops over lists are inside of each other.
    pub(crate) fn loops(&self) -> usize {
        self.expr.loops()
    }

    /// How many parts the largest of these loops evaluates at each turn.
    pub(crate) fn turn(&self) -> usize {
        self.expr.turn()
    }

    /// How many patterns are compiled with it.
    pub(crate) fn patterns(&self) -> usize {
        self.expr
            .count(&|node| matches!(node, ExprNode::Matches(..)))
    }

    /// How many parts its largest pattern has; 0 where it matches none.
    pub(crate) fn pattern_parts(&self) -> usize {
        let parts = Cell::new(0);
        self.expr.count(&|node| {
            let of_node = match node {
                ExprNode::Matches(_, pattern) => pattern.parts(),
                ExprNode::Call(functions::Function::Matches, _) => PARTS_MAX,
                _ => 0,
            };
            parts.set(parts.get().max(of_node));
            false
        });
        parts.get()
    }

    /// The names that it has and that are no documents, each once.
    fn names(&self) -> Vec<ScopeName> {
        let found = RefCell::new(Vec::new());
        self.expr.count(&|node| {
            if let ExprNode::Name(name) = node {
                let mut found = found.borrow_mut();
                if !found.contains(name) {
                    found.push(*name);
                }
            }
            false
        });
        found.into_inner()
    }

    /// Whether it reads the time of the decision.
    pub(crate) fn reads_now(&self) -> bool {
        self.expr
            .count(&|node| matches!(node, ExprNode::Name(ScopeName::Now)))
            > 0
    }

    /// The findings about it as a condition.
    pub fn warnings(&self) -> Vec<ExprWarning> {
        let findings = check::check(&self.expr);
        let failing = findings
            .failing
            .into_iter()
            .map(|finding| ExprWarning::Fails {
                column: parser::column(&self.text, usize::from(finding.at)),
                why: finding.why,
            });
        let never_true = findings.never_true.then_some(ExprWarning::NeverTrue);
        let never_false = findings.never_false.then_some(ExprWarning::NeverFalse);
        failing.chain(never_true).chain(never_false).collect()
    }

    /// The most steps that an evaluation can take, when its documents have this many bytes together. If this is more
    /// than the limit, an evaluation may end with an error.
    pub fn worst_steps(&self, document_bytes: u64) -> u64 {
        check::worst(&self.expr, document_bytes)
    }
}

/// The value as JSON, or the beginning of a long one. It was read within the steps; showing it has steps of its own.
fn shown(value: &ExprValue<'_>, bytes_max: usize) -> Option<String> {
    // A character has up to four bytes.
    let beginning = |text: &str| {
        let end = text.floor_char_boundary(bytes_max.saturating_add(4));
        text[..end].to_owned()
    };
    match value {
        ExprValue::Number(text) | ExprValue::JsonList(text) | ExprValue::JsonMap(text) => {
            Some(beginning(text))
        }
        ExprValue::String(text) => serde_json::to_string(&beginning(text)).ok(),
        value => {
            let mut text = String::new();
            to_json(value, &mut text, &mut EvalSteps::default()).ok()?;
            Some(text)
        }
    }
}
