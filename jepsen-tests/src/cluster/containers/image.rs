//! The image that the tests' containers run: the last stages of the repository's Dockerfile. It holds the programs that
//! the other tests run, not those that the first stages would build: compiling them again, in a container and with an
//! empty cache, takes as long as all tests together.
//!
//! `RSTMDB_TEST_IMAGE` names another image, or says `build`: the whole Dockerfile then, as a user builds it. That is
//! also what happens where the programs of this machine do not run on the image's Debian. No test touches an image of
//! the user: all have names of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::docker::{Base, COMMAND_TIMEOUT, Docker, docker, repository, run};
use crate::Error;
use crate::process::binaries;

/// Names an image that is there, or is [`BUILD`].
const VARIABLE: &str = "RSTMDB_TEST_IMAGE";
/// The value of [`VARIABLE`] that asks for the whole Dockerfile.
const BUILD: &str = "build";
/// The image with programs of this machine.
const READY: &str = "rstmdb-tests:ready";
/// The image of the whole Dockerfile.
const BUILT: &str = "rstmdb-tests:built";
/// What the images of tests are labelled with, so that their predecessors can be found and removed.
const LABEL: &str = "rstmdb.tests";

/// Copying two programs.
const COPY_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a build of everything may take on a small, busy machine.
pub(super) const BUILD_TIMEOUT: Duration = Duration::from_secs(1800);

/// Where the Dockerfile finds the trusted certificates, and where Debian has them.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How the image comes to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Image {
    /// It is there.
    There(String),
    /// Compose builds the whole Dockerfile, on the image with this name.
    ToBuild {
        /// With the Rust toolchain.
        base: String,
    },
}

impl Image {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::There(name) => name,
            Self::ToBuild { .. } => BUILT,
        }
    }
}

/// The image of this test process, which is made once.
pub(super) fn image(docker: &Docker) -> Result<Image, Error> {
    static IMAGE: OnceLock<Result<Image, String>> = OnceLock::new();
    let made = IMAGE.get_or_init(|| make(docker).map_err(|error| error.to_string()));
    made.clone().map_err(Error::Command)
}

fn make(docker: &Docker) -> Result<Image, Error> {
    match std::env::var(VARIABLE).as_deref() {
        Ok("") | Err(_) => {}
        Ok(BUILD) => return to_build(),
        Ok(name) => return Ok(Image::There(name.to_owned())),
    }
    make_ready(&docker.runtime)?;
    match super::docker::docker(&["run", "--rm", READY, "version"], COMMAND_TIMEOUT) {
        Ok(_) => Ok(Image::There(READY.to_owned())),
        Err(error) => {
            println!(
                "the whole Dockerfile is built, because the programs of this machine do not run on its image: {error}"
            );
            to_build()
        }
    }
}

fn to_build() -> Result<Image, Error> {
    let base = Base::Build.image().map_err(Error::Command)?;
    Ok(Image::ToBuild { base })
}

fn make_ready(runtime: &str) -> Result<(), Error> {
    let path = repository().join("Dockerfile");
    let text = fs::read_to_string(&path).map_err(Error::io(path.display().to_string()))?;
    let (stages, files) = last_stages(&text).map_err(Error::Command)?;
    let folder = tempfile::tempdir().map_err(Error::io("the folder of an image"))?;
    for file in files {
        put(&file, folder.path())?;
    }
    let dockerfile = folder.path().join("Dockerfile");
    fs::write(&dockerfile, stages).map_err(Error::io(dockerfile.display().to_string()))?;
    let mut build = Command::new("docker");
    build
        .args(["build", "--quiet", "--tag", READY, "--label", LABEL])
        .args(["--build-arg", &format!("RUNTIME_IMAGE={runtime}")])
        .arg(folder.path());
    run(&mut build, COPY_TIMEOUT)?;
    // Those that had the name before.
    let filter = format!("label={LABEL}");
    docker(
        &["image", "prune", "--force", "--filter", &filter],
        COMMAND_TIMEOUT,
    )
    .map(drop)
}

/// Puts what the stage `build` has at this path into the folder.
fn put(path: &str, folder: &Path) -> Result<(), Error> {
    let name = Path::new(path).file_name().unwrap_or_default();
    let (from, to) = (source(path)?, folder.join(name));
    let io = || Error::io(format!("{} to {}", from.display(), to.display()));
    if from == Path::new(CERTIFICATES) && !from.exists() {
        return fs::write(&to, "").map_err(io());
    }
    // Without debugging information a program has a tenth of its size. Not every machine has `strip`.
    let stripped = Command::new("strip").arg("-o").arg(&to).arg(&from).output();
    if stripped.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    fs::copy(&from, &to).map(drop).map_err(io())
}

fn source(path: &str) -> Result<PathBuf, Error> {
    match path {
        "/src/target/release/rstmdb" => binaries::server(),
        "/src/target/release/rstmdb-cli" => binaries::cli(),
        CERTIFICATES => Ok(path.into()),
        other => Err(Error::Command(format!(
            "the last stages of the Dockerfile copy {other} from the stage `build`, which the tests' image cannot have"
        ))),
    }
}

/// The Dockerfile's stages behind `build`, and the paths that they copy from it. They copy them from the build's folder
/// instead.
fn last_stages(dockerfile: &str) -> Result<(String, Vec<String>), String> {
    let from = dockerfile
        .find("\nFROM ${RUNTIME_IMAGE}")
        .ok_or("the Dockerfile has no stage on RUNTIME_IMAGE")?;
    let mut stages = "ARG RUNTIME_IMAGE\n".to_owned();
    let mut files = Vec::new();
    for line in dockerfile[from + 1..].lines() {
        match line.strip_prefix("COPY --from=build ") {
            None => stages.push_str(line),
            Some(copy) => {
                let mut words: Vec<&str> = copy.split_whitespace().collect();
                let to = words.pop().ok_or("a COPY without a destination")?;
                let names = words.iter().filter_map(|path| path.rsplit('/').next());
                let names: Vec<&str> = names.collect();
                stages.push_str(&format!("COPY {} {to}", names.join(" ")));
                files.extend(words.into_iter().map(str::to_owned));
            }
        }
        stages.push('\n');
    }
    Ok((stages, files))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stages_copy_what_is_beside_them() {
        let text = fs::read_to_string(repository().join("Dockerfile")).unwrap();
        let (stages, files) = last_stages(&text).unwrap();
        assert!(
            stages.starts_with("ARG RUNTIME_IMAGE\nFROM ${RUNTIME_IMAGE} AS system\n"),
            "{stages}"
        );
        assert!(
            stages.contains("\nCOPY rstmdb rstmdb-cli /usr/local/bin/\n"),
            "{stages}"
        );
        assert!(stages.ends_with("ENTRYPOINT [\"rstmdb\"]\n"), "{stages}");
        assert!(!stages.contains("--from=build"), "{stages}");
        assert_eq!(files.len(), 3, "{files:?}");
    }
}
