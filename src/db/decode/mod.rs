//! Rows back into the domain's types, once for every SQL database. A row is a tuple of columns whose types the database names
//! ([`Columns`]), so each function is compiled for each database: nothing is converted that is not needed, and nothing is looked up by
//! name.
//!
//! It knows no statement and no connection. What a column may not hold is a [`Failure::Column`], what a blob may not hold a
//! [`Failure::Codec`].

mod audit;
mod cluster;
mod letters;
mod log;
mod orders;
mod payments;
mod stock;

pub(super) use audit::{AuditParts, CorrectionRow, EntryRow, correction, entry};
pub(super) use cluster::{ConsumedRow, ShardColumns, WriterColumns, consumption, owner, shard_rows, writer};
pub(super) use letters::{GroupRow, LetterRow, StoredLetterRow, group, letter, stored_letter};
pub(super) use log::{AnalyticsColumns, EventRow, MARKER, analytics, event, log_entry, logged_events};
pub(super) use orders::{AnswerRow, KeyRow, ListedRow, StoredRow, kept_answer, listed, placed, status, stored, stored_key};
pub(super) use payments::{NoticeRow, PaymentRow, notice, notices, payment};
pub(super) use stock::{LineRow, ProductRow, StepRow, StoredLine, half_range, product, reservation, reserve, step};

use super::failure::Failure;
use crate::domain::{Money, Role, Shard, Text, Timestamp};
use uuid::Uuid;

/// The types in which a database returns its columns, and what they mean.
pub(super) trait Columns {
    /// An id.
    type Id: Into<Uuid>;
    /// An amount of money.
    type Amount;
    /// A point in time.
    type Time;
    /// A truth value.
    type Flag;
    /// A count or quantity.
    type Count: Into<i64>;
    /// A shard, a topic, a metric.
    type Small: Into<i64>;

    /// The amount, if it can be one.
    fn money(amount: Self::Amount) -> Option<Money>;
    /// The point in time.
    fn time(at: Self::Time) -> Timestamp;
    /// The truth value.
    fn is_set(flag: Self::Flag) -> bool;
}

fn money<C: Columns>(amount: C::Amount) -> Result<Money, Failure> {
    C::money(amount).ok_or(Failure::Column("an amount"))
}

fn text<const MAX: usize>(text: &str) -> Result<Text<MAX>, Failure> {
    Text::new(text).map_err(|_| Failure::Column("a text"))
}

fn text_or_none<const MAX: usize>(value: Option<&str>) -> Result<Option<Text<MAX>>, Failure> {
    value.map(text).transpose()
}

pub(super) fn shard(number: impl Into<i64>) -> Result<Shard, Failure> {
    u16::try_from(number.into()).map(Shard).map_err(|_| Failure::Column("a shard"))
}

fn count(number: impl Into<i64>) -> Result<u32, Failure> {
    u32::try_from(number.into()).map_err(|_| Failure::Column("a count"))
}

pub(super) fn role(name: &str) -> Result<Role, Failure> {
    Role::from_name(name).ok_or(Failure::Column("a role"))
}
