//! The machines that the tests use, and an independent model of them. The node gets the definitions.
//! [`Machine::next`] says what the node must then do.

use serde_json::{Map, Value, json};

/// A machine of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// Takes SET in its only state, always: counts what took effect.
    Counter,
    /// An order that is paid, shipped and delivered, or cancelled, over and over.
    Order,
}

/// Why an event is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No transition for this event leaves the state.
    InvalidTransition,
    /// There is one, and its guard does not hold.
    GuardFailed,
}

/// An instance as the model has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Its machine.
    pub machine: Machine,
    /// Its state.
    pub state: String,
    /// Its context.
    pub ctx: Map<String, Value>,
    /// Where it last changed.
    pub last_offset: u64,
}

impl Machine {
    /// Every machine.
    pub const ALL: [Machine; 2] = [Machine::Counter, Machine::Order];
    /// Every event of [`Machine::Order`].
    pub const ORDER_EVENTS: [&'static str; 5] = ["PAY", "SHIP", "DELIVER", "CANCEL", "REOPEN"];

    /// The name it is put under, as version 1.
    pub fn name(self) -> &'static str {
        match self {
            Machine::Counter => "counter",
            Machine::Order => "order",
        }
    }

    /// The machine of this name.
    pub fn from_name(name: &str) -> Option<Machine> {
        Self::ALL.into_iter().find(|machine| machine.name() == name)
    }

    /// The state instances begin in.
    pub fn initial(self) -> &'static str {
        match self {
            Machine::Counter => "on",
            Machine::Order => "created",
        }
    }

    /// What PUT_MACHINE is given.
    pub fn definition(self) -> Value {
        match self {
            Machine::Counter => json!({
                "states": ["on"],
                "initial": "on",
                "transitions": [{"from": "on", "event": "SET", "to": "on"}],
            }),
            Machine::Order => json!({
                "states": ["created", "paid", "shipped", "delivered", "cancelled"],
                "initial": "created",
                "transitions": [
                    {"from": "created", "event": "PAY", "to": "paid"},
                    {"from": "paid", "event": "SHIP", "to": "shipped",
                     "guard": "ctx.paid_cents >= ctx.total_cents"},
                    {"from": "shipped", "event": "DELIVER", "to": "delivered"},
                    {"from": ["created", "paid"], "event": "CANCEL", "to": "cancelled"},
                    {"from": ["delivered", "cancelled"], "event": "REOPEN", "to": "created"},
                ],
            }),
        }
    }

    /// Where an event leads; `ctx` is the context before the event.
    ///
    /// # Errors
    /// When the event is refused.
    pub fn next(
        self,
        state: &str,
        event: &str,
        ctx: &Map<String, Value>,
    ) -> Result<&'static str, Refusal> {
        match (self, state, event) {
            (Machine::Counter, "on", "SET") => Ok("on"),
            (Machine::Order, "created", "PAY") => Ok("paid"),
            (Machine::Order, "paid", "SHIP") if covers(ctx) => Ok("shipped"),
            (Machine::Order, "paid", "SHIP") => Err(Refusal::GuardFailed),
            (Machine::Order, "shipped", "DELIVER") => Ok("delivered"),
            (Machine::Order, "created" | "paid", "CANCEL") => Ok("cancelled"),
            (Machine::Order, "delivered" | "cancelled", "REOPEN") => Ok("created"),
            _ => Err(Refusal::InvalidTransition),
        }
    }
}

fn covers(ctx: &Map<String, Value>) -> bool {
    let cents = |name| ctx.get(name).and_then(Value::as_i64);
    match (cents("paid_cents"), cents("total_cents")) {
        (Some(paid), Some(total)) => paid >= total,
        _ => false,
    }
}

impl Instance {
    /// A new instance.
    pub fn new(machine: Machine, ctx: Map<String, Value>, offset: u64) -> Self {
        Self {
            machine,
            state: machine.initial().to_owned(),
            ctx,
            last_offset: offset,
        }
    }

    /// Applies an event: the payload's keys replace those of the context.
    ///
    /// # Errors
    /// When the event is refused; nothing has changed then.
    pub fn apply(&mut self, event: &str, payload: &Value, offset: u64) -> Result<(), Refusal> {
        let state = self.machine.next(&self.state, event, &self.ctx)?;
        self.state = state.to_owned();
        for (key, value) in payload.as_object().into_iter().flatten() {
            self.ctx.insert(key.clone(), value.clone());
        }
        self.last_offset = offset;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn order(ctx: Value) -> Instance {
        Instance::new(Machine::Order, ctx.as_object().unwrap().clone(), 1)
    }

    #[test]
    fn an_order_ships_only_when_it_is_paid_for() {
        let mut order = order(json!({"total_cents": 100}));
        assert_eq!(
            order.apply("SHIP", &Value::Null, 2),
            Err(Refusal::InvalidTransition)
        );
        order.apply("PAY", &json!({"paid_cents": 99}), 3).unwrap();
        assert_eq!(
            order.apply("SHIP", &Value::Null, 4),
            Err(Refusal::GuardFailed)
        );
        assert_eq!((order.state.as_str(), order.last_offset), ("paid", 3));
        order.ctx.insert("paid_cents".to_owned(), json!(100));
        order.apply("SHIP", &Value::Null, 5).unwrap();
        assert_eq!(order.state, "shipped");
    }

    #[test]
    fn the_guard_sees_the_context_before_the_merge() {
        let mut order = order(json!({"total_cents": 100}));
        order.apply("PAY", &json!({}), 2).unwrap();
        let generous = json!({"paid_cents": 100});
        assert_eq!(order.apply("SHIP", &generous, 3), Err(Refusal::GuardFailed));
    }

    #[test]
    fn every_transition_of_the_definition_is_in_the_model_and_no_other() {
        let ctx = json!({"paid_cents": 1, "total_cents": 1});
        let ctx = ctx.as_object().unwrap();
        for machine in Machine::ALL {
            let definition = machine.definition();
            let states = definition["states"].as_array().unwrap();
            let transitions = definition["transitions"].as_array().unwrap();
            for state in states {
                for event in transitions.iter().map(|transition| &transition["event"]) {
                    let defined = transitions.iter().find(|transition| {
                        let from = &transition["from"];
                        transition["event"] == *event
                            && (from == state
                                || from.as_array().is_some_and(|from| from.contains(state)))
                    });
                    let modelled =
                        machine.next(state.as_str().unwrap(), event.as_str().unwrap(), ctx);
                    assert_eq!(
                        modelled.ok(),
                        defined.map(|transition| transition["to"].as_str().unwrap()),
                        "{state} {event}"
                    );
                }
            }
        }
    }
}
