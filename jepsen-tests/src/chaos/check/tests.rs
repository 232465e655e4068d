//! Hand-made histories that are and are not what the product promises. Each begins as a good one.
#![allow(clippy::unwrap_used)]

use serde_json::{Map, Value, json};

use super::truth::{FactKind, TrueFact, Truth};
use super::*;
use crate::chaos::history::RequestOutcome;

mod answers;
mod asking;
mod automation;
mod bank;
mod fixtures;
mod levels;
mod locks;
mod monotonic;
mod once;
mod order;
mod parcels;
mod pipelined;
mod said;
mod search;
mod set;
mod simulated;
mod timers;
mod times;
mod whole;
