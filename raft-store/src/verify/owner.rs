//! Whose a file or folder at the top of a data folder is.

use std::path::Path;

use crate::folder::Layout;

/// Who has created a file or folder at the top of a data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A node: its log, its snapshots, its identity.
    Node,
    /// The file system, or any command that locks the folder.
    System,
    /// Another program.
    Other,
}

/// Who has created the file or folder of this name at the top of a data folder.
#[must_use]
pub fn owner_of(name: &str) -> Owner {
    if name == "lost+found" {
        return Owner::System;
    }
    let layout = Layout::of(Path::new(""));
    let path = Path::new(name);
    if path == layout.lock {
        return Owner::System;
    }
    match layout.has_data_at(path) {
        true => Owner::Node,
        false => Owner::Other,
    }
}
