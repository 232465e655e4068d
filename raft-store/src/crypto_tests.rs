#![allow(clippy::unwrap_used)]

use super::*;

fn list(keys: &[(u32, u8)]) -> Keyring {
    let lines = keys
        .iter()
        .map(|(id, byte)| format!("{id} {}\n", format!("{byte:02x}").repeat(KEY_BYTES)));
    Keyring::parse(&lines.collect::<String>()).unwrap()
}

#[test]
fn the_last_key_of_a_list_is_the_current_one() {
    let ring = list(&[(7, 1), (3, 2)]);
    assert_eq!((ring.ids(), ring.current()), (vec![3, 7], Some(3)));
    let text = format!("# ours\n 1 {} , 2 {}\n\n", "ab".repeat(32), "CD".repeat(32));
    assert_eq!(Keyring::parse(&text).unwrap().ids(), [1, 2]);
    assert_eq!(Keyring::default().current(), None);
}

#[test]
fn a_bad_list_says_which_key_and_never_shows_one() {
    let secret = "5e".repeat(32);
    for text in [
        String::new(),
        "# nothing".into(),
        secret.clone(),
        format!("0 {secret}"),
        format!("x {secret}"),
        format!("1 {secret}5e"),
        format!("1 {}zz", &secret[2..]),
        format!("1 {secret}\n1 {secret}"),
    ] {
        let error = Keyring::parse(&text).unwrap_err().to_string();
        assert!(!error.contains("5e5e"), "{error}");
        assert!(error.contains("key") || error.contains("none"), "{error}");
    }
    assert!(!format!("{:?}", list(&[(1, 0x5e)])).contains("5e"));
}

#[test]
fn a_fingerprint_tells_keys_apart_and_is_the_same_everywhere() {
    let of = |keys: &[(u32, u8)]| list(keys).fingerprint().unwrap().unwrap();
    assert_eq!(of(&[(1, 7)]), of(&[(2, 9), (3, 7)]));
    assert_ne!(of(&[(1, 7)]), of(&[(1, 8)]));
    assert_eq!(Keyring::default().fingerprint().unwrap(), None);
}

#[test]
fn only_the_same_key_file_place_and_context_open_what_was_sealed() {
    let ring = list(&[(1, 1)]);
    let (tag, cipher) = ring.for_new_file().unwrap().unwrap();
    let mut data = b"..secret".to_vec();
    cipher.seal(([1; 8], 9), b"context", &mut data, 2).unwrap();
    assert_eq!(data[..2], *b"..");
    let sealed = &data[2..];
    let path = Path::new("file");
    let again = ring.for_file(Some(&tag), path).unwrap().unwrap();
    let open = |cipher: &Cipher, at, context: &[u8]| cipher.open(at, context, sealed);
    assert_eq!(open(&again, ([1; 8], 9), b"context").unwrap(), b"secret");
    assert!(open(&again, ([2; 8], 9), b"context").is_none());
    assert!(open(&again, ([1; 8], 8), b"context").is_none());
    assert!(open(&again, ([1; 8], 9), b"other").is_none());
    let (other_tag, other) = ring.for_new_file().unwrap().unwrap();
    assert_ne!(tag.salt, other_tag.salt);
    assert!(open(&other, ([1; 8], 9), b"context").is_none());
    for place in 0..sealed.len() {
        let mut flipped = sealed.to_vec();
        flipped[place] ^= 1;
        assert!(again.open(([1; 8], 9), b"context", &flipped).is_none());
    }
}

#[test]
fn a_missing_and_a_wrong_key_are_told_apart_and_named() {
    let (tag, _) = list(&[(4, 1)]).for_new_file().unwrap().unwrap();
    let path = Path::new("the file");
    let missing = list(&[(2, 1), (3, 1)]).for_file(Some(&tag), path);
    let text = missing.unwrap_err().to_string();
    assert!(text.contains("the file") && text.contains("key 4") && text.contains("2, 3"));
    let wrong = list(&[(4, 2)]).for_file(Some(&tag), path);
    assert!(matches!(wrong, Err(Error::KeyWrong { key_id: 4, .. })));
    assert_eq!(KeyTag::decode(&tag.encode()), Some(tag));
    assert_eq!(KeyTag::decode(&[0; KeyTag::BYTES]), None);
}

#[test]
fn learning_adds_keys_and_refuses_a_changed_or_a_lost_one() {
    let ring = list(&[(1, 1)]);
    ring.learn(&list(&[(1, 1), (2, 2)]), false).unwrap();
    assert_eq!((ring.ids(), ring.current()), (vec![1, 2], Some(1)));
    for wrong in [[(1, 1), (2, 9)].as_slice(), &[(2, 2), (3, 3)]] {
        assert!(ring.can_learn(&list(wrong)).is_err());
        assert!(ring.learn(&list(wrong), true).is_err());
        assert_eq!((ring.ids(), ring.current()), (vec![1, 2], Some(1)));
    }
    ring.learn(&list(&[(1, 1), (2, 2)]), true).unwrap();
    assert_eq!((ring.ids(), ring.current()), (vec![1, 2], Some(2)));
}
