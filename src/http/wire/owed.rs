//! What an order still waits for, on the wire.

use crate::db::StoredOrder;
use crate::domain::{NoticeStatus, NoticeTask, Payment, Role, Roles, Timestamp};
use crate::http::wire::values::Time;
use crate::saga::owed;
use serde::Serialize;
use utoipa::ToSchema;

/// An answer that an order waits for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OwedView {
    /// The role that owes it.
    #[schema(value_type = String)]
    pub role: &'static str,
    /// `RESERVATION`, `CHARGE`, `RELEASE`, `REFUND`, `SHIPMENT` (the goods are booked out) or `NOTICE`.
    #[schema(value_type = String)]
    pub answer: &'static str,
    /// Whether another team runs that role.
    pub external: bool,
    /// Since when nothing has happened to the order.
    pub since: Time,
    /// The notice's channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub channel: Option<&'static str>,
    /// Tries so far, as far as they are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tries: Option<u32>,
    /// Why the last try failed, as far as that is stored. Only operators are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_error: Option<String>,
    /// When it is tried again, as far as the answering node knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_try_at: Option<Time>,
}

/// What the roles have stored about an order that is not settled.
#[derive(Clone, Default)]
pub(crate) struct InProgress {
    /// The payment role's row.
    pub payment: Option<Payment>,
    /// The notification role's rows.
    pub notices: Vec<NoticeTask>,
    /// When the payment is tried again.
    pub next_payment_try: Option<Timestamp>,
}

/// The answers that an order waits for.
#[must_use]
pub(crate) fn owes(stored: &StoredOrder, external: Roles, roles: &InProgress) -> Vec<OwedView> {
    let debts = owed(&stored.record.facts, stored.order.channels());
    let since = Time(stored.record.history.last().map_or(stored.order.created_at, |entry| entry.at));
    let of = |role: Role, answer| OwedView {
        role: role.name(),
        answer,
        external: external.has(role),
        since,
        channel: None,
        tries: None,
        last_error: None,
        next_try_at: None,
    };
    let money = |answer| {
        let row = roles.payment.as_ref();
        OwedView {
            tries: row.map(|row| row.attempt),
            last_error: row.and_then(|row| row.reason.as_ref()).map(ToString::to_string),
            next_try_at: roles.next_payment_try.map(Time),
            ..of(Role::Payment, answer)
        }
    };
    let answers = [
        (debts.stock, of(Role::Inventory, "RESERVATION")),
        (debts.payment, money("CHARGE")),
        (debts.refunded, money("REFUND")),
        (debts.released, of(Role::Inventory, "RELEASE")),
        (debts.stock_moved, of(Role::Inventory, "SHIPMENT")),
    ];
    let mut views: Vec<OwedView> = answers.into_iter().filter_map(|(is_owed, view)| is_owed.then_some(view)).collect();
    let Some(kind) = debts.notice else { return views };
    for channel in stored.order.channels().iter().filter(|channel| !stored.record.facts.has_notice(kind, *channel)) {
        let task = roles.notices.iter().find(|task| task.kind == kind && task.channel == channel && task.status == NoticeStatus::Pending);
        views.push(OwedView {
            channel: Some(channel.name()),
            tries: task.map(|task| task.attempt),
            last_error: task.and_then(|task| task.reason.as_ref()).map(ToString::to_string),
            next_try_at: task.and_then(|task| task.next_try_at).map(Time),
            ..of(Role::Notification, "NOTICE")
        });
    }
    views
}
