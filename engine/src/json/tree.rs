//! A JSON text as a tree of slices of the text. For definitions, which are read once and with many messages about places.

use std::borrow::Cow;

use super::reader::{JsonFault, JsonKind, JsonReader};

/// A value with its text.
#[derive(Clone, Debug)]
pub(crate) struct JsonTree<'a> {
    /// As it is written.
    pub(crate) text: &'a str,
    pub(crate) node: JsonNode<'a>,
}

#[derive(Clone, Debug)]
pub(crate) enum JsonNode<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    String(Cow<'a, str>),
    List(Vec<JsonTree<'a>>),
    /// In the order written, repeated names included.
    Object(Vec<(Cow<'a, str>, JsonTree<'a>)>),
}

impl<'a> JsonTree<'a> {
    /// Reads a whole text.
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, JsonFault> {
        let mut reader = JsonReader::of_bytes(text)?;
        let tree = Self::read(&mut reader)?;
        reader.end()?;
        Ok(tree)
    }

    /// Recurses as deep as the reader lets it.
    fn read(reader: &mut JsonReader<'a>) -> Result<Self, JsonFault> {
        let kind = reader.kind()?;
        let start = reader.at();
        let node = match kind {
            JsonKind::Null => {
                reader.word("null")?;
                JsonNode::Null
            }
            JsonKind::True => {
                reader.word("true")?;
                JsonNode::Bool(true)
            }
            JsonKind::False => {
                reader.word("false")?;
                JsonNode::Bool(false)
            }
            JsonKind::Number => JsonNode::Number(reader.number()?),
            JsonKind::String => JsonNode::String(reader.string()?),
            JsonKind::List => {
                reader.enter()?;
                let mut items = Vec::new();
                while reader.item()? {
                    items.push(Self::read(reader)?);
                }
                JsonNode::List(items)
            }
            JsonKind::Object => {
                reader.enter()?;
                let mut fields = Vec::new();
                while let Some(name) = reader.field()? {
                    fields.push((name, Self::read(reader)?));
                }
                JsonNode::Object(fields)
            }
        };
        Ok(Self {
            text: reader.since(start),
            node,
        })
    }

    /// The value as a string.
    pub(crate) fn string(&self) -> Option<&str> {
        match &self.node {
            JsonNode::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value as an object's fields.
    pub(crate) fn fields(&self) -> Option<&[(Cow<'a, str>, JsonTree<'a>)]> {
        match &self.node {
            JsonNode::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// The value as a list's items.
    pub(crate) fn items(&self) -> Option<&[JsonTree<'a>]> {
        match &self.node {
            JsonNode::List(items) => Some(items),
            _ => None,
        }
    }

    /// The last field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&JsonTree<'a>> {
        let mut fields = self.fields()?.iter().rev();
        fields
            .find(|(other, _)| other == name)
            .map(|(_, value)| value)
    }

    /// What the value is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.node {
            JsonNode::Null => "null",
            JsonNode::Bool(_) => "a boolean",
            JsonNode::Number(_) => "a number",
            JsonNode::String(_) => "a string",
            JsonNode::List(_) => "a list",
            JsonNode::Object(_) => "an object",
        }
    }
}
