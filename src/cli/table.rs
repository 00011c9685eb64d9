//! Rows for a person: columns as wide as their widest cell, together no wider than the terminal. An id is shown whole or not at all:
//! a part of one cannot be copied.

use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A text is not cut shorter than this.
const MIN_TEXT: usize = 12;
const GAP: usize = 2;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column<'a> {
    title: &'a str,
    kind: Kind,
    /// Given up when the terminal is too narrow, the highest first; 0 never.
    rank: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Whole,
    Text,
    Number,
}

impl<'a> Column<'a> {
    /// Of ids, times and codes, which are never cut.
    pub(crate) const fn whole(title: &'a str) -> Self {
        Self { title, kind: Kind::Whole, rank: 0 }
    }

    /// Of texts, which may be cut.
    pub(crate) const fn text(title: &'a str) -> Self {
        Self { title, kind: Kind::Text, rank: 0 }
    }

    /// Of numbers, which stand on the right.
    pub(crate) const fn number(title: &'a str) -> Self {
        Self { title, kind: Kind::Number, rank: 0 }
    }

    pub(crate) const fn title(&self) -> &'a str {
        self.title
    }

    /// May be left out where there is no room; a higher rank goes first.
    pub(crate) const fn spare(self, rank: u8) -> Self {
        Self { rank, ..self }
    }
}

/// The rows under a heading, each cell padded to its column; within `width`, if there is one. The last line names what was left out.
pub(crate) fn table<const N: usize>(columns: [Column<'_>; N], rows: &[[String; N]], width: Option<usize>) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| printable(cell))).collect();
    let widest = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.width());
        cells.chain(columns.get(at).map(|column| column.title.width())).max().unwrap_or(0)
    };
    let natural: Vec<usize> = (0..N).map(widest).collect();
    let (widths, left_out) = fitted(&columns, &natural, width.unwrap_or(usize::MAX));
    let mut out = String::new();
    for row in std::iter::once(&columns.map(|column| column.title.to_owned())).chain(&rows) {
        let cells = row.iter().zip(&columns).zip(&widths);
        let cells = cells.filter_map(|((cell, column), width)| width.map(|width| padded(cell, column.kind, width)));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    if !left_out.is_empty() {
        out.push_str(&format!("(no room for {}; a wider terminal or --json shows it)\n", left_out.join(", ")));
    }
    out
}

/// The columns' widths, none for those that are left out, and the titles of these.
fn fitted<'a>(columns: &[Column<'a>], natural: &[usize], most: usize) -> (Vec<Option<usize>>, Vec<&'a str>) {
    let mut shown: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
    let mut left_out = Vec::new();
    loop {
        let mut widths = shown.clone();
        while total(&widths) > most {
            let texts = widths.iter_mut().zip(columns).filter(|(_, column)| column.kind == Kind::Text);
            let longest = texts.filter_map(|(width, _)| width.as_mut()).max_by_key(|width| **width).filter(|width| **width > MIN_TEXT);
            let Some(longest) = longest else { break };
            *longest -= 1;
        }
        let spare = columns.iter().zip(&mut shown).filter(|(column, width)| column.rank > 0 && width.is_some());
        let spare = spare.max_by_key(|(column, _)| column.rank).filter(|_| total(&widths) > most);
        let Some((column, width)) = spare else { return (widths, left_out) };
        *width = None;
        left_out.push(column.title);
    }
}

fn total(widths: &[Option<usize>]) -> usize {
    let shown = widths.iter().flatten();
    shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1)
}

fn padded(cell: &str, kind: Kind, width: usize) -> String {
    let cell = if kind == Kind::Text { cut(cell, width) } else { cell.to_owned() };
    let fill = " ".repeat(width.saturating_sub(cell.width()));
    if kind == Kind::Number { fill + &cell } else { cell + &fill }
}

/// The text, or as much of it as has room before an ellipsis.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used >= width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// Without characters that would command the terminal: texts come from customers and providers.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A value as indented JSON on standard output.
pub(crate) fn print_json(value: &Value) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column<'_>; 4] =
        [Column::whole("ID"), Column::text("NAME"), Column::number("PRICE").spare(1), Column::whole("CUSTOMER").spare(2)];

    fn row(cells: [&str; 4]) -> [String; 4] {
        cells.map(str::to_owned)
    }

    #[test]
    fn columns_line_up_and_commands_to_the_terminal_are_blanked() {
        let rows = [row(["é", "a", "1.50", "c"]), row(["long\u{1b}[2J", "茶壺", "12.00", "c"])];
        insta::assert_snapshot!(table(COLUMNS, &rows, None), @r"
        ID        NAME  PRICE  CUSTOMER
        é         a      1.50  c
        long [2J  茶壺  12.00  c
        ");
    }

    #[test]
    fn a_table_fits_the_terminal_and_says_what_it_leaves_out() {
        let rows = [row(["0123456789", "a name that is rather long", "1.50", "01234567-89ab"])];
        let at = |width| table(COLUMNS, &rows, Some(width));
        insta::assert_snapshot!(at(50), @r"
        ID          NAME              PRICE  CUSTOMER
        0123456789  a name that is …   1.50  01234567-89ab
        ");
        insta::assert_snapshot!(at(35), @r"
        ID          NAME              PRICE
        0123456789  a name that is …   1.50
        (no room for CUSTOMER; a wider terminal or --json shows it)
        ");
        insta::assert_snapshot!(at(10), @r"
        ID          NAME
        0123456789  a name that…
        (no room for CUSTOMER, PRICE; a wider terminal or --json shows it)
        ");
        for width in 24..80 {
            assert!(at(width).lines().filter(|line| !line.starts_with('(')).all(|line| line.width() <= width), "{width}: {}", at(width));
        }
        assert_eq!(cut("茶壺茶壺", 6), "茶壺…", "a wide character is not cut in two");
    }
}
