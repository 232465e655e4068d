//! The commands of every page are run, and print what the page shows. The README's are run by `cli_tour`.
//!
//! [`page`] says what a page can ask for. Each page has a folder, a home, ports and a server of its own. The ports that
//! it names (7401 and those that follow, and 9090) become its own in its commands and files, and the reverse in what
//! they print.

mod page;
mod shell;

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::turns;
use page::{Page, Part};
use rstmdb_jepsen::Error;
use rstmdb_jepsen::consoles::{self, ConsoleStep};
use shell::Shell;

/// How long a page's commands that only read are repeated until they print what it shows, and how long its background
/// commands have for that.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// A watch or a worker that was started has begun after this time, so that it sees what happens next.
const BEGIN: Duration = Duration::from_millis(500);

/// Names a part of the path of the pages that are to be run, if not all are.
const ONLY_VARIABLE: &str = "RSTMDB_TEST_PAGE";

/// Commands that change nothing. A reader who looks too early looks again.
const READS: [&str; 10] = [
    "cat ",
    "rstmdb-cli cluster status",
    "rstmdb-cli get-instance",
    "rstmdb-cli history",
    "rstmdb-cli list-instances",
    "rstmdb-cli lock get",
    "rstmdb-cli lock list",
    "rstmdb-cli timers list",
    "rstmdb-cli wal-read",
    "tail ",
];

/// A background command, and what it should have printed at the end.
struct Job {
    step: ConsoleStep,
    file: PathBuf,
}

/// A page while it is run.
struct Run {
    name: String,
    shell: Shell,
    jobs: Vec<Job>,
    last_code: String,
    faults: Vec<String>,
}

impl Run {
    fn part(&mut self, part: &Part) -> Result<(), Error> {
        match part {
            Part::File { name, text } => self.shell.write(name, text),
            Part::Script { line, text } => {
                let script = self.shell.run(&format!("( set -e\n{text}\n)"))?;
                if script.code != "0" {
                    let said = script.text();
                    self.fault(*line, &format!("{text}ended with {}:\n{said}", script.code));
                }
                Ok(())
            }
            Part::Step(step) => match step.command.strip_suffix('&') {
                Some(command) => self.begin(command.trim(), step),
                None => self.step(step),
            },
        }
    }

    fn step(&mut self, step: &ConsoleStep) -> Result<(), Error> {
        if step.command == "echo $?" {
            let code = self.last_code.clone();
            self.compare(step, &[code]);
            return Ok(());
        }
        let command = match on_terminal(&step.command) {
            true => format!("on_terminal {}", step.command),
            false => step.command.clone(),
        };
        let reads = READS.iter().any(|read| step.command.starts_with(read));
        let begun = Instant::now();
        loop {
            let printed = self.shell.run(&command)?;
            let fits = fits(&step.output, &printed.lines);
            if fits || !reads || begun.elapsed() > PATIENCE {
                self.last_code = printed.code;
                self.compare(step, &printed.lines);
                return Ok(());
            }
            thread::sleep(AGAIN_AFTER);
        }
    }

    fn begin(&mut self, command: &str, step: &ConsoleStep) -> Result<(), Error> {
        let file = match on_terminal(command) {
            true => self.shell.begin(&format!("on_terminal {command}"))?,
            false => self.shell.begin(command)?,
        };
        let step = step.clone();
        self.jobs.push(Job { step, file });
        match command.starts_with("rstmdb ") || command.contains("cluster demo") {
            true => self.shell.until_served(),
            false => {
                thread::sleep(BEGIN);
                Ok(())
            }
        }
    }

    /// Waits until the background commands have printed what the page shows.
    fn finish(mut self) -> Vec<String> {
        for job in std::mem::take(&mut self.jobs) {
            let begun = Instant::now();
            let mut printed = self.shell.printed(&job.file);
            while !fits(&job.step.output, &printed) && begun.elapsed() < PATIENCE {
                thread::sleep(AGAIN_AFTER);
                printed = self.shell.printed(&job.file);
            }
            self.compare(&job.step, &printed);
        }
        self.faults
    }

    fn compare(&mut self, step: &ConsoleStep, printed: &[String]) {
        if !fits(&step.output, printed) {
            let (shown, printed) = (step.output.join("\n"), printed.join("\n"));
            let fault = format!("{}\nshown:\n{shown}\nprinted:\n{printed}", step.command);
            self.fault(step.line, &fault);
        }
    }

    fn fault(&mut self, line: usize, text: &str) {
        self.faults.push(format!("{}:{line}: {text}", self.name));
    }
}

/// Whether the command is one of `rstmdb-cli` alone, whose output goes to the reader's terminal.
fn on_terminal(command: &str) -> bool {
    let mut quote = None;
    command.starts_with("rstmdb-cli ")
        && command.chars().all(|c| {
            match (quote, c) {
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), c) if open == c => quote = None,
                (None, '|' | '<' | '>' | ';' | '&') => return false,
                _ => {}
            }
            true
        })
}

/// Whether a command has printed what the page shows. Columns are as wide as the longest port, so spaces count once.
fn fits(shown: &[String], printed: &[String]) -> bool {
    let narrow =
        |lines: &[String]| -> Vec<String> { lines.iter().map(|line| single(line)).collect() };
    let printed = narrow(printed);
    let mut printed: Vec<&str> = printed.iter().map(String::as_str).collect();
    // The last message of a stream ends with an empty line, which a page does not show.
    while printed.pop_if(|last| last.is_empty()).is_some() {}
    consoles::matches(&narrow(shown), &printed)
}

fn single(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let words: Vec<&str> = line.split_whitespace().collect();
    format!("{}{}", &line[..indent], words.join(" "))
}

fn run(repository: &Path, name: &str, page: &Page) -> Result<Vec<String>, Error> {
    let _turn = turns::light();
    let begun = Instant::now();
    let mut run = Run {
        name: name.to_owned(),
        shell: Shell::start(repository)?,
        jobs: Vec::new(),
        last_code: String::new(),
        faults: Vec::new(),
    };
    if let Some(options) = &page.server {
        run.shell.serve(options)?;
    }
    for part in &page.parts {
        run.part(part)?;
    }
    let faults = run.finish();
    println!("pages: {name}: {} ms", begun.elapsed().as_millis());
    Ok(faults)
}

/// The pages below a folder, sorted, with their paths in the repository.
fn pages(repository: &Path, folder: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(repository.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            pages(repository, &path, found);
        } else if path.ends_with(".md") {
            found.push(path);
        }
    }
    found.sort();
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A page that is to be run, or why not.
fn read(repository: &Path, name: &str) -> Result<Option<Page>, String> {
    let text = fs::read_to_string(repository.join(name)).unwrap();
    let page = Page::parse(&text).map_err(|fault| format!("{name}:{fault}"))?;
    for why in &page.not_run {
        println!("pages: {name}: a block is not run: {why}");
    }
    // `script` gives commands a terminal.
    let script = ["script".to_owned()];
    let mut needs = page.needs.iter().chain(&script);
    match needs.find(|program| !is_installed(program)) {
        _ if !page.is_run() => Ok(None),
        Some(program) => {
            rstmdb_jepsen::skipped(format!("{name} needs {program}"));
            Ok(None)
        }
        None => Ok(Some(page)),
    }
}

#[test]
fn every_page_prints_what_it_shows() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut names = vec![
        "clients/node/README.md".to_owned(),
        "clients/python/README.md".to_owned(),
    ];
    pages(repository, "docs", &mut names);
    let only = std::env::var(ONLY_VARIABLE).unwrap_or_default();
    let mut faults = Vec::new();
    let mut read_pages = Vec::new();
    for name in names.into_iter().filter(|name| name.contains(&only)) {
        match read(repository, &name) {
            Ok(None) => {}
            Ok(Some(page)) => read_pages.push((name, page)),
            Err(fault) => faults.push(fault),
        }
    }
    // A long page that begins late would prolong the test.
    read_pages.sort_by_key(|(_, page)| Reverse(page.parts.len()));
    println!("pages: {} are run", read_pages.len());
    let begin = |(name, page): (String, Page)| {
        thread::spawn(move || {
            let said = run(repository, &name, &page);
            said.unwrap_or_else(|error| vec![format!("{name}: {error}")])
        })
    };
    let running: Vec<_> = read_pages.into_iter().map(begin).collect();
    for page in running {
        faults.extend(page.join().unwrap());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
