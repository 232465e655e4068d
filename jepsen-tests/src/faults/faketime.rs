//! Wrong clocks. A node that is started under libfaketime takes its time from a file, or has a clock of
//! another speed.
//!
//! The library is preloaded into the server alone. What it changes depends on the clock:
//!
//! - [`WallClock`] is the time of day, which administrators and time servers set: it may jump at any
//!   moment, forth and back. The monotonic clock, by which time-outs and leases go, stays right.
//! - [`rate`] is the speed of all clocks of the process, the monotonic one too: No real oscillator is wrong
//!   by percents, but leases must work within the bounds that they state.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jiff::SignedDuration;

use crate::Error;

/// Where Debian, Fedora, Arch and a build from source put it; the variant for threads first, because it
/// is safe to use for a server.
const LIBRARIES: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];
/// How long a process keeps the time that it has read. The library supports whole seconds only. Without this,
/// each reading of the clock would cost an open and a read.
const CACHE_SECS: u64 = 1;
/// How long after [`WallClock::jump_to`] a node has noticed it at the latest: both ends of the time are
/// cut to whole seconds.
pub const NOTICED_WITHIN: Duration = Duration::from_millis((CACHE_SECS + 1) * 1000 + 500);

/// The library.
#[derive(Debug, Clone)]
pub struct Library(PathBuf);

impl Library {
    /// The path of the library.
    ///
    /// # Errors
    /// When it is not installed, as a reason to skip a test.
    pub fn find() -> Result<Self, String> {
        let found = LIBRARIES.iter().map(Path::new).find(|path| path.is_file());
        let library = found.ok_or("libfaketime is not installed (Debian: libfaketime)")?;
        Ok(Self(library.to_owned()))
    }

    /// A tool for [`Node::launch_under`](crate::process::node::Node::launch_under) that becomes the server
    /// with these variables; the tool itself does not have them.
    fn tool(&self, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new("env");
        command.arg(format!("LD_PRELOAD={}", self.0.display()));
        for (name, value) in variables {
            command.arg(format!("{name}={value}"));
        }
        command
    }
}

/// The time of day of one node.
#[derive(Debug)]
pub struct WallClock {
    library: Library,
    file: PathBuf,
}

impl WallClock {
    /// A clock that is right, kept in a file of this folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(library: &Library, folder: &Path) -> Result<Self, Error> {
        let clock = Self {
            library: library.clone(),
            file: folder.join("wall-clock"),
        };
        clock.jump_to(SignedDuration::ZERO)?;
        Ok(clock)
    }

    /// Makes it wrong by this much, from [`NOTICED_WITHIN`] on at the latest.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn jump_to(&self, offset: SignedDuration) -> Result<(), Error> {
        // Renamed into place: a process that reads it meanwhile must not find it empty.
        let new = self.file.with_extension("new");
        std::fs::write(&new, setting(offset)).map_err(Error::io("the clock's file"))?;
        std::fs::rename(&new, &self.file).map_err(Error::io("the clock's file"))
    }

    /// What a node with this clock is started under.
    pub fn tool(&self) -> Command {
        self.library.tool(&[
            ("FAKETIME_TIMESTAMP_FILE", &self.file.display().to_string()),
            ("FAKETIME_CACHE_DURATION", &CACHE_SECS.to_string()),
            // The name changed between the library's versions.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ])
    }
}

/// The file's content for a clock that is wrong by this much.
fn setting(offset: SignedDuration) -> String {
    format!("{:+.3}\n", offset.as_secs_f64())
}

/// A tool to start a node whose clocks, including the monotonic one, run this many times as fast.
pub fn rate(library: &Library, rate: f64) -> Command {
    library.tool(&[("FAKETIME", &format!("+0 x{rate}"))])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_offset_always_has_a_sign() {
        for (millis, text) in [
            (0, "+0.000\n"),
            (7_200_500, "+7200.500\n"),
            (-1, "-0.001\n"),
        ] {
            assert_eq!(setting(SignedDuration::from_millis(millis)), text);
        }
    }

    #[test]
    fn only_what_is_started_has_the_library() {
        let library = Library(PathBuf::from("/lib/f.so"));
        let folder = tempfile::tempdir().unwrap();
        let clock = WallClock::new(&library, folder.path()).unwrap();
        for tool in [clock.tool(), rate(&library, 1.05)] {
            assert_eq!(tool.get_program(), "env");
            assert_eq!(tool.get_envs().count(), 0);
            assert_eq!(tool.get_args().next().unwrap(), "LD_PRELOAD=/lib/f.so");
        }
        let faster = rate(&library, 1.05);
        assert_eq!(faster.get_args().last().unwrap(), "FAKETIME=+0 x1.05");
        assert_eq!(std::fs::read_to_string(&clock.file).unwrap(), "+0.000\n");
    }
}
