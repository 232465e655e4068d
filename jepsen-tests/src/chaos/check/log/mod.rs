//! What must hold of the log besides the clients' instances.
//!
//! | module | subject |
//! |---|---|
//! | [`times`] | its time |
//! | [`levels`] | the feature level |
//! | [`said`] | what clients said about their writes |
//! | [`automation`] | automation paused and resumed |
//! | [`timers`] | timers that were armed, moved, fired and spent |
//! | [`locks`] | locks, and writes under them |

pub(super) mod automation;
pub mod levels;
pub(super) mod locks;
pub(super) mod said;
pub(super) mod timers;
pub(super) mod times;
