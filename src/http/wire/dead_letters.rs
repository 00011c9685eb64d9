//! Dead letters on the wire.

use crate::db::{AuditEntry, DeadLetterGroup};
use crate::domain::DeadLetter;
use crate::http::wire::values::Time;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

/// A dead letter.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetterView {
    /// Which.
    pub letter_id: Uuid,
    /// `STEP`, `NOTICE`, `ANOMALY` or `MESSAGE`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// Whose work it was.
    #[schema(value_type = String)]
    pub role: &'static str,
    /// Which order it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub order_id: Option<Uuid>,
    /// The step that failed.
    pub step: String,
    /// A short code to group by.
    pub cause: String,
    /// What exactly happened.
    pub detail: String,
    /// How often it was tried.
    pub tries: u32,
    /// `OPEN`, or how it was closed.
    #[schema(value_type = String)]
    pub state: &'static str,
    /// When it was put here.
    pub created_at: Time,
    /// When it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub closed_at: Option<Time>,
    /// Where a message came from and what it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    #[schema(value_type = Option<Object>)]
    pub origin: Option<Box<RawValue>>,
}

impl From<&DeadLetter> for DeadLetterView {
    fn from(letter: &DeadLetter) -> Self {
        let as_json = |text: &String| {
            let quoted = || serde_json::value::to_raw_value(text);
            RawValue::from_string(text.clone()).or_else(|_| quoted()).ok()
        };
        Self {
            letter_id: letter.id.0,
            kind: letter.kind.name(),
            role: letter.role.name(),
            order_id: letter.order.map(|order| order.0),
            step: letter.step.to_string(),
            cause: letter.cause.to_string(),
            detail: letter.detail.to_string(),
            tries: letter.tries,
            state: letter.state.name(),
            created_at: Time(letter.created_at),
            closed_at: letter.closed_at.map(Time),
            origin: letter.origin.as_ref().and_then(as_json),
        }
    }
}

/// A page of dead letters, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetterPage {
    /// The letters; with a filter perhaps fewer than `limit`, or none, though more follow.
    pub items: Vec<DeadLetterView>,
    /// The `cursor` of the next page; none on the last, and only there.
    pub next_cursor: Option<String>,
}

/// A dead letter with what was done about it.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeadLetterWhole {
    /// The letter.
    #[serde(flatten)]
    pub letter: DeadLetterView,
    /// What was done, oldest first.
    pub audit: Vec<AuditView>,
}

/// One thing that a person did.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditView {
    /// When.
    pub at: Time,
    /// Who.
    pub by: String,
    /// What.
    pub action: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub note: Option<String>,
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        Self { at: Time(entry.at), by: entry.by, action: entry.action, note: entry.note }
    }
}

/// The open letters, counted.
#[derive(Serialize, ToSchema)]
pub(crate) struct GroupsView {
    /// The groups, largest first.
    pub groups: Vec<GroupView>,
}

/// Open letters that have kind, cause and step in common.
#[derive(Serialize, ToSchema)]
pub(crate) struct GroupView {
    /// The kind.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// The cause.
    pub cause: String,
    /// The step.
    pub step: String,
    /// How many.
    pub count: u64,
    /// The oldest.
    pub oldest: Time,
}

impl From<DeadLetterGroup> for GroupView {
    fn from(group: DeadLetterGroup) -> Self {
        Self { kind: group.kind.name(), cause: group.cause, step: group.step, count: group.count, oldest: Time(group.oldest) }
    }
}

/// What can be done about a letter.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "the shape for the documents; bodies are read field by field")]
pub(crate) enum Action {
    /// It is tried again.
    Reprocess,
    /// It is passed over.
    Skip,
    /// The order is cancelled, and undone what was done for it.
    Compensate,
    /// The letter is put away.
    Discard,
    /// A person did it by hand.
    Done,
    /// What another team's role said is gone on with.
    Accept,
}

/// What a person decided about a letter.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape for the documents; bodies are read field by field")]
pub(crate) struct ActionBody {
    /// What is done.
    pub action: Action,
    /// Why, for the audit; `done` needs it.
    pub note: Option<String>,
    /// Of `done`: it counts even if the payment provider says otherwise or cannot be asked; audited.
    #[schema(default = false)]
    pub r#override: Option<bool>,
}

/// What a person decided about many letters.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "the shape for the documents; bodies are read field by field")]
pub(crate) struct BulkBody {
    /// What is done about each.
    pub action: Action,
    /// Why, for the audit; `done` needs it.
    pub note: Option<String>,
    /// Of `done`: it counts even if the payment provider says otherwise or cannot be asked; audited.
    #[schema(default = false)]
    pub r#override: Option<bool>,
    /// Which open letters; empty: all.
    pub filter: BulkFilter,
    /// At most so many.
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
    /// How many a second.
    #[schema(minimum = 1, maximum = 100, default = 10)]
    pub per_second: Option<u32>,
    /// Only tell which.
    pub dry_run: Option<bool>,
}

/// Which open letters.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "the shape for the documents; bodies are read field by field")]
pub(crate) struct BulkFilter {
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this cause.
    pub cause: Option<String>,
    /// About this order.
    pub order_id: Option<Uuid>,
}

/// What was done about many letters.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkView {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Letters that the filter and the limit let through.
    pub matched: usize,
    /// Letters that it was done about; the request ends after some time, whatever is left.
    pub done: usize,
    /// Letters that it could not be done about.
    pub failed: Vec<FailedLetter>,
    /// Which letters, of a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub letters: Vec<Uuid>,
}

/// A letter that an action could not be done about.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailedLetter {
    /// Which.
    pub letter_id: Uuid,
    /// Why.
    pub detail: String,
}
