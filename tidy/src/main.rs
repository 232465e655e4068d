//! Shows what the rules are about.

use std::io::{self, Write};
use std::process::ExitCode;

use rstmdb_tidy::{modules, tree};

const USAGE: &str = "usage: rstmdb-tidy modules [CRATE]

Prints the modules of each folder, which needs which, and those that need each other in a circle.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let printed = match arguments[..] {
        ["modules"] => print_modules(""),
        ["modules", name] => print_modules(&format!("{name}/")),
        _ => Err(USAGE.to_owned()),
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(io::stderr(), "{problem}");
            ExitCode::FAILURE
        }
    }
}

fn print_modules(prefix: &str) -> Result<(), String> {
    let folders = modules::folders(&tree::root()).map_err(|error| error.to_string())?;
    let mut out = io::stdout().lock();
    for folder in folders
        .iter()
        .filter(|folder| folder.name.starts_with(prefix))
    {
        writeln!(out, "{folder}").map_err(|error| error.to_string())?;
    }
    Ok(())
}
