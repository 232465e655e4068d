//! The machines that the tests use, and an independent model of them. The node gets the definitions.
//! [`TestMachine::next`] says what the node must then do.

mod fuse;
mod gate;
mod parcel;

use serde_json::{Map, Value, json};

/// A machine of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestMachine {
    /// Has one state, in which it always takes SET. It counts the events that took effect.
    Counter,
    /// An order that is paid, shipped and delivered, or cancelled, over and over.
    Order,
    /// Has format 2: counts to three by `set`, goes on by `always`, and emits.
    Tally,
    /// Of format 2: is loaded, sorted by weight and moved, by guards over context and payload, within schemas.
    Parcel,
    /// Of format 2: its timers close and open it for ever.
    Gate,
    /// Of format 2: many short timers, one of which deletes the instance.
    Fuse,
}

/// Why an event is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRefusal {
    /// No transition for this event leaves the state.
    InvalidTransition,
    /// There is one, and its guard does not hold.
    GuardFailed,
    /// The payload, or the context after the event, does not fit its schema.
    SchemaFailed,
    /// What is to be set cannot be computed.
    ExpressionFailed,
}

impl ModelRefusal {
    /// The code of the protocol.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            ModelRefusal::InvalidTransition => "INVALID_TRANSITION",
            ModelRefusal::GuardFailed => "GUARD_FAILED",
            ModelRefusal::SchemaFailed => "SCHEMA_FAILED",
            ModelRefusal::ExpressionFailed => "EXPRESSION_FAILED",
        }
    }
}

/// An instance as the model has it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInstance {
    /// Its machine.
    pub machine: TestMachine,
    /// Its state.
    pub state: String,
    /// Its context.
    pub ctx: Map<String, Value>,
    /// Where it last changed.
    pub last_offset: u64,
}

/// What an event does.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// The state after it.
    pub state: &'static str,
    /// The context after it.
    pub ctx: Map<String, Value>,
    /// The states passed on the way.
    pub via: &'static [&'static str],
    /// The names that it emits.
    pub emits: &'static [&'static str],
}

impl TestMachine {
    /// Every machine, of format 2 as well.
    pub const SIMULATED: [TestMachine; 3] =
        [TestMachine::Counter, TestMachine::Order, TestMachine::Tally];
    /// Every event of [`TestMachine::Tally`].
    pub const TALLY_EVENTS: [&'static str; 2] = ["ADD", "EMPTY"];
    /// Every machine of format 1.
    pub const ALL: [TestMachine; 2] = [TestMachine::Counter, TestMachine::Order];
    /// Every machine.
    pub const KNOWN: [TestMachine; 6] = [
        TestMachine::Counter,
        TestMachine::Order,
        TestMachine::Tally,
        TestMachine::Parcel,
        TestMachine::Gate,
        TestMachine::Fuse,
    ];
    /// Every event of [`TestMachine::Parcel`].
    pub const PARCEL_EVENTS: [&'static str; 4] = parcel::EVENTS;
    /// Every event of [`TestMachine::Gate`] that clients have.
    pub const GATE_EVENTS: [&'static str; 5] = gate::EVENTS;
    /// Every event of [`TestMachine::Fuse`] that clients have.
    pub const FUSE_EVENTS: [&'static str; 5] = fuse::EVENTS;
    /// Every event of [`TestMachine::Order`].
    pub const ORDER_EVENTS: [&'static str; 5] = ["PAY", "SHIP", "DELIVER", "CANCEL", "REOPEN"];

    /// The name it is put under, as version 1.
    pub fn name(self) -> &'static str {
        match self {
            TestMachine::Counter => "counter",
            TestMachine::Order => "order",
            TestMachine::Tally => "tally",
            TestMachine::Parcel => "parcel",
            TestMachine::Gate => "gate",
            TestMachine::Fuse => "fuse",
        }
    }

    /// The machine of this name.
    pub fn from_name(name: &str) -> Option<TestMachine> {
        let mut all = Self::KNOWN.into_iter();
        all.find(|machine| machine.name() == name)
    }

    /// The state instances begin in.
    pub fn initial(self) -> &'static str {
        match self {
            TestMachine::Counter => "on",
            TestMachine::Order => "created",
            TestMachine::Tally | TestMachine::Gate => "open",
            TestMachine::Parcel => "packed",
            TestMachine::Fuse => "lit",
        }
    }

    /// The names of its states.
    #[must_use]
    pub fn states(self) -> Vec<String> {
        let definition = self.definition();
        let states = definition["states"].as_array().cloned().unwrap_or_default();
        let names = states.iter().map(|state| match state {
            Value::String(name) => name.clone(),
            state => state["name"].as_str().unwrap_or_default().to_owned(),
        });
        names.collect()
    }

    /// What PUT_MACHINE is given.
    pub fn definition(self) -> Value {
        match self {
            TestMachine::Counter => json!({
                "states": ["on"],
                "initial": "on",
                "transitions": [{"from": "on", "event": "SET", "to": "on"}],
            }),
            TestMachine::Order => json!({
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
            TestMachine::Parcel => parcel::definition(),
            TestMachine::Tally => json!({
                "format": 2,
                "initial": "open",
                "context": {"default": {"sum": 0, "rounds": 0}},
                "states": [
                    "open",
                    {"name": "weighing", "always": [
                        {"to": "full", "guard": "ctx.sum >= 3", "set": {"rounds": "ctx.rounds + 1"}, "emit": "filled"},
                        {"to": "open"},
                    ]},
                    {"name": "full", "emit": "alarm"},
                ],
                "transitions": [
                    {"from": "open", "event": "ADD", "to": "weighing",
                     "set": {"sum": "ctx.sum + 1"}, "unset": "by", "emit": "added"},
                    {"from": "full", "event": "ADD", "to": "full", "guard": "event.force"},
                    {"from": "*", "except": ["open"], "event": "EMPTY", "to": "open",
                     "merge": false, "set": {"sum": "0"}},
                ],
            }),
            TestMachine::Gate => gate::definition(),
            TestMachine::Fuse => fuse::definition(),
        }
    }

    /// The timers of a state: each name, and after how many milliseconds it fires.
    pub fn timers(self, state: &str) -> &'static [(&'static str, u64)] {
        match self {
            TestMachine::Gate => gate::timers(state),
            TestMachine::Fuse => fuse::timers(state),
            _ => &[],
        }
    }

    /// Whether an event enters its state anew although it stays in it.
    pub fn reenters(self, event: &str) -> bool {
        matches!(
            (self, event),
            (TestMachine::Gate, "HOLD") | (TestMachine::Fuse, "RELIGHT")
        )
    }

    /// By how many milliseconds a timer may be late and still happen; `None`: by any time.
    pub fn late_max_ms(self, timer: &str) -> Option<u64> {
        (self == TestMachine::Fuse)
            .then(|| fuse::late_max_ms(timer))
            .flatten()
    }

    /// After how many milliseconds a timer that was refused is tried again, and how often.
    pub fn retry(self, timer: &str) -> Option<(u64, u32)> {
        (self == TestMachine::Fuse)
            .then(|| fuse::retry(timer))
            .flatten()
    }

    /// Where an event without a payload leads; `ctx` is the context before the event.
    ///
    /// # Errors
    /// When the event is refused.
    pub fn next(
        self,
        state: &str,
        event: &str,
        ctx: &Map<String, Value>,
    ) -> Result<&'static str, ModelRefusal> {
        match (self, state, event) {
            (TestMachine::Counter, "on", "SET") => Ok("on"),
            (TestMachine::Order, "created", "PAY") => Ok("paid"),
            (TestMachine::Order, "paid", "SHIP") if covers(ctx) => Ok("shipped"),
            (TestMachine::Order, "paid", "SHIP") => Err(ModelRefusal::GuardFailed),
            (TestMachine::Order, "shipped", "DELIVER") => Ok("delivered"),
            (TestMachine::Order, "created" | "paid", "CANCEL") => Ok("cancelled"),
            (TestMachine::Order, "delivered" | "cancelled", "REOPEN") => Ok("created"),
            (TestMachine::Tally, "open", "ADD") if number(ctx, "sum") + 1 >= 3 => Ok("full"),
            (TestMachine::Tally, "open", "ADD") => Ok("open"),
            (TestMachine::Tally, "full", "ADD") => Err(ModelRefusal::GuardFailed),
            (TestMachine::Tally, "full", "EMPTY") => Ok("open"),
            (TestMachine::Parcel, _, _) => {
                self.event(state, event, ctx, None).map(|moved| moved.state)
            }
            (TestMachine::Gate, _, _) => gate::next(state, event),
            (TestMachine::Fuse, _, _) => fuse::next(state, event),
            _ => Err(ModelRefusal::InvalidTransition),
        }
    }
}

impl TestMachine {
    /// What an event does; `ctx` is the context before it.
    ///
    /// # Errors
    /// When the event is refused.
    pub fn event(
        self,
        state: &str,
        event: &str,
        ctx: &Map<String, Value>,
        payload: Option<Map<String, Value>>,
    ) -> Result<Moved, ModelRefusal> {
        if self == TestMachine::Parcel {
            return parcel::event(state, event, ctx, payload);
        }
        let to = self.next(state, event, ctx)?;
        let mut moved = Moved {
            state: to,
            ctx: ctx.clone(),
            via: &[],
            emits: &[],
        };
        if event != "EMPTY" {
            moved.ctx.extend(payload.unwrap_or_default());
        }
        match (self, event) {
            (TestMachine::Tally, "ADD") => {
                moved.ctx.remove("by");
                moved
                    .ctx
                    .insert("sum".to_owned(), json!(number(ctx, "sum") + 1));
                moved.via = &["weighing"];
                moved.emits = &["added"];
                if to == "full" {
                    let rounds = number(&moved.ctx, "rounds") + 1;
                    moved.ctx.insert("rounds".to_owned(), json!(rounds));
                    moved.emits = &["added", "filled", "alarm"];
                }
            }
            (TestMachine::Tally, _) => drop(moved.ctx.insert("sum".to_owned(), json!(0))),
            _ => {}
        }
        Ok(moved)
    }
}

fn number(ctx: &Map<String, Value>, name: &str) -> i64 {
    ctx.get(name).and_then(Value::as_i64).unwrap_or_default()
}

fn covers(ctx: &Map<String, Value>) -> bool {
    let cents = |name| ctx.get(name).and_then(Value::as_i64);
    match (cents("paid_cents"), cents("total_cents")) {
        (Some(paid), Some(total)) => paid >= total,
        _ => false,
    }
}

impl ModelInstance {
    /// A new instance.
    pub fn new(machine: TestMachine, ctx: Map<String, Value>, offset: u64) -> Self {
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
    pub fn apply(&mut self, event: &str, payload: &Value, offset: u64) -> Result<(), ModelRefusal> {
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

    fn order(ctx: Value) -> ModelInstance {
        ModelInstance::new(TestMachine::Order, ctx.as_object().unwrap().clone(), 1)
    }

    #[test]
    fn an_order_ships_only_when_it_is_paid_for() {
        let mut order = order(json!({"total_cents": 100}));
        assert_eq!(
            order.apply("SHIP", &Value::Null, 2),
            Err(ModelRefusal::InvalidTransition)
        );
        order.apply("PAY", &json!({"paid_cents": 99}), 3).unwrap();
        assert_eq!(
            order.apply("SHIP", &Value::Null, 4),
            Err(ModelRefusal::GuardFailed)
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
        assert_eq!(
            order.apply("SHIP", &generous, 3),
            Err(ModelRefusal::GuardFailed)
        );
    }

    #[test]
    fn a_tally_counts_to_three_and_ignores_what_the_merge_puts_there() {
        let mut ctx = json!({"sum": 0, "rounds": 0, "x": 1})
            .as_object()
            .unwrap()
            .clone();
        let payload = json!({"sum": 7, "by": "me"}).as_object().unwrap().clone();
        for (state, via, emits) in [
            ("open", &["weighing"][..], &["added"][..]),
            ("open", &["weighing"], &["added"]),
            ("full", &["weighing"], &["added", "filled", "alarm"]),
        ] {
            let moved = TestMachine::Tally
                .event("open", "ADD", &ctx, Some(payload.clone()))
                .unwrap();
            assert_eq!((moved.state, moved.via, moved.emits), (state, via, emits));
            ctx = moved.ctx;
        }
        assert_eq!(
            Value::Object(ctx.clone()),
            json!({"sum": 3, "rounds": 1, "x": 1})
        );
        let refused = TestMachine::Tally.event("full", "ADD", &ctx, None);
        assert_eq!(refused, Err(ModelRefusal::GuardFailed));
        let emptied = TestMachine::Tally
            .event("full", "EMPTY", &ctx, Some(payload))
            .unwrap();
        assert_eq!(
            Value::Object(emptied.ctx),
            json!({"sum": 0, "rounds": 1, "x": 1})
        );
    }

    #[test]
    fn every_transition_of_the_definition_is_in_the_model_and_no_other() {
        let ctx = json!({"paid_cents": 1, "total_cents": 1});
        let ctx = ctx.as_object().unwrap();
        for machine in TestMachine::ALL {
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
