//! CSV files as people have them: the one reader of the HTTP server and of the command line.
//!
//! Finds out the delimiter, passes over a byte order mark, names columns whatever their case, and says of each row which line of the
//! file it is, however the lines end. Knows no HTTP and no node: text in, rows and reasons out.

mod lines;
mod products;
mod quotes;

pub use products::{Broken, ProductRow, Products, is_catalogue};

use crate::domain::{Money, MoneyError};
use csv::{ByteRecord, ReaderBuilder};
use lines::Lines;
use quotes::Fault;

/// What may stand between two fields.
const DELIMITERS: [u8; 4] = *b",;\t|";
/// So much of a text from a file is shown.
const SHOWN: usize = 100;

/// Why a text is no table at all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SheetError {
    /// Two bytes a character.
    #[error("the file is UTF-16; save it as \"CSV UTF-8\"")]
    Utf16,
    /// No line with anything in it.
    #[error("the file is empty; its first line must name the columns {wanted}")]
    Empty {
        /// The columns.
        wanted: String,
    },
    /// Columns that must be there are not.
    #[error("the first line has no column {}; it must name {wanted}, separated by , ; | or a tab", .missing.join(", "))]
    MissingColumns {
        /// Which.
        missing: Vec<String>,
        /// All.
        wanted: String,
    },
    /// Columns that nobody knows.
    #[error("the first line names {}, which is not a known column; the known columns are {known}", .columns.join(", "))]
    UnknownColumns {
        /// Which.
        columns: Vec<String>,
        /// All that are known.
        known: String,
    },
    /// Two columns that mean the same.
    #[error("the first line names the column {0} twice")]
    TwiceNamed(String),
    /// The first line cannot be read.
    #[error("the first line cannot be read: {0}")]
    Header(String),
    /// Nobody knows what the lines behind it are.
    #[error("a quote is opened in line {line} and {}: from there on, lines cannot be told from the text of a field", closed_in(.closed))]
    OpenQuote {
        /// Where it is opened.
        line: u64,
        /// Where another one ends it, within a text; none: nowhere.
        closed: Option<u64>,
    },
}

fn closed_in(closed: &Option<u64>) -> String {
    closed.map_or_else(|| "never closed".to_owned(), |line| format!("not closed before line {line}, where text follows the quote"))
}

impl SheetError {
    /// The line of the file that it is about.
    #[must_use]
    pub fn line(&self) -> u64 {
        match self {
            Self::OpenQuote { line, .. } => *line,
            Self::Utf16
            | Self::Empty { .. }
            | Self::MissingColumns { .. }
            | Self::UnknownColumns { .. }
            | Self::TwiceNamed(_)
            | Self::Header(_) => 1,
        }
    }
}

/// Why a row cannot be read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum RowError {
    /// Fewer fields than columns.
    #[error("has {fields} fields: {} missing{}", missing_columns(.missing), if *.is_long { "; is a quote not closed?" } else { "" })]
    Short {
        /// How many there are.
        fields: usize,
        /// The columns without one.
        missing: Vec<String>,
        /// Whether the row goes over several lines.
        is_long: bool,
    },
    /// A field in quotes goes on behind them.
    #[error("has text after a closing quote; a quote inside a quoted field must be doubled")]
    TextBehindQuote,
    /// More fields than columns.
    #[error("has {fields} fields, but the first line names {columns} columns: {first:?} is beyond the last one")]
    Long {
        /// How many there are.
        fields: usize,
        /// How many there should be.
        columns: usize,
        /// The first one too many.
        first: String,
    },
    /// A field in another encoding.
    #[error("{column} is not UTF-8; save the file as \"CSV UTF-8\"")]
    NotUtf8 {
        /// Of which column.
        column: String,
    },
    /// Beyond what the reader takes.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

fn missing_columns(missing: &[String]) -> String {
    format!("{} {}", missing.join(", "), if missing.len() == 1 { "is" } else { "are" })
}

/// A table as it is read, row by row.
pub struct Sheet<'a> {
    reader: csv::Reader<&'a [u8]>,
    lines: Lines<'a>,
    header: Vec<String>,
    header_line: u64,
    delimiter: u8,
    record: ByteRecord,
}

/// A row of a table.
pub struct Row {
    /// The line of the file in which it begins, counted from 1.
    pub line: u64,
    /// Its fields, one for each column, without spaces around them.
    pub fields: Vec<String>,
}

/// A row, or the line and why it cannot be read.
pub type ReadRow = Result<Row, (u64, RowError)>;

impl<'a> Sheet<'a> {
    /// Reads the first line.
    ///
    /// # Errors
    /// It is none that names columns; `wanted` says which ones are meant.
    pub fn open(text: &'a [u8], wanted: &[&str]) -> Result<Self, SheetError> {
        if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
            return Err(SheetError::Utf16);
        }
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let (rest, told) = told_delimiter(text);
        let delimiter = told.unwrap_or_else(|| likely_delimiter(rest));
        let mut reader = ReaderBuilder::new().flexible(true).has_headers(false).delimiter(delimiter).trim(csv::Trim::All).from_reader(rest);
        // The line that names the delimiter is one of the file's.
        let mut lines = Lines::of(rest, if told.is_some() { 2 } else { 1 });
        let mut record = ByteRecord::new();
        let is_there = reader.read_byte_record(&mut record).map_err(|error| SheetError::Header(error.to_string()))?;
        if !is_there || record.iter().all(<[u8]>::is_empty) {
            return Err(SheetError::Empty { wanted: wanted.join(",") });
        }
        let header_line = lines.number(record.position());
        if let Some(Fault::Open(line)) = lines.fault(reader.position(), delimiter) {
            return Err(SheetError::OpenQuote { line, closed: None });
        }
        let header = record.iter().map(|name| shown(&String::from_utf8_lossy(name))).collect();
        Ok(Self { reader, lines, header, header_line, delimiter, record })
    }

    /// The names of the columns as they stand in the file.
    #[must_use]
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// The line of the names.
    #[must_use]
    pub fn header_line(&self) -> u64 {
        self.header_line
    }

    /// Where the column of one of these names is; case, spaces, `-` and `_` do not count.
    #[must_use]
    pub fn find(&self, names: &[&str]) -> Option<usize> {
        self.header.iter().position(|column| names.iter().any(|name| is_same(column, name)))
    }

    /// The next row, or why it cannot be read, with its line; `None` at the end.
    ///
    /// # Errors
    /// From here on nobody knows where a row begins.
    pub fn next_row(&mut self) -> Result<Option<ReadRow>, SheetError> {
        match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => Ok(None),
            Ok(true) => {
                let line = self.lines.number(self.record.position());
                let row = match self.lines.fault(self.reader.position(), self.delimiter) {
                    Some(Fault::Open(line)) => return Err(SheetError::OpenQuote { line, closed: None }),
                    Some(Fault::TextBehind { opened, closed }) if opened != closed => {
                        return Err(SheetError::OpenQuote { line: opened, closed: Some(closed) });
                    }
                    Some(Fault::TextBehind { .. }) => Err(RowError::TextBehindQuote),
                    None => self.fields(line),
                };
                Ok(Some(row.map(|fields| Row { line, fields }).map_err(|error| (line, error))))
            }
            Err(error) => Ok(Some(Err((self.lines.number(error.position()), RowError::Unreadable(error.to_string()))))),
        }
    }

    fn fields(&self, line: u64) -> Result<Vec<String>, RowError> {
        let (fields, columns) = (self.record.len(), self.header.len());
        if fields < columns {
            let missing = self.header.iter().skip(fields).cloned().collect();
            let is_long = self.lines.after(self.reader.position()) > line + 1;
            return Err(RowError::Short { fields, missing, is_long });
        }
        let beyond = self.record.iter().skip(columns).find(|field| !field.is_empty());
        if let Some(first) = beyond {
            return Err(RowError::Long { fields, columns, first: shown(&String::from_utf8_lossy(first)) });
        }
        let text = |(field, column): (&[u8], &String)| match std::str::from_utf8(field) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(RowError::NotUtf8 { column: column.clone() }),
        };
        self.record.iter().zip(&self.header).map(text).collect()
    }

    /// An amount. Where fields are not parted by commas, a comma may stand before the cents.
    ///
    /// # Errors
    /// It is none.
    pub fn amount(&self, text: &str) -> Result<Money, MoneyError> {
        match text.split_once(',') {
            // Of a thousand or of three places nobody knows.
            Some((_, cents)) if self.delimiter != b',' && cents.len() > 2 => Err(MoneyError::TooPrecise),
            Some((whole, cents)) if self.delimiter != b',' && !whole.contains('.') => format!("{whole}.{cents}").parse(),
            Some(_) | None => text.parse(),
        }
    }
}

/// What a first line of `sep=;` says, which spreadsheets read and write, and the text behind it.
fn told_delimiter(text: &[u8]) -> (&[u8], Option<u8>) {
    let Some(rest) = text.strip_prefix(b"sep=").or_else(|| text.strip_prefix(b"\"sep=")) else { return (text, None) };
    let Some((delimiter, rest)) = rest.split_first() else { return (text, None) };
    let rest = rest.strip_prefix(b"\"").unwrap_or(rest);
    let behind = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")).or_else(|| rest.strip_prefix(b"\r"));
    match behind {
        Some(behind) if DELIMITERS.contains(delimiter) => (behind, Some(*delimiter)),
        Some(_) | None => (text, None),
    }
}

/// What parts most fields of the first line that has any.
fn likely_delimiter(text: &[u8]) -> u8 {
    let mut counts = [0_u32; DELIMITERS.len()];
    let mut is_quoted = false;
    for byte in text {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\r' | b'\n' if !is_quoted && counts != [0; DELIMITERS.len()] => break,
            _ if is_quoted => {}
            byte => {
                let found = DELIMITERS.iter().zip(&mut counts).find(|(delimiter, _)| *delimiter == byte);
                if let Some((_, count)) = found {
                    *count += 1;
                }
            }
        }
    }
    // Of equals the first: `max_by_key` takes the last.
    DELIMITERS.iter().zip(counts).rev().max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| *delimiter)
}

/// Whether two names of columns mean the same.
fn is_same(one: &str, other: &str) -> bool {
    let plain = |name: &str| -> String {
        name.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
    };
    plain(one) == plain(other)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let mut sheet = match Sheet::open(text.as_bytes(), &["a", "b"]) {
            Ok(sheet) => sheet,
            Err(error) => return vec![error.to_string()],
        };
        let mut told = vec![format!("{}: {}", sheet.header_line(), sheet.header().join("|"))];
        loop {
            told.push(match sheet.next_row() {
                Ok(Some(Ok(row))) => format!("{}: {}", row.line, row.fields.join("|")),
                Ok(Some(Err((line, error)))) => format!("{line}! {error}"),
                Ok(None) => return told,
                Err(error) => {
                    told.push(format!("{}!! {error}", error.line()));
                    return told;
                }
            });
        }
    }

    #[test]
    fn delimiter_mark_and_ends_of_lines_are_found() {
        for end in ["\n", "\r\n", "\r"] {
            for delimiter in [",", ";", "\t", "|"] {
                let text = ["\u{feff}a,b", "1,2", "", "\"x", "y\", 4 ", "5,6"].join(end).replace(',', delimiter);
                assert_eq!(read(&text), ["1: a|b", "2: 1|2", &format!("4: x{end}y|4"), "6: 5|6"], "{end:?} {delimiter:?}");
            }
        }
        assert_eq!(read("sep=|\r\na|b\r\n1|2,3"), ["2: a|b", "3: 1|2,3"]);
        assert_eq!(read("\u{feff}sep=;\r\na;b\r\n1;2,3"), ["2: a|b", "3: 1|2,3"]);
        assert_eq!(read("\n\n\"a;b;c\",b\n1,2"), ["3: a;b;c|b", "4: 1|2"]);
    }

    #[test]
    fn what_is_wrong_with_a_row_is_named() {
        assert_eq!(
            read("a,b,c\n1\n1,2,3,4\n1,2,3,,\n\"1\n2\",3\n1,\"2\"x,3\n"),
            [
                "1: a|b|c",
                "2! has 1 fields: b, c are missing",
                "3! has 4 fields, but the first line names 3 columns: \"4\" is beyond the last one",
                "4: 1|2|3",
                "5! has 2 fields: c is missing; is a quote not closed?",
                "7! has text after a closing quote; a quote inside a quoted field must be doubled",
            ]
        );
        assert_eq!(read(""), ["the file is empty; its first line must name the columns a,b"]);
        let text = b"a,b\n1,\xfc\n";
        let mut sheet = Sheet::open(text, &[]).unwrap();
        let (line, error) = sheet.next_row().unwrap().unwrap().err().unwrap();
        assert_eq!((line, error.to_string().as_str()), (2, "b is not UTF-8; save the file as \"CSV UTF-8\""));
        assert!(matches!(Sheet::open(b"\xff\xfea\0", &[]), Err(SheetError::Utf16)));
    }

    #[test]
    fn a_quote_that_is_not_closed_ends_the_reading_with_the_line_where_it_opens() {
        let rest = "from there on, lines cannot be told from the text of a field";
        for end in ["\n", "\r\n", "\r"] {
            let open = ["a,b", "", "1,\"2", "3,4", "5,6", ""].join(end);
            assert_eq!(read(&open), ["1: a|b", &format!("3!! a quote is opened in line 3 and never closed: {rest}")], "{end:?}");
            let met = ["a,b", "1,2", "\"3", "4,5", "\"6\",7", "8,9"].join(end);
            let told = format!("3!! a quote is opened in line 3 and not closed before line 5, where text follows the quote: {rest}");
            assert_eq!(read(&met), ["1: a|b", "2: 1|2", &told], "{end:?}");
        }
        assert_eq!(read("a,\"b\n1,2\n"), [format!("a quote is opened in line 1 and never closed: {rest}")]);
    }

    #[test]
    fn a_comma_may_stand_before_the_cents_where_it_parts_no_fields() {
        let sheet = |text| Sheet::open(text, &[]).unwrap();
        assert_eq!(sheet(b"a;b").amount("12,50"), Ok(Money::from_minor(1250).unwrap()));
        assert_eq!(sheet(b"a;b").amount("12.50"), Ok(Money::from_minor(1250).unwrap()));
        assert_eq!(sheet(b"a;b").amount("1,250"), Err(MoneyError::TooPrecise));
        assert!(sheet(b"a;b").amount("1.250,00").is_err());
        assert!(sheet(b"a,b").amount("12,50").is_err());
    }
}
