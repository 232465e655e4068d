//! Names, literals, lists, maps, and what follows a value: fields, indexes and methods.

use super::super::syntax::{Document, DocumentPath, Expr, ExprNode, Literal, PathStep, ScopeName};
use super::super::value::ExprType;
use super::{Error, ExprParser, ExprToken};
use crate::machine::nearest::nearest;

const OPERAND: &str = "a name, a literal, `!`, `-`, `(`, `[` or `{`";
/// What an expression may name beside its own variables.
const NAMES: [&str; 8] = [
    "ctx",
    "event",
    "now",
    "state",
    "instance_id",
    "machine",
    "actor",
    "headers",
];
const KEYWORDS: [&str; 4] = ["true", "false", "null", "in"];
/// Names that the language keeps for itself.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Whether a word cannot be the name of a variable.
pub(super) fn is_taken(word: &str) -> bool {
    KEYWORDS.contains(&word) || RESERVED.contains(&word)
}

impl<'a> ExprParser<'a> {
    pub(super) fn primary(&mut self) -> Result<Expr, Error> {
        let at = self.here().at;
        let literal = match self.token() {
            ExprToken::Int(value) => Literal::Int(*value as i64),
            ExprToken::Uint(value) => Literal::Uint(*value),
            ExprToken::Double(value) => Literal::Double(*value),
            ExprToken::String(text) => Literal::String(text.as_str().into()),
            ExprToken::Bytes(bytes) => Literal::Bytes(bytes.as_slice().into()),
            ExprToken::IntMin => {
                return Err(Error::Literal {
                    column: self.column(at),
                    why: "the number is out of the range of an int".to_owned(),
                });
            }
            ExprToken::Word => return self.word(),
            ExprToken::Sign("(") => {
                self.advance();
                let inner = self.expr()?;
                self.expect(")", "`)` or an operator")?;
                return Ok(inner);
            }
            ExprToken::Sign("[") => return self.list(),
            ExprToken::Sign("{") => return self.map(),
            ExprToken::Sign(".") => {
                self.advance();
                return match self.token() {
                    ExprToken::Word => self.word(),
                    _ => Err(self.unexpected("a name")),
                };
            }
            _ => return Err(self.unexpected(OPERAND)),
        };
        self.advance();
        self.make(at, ExprNode::Literal(literal))
    }

    fn list(&mut self) -> Result<Expr, Error> {
        let at = self.here().at;
        self.advance();
        let items = self.until("]", "`,` or `]`", Self::expr)?;
        self.make(at, ExprNode::List(items.into()))
    }

    fn map(&mut self) -> Result<Expr, Error> {
        let at = self.here().at;
        self.advance();
        let entries = self.until("}", "`,` or `}`", |parser| {
            let key = parser.expr()?;
            parser.expect(":", "`:`")?;
            Ok([key, parser.expr()?])
        })?;
        self.make(at, ExprNode::Map(entries.into()))
    }

    /// Items with commas between them, and perhaps one behind the last.
    fn until<T>(
        &mut self,
        close: &str,
        expected: &'static str,
        item: impl Fn(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(item(self)?);
            if !self.take(",") {
                self.expect(close, expected)?;
                break;
            }
        }
        Ok(items)
    }

    /// A name, a word with a meaning, or a call.
    fn word(&mut self) -> Result<Expr, Error> {
        let (name, at) = (self.here().text, self.here().at);
        let literal = match name {
            "true" => Literal::Bool(true),
            "false" => Literal::Bool(false),
            "null" => Literal::Null,
            _ if is_taken(name) => {
                return Err(self.unexpected(OPERAND));
            }
            _ => return self.name(name, at),
        };
        self.advance();
        self.make(at, ExprNode::Literal(literal))
    }

    fn name(&mut self, name: &'a str, at: usize) -> Result<Expr, Error> {
        self.advance();
        if self.is("(") {
            return self.call(name, at);
        }
        // The variable of the inner macro hides others of its name.
        if let Some(variable) = self.variables.iter().rposition(|other| *other == name) {
            return self.make(at, ExprNode::Variable(variable as u16));
        }
        let document = match name {
            "ctx" => Document::Ctx,
            "event" => Document::Event,
            "headers" => Document::Headers,
            _ => {
                let node = self.other_name(name, at)?;
                return self.make(at, node);
            }
        };
        let path = DocumentPath {
            document,
            steps: Vec::new(),
        };
        let number = self.path(path);
        self.make(at, ExprNode::Path(number))
    }

    fn other_name(&self, name: &str, at: usize) -> Result<ExprNode, Error> {
        let name = match name {
            "now" => ScopeName::Now,
            "state" => ScopeName::State,
            "instance_id" => ScopeName::InstanceId,
            "machine" => ScopeName::Machine,
            "actor" => ScopeName::Actor,
            _ => match ExprType::named(name) {
                Some(kind) => return Ok(ExprNode::Literal(Literal::Type(kind))),
                None => return Err(self.unknown("name", name, at)),
            },
        };
        Ok(ExprNode::Name(name))
    }

    pub(super) fn unknown(&self, what: &'static str, name: &str, at: usize) -> Error {
        use super::super::functions::names;
        let mut known = match what {
            "name" => NAMES.to_vec(),
            "function" => names(false),
            _ => names(true),
        };
        match what {
            "name" => {}
            "function" => known.push("has"),
            _ => known.extend(["all", "exists", "exists_one", "filter", "map"]),
        }
        let meant = nearest(name, known.iter().copied());
        let meant = meant.map(|meant| format!("did you mean `{meant}`? "));
        let last = known.pop().unwrap_or_default();
        Error::Unknown {
            column: self.column(at),
            what,
            name: name.to_owned(),
            known: format!(
                "{}there are {} and {last}",
                meant.unwrap_or_default(),
                known.join(", ")
            ),
        }
    }

    /// The number of a path; the same path has the same.
    pub(super) fn path(&mut self, path: DocumentPath) -> u16 {
        let number = self.paths.iter().position(|other| *other == path);
        let number = number.unwrap_or_else(|| {
            self.paths.push(path);
            self.paths.len() - 1
        });
        number as u16
    }

    fn longer(&mut self, path: u16, step: PathStep) -> u16 {
        let mut path = self.paths[usize::from(path)].clone();
        path.steps.push(step);
        self.path(path)
    }

    /// What follows a value.
    pub(super) fn members(&mut self, mut value: Expr) -> Result<Expr, Error> {
        loop {
            let at = self.here().at;
            if self.take(".") {
                let (name, name_at) = (self.here().text, self.here().at);
                if *self.token() != ExprToken::Word || KEYWORDS.contains(&name) {
                    return Err(self.unexpected("the name of a field or method"));
                }
                self.advance();
                value = match self.is("(") {
                    true => self.method(value, name, name_at)?,
                    false => self.select(value, name, name_at)?,
                };
            } else if self.take("[") {
                let index = self.expr()?;
                self.expect("]", "`]`")?;
                value = self.index(value, index, at)?;
            } else if self.is("{") {
                return Err(self.unexpected("an operator (messages cannot be made here)"));
            } else {
                return Ok(value);
            }
        }
    }

    /// Steps that are known ahead make a path longer, of at most as many steps as a tree is deep.
    fn select(&mut self, value: Expr, name: &str, at: usize) -> Result<Expr, Error> {
        match value.node {
            ExprNode::Path(path) => self.step(value.at, path, PathStep::Field(name.into())),
            _ => self.make(at, ExprNode::Select(Box::new(value), name.into())),
        }
    }

    fn index(&mut self, value: Expr, index: Expr, at: usize) -> Result<Expr, Error> {
        let step = match &index.node {
            ExprNode::Literal(Literal::String(name)) => Some(PathStep::Field(name.clone())),
            ExprNode::Literal(Literal::Int(index)) => {
                u64::try_from(*index).ok().map(PathStep::Item)
            }
            _ => None,
        };
        match (&value.node, step) {
            (ExprNode::Path(path), Some(step)) => self.step(value.at, *path, step),
            _ => self.make(at, ExprNode::Index(Box::new([value, index]))),
        }
    }

    fn step(&mut self, at: u16, path: u16, step: PathStep) -> Result<Expr, Error> {
        let at = usize::from(at);
        if self.paths[usize::from(path)].steps.len() >= usize::from(super::EXPRESSION_DEPTH_MAX) {
            return Err(self.too_deep(at));
        }
        let longer = self.longer(path, step);
        self.make(at, ExprNode::Path(longer))
    }
}
