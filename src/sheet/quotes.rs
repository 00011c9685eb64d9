//! Quotes that do not fit. The CSV reader takes all that follows an open quote, to the next quote or to the end of the file, for one
//! field, and says nothing: lines would be lost.

/// What is wrong with the quotes of a record, with lines of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// The file ends within the quote that is opened here.
    Open(u64),
    /// Text follows the closing quote of a field.
    TextBehind {
        /// Where the quote is opened.
        opened: u64,
        /// Where it is closed.
        closed: u64,
    },
}

enum State {
    FieldBegins,
    Plain,
    Quoted,
    /// A quote within a quoted field: its end, or the first half of a doubled one.
    QuoteWithin,
}

/// The first fault of the record that `text` begins with, in the line `line`.
pub(super) fn fault(text: &[u8], delimiter: u8, mut line: u64) -> Option<Fault> {
    let (mut state, mut opened, mut before) = (State::FieldBegins, line, 0);
    for byte in text.iter().copied() {
        let ends_line = matches!(byte, b'\r' | b'\n');
        line += u64::from(byte == b'\r' || byte == b'\n' && before != b'\r');
        before = byte;
        state = match state {
            State::FieldBegins | State::Plain | State::QuoteWithin if ends_line => return None,
            State::FieldBegins | State::Plain | State::QuoteWithin if byte == delimiter => State::FieldBegins,
            State::FieldBegins if byte == b'"' => {
                opened = line;
                State::Quoted
            }
            State::FieldBegins | State::Plain => State::Plain,
            State::Quoted if byte == b'"' => State::QuoteWithin,
            State::Quoted => State::Quoted,
            State::QuoteWithin if byte == b'"' => State::Quoted,
            State::QuoteWithin if byte == b' ' => State::QuoteWithin,
            State::QuoteWithin => return Some(Fault::TextBehind { opened, closed: line }),
        };
    }
    matches!(state, State::Quoted).then_some(Fault::Open(opened))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_that_do_not_fit_are_found_with_their_lines() {
        let behind = |opened, closed| Some(Fault::TextBehind { opened, closed });
        let cases = [
            ("a,\"b\",c\n\"", None),
            ("a,\"b \"\"x\"\"\r\ny\" ,c\r\n", None),
            ("10\" plate,1\n", None),
            ("a,\"\"\n", None),
            ("a,\"\"", None),
            ("a,\"b\nc,d\ne,f\n", Some(Fault::Open(7))),
            ("\"a\r\nb\",\"c\r\rd", Some(Fault::Open(8))),
            ("a,\"10\" plate\",1\n", behind(7, 7)),
            ("\"Tea,1\nCup,1\n\"Pot, big\",1\n", behind(7, 9)),
        ];
        for (text, want) in cases {
            assert_eq!(fault(text.as_bytes(), b',', 7), want, "{text:?}");
        }
    }
}
