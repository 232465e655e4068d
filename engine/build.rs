//! Compiles the Protobuf schemas of the log and of snapshots, in pure Rust.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let schemas = protox::compile(["fact.proto", "record.proto"], ["proto"])?;
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(schemas)?;
    Ok(())
}
