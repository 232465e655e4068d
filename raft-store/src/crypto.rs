//! Encryption at rest: the keys of a data folder, and the cipher of each file in it.
//!
//! AES-256-GCM (NIST SP 800-38D), which is broken by using one nonce twice with one key. Here that
//! cannot happen:
//!
//! - Each file has a key of its own: HKDF-SHA256 (RFC 5869) of the configured key with 256 random bits,
//!   drawn when the file is created and kept in its header. So no two files share nonces, whatever is
//!   in them.
//! - Within a file the nonce is the session (64 random bits, drawn whenever the file is opened for
//!   writing and stored with what was written) followed by the place of what is encrypted. A session
//!   writes a place once: it only goes forward, and writes nothing more after its first failed write.
//!   A later session that writes over a torn tail has other random bits.
//!
//! Encrypted data is authenticated together with its place in the file, so it cannot be moved unnoticed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::Error;

const KEY_BYTES: usize = 32;
const SALT_BYTES: usize = 32;
const CHECK_BYTES: usize = 16;
/// Length of a [`NonceSession`].
pub(crate) const SESSION_BYTES: usize = 8;

/// The random part of a file's nonces. A file gets a new one each time it is opened for writing.
pub(crate) type NonceSession = [u8; SESSION_BYTES];

/// How a file's key is made from a configured one; in the file's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTag {
    /// The configured key.
    pub key_id: u32,
    pub(crate) salt: [u8; SALT_BYTES],
    /// Derived from the key like the file's own key. It tells a wrong key from damage.
    pub(crate) check: [u8; CHECK_BYTES],
}

impl KeyTag {
    pub(crate) const BYTES: usize = 4 + SALT_BYTES + CHECK_BYTES;

    pub(crate) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.key_id.to_le_bytes());
        bytes[4..4 + SALT_BYTES].copy_from_slice(&self.salt);
        bytes[4 + SALT_BYTES..].copy_from_slice(&self.check);
        bytes
    }

    /// `None` where the bytes name no key: the file is not encrypted.
    pub(crate) fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk()?;
        let (salt, check) = rest.split_first_chunk()?;
        let tag = KeyTag {
            key_id: u32::from_le_bytes(*id),
            salt: *salt,
            check: check.try_into().ok()?,
        };
        (tag.key_id != 0).then_some(tag)
    }
}

#[derive(Clone, Default)]
struct CryptoKeys {
    known: BTreeMap<u32, [u8; KEY_BYTES]>,
    /// New files are encrypted with this one; 0 for not at all.
    current: u32,
}

/// The keys a data folder is encrypted with. Clones share them; the default has none, and new
/// files are then not encrypted.
#[derive(Clone, Default)]
pub struct Keyring(Arc<RwLock<CryptoKeys>>);

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.read();
        f.debug_struct("Keyring")
            .field("ids", &keys.known.keys())
            .field("current", &keys.current)
            .finish_non_exhaustive()
    }
}

impl CryptoKeys {
    fn must_be_in(&self, newer: &CryptoKeys) -> Result<(), Error> {
        for (id, secret) in &self.known {
            let what = match newer.known.get(id) {
                Some(now) if now == secret => continue,
                Some(_) => format!("key {id} has changed; give a new key a new id"),
                None => format!(
                    "key {id} is missing, and files may still need it; to remove a key, wait until no file is \
                     encrypted with it, then restart the node without it"
                ),
            };
            return Err(Error::Keys { what });
        }
        Ok(())
    }
}

impl Keyring {
    /// Reads keys from text: one to a line (or separated by commas), each its id (from 1) and 64
    /// hexadecimal digits. The last one encrypts new files. Empty lines and what follows `#` are
    /// skipped.
    ///
    /// # Errors
    /// [`Error::Keys`], which never repeats a key.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut keys = CryptoKeys::default();
        let lines = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or(""));
        let items = lines.flat_map(|line| line.split(',')).map(str::trim);
        for (n, item) in items.filter(|item| !item.is_empty()).enumerate() {
            let bad = |what: &str| Error::Keys {
                what: format!("entry {} of the list {what}", n + 1),
            };
            let (id, digits) = item
                .split_once(char::is_whitespace)
                .ok_or_else(|| bad("is not an id, a space and 64 hexadecimal digits"))?;
            let id = id.parse().ok().filter(|id| *id != 0);
            let id: u32 = id.ok_or_else(|| bad("has no id from 1 to 4294967295"))?;
            let secret = secret_of(digits.trim())
                .ok_or_else(|| bad("does not have exactly 64 hexadecimal digits"))?;
            if keys.known.insert(id, secret).is_some() {
                return Err(bad("has the same id as an earlier entry"));
            }
            keys.current = id;
        }
        match keys.current {
            0 => Err(Error::Keys {
                what: "the list has no key".into(),
            }),
            _ => Ok(Keyring(Arc::new(RwLock::new(keys)))),
        }
    }

    /// The ids of the keys it has, ascending.
    pub fn ids(&self) -> Vec<u32> {
        self.0.read().known.keys().copied().collect()
    }

    /// The id of the key that new files are encrypted with; `None` when they are not.
    pub fn current(&self) -> Option<u32> {
        Some(self.0.read().current).filter(|id| *id != 0)
    }

    /// The current key's fingerprint: 16 hexadecimal digits that do not reveal the key.
    /// `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Keys`], which cannot happen with the lengths used here.
    pub fn fingerprint(&self) -> Result<Option<String>, Error> {
        let keys = self.0.read();
        let Some(secret) = keys.known.get(&keys.current) else {
            return Ok(None);
        };
        // No file has this salt: theirs are random.
        let (_, check) = derive(secret, &[0; SALT_BYTES])?;
        Ok(Some(hex::encode(&check[..8])))
    }

    /// Whether the keys of `newer` can be learned. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Keys`] when a key that was known is not among them or is another one: files may need
    /// it, and the next start would be refused.
    pub fn can_learn(&self, newer: &Keyring) -> Result<(), Error> {
        let newer = newer.0.read().clone();
        self.0.read().must_be_in(&newer)
    }

    /// Learns the keys of `newer`, and uses its current one for new files if `switch`.
    ///
    /// # Errors
    /// Those of [`Self::can_learn`]. Nothing has changed then.
    pub fn learn(&self, newer: &Keyring, switch: bool) -> Result<(), Error> {
        let newer = newer.0.read().clone();
        let mut keys = self.0.write();
        keys.must_be_in(&newer)?;
        keys.known = newer.known;
        if switch {
            keys.current = newer.current;
        }
        Ok(())
    }

    /// What a new file is encrypted with.
    pub(crate) fn for_new_file(&self) -> Result<Option<(KeyTag, Arc<Cipher>)>, Error> {
        let keys = self.0.read();
        let Some(secret) = keys.known.get(&keys.current) else {
            return Ok(None);
        };
        let salt = random()?;
        let (cipher, check) = derive(secret, &salt)?;
        let tag = KeyTag {
            key_id: keys.current,
            salt,
            check,
        };
        Ok(Some((tag, Arc::new(cipher))))
    }

    /// What the file with this header is encrypted with.
    pub(crate) fn for_file(
        &self,
        tag: Option<&KeyTag>,
        path: &Path,
    ) -> Result<Option<Arc<Cipher>>, Error> {
        let Some(tag) = tag else {
            return Ok(None);
        };
        let keys = self.0.read();
        let Some(secret) = keys.known.get(&tag.key_id) else {
            return Err(Error::KeyMissing {
                file: path.to_owned(),
                key_id: tag.key_id,
                known: keys.known.keys().copied().collect(),
            });
        };
        let (cipher, check) = derive(secret, &tag.salt)?;
        if check != tag.check {
            return Err(Error::KeyWrong {
                file: path.to_owned(),
                key_id: tag.key_id,
            });
        }
        Ok(Some(Arc::new(cipher)))
    }
}

fn secret_of(digits: &str) -> Option<[u8; KEY_BYTES]> {
    let mut secret = [0; KEY_BYTES];
    hex::decode_to_slice(digits, &mut secret).ok()?;
    Some(secret)
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::Keys {
            what: "the operating system provides no random bytes".into(),
        })?;
    Ok(bytes)
}

struct CheckLength;

impl hkdf::KeyType for CheckLength {
    fn len(&self) -> usize {
        CHECK_BYTES
    }
}

fn derive(
    secret: &[u8; KEY_BYTES],
    salt: &[u8; SALT_BYTES],
) -> Result<(Cipher, [u8; CHECK_BYTES]), Error> {
    // ring fails here only for lengths that the algorithm does not have.
    let failed = |_| Error::Keys {
        what: "deriving the key of a file failed".into(),
    };
    let key = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let file_key = key
        .expand(&[b"rstmdb file"], &aead::AES_256_GCM)
        .map_err(failed)?;
    let mut check = [0; CHECK_BYTES];
    key.expand(&[b"rstmdb check"], CheckLength)
        .and_then(|okm| okm.fill(&mut check))
        .map_err(failed)?;
    Ok((Cipher(LessSafeKey::new(UnboundKey::from(file_key))), check))
}

/// The cipher of one file.
pub(crate) struct Cipher(LessSafeKey);

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher")
    }
}

impl PartialEq for Cipher {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Cipher {
    /// Encrypts `data` from `from` on in place, and appends what authenticates it. `place` must not
    /// have been used in this session before.
    pub(crate) fn seal(
        &self,
        (session, place): (NonceSession, u32),
        context: &[u8],
        data: &mut Vec<u8>,
        from: usize,
    ) -> Result<(), Error> {
        let sealed = self.0.seal_in_place_separate_tag(
            nonce(session, place),
            Aad::from(context),
            &mut data[from..],
        );
        // AES-GCM refuses only what is longer than 64 GiB.
        let tag = sealed.map_err(|_| Error::Keys {
            what: "the data is larger than the cipher can encrypt at once".into(),
        })?;
        data.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Decrypts what [`Cipher::seal`] made; `None` when the data is something else, or was encrypted for another
    /// place.
    pub(crate) fn open(
        &self,
        (session, place): (NonceSession, u32),
        context: &[u8],
        sealed: &[u8],
    ) -> Option<Vec<u8>> {
        let mut data = sealed.to_vec();
        let len = self
            .0
            .open_in_place(nonce(session, place), Aad::from(context), &mut data)
            .ok()?
            .len();
        data.truncate(len);
        Some(data)
    }
}

fn nonce(session: NonceSession, place: u32) -> Nonce {
    let mut bytes = [0; aead::NONCE_LEN];
    bytes[..SESSION_BYTES].copy_from_slice(&session);
    bytes[SESSION_BYTES..].copy_from_slice(&place.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
#[path = "crypto_tests.rs"]
mod tests;
