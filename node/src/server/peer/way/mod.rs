//! What is known of the way to a node.
//!
//! | module | subject |
//! |---|---|
//! | `path` | what has arrived there, what fell silent |
//! | `pace` | how many bytes may be in flight |
//! | `holes` | paths that drop large packets |

pub(crate) mod holes;
pub(crate) mod pace;
pub(crate) mod path;
