//! JSON Schema 2020-12 for payloads and contexts, compiled once for a version of a machine.
//!
//! The leader checks documents while other writes wait. So this is an evaluator of our own, which counts steps: no schema
//! and no document takes long. A reference must lead to a place in the same schema. docs/machines.md says what is supported.

mod check;
mod compile;

use super::expression::Steps;
use super::pattern::Pattern;
use crate::hash::Map;
use crate::json::Tree;

/// A compiled schema.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The first is the schema itself.
    parts: Box<[Part]>,
}

/// How a document does not fit, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// A rule that is broken.
    Broken {
        /// The value's place as a JSON pointer; empty for the whole document.
        path: String,
        /// The keyword.
        rule: String,
        /// What is wrong, for people.
        why: String,
    },
    /// The check takes more steps than are left.
    Limit,
}

/// One schema inside of the whole.
#[derive(Clone, Debug)]
enum Part {
    Any,
    Nothing,
    Rules(Box<[Rule]>),
}

/// The number of a part.
type Number = u32;
type Texts = Box<[Box<str>]>;
type Named = Box<[(Box<str>, Number)]>;

#[derive(Clone, Debug)]
enum Rule {
    Type(Vec<Type>),
    Enum(Texts),
    Const(Box<str>),
    MultipleOf(Box<str>),
    /// The bound, and whether it is allowed itself.
    Maximum(Box<str>, bool),
    Minimum(Box<str>, bool),
    MaxLength(u64),
    MinLength(u64),
    Pattern(Box<str>, Pattern),
    MaxItems(u64),
    MinItems(u64),
    UniqueItems,
    MaxProperties(u64),
    MinProperties(u64),
    Required(Texts),
    DependentRequired(Box<[(Box<str>, Texts)]>),
    DependentSchemas(Named),
    Properties(Box<Properties>),
    PropertyNames(Number),
    Items {
        prefix: Box<[Number]>,
        rest: Option<Number>,
    },
    Contains {
        item: Number,
        min: u64,
        max: Option<u64>,
    },
    AllOf(Box<[Number]>),
    AnyOf(Box<[Number]>),
    OneOf(Box<[Number]>),
    Not(Number),
    If {
        condition: Number,
        then: Option<Number>,
        otherwise: Option<Number>,
    },
    Reference(Number),
}

/// The rules that share what counts as an additional field.
#[derive(Clone, Debug, Default)]
struct Properties {
    named: Map<Box<str>, Number>,
    patterns: Vec<(Pattern, Number)>,
    additional: Option<Number>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Null,
    Boolean,
    Object,
    Array,
    Number,
    Integer,
    String,
}

const TYPES: [(&str, Type); 7] = [
    ("null", Type::Null),
    ("boolean", Type::Boolean),
    ("object", Type::Object),
    ("array", Type::Array),
    ("number", Type::Number),
    ("integer", Type::Integer),
    ("string", Type::String),
];

/// A fault of a schema: its place inside of the schema, such as `.properties.amount`, and what is wrong.
pub(crate) type SchemaFault = (String, String);

impl Schema {
    /// Compiles a schema. Counts its patterns.
    pub(crate) fn compile(tree: &Tree<'_>, patterns: &mut usize) -> Result<Self, Vec<SchemaFault>> {
        compile::compile(tree, patterns).map(|parts| Self {
            parts: parts.into_boxed_slice(),
        })
    }

    /// How many times a rule leads to another schema for the same value: alternatives, conditions and references.
    pub(crate) fn branches(&self) -> usize {
        let of_rule = |rule: &Rule| match rule {
            Rule::AllOf(all) | Rule::AnyOf(all) | Rule::OneOf(all) => all.len(),
            Rule::DependentSchemas(all) => all.len(),
            Rule::Not(_) | Rule::If { .. } | Rule::Reference(_) | Rule::Contains { .. } => 1,
            Rule::Enum(all) => all.len(),
            _ => 0,
        };
        let of_part = |part: &Part| match part {
            Part::Rules(rules) => rules.iter().map(of_rule).sum(),
            _ => 0_usize,
        };
        self.parts.iter().map(of_part).sum()
    }

    /// Checks a document, which is valid JSON.
    pub fn check(&self, document: &str, steps: &mut Steps) -> Result<(), Misfit> {
        check::check(&self.parts, document, steps)
    }
}

#[cfg(test)]
mod tests;
