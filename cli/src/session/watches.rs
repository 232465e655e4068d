//! Watches that run while the operator types commands.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use rstmdb_rcp::client::Watch;
use rstmdb_rcp::text::printable_json;
use rustyline::ExternalPrinter;
use tokio::task::AbortHandle;

type Printer = Box<dyn ExternalPrinter + Send>;

/// The watches of a REPL. Cheap to clone.
#[derive(Clone)]
pub struct ReplWatches {
    running: Arc<Mutex<Vec<(String, AbortHandle)>>>,
    /// Prints above the line that is being typed; `None` when no line is being typed.
    printer: Arc<Mutex<Option<Printer>>>,
}

impl ReplWatches {
    /// For a terminal where a line is being typed.
    pub fn printing_to(printer: impl ExternalPrinter + Send + 'static) -> ReplWatches {
        let watches = ReplWatches::plain();
        *watches.printer() = Some(Box::new(printer));
        watches
    }

    /// Prints to standard output as it is.
    pub fn plain() -> ReplWatches {
        ReplWatches {
            running: Arc::default(),
            printer: Arc::default(),
        }
    }

    /// Prints the watch's events from now on, until it is ended.
    pub fn begin(&self, mut watch: Watch) {
        let id = watch.subscription_id().to_owned();
        let (watches, own_id) = (self.clone(), id.clone());
        // Hold the lock until the watch is listed: it may end at once, and must then find its entry to remove it.
        let mut running = self.running();
        let task = tokio::spawn(async move {
            while let Some(event) = watch.next().await {
                match event {
                    Ok(event) => watches.print(&serde_json::to_string(&event).unwrap_or_default()),
                    Err(error) => watches.print(&format!("watch {own_id} has ended: {error}")),
                }
            }
            watches.end(&own_id);
        });
        running.push((id, task.abort_handle()));
    }

    /// Ends a watch; false when there is none of this id.
    pub fn end(&self, id: &str) -> bool {
        let mut running = self.running();
        let Some(place) = running.iter().position(|(running, _)| running == id) else {
            return false;
        };
        running.swap_remove(place).1.abort();
        true
    }

    /// The ids of those that run.
    pub fn ids(&self) -> Vec<String> {
        self.running().iter().map(|(id, _)| id.clone()).collect()
    }

    fn printer(&self) -> MutexGuard<'_, Option<Printer>> {
        self.printer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, Vec<(String, AbortHandle)>> {
        // No holder of the lock can panic in the middle of a change.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn print(&self, line: &str) {
        let line = printable_json(line);
        match self.printer().as_mut() {
            // If the terminal is gone, the REPL ends anyway.
            Some(printer) => drop(printer.print(format!("{line}\n"))),
            None => println!("{line}"),
        }
    }
}
