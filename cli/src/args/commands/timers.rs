//! `timers` and what follows it.

use clap::{Args, Subcommand};
use rstmdb_rcp::message::instance::timers::TimerPlace;

use super::super::about::WriteArgs;
use super::super::asking::{DryRunArgs, Freshness};
use super::super::named::{MachineFilter, NamedInstance, NamedTimer};
use super::super::values::{span, time};

/// `timers`.
#[derive(Debug, Args)]
pub struct TimersArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TimersCommand,
}

/// What can be done with timers.
#[derive(Debug, Subcommand)]
pub enum TimersCommand {
    /// List armed timers, in the order in which they are due.
    List(TimersList),
    /// Set, move or disarm a timer of an instance.
    Set(TimersSet),
    /// Let the timers of an instance fire again, after too many have fired within a minute.
    Resume(TimersResume),
}

/// `timers list`.
#[derive(Debug, Args)]
pub struct TimersList {
    /// Only timers of instances of this machine.
    #[command(flatten)]
    pub machine: MachineFilter,
    /// Only timers that are due before this time, Unix milliseconds.
    #[arg(long, value_name = "MS")]
    pub due_before: Option<u64>,
    /// Only timers that do not fire, because too many timers of their instance have fired within a minute.
    #[arg(long)]
    pub suspended: bool,
    /// How many to list; 1000 at most.
    #[arg(long, default_value_t = 100)]
    pub limit: u64,
    /// Only timers behind this one, as the list before says it: DUE in Unix milliseconds, or `next` of the answer.
    #[arg(long, value_name = "DUE,ID,NAME", value_parser = place)]
    pub after: Option<TimerPlace<'static>>,
    /// List all of them, page after page.
    #[arg(long, conflicts_with_all = ["limit"])]
    pub all: bool,
    /// How fresh the answer has to be.
    #[command(flatten)]
    pub freshness: Freshness,
}

/// `timers set`.
#[derive(Debug, Args)]
pub struct TimersSet {
    /// The instance and the timer.
    #[command(flatten)]
    pub named: NamedTimer,
    /// Let it fire after this time: 30m, 1h30m, 90d, PT30M.
    #[arg(long, value_name = "DURATION", required_unless_present_any = ["at", "off"], conflicts_with_all = ["at", "off"],
          value_parser = span)]
    pub after: Option<String>,
    /// Let it fire at this time: 2027-01-31T12:00:00Z, or Unix milliseconds.
    #[arg(long, value_name = "TIME", conflicts_with = "off", value_parser = time)]
    pub at: Option<String>,
    /// Disarm it.
    #[arg(long)]
    pub off: bool,
    /// Refuse unless the instance is in this state.
    #[arg(long, value_name = "STATE")]
    pub expected_state: Option<String>,
    /// Refuse unless the instance's last fact is at this offset.
    #[arg(long, value_name = "OFFSET")]
    pub expected_wal_offset: Option<u64>,
    /// A second call with the same key does not take effect again.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
    /// Whether it is done, or only asked.
    #[command(flatten)]
    pub ask: DryRunArgs,
}

/// `timers resume`.
#[derive(Debug, Args)]
pub struct TimersResume {
    /// The instance.
    #[command(flatten)]
    pub instance: NamedInstance,
    /// A second call with the same key does not take effect again.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Its metadata.
    #[command(flatten)]
    pub about: WriteArgs,
}

/// A place in the list of timers. An id or a name with a comma has to come as JSON.
fn place(text: &str) -> Result<TimerPlace<'static>, String> {
    if let Ok(place) = serde_json::from_str(text) {
        return Ok(place);
    }
    let parts: Vec<&str> = text.split(',').collect();
    match parts.as_slice() {
        [due, id, name] => due.parse().ok().map(|due_at| TimerPlace {
            due_at,
            instance_id: (*id).to_owned().into(),
            name: (*name).to_owned().into(),
        }),
        _ => None,
    }
    .ok_or_else(|| {
        "expected DUE,ID,NAME, such as 1767229200000,order-1,EXPIRE, or the JSON object `next` of the answer before"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_three_parts_or_json() {
        let read = |text| place(text).map(|it| (it.due_at, it.instance_id, it.name));
        let expected = (17, "o-1".into(), "EXPIRE".into());
        assert_eq!(read("17,o-1,EXPIRE"), Ok(expected));
        let expected = (17, "a,b".into(), "c".into());
        let json = r#"{"due_at":17,"instance_id":"a,b","name":"c"}"#;
        assert_eq!(read(json), Ok(expected));
        for wrong in ["", "17", "17,a", "17,a,b,c", "soon,a,b", "{}"] {
            assert!(
                place(wrong).is_err_and(|it| it.contains("DUE,ID,NAME")),
                "{wrong}"
            );
        }
    }
}
