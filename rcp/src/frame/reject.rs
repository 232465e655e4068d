use crate::Code;

/// Invalid bytes, after which the connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Reject {
    /// [`Code::UnsupportedProtocol`] or [`Code::BadRequest`].
    pub code: Code,
    /// Names the field and the value found.
    pub message: String,
    /// Whether the peer can be expected to understand one last error response. False where it does
    /// not speak RCP at all.
    pub answerable: bool,
}

impl Reject {
    pub(crate) fn bad(message: String) -> Self {
        Self {
            code: Code::BadRequest,
            message,
            answerable: true,
        }
    }

    pub(crate) fn unsupported(message: String) -> Self {
        Self {
            code: Code::UnsupportedProtocol,
            message,
            answerable: true,
        }
    }
}
