//! The shell in which a page's commands run: a folder, a home and ports of its own.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rstmdb_jepsen::{Error, binaries, ports};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// How long one command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// Printed behind each command, with its exit code.
const END: &str = "@@ ended";
/// What a page finds in its folder, as if that were a checkout.
const CHECKOUT: [&str; 5] = ["clients", "definitions", "deploy", "docs", "rcp"];
/// The ports that pages name: those of clients, peers, metrics and HTTP of a demo, and that of metrics otherwise.
const SHOWN_PORTS: [u16; 13] = [
    7401, 7402, 7403, 7404, 7405, 7406, 7407, 7408, 7409, 7410, 7411, 7412, 9090,
];

/// Folders that pages name, which become folders of the page.
const SHOWN_FOLDERS: [&str; 5] = [
    "/etc/rstmdb",
    "/var/lib/rstmdb",
    "/backup/copy",
    "/backup/orders",
    "/mnt/write-once",
];

/// Commands of `rstmdb-cli` print tables on a terminal, which is what a reader has. Its input stays open, because
/// `script` would show the end of it.
const SETUP: &str = r#"
export SHELL=$BASH
exec 9<>"$TMPDIR/terminal"
on_terminal() {
  script -qec "stty cols 100 rows 50; exec $(printf '%q ' "$@")" /dev/null <&9
}
until_served() {
  for i in {1..300}; do
    if rstmdb-cli ping >"$TMPDIR/ping" 2>&1; then return 0; fi
    sleep 0.1
  done
  cat "$TMPDIR/ping"
  return 1
}
"#;

/// The page's `rstmdb`: without a configuration of its own it listens at the page's ports.
const SERVER: &str = r#"#!/bin/sh
case " $* " in
  *" --config "*) ;;
  *) export RSTMDB_BIND=@clients RSTMDB_PEER_BIND=@peers RSTMDB_HTTP_BIND=@http RSTMDB_METRICS_BIND=@metrics ;;
esac
exec '@program' "$@"
"#;

/// What a command has printed, and its exit code.
#[derive(Debug)]
pub struct Printed {
    pub lines: Vec<String>,
    pub code: String,
}

impl Printed {
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }
}

/// A running shell. Dropping it ends what it has started.
pub struct Shell {
    folder: TempDir,
    ports: Vec<u16>,
    child: Child,
    input: ChildStdin,
    output: Receiver<String>,
    jobs: usize,
}

impl Shell {
    /// Starts it.
    pub fn start(repository: &Path) -> Result<Shell, Error> {
        let folder = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        for name in ["work", "home", "tmp", "bin", "backup"] {
            fs::create_dir(folder.path().join(name)).map_err(Error::io(name))?;
        }
        for name in CHECKOUT {
            let link = folder.path().join("work").join(name);
            std::os::unix::fs::symlink(repository.join(name), link).map_err(Error::io(name))?;
        }
        let terminal = Command::new("mkfifo")
            .arg(folder.path().join("tmp/terminal"))
            .status();
        terminal.map_err(Error::io("mkfifo"))?;
        let ports = consecutive(SHOWN_PORTS.len())?;
        let mut child = command(folder.path(), &ports)?
            .spawn()
            .map_err(Error::io("bash"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Closed);
        };
        let mut shell = Shell {
            folder,
            ports,
            child,
            input,
            output: lines_of(output),
            jobs: 0,
        };
        shell.send(&format!("exec 2>&1\n{SETUP}"))?;
        Ok(shell)
    }

    /// Runs a command in the shell itself, so that it may change folder or variables.
    pub fn run(&mut self, command: &str) -> Result<Printed, Error> {
        let command = self.to_own(command);
        self.send(&format!(
            "{{ {command}\n}} </dev/null; printf '\\n{END} %d\\n' $?"
        ))?;
        let mut lines: Vec<String> = Vec::new();
        loop {
            let line = self.output.recv_timeout(COMMAND_TIMEOUT);
            let line = line.map_err(|_| Error::Silent)?;
            if let Some(code) = line.strip_prefix(END) {
                // The line end before the mark makes an empty line if the command has ended its last one.
                lines.pop_if(|last| last.is_empty());
                let code = code.trim().to_owned();
                return Ok(Printed { lines, code });
            }
            if !is_of_shell(&line) {
                lines.push(self.shto_own(line.trim_end()));
            }
        }
    }

    /// Starts a command in the background. Returns the file with what it prints.
    pub fn begin(&mut self, command: &str) -> Result<PathBuf, Error> {
        self.jobs += 1;
        let file = self.folder.path().join(format!("job{}", self.jobs));
        let mut command = self.to_own(command);
        if !command.contains('>') {
            command += &format!(" >{} 2>&1", file.display());
        }
        self.send(&format!("{command} </dev/null &"))?;
        Ok(file)
    }

    /// Starts a server that is no job of the shell, because the page does not start it.
    pub fn serve(&mut self, options: &str) -> Result<(), Error> {
        let log = self.folder.path().join("server");
        let log = log.display();
        self.send(&format!("(rstmdb {options} >{log} 2>&1 </dev/null &)"))?;
        self.until_served()
    }

    /// Waits until the server of the page's port answers.
    pub fn until_served(&mut self) -> Result<(), Error> {
        let served = self.run("until_served")?;
        match served.code.as_str() {
            "0" => Ok(()),
            _ => Err(Error::Protocol(served.text())),
        }
    }

    /// Writes a file to the folder in which the shell is.
    pub fn write(&mut self, name: &str, text: &str) -> Result<(), Error> {
        let written = self.run(&format!("cat >{name} <<'END OF FILE'\n{text}END OF FILE"))?;
        match written.code.as_str() {
            "0" => Ok(()),
            _ => Err(Error::Protocol(written.text())),
        }
    }

    /// The lines of a job's file.
    pub fn printed(&self, file: &Path) -> Vec<String> {
        let text = fs::read(file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines = text.lines().map(|line| self.shto_own(line.trim_end()));
        lines.collect()
    }

    fn send(&mut self, text: &str) -> Result<(), Error> {
        let sent = writeln!(self.input, "{text}").and_then(|()| self.input.flush());
        sent.map_err(Error::io("bash"))
    }

    fn own_folder(&self, shown: &str) -> String {
        format!("{}{shown}", self.folder.path().display())
    }

    /// A text of the page, with the folders and ports of this shell.
    fn to_own(&self, text: &str) -> String {
        let own = |text: String, shown: &&str| text.replace(shown, &self.own_folder(shown));
        let text = SHOWN_FOLDERS.iter().fold(text.to_owned(), own);
        with_numbers(&text, |number| {
            let at = SHOWN_PORTS.iter().position(|shown| *shown == number)?;
            self.ports.get(at).copied()
        })
    }

    fn shto_own(&self, text: &str) -> String {
        with_numbers(text, |number| {
            let at = self.ports.iter().position(|port| *port == number)?;
            SHOWN_PORTS.get(at).copied()
        })
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // All that it has started is in its group. There is nothing to do if this fails.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

fn command(folder: &Path, ports: &[u16]) -> Result<Command, Error> {
    let programs = binaries::dir()?.display();
    let own = folder.join("bin");
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{programs}:{path}", own.display());
    let addr = |shown: u16| {
        let at = SHOWN_PORTS.iter().position(|port| *port == shown);
        let port = at.and_then(|at| ports.get(at)).copied().unwrap_or_default();
        format!("127.0.0.1:{port}")
    };
    let server = SERVER
        .replace("@program", &binaries::server()?.display().to_string())
        .replace("@clients", &addr(7401))
        .replace("@peers", &addr(7402))
        .replace("@http", &addr(7403))
        .replace("@metrics", &addr(9090));
    let failed = || Error::io("the program of a page's server");
    let file = own.join("rstmdb");
    fs::write(&file, server).map_err(failed())?;
    fs::set_permissions(&file, Permissions::from_mode(0o755)).map_err(failed())?;
    let mut command = Command::new("bash");
    command
        .args(["--noprofile", "--norc"])
        .current_dir(folder.join("work"))
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder.join("home"))
        .env("TMPDIR", folder.join("tmp"))
        .env("LANG", "C.UTF-8")
        .env("NO_COLOR", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("RSTMDB_SERVER", addr(7401))
        .env("RSTMDB_WAL_SEGMENT_SIZE_MB", "1")
        .env("RSTMDB_MIN_FREE_MB", "16")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    Ok(command)
}

fn lines_of(output: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(output).split(b'\n').map_while(Result::ok);
        for line in lines {
            let line = String::from_utf8_lossy(&line).into_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Whether it is the notice of a script's shell that a job was killed. The shell of a reader says it in another way.
fn is_of_shell(line: &str) -> bool {
    line.starts_with("bash: line ") && (line.contains(" Killed ") || line.contains(" Terminated "))
}

/// Ports in a row: those of a demo are.
fn consecutive(count: usize) -> Result<Vec<u16>, Error> {
    let mut row: Vec<u16> = Vec::new();
    while row.len() < count {
        let port = ports::free()?;
        if row.last().is_some_and(|last| last + 1 != port) {
            row.clear();
        }
        row.push(port);
    }
    Ok(row)
}

/// The text with each whole number replaced for which there is another.
fn with_numbers(text: &str, other: impl Fn(u16) -> Option<u16>) -> String {
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(begin);
        let end = number.find(|c: char| !c.is_ascii_digit());
        let (number, after) = number.split_at(end.unwrap_or(number.len()));
        made.push_str(before);
        match number.parse().ok().and_then(&other) {
            Some(other) => made.push_str(&other.to_string()),
            None => made.push_str(number),
        }
        rest = after;
    }
    made + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_are_replaced() {
        let other = |number| (number == 7401).then_some(20_001);
        let text = "a:7401,b:17401 7401 x74010";
        assert_eq!(with_numbers(text, other), "a:20001,b:17401 20001 x74010");
    }
}
