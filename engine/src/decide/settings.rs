//! What holds for the whole cluster: the feature level, and automation.

mod automation;
mod level;

use super::{Decider, OpDecision};
