//! ROTATE_KEY: an extension, for connections that agreed on the feature `cluster`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::message::fields::Fields;
use crate::message::{ParamFault, Params};

/// Parameters of ROTATE_KEY: the node reads its key file again. It concerns the answering node alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RotateKey {
    /// Encrypt new files with the last key of the file. Without it the node only learns the keys,
    /// which all nodes have to know before the first one uses a new key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch: Option<bool>,
}

impl Params<'_> for RotateKey {
    fn read(params: &RawValue) -> Result<Self, ParamFault> {
        let fields = Fields::of_params(params, ["switch"])?;
        Ok(Self {
            switch: fields.optional_bool("switch")?,
        })
    }
}

/// Result of ROTATE_KEY.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RotateKeyResult {
    /// The key that new files are encrypted with from now on.
    pub key_id: u32,
    /// The last key of the node's file: the one that `switch` uses.
    pub last_key_id: u32,
    /// What tells that key from any other without giving it away.
    pub last_key_fingerprint: String,
    /// All keys the node knows.
    pub known: Vec<u32>,
}
