//! What a row says, by the columns that the command line names.

use std::collections::HashMap;

use rstmdb_rcp::json::Json;
use rstmdb_rcp::message::instance::CreateInstance;
use serde_json::value::RawValue;

use crate::Error;
use crate::args::{FieldType, ImportColumns};

/// A value of a row, as it came.
#[derive(Debug)]
pub(super) enum FieldValue {
    /// Of CSV.
    Text(String),
    /// Of JSON lines.
    Json(Box<RawValue>),
    /// There is none.
    Nothing,
}

/// The instance that a row asks for.
#[derive(Debug)]
pub(super) struct ImportedRow {
    pub(super) id: String,
    pub(super) state: String,
    created_at: Option<u64>,
    updated_at: Option<u64>,
    ctx: Box<RawValue>,
}

/// Why a row asks for none. The first text is the same for all rows with this fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowFault {
    pub(super) reason: String,
    pub(super) message: String,
}

fn fault(reason: impl Into<String>, message: impl Into<String>) -> RowFault {
    RowFault {
        reason: reason.into(),
        message: message.into(),
    }
}

impl ImportedRow {
    /// The parameters of CREATE_INSTANCE. The key is one of the instance, so a name is enough.
    pub(super) fn params<'a>(&'a self, machine: &'a str, version: u32) -> CreateInstance<'a> {
        CreateInstance {
            instance_id: Some(self.id.as_str().into()),
            machine: machine.into(),
            version,
            initial_ctx: Some(&self.ctx),
            idempotency_key: Some(KEY.into()),
            initial_state: Some(self.state.as_str().into()),
            created_at: self.created_at,
            updated_at: self.updated_at,
            ..CreateInstance::default()
        }
    }
}

/// The idempotency key of every imported instance.
const KEY: &str = "import";

/// What each column is.
#[derive(Debug)]
pub(super) struct ColumnPlan {
    asked: ImportColumns,
    states: HashMap<String, String>,
    types: HashMap<String, FieldType>,
}

/// What a named column of a row is.
enum Part<'a> {
    Id,
    State,
    Created,
    Updated,
    Ctx,
    Field(&'a str),
    Ignored,
}

impl ColumnPlan {
    pub(super) fn new(asked: ImportColumns) -> Self {
        Self {
            states: asked.states.iter().cloned().collect(),
            types: asked.types.iter().cloned().collect(),
            asked,
        }
    }

    /// Refuses a file without the columns that were named.
    pub(super) fn check_header(&self, names: &[String]) -> Result<(), Error> {
        let asked = &self.asked;
        let only = asked.only.iter();
        let typed = asked.types.iter().map(|(name, _)| name);
        let optional = [&asked.created, &asked.updated, &asked.ctx];
        let wanted = [&asked.id, &asked.state].into_iter();
        let wanted = wanted.chain(optional.into_iter().flatten());
        for name in wanted.chain(only).chain(typed) {
            if !names.contains(name) {
                let known = names.join(", ");
                return Err(Error::Usage(format!(
                    "there is no column {name:?}; the columns are: {known}"
                )));
            }
        }
        let mut seen = std::collections::HashSet::new();
        match names.iter().find(|name| !seen.insert(*name)) {
            None => Ok(()),
            Some(twice) => Err(Error::Usage(format!("column {twice:?} is there twice"))),
        }
    }

    fn part<'a>(&self, name: &'a str) -> Part<'a> {
        let asked = &self.asked;
        let is = |option: &Option<String>, default: &str| match option {
            Some(named) => named == name,
            None => name == default,
        };
        match name {
            _ if name == asked.id => Part::Id,
            _ if name == asked.state => Part::State,
            _ if is(&asked.created, "created_at") => Part::Created,
            _ if is(&asked.updated, "updated_at") => Part::Updated,
            _ if asked.only.is_empty() && is(&asked.ctx, "ctx") => Part::Ctx,
            // A column with the whole context was named: the others are not for us.
            _ if asked.ctx.is_some() => Part::Ignored,
            _ if asked.only.is_empty() || asked.only.iter().any(|only| only == name) => {
                Part::Field(name)
            }
            _ => Part::Ignored,
        }
    }

    /// The instance that a row asks for.
    pub(super) fn read(
        &self,
        fields: impl IntoIterator<Item = (String, FieldValue)>,
    ) -> Result<ImportedRow, RowFault> {
        let (mut id, mut state, mut created_at, mut updated_at) = (None, None, None, None);
        let (mut whole, mut parts) = (None, Vec::new());
        for (name, value) in fields {
            match self.part(&name) {
                Part::Id => id = word(&name, value)?,
                Part::State => state = word(&name, value)?,
                Part::Created => created_at = self.time(&name, value)?,
                Part::Updated => updated_at = self.time(&name, value)?,
                Part::Ctx => whole = context(&name, value)?,
                Part::Field(field) => {
                    if let Some(json) = self.field(field, value)? {
                        parts.push((field.to_owned(), json));
                    }
                }
                Part::Ignored => {}
            }
        }
        let asked = &self.asked;
        let none = |name: &str| fault(format!("no {name}"), format!("column {name:?} is empty"));
        let state = state.ok_or_else(|| none(&asked.state))?;
        Ok(ImportedRow {
            id: id.ok_or_else(|| none(&asked.id))?,
            state: self.states.get(&state).cloned().unwrap_or(state),
            created_at,
            updated_at,
            ctx: match whole {
                Some(whole) => whole,
                None => object(&parts)?,
            },
        })
    }

    /// A field of the context as JSON; `None`: it is left out.
    fn field(&self, name: &str, value: FieldValue) -> Result<Option<String>, RowFault> {
        let text = match value {
            FieldValue::Nothing => return Ok(None),
            FieldValue::Json(json) => return Ok(Some(json.get().to_owned())),
            FieldValue::Text(text) => text,
        };
        let wrong = |what: &str| {
            let message = format!("column {name:?}: {text:?} is no {what}");
            fault(format!("{name} is no {what}"), message)
        };
        Ok(Some(
            match self.types.get(name).copied().unwrap_or(FieldType::Text) {
                FieldType::Text => quoted(&text),
                FieldType::Number => match serde_json::from_str::<&RawValue>(&text) {
                    Ok(raw)
                        if raw
                            .get()
                            .starts_with(|c: char| c == '-' || c.is_ascii_digit()) =>
                    {
                        raw.get().to_owned()
                    }
                    _ => return Err(wrong("number")),
                },
                FieldType::Bool => match text.to_ascii_lowercase().as_str() {
                    "true" | "t" | "1" | "yes" => "true".to_owned(),
                    "false" | "f" | "0" | "no" => "false".to_owned(),
                    _ => return Err(wrong("bool")),
                },
                FieldType::Json => match serde_json::from_str::<&RawValue>(&text) {
                    Ok(raw) => raw.get().to_owned(),
                    Err(_) => return Err(wrong("JSON")),
                },
            },
        ))
    }

    fn time(&self, name: &str, value: FieldValue) -> Result<Option<u64>, RowFault> {
        let text = match value {
            FieldValue::Nothing => return Ok(None),
            FieldValue::Text(text) => text,
            FieldValue::Json(json) => match Json::parse(json.get()) {
                Ok(Json::Text(text)) => text.to_string(),
                _ => json.get().to_owned(),
            },
        };
        let wrong = |problem: &str| {
            let message = format!("column {name:?}: {text:?} {problem}");
            fault(format!("{name} is no time"), message)
        };
        super::time::unix_ms(&text, self.asked.unix_seconds)
            .map(Some)
            .map_err(|problem| wrong(&problem))
    }
}

/// The text of an id or a state; numbers are texts, too.
fn word(name: &str, value: FieldValue) -> Result<Option<String>, RowFault> {
    match value {
        FieldValue::Nothing => Ok(None),
        FieldValue::Text(text) => Ok(Some(text)),
        FieldValue::Json(json) => match Json::parse(json.get()) {
            Ok(Json::Text(text)) => Ok(Some(text.to_string())),
            Ok(Json::Number(_)) => Ok(Some(json.get().to_owned())),
            _ => Err(fault(
                format!("{name} is no text"),
                format!("column {name:?} is neither a string nor a number"),
            )),
        },
    }
}

fn context(name: &str, value: FieldValue) -> Result<Option<Box<RawValue>>, RowFault> {
    let json = match value {
        FieldValue::Nothing => return Ok(None),
        FieldValue::Json(json) => json,
        FieldValue::Text(text) => RawValue::from_string(text).map_err(|error| {
            fault(
                format!("{name} is no JSON"),
                format!("column {name:?}: {error}"),
            )
        })?,
    };
    match json.get().trim_start().starts_with('{') {
        true => Ok(Some(json)),
        false => Err(fault(
            format!("{name} is no object"),
            format!("column {name:?} is not a JSON object"),
        )),
    }
}

fn object(parts: &[(String, String)]) -> Result<Box<RawValue>, RowFault> {
    let fields = parts.iter();
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{}:{value}", quoted(name)))
        .collect();
    RawValue::from_string(format!("{{{}}}", fields.join(",")))
        .map_err(|error| fault("the context is no JSON", error.to_string()))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
