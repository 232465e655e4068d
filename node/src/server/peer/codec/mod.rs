//! Between the types of this program and the messages of `proto/peer.proto`.
//!
//! Encoding cannot fail. Decoding refuses a message that lacks a part or holds an impossible value, and names the
//! field. It ignores unknown fields, so that a newer node can say more.
//!
//! | module | messages |
//! |---|---|
//! | `append_cut` | appends, cut into messages of the size that the link carries |
//! | `raft` | votes, appends, entries, snapshots |
//! | `membership` | who belongs to the cluster |
//! | `forwarded` | requests to the leader |
//! | `outcome` | their outcomes |
//! | `change`, `report` | changes of the membership, how a node stands |

pub(super) mod append_cut;
mod change;
mod forwarded;
mod membership;
mod outcome;
mod raft;
mod report;

pub(super) use forwarded::received;
pub(super) use outcome::{decode_result, encode_result, not_understood};
pub(super) use raft::entries;

use super::PORTION_BYTES;

/// A message that cannot be understood; names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The field is required and not there, or of a kind that this version does not know.
    #[error("{0} is missing or of a kind that this version does not know")]
    Missing(&'static str),
    /// The field holds an impossible value.
    #[error("{field} is not valid: {reason}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// Why, for people.
        reason: String,
    },
}

impl From<DecodeError> for tonic::Status {
    fn from(error: DecodeError) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

fn required<T>(field: &'static str, value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::Missing(field))
}

fn invalid(field: &'static str, reason: impl Into<String>) -> DecodeError {
    DecodeError::Invalid {
        field,
        reason: reason.into(),
    }
}

/// Cuts a run of messages into portions of a size that suits the transport, in order; it never cuts one message.
pub(super) fn cut<M: prost::Message>(messages: impl Iterator<Item = M>) -> Vec<Vec<M>> {
    let mut portions = Vec::new();
    let (mut portion, mut bytes) = (Vec::new(), 0);
    for message in messages {
        let size = message.encoded_len();
        if bytes + size > PORTION_BYTES && !portion.is_empty() {
            portions.push(std::mem::take(&mut portion));
            bytes = 0;
        }
        bytes += size;
        portion.push(message);
    }
    if !portion.is_empty() {
        portions.push(portion);
    }
    portions
}

/// 16 bytes, big endian.
pub(super) fn id_bytes(id: u128) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&id.to_be_bytes())
}

/// The reverse of [`id_bytes`].
pub(super) fn id_from(field: &'static str, bytes: &[u8]) -> Result<u128, DecodeError> {
    let bytes = <[u8; 16]>::try_from(bytes);
    let bytes = bytes.map_err(|_| invalid(field, "it must be 16 bytes long"))?;
    Ok(u128::from_be_bytes(bytes))
}
