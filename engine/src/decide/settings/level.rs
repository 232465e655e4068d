//! The feature level: raising it, and refusing commands that need a higher one.

use super::{Decider, OpDecision};
use crate::Refusal;
use crate::api::reply::Reply;
use crate::fact::level::{FIRST, Feature};
use crate::fact::{Body, SetLevel};

impl Decider<'_> {
    /// Refuses what needs more than the level that the cluster has once all facts in flight are applied.
    pub(in crate::decide) fn require(self, feature: Feature) -> Result<(), Refusal> {
        Refusal::unless_reached(self.view.level(), feature)
    }

    /// Whether the cluster has that level.
    pub(in crate::decide) fn reaches(self, feature: Feature) -> bool {
        self.require(feature).is_ok()
    }

    pub(in crate::decide) fn set_level(self, level: u32) -> Result<OpDecision, Refusal> {
        let understood = self.view.state.understands();
        if !(FIRST..=understood).contains(&level) {
            let problem = format!(
                "level is {level}; this program understands feature levels {FIRST} to {understood}"
            );
            return Err(Refusal::bad("level", problem));
        }
        let from = self.view.level();
        if level <= from {
            return Ok(OpDecision::Answer {
                reply: Reply::LevelSet { from, to: from },
                offset: None,
            });
        }
        Ok(OpDecision::Write {
            body: Body::SetLevel(SetLevel { level }),
            reply: Reply::LevelSet { from, to: level },
            machine: None,
        })
    }
}
