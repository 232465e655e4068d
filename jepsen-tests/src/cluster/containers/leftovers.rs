//! Lists what a project has left, and removes what killed tests left. Their containers would start again with
//! every start of the daemon.

use std::collections::BTreeSet;
use std::path::Path;

use super::docker::{COMMAND_TIMEOUT, docker};
use crate::Error;

/// How the names of the tests' projects begin. The id of the test's process and a dash follow.
pub(super) const PREFIX: &str = "rstmdb-test-";
/// Where compose writes the project.
const LABEL: &str = "com.docker.compose.project";

/// The kinds of things a project has, in the order in which they can be removed: how they are listed, and
/// how one is removed.
const KINDS: [(&[&str], &[&str]); 3] = [
    (&["ps", "-a", "-q"], &["rm", "--force"]),
    (&["volume", "ls", "-q"], &["volume", "rm", "--force"]),
    (&["network", "ls", "-q"], &["network", "rm"]),
];

/// Everything of a project, by id or name.
pub(super) fn of_project(project: &str) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for (list, _) in KINDS {
        found.extend(listed(list, project)?);
    }
    Ok(found)
}

/// Removes everything of tests whose process has ended.
pub(super) fn remove_of_dead_tests() -> Result<(), Error> {
    for project in projects()? {
        if owner(&project).is_some_and(|process| !is_alive(process)) {
            for (list, remove) in KINDS {
                for one in listed(list, &project)? {
                    docker(&[remove, &[one.as_str()]].concat(), COMMAND_TIMEOUT)?;
                }
            }
        }
    }
    Ok(())
}

fn listed(list: &[&str], project: &str) -> Result<Vec<String>, Error> {
    let filter = format!("label={LABEL}={project}");
    let args = [list, &["--filter", filter.as_str()]].concat();
    let printed = docker(&args, COMMAND_TIMEOUT)?;
    Ok(printed.lines().map(str::to_owned).collect())
}

/// Every project that has a container or a volume.
fn projects() -> Result<BTreeSet<String>, Error> {
    let filter = format!("label={LABEL}");
    let format = format!("{{{{.Label \"{LABEL}\"}}}}");
    let mut found = BTreeSet::new();
    for list in [&["ps", "-a"][..], &["volume", "ls"]] {
        let rest = ["--filter", filter.as_str(), "--format", format.as_str()];
        let printed = docker(&[list, &rest[..]].concat(), COMMAND_TIMEOUT)?;
        found.extend(printed.lines().map(str::to_owned));
    }
    Ok(found)
}

/// The process whose test made a project; `None` when no test did.
fn owner(project: &str) -> Option<u32> {
    let (process, _) = project.strip_prefix(PREFIX)?.split_once('-')?;
    process.parse().ok()
}

fn is_alive(process: u32) -> bool {
    // Without /proc this cannot tell whether a process has ended.
    !Path::new("/proc/self").exists() || Path::new(&format!("/proc/{process}")).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_projects_of_tests_have_an_owner() {
        assert_eq!(owner("rstmdb-test-123-0"), Some(123));
        for other in [
            "rstmdb",
            "rstmdb-test-x-0",
            "rstmdb-test-123",
            "my-rstmdb-test-1-0",
        ] {
            assert_eq!(owner(other), None, "{other}");
        }
    }

    #[test]
    fn this_process_is_alive() {
        assert!(is_alive(std::process::id()));
    }
}
