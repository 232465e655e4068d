//! The keywords of one subschema.

mod numbers;

use std::borrow::Cow;

use super::Compiler;
use crate::json::{JsonDecimal, JsonNode, JsonTree};
use crate::machine::pattern::Pattern;
use crate::machine::schema::{
    JsonType, NamedNumbers, Number, Properties, SchemaRule, TYPES, Texts,
};

/// Keywords that say nothing about which documents fit.
const NOTES: [&str; 18] = [
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "$anchor",
    "$vocabulary",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
];
/// Keywords that are part of another one's rule.
const PARTS: [&str; 5] = [
    "then",
    "else",
    "minContains",
    "maxContains",
    "additionalProperties",
];
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

type KeywordFields<'t> = [(Cow<'t, str>, JsonTree<'t>)];

/// A subschema's keywords, and where it is.
struct Keywords<'c, 't> {
    compiler: &'c mut Compiler<'t>,
    tree: &'t JsonTree<'t>,
    place: &'c str,
    rules: Vec<SchemaRule>,
}

pub(super) fn rules<'t>(
    compiler: &mut Compiler<'t>,
    tree: &'t JsonTree<'t>,
    fields: &'t KeywordFields<'t>,
    place: &str,
) -> Vec<SchemaRule> {
    let mut keywords = Keywords {
        compiler,
        tree,
        place,
        rules: Vec::with_capacity(fields.len()),
    };
    let mut seen: Vec<&str> = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let place = format!("{place}.{name}");
        if seen.contains(&&**name) {
            keywords.compiler.fault(&place, "is there twice");
            continue;
        }
        seen.push(name);
        keywords.keyword(name, value, &place);
    }
    keywords.properties();
    keywords.rules
}

impl<'t> Keywords<'_, 't> {
    fn keyword(&mut self, name: &str, value: &'t JsonTree<'t>, place: &str) {
        let rule = match name {
            "type" => self.types(value, place).map(SchemaRule::Type),
            "enum" => self.list(value, place).map(|items| {
                let texts = items.iter().map(|item| Box::from(item.text));
                SchemaRule::Enum(texts.collect())
            }),
            "const" => Some(SchemaRule::Const(Box::from(value.text))),
            "multipleOf" => self.multiple_of(value, place),
            "maximum" => self.bound(value, place, |it| SchemaRule::Maximum(it, true)),
            "exclusiveMaximum" => self.bound(value, place, |it| SchemaRule::Maximum(it, false)),
            "minimum" => self.bound(value, place, |it| SchemaRule::Minimum(it, true)),
            "exclusiveMinimum" => self.bound(value, place, |it| SchemaRule::Minimum(it, false)),
            "maxLength" => self.count(value, place).map(SchemaRule::MaxLength),
            "minLength" => self.count(value, place).map(SchemaRule::MinLength),
            "maxItems" => self.count(value, place).map(SchemaRule::MaxItems),
            "minItems" => self.count(value, place).map(SchemaRule::MinItems),
            "maxProperties" => self.count(value, place).map(SchemaRule::MaxProperties),
            "minProperties" => self.count(value, place).map(SchemaRule::MinProperties),
            "pattern" => self.pattern(value, place),
            "uniqueItems" => self.flag(value, place).then_some(SchemaRule::UniqueItems),
            "required" => self.names(value, place).map(SchemaRule::Required),
            "dependentRequired" => self.dependent_required(value, place),
            "dependentSchemas" => self.named(value, place).map(SchemaRule::DependentSchemas),
            "propertyNames" => Some(SchemaRule::PropertyNames(self.part(value, place))),
            "prefixItems" | "items" => return self.items(name, value, place),
            "contains" => self.contains(value, place),
            "allOf" => self.parts(value, place).map(SchemaRule::AllOf),
            "anyOf" => self.parts(value, place).map(SchemaRule::AnyOf),
            "oneOf" => self.parts(value, place).map(SchemaRule::OneOf),
            "not" => Some(SchemaRule::Not(self.part(value, place))),
            "if" => Some(self.condition(value, place)),
            "$ref" => self.reference(value, place),
            "properties" | "patternProperties" => None,
            _ => {
                self.other(name, value, place);
                None
            }
        };
        self.rules.extend(rule);
    }

    fn other(&mut self, name: &str, value: &'t JsonTree<'t>, place: &str) {
        match name {
            "$schema" if value.string().map(|it| it.trim_end_matches('#')) != Some(DIALECT) => {
                let text = format!("only {DIALECT:?} is supported");
                self.compiler.fault(place, text);
            }
            "$id" if !self.place.is_empty() => {
                let text = "is supported at the top of a schema only";
                self.compiler.fault(place, text);
            }
            "$defs" | "definitions" => drop(self.named(value, place)),
            "unevaluatedProperties" | "unevaluatedItems" | "$dynamicRef" | "$dynamicAnchor" => {
                self.compiler
                    .fault(place, "is not supported by this version");
            }
            "dependencies" | "additionalItems" | "$recursiveRef" | "$recursiveAnchor" => {
                let text =
                    "belongs to an earlier draft; JSON Schema 2020-12 has another keyword for it";
                self.compiler.fault(place, text);
            }
            name if NOTES.contains(&name) || PARTS.contains(&name) || name.starts_with("x-") => {}
            _ => {
                let text =
                    "is not a keyword of JSON Schema 2020-12; keys of your own begin with `x-`";
                self.compiler.fault(place, text);
            }
        }
    }

    fn expected(&mut self, what: &str, value: &JsonTree<'_>, place: &str) {
        let text = format!("expected {what}, not {}", value.kind());
        self.compiler.fault(place, text);
    }

    fn part(&mut self, value: &'t JsonTree<'t>, place: &str) -> Number {
        self.compiler.part(value, place.to_owned())
    }

    fn list(&mut self, value: &'t JsonTree<'t>, place: &str) -> Option<&'t [JsonTree<'t>]> {
        let items = value.items();
        if items.is_none() {
            self.expected("a list", value, place);
        }
        items
    }

    fn parts(&mut self, value: &'t JsonTree<'t>, place: &str) -> Option<Box<[Number]>> {
        let items = self.list(value, place)?;
        if items.is_empty() {
            self.compiler.fault(place, "is empty");
        }
        let items = items.iter().enumerate();
        Some(
            items
                .map(|(at, item)| self.part(item, &format!("{place}[{at}]")))
                .collect(),
        )
    }

    fn fields(&mut self, value: &'t JsonTree<'t>, place: &str) -> Option<&'t KeywordFields<'t>> {
        let fields = value.fields();
        if fields.is_none() {
            self.expected("an object", value, place);
        }
        fields
    }

    /// Subschemas by name; of a repeated name the last.
    fn named(&mut self, value: &'t JsonTree<'t>, place: &str) -> Option<NamedNumbers> {
        let fields = self.fields(value, place)?;
        let part = |(name, value): &'t (Cow<'t, str>, JsonTree<'t>)| {
            (
                Box::from(&**name),
                self.part(value, &format!("{place}.{name}")),
            )
        };
        Some(fields.iter().map(part).collect())
    }

    fn names(&mut self, value: &'t JsonTree<'t>, place: &str) -> Option<Texts> {
        let items = self.list(value, place)?;
        let mut all = Vec::with_capacity(items.len());
        for item in items {
            match item.string() {
                Some(name) => all.push(Box::from(name)),
                None => self.expected("a name", item, place),
            }
        }
        Some(all.into())
    }

    fn types(&mut self, value: &'t JsonTree<'t>, place: &str) -> Option<Vec<JsonType>> {
        let names = match value.string() {
            Some(name) => vec![Box::from(name)],
            None => self.names(value, place)?.into_vec(),
        };
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            match TYPES.iter().find(|(other, _)| **other == *name) {
                Some((_, kind)) => all.push(*kind),
                None => {
                    let known = TYPES.map(|(name, _)| name).join(", ");
                    let text = format!("{name:?} is not a type; known are {known}");
                    self.compiler.fault(place, text);
                }
            }
        }
        Some(all)
    }

    fn count(&mut self, value: &'t JsonTree<'t>, place: &str) -> Option<u64> {
        let number = match value.node {
            JsonNode::Number(text) => JsonDecimal::new(text).whole(),
            _ => None,
        };
        let count = number.and_then(|number| u64::try_from(number).ok());
        if count.is_none() {
            self.compiler
                .fault(place, "expected a whole number that is not negative");
        }
        count
    }

    fn flag(&mut self, value: &'t JsonTree<'t>, place: &str) -> bool {
        match value.node {
            JsonNode::Bool(flag) => flag,
            _ => {
                self.expected("true or false", value, place);
                false
            }
        }
    }

    fn compiled(&mut self, text: &str, place: &str) -> Option<Pattern> {
        self.compiler.patterns += 1;
        match Pattern::new(text) {
            Ok(pattern) => Some(pattern),
            Err(why) => {
                self.compiler.fault(place, why);
                None
            }
        }
    }

    fn pattern(&mut self, value: &'t JsonTree<'t>, place: &str) -> Option<SchemaRule> {
        let Some(text) = value.string() else {
            self.expected("a pattern as a string", value, place);
            return None;
        };
        let pattern = self.compiled(text, place)?;
        Some(SchemaRule::Pattern(Box::from(text), pattern))
    }

    fn dependent_required(&mut self, value: &'t JsonTree<'t>, place: &str) -> Option<SchemaRule> {
        let fields = self.fields(value, place)?;
        let mut all = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            let place = format!("{place}.{name}");
            all.push((Box::from(&**name), self.names(value, &place)?));
        }
        Some(SchemaRule::DependentRequired(all.into()))
    }

    /// `prefixItems` and `items` are one rule, made at the first of them.
    fn items(&mut self, name: &str, value: &'t JsonTree<'t>, place: &str) {
        if name == "items" && matches!(value.node, JsonNode::List(_)) {
            let text =
                "is one schema for all further items; schemas of the first ones are `prefixItems`";
            self.compiler.fault(place, text);
            return;
        }
        let mut found = (Box::default(), None);
        let before = self.rules.iter_mut().find_map(|rule| match rule {
            SchemaRule::Items { prefix, rest } => Some((std::mem::take(prefix), rest.take())),
            _ => None,
        });
        if let Some(before) = before {
            self.rules
                .retain(|rule| !matches!(rule, SchemaRule::Items { .. }));
            found = before;
        }
        let (mut prefix, mut rest) = found;
        match name {
            "items" => rest = Some(self.part(value, place)),
            _ => prefix = self.parts(value, place).unwrap_or_default(),
        }
        self.rules.push(SchemaRule::Items { prefix, rest });
    }

    fn beside(&self, name: &str) -> Option<(&'t JsonTree<'t>, String)> {
        let value = self.tree.field(name)?;
        Some((value, format!("{}.{name}", self.place)))
    }

    fn contains(&mut self, value: &'t JsonTree<'t>, place: &str) -> Option<SchemaRule> {
        let item = self.part(value, place);
        let min = match self.beside("minContains") {
            Some((value, place)) => self.count(value, &place)?,
            None => 1,
        };
        let max = match self.beside("maxContains") {
            Some((value, place)) => Some(self.count(value, &place)?),
            None => None,
        };
        Some(SchemaRule::Contains { item, min, max })
    }

    fn condition(&mut self, value: &'t JsonTree<'t>, place: &str) -> SchemaRule {
        let condition = self.part(value, place);
        let then = self
            .beside("then")
            .map(|(value, place)| self.part(value, &place));
        let otherwise = self
            .beside("else")
            .map(|(value, place)| self.part(value, &place));
        SchemaRule::If {
            condition,
            then,
            otherwise,
        }
    }

    fn reference(&mut self, value: &'t JsonTree<'t>, place: &str) -> Option<SchemaRule> {
        let Some(reference) = value.string() else {
            self.expected("a reference as a string", value, place);
            return None;
        };
        self.compiler
            .reference(reference, place)
            .map(SchemaRule::Reference)
    }

    fn properties(&mut self) {
        let named = self.beside("properties");
        let patterns = self.beside("patternProperties");
        let additional = self.beside("additionalProperties");
        if named.is_none() && patterns.is_none() && additional.is_none() {
            return;
        }
        let mut all = Properties::default();
        if let Some((value, place)) = named {
            all.named = self
                .named(value, &place)
                .unwrap_or_default()
                .into_iter()
                .collect();
        }
        if let Some((value, place)) = patterns {
            for (pattern, value) in self.fields(value, &place).unwrap_or_default() {
                let place = format!("{place}.{pattern}");
                let part = self.part(value, &place);
                let compiled = self.compiled(pattern, &place);
                all.patterns.extend(compiled.map(|pattern| (pattern, part)));
            }
        }
        all.additional = additional.map(|(value, place)| self.part(value, &place));
        self.rules.push(SchemaRule::Properties(Box::new(all)));
    }
}
