//! How answers of an external role are judged before they become facts. Pure.
//!
//! The first answer is the fact. One that contradicts it becomes a dead letter and has no other effect. One that differs from what was
//! ordered (another amount, other lines) waits for a person. What becomes a fact is announced to our roles as `AnswerAccepted`; they act on
//! nothing else.

use super::park::{EXTERNAL, is_parked_for};
use super::undo::Undo;
use super::{ExternalRecord, Facts, PaymentFact, Record, StockFact, owed, status, step, table};
use crate::domain::{
    DeadLetter, DeadLetterKind, Event, EventBody, EventKind, ExternalIds, Money, Order, ReservedLine, Role, Roles, Text, Timestamp,
};
use crate::saga::dispute::{Dispute, dispute, is_disputed};
use crate::saga::park::Effects;

/// The cause of dead letters about answers that contradict what was recorded.
pub const CONTRADICTION: &str = "contradicting-answer";

/// How an answer relates to the record.
enum Judgement {
    /// It says nothing new.
    Known,
    /// It becomes a fact.
    Fact,
    /// It waits for a person.
    Disputed(Dispute),
    /// A release without a known cause, which may still be on its way.
    Early,
    /// It contradicts what the text says.
    Contradicts(String),
}

/// Whether the event is an answer of an external role.
#[must_use]
pub fn is_theirs(event: &Event, external: Roles) -> bool {
    event.kind().topic().role().is_some_and(|role| external.has(role))
}

/// The form in which our roles get an event (again): an external role's answer as `AnswerAccepted`.
#[must_use]
pub fn told(event: Event, external: Roles, record: &Record) -> Event {
    if !is_theirs(&event, external) {
        return event;
    }
    let external_ids = record.external_ids(event.kind()).cloned().and_then(ExternalIds::some);
    Event { body: EventBody::AnswerAccepted { answer: Box::new(event.body) }, external_ids, ..event }
}

/// Keeps what that team calls its answer.
fn keep_ids(record: &mut Record, event: &Event) {
    if let Some(ids) = &event.external_ids {
        let all = &mut record.external.get_or_insert_default().ids;
        all.retain(|(of, _)| *of != event.kind().number());
        all.push((event.kind().number(), (**ids).clone()));
    }
}

/// Applies an answer of any role; see [`step::answer`] for our own roles.
pub fn answer(order: &Order, record: &mut Record, event: &Event, external: Roles, now: Timestamp, effects: &mut Effects) {
    if !is_theirs(event, external) {
        return step::answer(order, record, event, now, effects);
    }
    // Deadlines are reckoned from it, and another team's clock may be wrong.
    let at = event.at.max(order.created_at).min(now.max(order.created_at));
    let judgement = judge(order, record, &event.body);
    if matches!(judgement, Judgement::Fact | Judgement::Early | Judgement::Disputed(_)) {
        keep_ids(record, event);
    }
    match judgement {
        Judgement::Known => {}
        Judgement::Fact => {
            let body = fact(order, record, &event.body);
            accept(order, record, body, at, now, effects);
        }
        Judgement::Early => {
            record.external.get_or_insert_default().released_early = Some(at);
            effects.changed = true;
        }
        Judgement::Disputed(dispute) => {
            let kept = record.external.get_or_insert_default();
            match &event.body {
                EventBody::InventoryReserved { lines } => kept.stock = Some((lines.clone(), at)),
                EventBody::PaymentProcessed { amount, method } => kept.payment = Some((*amount, method.clone(), at)),
                EventBody::PaidInOtherCurrency { amount, currency, method } => {
                    kept.payment = Some((order.total, method.clone(), at));
                    kept.foreign_money = Some((*amount, currency.clone()));
                }
                EventBody::OrderCreated(_)
                | EventBody::InventoryInsufficient { .. }
                | EventBody::InventoryReleased { .. }
                | EventBody::InventoryShipped { .. }
                | EventBody::PaymentFailed { .. }
                | EventBody::PaymentCancelled
                | EventBody::PaymentRefunded { .. }
                | EventBody::OrderConfirmed
                | EventBody::OrderCancelRequested { .. }
                | EventBody::OrderCancelled { .. }
                | EventBody::OrderFailed { .. }
                | EventBody::ShipmentHeld
                | EventBody::OrderShipped { .. }
                | EventBody::NotificationSent { .. }
                | EventBody::NotificationFailed { .. }
                | EventBody::AnswerAccepted { .. }
                | EventBody::StepParked { .. } => {}
            }
            open_dispute(order, record, dispute, now, effects);
        }
        Judgement::Contradicts(what) => {
            let ids = event.external_ids.as_ref().map_or_else(String::new, |ids| format!(" [{ids}]"));
            contradict(order, record, event.kind(), &format!("{}{ids}", said(&event.body)), &what, now, effects);
        }
    }
}

/// The fact that an answer becomes. What another team says it released proves nothing about what it held. Facts are in our currency, and a
/// payment in another currency counts as the order's total.
fn fact(order: &Order, record: &mut Record, body: &EventBody) -> EventBody {
    if let EventBody::PaidInOtherCurrency { amount, currency, method } = body {
        record.external.get_or_insert_default().foreign_money = Some((*amount, currency.clone()));
        return EventBody::PaymentProcessed { amount: order.total, method: method.clone() };
    }
    if body.kind() == EventKind::InventoryReleased {
        return EventBody::InventoryReleased { lines: Vec::new() };
    }
    if body.kind() == EventKind::PaymentRefunded && foreign_money(record).is_some() {
        return EventBody::PaymentRefunded { amount: step::paid(order, &record.facts) };
    }
    body.clone()
}

/// What was paid, if it was not in our currency.
fn foreign_money(record: &Record) -> Option<&(Money, Text<20>)> {
    record.external.as_deref()?.foreign_money.as_ref()
}

/// What was paid, as the other team reported it.
pub(super) fn paid_as_told(order: &Order, record: &Record) -> String {
    foreign_money(record).map_or_else(|| step::paid(order, &record.facts).to_string(), |(amount, currency)| format!("{amount} {currency}"))
}

/// Makes the answer a fact, and announces it to our roles before its consequences.
fn accept(order: &Order, record: &mut Record, body: EventBody, at: Timestamp, now: Timestamp, effects: &mut Effects) {
    let (place, known) = (effects.events.len(), record.history.len());
    let asked_for = by_hand_asked_for(order, record);
    step::answer(order, record, &Event::of(order, at, body.clone()), now, effects);
    // Of notices nobody needs to hear.
    if record.history.len() > known && body.kind().topic().role() != Some(Role::Notification) {
        let ids = record.external_ids(body.kind()).cloned();
        tell(order, body, at, ids, place, effects);
    }
    if let Some(undo) = asked_for.filter(|undo| !undo.is_owed(&owed(&record.facts, order.channels()))) {
        record.parked = None;
        effects.letters.push(undo.settled(order, now));
    }
}

/// The undo for which the order is parked until a person has done it.
fn by_hand_asked_for(order: &Order, record: &Record) -> Option<Undo> {
    is_parked_for(record, EXTERNAL).then(|| Undo::first_owed(&owed(&record.facts, order.channels())))?
}

/// Announces the fact to our roles, before its consequences.
pub(super) fn tell(order: &Order, body: EventBody, at: Timestamp, ids: Option<ExternalIds>, place: usize, effects: &mut Effects) {
    let accepted = Event::of(order, at, EventBody::AnswerAccepted { answer: Box::new(body) });
    let event = Event { external_ids: ids.and_then(ExternalIds::some), ..accepted };
    effects.events.insert(place.min(effects.events.len()), event);
}

fn judge(order: &Order, record: &Record, body: &EventBody) -> Judgement {
    let facts = &record.facts;
    let nothing = ExternalRecord::default();
    let kept = record.external.as_deref().unwrap_or(&nothing);
    match body {
        EventBody::InventoryReserved { lines } => reserved(order, facts, kept, lines),
        EventBody::InventoryInsufficient { .. } => match (&facts.stock, &kept.stock) {
            (Some((StockFact::Insufficient(_), _)), _) => Judgement::Known,
            (None, None) if facts.released.is_some() => Judgement::Known,
            (None, None) => Judgement::Fact,
            (Some((StockFact::Reserved(_), _)), _) | (None, Some(_)) => contradicts("InventoryReserved"),
        },
        EventBody::InventoryReleased { .. } if facts.released.is_some() || facts.is_insufficient() => Judgement::Known,
        EventBody::InventoryReleased { .. } if facts.stock_moved.is_some() => contradicts("InventoryShipped"),
        EventBody::InventoryReleased { .. } if table::is_dead(status(facts)) => Judgement::Fact,
        EventBody::InventoryReleased { .. } if facts.payment.is_none() => Judgement::Early,
        EventBody::InventoryReleased { .. } => contradicts("the order, which is active and whose stock nobody released"),
        EventBody::InventoryShipped { .. } if facts.stock_moved.is_some() => Judgement::Known,
        EventBody::InventoryShipped { .. } if facts.released.is_some() => contradicts("InventoryReleased"),
        EventBody::InventoryShipped { .. } if facts.is_insufficient() => contradicts("InventoryInsufficient"),
        EventBody::InventoryShipped { .. } if !facts.is_reserved() => contradicts("the order, for which nothing is known to be held"),
        EventBody::InventoryShipped { .. } if table::is_dead(status(facts)) => contradicts("the order, which is being undone"),
        EventBody::InventoryShipped { .. } => Judgement::Fact,
        EventBody::PaidInOtherCurrency { amount, currency, .. } => paid_in_other_currency(facts, kept, (*amount, currency)),
        EventBody::PaymentProcessed { .. } if kept.foreign_money.is_some() => paid_otherwise(facts, kept),
        EventBody::PaymentProcessed { amount, .. } => match (&facts.payment, &kept.payment) {
            (Some((PaymentFact::Paid { amount: paid, .. }, _)), _) | (None, Some((paid, ..))) if paid == amount => Judgement::Known,
            (None, None) if *amount == order.total || table::is_dead(status(facts)) => Judgement::Fact,
            (None, None) => Judgement::Disputed(Dispute::Amount),
            (Some(_), _) | (None, Some(_)) => paid_otherwise(facts, kept),
        },
        EventBody::PaymentFailed { .. } => match &facts.payment {
            Some((PaymentFact::Failed { .. }, _)) => Judgement::Known,
            None if kept.payment.is_none() && facts.refunded.is_none() => Judgement::Fact,
            Some((PaymentFact::Paid { .. } | PaymentFact::Cancelled, _)) | None => paid_otherwise(facts, kept),
        },
        EventBody::PaymentCancelled => match &facts.payment {
            Some((PaymentFact::Cancelled, _)) => Judgement::Known,
            None if kept.payment.is_none() && facts.refunded.is_none() => Judgement::Fact,
            Some((PaymentFact::Paid { .. } | PaymentFact::Failed { .. }, _)) | None => paid_otherwise(facts, kept),
        },
        EventBody::PaymentRefunded { .. } if facts.refunded.is_some() => Judgement::Known,
        EventBody::PaymentRefunded { amount } => refunded(facts, kept, *amount),
        EventBody::NotificationSent { kind, channel } | EventBody::NotificationFailed { kind, channel, last: true, .. } => {
            let is_sent = body.kind() == EventKind::NotificationSent;
            match facts.notices.iter().find(|notice| (notice.kind, notice.channel) == (*kind, *channel)) {
                Some(notice) if notice.sent == is_sent => Judgement::Known,
                Some(notice) => contradicts(if notice.sent { "NotificationSent" } else { "NotificationFailed, which was final" }),
                None => Judgement::Fact,
            }
        }
        EventBody::NotificationFailed { last: false, .. }
        | EventBody::OrderCreated(_)
        | EventBody::OrderConfirmed
        | EventBody::OrderCancelRequested { .. }
        | EventBody::OrderCancelled { .. }
        | EventBody::OrderFailed { .. }
        | EventBody::ShipmentHeld
        | EventBody::OrderShipped { .. }
        | EventBody::AnswerAccepted { .. }
        | EventBody::StepParked { .. } => Judgement::Known,
    }
}

fn paid_in_other_currency(facts: &Facts, kept: &ExternalRecord, (amount, currency): (Money, &Text<20>)) -> Judgement {
    match (&facts.payment, &kept.payment, &kept.foreign_money) {
        (Some((PaymentFact::Paid { .. }, _)), _, Some(known)) | (None, Some(_), Some(known)) if *known == (amount, currency.clone()) => {
            Judgement::Known
        }
        (None, None, _) if table::is_dead(status(facts)) => Judgement::Fact,
        (None, None, _) => Judgement::Disputed(Dispute::Currency),
        (Some(_), ..) | (None, Some(_), _) => paid_otherwise(facts, kept),
    }
}

fn refunded(facts: &Facts, kept: &ExternalRecord, amount: Money) -> Judgement {
    match &facts.payment {
        Some((PaymentFact::Paid { amount: paid, .. }, _))
            if kept.foreign_money.as_ref().map_or(*paid, |(told, _)| *told) == amount && table::is_dead(status(facts)) =>
        {
            Judgement::Fact
        }
        None if facts.cancel.is_some() && kept.payment.is_none() => Judgement::Fact,
        Some(_) => paid_otherwise(facts, kept),
        None if kept.payment.is_some() => paid_otherwise(facts, kept),
        None => contradicts("the order, which was not paid"),
    }
}

fn reserved(order: &Order, facts: &Facts, kept: &ExternalRecord, lines: &[ReservedLine]) -> Judgement {
    match (&facts.stock, &kept.stock) {
        (Some((StockFact::Reserved(held), _)), _) | (None, Some((held, _))) if same_lines(held, lines) => Judgement::Known,
        (Some((StockFact::Reserved(_), _)), _) | (None, Some(_)) => contradicts("InventoryReserved of other lines"),
        (Some((StockFact::Insufficient(_), _)), _) => contradicts("InventoryInsufficient"),
        (None, None) if facts.released.is_some() => contradicts("InventoryReleased"),
        (None, None) => {
            let ordered: Vec<ReservedLine> = order.lines.iter().map(ReservedLine::from).collect();
            let is_as_ordered = same_lines(&ordered, lines) || table::is_dead(status(facts));
            if is_as_ordered { Judgement::Fact } else { Judgement::Disputed(Dispute::Reservation) }
        }
    }
}

fn contradicts(what: &str) -> Judgement {
    Judgement::Contradicts(what.to_owned())
}

/// The judgement on an answer that contradicts what is known of the payment.
fn paid_otherwise(facts: &Facts, kept: &ExternalRecord) -> Judgement {
    if let (Some((amount, currency)), None | Some((PaymentFact::Paid { .. }, _))) = (&kept.foreign_money, &facts.payment) {
        return Judgement::Contradicts(format!("PaymentProcessed of {amount} {currency}"));
    }
    Judgement::Contradicts(match (&facts.payment, &kept.payment) {
        (Some((PaymentFact::Paid { amount, .. }, _)), _) | (None, Some((amount, ..))) => format!("PaymentProcessed of {amount}"),
        (Some((PaymentFact::Failed { reason }, _)), _) => format!("PaymentFailed ({reason})"),
        (Some((PaymentFact::Cancelled, _)), _) => "PaymentCancelled".to_owned(),
        (None, None) => "PaymentRefunded".to_owned(),
    })
}

/// Describes an answer for a person.
fn said(body: &EventBody) -> String {
    let name = body.kind().name();
    match body {
        EventBody::PaymentProcessed { amount, .. } | EventBody::PaymentRefunded { amount } => format!("{name} of {amount}"),
        EventBody::PaidInOtherCurrency { amount, currency, .. } => format!("{name} of {amount} {currency}"),
        EventBody::PaymentFailed { reason } => format!("{name} ({reason})"),
        EventBody::InventoryReserved { lines } => format!("{name} of {}", listed(lines)),
        EventBody::NotificationSent { kind, channel } | EventBody::NotificationFailed { kind, channel, .. } => {
            format!("{name} of {}/{}", kind.name(), channel.name())
        }
        EventBody::OrderCreated(_)
        | EventBody::InventoryInsufficient { .. }
        | EventBody::InventoryReleased { .. }
        | EventBody::InventoryShipped { .. }
        | EventBody::PaymentCancelled
        | EventBody::OrderConfirmed
        | EventBody::OrderCancelRequested { .. }
        | EventBody::OrderCancelled { .. }
        | EventBody::OrderFailed { .. }
        | EventBody::ShipmentHeld
        | EventBody::OrderShipped { .. }
        | EventBody::AnswerAccepted { .. }
        | EventBody::StepParked { .. } => name.to_owned(),
    }
}

fn listed(lines: &[ReservedLine]) -> String {
    let some: Vec<String> = lines.iter().take(5).map(|line| format!("{} of {}", line.quantity.get(), line.product)).collect();
    if lines.len() > 5 { format!("{} and {} more", some.join(", "), lines.len() - 5) } else { some.join(", ") }
}

/// Adds one dead letter for each kind of contradiction, however often it is repeated.
fn contradict(order: &Order, record: &mut Record, kind: EventKind, said: &str, what: &str, now: Timestamp, effects: &mut Effects) {
    let kept = record.external.get_or_insert_default();
    let bit = 1 << u32::from(kind.number()).min(31);
    if kept.contradictions & bit != 0 {
        return;
    }
    kept.contradictions |= bit;
    effects.changed = true;
    let status = status(&record.facts).name();
    let detail = format!(
        "another team's role says {said}, which contradicts {what}. The order stays {status} and nothing was done: ask that team what \
         is true; compensate if the order must be undone, otherwise discard this dead letter"
    );
    let letter = DeadLetter::about(order.id, order.shard, DeadLetterKind::Anomaly, kind.number().into(), Role::Order, kind.name(), now);
    effects.letters.push(letter.because(CONTRADICTION, &detail, 1));
}

fn open_dispute(order: &Order, record: &mut Record, dispute: Dispute, now: Timestamp, effects: &mut Effects) {
    let Some(kept) = record.external.as_deref() else { return };
    let (role, step, detail) = match dispute {
        Dispute::Amount => {
            let paid = kept.payment.as_ref().map(|(amount, ..)| amount.to_string()).unwrap_or_default();
            let detail = format!("another team's payment role has taken {paid}, but the order's total is {}", order.total);
            (Role::Payment, "payment", detail)
        }
        Dispute::Currency => {
            let paid = paid_as_told(order, record);
            let detail = format!(
                "another team's payment role has taken {paid}, but amounts here are in another currency (kafka.currency), and the \
                                  order's total is {}",
                order.total
            );
            (Role::Payment, "payment", detail)
        }
        Dispute::Reservation => {
            let ordered: Vec<ReservedLine> = order.lines.iter().map(ReservedLine::from).collect();
            let held = kept.stock.as_ref().map(|(lines, _)| listed(lines)).unwrap_or_default();
            (Role::Inventory, "reservation", format!("another team's inventory role holds {held}, but {} was ordered", listed(&ordered)))
        }
    };
    let detail = format!("{detail}: accept it to continue the order with it, or compensate to give it back");
    let letter = DeadLetter::about(order.id, order.shard, DeadLetterKind::Step, dispute.number(), role, step, now);
    effects.letters.push(letter.because(dispute.cause(), &detail, 1));
    effects.changed = true;
    if record.parked.is_none() {
        record.parked = Some(Text::lossy(dispute.cause()));
    }
}

/// Makes a disputed answer a fact, because a person accepts it. Does nothing if the dispute was settled before.
pub fn settle(order: &Order, record: &mut Record, settled: Dispute, now: Timestamp, effects: &mut Effects) {
    if is_disputed(record, settled)
        && let Some(kept) = record.external.as_deref_mut()
    {
        match settled {
            Dispute::Amount | Dispute::Currency => kept.payment_accepted = Some(now),
            Dispute::Reservation => kept.stock_accepted = Some(now),
        }
    }
    take_over(order, record, settled, now, effects);
}

/// Makes a disputed answer a fact.
fn take_over(order: &Order, record: &mut Record, settled: Dispute, now: Timestamp, effects: &mut Effects) {
    if !is_disputed(record, settled) {
        return;
    }
    let Some(kept) = record.external.as_deref_mut() else { return };
    let said = match settled {
        Dispute::Amount | Dispute::Currency => {
            kept.payment.take().map(|(amount, method, at)| (EventBody::PaymentProcessed { amount, method }, at))
        }
        Dispute::Reservation => kept.stock.take().map(|(lines, at)| (EventBody::InventoryReserved { lines }, at)),
    };
    let Some((body, at)) = said else { return };
    effects.changed = true;
    if record.parked.as_ref().is_some_and(|cause| cause.as_str() == settled.cause()) {
        record.parked = dispute(record).map(|other| Text::lossy(other.cause()));
    }
    accept(order, record, body, at, now, effects);
}

/// Handles answers that came early or are disputed. For an order that is being cancelled they become facts that must be undone.
pub fn look(order: &Order, record: &mut Record, now: Timestamp, effects: &mut Effects) {
    if record.external.is_none() {
        return;
    }
    while table::is_dead(status(&record.facts))
        && let Some(open) = dispute(record)
    {
        take_over(order, record, open, now, effects);
    }
    let Some(kept) = record.external.as_deref_mut() else { return };
    let Some(at) = kept.released_early else { return };
    let is_dead = table::is_dead(status(&record.facts));
    if !is_dead && record.facts.payment.is_none() {
        return;
    }
    kept.released_early = None;
    effects.changed = true;
    let released = EventBody::InventoryReleased { lines: Vec::new() };
    if is_dead {
        return accept(order, record, released, at, now, effects);
    }
    contradict(order, record, released.kind(), released.kind().name(), "the order, which is active and paid", now, effects);
}

/// Whether two lists hold the same products and quantities. A role may list lines in a different sequence, or split a product into several
/// lines.
#[must_use]
pub fn same_lines(some: &[ReservedLine], others: &[ReservedLine]) -> bool {
    let summed = |lines: &[ReservedLine]| {
        let mut sums = std::collections::BTreeMap::new();
        for line in lines {
            *sums.entry(line.product).or_insert(0_u64) += u64::from(line.quantity.get());
        }
        sums
    };
    summed(some) == summed(others)
}
