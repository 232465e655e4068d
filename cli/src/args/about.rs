//! What a user says about a write.

use clap::Args;
use rstmdb_rcp::message::meta::{Fence, Headers, Meta};

/// The options that every write takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "About the write")]
pub struct WriteArgs {
    /// Keep this pair with the write; may be given more than once.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Why, for people who read the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The work that this write belongs to; that of its cause when absent.
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// The cause: the offset of an earlier write, or any other id.
    #[arg(long, value_name = "OFFSET|ID")]
    causation_id: Option<String>,
    /// Refuse the write if this token no longer holds this lock.
    #[arg(long, value_name = "LOCK:TOKEN", env = "RSTMDB_FENCE", value_parser = fence)]
    fence: Option<FenceOption>,
}

impl WriteArgs {
    /// As the protocol carries it.
    pub fn meta(self) -> Meta<'static> {
        let headers = self.headers.into_iter();
        Meta {
            headers: headers
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            reason: self.reason.map(Into::into),
            correlation_id: self.correlation_id.map(Into::into),
            causation_id: self.causation_id.map(Into::into),
            fence: self.fence.and_then(|option| option.0),
        }
    }
}

/// The headers that a write would have.
#[derive(Debug, Clone, Default, Args)]
pub struct WouldSay {
    /// A header that the event would be sent with; may be given more than once.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
}

impl WouldSay {
    /// As the protocol carries them.
    pub fn headers(self) -> Headers<'static> {
        let headers = self.headers.into_iter();
        headers
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }
}

/// Nothing if it is empty: so an empty variable means that there is no fence.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FenceOption(Option<Fence<'static>>);

fn fence(text: &str) -> Result<FenceOption, String> {
    if text.is_empty() {
        return Ok(FenceOption(None));
    }
    let parts = text.rsplit_once(':');
    let fence = parts.and_then(|(lock, token)| Some((lock, token.parse().ok()?)));
    match fence {
        Some((lock, token)) if !lock.is_empty() && token > 0 => {
            Ok(FenceOption(Some(Fence::new(lock.to_owned(), token))))
        }
        _ => Err("expected LOCK:TOKEN, with the token that `lock acquire` has printed".to_owned()),
    }
}

pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_a_lock_and_a_token() {
        let is = |lock: &'static str| Ok(FenceOption(Some(Fence::new(lock, 17))));
        assert_eq!(fence("billing:17"), is("billing"));
        assert_eq!(fence("eu:billing:17"), is("eu:billing"));
        assert_eq!(fence(""), Ok(FenceOption(None)));
        for wrong in [
            "billing",
            "billing:",
            ":17",
            "billing:0",
            "billing:-1",
            "billing:x",
        ] {
            assert!(fence(wrong).is_err(), "{wrong:?} was taken");
        }
    }
}
