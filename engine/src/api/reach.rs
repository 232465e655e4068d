//! Which machines a client may see and change.
//!
//! A role may be for some machines only. Whether an instance has one of them is known where the instance is looked up:
//! by the leader for a write, in the same decision that the write takes effect in. So no other write can come between
//! the check and the effect.

use super::refusal::Refusal;

/// The machines of a client that is limited to some. A client without limits has none of this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Whose instances it may read.
    pub read: MachineNames,
    /// Whose instances it may create, change and delete.
    pub write: MachineNames,
    /// Whose instances it may watch.
    pub watch: MachineNames,
}

impl Reach {
    /// Whether the client may know that instances of this machine exist.
    pub fn sees(&self, machine: &str) -> bool {
        [&self.read, &self.write, &self.watch]
            .into_iter()
            .any(|names| names.cover(machine))
    }

    /// Refuses what needs `verb` on an instance of this machine, unless the machine is among `names`. If the client may
    /// not know the instance, it is told that there is none.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`] or [`Refusal::InstanceNotFound`].
    pub fn check(
        &self,
        names: &MachineNames,
        verb: &'static str,
        machine: &str,
        instance_id: &str,
    ) -> Result<(), Refusal> {
        if names.cover(machine) {
            return Ok(());
        }
        Err(match self.sees(machine) {
            true => Refusal::forbidden(verb, machine),
            false => Refusal::InstanceNotFound {
                instance_id: instance_id.to_owned(),
            },
        })
    }
}

/// Names of machines: each is a name, or a pattern in which `*` stands for any characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineNames(Vec<String>);

impl MachineNames {
    /// The names and patterns, as they are written.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether this machine is among them.
    pub fn cover(&self, machine: &str) -> bool {
        self.0.iter().any(|pattern| fits(pattern, machine))
    }

    /// Whether every machine is among them.
    pub fn cover_all(&self) -> bool {
        self.0.iter().any(|pattern| pattern == "*")
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<S: Into<String>> FromIterator<S> for MachineNames {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
        names.sort_unstable();
        names.dedup();
        Self(names)
    }
}

/// Whether the name fits the pattern. Only the last `*` that was passed is ever tried again, so this takes at most the
/// product of both lengths.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut of) = (0, 0);
    let mut again = None;
    while of < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                again = Some((at, of));
            }
            Some(byte) if *byte == name[of] => {
                at += 1;
                of += 1;
            }
            _ => {
                let Some((behind, from)) = again else {
                    return false;
                };
                (at, of) = (behind, from + 1);
                again = Some((at, of));
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_nothing_else_does() {
        for (pattern, name) in [
            ("order", "order"),
            ("*", ""),
            ("*", "order"),
            ("order*", "order"),
            ("order-*", "order-eu"),
            ("*-eu", "order-eu"),
            ("o*r*u", "order-eu"),
            ("*a*b", "aab-ab"),
            ("**", "x"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "order"),
            ("order", "orders"),
            ("order", "Order"),
            ("order*", "orde"),
            ("*-eu", "order-us"),
            ("o?der", "order"),
            ("o*r*u", "order-eus"),
            (".*", "order"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_may_be_read_written_or_watched_is_seen() {
        let reach = Reach {
            read: ["order"].into_iter().collect(),
            write: ["job-*"].into_iter().collect(),
            watch: ["user"].into_iter().collect(),
        };
        for machine in ["order", "job-1", "user"] {
            assert!(reach.sees(machine), "{machine}");
        }
        assert!(!reach.sees("users"));
        assert!(!reach.read.cover_all() && !Reach::default().sees("order"));
    }
}
