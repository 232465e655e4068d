//! The rules about objects.

use std::borrow::Cow;

use super::{Result, SchemaCheck, spend};
use crate::hash::Map;
use crate::json::{JsonNode, JsonTree};
use crate::machine::schema::{Properties, SchemaRule, Subschema};

impl SchemaCheck<'_> {
    pub(super) fn object(
        &mut self,
        rule: &SchemaRule,
        value: &JsonTree<'_>,
        fields: &[(Cow<'_, str>, JsonTree<'_>)],
    ) -> Result {
        self.spend(fields.len())?;
        let last: Map<&str, &JsonTree<'_>> = fields
            .iter()
            .map(|(name, value)| (&**name, value))
            .collect();
        let count = last.len() as u64;
        match rule {
            SchemaRule::MaxProperties(max) if count > *max => self.broken(
                "maxProperties",
                format_args!("it has {count} fields; {max} are allowed"),
            ),
            SchemaRule::MinProperties(min) if count < *min => self.broken(
                "minProperties",
                format_args!("it has {count} fields; {min} are needed"),
            ),
            SchemaRule::Required(names) => self.required("required", names, &last),
            SchemaRule::DependentRequired(all) => {
                for (name, names) in all {
                    self.spend(1)?;
                    if last.contains_key(&**name) {
                        self.required("dependentRequired", names, &last)?;
                    }
                }
                Ok(())
            }
            _ => self.fields(rule, value, fields, &last),
        }
    }

    /// The rules that look into the fields.
    fn fields(
        &mut self,
        rule: &SchemaRule,
        value: &JsonTree<'_>,
        fields: &[(Cow<'_, str>, JsonTree<'_>)],
        last: &Map<&str, &JsonTree<'_>>,
    ) -> Result {
        match rule {
            SchemaRule::DependentSchemas(all) => {
                for (name, part) in all {
                    self.spend(1)?;
                    if last.contains_key(&**name) {
                        self.part(*part, value)?;
                    }
                }
                Ok(())
            }
            SchemaRule::PropertyNames(part) => {
                for (name, _) in fields {
                    let text = serde_json::Value::from(&**name).to_string();
                    let name_value = JsonTree {
                        text: &text,
                        node: JsonNode::String(Cow::Borrowed(name)),
                    };
                    self.inside(name.to_string(), *part, &name_value)?;
                }
                Ok(())
            }
            SchemaRule::Properties(rules) => {
                // In the order written, so that the first fault is the same whatever the hashes are.
                for (name, value) in fields {
                    let counts = last.get(&**name).is_some_and(|it| std::ptr::eq(*it, value));
                    if counts {
                        self.property(rules, name, value)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn required(
        &mut self,
        rule: &str,
        names: &[Box<str>],
        last: &Map<&str, &JsonTree<'_>>,
    ) -> Result {
        self.spend(names.len())?;
        match names.iter().find(|name| !last.contains_key(&***name)) {
            None => Ok(()),
            Some(missing) => self.broken(rule, format_args!("the field {missing:?} is missing")),
        }
    }

    fn property(&mut self, rules: &Properties, name: &str, value: &JsonTree<'_>) -> Result {
        let mut is_known = false;
        if let Some(part) = rules.named.get(name) {
            is_known = true;
            self.inside(name.to_owned(), *part, value)?;
        }
        for (pattern, part) in &rules.patterns {
            spend(self.steps, pattern.steps(name.len()))?;
            if pattern.is_in(name) {
                is_known = true;
                self.inside(name.to_owned(), *part, value)?;
            }
        }
        match rules.additional {
            Some(part) if !is_known => match self.parts[part as usize] {
                Subschema::Nothing => {
                    self.path.push(name.to_owned());
                    self.broken(
                        "additionalProperties",
                        "a field of this name is not allowed",
                    )
                }
                _ => self.inside(name.to_owned(), part, value),
            },
            _ => Ok(()),
        }
    }
}
