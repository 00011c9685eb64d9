//! Line numbers as an editor shows them. The CSV reader's own count goes wrong where lines end in CR or CR LF, and a report that names
//! the wrong line is worse than none.

use super::quotes::{self, Fault};

/// Counts the lines of a text; asked from front to back.
pub(super) struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    /// Of a text whose first line is the line `first`.
    pub(super) fn of(text: &'a [u8], first: u64) -> Self {
        Self { text, at: 0, line: first }
    }

    /// The line of the record that the reader began to read at this position; ends of lines in front of it belong to those before.
    pub(super) fn number(&mut self, position: Option<&csv::Position>) -> u64 {
        let began = position.and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or(self.at).max(self.at);
        let ends = self.text.get(began..).unwrap_or_default().iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.line += self.ends(began + ends);
        self.at = began + ends;
        self.line
    }

    /// The line that the reader has come to.
    pub(super) fn after(&self, position: &csv::Position) -> u64 {
        let to = usize::try_from(position.byte()).unwrap_or(self.text.len()).min(self.text.len());
        self.line + self.ends(to)
    }

    /// What is wrong with the quotes of the record whose line was asked for last, and which the reader has read up to this position.
    pub(super) fn fault(&self, position: &csv::Position, delimiter: u8) -> Option<Fault> {
        let to = usize::try_from(position.byte()).unwrap_or(self.text.len()).min(self.text.len());
        let record = self.text.get(self.at..to).unwrap_or_default();
        if record.contains(&b'"') { quotes::fault(record, delimiter, self.line) } else { None }
    }

    /// Ends of lines from where it stands up to `to`: LF, CR LF or CR alone.
    fn ends(&self, to: usize) -> u64 {
        let passed = self.text.get(self.at..to).unwrap_or_default();
        let mut count = 0;
        let mut before = if self.at > 0 { self.text.get(self.at - 1).copied() } else { None };
        for byte in passed {
            count += u64::from(*byte == b'\r' || *byte == b'\n' && before != Some(b'\r'));
            before = Some(*byte);
        }
        count
    }
}
