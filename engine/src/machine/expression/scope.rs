//! What an expression can read.

use super::source::Source;
use super::syntax::{Document, Name};
use super::value::Value;

/// The documents and names of one decision. A later expression of the decision does not read again what an earlier one
/// has read.
#[derive(Debug)]
pub struct Scope<'a> {
    ctx: Source<'a>,
    event: Source<'a>,
    headers: Source<'a>,
    names: Names<'a>,
}

/// The values of the names that are no documents.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    /// The time of the decision, in Unix milliseconds.
    pub now_ms: i64,
    /// The state before the event.
    pub state: &'a str,
    /// The instance's id.
    pub instance_id: &'a str,
    /// The machine's name.
    pub machine: &'a str,
    /// The name of the token that the client has shown.
    pub actor: &'a str,
}

impl<'a> Scope<'a> {
    /// The texts are JSON objects that were checked before. In the context no name stands twice at the top, as in
    /// every stored one; elsewhere the last of a repeated name counts.
    pub fn new(ctx: &'a str, event: &'a str, headers: &'a str, names: Names<'a>) -> Self {
        Self {
            ctx: Source::new(ctx, true),
            event: Source::new(event, false),
            headers: Source::new(headers, false),
            names,
        }
    }

    pub(super) fn document(&mut self, document: Document) -> &mut Source<'a> {
        match document {
            Document::Ctx => &mut self.ctx,
            Document::Event => &mut self.event,
            Document::Headers => &mut self.headers,
        }
    }

    pub(super) fn name(&self, name: Name) -> Value<'a> {
        self.names.value(name)
    }

    pub(super) fn names(&self) -> Names<'a> {
        self.names
    }
}

impl<'a> Names<'a> {
    pub(super) fn value(&self, name: Name) -> Value<'a> {
        match name {
            Name::Now => Value::Int(self.now_ms),
            Name::State => Value::borrowed(self.state),
            Name::InstanceId => Value::borrowed(self.instance_id),
            Name::Machine => Value::borrowed(self.machine),
            Name::Actor => Value::borrowed(self.actor),
        }
    }
}
