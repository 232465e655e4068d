//! The command line of rstmdb.
//!
//! Promises to scripts that call it:
//!
//! - Data goes to standard output, everything else to standard error.
//! - If output is piped or `--json` is given, a command prints the RCP result, byte for byte. `-o` asks for another form.
//!   Reports of the tools that work without a server are text unless a form for programs is asked for.
//! - The exit code is 0 when all was done; 1 when the server refused, the command found damage or differences, or it could
//!   not write a local file; 2 for wrong arguments, or an input file that is wrong or cannot be read; 3 without a connection; 4 for a timeout or an unknown outcome. 75: another
//!   owner holds the lock; 76: the lock is lost; `lock run` exits as its command does.
//! - A write is never sent twice unless its idempotency key makes that harmless.
//!
//! | module | subject |
//! |---|---|
//! | [`args`] | what can be typed |
//! | [`session`] | the connection, opened when first needed, and how results are printed |
//! | [`render`] | results as tables and drawings for people |
//! | [`input`] | arguments and files of JSON |
//! | [`commands`] | one file for each group of commands |
//! | [`demo`] | a cluster of child processes |
//! | [`load`] | running a file of operations, in order for each instance |
//! | [`audit`] | heads of the chain over the log, and proofs against them |
//! | [`backup`] | copying a snapshot and the log into a folder |
//! | [`mod@bench`] | measuring |
//! | [`repl`] | the interactive session |

pub mod args;
pub mod audit;
pub mod backup;
pub mod bench;
pub mod commands;
pub mod demo;
pub mod error;
pub mod input;
pub mod load;
pub mod render;
pub mod repl;
pub mod session;

pub use error::Error;
