//! Trace context as the W3C has it: which trace something belongs to, and which span it follows from.

use std::fmt;

/// The id of a trace; never all zeros.
pub type TraceId = [u8; 16];
/// The id of a span; never all zeros.
pub type SpanId = [u8; 8];

/// Where something stands in a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span that what follows is a child of.
    pub span: SpanId,
    /// Whether whoever began the trace has it recorded.
    pub is_sampled: bool,
    /// Whether it must be kept with the order, because it cannot be derived from the order's correlation id.
    pub is_kept: bool,
}

/// The length of version 00.
const LENGTH: usize = 55;
/// What begins a stored context.
const MARK: u8 = 1;
/// The length of a stored context.
const STORED: usize = 1 + 16 + 8 + 1;
/// The flag of a sampled trace.
const SAMPLED: u8 = 1;

impl TraceContext {
    /// Reads a `traceparent` header; none if it is not valid. Of a later version than 00 the known part is read.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let bytes = header.as_bytes();
        let [version] = bytes_of(bytes.get(..2)?)?;
        let ends = match version {
            0xff => return None,
            0 => bytes.len() == LENGTH,
            _ => bytes.len() == LENGTH || bytes.get(LENGTH) == Some(&b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
        if !(ends && dashes) {
            return None;
        }
        let (trace, span) = (bytes_of(bytes.get(3..35)?)?, bytes_of(bytes.get(36..52)?)?);
        let [flags] = bytes_of(bytes.get(53..LENGTH)?)?;
        let is_valid = trace != [0; 16] && span != [0; 8];
        is_valid.then_some(Self { trace, span, is_sampled: flags & SAMPLED != 0, is_kept: true })
    }

    /// Its stored form, behind what it belongs to.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(STORED);
        bytes.push(MARK);
        bytes.extend(self.trace);
        bytes.extend(self.span);
        bytes.push(if self.is_sampled { SAMPLED } else { 0 });
        bytes
    }

    /// What [`TraceContext::to_bytes`] wrote; none if it is anything else, such as the padding of an older form.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[MARK], rest) = bytes.split_first_chunk::<1>()? else { return None };
        let (trace, rest) = rest.split_first_chunk::<16>()?;
        let (span, rest) = rest.split_first_chunk::<8>()?;
        let (flags, _) = rest.split_first()?;
        Some(Self { trace: *trace, span: *span, is_sampled: flags & SAMPLED != 0, is_kept: true })
    }
}

/// As a `traceparent` header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (u128::from_be_bytes(self.trace), u64::from_be_bytes(self.span));
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", u8::from(self.is_sampled))
    }
}

/// Hexadecimal digits, which must be lower-case ones.
fn bytes_of<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let is_lower = !digits.iter().any(u8::is_ascii_uppercase);
    (is_lower && hex::decode_to_slice(digits, &mut bytes).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_good_header_is_read_and_written_the_same() {
        let context = TraceContext::parse(GOOD).unwrap();
        assert_eq!(context.to_string(), GOOD);
        assert!(context.is_sampled);
        assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
        let unsampled = TraceContext::parse(&GOOD.replace("-01", "-02")).unwrap();
        assert!(!unsampled.is_sampled);
    }

    #[test]
    fn what_is_no_context_is_not_taken_for_one() {
        let later = GOOD.replacen("00", "cc", 1);
        assert!(TraceContext::parse(&later).is_some());
        assert!(TraceContext::parse(&format!("{later}-more")).is_some());
        let zero_trace = GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let zero_span = GOOD.replace("00f067aa0ba902b7", &"0".repeat(16));
        for bad in [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}-more"),
            &format!("{later}.more"),
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replace('-', "_"),
            &zero_trace,
            &zero_span,
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
        for bad in [&[][..], &[0; 26], &[1; 25]] {
            assert_eq!(TraceContext::from_bytes(bad), None, "{bad:?}");
        }
    }
}
