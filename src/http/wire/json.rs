//! Reads JSON bodies so that every broken field is found in one pass, exactly, and at any nesting.
//!
//! Values stay raw text until they are taken: a price is never a float, an unknown field is skipped without recursion.

use crate::domain::{Money, MoneyError, Text};
use crate::http::wire::problem::{FieldErrors, Problem, ProblemKind};
use crate::http::wire::values::Place;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use uuid::Uuid;

/// Where in a body something stands; the pointer is only made for an error.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At<'p> {
    /// The body itself.
    Root,
    /// A field of an object.
    Field(&'p At<'p>, &'p str),
    /// An element of a list.
    Index(&'p At<'p>, usize),
}

impl At<'_> {
    /// The JSON pointer (RFC 6901).
    #[must_use]
    pub(crate) fn pointer(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Field(parent, name) => {
                let short: String = name.chars().take(100).collect();
                format!("{}/{}", parent.pointer(), short.replace('~', "~0").replace('/', "~1"))
            }
            Self::Index(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }
}

/// Reads a body, gathering what is broken.
#[derive(Default)]
pub(crate) struct Reader {
    /// What is broken.
    pub errors: FieldErrors,
}

impl Reader {
    /// Adds a broken field.
    pub(crate) fn fail(&mut self, at: &At<'_>, detail: impl Into<Cow<'static, str>>) {
        self.errors.add(Place::Body, at.pointer(), detail);
    }

    /// The fields of the body, in the order of `names`.
    ///
    /// # Errors
    /// The body is not JSON.
    pub(crate) fn body<'a, const N: usize>(&mut self, body: &'a [u8], names: &[&str; N]) -> Result<Option<[Option<&'a str>; N]>, Problem> {
        let text = std::str::from_utf8(body).map_err(|error| {
            Problem::new(ProblemKind::MalformedBody, format!("the body is not UTF-8 after byte {}", error.valid_up_to()))
        })?;
        // What some editors and libraries put in front of a text; RFC 8259 lets a reader pass over it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match self.parse_object(text, names, &At::Root) {
            Ok(fields) => Ok(Some(fields)),
            Err(error) if error.is_data() => {
                // The root is no object; but is the body JSON at all?
                serde_json::from_str::<IgnoredAny>(text).map_err(|error| malformed(&error))?;
                self.fail(&At::Root, "must be an object");
                Ok(None)
            }
            Err(error) => Err(malformed(&error)),
        }
    }

    /// The fields of an object, in the order of `names`; `null` counts as absent.
    pub(crate) fn object<'a, const N: usize>(&mut self, raw: &'a str, names: &[&str; N], at: &At<'_>) -> Option<[Option<&'a str>; N]> {
        let fields = if raw.starts_with('{') { self.parse_object(raw, names, at).ok() } else { None };
        if fields.is_none() {
            self.fail(at, "must be an object");
        }
        fields
    }

    fn parse_object<'a, const N: usize>(
        &mut self,
        raw: &'a str,
        names: &[&str; N],
        at: &At<'_>,
    ) -> Result<[Option<&'a str>; N], serde_json::Error> {
        let mut json = serde_json::Deserializer::from_str(raw);
        let fields = json.deserialize_map(Fields { reader: self, names, at })?;
        json.end()?;
        Ok(fields)
    }

    /// The elements of a list, each given to `take`.
    pub(crate) fn list<'a>(&mut self, raw: &'a str, at: &At<'_>, take: &mut dyn FnMut(&mut Self, usize, &'a str)) -> Option<usize> {
        let mut json = serde_json::Deserializer::from_str(raw);
        let count = if raw.starts_with('[') { json.deserialize_seq(Elements { reader: self, take }).ok() } else { None };
        if count.is_none() {
            self.fail(at, "must be a list");
        }
        count
    }

    /// A text.
    pub(crate) fn string<'a>(&mut self, raw: &'a str, at: &At<'_>) -> Option<Cow<'a, str>> {
        let Some(inner) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            self.fail(at, "must be a string");
            return None;
        };
        if !inner.contains('\\') {
            return Some(Cow::Borrowed(inner));
        }
        match serde_json::from_str(raw) {
            Ok(text) => Some(Cow::Owned(text)),
            Err(_) => {
                self.fail(at, "is not valid Unicode text");
                None
            }
        }
    }

    /// A bounded text.
    pub(crate) fn text<const MAX: usize>(&mut self, raw: &str, at: &At<'_>) -> Option<Text<MAX>> {
        let text = self.string(raw, at)?;
        Text::new(&text).map_err(|error| self.fail(at, error.to_string())).ok()
    }

    /// An id in its hyphenated form.
    pub(crate) fn uuid(&mut self, raw: &str, at: &At<'_>) -> Option<Uuid> {
        let text = self.string(raw, at)?;
        let id = parse_uuid(&text);
        if id.is_none() {
            self.fail(at, NOT_A_UUID);
        }
        id
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, raw: &str, at: &At<'_>) -> Option<i64> {
        let number = raw.parse().ok();
        if number.is_none() {
            let digits = raw.strip_prefix('-').unwrap_or(raw);
            let is_long = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            self.fail(at, if is_long { "is out of range" } else { "must be a whole number" });
        }
        number
    }

    /// True or false.
    pub(crate) fn flag(&mut self, raw: &str, at: &At<'_>) -> Option<bool> {
        match raw {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.fail(at, "must be true or false");
                None
            }
        }
    }

    /// An amount: a decimal text or a number, taken exactly.
    pub(crate) fn money(&mut self, raw: &str, at: &At<'_>) -> Option<Money> {
        let amount = match raw.as_bytes().first() {
            Some(b'"') => self.string(raw, at)?.parse(),
            Some(b'-' | b'0'..=b'9') => raw.parse(),
            _ => Err(MoneyError::NotANumber),
        };
        amount.map_err(|error: MoneyError| self.fail(at, error.to_string())).ok()
    }

    /// A field that must be there.
    pub(crate) fn required<'a>(&mut self, raw: Option<&'a str>, at: &At<'_>) -> Option<&'a str> {
        if raw.is_none() {
            self.fail(at, "is required");
        }
        raw
    }
}

/// What an id that is none is told.
pub(crate) const NOT_A_UUID: &str = "must be a UUID such as \"0190c2f4-7b6a-7cc3-98c4-dc0c0c07398f\"";

/// An id in its hyphenated form, and no other: what is shown is what was sent.
#[must_use]
pub(crate) fn parse_uuid(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

fn malformed(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    let detail = format!("the body is not JSON: {what} at line {}, column {}", error.line(), error.column());
    Problem::new(ProblemKind::MalformedBody, detail)
}

struct Fields<'r, 'n, 'p, const N: usize> {
    reader: &'r mut Reader,
    names: &'n [&'n str; N],
    at: &'p At<'p>,
}

impl<'a, const N: usize> Visitor<'a> for Fields<'_, '_, '_, N> {
    type Value = [Option<&'a str>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; N];
        let mut seen = [false; N];
        while let Some(Key(name)) = map.next_key_seed(KeySeed)? {
            let place = self.names.iter().position(|known| *known == name);
            let slots = place.and_then(|at| Some((values.get_mut(at)?, seen.get_mut(at)?)));
            let Some((value, seen)) = slots else {
                map.next_value::<IgnoredAny>()?;
                self.reader.fail(&At::Field(self.at, &name), "is not a known field");
                continue;
            };
            let raw: &'a RawValue = map.next_value()?;
            if std::mem::replace(seen, true) {
                self.reader.fail(&At::Field(self.at, &name), "appears more than once");
            }
            if raw.get() != "null" {
                *value = Some(raw.get());
            }
        }
        Ok(values)
    }
}

struct Key<'a>(Cow<'a, str>);
struct KeySeed;

impl<'a> DeserializeSeed<'a> for KeySeed {
    type Value = Key<'a>;
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Key<'a>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for KeySeed {
    type Value = Key<'a>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }
    fn visit_borrowed_str<E: serde::de::Error>(self, name: &'a str) -> Result<Key<'a>, E> {
        Ok(Key(Cow::Borrowed(name)))
    }
    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Key<'a>, E> {
        Ok(Key(Cow::Owned(name.to_owned())))
    }
}

struct Elements<'r, 't, 'a> {
    reader: &'r mut Reader,
    take: &'t mut dyn FnMut(&mut Reader, usize, &'a str),
}

impl<'a> Visitor<'a> for Elements<'_, '_, 'a> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(raw) = seq.next_element::<&'a RawValue>()? {
            (self.take)(self.reader, count, raw.get());
            count = usize::checked_add(count, 1).ok_or_else(|| A::Error::custom("too long"))?;
        }
        Ok(count)
    }
}
