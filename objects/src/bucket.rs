//! Reading and writing the objects of a bucket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig,
    UpdateVersion,
};

use crate::connector::Connector;
use crate::{BucketLocation, Error, read_key_file};

/// Objects above this size are sent in parts of it: S3 wants parts of at least 5 MiB.
const PART_BYTES: usize = 16 << 20;
/// Within one call a request is repeated this often, and not after this time. Callers repeat calls.
const RETRIES_MAX: usize = 3;
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

/// How a bucket is reached.
#[derive(Debug, Clone, Default)]
pub struct BucketOptions {
    /// The server's URL; none for Amazon's.
    pub endpoint: Option<String>,
    /// The region; none for `us-east-1`, which most other servers take too.
    pub region: Option<String>,
    /// Whether the endpoint may be reached without TLS.
    pub allow_http: bool,
    /// The certificates to trust, instead of the system's.
    pub ca_path: Option<PathBuf>,
    /// A file with the access key, and one with the secret key. Without them credentials come from the environment, as
    /// for Amazon's own tools: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, a web identity, or the machine's role.
    pub access_key_file: Option<PathBuf>,
    /// See [`BucketOptions::access_key_file`].
    pub secret_key_file: Option<PathBuf>,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketObject {
    /// Its name below the location.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// A version of an object, for [`Bucket::replace`].
#[derive(Debug, Clone)]
pub struct ObjectVersion(UpdateVersion);

/// The part of a bucket below a location.
#[derive(Debug, Clone)]
pub struct Bucket {
    location: BucketLocation,
    store: Arc<AmazonS3>,
}

impl Bucket {
    /// Sends nothing to the server yet.
    ///
    /// # Errors
    /// When the options contradict each other, or a file that they name cannot be read.
    pub fn open(location: &BucketLocation, options: &BucketOptions) -> Result<Self, Error> {
        // Keys from files must not be mixed with a session of the environment.
        let builder = match options.access_key_file {
            Some(_) => AmazonS3Builder::new(),
            None => AmazonS3Builder::from_env(),
        };
        Self::with(builder, location, options)
    }

    fn with(
        builder: AmazonS3Builder,
        location: &BucketLocation,
        options: &BucketOptions,
    ) -> Result<Self, Error> {
        let mut builder = builder
            .with_http_connector(Connector::new(options.ca_path.as_deref())?)
            .with_bucket_name(&location.bucket)
            .with_virtual_hosted_style_request(false)
            .with_allow_http(options.allow_http)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    max_backoff: Duration::from_secs(2),
                    ..BackoffConfig::default()
                },
                max_retries: RETRIES_MAX,
                retry_timeout: RETRY_TIMEOUT,
            });
        if let Some(endpoint) = &options.endpoint {
            check_endpoint(endpoint, options.allow_http)?;
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        if let Some(region) = &options.region {
            builder = builder.with_region(region);
        }
        match (&options.access_key_file, &options.secret_key_file) {
            (Some(access), Some(secret)) => {
                builder = builder
                    .with_access_key_id(read_key_file(access)?)
                    .with_secret_access_key(read_key_file(secret)?);
            }
            (None, None) => {}
            _ => {
                let message = "the files of the access key and of the secret key belong together: name both or none";
                return Err(Error::Options(message.to_owned()));
            }
        }
        let store = builder
            .build()
            .map_err(|error| Error::Options(error.to_string()))?;
        Ok(Self {
            location: location.clone(),
            store: Arc::new(store),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn location(&self) -> &BucketLocation {
        &self.location
    }

    /// The same bucket, with one more part before the names.
    #[must_use]
    pub fn below(&self, part: &str) -> Self {
        let prefix = match self.location.prefix.as_str() {
            "" => part.to_owned(),
            prefix => format!("{prefix}/{part}"),
        };
        Self {
            location: BucketLocation {
                bucket: self.location.bucket.clone(),
                prefix,
            },
            store: self.store.clone(),
        }
    }

    /// All objects directly below the location, by name.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn list(&self) -> Result<Vec<BucketObject>, Error> {
        let prefix = Path::from(self.location.prefix.as_str());
        let mut found = Vec::new();
        let mut objects = self.store.list(Some(&prefix));
        while let Some(object) = objects.try_next().await.map_err(failed)? {
            let Some(mut rest) = object.location.prefix_match(&prefix) else {
                continue;
            };
            if let (Some(name), None) = (rest.next(), rest.next()) {
                found.push(BucketObject {
                    name: name.as_ref().to_owned(),
                    bytes: object.size,
                });
            }
        }
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// Reads an object.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooLarge`], [`Error::CutOff`], [`Error::Bucket`].
    pub async fn get(&self, name: &str, bytes_max: u64) -> Result<(Bytes, ObjectVersion), Error> {
        let mut content = BytesMut::new();
        let take = |piece: Bytes| {
            content.extend_from_slice(&piece);
            Ok(())
        };
        let version = self.get_pieces(name, bytes_max, take).await?;
        Ok((content.freeze(), version))
    }

    /// Reads an object piece by piece.
    ///
    /// # Errors
    /// Those of [`Bucket::get`], and those of `take`.
    pub async fn get_pieces(
        &self,
        name: &str,
        bytes_max: u64,
        mut take: impl FnMut(Bytes) -> std::io::Result<()>,
    ) -> Result<ObjectVersion, Error> {
        let found = self.store.get(&self.path(name)).await;
        let found = found.map_err(|error| of_object(name, error))?;
        let (bytes, name) = (found.meta.size, name.to_owned());
        if bytes > bytes_max {
            return Err(Error::TooLarge {
                name,
                bytes,
                bytes_max,
            });
        }
        let version = ObjectVersion(UpdateVersion {
            e_tag: found.meta.e_tag.clone(),
            version: found.meta.version.clone(),
        });
        let (mut got, mut pieces) = (0, found.into_stream());
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(failed)?;
            got += piece.len() as u64;
            if got > bytes {
                return Err(Error::TooLarge {
                    name,
                    bytes: got,
                    bytes_max: bytes,
                });
            }
            take(piece)?;
        }
        match got == bytes {
            true => Ok(version),
            false => Err(Error::CutOff { name, bytes, got }),
        }
    }

    /// Writes an object whole. One of this name is replaced.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn put(&self, name: &str, content: Bytes) -> Result<(), Error> {
        let mut left = content;
        self.put_parts(name, move |bytes_max| {
            Ok(left.split_to(bytes_max.min(left.len())))
        })
        .await
    }

    /// Writes an object whole, from pieces: `next` gives one of at most as many bytes as it is told, and an empty one
    /// after the last. One of this name is replaced.
    ///
    /// # Errors
    /// [`Error::Bucket`], and those of `next`.
    pub async fn put_parts(
        &self,
        name: &str,
        mut next: impl FnMut(usize) -> std::io::Result<Bytes>,
    ) -> Result<(), Error> {
        let path = self.path(name);
        let mut part = full_part(&mut next)?;
        if part.len() < PART_BYTES {
            let put = self.store.put(&path, PutPayload::from(part)).await;
            return put.map(drop).map_err(|error| of_object(name, error));
        }
        let mut upload = self.store.put_multipart(&path).await.map_err(failed)?;
        let sent = async {
            while !part.is_empty() {
                upload.put_part(part.into()).await.map_err(failed)?;
                part = full_part(&mut next)?;
            }
            upload.complete().await.map(drop).map_err(failed)
        };
        let sent = sent.await;
        if sent.is_err() {
            // Parts that stay cost their owner money; a rule of the bucket removes them in any case.
            let _ = upload.abort().await;
        }
        sent
    }

    /// Writes an object if it is still the version that was read, or if there still is none.
    ///
    /// # Errors
    /// [`Error::Changed`], [`Error::Bucket`].
    pub async fn replace(
        &self,
        name: &str,
        content: Bytes,
        read: Option<&ObjectVersion>,
    ) -> Result<ObjectVersion, Error> {
        let mode = match read {
            Some(version) => PutMode::Update(version.0.clone()),
            None => PutMode::Create,
        };
        let options = PutOptions {
            mode,
            ..PutOptions::default()
        };
        let path = self.path(name);
        let put = self.store.put_opts(&path, content.into(), options).await;
        let put = put.map_err(|error| of_object(name, error))?;
        Ok(ObjectVersion(UpdateVersion {
            e_tag: put.e_tag,
            version: put.version,
        }))
    }

    /// Removes an object; that there is none is fine.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        match self.store.delete(&self.path(name)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            done => done.map_err(failed),
        }
    }

    fn path(&self, name: &str) -> Path {
        let prefix = self
            .location
            .prefix
            .split('/')
            .filter(|part| !part.is_empty());
        Path::from_iter(prefix.chain([name]))
    }
}

/// The next part, which is shorter only at the end.
fn full_part(next: &mut impl FnMut(usize) -> std::io::Result<Bytes>) -> std::io::Result<Bytes> {
    let mut part = next(PART_BYTES)?;
    if part.is_empty() || part.len() == PART_BYTES {
        return Ok(part);
    }
    let mut whole = BytesMut::with_capacity(PART_BYTES);
    while !part.is_empty() {
        whole.extend_from_slice(&part);
        if whole.len() == PART_BYTES {
            break;
        }
        part = next(PART_BYTES - whole.len())?;
    }
    Ok(whole.freeze())
}

fn check_endpoint(endpoint: &str, allow_http: bool) -> Result<(), Error> {
    let wrong = |why: &str| Err(Error::Options(format!("the endpoint {endpoint:?} {why}")));
    match endpoint.split_once("://") {
        Some((_, "")) => wrong("names no server: expected https://HOST or https://HOST:PORT"),
        Some(("https", _)) => Ok(()),
        Some(("http", _)) if allow_http => Ok(()),
        Some(("http", _)) => wrong(
            "is not encrypted: anyone on the network path can read and change the data. Use https://, or allow it \
             (allow_http)",
        ),
        _ => wrong("is not a URL: expected https://HOST or https://HOST:PORT"),
    }
}

fn of_object(name: &str, error: object_store::Error) -> Error {
    let name = name.to_owned();
    match error {
        object_store::Error::NotFound { .. } => Error::NotFound { name },
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            Error::Changed { name }
        }
        error => failed(error),
    }
}

fn failed(error: object_store::Error) -> Error {
    // The causes name the host, the status and the code of S3.
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(reason) = cause {
        let reason_text = reason.to_string();
        if !text.contains(&reason_text) {
            text = format!("{text}: {reason_text}");
        }
        cause = reason.source();
    }
    Error::Bucket(text)
}
