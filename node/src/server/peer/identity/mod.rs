//! Who speaks, and who belongs to the cluster.
//!
//! | module | subject |
//! |---|---|
//! | `gate` | judges who others say they are; says who this node is |
//! | `refusal` | why two nodes do not talk to each other |
//! | `protocol` | versions of the protocol |
//! | `members` | who belongs to the cluster, and at which address |

pub(crate) mod gate;
pub(crate) mod members;
pub(crate) mod protocol;
pub(crate) mod refusal;
