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
    /// The dead letter's id.
    pub letter_id: Uuid,
    /// `STEP`, `NOTICE`, `ANOMALY` or `MESSAGE`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// The role whose work failed.
    #[schema(value_type = String)]
    pub role: &'static str,
    /// The order it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub order_id: Option<Uuid>,
    /// The step that failed.
    pub step: String,
    /// A short code to group by.
    pub cause: String,
    /// What happened, in detail.
    pub detail: String,
    /// Number of tries.
    pub tries: u32,
    /// `OPEN`, or the way it was closed.
    #[schema(value_type = String)]
    pub state: &'static str,
    /// When it was created.
    pub created_at: Time,
    /// When it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub closed_at: Option<Time>,
    /// Where the message came from, and its content.
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
    /// The dead letters. With a filter there may be fewer than `limit`, or none, although more follow.
    pub items: Vec<DeadLetterView>,
    /// The `cursor` of the next page; absent only on the last page.
    pub next_cursor: Option<String>,
}

/// A dead letter with the actions on it.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeadLetterWhole {
    /// The dead letter.
    #[serde(flatten)]
    pub letter: DeadLetterView,
    /// The actions on it, oldest first.
    pub audit: Vec<AuditView>,
}

/// One manual action.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditView {
    /// When it happened.
    pub at: Time,
    /// The name of the access key that did it.
    pub by: String,
    /// The action.
    pub action: String,
    /// The reason given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub note: Option<String>,
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        Self { at: Time(entry.at), by: entry.by, action: entry.action, note: entry.note }
    }
}

/// The open dead letters, counted by group.
#[derive(Serialize, ToSchema)]
pub(crate) struct GroupsView {
    /// The groups, largest first.
    pub groups: Vec<GroupView>,
}

/// Open dead letters with the same kind, cause and step.
#[derive(Serialize, ToSchema)]
pub(crate) struct GroupView {
    /// The kind.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// The cause.
    pub cause: String,
    /// The step.
    pub step: String,
    /// The number of them.
    pub count: u64,
    /// When the oldest was created.
    pub oldest: Time,
    /// When the newest was created.
    pub newest: Time,
}

impl From<DeadLetterGroup> for GroupView {
    fn from(group: DeadLetterGroup) -> Self {
        let (oldest, newest) = (Time(group.oldest), Time(group.newest));
        Self { kind: group.kind.name(), cause: group.cause, step: group.step, count: group.count, oldest, newest }
    }
}

/// An action on a dead letter.
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

/// A person's decision on a dead letter.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape for the documents; bodies are read field by field")]
pub(crate) struct ActionBody {
    /// The action.
    pub action: Action,
    /// The reason, for the audit; required for `done`.
    pub note: Option<String>,
    /// With `done`: record it even if the payment provider contradicts it or cannot be asked. Audited.
    #[schema(default = false)]
    pub r#override: Option<bool>,
}

/// A person's decision on many dead letters.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "the shape for the documents; bodies are read field by field")]
pub(crate) struct BulkBody {
    /// The action on each.
    pub action: Action,
    /// The reason, for the audit; required for `done`.
    pub note: Option<String>,
    /// With `done`: record it even if the payment provider contradicts it or cannot be asked. Audited.
    #[schema(default = false)]
    pub r#override: Option<bool>,
    /// Which open dead letters; empty: all.
    pub filter: BulkFilter,
    /// Most dead letters to act on.
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
    /// Dead letters per second.
    #[schema(minimum = 1, maximum = 100, default = 10)]
    pub per_second: Option<u32>,
    /// Only list the dead letters; do nothing.
    pub dry_run: Option<bool>,
}

/// Selects open dead letters.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "the shape for the documents; bodies are read field by field")]
pub(crate) struct BulkFilter {
    /// Only this kind.
    pub kind: Option<String>,
    /// Only this cause.
    pub cause: Option<String>,
    /// Only this step.
    pub step: Option<String>,
    /// Only this order.
    pub order_id: Option<Uuid>,
}

/// The result of an action on many dead letters.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkView {
    /// Whether this was a dry run, in which nothing was done.
    pub dry_run: bool,
    /// Number of dead letters selected by the filter and the limit.
    pub matched: usize,
    /// Dead letters that were acted on. The request ends after some time, even if more are left.
    pub done: usize,
    /// Dead letters on which the action failed.
    pub failed: Vec<FailedLetter>,
    /// The dead letters that a dry run selected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub letters: Vec<Uuid>,
}

/// A dead letter on which an action failed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailedLetter {
    /// The dead letter's id.
    pub letter_id: Uuid,
    /// Why it failed.
    pub detail: String,
}
