//! Reads queries, paths and headers; every broken parameter is named at once.

use crate::domain::{Timestamp, When};
use crate::http::wire::json::{NOT_A_UUID, parse_uuid};
use crate::http::wire::problem::{FieldErrors, Problem};
use crate::http::wire::values::Place;
use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::web::Query;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use std::time::Duration;
use uuid::Uuid;

/// Rows of a page unless the client says.
pub(crate) const LIMIT: u32 = 50;
/// Most rows of a page.
pub(crate) const LIMIT_MAX: u32 = 200;
/// Longest idempotency key, in characters.
const KEY_MAX: usize = 255;

/// The parameters of a query.
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    /// What is broken.
    pub errors: FieldErrors,
}

impl Params {
    /// Reads the query; only `names` are known.
    #[must_use]
    pub(crate) fn of(request: &HttpRequest, names: &[&str]) -> Self {
        let mut errors = FieldErrors::default();
        let text = request.query_string();
        if text.is_empty() {
            return Self { pairs: Vec::new(), errors };
        }
        let pairs = match Query::<Vec<(String, String)>>::from_query(text) {
            Ok(pairs) => pairs.into_inner(),
            Err(error) => {
                errors.add(Place::Query, String::new(), format!("cannot be read: {error}"));
                Vec::new()
            }
        };
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !names.contains(&name.as_str()) {
                errors.add(Place::Query, pointer(name), "is not a known parameter");
            } else if pairs.iter().take(at).any(|(earlier, _)| earlier == name) {
                errors.add(Place::Query, pointer(name), "appears more than once");
            }
        }
        Self { pairs, errors }
    }

    /// The parameter as `take` reads it; empty counts as absent.
    pub(crate) fn take<T>(&mut self, name: &str, take: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let (_, value) = self.pairs.iter().find(|(known, value)| known == name && !value.is_empty())?;
        match take(value) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.errors.add(Place::Query, pointer(name), detail);
                None
            }
        }
    }

    /// An id.
    pub(crate) fn uuid(&mut self, name: &str) -> Option<Uuid> {
        self.take(name, |text| parse_uuid(text).ok_or_else(|| NOT_A_UUID.to_owned()))
    }

    /// A time; see [`When::parse`].
    pub(crate) fn when(&mut self, name: &str, now: Timestamp) -> Option<When> {
        self.take(name, |text| When::parse(text, now).ok_or_else(|| When::FORMS.to_owned()))
    }

    /// The size of a page.
    pub(crate) fn limit(&mut self) -> u32 {
        let limit = self.take("limit", |text| match text.parse() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            Ok(_) | Err(_) => Err(format!("must be 1 to {LIMIT_MAX}")),
        });
        limit.unwrap_or(LIMIT)
    }

    /// Where the page before ended.
    pub(crate) fn cursor<const N: usize>(&mut self, kind: u8) -> Option<[u8; N]> {
        self.take("cursor", |text| read_cursor(kind, text).ok_or_else(|| "is not a cursor of this list".to_owned()))
    }

    /// `value`, if nothing is broken.
    ///
    /// # Errors
    /// The broken parameters.
    pub(crate) fn done<T>(self, value: T) -> Result<T, Problem> {
        self.errors.none_or(Some(value))
    }
}

/// Refuses a query where none is known: a parameter that is passed over would seem to have been heeded.
///
/// # Errors
/// The parameters that are there.
pub(crate) fn no_params(request: &HttpRequest) -> Result<(), Problem> {
    Params::of(request, &[]).done(())
}

fn pointer(name: &str) -> String {
    let short: String = name.chars().take(100).collect();
    format!("/{}", short.replace('~', "~0").replace('/', "~1"))
}

/// The id in the address.
///
/// # Errors
/// 400: it is no UUID.
pub(crate) fn path_id(request: &HttpRequest) -> Result<Uuid, Problem> {
    let text = request.match_info().get("id").unwrap_or_default();
    parse_uuid(text).ok_or_else(|| Problem::field(Place::Path, "/id", NOT_A_UUID))
}

/// The version of the form of cursors.
const CURSOR_VERSION: u8 = 1;

/// An opaque mark of where a page of the list `kind` ended.
#[must_use]
pub(crate) fn cursor(kind: u8, place: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(place.len() + 2);
    bytes.extend_from_slice(&[CURSOR_VERSION, kind]);
    bytes.extend_from_slice(place);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn read_cursor<const N: usize>(kind: u8, text: &str) -> Option<[u8; N]> {
    if text.len() > 100 {
        return None;
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    bytes.strip_prefix(&[CURSOR_VERSION, kind])?.try_into().ok()
}

/// `30s`, `500ms`, `2m` or a number of seconds.
#[must_use]
pub(crate) fn parse_wait(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

/// The wait that a `Prefer` header asks for (RFC 7240); what cannot be understood is passed over, as the standard says.
#[must_use]
pub(crate) fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let mut preferences = headers.get_all("prefer").filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    preferences.find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let seconds = value.trim().trim_matches('"');
        let is_wait = name.trim().eq_ignore_ascii_case("wait") && seconds.bytes().all(|b| b.is_ascii_digit());
        is_wait.then(|| parse_wait(seconds)).flatten()
    })
}

/// How long a request wants to wait for its answer, by its query or its `Prefer` header.
#[must_use]
pub(crate) fn asked_wait(request: &HttpRequest) -> Duration {
    let mut params = Params::of(request, &["wait"]);
    let asked = params.take("wait", |text| parse_wait(text).ok_or_else(String::new));
    asked.or_else(|| preferred_wait(request.headers())).unwrap_or_default()
}

/// The client's idempotency key, a quoted text (RFC 9651) or bare.
pub(crate) fn idempotency_key(headers: &HeaderMap, errors: &mut FieldErrors) -> Option<String> {
    const NAME: HeaderName = HeaderName::from_static("idempotency-key");
    let mut fail = |detail: &'static str| {
        errors.add(Place::Header, "/Idempotency-Key".to_owned(), detail);
        None
    };
    let mut values = headers.get_all(NAME);
    let value = values.next()?;
    if values.next().is_some() {
        return fail("appears more than once");
    }
    let Ok(text) = value.to_str() else { return fail("must be printable ASCII") };
    let text = text.trim();
    let key = if text.starts_with('"') { unquote(text) } else { Some(text.to_owned()) };
    match key {
        None => fail("is not a well-formed quoted string"),
        Some(key) if key.is_empty() => fail("is empty"),
        Some(key) if key.len() > KEY_MAX => fail("is longer than 255 characters"),
        Some(key) => Some(key),
    }
}

fn unquote(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"').filter(|_| text.len() >= 2)?;
    let mut key = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => key.push(characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            '"' => return None,
            other => key.push(other),
        }
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PathPrefix;
    use actix_web::http::header::HeaderValue;
    use actix_web::test::TestRequest;

    #[test]
    fn a_cursor_is_opaque_and_checked() {
        let id = Uuid::from_u128(42);
        let text = cursor(b'o', id.as_bytes());
        assert_eq!(read_cursor::<16>(b'o', &text), Some(*id.as_bytes()));
        assert_eq!(read_cursor::<16>(b'p', &text), None, "of another list");
        assert_eq!(read_cursor::<8>(b'o', &text), None, "of another length");
        for broken in ["", "x", "AAAA", "%%%", &text[1..], &format!("{text}A"), &"A".repeat(101)] {
            assert_eq!(read_cursor::<16>(b'o', broken), None, "{broken}");
        }
    }

    #[test]
    fn waits_have_units() {
        let cases = [
            ("30", Some(30_000)),
            ("30s", Some(30_000)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
            ("0", Some(0)),
            ("", None),
            ("s", None),
            ("-1", None),
            ("1.5s", None),
            ("30 s", None),
            ("30h", None),
            ("99999999999999999999", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_wait(text), want.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn preferences_are_found_among_others_and_never_an_error() {
        let cases = [
            ("wait=30", Some(30)),
            ("respond-async, wait=10", Some(10)),
            ("Wait = \"5\"; foo", Some(5)),
            ("wait=x, wait=3", Some(3)),
            ("wait", None),
            ("wait=5s", None),
            ("waiting=3", None),
            (";;==,", None),
        ];
        for (text, want) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static("prefer"), HeaderValue::from_static(text));
            assert_eq!(preferred_wait(&headers), want.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn an_idempotency_key_is_quoted_or_bare() {
        let long = "x".repeat(256);
        let cases: &[(&str, Result<&str, &str>)] = &[
            ("abc", Ok("abc")),
            ("\"abc\"", Ok("abc")),
            (r#""a\"b\\c""#, Ok("a\"b\\c")),
            ("\"\"", Err("is empty")),
            ("\"abc", Err("is not a well-formed quoted string")),
            ("\"", Err("is not a well-formed quoted string")),
            (r#""a\c""#, Err("is not a well-formed quoted string")),
            (r#""a"b""#, Err("is not a well-formed quoted string")),
            (&long, Err("is longer than 255 characters")),
        ];
        for (text, want) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static("idempotency-key"), HeaderValue::from_str(text).unwrap());
            let mut errors = FieldErrors::default();
            let got = idempotency_key(&headers, &mut errors);
            assert_eq!(got.as_deref(), want.ok(), "{text}");
            if let Err(detail) = want {
                let body = errors.into_problem().to_response(crate::domain::CorrelationId::of(Uuid::nil()), &PathPrefix::default(), "/", 1);
                assert!(format!("{:?}", body.body()).contains(detail), "{text}: {body:?}");
            }
        }
    }

    #[test]
    fn every_broken_parameter_is_named() {
        let request = TestRequest::with_uri("/?limit=0&cursor=x&customerId=1&foo=2&limit=3").to_http_request();
        let mut params = Params::of(&request, &["limit", "cursor", "customerId"]);
        assert_eq!(params.limit(), 50);
        assert_eq!(params.cursor::<16>(b'o'), None);
        assert_eq!(params.uuid("customerId"), None);
        let problem = params.done(()).unwrap_err();
        assert!(problem.to_string().contains("5 fields are invalid"), "{problem}");
    }
}
