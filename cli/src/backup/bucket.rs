//! A backup in a bucket. It has the same files as one in a folder, and the manifest is written last there too.
//!
//! The files are made in a temporary folder and sent one by one, so that the disk has to hold only the newest. The
//! manifest is replaced only if it still is the one that was read. So of two backups into one place at the same time,
//! one ends with an error, and the backup stays whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use bytes::Bytes;
use rstmdb_backup::manifest::FILE_NAME;
use rstmdb_backup::{FileInfo, Manifest, folder, writer};
use rstmdb_objects::{Bucket, BucketLocation, ObjectVersion};
use sha2::{Digest, Sha256};

use crate::{Error, args};

/// A manifest has a few hundred bytes for each file.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// The backup in the bucket.
pub(super) struct Remote {
    bucket: Bucket,
    /// The manifest that was read or written last.
    version: Option<ObjectVersion>,
    /// The files that are there, and their lengths.
    there: BTreeMap<String, u64>,
}

impl Remote {
    /// Lists the files in the bucket. It puts the manifest into the working folder `dir`, with the last file of the
    /// log, which the next backup reads and may replace.
    pub(super) async fn open(
        location: &BucketLocation,
        options: &args::BucketArgs,
        dir: &Path,
    ) -> Result<Self, Error> {
        let bucket = Bucket::open(location, &options.options()).map_err(usage)?;
        let objects = bucket.list().await.map_err(failed)?;
        let there = objects.into_iter().map(|found| (found.name, found.bytes));
        let mut remote = Self {
            bucket,
            version: None,
            there: there.collect(),
        };
        if remote.there.contains_key(FILE_NAME) {
            let read = remote.bucket.get(FILE_NAME, MANIFEST_BYTES_MAX).await;
            let (text, version) = read.map_err(failed)?;
            write(&dir.join(FILE_NAME), &text)?;
            remote.version = Some(version);
        } else if let Some(name) = remote.there.keys().next() {
            let message = format!(
                "{location} holds {name}, but no {FILE_NAME}: it is no backup, or a damaged one; use another prefix"
            );
            return Err(Error::Usage(message));
        }
        let Some(manifest) = remote.manifest(dir)? else {
            return Ok(remote);
        };
        remote.check_lengths(&manifest)?;
        if let Some(last) = last_log(&manifest) {
            remote.fetch(dir, last).await?;
        }
        Ok(remote)
    }

    /// Where it is.
    pub(super) fn location(&self) -> &BucketLocation {
        self.bucket.location()
    }

    /// The manifest in the working folder.
    pub(super) fn manifest(&self, dir: &Path) -> Result<Option<Manifest>, Error> {
        Manifest::read(dir).map_err(super::from_backup)
    }

    /// Fetches every file, for a check.
    pub(super) async fn fetch_all(&self, dir: &Path, manifest: &Manifest) -> Result<(), Error> {
        for info in manifest.files() {
            self.fetch(dir, info).await?;
        }
        Ok(())
    }

    /// Sends what the bucket lacks, then the manifest; then removes what the manifest no longer names, there and in
    /// the working folder.
    pub(super) async fn push(&mut self, dir: &Path, manifest: &Manifest) -> Result<(), Error> {
        for info in manifest.files() {
            if !self.there.contains_key(&info.file) {
                self.send(dir, info).await?;
                self.there.insert(info.file.clone(), info.bytes);
            }
        }
        let path = dir.join(FILE_NAME);
        let text = std::fs::read(&path).map_err(|error| broken("read", &path, &error))?;
        let replaced = self
            .bucket
            .replace(FILE_NAME, text.into(), self.version.as_ref());
        self.version = Some(replaced.await.map_err(|error| match error {
            rstmdb_objects::Error::Changed { .. } => Error::Failed(format!(
                "another backup is being written to {}",
                self.bucket.location()
            )),
            error => failed(error),
        })?);
        let named = |name: &str| manifest.files().any(|info| info.file == name);
        let old: Vec<String> = self.there.keys().cloned().collect();
        for name in old {
            if folder::is_data(&name) && !named(&name) {
                self.bucket.delete(&name).await.map_err(failed)?;
                self.there.remove(&name);
            }
        }
        let last = last_log(manifest).map(|info| &info.file);
        for info in manifest.files().filter(|info| Some(&info.file) != last) {
            let path = dir.join(&info.file);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.map_err(|error| broken("remove", &path, &error))?,
            }
        }
        Ok(())
    }

    /// Sends a file, and reads it back.
    async fn send(&self, dir: &Path, info: &FileInfo) -> Result<(), Error> {
        let path = dir.join(&info.file);
        let mut file = File::open(&path).map_err(|error| broken("open", &path, &error))?;
        let next = |bytes_max| {
            let mut piece = Vec::new();
            (&mut file).take(bytes_max as u64).read_to_end(&mut piece)?;
            Ok(Bytes::from(piece))
        };
        let sent = self.bucket.put_parts(&info.file, next).await;
        sent.map_err(failed)?;
        self.read(info, |_| Ok(())).await
    }

    async fn fetch(&self, dir: &Path, info: &FileInfo) -> Result<(), Error> {
        let path = dir.join(&info.file);
        let file = writer::create_own(&path);
        let mut file = file.map_err(|error| broken("create", &path, &error))?;
        self.read(info, |piece| file.write_all(piece)).await
    }

    /// Reads an object, and checks that it is the file of the manifest.
    async fn read(
        &self,
        info: &FileInfo,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        let mut hasher = Sha256::new();
        let pieces = self.bucket.get_pieces(&info.file, info.bytes, |piece| {
            hasher.update(&piece);
            take(&piece)
        });
        pieces.await.map_err(failed)?;
        match hex::encode(hasher.finalize()) == info.sha256 {
            true => Ok(()),
            false => Err(Error::Failed(format!(
                "{}/{} is damaged: its checksum does not match",
                self.bucket.location(),
                info.file
            ))),
        }
    }

    fn check_lengths(&self, manifest: &Manifest) -> Result<(), Error> {
        for info in manifest.files() {
            let what = match self.there.get(&info.file) {
                Some(bytes) if *bytes == info.bytes => continue,
                Some(bytes) => format!("it has {bytes} bytes, but {} were written", info.bytes),
                None => "it is missing".to_owned(),
            };
            let (location, name) = (self.bucket.location(), &info.file);
            return Err(Error::Failed(format!(
                "{location}/{name} is damaged: {what}"
            )));
        }
        Ok(())
    }
}

fn last_log(manifest: &Manifest) -> Option<&FileInfo> {
    let log = manifest.runs.last()?.log.last()?;
    Some(&log.info)
}

fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let written = writer::create_own(path).and_then(|mut file| file.write_all(content));
    written.map_err(|error| broken("write", path, &error))
}

fn usage(error: rstmdb_objects::Error) -> Error {
    Error::Usage(error.to_string())
}

fn failed(error: rstmdb_objects::Error) -> Error {
    Error::Failed(error.to_string())
}

fn broken(operation: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::Failed(format!("cannot {operation} {}: {error}", path.display()))
}
