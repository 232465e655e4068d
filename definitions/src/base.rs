//! What several modules use.
//!
//! | module | subject |
//! |---|---|
//! | `cel` | writing expressions of format 2 |
//! | `json` | building and printing JSON trees |
//! | `problem` | what is wrong at which place |
//! | `xml` | text inside XML |

pub(crate) mod cel;
pub(crate) mod json;
pub(crate) mod problem;
pub(crate) mod xml;
