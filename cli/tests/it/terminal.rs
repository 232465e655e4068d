//! The program on a terminal: a real pty, and what a user would see on its screen.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Command, Pty};
use rustix::termios::{Termios, tcgetattr};

/// How long a test waits for what it expects on the screen.
const PATIENCE: Duration = Duration::from_secs(20);
/// Interval between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Keys that are no letters.
pub mod keys {
    pub const ENTER: &str = "\r";
    pub const TAB: &str = "\t";
    pub const UP: &str = "\u{1b}[A";
    pub const CTRL_C: &str = "\u{3}";
    pub const CTRL_D: &str = "\u{4}";
}

/// A program that runs on a terminal.
pub struct Terminal {
    pty: Arc<Pty>,
    child: Child,
    screen: Arc<Mutex<vt100::Parser>>,
    before: Termios,
}

impl Terminal {
    /// Starts the program with these arguments, to talk to `server`; its history is in `home`. Standard error goes to
    /// `errors` if there is one, else to the terminal.
    pub fn start(
        server: &str,
        args: &[&str],
        home: &Path,
        (rows, columns): (u16, u16),
        errors: Option<File>,
    ) -> Terminal {
        let (pty, pts) = pty_process::blocking::open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let before = tcgetattr(&pty).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rstmdb-cli"))
            .args(args)
            .env("RSTMDB_SERVER", server)
            .env("XDG_CONFIG_HOME", "/nonexistent")
            .env("XDG_STATE_HOME", home)
            .env("TERM", "xterm")
            .env("NO_COLOR", "1");
        if let Some(errors) = errors {
            command = command.stderr(Stdio::from(errors));
        }
        let child = command.spawn(pts).unwrap();
        let pty = Arc::new(pty);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let (source, shown) = (pty.clone(), screen.clone());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The end of the program is an error here.
            while let Ok(count @ 1..) = (&*source).read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..count]);
            }
        });
        Terminal {
            pty,
            child,
            screen,
            before,
        }
    }

    /// Types.
    pub fn keys(&self, text: &str) {
        (&*self.pty).write_all(text.as_bytes()).unwrap();
    }

    /// The lines of the screen that are not empty.
    pub fn lines(&self) -> Vec<String> {
        let text = self.screen.lock().unwrap().screen().contents();
        let lines = text.lines().map(str::trim_end);
        lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    pub fn wait(&self, what: &str, holds: impl Fn(&[String]) -> bool) {
        let begun = Instant::now();
        while !holds(&self.lines()) {
            assert!(
                begun.elapsed() < PATIENCE,
                "the screen has no {what}:\n{}",
                self.lines().join("\n")
            );
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until a line holds this text.
    #[track_caller]
    pub fn sees(&self, text: &str) {
        self.wait(text, |lines| lines.iter().any(|line| line.contains(text)));
    }

    /// Waits until the last line, where a line is typed, ends with this text.
    #[track_caller]
    pub fn last(&self, text: &str) {
        let what = format!("last line {text:?}");
        self.wait(&what, |lines| {
            lines
                .last()
                .is_some_and(|line| line.ends_with(text.trim_end()))
        });
    }

    /// Gives the terminal another size, as a user who drags the corner of the window.
    pub fn resize(&self, rows: u16, columns: u16) {
        self.screen
            .lock()
            .unwrap()
            .screen_mut()
            .set_size(rows, columns);
        self.pty.resize(Size::new(rows, columns)).unwrap();
    }

    /// Waits for the end of the program, which must leave the terminal as it was.
    #[track_caller]
    pub fn ended(mut self) -> ExitStatus {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "the program has not ended:\n{}",
                self.lines().join("\n")
            );
            thread::sleep(LOOK_EVERY);
        };
        let after = tcgetattr(&*self.pty).unwrap();
        assert_eq!(after.local_modes, self.before.local_modes);
        assert_eq!(after.input_modes, self.before.input_modes);
        assert_eq!(after.output_modes, self.before.output_modes);
        let screen = self.screen.lock().unwrap();
        assert!(!screen.screen().hide_cursor(), "the cursor stays hidden");
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // After a failed assertion only: else it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
