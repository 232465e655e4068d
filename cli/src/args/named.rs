//! What nearly every command names: an instance, an event, a machine. Each has its place in the command, and the same
//! option everywhere: -i an instance, -m a machine, -V a version, -e an event. The options are not in the help.

use clap::Args;

use crate::Error;

/// An instance.
#[derive(Debug, Clone, Args)]
pub struct NamedInstance {
    /// The instance.
    #[arg(value_name = "ID", required_unless_present = "instance_option")]
    instance: Option<String>,
    /// The instance, as an option.
    #[arg(
        short = 'i',
        long = "id",
        alias = "instance-id",
        value_name = "ID",
        hide = true,
        conflicts_with = "instance"
    )]
    instance_option: Option<String>,
}

impl NamedInstance {
    /// The id, however it was given. clap requires one of the two.
    pub fn id(&self) -> &str {
        let given = self.instance.as_deref().or(self.instance_option.as_deref());
        given.unwrap_or_default()
    }
}

/// An instance and an event for it.
#[derive(Debug, Clone, Args)]
pub struct NamedEvent {
    /// The instance.
    #[arg(value_name = "ID", required_unless_present = "instance_option")]
    first: Option<String>,
    /// The event.
    #[arg(value_name = "EVENT", required_unless_present_any = ["event_option", "instance_option"])]
    second: Option<String>,
    /// The instance, as an option.
    #[arg(
        short = 'i',
        long = "id",
        alias = "instance-id",
        value_name = "ID",
        hide = true
    )]
    instance_option: Option<String>,
    /// The event, as an option.
    #[arg(short = 'e', long = "event", value_name = "EVENT", hide = true)]
    event_option: Option<String>,
}

impl NamedEvent {
    /// The instance and the event, however they were given.
    pub fn both(self) -> Result<(String, String), Error> {
        let options = (self.instance_option, self.event_option);
        two("event", options, (self.first, self.second))
    }
}

/// An instance and one of its timers.
#[derive(Debug, Clone, Args)]
pub struct NamedTimer {
    /// The instance.
    #[arg(value_name = "ID", required_unless_present = "instance_option")]
    first: Option<String>,
    /// The timer's name: its event's, unless the definition gives it another.
    #[arg(value_name = "TIMER", required_unless_present = "instance_option")]
    second: Option<String>,
    /// The instance, as an option.
    #[arg(
        short = 'i',
        long = "id",
        alias = "instance-id",
        value_name = "ID",
        hide = true
    )]
    instance_option: Option<String>,
}

impl NamedTimer {
    /// The instance and the timer, however they were given.
    pub fn both(self) -> Result<(String, String), Error> {
        two(
            "timer",
            (self.instance_option, None),
            (self.first, self.second),
        )
    }
}

/// Two names of which each was given by an option or, if not, by its place among the others.
fn two(
    what: &str,
    options: (Option<String>, Option<String>),
    words: (Option<String>, Option<String>),
) -> Result<(String, String), Error> {
    match (options, words) {
        ((None, None), (Some(id), Some(name)))
        | ((None, Some(name)), (Some(id), None))
        | ((Some(id), None), (Some(name), None))
        | ((Some(id), Some(name)), (None, None)) => Ok((id, name)),
        _ => Err(Error::Usage(format!(
            "name one instance and one {what}, in this order: ID {}",
            what.to_uppercase()
        ))),
    }
}

/// A machine, where a command needs one.
#[derive(Debug, Clone, Args)]
pub struct NamedMachine {
    /// The machine.
    #[arg(value_name = "MACHINE", required_unless_present = "machine_option")]
    machine: Option<String>,
    /// The machine, as an option.
    #[arg(
        short = 'm',
        long = "machine",
        value_name = "MACHINE",
        hide = true,
        conflicts_with = "machine"
    )]
    machine_option: Option<String>,
}

impl NamedMachine {
    /// The name, however it was given. clap requires one of the two.
    pub fn name(&self) -> &str {
        let given = self.machine.as_deref().or(self.machine_option.as_deref());
        given.unwrap_or_default()
    }
}

/// A machine, where a command is about all machines otherwise.
#[derive(Debug, Clone, Default, Args)]
pub struct MachineFilter {
    /// Only this machine.
    #[arg(value_name = "MACHINE")]
    machine: Option<String>,
    /// The machine, as an option.
    #[arg(
        short = 'm',
        long = "machine",
        value_name = "MACHINE",
        hide = true,
        conflicts_with = "machine"
    )]
    machine_option: Option<String>,
}

impl MachineFilter {
    /// The name, if one was given.
    pub fn name(&self) -> Option<&str> {
        self.machine.as_deref().or(self.machine_option.as_deref())
    }
}
