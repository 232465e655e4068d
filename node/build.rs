//! Compiles the schema of what nodes say to each other, in pure Rust.

use std::env;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let schema = protox::compile(["peer.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(schema)?;
    compress_lines();
    Ok(())
}

/// A release keeps the lines of its debug information in the program itself (`split-debuginfo` in the root Cargo.toml).
/// Compressed they take a third of the room, and backtraces read them all the same.
fn compress_lines() {
    let is = |variable, value: &str| env::var(variable).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo::rustc-link-arg-bins=-Wl,--compress-debug-sections=zlib");
    }
}
