//! The armed timers in the order in which they are due: for the leader that fires them, and for TIMER_LIST.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::StepBudget;
use super::course::{Course, not_understood};
use crate::api::Reach;
use crate::api::command::{FireTimer, ListTimers};
use crate::api::reply::{Reply, TimerListed, TimerPlace};
use crate::fact;
use crate::limits::{LIST_ITEMS_DEFAULT, TIMERS_LISTED_MAX, TIMERS_OVERDUE_COUNTED_MAX};
use crate::machine::expression::ScopeNames;
use crate::state::timers::DueTimer;
use crate::view::View;
use crate::{Refusal, State};

/// How many timers TIMER_LIST looks at for one page. Behind them it goes on with the next page.
const LOOKED_AT_MAX: usize = 50_000;

/// A search for timers that are due, over several calls. There may be a million in front of the first that this node
/// understands, so a call looks at so many at most, and the next one does not look at those again.
#[derive(Clone, Debug)]
pub struct DueSearch {
    looked_at_max: usize,
    /// Up to this one, no timer is understood.
    behind: Option<DueTimer>,
    /// Timers that turned out not to be understood when they were decided.
    passed: BTreeSet<FireTimer>,
    goes_on: bool,
}

impl DueSearch {
    /// From the first timer on. Each call looks at so many at most.
    pub fn new(looked_at_max: usize) -> Self {
        Self {
            looked_at_max,
            behind: None,
            passed: BTreeSet::new(),
            goes_on: false,
        }
    }

    /// The same search, at once up to the end.
    #[must_use]
    pub fn to_the_end(&self) -> Self {
        Self {
            looked_at_max: usize::MAX,
            ..self.clone()
        }
    }

    /// Leaves out a timer that was found and turned out not to be understood.
    pub fn pass(&mut self, fire: FireTimer) {
        self.passed.insert(fire);
    }

    /// Whether the last call ended before it had looked at all that is due, and the next one gets further.
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// The instance and the name of a timer that is left out because it is not understood, if there is one.
    pub fn left_out(&self) -> Option<(&str, &str)> {
        let passed = self.passed.first();
        let passed = passed.map(|fire| (&*fire.instance_id, &*fire.name));
        let behind = self.behind.as_ref();
        passed.or_else(|| behind.map(|place| (&*place.id, &*place.name)))
    }
}

impl State {
    /// How many timers are armed.
    pub fn timers_armed(&self) -> u64 {
        self.timers.armed()
    }

    /// How many instances have timers that do not fire, because too many have.
    pub fn timers_suspended(&self) -> u64 {
        self.timers.suspended().len() as u64
    }

    /// When the first timer is due, Unix milliseconds.
    pub fn next_due_ms(&self) -> Option<u64> {
        let first = self.timers.queue(None).next()?;
        Some(first.kept_ms.saturating_add(self.shift_ms()))
    }

    /// How many timers are due at this time; counts up to [`TIMERS_OVERDUE_COUNTED_MAX`].
    pub fn timers_overdue(&self, now_ms: u64) -> u64 {
        self.overdue_places(now_ms).count() as u64
    }

    /// The first timers that are due at this time: `most` at most, without those that are to be left out.
    pub fn due_timers(
        &self,
        now_ms: u64,
        most: usize,
        leave_out: impl Fn(&FireTimer) -> bool,
    ) -> Vec<FireTimer> {
        let kept_ms = now_ms.saturating_sub(self.shift_ms());
        let due = self.timers.queue(None);
        let due = due.take_while(|place| place.kept_ms <= kept_ms);
        let due = due.filter_map(|place| self.firing(place));
        due.filter(|fire| !leave_out(fire)).take(most).collect()
    }

    /// As [`State::due_timers`], without the timers of machines that this node does not understand. It goes on where the
    /// last call with this `search` has got to.
    pub fn timers_to_fire(
        &self,
        search: &mut DueSearch,
        now_ms: u64,
        most: usize,
        leave_out: impl Fn(&FireTimer) -> bool,
    ) -> Vec<FireTimer> {
        let kept_ms = now_ms.saturating_sub(self.shift_ms());
        let (mut found, mut at_begin, mut is_cut, mut behind) = (Vec::new(), true, false, None);
        for (looked_at, place) in self.timers.queue(search.behind.as_ref()).enumerate() {
            if place.kept_ms > kept_ms || found.len() == most {
                break;
            }
            is_cut = looked_at == search.looked_at_max;
            if is_cut {
                break;
            }
            let fire = match self.knows(place) {
                true => self.firing(place),
                false => None,
            };
            match fire.filter(|fire| !search.passed.contains(fire)) {
                Some(fire) => {
                    at_begin = false;
                    found.extend((!leave_out(&fire)).then_some(fire));
                }
                None if at_begin => behind = Some(place),
                None => {}
            }
        }
        search.goes_on = is_cut && at_begin;
        if let Some(place) = behind {
            search.behind = Some(place.clone());
        }
        found
    }

    /// The timers that an instance would have if it entered this state now, for programs that run machines without a
    /// log.
    ///
    /// # Errors
    /// There is no such state, or a timer has no usable time.
    pub fn timers_on_entry(
        &self,
        machine: &str,
        version: u32,
        state: &str,
        instance_id: &str,
        ctx: &[u8],
        now_ms: u64,
    ) -> Result<Option<fact::Timers>, Refusal> {
        let machine = self.machines.get(machine, version);
        let found = machine.and_then(|machine| Some((machine, machine.state_number(state)?)));
        let Some((machine, number)) = found else {
            return Err(Refusal::bad(
                "state",
                format!("there is no state {state:?}"),
            ));
        };
        let chart = machine.chart();
        let Some(chart) = chart.map_err(|reason| not_understood(machine, reason))? else {
            return Ok(None);
        };
        let names = ScopeNames {
            now_ms: i64::try_from(now_ms).unwrap_or(i64::MAX),
            instance_id,
            machine: &machine.name,
            ..ScopeNames::default()
        };
        let mut course = Course::new(machine, chart, names, "{}", "{}");
        let armed = course.arm(number, &Bytes::copy_from_slice(ctx))?;
        Ok((!armed.is_empty()).then(|| fact::Timers {
            armed,
            shift_ms: self.shift_ms(),
            ..fact::Timers::default()
        }))
    }

    /// Whether this node knows what the timer does.
    fn knows(&self, place: &DueTimer) -> bool {
        let instance = self.instances.get(place.id.as_bytes());
        let timer = instance.and_then(|instance| {
            let machine = self.machines.by_number(instance.machine())?;
            machine.timer(instance.state(), &place.name)
        });
        timer.is_some()
    }

    fn overdue_places(&self, now_ms: u64) -> impl Iterator<Item = &DueTimer> {
        let kept_ms = now_ms.saturating_sub(self.shift_ms());
        let first = self.timers.queue(None).take(TIMERS_OVERDUE_COUNTED_MAX);
        first.take_while(move |place| place.kept_ms <= kept_ms)
    }

    fn firing(&self, place: &DueTimer) -> Option<FireTimer> {
        let record = self.timers.get(&place.id)?;
        Some(FireTimer {
            instance_id: place.id.to_string(),
            entry: record.entry,
            name: place.name.to_string(),
            due_ms: place.kept_ms.saturating_add(self.shift_ms()),
        })
    }
}

/// A page of timers of the applied state. `None` when it takes too many steps.
pub(super) fn list(
    view: View<'_>,
    reach: Option<&Reach>,
    list: &ListTimers,
    steps: &mut StepBudget,
) -> Result<Option<Reply>, Refusal> {
    let state = view.state;
    let limit = list.limit.unwrap_or(LIST_ITEMS_DEFAULT);
    let limit = usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .clamp(1, TIMERS_LISTED_MAX);
    let shift_ms = state.shift_ms();
    let after = list.after.as_ref().map(|after| DueTimer {
        kept_ms: after.due_ms.saturating_sub(shift_ms),
        id: Arc::from(after.instance_id.as_str()),
        name: Arc::from(after.name.as_str()),
    });
    let places: Box<dyn Iterator<Item = DueTimer> + '_> = match list.suspended {
        true => Box::new(suspended(state, list.after.as_ref())),
        false => Box::new(state.timers.queue(after.as_ref()).cloned()),
    };
    let (mut items, mut next, mut last) = (Vec::new(), None, None);
    for (looked_at, place) in places.enumerate() {
        let due_ms = place.kept_ms.saturating_add(shift_ms);
        let is_before = list.due_before_ms.is_none_or(|before| due_ms < before);
        if !is_before && !list.suspended {
            break;
        }
        if items.len() == limit || looked_at == LOOKED_AT_MAX {
            next = last;
            break;
        }
        if steps.take(1).is_none() {
            return Ok(None);
        }
        if is_before {
            items.extend(listed(view, reach, list, &place));
        }
        last = Some(TimerPlace {
            due_ms,
            instance_id: place.id.to_string(),
            name: place.name.to_string(),
        });
    }
    let Some((overdue, armed)) = counts(view, reach, list.now_ms, steps) else {
        return Ok(None);
    };
    Ok(Some(Reply::Timers {
        items,
        next,
        armed,
        overdue,
    }))
}

/// The timers that do not fire, by instance and name.
fn suspended<'a>(
    state: &'a State,
    after: Option<&'a TimerPlace>,
) -> impl Iterator<Item = DueTimer> + 'a {
    let id = after.map_or("", |after| after.instance_id.as_str());
    let ids = state
        .timers
        .suspended()
        .range::<_, str>((Bound::Included(id), Bound::Unbounded));
    let places = ids
        .filter_map(|id| state.timers.get(id))
        .flat_map(|record| record.places());
    places.filter(move |place| {
        after.is_none_or(|after| (&*place.id, &*place.name) > (&*after.instance_id, &*after.name))
    })
}

/// Whether the timer is of an instance that the client may read.
fn is_shown(view: View<'_>, reach: Option<&Reach>, place: &DueTimer) -> bool {
    let Some(reach) = reach else {
        return true;
    };
    let current = view.instance(&place.id);
    current.is_some_and(|current| reach.read.cover(&current.machine.name))
}

/// How many timers are overdue, and how many are armed.
fn counts(
    view: View<'_>,
    reach: Option<&Reach>,
    now_ms: u64,
    steps: &mut StepBudget,
) -> Option<(u64, u64)> {
    let state = view.state;
    // Each of them is a step: when many are overdue, the session does not count them itself.
    let mut overdue = 0;
    for place in state.overdue_places(now_ms.max(state.last_time_ms())) {
        steps.take(1)?;
        overdue += u64::from(is_shown(view, reach, place));
    }
    Some((overdue, armed(view, reach, steps)?))
}

/// How many timers are armed. The state counts those of all machines together, so for a client that is limited to some
/// each of them is a step.
fn armed(view: View<'_>, reach: Option<&Reach>, steps: &mut StepBudget) -> Option<u64> {
    let state = view.state;
    if reach.is_none() {
        return Some(state.timers_armed());
    }
    let mut armed = 0;
    for place in state.timers.queue(None) {
        steps.take(1)?;
        armed += u64::from(is_shown(view, reach, place));
    }
    for place in suspended(state, None) {
        steps.take(1)?;
        armed += u64::from(is_shown(view, reach, &place));
    }
    Some(armed)
}

fn listed(
    view: View<'_>,
    reach: Option<&Reach>,
    list: &ListTimers,
    place: &DueTimer,
) -> Option<TimerListed> {
    let current = view.instance(&place.id)?;
    if !is_shown(view, reach, place) {
        return None;
    }
    let machine = list.machine.as_deref();
    if machine.is_some_and(|machine| *machine != *current.machine.name) {
        return None;
    }
    let timers = view.timers(&place.id)?;
    let mut shown = current.timers(&timers).into_iter();
    Some(TimerListed {
        instance_id: place.id.clone(),
        machine: current.machine.name.clone(),
        version: current.machine.version,
        state: current.state_name().clone(),
        timer: shown.find(|timer| *timer.name == *place.name)?,
    })
}
