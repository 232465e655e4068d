//! Joining the history files that a start finds to the log it has recovered.

use crate::error::{Error, IoContext};
use crate::folder::Layout;
use crate::fs::{FileSystem, TEMPORARY_SUFFIX};
use crate::log::shared::SharedLog;
use crate::segment::history_file::{index_of, join, list};

/// Adds the history files to the table of a recovered log, and removes those that do not join
/// it: a gap in the log has cut them off, and the node can fetch them again. Their content is not read, so a
/// damaged history file does not keep the node from starting.
pub(crate) fn attach<F: FileSystem>(shared: &SharedLog<F>) -> Result<(), Error> {
    let (fs, layout) = (&shared.fs, &shared.layout);
    remove_temporaries(fs, layout)?;
    let log_first = shared.earliest();
    let (joined, useless) = join(list(fs, layout)?, log_first);
    for (first, last) in joined {
        let index = index_of(fs, layout, &shared.options.keys, (first, last))?;
        shared.table.write().push_history(index, false, None);
    }
    for (first, last) in useless {
        let path = layout.history_file(first, last);
        tracing::warn!(file = %path.display(), log_first, "removing history that does not join the log");
        fs.remove(&path).during("remove", &path)?;
    }
    // A name seen now may still be in the cache only.
    fs.sync_dir(&layout.history).during("sync", &layout.history)
}

fn remove_temporaries<F: FileSystem>(fs: &F, layout: &Layout) -> Result<(), Error> {
    let dir = &layout.history;
    for name in fs.list(dir).during("list", dir)? {
        if name.ends_with(TEMPORARY_SUFFIX) {
            let path = dir.join(name);
            fs.remove(&path).during("remove", &path)?;
        }
    }
    Ok(())
}
