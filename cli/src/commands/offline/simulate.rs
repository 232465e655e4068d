//! simulate: one instance in memory, driven by lines of events.
//!
//! | module | subject |
//! |---|---|
//! | `lines` | what a line says, and where it ends |

mod lines;

use std::io::{self, IsTerminal};

use rstmdb_definitions::model::MachineModel;
use rstmdb_definitions::nearest::did_you_mean;
use rstmdb_definitions::run::{By, Fired, RunStep, Runner};
use rstmdb_engine::Refusal;
use rstmdb_rcp::text::printable;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{all, definition};
use crate::args::DiagramFormat;
use crate::input::script::ScriptReader;
use crate::render::diagram::Drawing;
use crate::session::CliSession;
use crate::{Error, args, input};
use lines::{HELP, LineEditor, OpenLines, SCRIPT, headers, is_open, refused_at};

pub fn run(session: &CliSession, args: &args::SimulateArgs) -> Result<(), Error> {
    let named = definition(&args.file)?;
    let machine = MachineModel::read(&named.definition).map_err(|it| all(&args.file, &it))?;
    let now_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    let runner = Runner::new(&named.text, now_ms)
        .map_err(|refusal| Error::Usage(format!("{}: {refusal}", args.file)))?;
    let mut simulation = Simulation {
        session,
        args,
        title: named.name.unwrap_or_else(|| args.file.clone()),
        machine,
        before: Vec::new(),
        runner,
        by: By {
            actor: args.actor.clone(),
            headers: args.headers.clone(),
            reason: None,
        },
        refused: Vec::new(),
        line: 0,
    };
    simulation.begin()?;
    if io::stdin().is_terminal() {
        return simulation.interactive();
    }
    simulation.script()
}

/// One line for programs.
#[derive(Serialize)]
struct SimulationLine {
    #[serde(flatten)]
    happened: Value,
    state: String,
    ctx: Box<RawValue>,
    allowed: Vec<Value>,
}

/// An event, and what it would do.
type Possible = (String, Result<RunStep, Box<Refusal>>);

struct Simulation<'a> {
    session: &'a CliSession,
    args: &'a args::SimulateArgs,
    title: String,
    machine: MachineModel,
    /// What `.back` goes back to.
    before: Vec<Runner>,
    runner: Runner,
    /// Who applies the events, and their headers.
    by: By,
    /// The lines of the script whose events were refused.
    refused: Vec<u64>,
    /// The line of the script that is obeyed.
    line: u64,
}

impl Simulation<'_> {
    fn begin(&mut self) -> Result<(), Error> {
        let ctx = input::document("--ctx", &self.args.ctx)?;
        let ctx = ctx.as_ref().map(|ctx| ctx.get());
        let refused = |refusal: Box<Refusal>| Error::Usage(refusal.to_string());
        match &self.args.state {
            None => drop(self.runner.create(ctx, self.by.clone()).map_err(refused)?),
            Some(state) => {
                if self.machine.state(state).is_none() {
                    let known = self.machine.states.iter().map(|it| it.name.as_str());
                    let meant = did_you_mean(state, known);
                    let text = format!("--state: there is no state {state:?}{meant}");
                    return Err(Error::Usage(text));
                }
                self.runner.put_into(state, ctx).map_err(refused)?;
            }
        }
        if self.session.out.for_programs() {
            return self.print_json(json!({}));
        }
        self.diagram()?;
        self.allowed()
    }

    fn script(&mut self) -> Result<(), Error> {
        let mut reader = ScriptReader::default();
        while let Some(command) = reader.next(is_open)? {
            self.line = command.line;
            let done = self.line(&command.text);
            if !done.map_err(|error| error.at_line_of(SCRIPT, command.line))? {
                break;
            }
        }
        match &*self.refused {
            [] => Ok(()),
            lines => Err(Error::Failed(refused_at(lines))),
        }
    }

    fn interactive(&mut self) -> Result<(), Error> {
        let mut editor = LineEditor::new()
            .map_err(|error| Error::Failed(format!("cannot read the terminal: {error}")))?;
        editor.set_helper(Some(OpenLines));
        loop {
            let prompt = format!("{}> ", printable(&self.instance()?.0));
            let Ok(line) = editor.readline(&prompt) else {
                return Ok(());
            };
            let _ = editor.add_history_entry(line.as_str());
            match self.line(&line) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error @ Error::Output(_)) => return Err(error),
                Err(error) => self.session.out.line(&error.report().unwrap_or_default())?,
            }
        }
    }

    /// Whether to go on.
    fn line(&mut self, line: &str) -> Result<bool, Error> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(true);
        }
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match word {
            ".quit" | ".exit" => return Ok(false),
            ".help" => self.session.out.line(HELP)?,
            ".allowed" => self.allowed()?,
            ".ctx" => self.session.out.line(&self.instance()?.1)?,
            ".diagram" => self.diagram()?,
            ".restart" => {
                self.before.clear();
                self.begin()?;
            }
            ".back" => match self.before.pop() {
                Some(before) => {
                    self.runner = before;
                    self.shown("back")?;
                }
                None => self.session.out.line("this is where it began")?,
            },
            ".wait" => {
                let ms =
                    args::duration(rest.trim()).map_err(|error| Error::Usage(error.to_string()))?;
                let ms = u64::try_from(ms.as_millis()).unwrap_or(u64::MAX);
                self.wait(ms)?;
            }
            ".actor" => {
                self.by.actor = rest.trim().to_owned();
                self.allowed()?;
            }
            ".headers" => {
                self.by.headers = headers(rest)?;
                self.allowed()?;
            }
            _ if word.starts_with('.') => {
                let text = format!("{word} is not a command; .help lists them");
                return Err(Error::Usage(text));
            }
            event => self.event(event, rest.trim())?,
        }
        Ok(true)
    }

    /// Lets time pass; timers that become due in it fire.
    fn wait(&mut self, ms: u64) -> Result<(), Error> {
        let before = self.runner.clone();
        let failed = |refusal: Box<Refusal>| Error::Failed(refusal.to_string());
        let fired = self.runner.pass(ms).map_err(failed)?;
        if !fired.is_empty() {
            self.before.push(before);
        }
        let mut happened = Vec::with_capacity(fired.len() + 1);
        for timer in &fired {
            let did = match &timer.did {
                Fired::Applied(step) => format!("→ {}", step.to),
                Fired::Spent(code) => format!("refused, {code}"),
                Fired::Deleted => "the instance is deleted".to_owned(),
            };
            happened.push(format!("timer {} {did}", timer.name));
        }
        happened.push("later".to_owned());
        let what = happened.join(", ");
        if fired.iter().any(|timer| timer.did == Fired::Deleted) {
            self.session.out.line(&printable(&what))?;
            self.before.clear();
            return self.begin();
        }
        self.shown(&what)
    }

    fn event(&mut self, event: &str, rest: &str) -> Result<(), Error> {
        let payload = lines::payload(rest)?;
        let before = self.runner.clone();
        let by = self.by.clone();
        match self.runner.apply(event, payload.as_deref(), by) {
            Ok(step) => {
                self.before.push(before);
                self.taken(event, &step)
            }
            Err(refusal) => {
                self.refused.push(self.line);
                let meant = match refusal.code() {
                    "INVALID_TRANSITION" => did_you_mean(event, self.machine.events()),
                    _ => String::new(),
                };
                let text = format!("{refusal}{meant}");
                if self.session.out.for_programs() {
                    let refused = json!({"code": refusal.code(), "message": text});
                    return self.print_json(json!({"event": event, "refused": refused}));
                }
                let paint = self.session.out.paint;
                let line = format!("{}: {}", paint.alarm(refusal.code()), printable(&text));
                self.session.out.line(&line)
            }
        }
    }

    fn taken(&mut self, event: &str, step: &RunStep) -> Result<(), Error> {
        if self.session.out.for_programs() {
            return self.print_json(json!({
                "event": event,
                "from_state": step.from,
                "via": step.via,
                "emits": step.emits,
            }));
        }
        let mut states: Vec<&str> = step.from.as_deref().into_iter().collect();
        states.extend(step.via.iter().map(String::as_str));
        states.push(&step.to);
        let mut line = states.join(" → ");
        if !step.emits.is_empty() {
            line.push_str(&format!(", emits {}", step.emits.join(", ")));
        }
        self.shown(&line)
    }

    /// The state and the context for people, after something happened.
    fn shown(&self, what: &str) -> Result<(), Error> {
        let (state, ctx) = self.instance()?;
        if self.session.out.for_programs() {
            return self.print_json(json!({}));
        }
        let paint = self.session.out.paint;
        let out = self.session.out;
        out.line(&printable(what))?;
        out.line(&format!(
            "{}  {}",
            paint.highlight(&printable(&state)),
            printable(&ctx)
        ))?;
        self.allowed()
    }

    fn diagram(&self) -> Result<(), Error> {
        let (state, _) = self.instance()?;
        let drawing = Drawing::titled(&self.title, &self.machine, Some(&state));
        let out = self.session.out;
        out.line(&drawing.render(DiagramFormat::Text, out.paint))
    }

    /// Every event of the current state, with what it would do without a payload.
    fn possible(&self) -> Result<Vec<Possible>, Error> {
        let (state, _) = self.instance()?;
        let mut events: Vec<&str> = Vec::new();
        if let Some(state) = self.machine.state(&state) {
            for position in self.machine.leaving(state) {
                let event = self.machine.transitions[position].event.as_str();
                if !events.contains(&event) {
                    events.push(event);
                }
            }
        }
        let would = |event: &str| self.runner.would(event, None, self.by.clone());
        let events = events.into_iter();
        Ok(events
            .map(|event| (event.to_owned(), would(event)))
            .collect())
    }

    fn allowed(&self) -> Result<(), Error> {
        if self.session.out.for_programs() {
            return self.print_json(json!({}));
        }
        let out = self.session.out;
        let possible = self.possible()?;
        if possible.is_empty() {
            return out.line("nothing leads out of this state");
        }
        for (event, would) in possible {
            let event = printable(&event);
            out.line(&match would {
                Ok(step) => format!("  {} → {}", out.paint.bold(&event), printable(&step.to)),
                Err(refusal) => {
                    let why = out.paint.dim(&printable(&refusal.to_string()));
                    format!("  {event}   {why}")
                }
            })?;
        }
        Ok(())
    }

    /// One line with what happened, and the instance after it.
    fn print_json(&self, happened: Value) -> Result<(), Error> {
        let (state, ctx) = self.instance()?;
        // As text: no digit of a number is lost.
        let ctx = RawValue::from_string(ctx).map_err(Error::unexpected)?;
        let allowed: Vec<Value> = self
            .possible()?
            .into_iter()
            .map(|(event, would)| match would {
                Ok(step) => json!({"event": event, "to_state": step.to}),
                Err(refusal) => json!({"event": event, "refused": refusal.code()}),
            })
            .collect();
        let line = SimulationLine {
            happened,
            state,
            ctx,
            allowed,
        };
        self.session.out.item(&line)
    }

    fn instance(&self) -> Result<(String, String), Error> {
        self.runner
            .instance()
            .map_err(|refusal| Error::Failed(refusal.to_string()))
    }
}
