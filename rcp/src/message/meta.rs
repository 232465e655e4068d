//! The metadata of a write: why the client writes, what caused the write, to which work it belongs, and any other pairs
//! of names and values. Also the lock under which the client writes.

mod fence;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer, de};
use serde_json::value::RawValue;

use super::Params;
use super::fields::{Fields, ParamFault, parse_text, unexpected};
use crate::HEADERS_BYTES_MAX;

pub use fence::Fence;

/// Names and values of headers.
pub type Headers<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

/// The metadata of a write. It changes nothing in the state: the log keeps it, and clients that ask for it get it. Only
/// the fence decides something: the write is refused once the fence's lock is lost.
///
/// ```
/// use rstmdb_rcp::message::instance::ApplyEvent;
/// use rstmdb_rcp::message::meta::Meta;
///
/// let refund = ApplyEvent {
///     instance_id: "order-1".into(),
///     event: "REFUND".into(),
///     meta: Meta::default()
///         .reason("the parcel was lost")
///         .header("ticket", "T-1042")
///         .caused_by(17),
///     ..ApplyEvent::default()
/// };
/// assert!(!refund.meta.is_empty());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Meta<'a> {
    /// Any texts, at most [`HEADERS_BYTES_MAX`] bytes in all.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: Headers<'a>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// Names the work that this write and others belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Cow<'a, str>>,
    /// Names the cause: the offset of another write, or any other text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Cow<'a, str>>,
    /// The write takes effect only while this token holds this lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence<'a>>,
}

impl<'a> Meta<'a> {
    /// Whether the client says nothing.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
            && self.reason.is_none()
            && self.correlation_id.is_none()
            && self.causation_id.is_none()
            && self.fence.is_none()
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// With this reason.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<Cow<'a, str>>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Names the work that the write belongs to. Without it, a write that names another write as its cause gets the
    /// correlation id of that write.
    #[must_use]
    pub fn correlation_id(mut self, id: impl Into<Cow<'a, str>>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// With a cause that is no write of this log.
    #[must_use]
    pub fn causation_id(mut self, id: impl Into<Cow<'a, str>>) -> Self {
        self.causation_id = Some(id.into());
        self
    }

    /// Caused by the write at this offset.
    #[must_use]
    pub fn caused_by(self, wal_offset: u64) -> Self {
        self.causation_id(wal_offset.to_string())
    }

    /// Takes effect only while this token holds this lock.
    #[must_use]
    pub fn fence(mut self, fence: Fence<'a>) -> Self {
        self.fence = Some(fence);
        self
    }

    /// Reads it from the parameters of a write.
    pub(super) fn of<const N: usize>(fields: &Fields<'a, N>) -> Result<Self, ParamFault> {
        Ok(Self {
            headers: headers_of(fields)?,
            reason: fields.optional_text("reason")?,
            correlation_id: fields.optional_text("correlation_id")?,
            causation_id: fields.optional_text("causation_id")?,
            fence: Fence::of(fields)?,
        })
    }

    /// The fields that are missing here, from `other`.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        if self.headers.is_empty() {
            self.headers.clone_from(&other.headers);
        }
        let or = |mine: Option<Cow<'a, str>>, other: &Option<Cow<'a, str>>| {
            mine.or_else(|| other.clone())
        };
        Self {
            headers: self.headers,
            reason: or(self.reason, &other.reason),
            correlation_id: or(self.correlation_id, &other.correlation_id),
            causation_id: or(self.causation_id, &other.causation_id),
            fence: self.fence.or_else(|| other.fence.clone()),
        }
    }
}

/// The names of a write's parameters: its own, those of its metadata, and `dry_run`.
macro_rules! names_of_write {
    ($($own:literal),*) => {
        [
            $($own,)*
            "headers",
            "reason",
            "correlation_id",
            "causation_id",
            "fence",
            $crate::message::fields::DRY_RUN,
        ]
    };
}
pub(super) use names_of_write;

/// Reads the parameters of metadata only, and ignores all others.
impl<'a> Params<'a> for Meta<'a> {
    fn read(params: &'a RawValue) -> Result<Self, ParamFault> {
        let names = [
            "headers",
            "reason",
            "correlation_id",
            "causation_id",
            "fence",
        ];
        Self::of(&Fields::of_params(params, names)?)
    }
}

/// Reads the parameter `headers`.
pub(super) fn headers_of<'a, const N: usize>(
    fields: &Fields<'a, N>,
) -> Result<Headers<'a>, ParamFault> {
    fields.get("headers").map_or(Ok(Headers::new()), headers)
}

fn headers(raw: &RawValue) -> Result<Headers<'_>, ParamFault> {
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    let read = deserializer
        .deserialize_map(ReadHeaders)
        .map_err(|_| unexpected("params.headers".into(), "an object of strings", raw.get()))?;
    match read {
        HeadersRead::Headers(headers) => Ok(headers),
        HeadersRead::NoText { name, value } => {
            let field = format!("params.headers.{name}");
            Err(unexpected(field, "a string", value.get()))
        }
        HeadersRead::TooLong => {
            let problem =
                format!("expected names and values of at most {HEADERS_BYTES_MAX} bytes in all");
            Err(ParamFault::new("params.headers", problem))
        }
    }
}

enum HeadersRead<'a> {
    Headers(Headers<'a>),
    NoText { name: String, value: &'a RawValue },
    TooLong,
}

/// Keeps no more than may be kept, however many headers there are.
struct ReadHeaders;

impl<'de> Visitor<'de> for ReadHeaders {
    type Value = HeadersRead<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeadersRead<'de>, A::Error> {
        let mut headers = Headers::new();
        let mut bytes = 0;
        let mut wrong = None;
        while let Some(name) = map.next_key::<HeaderName<'de>>()? {
            let value: &'de RawValue = map.next_value()?;
            if wrong.is_some() {
                continue;
            }
            let Some(text) = parse_text(value) else {
                let name = name.0.into_owned();
                wrong = Some(HeadersRead::NoText { name, value });
                continue;
            };
            bytes += name.0.len() + text.len();
            if bytes > HEADERS_BYTES_MAX {
                wrong = Some(HeadersRead::TooLong);
            } else {
                headers.insert(name.0, text);
            }
        }
        Ok(wrong.unwrap_or(HeadersRead::Headers(headers)))
    }
}

#[derive(Deserialize)]
struct HeaderName<'a>(#[serde(borrow)] Cow<'a, str>);

/// What the log knows about a write, as watches and WAL_READ show it with `include_meta`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FactMeta<'a> {
    /// Who asked: the name of a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Cow<'a, str>>,
    /// When it was decided, Unix ms.
    #[serde(default)]
    pub time_ms: u64,
    /// As given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: Headers<'a>,
    /// As given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// As given, or that of the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Cow<'a, str>>,
    /// As given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Cow<'a, str>>,
    /// As given: the lock under which the client wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence<'a>>,
}

/// Reads a text; null and nothing are the empty text.
pub(super) fn text_or_empty<'de, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Cow<'a, str>, D::Error> {
    let text: Option<String> = de::Deserialize::deserialize(deserializer)?;
    Ok(text.unwrap_or_default().into())
}

/// Writes a text, and null for the empty one.
pub(super) fn text_or_null<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match text {
        "" => serializer.serialize_none(),
        text => serializer.serialize_str(text),
    }
}
