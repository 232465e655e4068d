//! A schema's text to parts: subschemas by their places, references by what they point to.

mod keywords;

use super::{Number, SchemaFault, SchemaRule, Subschema};
use crate::hash::Map;
use crate::json::{JsonNode, JsonTree};
use keywords::rules;

/// Most subschemas of one schema.
const PARTS_MAX: usize = 20_000;

/// What was compiled so far.
pub(super) struct Compiler<'t> {
    root: &'t JsonTree<'t>,
    parts: Vec<Subschema>,
    /// The parts by where their text begins.
    places: Map<usize, Number>,
    /// Subschemas that a reference names, by `$anchor`.
    anchors: Map<String, &'t JsonTree<'t>>,
    faults: Vec<SchemaFault>,
    patterns: usize,
    /// Subschemas that only a reference has named so far, with the place of that reference.
    waiting: Vec<(Number, &'t JsonTree<'t>, String)>,
    full: bool,
}

pub(super) fn compile(
    tree: &JsonTree<'_>,
    patterns: &mut usize,
) -> Result<Vec<Subschema>, Vec<SchemaFault>> {
    let mut compiler = Compiler {
        root: tree,
        parts: Vec::new(),
        places: Map::default(),
        anchors: Map::default(),
        faults: Vec::new(),
        patterns: 0,
        waiting: Vec::new(),
        full: false,
    };
    compiler.collect_anchors(tree);
    compiler.part(tree, String::new());
    while let Some((number, tree, place)) = compiler.waiting.pop() {
        compiler.fill(number, tree, place);
    }
    *patterns += compiler.patterns;
    if compiler.faults.is_empty() {
        compiler.check_circles();
    }
    match compiler.faults.is_empty() {
        true => Ok(compiler.parts),
        false => Err(compiler.faults),
    }
}

impl<'t> Compiler<'t> {
    pub(super) fn fault(&mut self, place: &str, text: impl Into<String>) {
        self.faults.push((place.to_owned(), text.into()));
    }

    /// The number of a subschema, which is compiled if it was not before. Recurses as deep as the schema is nested, which
    /// the reader of JSON bounds.
    pub(super) fn part(&mut self, tree: &'t JsonTree<'t>, place: String) -> Number {
        match self.reserve(tree) {
            (number, false) => number,
            (number, true) => {
                self.fill(number, tree, place);
                number
            }
        }
    }

    /// The number of a subschema, and whether it is new.
    fn reserve(&mut self, tree: &'t JsonTree<'t>) -> (Number, bool) {
        let place = tree.text.as_ptr() as usize;
        if let Some(number) = self.places.get(&place) {
            return (*number, false);
        }
        let number = self.parts.len() as Number;
        if self.parts.len() >= PARTS_MAX {
            if !std::mem::replace(&mut self.full, true) {
                self.fault(
                    "",
                    format!("more than {PARTS_MAX} subschemas are not allowed"),
                );
            }
            return (0, false);
        }
        self.parts.push(Subschema::Any);
        self.places.insert(place, number);
        (number, true)
    }

    fn fill(&mut self, number: Number, tree: &'t JsonTree<'t>, place: String) {
        let part = match &tree.node {
            JsonNode::Bool(true) => Subschema::Any,
            JsonNode::Bool(false) => Subschema::Nothing,
            JsonNode::Object(fields) => Subschema::Rules(rules(self, tree, fields, &place).into()),
            _ => {
                let text = format!(
                    "expected a schema: an object, true or false, not {}",
                    tree.kind()
                );
                self.fault(&place, text);
                Subschema::Any
            }
        };
        self.parts[number as usize] = part;
    }

    /// The subschema that a reference names.
    pub(super) fn reference(&mut self, reference: &str, place: &str) -> Option<Number> {
        let Some(inside) = reference.strip_prefix('#') else {
            let text = "only references inside of the schema, which begin with `#`, are supported";
            self.fault(place, text);
            return None;
        };
        let root = self.root;
        let target = match inside {
            "" => Some(root),
            pointer if pointer.starts_with('/') => at_pointer(root, pointer),
            anchor => self.anchors.get(anchor).copied(),
        };
        let Some(target) = target else {
            self.fault(place, format!("{reference:?} is not in the schema"));
            return None;
        };
        let (number, is_new) = self.reserve(target);
        if is_new {
            self.waiting.push((number, target, place.to_owned()));
        }
        Some(number)
    }

    fn collect_anchors(&mut self, tree: &'t JsonTree<'t>) {
        match &tree.node {
            JsonNode::Object(fields) => {
                for (name, value) in fields {
                    match (&**name, value.string()) {
                        ("$anchor", Some(anchor)) => {
                            self.anchors.insert(anchor.to_owned(), tree);
                        }
                        // What is compared is no schema.
                        ("const" | "enum" | "default" | "examples", _) => {}
                        _ => self.collect_anchors(value),
                    }
                }
            }
            JsonNode::List(items) => items.iter().for_each(|item| self.collect_anchors(item)),
            _ => {}
        }
    }

    /// Refuses references that come back to where they began without a step into the document.
    fn check_circles(&mut self) {
        // 0: not seen, 1: on the way, 2: done.
        let mut seen = vec![0_u8; self.parts.len()];
        for start in 0..self.parts.len() {
            let mut way: Vec<(usize, Vec<Number>)> = vec![(start, Vec::new())];
            if seen[start] != 0 {
                continue;
            }
            seen[start] = 1;
            way[0].1 = same_value(&self.parts[start]);
            while let Some((part, next)) = way.last_mut() {
                let Some(number) = next.pop() else {
                    seen[*part] = 2;
                    way.pop();
                    continue;
                };
                match seen[number as usize] {
                    0 => {
                        seen[number as usize] = 1;
                        let next = same_value(&self.parts[number as usize]);
                        way.push((number as usize, next));
                    }
                    1 => {
                        self.fault("", "a reference leads back to itself, so it says nothing");
                        return;
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The parts that look at the same value.
fn same_value(part: &Subschema) -> Vec<Number> {
    let Subschema::Rules(rules) = part else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for rule in rules {
        match rule {
            SchemaRule::AllOf(parts) | SchemaRule::AnyOf(parts) | SchemaRule::OneOf(parts) => {
                all.extend(parts)
            }
            SchemaRule::Not(part) | SchemaRule::Reference(part) => all.push(*part),
            SchemaRule::If {
                condition,
                then,
                otherwise,
            } => {
                all.push(*condition);
                all.extend(then.iter().chain(otherwise));
            }
            SchemaRule::DependentSchemas(parts) => all.extend(parts.iter().map(|(_, part)| part)),
            _ => {}
        }
    }
    all
}

fn at_pointer<'t>(root: &'t JsonTree<'t>, pointer: &str) -> Option<&'t JsonTree<'t>> {
    pointer.split('/').skip(1).try_fold(root, |at, step| {
        let step = percent_decoded(step)?.replace("~1", "/").replace("~0", "~");
        match &at.node {
            JsonNode::Object(_) => at.field(&step),
            JsonNode::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        }
    })
}

/// A part of a URI without its `%xx`.
fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok()
}
