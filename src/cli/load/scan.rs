//! Finds a field in an answer.

/// The text of the first field of that name (with quotes and colon) in compact or spaced JSON; our answers escape neither ids
/// nor types, so a scan does what a parser would.
pub(crate) fn text_field<'a>(body: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = body.windows(name.len()).position(|window| window == name)?;
    let value = body.get(at + name.len()..)?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = value.iter().position(|byte| *byte == b'"')?;
    value.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_field_is_found_in_compact_and_spaced_json() {
        assert_eq!(text_field(br#"{"orderId":"a","x":1}"#, b"\"orderId\":"), Some(&b"a"[..]));
        assert_eq!(text_field(br#"{ "x": 1, "orderId": "b" }"#, b"\"orderId\":"), Some(&b"b"[..]));
        assert_eq!(text_field(br#"{"orderId":7}"#, b"\"orderId\":"), None);
        assert_eq!(text_field(b"", b"\"orderId\":"), None);
    }
}
