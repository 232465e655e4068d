//! The answers to clients, compared with the committed log.

mod asking;
mod machines;
mod reads;

use std::collections::{BTreeMap, BTreeSet};

use rstmdb::replica::{Done, Replied};
use rstmdb_engine::{Refusal, Reply};

use super::chain::ChainViolation;
use super::facts::{FactVersion, Facts, InstanceStand};
use crate::machines::ModelRefusal;

pub use reads::read;

use reads::same_ctx;

/// The change of one instance that an operation asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// Create it.
    Create,
    /// Apply this event to it.
    Event(&'static str),
    /// Delete it.
    Delete,
    /// Delete this version of the machine; the instance is the machine's name.
    DeleteVersion(u32),
}

/// One write of an operation.
#[derive(Debug, Clone)]
pub struct WritePart {
    /// The instance.
    pub instance: String,
    /// What was asked.
    pub intent: Intent,
    /// The id by which the log names the operation: the event's, or for a creation the instance's.
    pub tag: String,
}

/// The status of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OperationStanding {
    Open,
    Done(u64),
    Denied,
}

#[derive(Debug)]
struct AskedOperation {
    parts: Vec<WritePart>,
    standing: OperationStanding,
}

/// The chain's end when something was asked, and when it was answered.
#[derive(Debug, Clone, Copy)]
pub struct ChainSpan {
    /// When it was asked.
    pub from: u64,
    /// When it was answered.
    pub to: u64,
}

/// All operations that clients asked for.
#[derive(Debug, Default)]
pub struct ClientAnswers {
    operations: Vec<AskedOperation>,
    /// Instances whose deletion was asked for.
    deletions: BTreeSet<String>,
    /// Instances whose creation was asked for more than once.
    created_again: BTreeSet<String>,
    last_turn: u64,
    /// Where first tries took effect, by the node that was asked, the instance and the turn.
    turns: BTreeMap<(u64, String), BTreeMap<u64, u64>>,
    /// What was answered.
    pub acknowledged: u64,
    /// Operations that were refused, with a reason in the state.
    pub refused: u64,
    /// Operations known to have had no effect, for other reasons.
    pub denied: u64,
    /// Operations that may or may not have had an effect.
    pub unknown: u64,
}

impl ClientAnswers {
    /// Notes a write before it is asked for.
    pub fn open(&mut self, parts: Vec<WritePart>) -> usize {
        for part in &parts {
            if part.intent == Intent::Delete {
                self.deletions.insert(part.instance.clone());
            }
        }
        self.operations.push(AskedOperation {
            parts,
            standing: OperationStanding::Open,
        });
        self.operations.len() - 1
    }

    /// Whether a client may repeat a keyed creation. A deletion ends the key. A creation decided after it
    /// creates the instance again, and the log cannot tell that from a creation that took effect twice. So
    /// clients do not repeat the creation of an instance whose deletion was asked for, and do not delete an
    /// instance whose creation was repeated, because an earlier attempt may still be in flight.
    pub fn may_create_again(&mut self, instance: &str) -> bool {
        if self.deletions.contains(instance) {
            return false;
        }
        self.created_again.insert(instance.to_owned());
        true
    }

    /// Whether the instance may be deleted; see [`ClientAnswers::may_create_again`].
    #[must_use]
    pub fn may_delete(&self, instance: &str) -> bool {
        !self.created_again.contains(instance)
    }

    /// Notes that the instance may end without a client that asks for it; see [`ClientAnswers::may_create_again`].
    pub fn may_end(&mut self, instance: &str) {
        self.deletions.insert(instance.to_owned());
    }

    /// The number of the next command that is submitted.
    pub fn next_turn(&mut self) -> u64 {
        self.last_turn += 1;
        self.last_turn
    }

    /// Notes when the first try of a command that was acknowledged was submitted, and where.
    ///
    /// # Errors
    /// When an earlier command on the same node took effect on the same instance after it, or a later one
    /// before it.
    pub fn in_turn(&mut self, number: usize, node: u64, turn: u64) -> Result<(), ChainViolation> {
        let operation = self.operations.get(number);
        let Some(AskedOperation {
            parts,
            standing: OperationStanding::Done(offset),
        }) = operation
        else {
            return Ok(());
        };
        for part in parts {
            let turns = self.turns.entry((node, part.instance.clone()));
            let turns = turns.or_default();
            let before = turns.range(..turn).next_back();
            // A batch may have two events of one instance.
            let after = turns.range(turn + 1..).next();
            let is_wrong = before.is_some_and(|(_, before)| before >= offset)
                || after.is_some_and(|(_, after)| after <= offset);
            if is_wrong {
                let seen = format!(
                    "{part:?}, submitted to node {node} between {before:?} and {after:?} (turn, offset) \
                     as {turn}, took effect at {offset}"
                );
                return Err((
                    "commands take effect in the order of their submission",
                    seen,
                ));
            }
            turns.insert(turn, *offset);
        }
        Ok(())
    }

    /// Notes that a try of the operation ended without an outcome.
    pub fn unknown(&mut self) {
        self.unknown += 1;
    }

    /// Notes that the operation was acknowledged.
    ///
    /// # Errors
    /// When the log does not have it, or the answer to a question is not one that the state gave.
    pub fn done(
        &mut self,
        number: usize,
        done: &Done,
        span: ChainSpan,
        facts: &Facts,
    ) -> Result<(), ChainViolation> {
        self.acknowledged += 1;
        let Some(operation) = self.operations.get_mut(number) else {
            return Ok(());
        };
        if let Replied::Here(Reply::DryRun(trial)) = &done.reply {
            // If the operation takes effect from now on, a denied operation took effect.
            operation.standing = OperationStanding::Denied;
            return asking::told(&operation.parts, trial, span, facts);
        }
        let replies = match &done.reply {
            Replied::Here(Reply::Batch(replies)) => replies.as_slice(),
            Replied::Here(one) => std::slice::from_ref(one),
            Replied::ByLeader(text) => {
                let seen = format!("{text:?}, which is no answer to what it asked");
                return Err(("a client is told a reply", seen));
            }
        };
        let mut offset = 0;
        let writes = replies
            .iter()
            .filter(|reply| !matches!(reply, Reply::Instance(_)));
        for (part, reply) in operation.parts.iter().zip(writes) {
            offset = acknowledged(part, reply, facts)
                .map_err(|wrong| ("what was acknowledged is in the log", wrong))?;
        }
        operation.standing = OperationStanding::Done(offset);
        Ok(())
    }

    /// Notes that the operation had no effect, if no earlier attempt can have had one.
    pub fn denied(&mut self, number: usize, sure: bool) {
        self.denied += 1;
        if sure && let Some(operation) = self.operations.get_mut(number) {
            operation.standing = OperationStanding::Denied;
        }
    }

    /// Notes that the operation was refused because of the state.
    ///
    /// # Errors
    /// When the state never gave that reason.
    pub fn refused(
        &mut self,
        number: usize,
        refusal: &Refusal,
        span: ChainSpan,
        sure: bool,
        facts: &Facts,
    ) -> Result<(), ChainViolation> {
        self.refused += 1;
        let Some(operation) = self.operations.get_mut(number) else {
            return Ok(());
        };
        if sure {
            operation.standing = OperationStanding::Denied;
        }
        let (index, refusal) = match refusal {
            Refusal::InBatch { index, refusal } => (*index, &**refusal),
            other => (0, other),
        };
        let Some(part) = operation.parts.get(index) else {
            return Ok(());
        };
        if machines::explain(refusal, span, facts) {
            return Ok(());
        }
        let mut versions = facts.between(&part.instance, span.from, span.to);
        if versions.any(|version| explains(part, refusal, version)) {
            return Ok(());
        }
        let seen = format!("{part:?} was refused: {refusal}; never so in {span:?}");
        Err(("refusals are explained by the state", seen))
    }

    /// Compares all operations with the whole log, at the end of a run.
    ///
    /// # Errors
    /// When a denied operation took effect, or an acknowledged one is missing.
    pub fn close(&self, facts: &Facts) -> Result<(), ChainViolation> {
        for operation in &self.operations {
            for part in &operation.parts {
                if matches!(part.intent, Intent::Delete | Intent::DeleteVersion(_)) {
                    continue;
                }
                let found = facts.offset_of(&part.tag);
                match operation.standing {
                    OperationStanding::Denied if found.is_some() => {
                        let seen = format!("{part:?} was denied and took effect at {found:?}");
                        return Err(("what was denied had no effect", seen));
                    }
                    OperationStanding::Done(offset) if found != Some(offset) => {
                        let seen = format!("{part:?}, acknowledged at {offset}, is at {found:?}");
                        return Err(("what was acknowledged is in the log", seen));
                    }
                    OperationStanding::Denied
                    | OperationStanding::Done(_)
                    | OperationStanding::Open => {}
                }
            }
        }
        Ok(())
    }
}

/// The offset at which the log has the acknowledged operation.
fn acknowledged(part: &WritePart, reply: &Reply, facts: &Facts) -> Result<u64, String> {
    if let Intent::DeleteVersion(version) = part.intent {
        return machines::deleted(part, version, reply, facts);
    }
    let (offset, stand_told) = match reply {
        Reply::Created { wal_offset, .. } | Reply::Deleted { wal_offset, .. } => {
            (*wal_offset, None)
        }
        Reply::Applied {
            wal_offset,
            to_state,
            ctx,
            ..
        } => (*wal_offset, Some((to_state, Some(ctx)))),
        // The log of the node that answered no longer has its context.
        Reply::Replayed {
            wal_offset,
            to_state,
            ..
        } => (*wal_offset, Some((to_state, None))),
        other => return Err(format!("{part:?} was answered with {other:?}")),
    };
    // Several, if a batch has changed the instance more than once.
    let versions = facts.all_at(&part.instance, offset);
    if versions.is_empty() {
        return Err(format!("{part:?}: nothing of it at {offset}"));
    }
    if part.intent == Intent::Delete {
        return match versions.iter().any(|version| version.stand.is_none()) {
            true => Ok(offset),
            false => Err(format!("{part:?}: something else is at {offset}")),
        };
    }
    let shows = |stand: &InstanceStand| match stand_told {
        None => true,
        Some((state, ctx)) => **state == *stand.state && ctx.is_none_or(|ctx| same_ctx(ctx, stand)),
    };
    if facts.offset_of(&part.tag) != Some(offset) {
        let found = facts.offset_of(&part.tag);
        return Err(format!(
            "{part:?}: acknowledged at {offset}, it is at {found:?}"
        ));
    }
    let mut stands = versions.iter().filter_map(|version| version.stand.as_ref());
    if !stands.any(shows) {
        return Err(format!(
            "{part:?}: the answer shows another state than {offset}"
        ));
    }
    Ok(offset)
}

/// Whether a version of an instance is a reason for a refusal.
fn explains(part: &WritePart, refusal: &Refusal, version: Option<&FactVersion>) -> bool {
    let stand = version.and_then(|version| version.stand.as_ref());
    let offset = version.map_or(0, |version| version.offset);
    match refusal {
        Refusal::InstanceNotFound { .. } => stand.is_none(),
        Refusal::InstanceExists { .. } => stand.is_some(),
        Refusal::OffsetConflict {
            expected_wal_offset,
            actual_wal_offset,
        } => stand.is_some() && offset == *actual_wal_offset && offset != *expected_wal_offset,
        Refusal::InvalidTransition { current_state, .. } => {
            refuses(part, stand, current_state, ModelRefusal::InvalidTransition)
        }
        Refusal::GuardFailed { current_state, .. } => {
            refuses(part, stand, current_state, ModelRefusal::GuardFailed)
        }
        _ => false,
    }
}

fn refuses(
    part: &WritePart,
    stand: Option<&InstanceStand>,
    state: &str,
    why: ModelRefusal,
) -> bool {
    let (Some(stand), Intent::Event(event)) = (stand, &part.intent) else {
        return false;
    };
    stand.state == state && stand.machine.next(&stand.state, event, &stand.ctx) == Err(why)
}
