//! Whether a document fits. Every look at a value costs steps.

mod objects;

use std::fmt;

use super::{JsonType, Misfit, Number, SchemaRule, Subschema, TYPES};
use crate::hash::Map;
use crate::json::{JsonDecimal, JsonNode, JsonTree, ReadBudget, check as hash_of, equal};
use crate::machine::expression::EvalSteps;

/// How deep the check may go: subschemas of one value and values inside of values together.
const DEPTH_MAX: usize = 512;
/// How much of a value is shown.
const SHOWN_CHARS: usize = 64;

type Result = std::result::Result<(), Misfit>;

struct SchemaCheck<'s> {
    parts: &'s [Subschema],
    steps: &'s mut EvalSteps,
    /// The path to the value that is being checked.
    path: Vec<String>,
    depth: usize,
    /// Around the alternatives that are tried: what they do not like is told to nobody.
    quiet: usize,
}

pub(super) fn check(parts: &[Subschema], document: &str, steps: &mut EvalSteps) -> Result {
    spend(steps, document.len() as u64 / 64 + 1)?;
    let Ok(tree) = JsonTree::parse(document.as_bytes()) else {
        return Err(Misfit::Broken {
            path: String::new(),
            rule: "type".to_owned(),
            why: "the text is not valid JSON".to_owned(),
        });
    };
    let mut check = SchemaCheck {
        parts,
        steps,
        path: Vec::new(),
        depth: 0,
        quiet: 0,
    };
    check.part(0, &tree)
}

fn spend(steps: &mut EvalSteps, count: u64) -> Result {
    steps.spend(count).map_err(|_| Misfit::Limit)
}

impl SchemaCheck<'_> {
    fn spend(&mut self, count: usize) -> Result {
        spend(self.steps, count as u64)
    }

    fn broken(&self, rule: &str, why: impl fmt::Display) -> Result {
        if self.quiet > 0 {
            return Err(Misfit::Broken {
                path: String::new(),
                rule: String::new(),
                why: String::new(),
            });
        }
        let steps = self
            .path
            .iter()
            .map(|step| step.replace('~', "~0").replace('/', "~1"));
        let path = steps.fold(String::new(), |path, step| path + "/" + &step);
        Err(Misfit::Broken {
            path,
            rule: rule.to_owned(),
            why: why.to_string(),
        })
    }

    fn part(&mut self, number: Number, value: &JsonTree<'_>) -> Result {
        self.spend(1)?;
        if self.depth == DEPTH_MAX {
            return Err(Misfit::Limit);
        }
        self.depth += 1;
        let parts = self.parts;
        let result = match &parts[number as usize] {
            Subschema::Any => Ok(()),
            Subschema::Nothing => self.broken("false", "no value is allowed here"),
            Subschema::Rules(rules) => rules.iter().try_for_each(|rule| self.rule(rule, value)),
        };
        self.depth -= 1;
        result
    }

    /// Whether a value fits; that the steps are used up is an error.
    fn fits(&mut self, number: Number, value: &JsonTree<'_>) -> std::result::Result<bool, Misfit> {
        let (depth, path) = (self.depth, self.path.len());
        self.quiet += 1;
        let outcome = self.part(number, value);
        self.quiet -= 1;
        match outcome {
            Ok(()) => Ok(true),
            Err(Misfit::Limit) => Err(Misfit::Limit),
            Err(Misfit::Broken { .. }) => {
                self.depth = depth;
                self.path.truncate(path);
                Ok(false)
            }
        }
    }

    fn inside(&mut self, step: String, number: Number, value: &JsonTree<'_>) -> Result {
        self.path.push(step);
        self.part(number, value)?;
        self.path.pop();
        Ok(())
    }

    fn rule(&mut self, rule: &SchemaRule, value: &JsonTree<'_>) -> Result {
        self.spend(1)?;
        match (rule, &value.node) {
            (SchemaRule::Type(types), _) => self.types(types, value),
            (SchemaRule::Enum(all), _) => self.one_of_values(all, value),
            (SchemaRule::Const(wanted), _) => match self.same(wanted, value.text)? {
                true => Ok(()),
                false => self.broken("const", format_args!("it is not {}", shown(wanted))),
            },
            (
                SchemaRule::MultipleOf(_) | SchemaRule::Maximum(..) | SchemaRule::Minimum(..),
                JsonNode::Number(text),
            ) => self.number(rule, text),
            (
                SchemaRule::MaxLength(_) | SchemaRule::MinLength(_) | SchemaRule::Pattern(..),
                JsonNode::String(text),
            ) => self.string(rule, text),
            (
                SchemaRule::MaxItems(_)
                | SchemaRule::MinItems(_)
                | SchemaRule::UniqueItems
                | SchemaRule::Items { .. }
                | SchemaRule::Contains { .. },
                JsonNode::List(items),
            ) => self.list(rule, items),
            (
                SchemaRule::MaxProperties(_)
                | SchemaRule::MinProperties(_)
                | SchemaRule::Required(_)
                | SchemaRule::DependentRequired(_)
                | SchemaRule::DependentSchemas(_)
                | SchemaRule::Properties(_)
                | SchemaRule::PropertyNames(_),
                JsonNode::Object(fields),
            ) => self.object(rule, value, fields),
            _ => self.combined(rule, value),
        }
    }

    fn types(&mut self, types: &[JsonType], value: &JsonTree<'_>) -> Result {
        let is = |kind: &JsonType| match (&value.node, kind) {
            (JsonNode::Null, JsonType::Null)
            | (JsonNode::Bool(_), JsonType::Boolean)
            | (JsonNode::String(_), JsonType::String)
            | (JsonNode::List(_), JsonType::Array)
            | (JsonNode::Object(_), JsonType::Object)
            | (JsonNode::Number(_), JsonType::Number) => true,
            (JsonNode::Number(text), JsonType::Integer) => JsonDecimal::new(text).is_whole(),
            _ => false,
        };
        if types.iter().any(is) {
            return Ok(());
        }
        if self.quiet > 0 {
            return self.broken("type", "");
        }
        let name = |kind: &JsonType| {
            TYPES
                .iter()
                .find(|(_, it)| it == kind)
                .map(|(name, _)| *name)
        };
        let names: Vec<&str> = types.iter().filter_map(name).collect();
        self.broken(
            "type",
            format_args!("it is {}, not of type {}", value.kind(), names.join(" or ")),
        )
    }

    fn same(&mut self, one: &str, two: &str) -> std::result::Result<bool, Misfit> {
        self.spend((one.len() + two.len()) / 32)?;
        equal(
            one,
            two,
            &mut ReadBudget::new(64 * (one.len() + two.len()) + 4096),
        )
        .map_err(|_| Misfit::Limit)
    }

    fn one_of_values(&mut self, all: &[Box<str>], value: &JsonTree<'_>) -> Result {
        for wanted in all {
            self.spend(1)?;
            if self.same(wanted, value.text)? {
                return Ok(());
            }
        }
        if self.quiet > 0 {
            return self.broken("enum", "");
        }
        let some: Vec<String> = all.iter().take(8).map(|text| shown(text)).collect();
        self.broken(
            "enum",
            format_args!("{} is not one of {}", shown(value.text), some.join(", ")),
        )
    }

    fn number(&mut self, rule: &SchemaRule, text: &str) -> Result {
        // A remainder takes a division for each digit.
        let bytes_of_step = if matches!(rule, SchemaRule::MultipleOf(_)) {
            2
        } else {
            32
        };
        self.spend(text.len() / bytes_of_step)?;
        let value = JsonDecimal::new(text);
        let (name, bound, fits) = match rule {
            SchemaRule::MultipleOf(of) => {
                let fits = value.is_multiple_of(&JsonDecimal::new(of)).unwrap_or(false);
                ("multipleOf", of, fits)
            }
            SchemaRule::Maximum(bound, true) => {
                ("maximum", bound, value <= JsonDecimal::new(bound))
            }
            SchemaRule::Maximum(bound, false) => {
                ("exclusiveMaximum", bound, value < JsonDecimal::new(bound))
            }
            SchemaRule::Minimum(bound, true) => {
                ("minimum", bound, value >= JsonDecimal::new(bound))
            }
            SchemaRule::Minimum(bound, false) => {
                ("exclusiveMinimum", bound, value > JsonDecimal::new(bound))
            }
            _ => return Ok(()),
        };
        match fits {
            true => Ok(()),
            false => self.broken(
                name,
                format_args!("{} does not fit {name} {bound}", shown(text)),
            ),
        }
    }

    fn string(&mut self, rule: &SchemaRule, text: &str) -> Result {
        self.spend(text.len() / 64)?;
        let length = || text.chars().count() as u64;
        match rule {
            SchemaRule::MaxLength(max) if length() > *max => self.broken(
                "maxLength",
                format_args!("it has {} characters; {max} are allowed", length()),
            ),
            SchemaRule::MinLength(min) if length() < *min => self.broken(
                "minLength",
                format_args!("it has {} characters; {min} are needed", length()),
            ),
            SchemaRule::Pattern(written, pattern) => {
                spend(self.steps, pattern.steps(text.len()))?;
                match pattern.is_in(text) {
                    true => Ok(()),
                    false => self.broken("pattern", format_args!("it does not match {written:?}")),
                }
            }
            _ => Ok(()),
        }
    }

    fn list(&mut self, rule: &SchemaRule, items: &[JsonTree<'_>]) -> Result {
        let count = items.len() as u64;
        match rule {
            SchemaRule::MaxItems(max) if count > *max => self.broken(
                "maxItems",
                format_args!("it has {count} items; {max} are allowed"),
            ),
            SchemaRule::MinItems(min) if count < *min => self.broken(
                "minItems",
                format_args!("it has {count} items; {min} are needed"),
            ),
            SchemaRule::UniqueItems => self.unique(items),
            SchemaRule::Items { prefix, rest } => {
                for (at, item) in items.iter().enumerate() {
                    if let Some(part) = prefix.get(at).copied().or(*rest) {
                        self.inside(at.to_string(), part, item)?;
                    }
                }
                Ok(())
            }
            SchemaRule::Contains { item, min, max } => {
                let mut found = 0;
                for value in items {
                    found += u64::from(self.fits(*item, value)?);
                }
                if found < *min {
                    return self.broken(
                        "contains",
                        format_args!("{found} items fit; {min} are needed"),
                    );
                }
                match max {
                    Some(max) if found > *max => self.broken(
                        "maxContains",
                        format_args!("{found} items fit; {max} are allowed"),
                    ),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Equal items have equal hashes.
    fn unique(&mut self, items: &[JsonTree<'_>]) -> Result {
        let mut seen: Map<u64, &JsonTree<'_>> = Map::default();
        for item in items {
            self.spend(1 + item.text.len() / 16)?;
            let hash = hash_of(item.text.as_bytes()).unwrap_or_default();
            if let Some(other) = seen.insert(hash, item)
                && self.same(other.text, item.text)?
            {
                return self.broken(
                    "uniqueItems",
                    format_args!("{} is there twice", shown(item.text)),
                );
            }
        }
        Ok(())
    }

    fn combined(&mut self, rule: &SchemaRule, value: &JsonTree<'_>) -> Result {
        match rule {
            SchemaRule::AllOf(parts) => parts.iter().try_for_each(|part| self.part(*part, value)),
            SchemaRule::AnyOf(parts) => {
                for part in parts {
                    if self.fits(*part, value)? {
                        return Ok(());
                    }
                }
                self.broken("anyOf", "it fits none of the alternatives")
            }
            SchemaRule::OneOf(parts) => {
                let mut fitting = 0;
                for part in parts {
                    fitting += usize::from(self.fits(*part, value)?);
                }
                match fitting {
                    1 => Ok(()),
                    _ => self.broken(
                        "oneOf",
                        format_args!("it fits {fitting} alternatives, not one"),
                    ),
                }
            }
            SchemaRule::Not(part) => match self.fits(*part, value)? {
                true => self.broken("not", "it fits what it must not fit"),
                false => Ok(()),
            },
            SchemaRule::If {
                condition,
                then,
                otherwise,
            } => {
                let branch = match self.fits(*condition, value)? {
                    true => then,
                    false => otherwise,
                };
                branch.map_or(Ok(()), |part| self.part(part, value))
            }
            SchemaRule::Reference(part) => self.part(*part, value),
            // A rule about values of another type.
            _ => Ok(()),
        }
    }
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
