//! HTTP: the interface for programs that do not speak RCP, and the admin port.
//!
//! A request stands for one operation of RCP. It becomes the request that a client of RCP would send, and a session of
//! this process does the rest.
//!
//! ```text
//! TCP, TLS ─▶ listener ─▶ hyper ─▶ exchange ─▶ asked ─▶ link ══ session ─▶ the replica
//!                                     ▲                  │
//!                                     └──── answered ◀───┘
//! ```
//!
//! | module | subject | uses |
//! |---|---|---|
//! | `listener` | accepts connections, within the limits of all clients | `exchange`, `held` |
//! | `exchange` | one request and its answer | all below |
//! | `answered` | from a session's answer to a response: headers, lists by line, live events | `asked`, `held`, `link`, `problem` |
//! | `asked` | from a request to an operation and its parameters | `operations`, `problem` |
//! | `browser` | what pages of other sites can make a browser send | `problem` |
//! | `documents` | documents of the server itself: the console, the OpenAPI document | `operations`, `problem` |
//! | `link` | a session of RCP without a socket | |
//! | `held` | answers that a client has not read | |
//! | `problem` | errors, and the status of each code | |
//! | `operations` | the table of operations: where each is found, what it takes and answers | |
//! | `admin` | the port for metrics and health | |
//! | `fuzzing` | for tests: any bytes as a request | `asked` |

pub(crate) mod admin;
mod answered;
mod asked;
mod browser;
mod documents;
mod exchange;
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
mod held;
mod link;
pub(crate) mod listener;
mod operations;
mod problem;
