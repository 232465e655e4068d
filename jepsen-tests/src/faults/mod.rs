//! Means to make disks, clocks, system calls and networks fail, for all suites.
//!
//! | module | subject |
//! |---|---|
//! | [`disk`] | a disk whose power can be cut |
//! | [`small_disk`] | a disk that can be filled |
//! | [`faketime`] | clocks that are wrong |
//! | [`strace`] | system calls that fail |
//! | [`partition`] | shapes of partitions |

pub mod disk;
pub mod faketime;
pub mod partition;
pub mod small_disk;
pub mod strace;
