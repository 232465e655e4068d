//! Named connections in a file of the user, so that an address, a token and certificates need not be given each time.
//!
//! A profile is a whole: where one is used, the variables of a connection do not count. Otherwise the token of one cluster
//! could go to another. Options of the command line count before the profile.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rstmdb_definitions::nearest::did_you_mean;
use rstmdb_rcp::client::{ClientOptions, TlsOptions};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::args::Global;

/// One connection.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The servers.
    pub server: Vec<String>,
    /// The token to authenticate with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Whether to connect with TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
    /// The CA that signed the server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_cert: Option<PathBuf>,
    /// This client's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<PathBuf>,
    /// The certificate's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
    /// Whether to accept any certificate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// The name to expect in the server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// Without the token.
impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile")
            .field("server", &self.server)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl Profile {
    /// The connection that a session uses. A file keeps its name when the program runs in another folder.
    ///
    /// # Errors
    /// If the present folder is not known.
    pub fn of(options: &ClientOptions) -> Result<Profile, Error> {
        let absolute = |path: &Option<PathBuf>| {
            let path = path.as_ref().map(std::path::absolute).transpose();
            path.map_err(|error| Error::Usage(format!("cannot tell where a file is: {error}")))
        };
        let none = TlsOptions::default();
        let tls = options.tls.as_ref().unwrap_or(&none);
        Ok(Profile {
            server: options.addrs.clone(),
            token: options.token.clone(),
            tls: options.tls.is_some(),
            ca_cert: absolute(&tls.ca_cert)?,
            client_cert: absolute(&tls.client_cert)?,
            client_key: absolute(&tls.client_key)?,
            insecure: tls.insecure,
            server_name: tls.server_name.clone(),
        })
    }
}

/// The file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    /// The profile that is used if none is named, and no server either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// By name.
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

impl Profiles {
    /// Reads the file; no profiles if there is none.
    ///
    /// # Errors
    /// If the file is there and is wrong, or cannot be read.
    pub fn read(path: &Path) -> Result<Profiles, Error> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Profiles::default()),
            Err(error) => {
                let text = format!("cannot read the profiles in {}: {error}", path.display());
                return Err(Error::Usage(text));
            }
        };
        serde_json::from_str(&text).map_err(|error| {
            // The error of a wrong value would show it, and it may be a token.
            let (line, column) = (error.line(), error.column());
            Error::Usage(format!(
                "{} is no file of profiles: line {line}, column {column}",
                path.display()
            ))
        })
    }

    /// Writes the file. Only its owner can read it, because it holds tokens; and it is the old one or the new one, whatever
    /// happens.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).map_err(Error::unexpected)?;
        written(path, &text).map_err(|error| {
            let text = format!("cannot write the profiles in {}: {error}", path.display());
            Error::Failed(text)
        })
    }

    /// The profile of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(&self, name: &str) -> Result<&Profile, Error> {
        self.profiles.get(name).ok_or_else(|| {
            let known = self.profiles.keys().map(String::as_str);
            let meant = did_you_mean(name, known);
            Error::Usage(format!(
                "there is no profile {name:?}{meant}; `rstmdb-cli profile list` lists them"
            ))
        })
    }
}

fn written(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// In the configuration folder of the user, as the XDG base directories say.
///
/// # Errors
/// If there is no such folder.
pub fn file() -> Result<PathBuf, Error> {
    let folder = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")));
    let folder = folder.ok_or_else(|| {
        Error::Usage("profiles need a folder: neither HOME nor XDG_CONFIG_HOME is set".to_owned())
    })?;
    Ok(folder.join("rstmdb/profiles.json"))
}

/// A warning if others than its owner can read the file of profiles.
pub fn warning(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o077 != 0).then(|| {
        format!(
            "others can read {}, which may hold tokens: chmod 600 it",
            path.display()
        )
    })
}

/// Which profile counts.
#[derive(Debug, PartialEq, Eq)]
enum Wanted<'a> {
    /// None: the options and the variables alone say how to connect.
    None,
    /// This one.
    Named(&'a str),
    /// The current one, if there is one.
    Current,
}

fn wanted(global: &Global) -> Wanted<'_> {
    let given = &global.given;
    match global.profile.as_deref().filter(|name| !name.is_empty()) {
        Some(name) if given.is_typed("profile") => Wanted::Named(name),
        // A typed address may be that of another cluster, which must not get this one's token.
        _ if given.is_typed("server") => Wanted::None,
        Some(name) => Wanted::Named(name),
        None if given.is_variable("server") => Wanted::None,
        None => Wanted::Current,
    }
}

/// The options with those of the profile that counts, in a file that is read only if it may count.
///
/// # Errors
/// If the profile is not there, or the file cannot be read.
pub fn with_profile(
    global: Global,
    path: impl FnOnce() -> Result<PathBuf, Error>,
) -> Result<Global, Error> {
    let (name, profile) = match wanted(&global) {
        Wanted::None => return Ok(without(global)),
        Wanted::Named(name) => {
            let profile = Profiles::read(&path()?)?.named(name)?.clone();
            (name.to_owned(), profile)
        }
        Wanted::Current => {
            // Without a home there is no profile either.
            let Ok(path) = path() else {
                return Ok(without(global));
            };
            let profiles = Profiles::read(&path)?;
            let Some(name) = profiles.current.clone() else {
                return Ok(without(global));
            };
            let profile = profiles.named(&name)?.clone();
            (name, profile)
        }
    };
    Ok(merged(global, name, profile))
}

fn without(global: Global) -> Global {
    Global {
        profile: None,
        ..global
    }
}

/// What was typed, or else what the profile has.
fn first<T>(is_typed: bool, typed: T, kept: T) -> T {
    if is_typed { typed } else { kept }
}

fn merged(global: Global, name: String, profile: Profile) -> Global {
    let given = global.given.clone();
    let typed = |id: &str| given.is_typed(id);
    // A token in a variable belongs to the server in the variable, if there is one.
    let variable = global
        .token
        .clone()
        .filter(|_| given.is_variable("token") && !given.is_variable("server"));
    Global {
        profile: Some(name),
        server: first(typed("server"), global.server, profile.server),
        token: first(typed("token"), global.token, profile.token.or(variable)),
        tls: (global.tls && typed("tls")) || profile.tls,
        ca_cert: first(typed("ca_cert"), global.ca_cert, profile.ca_cert),
        client_cert: first(
            typed("client_cert"),
            global.client_cert,
            profile.client_cert,
        ),
        client_key: first(typed("client_key"), global.client_key, profile.client_key),
        insecure: global.insecure || profile.insecure,
        server_name: global.server_name.or(profile.server_name),
        ..global
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::args::Cli;

    fn profile() -> Profile {
        Profile {
            server: vec!["db1:7401".to_owned(), "db2:7401".to_owned()],
            token: Some("s3cret".to_owned()),
            tls: true,
            ca_cert: Some("/etc/ca.pem".into()),
            ..Profile::default()
        }
    }

    fn kept(current: Option<&str>) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/profiles.json");
        let profiles = Profiles {
            current: current.map(str::to_owned),
            profiles: BTreeMap::from([("prod".to_owned(), profile())]),
        };
        profiles.write(&path).unwrap();
        assert_eq!(Profiles::read(&path).unwrap(), profiles);
        (dir, path)
    }

    /// The options of a command line, and these of variables.
    fn options(words: &[&str], variables: &[(&'static str, &str)]) -> Global {
        let words = words.iter().chain(&["ping"]).map(|word| (*word).to_owned());
        let mut global = Cli::parse_words(words).unwrap().global;
        for (id, value) in variables {
            match *id {
                "server" => global.server = vec![(*value).to_owned()],
                "token" => global.token = Some((*value).to_owned()),
                _ => global.profile = Some((*value).to_owned()),
            }
            global.given.variables.push(*id);
        }
        global
    }

    #[test]
    fn only_its_owner_can_read_the_file_and_it_is_warned_of_otherwise() {
        let (_dir, path) = kept(None);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(warning(&path), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(warning(&path).unwrap().contains("chmod 600"));
    }

    #[test]
    fn a_profile_that_is_named_says_how_to_connect_and_options_count_before_it() {
        let (_dir, path) = kept(None);
        let with = |words: &[&str], variables: &[(&'static str, &str)]| {
            with_profile(options(words, variables), || Ok(path.clone())).unwrap()
        };
        let global = with(
            &["--profile", "prod"],
            &[("server", "x:1"), ("token", "other")],
        );
        assert_eq!(global.server, profile().server);
        assert_eq!(global.token, profile().token);
        assert!(global.tls);
        assert_eq!(global.profile.as_deref(), Some("prod"));
        let global = with(&["--profile", "prod", "-s", "y:1", "-t", "mine"], &[]);
        assert_eq!(global.server, ["y:1"]);
        assert_eq!(global.token.as_deref(), Some("mine"));
        let global = with(&[], &[("profile", "prod")]);
        assert_eq!(global.server, profile().server);
    }

    #[test]
    fn a_token_never_goes_to_a_server_of_which_the_profile_says_nothing() {
        let (_dir, path) = kept(Some("prod"));
        let with = |words: &[&str], variables: &[(&'static str, &str)]| {
            with_profile(options(words, variables), || Ok(path.clone())).unwrap()
        };
        assert_eq!(with(&[], &[]).token, profile().token);
        for global in [
            with(&["-s", "y:1"], &[]),
            with(&[], &[("server", "y:1")]),
            with(&["-s", "y:1"], &[("profile", "prod")]),
        ] {
            assert_eq!(global.server, ["y:1"]);
            assert_eq!(
                (global.token, global.tls, global.profile),
                (None, false, None)
            );
        }
    }

    #[test]
    fn the_token_of_a_profile_without_one_may_be_in_a_variable() {
        let profile = Profile {
            token: None,
            ..profile()
        };
        let token = |variables: &[(&'static str, &str)]| {
            let global = options(&[], variables);
            merged(global, "prod".to_owned(), profile.clone()).token
        };
        assert_eq!(token(&[("token", "t")]).as_deref(), Some("t"));
        assert_eq!(token(&[("token", "t"), ("server", "x:1")]), None);
    }

    #[test]
    fn a_wrong_name_and_a_wrong_file_are_said_without_a_token() {
        let (_dir, path) = kept(None);
        let error = with_profile(options(&["--profile", "prd"], &[]), || Ok(path.clone()));
        let error = error.unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(
            error.to_string().contains("did you mean \"prod\"?"),
            "{error}"
        );
        fs::write(
            &path,
            "{\"profiles\":{\"a\":{\"server\":[],\"token\":[\"s3cret\"]}}}",
        )
        .unwrap();
        let error = Profiles::read(&path).unwrap_err().to_string();
        assert!(
            error.contains("line 1") && !error.contains("s3cret"),
            "{error}"
        );
        assert!(!format!("{:?}", profile()).contains("s3cret"));
    }
}
