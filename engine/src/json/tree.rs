//! A JSON text as a tree of slices of the text. For definitions, which are read once and with many messages about places.

use std::borrow::Cow;

use super::reader::{Fault, Kind, Reader};

/// A value with its text.
#[derive(Clone, Debug)]
pub(crate) struct Tree<'a> {
    /// As it is written.
    pub(crate) text: &'a str,
    pub(crate) node: Node<'a>,
}

#[derive(Clone, Debug)]
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    String(Cow<'a, str>),
    List(Vec<Tree<'a>>),
    /// In the order written, repeated names included.
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
}

impl<'a> Tree<'a> {
    /// Reads a whole text.
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::of_bytes(text)?;
        let tree = Self::read(&mut reader)?;
        reader.end()?;
        Ok(tree)
    }

    /// Recurses as deep as the reader lets it.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let kind = reader.kind()?;
        let start = reader.at();
        let node = match kind {
            Kind::Null => {
                reader.word("null")?;
                Node::Null
            }
            Kind::True => {
                reader.word("true")?;
                Node::Bool(true)
            }
            Kind::False => {
                reader.word("false")?;
                Node::Bool(false)
            }
            Kind::Number => Node::Number(reader.number()?),
            Kind::String => Node::String(reader.string()?),
            Kind::List => {
                reader.enter()?;
                let mut items = Vec::new();
                while reader.item()? {
                    items.push(Self::read(reader)?);
                }
                Node::List(items)
            }
            Kind::Object => {
                reader.enter()?;
                let mut fields = Vec::new();
                while let Some(name) = reader.field()? {
                    fields.push((name, Self::read(reader)?));
                }
                Node::Object(fields)
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
            Node::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value as an object's fields.
    pub(crate) fn fields(&self) -> Option<&[(Cow<'a, str>, Tree<'a>)]> {
        match &self.node {
            Node::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// The value as a list's items.
    pub(crate) fn items(&self) -> Option<&[Tree<'a>]> {
        match &self.node {
            Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// The last field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&Tree<'a>> {
        let mut fields = self.fields()?.iter().rev();
        fields
            .find(|(other, _)| other == name)
            .map(|(_, value)| value)
    }

    /// What the value is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.node {
            Node::Null => "null",
            Node::Bool(_) => "a boolean",
            Node::Number(_) => "a number",
            Node::String(_) => "a string",
            Node::List(_) => "a list",
            Node::Object(_) => "an object",
        }
    }
}
