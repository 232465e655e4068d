//! Builds the two binaries, and the client library's examples, once per test process and says where they are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rstmdb::planted;

use crate::Error;

/// Names a folder with ready binaries; nothing is built then.
const BIN_DIR_VARIABLE: &str = "RSTMDB_BIN_DIR";

/// The examples of the client library that use a server. The others measure.
pub const EXAMPLES: [&str; 5] = [
    "locked_worker",
    "order_life",
    "retrying_worker",
    "sql_projection",
    "watch_resume",
];

/// The server can have a planted bug if a test asks for one.
const FEATURES: &[&str] = if cfg!(feature = "planted-bugs") {
    &["--features", "rstmdb/planted-bugs"]
} else {
    &[]
};

/// The server.
///
/// # Errors
/// When it cannot be built or is not where it should be.
pub fn server() -> Result<PathBuf, Error> {
    find("rstmdb")
}

/// The command line.
///
/// # Errors
/// When it cannot be built or is not where it should be.
pub fn cli() -> Result<PathBuf, Error> {
    find("rstmdb-cli")
}

/// An example of the client library. `.ci/run` builds [`EXAMPLES`] with the tests.
///
/// # Errors
/// When it cannot be built or is not where it should be.
pub fn example(name: &str) -> Result<PathBuf, Error> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let folder = dir()?.join("examples");
    let built = BUILT.get_or_init(|| match given_dir() {
        Some(_) => Ok(()),
        None => BuildFolder::of_this_test()?.build_examples(),
    });
    built.clone().map_err(Error::Binaries)?;
    at(folder.join(name))
}

/// The folder that holds both binaries.
///
/// # Errors
/// When they cannot be built.
pub fn dir() -> Result<&'static Path, Error> {
    static DIR: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match DIR.get_or_init(prepare) {
        Ok(dir) => Ok(dir),
        Err(reason) => Err(Error::Binaries(reason.clone())),
    }
}

fn find(name: &str) -> Result<PathBuf, Error> {
    at(dir()?.join(name))
}

fn at(path: PathBuf) -> Result<PathBuf, Error> {
    if path.is_file() {
        Ok(path)
    } else {
        Err(Error::Binaries(format!(
            "{} does not exist (it is built unless {BIN_DIR_VARIABLE} names a folder)",
            path.display()
        )))
    }
}

fn prepare() -> Result<PathBuf, String> {
    if std::env::var_os(planted::VARIABLE).is_some() && FEATURES.is_empty() {
        return Err(format!(
            "{} is set, and only a build with the feature `planted-bugs` can have one",
            planted::VARIABLE
        ));
    }
    if let Some(dir) = given_dir() {
        return Ok(dir);
    }
    let place = BuildFolder::of_this_test()?;
    place.build()?;
    Ok(place.profile_dir)
}

fn given_dir() -> Option<PathBuf> {
    let dir = std::env::var_os(BIN_DIR_VARIABLE)?;
    (!dir.is_empty()).then(|| dir.into())
}

/// Where cargo puts what it builds for the running test.
struct BuildFolder {
    profile_dir: PathBuf,
    target_dir: PathBuf,
    profile: String,
}

impl BuildFolder {
    /// A test is `TARGET/PROFILE/deps/name-hash`. An example is in a folder of its own, too. A program is in
    /// its profile's folder.
    fn of_this_test() -> Result<Self, String> {
        let exe = std::env::current_exe().map_err(|error| error.to_string())?;
        let unexpected = || format!("{} is not where cargo puts tests", exe.display());
        let folder = exe.parent().ok_or_else(unexpected)?;
        let is_below = folder.ends_with("deps") || folder.ends_with("examples");
        let profile_dir = if is_below {
            folder.parent()
        } else {
            Some(folder)
        };
        let profile_dir = profile_dir.ok_or_else(unexpected)?;
        let target_dir = profile_dir.parent().ok_or_else(unexpected)?;
        let name = profile_dir.file_name().and_then(|name| name.to_str());
        let profile = match name.ok_or_else(unexpected)? {
            // The folder of profile `dev` has another name.
            "debug" => "dev",
            other => other,
        };
        Ok(Self {
            profile: profile.to_owned(),
            profile_dir: profile_dir.to_owned(),
            target_dir: target_dir.to_owned(),
        })
    }

    fn build(&self) -> Result<(), String> {
        let programs = ["-p", "rstmdb", "-p", "rstmdb-cli"];
        self.cargo_build(&[&programs[..], FEATURES].concat())
    }

    fn build_examples(&self) -> Result<(), String> {
        let package = ["-p", "rstmdb-rcp", "--features", "client"];
        let examples = EXAMPLES.map(|name| ["--example", name]);
        self.cargo_build(&[&package[..], examples.as_flattened()].concat())
    }

    fn cargo_build(&self, what: &[&str]) -> Result<(), String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--quiet"])
            .args(what)
            .args(["--profile", &self.profile])
            .arg("--target-dir")
            .arg(&self.target_dir)
            .output()
            .map_err(|error| format!("cargo cannot be run: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
