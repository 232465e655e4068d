//! Docker's commands: which of them this machine has, and running them with a bound on their time.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::Error;

/// A base image of the Dockerfile.
#[derive(Debug, Clone, Copy)]
pub(super) enum Base {
    /// With the Rust toolchain.
    Build,
    /// What the programs run on.
    Runtime,
}

impl Base {
    /// The variable that names another image, for the Dockerfile too.
    pub(super) fn variable(self) -> &'static str {
        match self {
            Self::Build => "BUILD_IMAGE",
            Self::Runtime => "RUNTIME_IMAGE",
        }
    }

    /// The default of the Dockerfile.
    fn public(self) -> &'static str {
        match self {
            Self::Build => "rust:1.95-bookworm",
            Self::Runtime => "debian:bookworm-slim",
        }
    }

    /// The image's name. `deploy/local-images.sh` makes the image unless the environment names one, or the public one
    /// is on this machine already.
    ///
    /// # Errors
    /// When it cannot be had: why.
    pub(super) fn image(self) -> Result<String, String> {
        let named = std::env::var(self.variable()).ok();
        if let Some(named) = named.filter(|name| !name.is_empty()) {
            return Ok(named);
        }
        if docker(&["image", "inspect", self.public()], COMMAND_TIMEOUT).is_ok() {
            return Ok(self.public().to_owned());
        }
        let mut script = Command::new(repository().join("deploy/local-images.sh"));
        if matches!(self, Self::Runtime) {
            script.arg("runtime");
        }
        let printed = run(&mut script, BASE_IMAGES_TIMEOUT).map_err(|error| {
            format!(
                "there is no base image, and none can be made; pull {}, or name another in {}: {error}",
                self.public(),
                self.variable()
            )
        })?;
        exported(&printed, self.variable())
            .ok_or_else(|| format!("deploy/local-images.sh printed {printed:?}"))
    }
}

/// How long a command may take that only asks something or sends a signal.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the base images may take: a small Debian is downloaded and unpacked.
const BASE_IMAGES_TIMEOUT: Duration = Duration::from_secs(600);
/// Interval between checks for the end of a command.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How much of a failed command's output is shown.
const SHOWN_BYTES: usize = 4000;

/// The commands of this machine, and the image that programs run on.
#[derive(Debug, Clone)]
pub struct Docker {
    /// `docker-compose`, or `docker compose`.
    compose: &'static [&'static str],
    pub(super) runtime: String,
}

impl Docker {
    /// Finds the commands, and the image that programs run on.
    ///
    /// # Errors
    /// When this machine cannot run containers: why.
    pub fn find() -> Result<Self, String> {
        let works = |words: &[&str]| run(&mut command_of(words), COMMAND_TIMEOUT);
        works(&["docker", "version"])
            .map_err(|error| format!("no Docker daemon can be used: {error}"))?;
        const COMPOSE: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
        let compose = COMPOSE
            .into_iter()
            .find(|words| works(&[words, &["version"][..]].concat()).is_ok())
            .ok_or("neither `docker compose` nor `docker-compose` is installed")?;
        Ok(Self {
            compose,
            runtime: Base::Runtime.image()?,
        })
    }

    /// `docker-compose` or `docker compose`, without arguments.
    pub(super) fn compose(&self) -> Command {
        command_of(self.compose)
    }
}

/// Runs `docker` with these arguments.
pub(super) fn docker(args: &[&str], timeout: Duration) -> Result<String, Error> {
    run(Command::new("docker").args(args), timeout)
}

fn command_of(words: &[&str]) -> Command {
    let (program, args) = words.split_first().unwrap_or((&"docker", &[]));
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// Reads the value of `name` from `export BUILD_IMAGE=… RUNTIME_IMAGE=…`.
fn exported(printed: &str, name: &str) -> Option<String> {
    printed
        .split_whitespace()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        .map(str::to_owned)
}

/// The folder with docker-compose.yml.
pub(super) fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Runs a command that has to succeed; gives what it printed to standard output. Kills it after
/// `timeout`.
pub(super) fn run(command: &mut Command, timeout: Duration) -> Result<String, Error> {
    let shown = format!("{command:?}");
    let io = || Error::io(shown.clone());
    // Files, because a full pipe would stop the command.
    let mut out = tempfile::tempfile().map_err(io())?;
    let mut err = tempfile::tempfile().map_err(io())?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone().map_err(io())?)
        .stderr(err.try_clone().map_err(io())?)
        .spawn()
        .map_err(io())?;
    let status = wait(&mut child, timeout).map_err(io())?;
    let out = text(&mut out).map_err(io())?;
    if status.is_some_and(|status| status.success()) {
        return Ok(out);
    }
    let how = match status {
        Some(status) => status.to_string(),
        None => format!("not done after {} s", timeout.as_secs()),
    };
    let err = text(&mut err).map_err(io())?;
    Err(Error::Command(format!(
        "{shown}: {how}\n{}{}",
        tail(&out),
        tail(&err)
    )))
}

/// `None` when it had to be killed.
fn wait(child: &mut Child, timeout: Duration) -> std::io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() > timeout {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn text(file: &mut File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn tail(text: &str) -> &str {
    let from = text.len().saturating_sub(SHOWN_BYTES);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at));
    from.map_or("", |from| &text[from..])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_gives_what_it_printed() {
        let printed = run(&mut shell("echo out; echo err >&2"), COMMAND_TIMEOUT).unwrap();
        assert_eq!(printed, "out\n");
    }

    #[test]
    fn a_failed_command_shows_its_status_and_both_outputs() {
        let failed = run(
            &mut shell("echo out; echo err >&2; exit 3"),
            COMMAND_TIMEOUT,
        );
        let shown = failed.unwrap_err().to_string();
        for part in ["exit status: 3", "out\n", "err\n"] {
            assert!(shown.contains(part), "{shown}");
        }
    }

    #[test]
    fn a_command_that_does_not_end_is_killed() {
        let begun = Instant::now();
        let failed = run(&mut shell("exec sleep 60"), Duration::from_millis(50));
        let shown = failed.unwrap_err().to_string();
        assert!(shown.contains("not done"), "{shown}");
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn the_script_names_the_images() {
        let printed = "export BUILD_IMAGE=a/b:c RUNTIME_IMAGE=d\n";
        assert_eq!(exported(printed, "BUILD_IMAGE").unwrap(), "a/b:c");
        assert_eq!(exported(printed, "RUNTIME_IMAGE").unwrap(), "d");
        assert!(exported("export RUNTIME_IMAGE=d", "BUILD_IMAGE").is_none());
    }

    #[test]
    fn the_tail_of_a_text_begins_with_a_whole_character() {
        let long = "ä".repeat(SHOWN_BYTES);
        assert_eq!(tail(&format!("x{long}")).chars().next(), Some('ä'));
        assert_eq!(tail("short"), "short");
        assert_eq!(tail(""), "");
    }
}
