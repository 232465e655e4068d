//! Where objects are: a bucket or a folder, as users write it.

use std::fmt;
use std::path::PathBuf;

/// Where objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket.
    Bucket(BucketLocation),
}

/// A bucket, and the part of it that is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketLocation {
    /// Its name.
    pub bucket: String,
    /// What the names of all objects begin with, without a slash at either end; empty for the whole bucket.
    pub prefix: String,
}

impl Location {
    /// Reads `s3://bucket/prefix`, `file:///folder` or a path.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("{text:?} {why}; expected s3://BUCKET/PREFIX, file:///FOLDER or a folder")
        };
        if let Some(rest) = text.strip_prefix("s3://") {
            return bucket(rest).map(Self::Bucket).map_err(|why| wrong(&why));
        }
        if let Some(path) = text.strip_prefix("file://") {
            return match path.starts_with('/') && !path.contains(['?', '#', '%']) {
                true => Ok(Self::Folder(path.into())),
                false => Err(wrong("is not an absolute path without ?, # and %")),
            };
        }
        match text {
            "" => Err(wrong("is empty")),
            text if text.contains("://") => Err(wrong("has a scheme that is not known")),
            text => Ok(Self::Folder(text.into())),
        }
    }

    /// Whether users mean a bucket by this text, be it well written or not.
    #[must_use]
    pub fn is_bucket(text: &str) -> bool {
        text.starts_with("s3://")
    }
}

fn bucket(rest: &str) -> Result<BucketLocation, String> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if bucket.is_empty() || bucket.len() > 63 || !bucket.chars().all(is_plain) {
        return Err(
            "does not name a bucket with 1 to 63 letters, digits, '-', '.' and '_'".to_owned(),
        );
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    let fits = prefix.is_empty() || prefix.split('/').all(is_part);
    let is_text =
        prefix.len() <= 512 && prefix.chars().all(|c| is_plain(c) || c == '/' || c == '=');
    if !fits || !is_text {
        return Err(
            "has a prefix of more than 512 letters, digits, '-', '.', '_', '=' and '/', or with an empty part"
                .to_owned(),
        );
    }
    Ok(BucketLocation {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    })
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

impl fmt::Display for BucketLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix.is_empty() {
            true => write!(f, "s3://{}", self.bucket),
            false => write!(f, "s3://{}/{}", self.bucket, self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_location_is_a_bucket_or_a_folder_and_anything_else_is_refused_with_what_is_allowed() {
        let bucket = |bucket: &str, prefix: &str| {
            Location::Bucket(BucketLocation {
                bucket: bucket.to_owned(),
                prefix: prefix.to_owned(),
            })
        };
        for (text, location) in [
            ("s3://history", bucket("history", "")),
            ("s3://history/", bucket("history", "")),
            ("s3://my.bucket-1/a/b=c/", bucket("my.bucket-1", "a/b=c")),
            (
                "file:///var/history",
                Location::Folder("/var/history".into()),
            ),
            ("/var/history", Location::Folder("/var/history".into())),
            ("../history", Location::Folder("../history".into())),
        ] {
            assert_eq!(Location::parse(text), Ok(location), "{text}");
        }
        for text in [
            "",
            "s3://",
            "s3:///prefix",
            "s3://a b",
            "s3://bucket//x",
            "s3://bucket/../x",
            "s3://bucket/a b",
            "file://host/x",
            "file://x",
            "file:///a%20b",
            "gs://bucket",
            "https://bucket.s3.amazonaws.com",
        ] {
            let refused = Location::parse(text).unwrap_err();
            assert!(refused.contains("expected s3://BUCKET/PREFIX"), "{refused}");
            assert!(refused.contains(&format!("{text:?}")), "{refused}");
        }
    }
}
