//! How much memory one node may use of another one.
//!
//! | module | subject |
//! |---|---|
//! | `shares` | the bytes that each sender may have here |
//! | `metered` | requests, read only as far as the sender's share allows |

pub(crate) mod metered;
pub(crate) mod shares;
