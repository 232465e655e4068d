//! The `rstmdb` program: the server and its subcommands. See `rstmdb::server`.

use std::process::ExitCode;

use clap::Parser;
use rstmdb::server::{args::Args, commands};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    commands::execute(&Args::parse())
}
