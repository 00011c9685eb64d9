//! When stored notices are looked for again: what waits for long waits in the database, not in memory.

use crate::actors::cell::Cell;
use crate::actors::protocol::messages::EventRef;
use crate::domain::{Channel, Event, EventBody, NoticeKind, Order, Text};
use std::cell::Cell as Slot;

/// Of each channel, on the cell's steady clock: until when its provider takes nothing, and when a stored notice falls due.
pub(crate) struct NoticeBoard {
    held: [Slot<u64>; 2],
    due: [Slot<u64>; 2],
}

impl Default for NoticeBoard {
    /// What earlier lives have stored is due at once.
    fn default() -> Self {
        Self { held: Default::default(), due: Default::default() }
    }
}

impl NoticeBoard {
    fn held(&self, channel: Channel) -> &Slot<u64> {
        let [email, sms] = &self.held;
        if channel == Channel::Email { email } else { sms }
    }

    fn due(&self, channel: Channel) -> &Slot<u64> {
        let [email, sms] = &self.due;
        if channel == Channel::Email { email } else { sms }
    }

    /// Nothing is sent by this channel before `until_ms`.
    pub(crate) fn hold(&self, channel: Channel, until_ms: u64) {
        self.held(channel).set(until_ms);
        self.note(channel, until_ms);
    }

    pub(crate) fn is_held(&self, channel: Channel, now_ms: u64) -> bool {
        now_ms < self.held(channel).get()
    }

    /// A stored notice falls due then.
    pub(crate) fn note(&self, channel: Channel, at_ms: u64) {
        let due = self.due(channel);
        due.set(due.get().min(at_ms));
    }

    /// Whether to look for stored notices now. If so, the next time must be set again.
    pub(crate) fn take_due(&self, channel: Channel, now_ms: u64) -> bool {
        let is_due = !self.is_held(channel, now_ms) && self.due(channel).get() <= now_ms;
        if is_due {
            self.due(channel).set(u64::MAX);
        }
        is_due
    }
}

/// Tells the order's actor that this notice is stored and waits, so that it may rest. Not an event of the log: nothing was tried.
pub(crate) fn tell_waiting(cell: &Cell, order: &Order, kind: NoticeKind, channel: Channel) {
    let reason = Text::lossy("waits for its provider");
    let body = EventBody::NotificationFailed { kind, channel, attempt: 0, last: false, reason };
    let event = EventRef::alone(Event::of(order, cell.node.now(), body));
    cell.orders.answer(order.id, event);
}
