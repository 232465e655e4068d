//! top: what the servers are doing, shown every second.
//!
//! | module | subject |
//! |---|---|
//! | `sample` | what the servers say at one moment |
//! | `metrics` | what they count at /metrics |
//! | `change` | from two samples to what has happened between them |

mod change;
mod metrics;
mod sample;

use console::Term;

use crate::Error;
use crate::args::{OutputForm, TopArgs};
use crate::render::top;
use crate::session::CliSession;
use sample::Sampler;

pub(in crate::commands) async fn run(session: &CliSession, args: TopArgs) -> Result<(), Error> {
    tokio::select! {
        // First, so that the signal is taken before anything is printed.
        biased;
        interrupted = session.interrupted() => interrupted,
        ended = show(session, &args) => ended,
    }
}

async fn show(session: &CliSession, args: &TopArgs) -> Result<(), Error> {
    let mut sampler = Sampler::new(session, &args.metrics);
    let mut before = sampler.sample().await?;
    loop {
        tokio::time::sleep(args.interval).await;
        let now = sampler.sample().await?;
        let busy = sampler.busiest(&before, &now).await;
        let frame = change::frame(&before, &now, busy);
        let out = session.out;
        if out.for_programs() {
            match (args.once, out.form()) {
                (true, _) => out.value(&frame)?,
                (false, OutputForm::Json | OutputForm::Jsonl | OutputForm::Yaml) => {
                    out.item(&frame)?;
                }
                (false, OutputForm::Table | OutputForm::Wide) => {}
            }
        } else {
            let screen = Term::stdout();
            if args.once || !screen.is_term() {
                session.draw(|paint| top::render(&frame, paint))?;
            } else {
                screen.clear_screen()?;
                // What cells lack is said in the frame: the next one covers all that stands below.
                out.line(&top::screen(&frame, session.paint()))?;
            }
        }
        if args.once {
            return Ok(());
        }
        before = now;
    }
}
