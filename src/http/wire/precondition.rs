//! ETags, and what a request wants to be true before it is done: `If-Match`, `If-None-Match`.

use crate::domain::{Condition, Revision};
use crate::http::wire::problem::{FieldErrors, Problem, ProblemKind};
use crate::http::wire::values::Place;
use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};

/// The ETag of a state.
#[must_use]
pub(crate) fn etag(revision: Revision) -> String {
    format!("\"{:016x}\"", revision.0)
}

/// What `If-Match` and `If-None-Match: *` of a request that changes something say.
pub(crate) fn condition(request: &HttpRequest, errors: &mut FieldErrors) -> Condition {
    let headers = request.headers();
    if let Some(tags) = tags(headers, &IF_MATCH, errors) {
        return match tags {
            Tags::Any => Condition::Exists,
            Tags::These(seen) => Condition::Is(seen),
        };
    }
    match tags(headers, &IF_NONE_MATCH, errors) {
        Some(Tags::Any) => Condition::Absent,
        Some(Tags::These(_)) => {
            errors.add(Place::Header, "/If-None-Match".to_owned(), "must be * in a request that makes a change");
            Condition::None
        }
        None => Condition::None,
    }
}

/// The one state of an order that `If-Match` names; none: any.
///
/// # Errors
/// 400: it is no list of ETags, or names several.
pub(crate) fn seen(request: &HttpRequest) -> Result<Option<Revision>, Problem> {
    let mut errors = FieldErrors::default();
    let seen = match tags(request.headers(), &IF_MATCH, &mut errors) {
        None | Some(Tags::Any) => None,
        Some(Tags::These(seen)) => match seen.as_slice() {
            [one] => Some(*one),
            [] => Some(Revision(u64::MAX)),
            [_, _, ..] => {
                errors.add(Place::Header, "/If-Match".to_owned(), "must be one ETag or *");
                None
            }
        },
    };
    errors.none_or(Some(seen))
}

/// Whether the client has this state already: 304.
#[must_use]
pub(crate) fn is_known(headers: &HeaderMap, revision: Revision) -> bool {
    match tags(headers, &IF_NONE_MATCH, &mut FieldErrors::default()) {
        Some(Tags::Any) => true,
        Some(Tags::These(known)) => known.contains(&revision),
        None => false,
    }
}

/// What a client is told whose state is another.
#[must_use]
pub(crate) fn stale() -> Problem {
    Problem::new(ProblemKind::PreconditionFailed, "it is not in the state that If-Match or If-None-Match requires; read it again")
}

enum Tags {
    Any,
    These(Vec<Revision>),
}

/// A weak tag counts as its strong one: proxies that compress make one of the other. A tag that is none of ours is passed over.
fn tags(headers: &HeaderMap, name: &HeaderName, errors: &mut FieldErrors) -> Option<Tags> {
    let mut values = headers.get_all(name).peekable();
    values.peek()?;
    let mut seen = Vec::new();
    for value in values {
        for tag in value.to_str().unwrap_or_default().split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            if tag == "*" {
                return Some(Tags::Any);
            }
            let text = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            let Some(text) = text else {
                let pointer = if *name == IF_MATCH { "/If-Match" } else { "/If-None-Match" };
                errors.add(Place::Header, pointer.to_owned(), "must be * or ETags in quotes, as a GET returns them");
                continue;
            };
            if let Some(revision) = u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16) {
                seen.push(Revision(revision));
            }
        }
    }
    Some(Tags::These(seen))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn what_a_client_has_seen_is_read_from_its_headers() {
        let tag = etag(Revision(0xab));
        let cases = [
            ("If-Match", tag.clone(), Condition::Is(vec![Revision(0xab)])),
            ("If-Match", format!("W/{tag}, \"other\""), Condition::Is(vec![Revision(0xab)])),
            ("If-Match", "\"other\"".to_owned(), Condition::Is(vec![])),
            ("If-Match", "*".to_owned(), Condition::Exists),
            ("If-None-Match", "*".to_owned(), Condition::Absent),
            ("X-Other", tag, Condition::None),
        ];
        for (name, value, wanted) in cases {
            let request = TestRequest::default().insert_header((name, value.clone())).to_http_request();
            let mut errors = FieldErrors::default();
            assert_eq!(condition(&request, &mut errors), wanted, "{name}: {value}");
            assert!(errors.is_empty(), "{name}: {value}");
        }
        let request = TestRequest::default().insert_header(("If-Match", "bare")).to_http_request();
        let mut errors = FieldErrors::default();
        condition(&request, &mut errors);
        assert!(!errors.is_empty());
    }
}
