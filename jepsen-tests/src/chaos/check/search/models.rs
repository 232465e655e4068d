//! What a register and an order do, for the search: values only, no offsets.

use std::hash::{Hash, Hasher};

use porcupine_rs::Model;
use serde_json::{Map, Value};

use crate::load::machines::{self, TestMachine};

/// A register; values are numbered by the caller.
#[derive(Debug, Clone)]
pub(super) struct RegisterModel;

/// What was done to a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RegisterOp {
    /// It was created with this.
    Start(usize),
    /// It was set to this.
    Write(usize),
    /// It was set from this to that.
    Cas(usize, usize),
    /// It was not set, because it was not this.
    NotEqual(usize),
    /// It was seen to be this.
    Read(usize),
}

impl Model for RegisterModel {
    type State = Option<usize>;
    type Op = RegisterOp;
    type Metadata = ();

    fn init() -> Self::State {
        None
    }

    fn step(state: &Self::State, op: &RegisterOp) -> (bool, Self::State) {
        match (*op, *state) {
            (RegisterOp::Start(value), None) => (true, Some(value)),
            (RegisterOp::Write(value), Some(_)) => (true, Some(value)),
            (RegisterOp::Cas(from, to), Some(now)) => (now == from, Some(to)),
            (RegisterOp::NotEqual(value), Some(now)) => (now != value, Some(now)),
            (RegisterOp::Read(value), Some(now)) => (now == value, Some(now)),
            (_, state) => (false, state),
        }
    }
}

/// An order of [`TestMachine::Order`].
#[derive(Debug, Clone)]
pub(super) struct OrderModel;

/// An order as it is, or as it was seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OrderHeld {
    pub state: String,
    pub ctx: Map<String, Value>,
}

impl Eq for OrderHeld {}

impl Hash for OrderHeld {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The state and the last writer tell nearly all values apart. Equality decides between the others.
        self.state.hash(state);
        let by = self.ctx.get("by").and_then(Value::as_str);
        by.hash(state);
    }
}

/// What was done to an order.
#[derive(Debug, Clone)]
pub(super) enum OrderOp {
    /// A client created it with this content.
    Start(OrderHeld),
    /// An event moved it and left this content; `None` if no answer says which.
    Event {
        event: String,
        payload: Value,
        after: Option<(String, OrderHeld)>,
    },
    /// An event was refused, in this state.
    Refused {
        event: String,
        state: String,
        why: machines::ModelRefusal,
    },
    /// It was seen like this.
    Read(OrderHeld),
}

impl Model for OrderModel {
    type State = Option<OrderHeld>;
    type Op = OrderOp;
    type Metadata = ();

    fn init() -> Self::State {
        None
    }

    fn step(state: &Self::State, op: &OrderOp) -> (bool, Self::State) {
        let now = match (op, state) {
            (OrderOp::Start(held), None) => return (true, Some(held.clone())),
            (_, None) | (OrderOp::Start(_), Some(_)) => return (false, state.clone()),
            (_, Some(now)) => now,
        };
        match op {
            OrderOp::Event {
                event,
                payload,
                after,
            } => match moved(now, event, payload) {
                None => (false, state.clone()),
                Some(next) => {
                    let told = after.as_ref();
                    let fits = told.is_none_or(|(from, to)| *from == now.state && *to == next);
                    (fits, Some(next))
                }
            },
            OrderOp::Refused {
                event,
                state: told,
                why,
            } => {
                let next = TestMachine::Order.next(&now.state, event, &now.ctx);
                (*told == now.state && next == Err(*why), state.clone())
            }
            OrderOp::Read(seen) => (seen == now, state.clone()),
            OrderOp::Start(_) => (false, state.clone()),
        }
    }
}

fn moved(now: &OrderHeld, event: &str, payload: &Value) -> Option<OrderHeld> {
    let state = TestMachine::Order.next(&now.state, event, &now.ctx).ok()?;
    let mut ctx = now.ctx.clone();
    for (key, value) in payload.as_object().into_iter().flatten() {
        ctx.insert(key.clone(), value.clone());
    }
    Some(OrderHeld {
        state: state.to_owned(),
        ctx,
    })
}
