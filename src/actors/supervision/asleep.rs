//! Orders that owe only a notice sleep in the database, however many they are. The notifier takes up what it has stored page by page,
//! and each notice's end wakes its order. A round over what is stored looks after those for which no word will come: it was lost, or
//! the notifier, being elsewhere, must be asked again.

use crate::actors::cell::CellRef;
use crate::actors::protocol::messages::WakeWith;
use crate::actors::runtime::pause::pause;
use crate::actors::runtime::retry::Stopping;
use crate::db::StoredOrder;
use crate::domain::{Channel, NoticeKind, NoticeStatus, OrderId, Role};
use crate::saga::{awaited, owed};
use std::collections::HashSet;

/// The pause between two pages of the first round after a start, which finds what the last incarnation has left undone.
pub(super) const FIRST_PAUSE_MS: u64 = 20;
/// The pause between two pages of later rounds, and after every page of which orders were woken.
pub(super) const PAUSE_MS: u64 = 200;

/// The notice that an order owes which owes nothing else.
pub(super) fn owed_notice(stored: &StoredOrder) -> Option<NoticeKind> {
    let debts = owed(&stored.record.facts, stored.order.channels());
    debts.notice.filter(|_| !debts.is_more_than_a_notice())
}

/// One round over the sleeping orders of this cell: those that must ask again are woken, a page at a time.
pub(super) async fn round(cell: CellRef, pause_ms: u64) {
    let mut after = None;
    loop {
        let shards = cell.shards_of(Role::Order);
        if shards.is_empty() {
            return;
        }
        let page = cell.node.settings.load_page;
        let reading = cell.begin_reading();
        cell.node.journal.passed().await;
        let read = cell.node.read_until_ok(|| cell.node.reads.open_orders(shards.clone(), after, page)).await;
        let Ok(mut found) = read else { return };
        after = found.last().map(|stored| stored.order.id).filter(|_| found.len() >= page as usize);
        found.retain(|stored| {
            let id = stored.order.id;
            let is_live = cell.orders.has(id);
            !is_live && !reading.is_old(id) && stored.record.parked.is_none() && owed_notice(stored).is_some()
        });
        drop(reading);
        if !found.is_empty() {
            cell.has_sleepers.set(true);
        }
        let Ok(in_hand) = in_hand(&cell, &found).await else { return };
        found.retain(|stored| !in_hand.contains(&stored.order.id) && must_ask(&cell, stored));
        found.iter().for_each(|stored| cell.wake(stored.order.id, WakeWith::Stored));
        if after.is_none() {
            return;
        }
        pause(if found.is_empty() { pause_ms } else { PAUSE_MS }).await;
    }
}

/// Of these the orders whose owed notice this node's notifier has stored, to be sent.
async fn in_hand(cell: &CellRef, found: &[StoredOrder]) -> Result<HashSet<OrderId>, Stopping> {
    let is_here = |stored: &&StoredOrder| cell.owns(Role::Notification, stored.order.shard);
    let ids: Vec<OrderId> = found.iter().filter(is_here).map(|stored| stored.order.id).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = cell.node.read_until_ok(|| cell.node.reads.notices_among(ids.clone())).await?;
    let pending = rows.into_iter().filter(|row| row.status == NoticeStatus::Pending);
    let pending: HashSet<(OrderId, NoticeKind, Channel)> = pending.map(|row| (row.order, row.kind, row.channel)).collect();
    let is_in_hand = |stored: &&StoredOrder| {
        let Some(kind) = owed_notice(stored) else { return false };
        let mut missing = stored.order.channels().iter().filter(|channel| !stored.record.facts.has_notice(kind, *channel));
        missing.all(|channel| pending.contains(&(stored.order.id, kind, channel)))
    };
    Ok(found.iter().filter(is_in_hand).map(|stored| stored.order.id).collect())
}

/// Another team's notifier is asked once; then it is a matter of time until a person is told.
fn must_ask(cell: &CellRef, stored: &StoredOrder) -> bool {
    let settings = &cell.node.settings;
    if !settings.external_roles.has(Role::Notification) {
        return true;
    }
    let awaited = awaited::awaited(&stored.order, &stored.record, settings.external_roles, settings.deadlines);
    awaited.is_some_and(|awaited| awaited.since.plus_ms(settings.external_answer_ms) <= cell.node.now())
}
