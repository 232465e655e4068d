//! Runs one test.

use rstmdb_engine::Refusal;

use super::compare;
use super::{CaseTest, CaseWhen, TestOutcome, Then};
use crate::run::{By, Fired, FiredTimer, RunStep, Runner};

/// The time at which a test begins if it names none: 2026-01-01T00:00:00Z.
const BEGIN_MS: u64 = 1_767_225_600_000;

pub(super) fn run(test: &CaseTest, definition: &str) -> TestOutcome {
    let mut play = Play {
        test,
        failures: Vec::new(),
        trace: Vec::new(),
        emits: Vec::new(),
        last: None,
    };
    if let Err(problem) = play.run(definition) {
        play.failures.push(problem);
    }
    TestOutcome {
        name: test.name.clone(),
        failures: play.failures,
        trace: play.trace,
    }
}

struct Play<'a> {
    test: &'a CaseTest,
    failures: Vec<String>,
    trace: Vec<String>,
    /// What all steps emitted.
    emits: Vec<String>,
    /// The refusal of the last event, if it was refused.
    last: Option<Box<Refusal>>,
}

impl Play<'_> {
    fn run(&mut self, definition: &str) -> Result<(), String> {
        let mut runner = self.begin(definition)?;
        for (position, step) in self.test.when.iter().enumerate() {
            let is_last = position + 1 == self.test.when.len();
            match step {
                CaseWhen::Wait { ms, then } => {
                    let before = self.emits.len();
                    let fired = runner.pass(*ms).map_err(|refusal| refusal.to_string())?;
                    fired.into_iter().for_each(|timer| self.fired(timer));
                    self.trace.push(format!("{} ms later", ms));
                    let place = format!("when[{position}] wait");
                    let emits = &self.emits[before..];
                    let found = compare::emits(&place, then.emits.as_deref(), emits);
                    self.failures.extend(found);
                    if *then != Then::default() {
                        self.look(&place, &runner, then)?;
                    }
                }
                CaseWhen::Event {
                    event,
                    payload,
                    actor,
                    headers,
                    reason,
                    then,
                } => {
                    let payload = payload.as_ref().map(ToString::to_string);
                    let given = &self.test.given;
                    let by = By {
                        actor: actor.as_ref().unwrap_or(&given.actor).clone(),
                        headers: headers.as_ref().unwrap_or(&given.headers).clone(),
                        reason: reason.clone(),
                    };
                    let answer = runner.apply(event, payload.as_deref(), by);
                    let place = format!("when[{position}] {event}");
                    self.after(&place, &runner, answer, then, is_last)?;
                }
            }
        }
        let then = &self.test.then;
        self.look("then", &runner, then)?;
        let found = compare::emits("then", then.emits.as_deref(), &self.emits);
        self.failures.extend(found);
        if let Some(refused) = &then.refused {
            let found = compare::refused("then", refused, self.last.as_deref());
            self.failures.extend(found);
        }
        Ok(())
    }

    fn begin(&mut self, definition: &str) -> Result<Runner, String> {
        let given = &self.test.given;
        let begin_ms = given.now_ms.unwrap_or(BEGIN_MS);
        let refused = |refusal: Box<Refusal>| format!("given: {refusal}");
        let mut runner = Runner::new(definition, begin_ms).map_err(refused)?;
        let ctx = given.ctx.as_ref().map(ToString::to_string);
        match &given.state {
            Some(state) => {
                runner.put_into(state, ctx.as_deref()).map_err(refused)?;
                self.trace.push(format!("in {state}"));
            }
            None => {
                let by = By {
                    actor: given.actor.clone(),
                    headers: given.headers.clone(),
                    reason: None,
                };
                let step = runner.create(ctx.as_deref(), by).map_err(refused)?;
                self.trace.push(format!("created in {}", step.to));
                self.emits.extend(step.emits);
            }
        }
        Ok(runner)
    }

    /// The error says why the test cannot go on.
    fn after(
        &mut self,
        place: &str,
        runner: &Runner,
        answer: Result<RunStep, Box<Refusal>>,
        then: &Then,
        is_last: bool,
    ) -> Result<(), String> {
        match answer {
            Ok(step) => {
                self.trace.push(line(place, &step));
                let found = compare::emits(place, then.emits.as_deref(), &step.emits);
                self.failures.extend(found);
                self.emits.extend(step.emits);
                self.last = None;
                if let Some(refused) = &then.refused {
                    self.failures.extend(compare::refused(place, refused, None));
                }
            }
            Err(refusal) => {
                let line = format!("{place}: {}: {refusal}", refusal.code());
                self.trace.push(line.clone());
                let expected = then.refused.as_ref();
                let is_expected = expected.is_some() || is_last && self.test.then.refused.is_some();
                if let Some(expected) = expected {
                    let found = compare::refused(place, expected, Some(&refusal));
                    self.failures.extend(found);
                }
                self.last = Some(refusal);
                if !is_expected {
                    return Err(line);
                }
            }
        }
        self.look(place, runner, then)
    }

    fn fired(&mut self, timer: FiredTimer) {
        let place = format!("timer {}", timer.name);
        match timer.did {
            Fired::Applied(step) => {
                self.trace.push(line(&place, &step));
                self.emits.extend(step.emits);
            }
            Fired::Spent(code) => self.trace.push(format!("{place}: {code}")),
            Fired::Deleted => self.trace.push(format!("{place}: deleted")),
        }
    }

    /// Compares the instance with what it must be. The error says that there is none.
    fn look(&mut self, place: &str, runner: &Runner, then: &Then) -> Result<(), String> {
        match (runner.instance(), then.deleted) {
            (Ok((state, ctx)), false) => {
                let found = compare::instance(place, then, &state, &ctx);
                self.failures.extend(found);
            }
            (Ok((state, _)), true) => {
                let failure = format!("{place}: expected no instance, found one in {state:?}");
                self.failures.push(failure);
            }
            (Err(_), true) => {}
            (Err(refusal), false) => return Err(refusal.to_string()),
        }
        Ok(())
    }
}

fn line(place: &str, step: &RunStep) -> String {
    let mut line = format!("{place}: ");
    if let Some(from) = &step.from {
        line.push_str(from);
    }
    for state in step.via.iter().chain([&step.to]) {
        line.push_str(" -> ");
        line.push_str(state);
    }
    if !step.emits.is_empty() {
        line.push_str(&format!(", emits {}", step.emits.join(", ")));
    }
    line
}
