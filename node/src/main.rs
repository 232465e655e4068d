//! The `rstmdb` program: the server and its subcommands. See `rstmdb::server::program`.

use std::process::ExitCode;

use clap::Parser;
use rstmdb::server::program::{args::Args, commands};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => commands::execute(&args),
        Err(said) => commands::explain(&said),
    }
}
