//! Calls of functions, methods and macros.

use std::sync::Arc;

use super::super::functions::{self, Form, Function};
use super::super::syntax::{DocumentPath, Expr, ExprNode, Literal, Loop, Macro, PathStep};
use super::{Error, ExprParser, ExprToken};
use crate::machine::pattern::Pattern;

impl<'a> ExprParser<'a> {
    /// `f(…)`, from its parenthesis on.
    pub(super) fn call(&mut self, name: &'a str, at: usize) -> Result<Expr, Error> {
        if name == "has" {
            return self.has(at);
        }
        let Some((function, form)) = functions::find(name, false) else {
            return Err(self.unknown("function", name, at));
        };
        let arguments = self.arguments()?;
        self.check_count(name, at, form, arguments.len())?;
        self.called(function, arguments, at)
    }

    /// `x.f(…)`, from its parenthesis on.
    pub(super) fn method(
        &mut self,
        receiver: Expr,
        name: &'a str,
        at: usize,
    ) -> Result<Expr, Error> {
        let kind = match name {
            "all" => Macro::All,
            "exists" => Macro::Exists,
            "exists_one" | "existsOne" => Macro::ExistsOne,
            "filter" => Macro::Filter,
            "map" => Macro::Map,
            _ => {
                let Some((function, form)) = functions::find(name, true) else {
                    return Err(self.unknown("method", name, at));
                };
                let rest = self.arguments()?;
                self.check_count(name, at, form, rest.len())?;
                let mut arguments = vec![receiver];
                arguments.extend(rest);
                return self.called(function, arguments, at);
            }
        };
        self.looped(kind, receiver, at)
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, Error> {
        self.expect("(", "`(`")?;
        let mut arguments = Vec::new();
        if self.take(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expr()?);
            if !self.take(",") {
                self.expect(")", "`,` or `)`")?;
                return Ok(arguments);
            }
        }
    }

    fn check_count(&self, name: &str, at: usize, form: Form, found: usize) -> Result<(), Error> {
        let (fits, takes) = match form {
            Form::Global(1) => (found == 1, "one argument"),
            Form::Global(count) => (found == count, "two arguments"),
            Form::Method(0, 0) => (found == 0, "no argument"),
            Form::Method(0, most) => (found <= most, "no argument or a zone"),
            Form::Method(least, most) => ((least..=most).contains(&found), "one argument"),
        };
        match fits {
            true => Ok(()),
            false => Err(self.arguments_error(name, at, takes, found.to_string())),
        }
    }

    fn arguments_error(&self, name: &str, at: usize, takes: &'static str, found: String) -> Error {
        Error::Arguments {
            column: self.column(at),
            function: name.to_owned(),
            takes,
            found,
        }
    }

    fn called(&self, function: Function, arguments: Vec<Expr>, at: usize) -> Result<Expr, Error> {
        if let (Function::Matches, [text, pattern]) = (function, arguments.as_slice())
            && let ExprNode::Literal(Literal::String(pattern)) = &pattern.node
        {
            let pattern = Pattern::new(pattern).map_err(|why| Error::Pattern {
                column: self.column(at),
                why,
            })?;
            let text = Box::new(text.clone());
            return self.make(at, ExprNode::Matches(text, Arc::new(pattern)));
        }
        self.make(at, ExprNode::Call(function, arguments.into()))
    }

    /// `has(x.f)`.
    fn has(&mut self, at: usize) -> Result<Expr, Error> {
        let before = self.at;
        let mut arguments = self.arguments()?;
        let argument = arguments.pop().filter(|_| arguments.is_empty());
        // The last token before the parenthesis that closes: an index is no field.
        let ends_in_field =
            self.at >= before + 4 && self.tokens[self.at - 2].token == ExprToken::Word;
        let takes = "a field, such as `ctx.total`";
        let node = match argument.map(|it| it.node) {
            Some(ExprNode::Path(path)) if ends_in_field && self.ends_in_field(path) => {
                ExprNode::HasPath(path)
            }
            Some(ExprNode::Select(inner, name)) if ends_in_field => ExprNode::Has(inner, name),
            _ => {
                let found = "something else".to_owned();
                return Err(self.arguments_error("has", at, takes, found));
            }
        };
        self.make(at, node)
    }

    fn ends_in_field(&self, path: u16) -> bool {
        let path: &DocumentPath = &self.paths[usize::from(path)];
        matches!(path.steps.last(), Some(PathStep::Field(_)))
    }

    /// `x.all(name, condition)` and the others, from the parenthesis on.
    fn looped(&mut self, kind: Macro, range: Expr, at: usize) -> Result<Expr, Error> {
        self.expect("(", "`(`")?;
        let name = self.here().text;
        let is_name = *self.token() == ExprToken::Word && !super::primary::is_taken(name);
        if !is_name {
            return Err(self.unexpected("the name of a variable"));
        }
        self.advance();
        self.expect(",", "`,`")?;
        self.variables.push(name);
        let first = self.expr()?;
        let second = match kind == Macro::Map && self.take(",") {
            true => Some(self.expr()?),
            false => None,
        };
        self.variables.pop();
        self.expect(")", "`,` or `)`")?;
        let (condition, result) = match (kind, second) {
            (Macro::Map, Some(second)) => (Some(first), Some(second)),
            (Macro::Map, None) => (None, Some(first)),
            _ => (Some(first), None),
        };
        let parts = Loop {
            range,
            condition,
            result,
        };
        self.make(at, ExprNode::Loop(kind, Box::new(parts)))
    }
}
