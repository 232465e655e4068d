//! Definitions of format 2: unknown keys are refused, and every fault is reported with its place.

mod actions;
mod checks;
mod fields;
mod reach;
mod states;
mod timers;
mod transitions;

use super::chart::{ChartSettings, CostGrowth, Everywhere, Merge, always_max};
use super::fault::Faults;
use super::{Definition, Error, EventNumbers, Transition, Warning, exits};
use crate::hash::Map;
use crate::json::{JsonNode, JsonTree};
use crate::limits::{CTX_BYTES_MAX, WARNINGS_MAX};
use crate::machine::schema::Schema;
use fields::DefinitionFields;

const KEYS: [&str; 8] = [
    "format",
    "initial",
    "states",
    "context",
    "events",
    "transitions",
    "merge",
    "meta",
];
const CONTEXT_KEYS: [&str; 3] = ["schema", "default", "meta"];

/// What was read so far, and what is wrong with it.
struct Input<'t> {
    /// A client puts the definition: rules that only protect its author count.
    put: bool,
    faults: Faults,
    warnings: Vec<Warning>,
    state_names: Vec<String>,
    numbers: Map<&'t str, u16>,
    events: EventNumbers,
    growth: CostGrowth,
    /// How many patterns there are.
    patterns: usize,
    /// There are too many patterns or expressions, and the faults already say so.
    too_many: bool,
}

/// Reads a definition and checks every rule.
pub(super) fn parse(text: &[u8], put: bool) -> Result<Definition, Error> {
    let tree = JsonTree::parse(text).map_err(|fault| Error::Json(fault.to_string()))?;
    let mut input = Input {
        put,
        faults: Faults::default(),
        warnings: Vec::new(),
        state_names: Vec::new(),
        numbers: Map::default(),
        events: EventNumbers::default(),
        growth: CostGrowth::default(),
        patterns: 0,
        too_many: false,
    };
    let definition = input.definition(&tree);
    match definition {
        Some(definition) if input.faults.count() == 0 => Ok(definition),
        _ => Err(Error::Faults(input.faults.into_all())),
    }
}

impl<'t> Input<'t> {
    fn definition(&mut self, tree: &'t JsonTree<'t>) -> Option<Definition> {
        let top = DefinitionFields::of(tree, "", &KEYS, &mut self.faults)?;
        let states = top.required("states", "", &mut self.faults);
        let written = states.map(|tree| self.states(tree)).unwrap_or_default();
        let initial = top.required("initial", "", &mut self.faults);
        let initial = self.initial(initial);
        let merge = top.get("merge").and_then(|tree| self.merge(tree, "merge"));
        let transitions = top.required("transitions", "", &mut self.faults);
        let transitions = transitions
            .map(|tree| self.transitions(tree))
            .unwrap_or_default();
        let events = top
            .get("events")
            .map(|tree| self.payloads(tree))
            .unwrap_or_default();
        let (schema, default) = match top.get("context") {
            Some(tree) => self.context(tree),
            None => (None, None),
        };
        let mut parts = Vec::with_capacity(written.len());
        for (position, written) in written.iter().enumerate() {
            parts.push(self.state_parts(position, written));
        }
        if self.faults.count() > 0 {
            // The checks below need everything to be there.
            return None;
        }
        let chart = ChartSettings {
            events,
            schema,
            default,
            merge: merge.unwrap_or(Merge::Fields),
            growth: CostGrowth {
                always: always_max(&parts),
                ..self.growth
            },
            states: parts,
            everywhere: everywhere(&transitions),
        };
        let definition = Definition {
            format: 2,
            states: std::mem::take(&mut self.state_names),
            initial,
            events: std::mem::take(&mut self.events.names),
            exits: exits(&transitions),
            transitions,
            warnings: Vec::new(),
            chart: Some(Box::new(chart)),
        };
        Some(self.checked(definition))
    }

    fn checked(&mut self, mut definition: Definition) -> Definition {
        checks::check(&definition, self.put, &mut self.faults);
        if self.faults.count() == 0 {
            self.warnings.extend(reach::warnings(&definition));
            definition.warnings = shown(std::mem::take(&mut self.warnings));
        }
        definition
    }

    fn context(&mut self, tree: &'t JsonTree<'t>) -> (Option<Schema>, Option<Box<str>>) {
        let Some(fields) = DefinitionFields::of(tree, "context", &CONTEXT_KEYS, &mut self.faults)
        else {
            return (None, None);
        };
        let schema = fields.get("schema");
        let schema = schema.and_then(|tree| self.schema(tree, "context.schema"));
        let default = fields.get("default").and_then(|tree| self.default(tree));
        (schema, default)
    }

    fn default(&mut self, tree: &'t JsonTree<'t>) -> Option<Box<str>> {
        let place = "context.default";
        if !matches!(tree.node, JsonNode::Object(_)) {
            let hint = format!("expected an object, not {}", tree.kind());
            self.faults.add(place, hint);
            return None;
        }
        // The definition was read whole, so the text is an object.
        let object = crate::json::JsonObject::parse(tree.text.as_bytes()).ok()?;
        let text = crate::json::compact(&object);
        if text.len() > CTX_BYTES_MAX {
            let text = format!("has {} bytes; {CTX_BYTES_MAX} are allowed", text.len());
            self.faults.add(place, text);
            return None;
        }
        String::from_utf8(text.to_vec())
            .ok()
            .map(String::into_boxed_str)
    }

    fn warn(&mut self, place: &str, text: String) {
        self.warnings.push(Warning {
            place: place.to_owned(),
            text,
        });
    }
}

fn everywhere(transitions: &[Transition]) -> Vec<Everywhere> {
    let numbered = transitions.iter().zip(0..);
    let every = numbered.filter(|(transition, _)| transition.every.is_some());
    let mut all: Vec<Everywhere> = every
        .map(|(transition, number)| Everywhere {
            event: transition.event,
            transition: number,
        })
        .collect();
    all.sort_unstable();
    all
}

/// The first warnings, and how many more there are.
fn shown(mut all: Vec<Warning>) -> Vec<Warning> {
    let more = all.len().saturating_sub(WARNINGS_MAX);
    all.truncate(WARNINGS_MAX);
    if more > 0 {
        all.push(Warning {
            place: String::new(),
            text: format!("{more} more warnings are not shown"),
        });
    }
    all
}
