//! JSON Schema 2020-12 for payloads and contexts, compiled once for a version of a machine.
//!
//! The leader checks documents while other writes wait. So this is an evaluator of our own, which counts steps: no schema
//! and no document takes long. A reference must lead to a place in the same schema. docs/machines.md says what is supported.

mod check;
mod compile;

use super::expression::EvalSteps;
use super::pattern::Pattern;
use crate::hash::Map;
use crate::json::JsonTree;

/// A compiled schema.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The first is the schema itself.
    parts: Box<[Subschema]>,
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
enum Subschema {
    Any,
    Nothing,
    Rules(Box<[SchemaRule]>),
}

/// The number of a part.
type Number = u32;
type Texts = Box<[Box<str>]>;
type NamedNumbers = Box<[(Box<str>, Number)]>;

#[derive(Clone, Debug)]
enum SchemaRule {
    Type(Vec<JsonType>),
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
    DependentSchemas(NamedNumbers),
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
enum JsonType {
    Null,
    Boolean,
    Object,
    Array,
    Number,
    Integer,
    String,
}

const TYPES: [(&str, JsonType); 7] = [
    ("null", JsonType::Null),
    ("boolean", JsonType::Boolean),
    ("object", JsonType::Object),
    ("array", JsonType::Array),
    ("number", JsonType::Number),
    ("integer", JsonType::Integer),
    ("string", JsonType::String),
];

/// A fault of a schema: its place inside of the schema, such as `.properties.amount`, and what is wrong.
pub(crate) type SchemaFault = (String, String);

impl Schema {
    /// Compiles a schema. Counts its patterns.
    pub(crate) fn compile(
        tree: &JsonTree<'_>,
        patterns: &mut usize,
    ) -> Result<Self, Vec<SchemaFault>> {
        compile::compile(tree, patterns).map(|parts| Self {
            parts: parts.into_boxed_slice(),
        })
    }

    /// How many times a rule leads to another schema for the same value: alternatives, conditions and references.
    pub(crate) fn branches(&self) -> usize {
        let of_rule = |rule: &SchemaRule| match rule {
            SchemaRule::AllOf(all) | SchemaRule::AnyOf(all) | SchemaRule::OneOf(all) => all.len(),
            SchemaRule::DependentSchemas(all) => all.len(),
            SchemaRule::Not(_)
            | SchemaRule::If { .. }
            | SchemaRule::Reference(_)
            | SchemaRule::Contains { .. } => 1,
            SchemaRule::Enum(all) => all.len(),
            _ => 0,
        };
        let of_part = |part: &Subschema| match part {
            Subschema::Rules(rules) => rules.iter().map(of_rule).sum(),
            _ => 0_usize,
        };
        self.parts.iter().map(of_part).sum()
    }

    /// Checks a document, which is valid JSON.
    pub fn check(&self, document: &str, steps: &mut EvalSteps) -> Result<(), Misfit> {
        check::check(&self.parts, document, steps)
    }
}

#[cfg(test)]
mod tests;
