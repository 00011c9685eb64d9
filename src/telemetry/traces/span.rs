//! A span and what belongs to it.

/// What kind of work a span is, as OTLP numbers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpanKind {
    /// Within the program.
    Internal = 1,
    /// A request that is answered.
    Server = 2,
    /// A call to somebody who answers.
    Client = 3,
    /// A message that is sent.
    Producer = 4,
    /// A message that is taken.
    Consumer = 5,
}

/// An attribute's value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

/// A span of another trace, or another branch of the same one, that a span follows from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its trace.
    pub trace: [u8; 16],
    /// The span.
    pub span: [u8; 8],
}

/// A finished span.
#[derive(Clone, Debug)]
pub struct Span<'a> {
    /// Its trace.
    pub trace: [u8; 16],
    /// Its id.
    pub id: [u8; 8],
    /// The span that it is part of; none: the trace begins with it.
    pub parent: Option<[u8; 8]>,
    /// What was done.
    pub name: &'a str,
    /// What kind of work.
    pub kind: SpanKind,
    /// When it began, in microseconds since 1970.
    pub began_us: i64,
    /// When it ended.
    pub ended_us: i64,
    /// What is known of it.
    pub attributes: &'a [(&'a str, Value<'a>)],
    /// What else it follows from.
    pub links: &'a [Link],
    /// Links for which there was no room.
    pub links_left_out: u32,
    /// Why it failed, if it did.
    pub error: Option<&'a str>,
}
