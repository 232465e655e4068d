//! Watches that run while the operator types commands.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use rstmdb_rcp::client::Watch;
use rstmdb_rcp::json::Json;
use rstmdb_rcp::text::{printable, printable_json};
use rustyline::ExternalPrinter;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::render::output::{Output, SAYS_SHORTENED};
use crate::render::view;

/// Lines that wait until the line editor prints them.
const LINES_WAITING_MAX: usize = 16;

/// The watches of a REPL. Cheap to clone.
#[derive(Clone)]
pub struct ReplWatches {
    running: Arc<Mutex<Vec<RunningWatch>>>,
    /// To the thread that prints above the line that is being typed; `None` when no line is being typed.
    printer: Option<mpsc::Sender<String>>,
}

/// A watch that runs.
#[derive(Clone, Debug)]
pub struct RunningWatch {
    /// The subscription's id.
    pub id: String,
    /// What is watched, for people.
    pub what: String,
    task: AbortHandle,
}

impl ReplWatches {
    /// For a terminal where a line is being typed.
    pub fn printing_to(mut printer: impl ExternalPrinter + Send + 'static) -> ReplWatches {
        let (sender, mut lines) = mpsc::channel::<String>(LINES_WAITING_MAX);
        // The line editor takes a line only while it waits for a key. While it completes a word it waits for the server
        // instead, so no thread that serves the connection may wait for the line editor.
        std::thread::spawn(move || {
            while let Some(line) = lines.blocking_recv() {
                // If the terminal is gone, the REPL ends anyway.
                if printer.print(line).is_err() {
                    break;
                }
            }
        });
        ReplWatches {
            printer: Some(sender),
            ..ReplWatches::plain()
        }
    }

    /// Prints to standard output as it is.
    pub fn plain() -> ReplWatches {
        ReplWatches {
            running: Arc::default(),
            printer: None,
        }
    }

    /// Prints the watch's events from now on, until it is ended: a line for each, or JSON if `out` is for programs.
    pub fn begin(&self, mut watch: Watch, what: String, out: Output) {
        let id = watch.subscription_id().to_owned();
        let (watches, own_id) = (self.clone(), id.clone());
        // Hold the lock until the watch is listed: it may end at once, and must then find its entry to remove it.
        let mut running = self.locked();
        let task = tokio::spawn(async move {
            let mut lines = EventLines { out, said: false };
            while let Some(event) = watch.next().await {
                match event {
                    Ok(event) => {
                        let event = serde_json::to_string(&event).unwrap_or_default();
                        watches.print(&lines.of(&event)).await;
                    }
                    Err(error) => {
                        let end = format!("watch {own_id} has ended: {error}");
                        watches.print(&printable(&end)).await;
                    }
                }
            }
            watches.end(&own_id);
        });
        running.push(RunningWatch {
            id,
            what,
            task: task.abort_handle(),
        });
    }

    /// Ends a watch; false when there is none of this id.
    pub fn end(&self, id: &str) -> bool {
        let mut running = self.locked();
        let Some(place) = running.iter().position(|running| running.id == id) else {
            return false;
        };
        running.swap_remove(place).task.abort();
        true
    }

    /// Those that run.
    pub fn running(&self) -> Vec<RunningWatch> {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<RunningWatch>> {
        // No holder of the lock can panic in the middle of a change.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something on standard error that no command waits for.
    pub async fn say(&self, text: &str) {
        match &self.printer {
            Some(_) => self.print(text).await,
            None => eprintln!("{text}"),
        }
    }

    async fn print(&self, text: &str) {
        let text = text.trim_end_matches('\n');
        match &self.printer {
            // The thread has ended only if the terminal is gone.
            Some(printer) => drop(printer.send(format!("{text}\n")).await),
            None => println!("{text}"),
        }
    }
}

/// How the events of a watch look.
struct EventLines {
    out: Output,
    /// Whether it was said that lines are shortened.
    said: bool,
}

impl EventLines {
    fn of(&mut self, event: &str) -> String {
        let (false, Ok(parsed)) = (self.out.for_programs(), Json::parse(event)) else {
            return printable_json(event).into_owned();
        };
        // As wide as the terminal is now.
        let paint = self.out.resized().paint;
        let mut text = view::watched(&parsed, paint);
        if !self.said && paint.shortens(&text, |paint| view::watched(&parsed, paint)) {
            self.said = true;
            text.push_str(&paint.dim(SAYS_SHORTENED));
        }
        text
    }
}
