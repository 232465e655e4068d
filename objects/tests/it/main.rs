//! A bucket of a server that speaks S3, with its faults.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::path::Path;
use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use rstmdb_objects::double::{ACCESS_KEY, BUCKET, BucketFault, Double, SECRET_KEY};
use rstmdb_objects::{Bucket, BucketLocation, BucketOptions, Error};

fn keys(dir: &Path, access: &str, secret: &str) -> BucketOptions {
    let (access_file, secret_file) = (dir.join("access"), dir.join("secret"));
    std::fs::write(&access_file, format!("{access}\n")).unwrap();
    std::fs::write(&secret_file, secret).unwrap();
    BucketOptions {
        allow_http: true,
        access_key_file: Some(access_file),
        secret_key_file: Some(secret_file),
        ..BucketOptions::default()
    }
}

fn location(prefix: &str) -> BucketLocation {
    BucketLocation {
        bucket: BUCKET.to_owned(),
        prefix: prefix.to_owned(),
    }
}

fn open(double: &Double, prefix: &str) -> Bucket {
    let dir = tempfile::tempdir().unwrap();
    let options = BucketOptions {
        endpoint: Some(double.endpoint.clone()),
        ..keys(dir.path(), ACCESS_KEY, SECRET_KEY)
    };
    Bucket::open(&location(prefix), &options).unwrap()
}

#[tokio::test]
async fn what_was_written_is_listed_and_read_and_can_be_removed() {
    let double = Double::start().await.unwrap();
    let bucket = open(&double, "a/b=c");
    for n in 0..5u8 {
        let content = Bytes::from(vec![n; 1_000]);
        bucket.put(&format!("object-{n}"), content).await.unwrap();
    }
    bucket
        .below("deeper")
        .put("other", Bytes::new())
        .await
        .unwrap();
    double.set("a/b=cd/object-9", Some(Bytes::new()));
    let names = bucket.list().await.unwrap();
    let names: Vec<_> = names
        .into_iter()
        .map(|found| (found.name, found.bytes))
        .collect();
    let expected: Vec<_> = (0..5).map(|n| (format!("object-{n}"), 1_000)).collect();
    assert_eq!(names, expected);
    let (content, _) = bucket.get("object-3", 1_000).await.unwrap();
    assert_eq!(content, vec![3; 1_000]);
    let refused = bucket.get("object-3", 999).await.unwrap_err();
    assert!(matches!(
        refused,
        Error::TooLarge {
            bytes: 1_000,
            bytes_max: 999,
            ..
        }
    ));
    bucket.delete("object-3").await.unwrap();
    bucket.delete("object-3").await.unwrap();
    let refused = bucket.get("object-3", 1_000).await.unwrap_err();
    assert!(matches!(refused, Error::NotFound { name } if name == "object-3"));
}

#[tokio::test]
async fn a_large_object_goes_in_parts_and_is_the_same_behind_them() {
    let double = Double::start().await.unwrap();
    let bucket = open(&double, "");
    let content: Vec<u8> = (0..40u32 << 20).map(|n| (n % 251) as u8).collect();
    let content = Bytes::from(content);
    bucket.put("large", content.clone()).await.unwrap();
    let requests = double.requests();
    let parts = requests
        .iter()
        .filter(|request| request.contains("partNumber="));
    assert_eq!(parts.count(), 3);
    assert_eq!(double.objects()["large"], content);
    let (back, _) = bucket.get("large", u64::MAX).await.unwrap();
    assert_eq!(back, content);
}

#[tokio::test]
async fn of_two_writers_that_read_the_same_version_the_second_is_refused() {
    let double = Double::start().await.unwrap();
    let (one, other) = (open(&double, "x"), open(&double, "x"));
    let first = one.replace("manifest", "1".into(), None).await.unwrap();
    let refused = other
        .replace("manifest", "2".into(), None)
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Changed { .. }), "{refused}");
    let (_, read) = other.get("manifest", 10).await.unwrap();
    one.replace("manifest", "3".into(), Some(&first))
        .await
        .unwrap();
    let refused = other
        .replace("manifest", "4".into(), Some(&read))
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Changed { .. }), "{refused}");
    assert_eq!(double.objects()["x/manifest"], "3");
}

#[tokio::test]
async fn a_server_that_fails_for_a_moment_is_asked_again_and_one_that_goes_on_failing_is_an_error()
{
    let double = Double::start().await.unwrap();
    let bucket = open(&double, "");
    double.fail_next(Method::PUT, BucketFault::Status(503));
    bucket.put("object", "content".into()).await.unwrap();
    double.fail_next(Method::GET, BucketFault::Status(500));
    assert_eq!(bucket.get("object", 100).await.unwrap().0, "content");
    double.fail_always(Some((Method::GET, BucketFault::Status(500))));
    let error = bucket.get("object", 100).await.unwrap_err().to_string();
    assert!(error.contains("500"), "{error}");
    double.fail_always(Some((Method::GET, BucketFault::Status(403))));
    let error = bucket.get("object", 100).await.unwrap_err().to_string();
    assert!(
        error.contains("403") || error.contains("privileges"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_never_shown_as_the_whole() {
    let double = Double::start().await.unwrap();
    let bucket = open(&double, "");
    let content = Bytes::from(vec![7; 100_000]);
    bucket.put("object", content.clone()).await.unwrap();
    double.fail_always(Some((Method::GET, BucketFault::CutOff)));
    for _ in 0..3 {
        // A reader may continue where the answer was cut off.
        match bucket.get("object", 200_000).await {
            Ok((whole, _)) => assert_eq!(whole, content),
            Err(Error::Bucket(_) | Error::CutOff { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn wrong_keys_a_wrong_bucket_and_a_server_that_is_not_there_are_told_apart() {
    let double = Double::start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let told = async |bucket: &str, endpoint: &str, access: &str, secret: &str| {
        let options = BucketOptions {
            endpoint: Some(endpoint.to_owned()),
            ..keys(dir.path(), access, secret)
        };
        let place = BucketLocation {
            bucket: bucket.to_owned(),
            prefix: String::new(),
        };
        let bucket = Bucket::open(&place, &options).unwrap();
        bucket.list().await.unwrap_err().to_string()
    };
    let endpoint = double.endpoint.as_str();
    let error = told(BUCKET, endpoint, ACCESS_KEY, "wrong").await;
    assert!(error.contains("SignatureDoesNotMatch"), "{error}");
    let error = told(BUCKET, endpoint, "WRONG", SECRET_KEY).await;
    assert!(error.contains("InvalidAccessKeyId"), "{error}");
    let error = told("other", endpoint, ACCESS_KEY, SECRET_KEY).await;
    assert!(error.contains("NoSuchBucket"), "{error}");
    let error = told(BUCKET, "http://127.0.0.1:1", ACCESS_KEY, SECRET_KEY).await;
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn options_that_cannot_work_are_refused_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |options: BucketOptions| {
        let error = Bucket::open(&location(""), &options).unwrap_err();
        assert!(matches!(error, Error::Options(_)), "{error}");
        error.to_string()
    };
    let options = keys(dir.path(), ACCESS_KEY, SECRET_KEY);
    let endpoint = |endpoint: &str, allow_http| BucketOptions {
        endpoint: Some(endpoint.to_owned()),
        allow_http,
        ..options.clone()
    };
    assert!(refused(endpoint("http://host", false)).contains("not encrypted"));
    assert!(refused(endpoint("ftp://host", true)).contains("not a URL"));
    assert!(refused(endpoint("host:9000", true)).contains("not a URL"));
    let one_key = BucketOptions {
        secret_key_file: None,
        ..options.clone()
    };
    assert!(refused(one_key).contains("belong together"));
    std::fs::write(dir.path().join("secret"), "two\nlines").unwrap();
    let error = refused(options.clone());
    assert!(
        error.contains("one key on one line") && !error.contains("lines"),
        "{error}"
    );
    let no_ca = BucketOptions {
        ca_path: Some(dir.path().join("secret")),
        ..options
    };
    assert!(refused(no_ca).contains("no certificate"));
}

#[tokio::test]
async fn a_slow_answer_can_be_given_up() {
    let double = Double::start().await.unwrap();
    let bucket = open(&double, "");
    double.fail_always(Some((
        Method::GET,
        BucketFault::Slow(Duration::from_secs(60)),
    )));
    let answer = tokio::time::timeout(Duration::from_millis(200), bucket.list());
    assert!(answer.await.is_err());
}
