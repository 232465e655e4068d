//! Checks that folders do not lie in each other, and that folders and files are for their owner alone.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Config;
use super::error::Error;

/// What a node itself removes from its data folder: in retention, recovery, `rejoin`.
const OWN_FOLDERS: [&str; 5] = ["wal", "snapshots", "history", "catalog", "archived"];

/// Refuses paths that would make the node remove its own files, or those of an operator.
pub(super) fn check(config: &Config) -> Result<(), Error> {
    let data = resolved(&config.storage.data_dir);
    let folders = [
        (
            "compaction.archive_dir",
            config.compaction.archive_dir.as_deref(),
        ),
        ("archive.url", config.archive.folder()),
    ];
    for (key, archive) in folders {
        let Some(archive) = archive else { continue };
        let archived = resolved(archive);
        let overlap = if archived == data {
            Some("is the same folder as")
        } else if archived.starts_with(&data) {
            Some("lies in")
        } else {
            data.starts_with(&archived).then_some("contains")
        };
        if let Some(overlap) = overlap {
            return Err(Error::Conflict {
                key,
                reason: format!(
                    "{} {overlap} storage.data_dir {}: choose a folder that is neither inside it nor above it",
                    archive.display(),
                    config.storage.data_dir.display()
                ),
            });
        }
    }
    for (key, path) in files(config) {
        let file = resolved(path);
        let eaten = OWN_FOLDERS
            .iter()
            .find(|name| file.starts_with(data.join(name)));
        if let Some(folder) = eaten {
            return Err(Error::Conflict {
                key,
                reason: format!(
                    "{} lies in the folder {folder} of storage.data_dir, where the node removes files by itself: \
                     move it to another folder",
                    path.display()
                ),
            });
        }
    }
    Ok(())
}

/// Warnings about files with secrets that other users can read.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let secret = files(config).filter(|(key, _)| !PUBLIC.contains(key));
    let files = secret.map(|(key, path)| (key, path, "chmod 600"));
    let data: &Path = &config.storage.data_dir;
    let folder = std::iter::once(("storage.data_dir", data, "chmod 700"));
    folder
        .chain(files)
        .filter(|(_, path, _)| is_open_to_others(path))
        .map(|(key, path, cure)| {
            format!(
                "{key} {} can be read by others than its owner: {cure}",
                path.display()
            )
        })
        .collect()
}

fn is_open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
}

/// Keys of files that every user may read.
const PUBLIC: [&str; 5] = [
    "archive.s3.ca_path",
    "tls.cert_path",
    "tls.client_ca_path",
    "cluster.tls.cert_path",
    "cluster.tls.ca_path",
];

/// The files that the configuration names, by their keys.
fn files(config: &Config) -> impl Iterator<Item = (&'static str, &Path)> {
    let bucket = &config.archive.bucket;
    let named = [
        (
            "storage.encryption_key_file",
            &config.storage.encryption_key_file,
        ),
        ("auth.secrets_file", &config.auth.secrets_file),
        ("auth.tokens_file", &config.auth.tokens_file),
        ("audit.file", &config.audit.file),
        ("cluster.secret_file", &config.cluster.secret_file),
        ("tls.cert_path", &config.tls.cert_path),
        ("tls.key_path", &config.tls.key_path),
        ("tls.client_ca_path", &config.tls.client_ca_path),
        ("cluster.tls.cert_path", &config.cluster.tls_cert_path),
        ("cluster.tls.key_path", &config.cluster.tls_key_path),
        ("cluster.tls.ca_path", &config.cluster.tls_ca_path),
        ("archive.s3.ca_path", &bucket.ca_path),
        ("archive.s3.access_key_file", &bucket.access_key_file),
        ("archive.s3.secret_key_file", &bucket.secret_key_file),
    ];
    named
        .into_iter()
        .filter_map(|(key, path)| Some((key, path.as_deref()?)))
}

/// The path without links and dots, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for there in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (there.canonicalize(), path.strip_prefix(there)) {
            return real.join(rest);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::{self, Permissions};

    use super::*;

    fn config(data: &Path) -> Config {
        let mut config = Config::default();
        config.storage.data_dir = data.to_owned();
        config
    }

    #[test]
    fn an_archive_and_the_data_do_not_lie_in_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&data, &link).unwrap();
        let mut config = config(&data);
        for (archive, fits) in [
            (dir.path().join("archive"), true),
            (dir.path().join("data2"), true),
            (data.clone(), false),
            (data.join("wal"), false),
            (data.join("archive/deep"), false),
            (link.join("archive"), false),
            (dir.path().join("other/../data/archive"), true),
            (dir.path().to_owned(), false),
        ] {
            config.compaction.archive_dir = Some(archive.clone());
            assert_eq!(check(&config).is_ok(), fits, "{}", archive.display());
        }
    }

    #[test]
    fn no_file_lies_where_the_node_removes_files() {
        let mut config = config(Path::new("/srv/data"));
        for (key, fits) in [
            ("/srv/data/keys", true),
            ("/srv/data/wal/keys", false),
            ("/srv/data/snapshots/a/keys", false),
            ("/srv/data/walnut", true),
        ] {
            config.storage.encryption_key_file = Some(key.into());
            assert_eq!(check(&config).is_ok(), fits, "{key}");
        }
    }

    #[test]
    fn what_others_can_read_is_warned_of() {
        let dir = tempfile::tempdir().unwrap();
        let [data, keys, cert] = ["data", "keys", "cert"].map(|name| dir.path().join(name));
        fs::create_dir(&data).unwrap();
        for file in [&keys, &cert] {
            fs::write(file, "").unwrap();
            fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }
        let mut config = config(&data);
        config.tls.key_path = Some(keys.clone());
        config.tls.cert_path = Some(cert);
        fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
        let warned = warnings(&config);
        assert_eq!(warned.len(), 2, "{warned:?}");
        assert!(warned[0].starts_with("storage.data_dir") && warned[0].ends_with("chmod 700"));
        assert!(warned[1].starts_with("tls.key_path") && warned[1].ends_with("chmod 600"));
        fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(&keys, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(warnings(&config), [""; 0]);
    }
}
