//! Line numbers as an editor shows them. The CSV reader's own count is one short where lines end in CR LF, and a report that names
//! the wrong line is worse than none.

/// Counts the lines of a text; asked from front to back.
pub(crate) struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    pub(crate) fn of(text: &'a [u8]) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// The line of the record that the reader began to read at this position; ends of lines in front of it belong to those before.
    pub(crate) fn number(&mut self, position: Option<&csv::Position>) -> u64 {
        let began = position.and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or(self.at).max(self.at);
        let ends = self.text.get(began..).unwrap_or_default().iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let passed = self.text.get(self.at..began + ends).unwrap_or_default();
        self.line += u64::try_from(passed.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(0);
        self.at = began + ends;
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_as_an_editor_does_whatever_ends_them() {
        for end in ["\n", "\r\n"] {
            let text = ["h", "2", "", "4", "\"5", "6\"", "7"].join(end);
            let mut lines = Lines::of(text.as_bytes());
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let numbers: Vec<u64> = reader.byte_records().map(|record| lines.number(record.unwrap().position())).collect();
            assert_eq!(numbers, [2, 4, 5, 7], "{end:?}");
        }
    }
}
