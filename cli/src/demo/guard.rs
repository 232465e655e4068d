//! Ends the nodes of a demo, or the command of `lock run`, when this program cannot, because it was killed with
//! SIGKILL.
//!
//! A shell runs beside this program and reads a pipe that only this program holds open. Each line is the list
//! of the processes that run now; a process group is its leader's number with a minus. When the pipe closes, for
//! whatever reason, the shell kills the processes of the last line. At an orderly end this program first sends an empty
//! line.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::Error;

const SCRIPT: &str = r#"pids=
while read -r line; do pids=$line; done
[ -z "$pids" ] || kill -9 $pids"#;

/// The shell. It ends once this is dropped.
#[derive(Debug)]
pub struct DemoGuard {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl DemoGuard {
    /// Starts the shell, without any process to end yet.
    pub fn start() -> Result<DemoGuard, Error> {
        let failed = |error| {
            Error::Failed(format!(
                "cannot start sh, which ends the processes of this program if it is killed: {error}"
            ))
        };
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at the terminal must not end the shell.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let pipe = shell.stdin.take();
        Ok(DemoGuard { shell, pipe })
    }

    /// Replaces the list of the processes to end.
    pub fn watch(&mut self, pids: impl Iterator<Item = u32>) {
        let pids: Vec<String> = pids.map(|pid| pid.to_string()).collect();
        self.tell(&pids.join(" "));
    }

    /// As [`DemoGuard::watch`], with all processes of the group that this one leads.
    pub fn watch_group(&mut self, leader: u32) {
        self.tell(&format!("-{leader}"));
    }

    fn tell(&mut self, line: &str) {
        if let Some(pipe) = &mut self.pipe {
            // Without the shell the nodes keep running if this program is killed. The operator then has to end them.
            let _ = writeln!(pipe, "{line}");
        }
    }
}

impl Drop for DemoGuard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // The shell then ends at once.
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    #[test]
    fn when_the_pipe_closes_the_processes_it_was_told_of_last_are_killed() {
        let (mut spared, mut killed) = (sleeper(), sleeper());
        let mut guard = DemoGuard::start().unwrap();
        guard.watch([spared.id(), killed.id()].into_iter());
        guard.watch([killed.id()].into_iter());
        // Close the pipe, as the kernel does for a killed process.
        drop(guard);
        assert_eq!(killed.wait().unwrap().signal(), Some(9));
        assert!(spared.try_wait().unwrap().is_none());
        spared.kill().unwrap();
        spared.wait().unwrap();
    }

    #[test]
    fn of_a_group_all_processes_are_killed() {
        let script = "sleep 600 & sleep 600";
        let mut leader = Command::new("sh");
        leader.args(["-c", script]).stdout(Stdio::piped());
        let mut leader = leader.process_group(0).spawn().unwrap();
        let mut guard = DemoGuard::start().unwrap();
        guard.watch_group(leader.id());
        drop(guard);
        assert_eq!(leader.wait().unwrap().signal(), Some(9));
        // Each process of the group holds the pipe open.
        let mut said = String::new();
        leader
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(said, "");
    }

    #[test]
    fn told_of_none_it_kills_none() {
        let mut spared = sleeper();
        let mut guard = DemoGuard::start().unwrap();
        guard.watch([spared.id()].into_iter());
        guard.watch(std::iter::empty());
        drop(guard);
        assert!(spared.try_wait().unwrap().is_none());
        spared.kill().unwrap();
        spared.wait().unwrap();
    }
}
