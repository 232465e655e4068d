//! To JSON, with the keys in the order in which people read them.

use rstmdb_rcp::json::Json;

use super::{Act, Choice, From, MachineModel, ModelState, ModelTransition};
use crate::base::json::{number, object, text, texts};

pub(super) fn machine(machine: &MachineModel) -> Json {
    let mut fields = Vec::new();
    if machine.format != 1 {
        fields.push(("format".to_owned(), number(usize::from(machine.format))));
    }
    fields.push(("initial".to_owned(), text(machine.initial.as_str())));
    let states = machine.states.iter().map(state).collect();
    fields.push(("states".to_owned(), Json::List(states)));
    let (before, after): (Vec<_>, Vec<_>) = machine
        .other
        .iter()
        .cloned()
        .partition(|(key, _)| key != "meta");
    fields.extend(before);
    let transitions = machine.transitions.iter().map(transition).collect();
    fields.push(("transitions".to_owned(), Json::List(transitions)));
    fields.extend(after);
    Json::Object(fields)
}

fn state(state: &ModelState) -> Json {
    let mut fields = vec![("name".to_owned(), text(state.name.as_str()))];
    if state.is_final {
        fields.push(("final".to_owned(), Json::Bool(true)));
    }
    if !state.emit.is_empty() {
        fields.push(("emit".to_owned(), texts(&state.emit)));
    }
    if !state.always.is_empty() {
        let always = state.always.iter().map(choice).collect();
        fields.push(("always".to_owned(), Json::List(always)));
    }
    fields.extend(state.other.iter().cloned());
    match fields.len() {
        1 => text(state.name.as_str()),
        _ => Json::Object(fields),
    }
}

fn choice(choice: &Choice) -> Json {
    let mut fields = vec![("to".to_owned(), text(choice.to.as_str()))];
    act(&choice.act, &mut fields);
    Json::Object(fields)
}

fn transition(transition: &ModelTransition) -> Json {
    let mut fields = Vec::new();
    match &transition.from {
        From::States(names) => match names.as_slice() {
            [name] => fields.push(("from".to_owned(), text(name.as_str()))),
            names => fields.push(("from".to_owned(), texts(names))),
        },
        From::Any { except } => {
            fields.push(("from".to_owned(), text("*")));
            if !except.is_empty() {
                fields.push(("except".to_owned(), texts(except)));
            }
        }
    }
    fields.push(("event".to_owned(), text(transition.event.as_str())));
    fields.push(("to".to_owned(), text(transition.to.as_str())));
    act(&transition.act, &mut fields);
    Json::Object(fields)
}

fn act(act: &Act, fields: &mut Vec<(String, Json)>) {
    if let Some(guard) = &act.guard {
        fields.push(("guard".to_owned(), text(guard.as_str())));
    }
    if !act.set.is_empty() {
        let set = act.set.iter();
        let set = object(set.map(|(path, value)| (path.as_str(), text(value.as_str()))));
        fields.push(("set".to_owned(), set));
    }
    if !act.unset.is_empty() {
        fields.push(("unset".to_owned(), texts(&act.unset)));
    }
    if !act.emit.is_empty() {
        fields.push(("emit".to_owned(), texts(&act.emit)));
    }
    fields.extend(act.other.iter().cloned());
}
