//! The same random batches to every store: each must decide the same, and hold the same in the end.

use crate::fixture::{Fixture, Implementation};
use crate::sample;
use ordermill::db::{Answer, ConsumedPlace, CorrectionFilter, DeadLetterFilter, IdempotencyKey, ReleaseReason, Write};
use ordermill::domain::{
    AnalyticsRow, Channel, Closing, Condition, DeadLetterState, Event, EventBody, NoticeKind, NoticeStatus, Order, OrderStatus,
    PaymentStatus, ProductChange, Role, Shard, StockChange,
};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};
use std::fmt::Debug;
use std::sync::Arc;

/// Orders and products that the writes are about: few, so that they meet.
const ORDERS: u64 = 6;
const PRODUCTS: u64 = 3;
const BATCHES: u64 = 12;

/// Seeds that are tried.
const SEEDS: u64 = 25;

pub(crate) async fn stores_agree(stores: &[(&str, &dyn Implementation)]) {
    for seed in 1..=SEEDS {
        let mut told: Vec<(&str, Vec<String>)> = Vec::new();
        for (name, store) in stores {
            told.push((name, story(&mut store.fixture().await, seed).await));
        }
        let (first, lines) = &told[0];
        for (name, others) in &told[1..] {
            for (line, other) in lines.iter().zip(others) {
                assert_eq!(line, other, "seed {seed}: {first} (left) and {name} (right)");
            }
            assert_eq!(lines.len(), others.len());
        }
    }
}

/// What became of each write, and what is stored after the last.
async fn story(fixture: &mut Fixture, seed: u64) -> Vec<String> {
    let mut dice = Dice(Xoshiro256PlusPlus::seed_from_u64(seed));
    let mut lines = Vec::new();
    for _ in 0..BATCHES {
        let writes: Vec<Write> = (0..=dice.below(8)).map(|_| write(&mut dice, fixture)).collect();
        let committed = fixture.commit(writes.clone()).await;
        for (write, outcome) in writes.iter().zip(&committed.outcomes) {
            lines.push(format!("{write:?}\n    became {outcome:?}"));
        }
        lines.extend(committed.events.iter().map(|logged| format!("told {} {:?}", logged.seq, logged.event)));
    }
    lines.extend(contents(fixture).await);
    lines
}

struct Dice(Xoshiro256PlusPlus);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0.next_u64() % most
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

fn write(dice: &mut Dice, fixture: &Fixture) -> Write {
    let number = dice.below(ORDERS);
    let order = sample::order_of(number, vec![sample::line(number % PRODUCTS, 1), sample::line(PRODUCTS, 2)]);
    match dice.below(23) {
        0 | 1 => sample::place(&order),
        2 => sample::place_with(
            &order,
            u8::try_from(dice.below(3)).unwrap(),
            u8::try_from(dice.below(2)).unwrap(),
            sample::at(dice.below(9)),
        ),
        3 => save(dice, &order),
        4 | 5 => sample::reserve(&order),
        6 => sample::release(&order, dice.one_of(&[ReleaseReason::Cancelled, ReleaseReason::PaymentFailed])),
        7 => sample::hold(&order),
        8 => sample::ship(&order),
        9 | 10 => {
            let all =
                [PaymentStatus::Trying, PaymentStatus::Charged, PaymentStatus::Failed, PaymentStatus::Cancelled, PaymentStatus::Refunded];
            sample::payment(&order, 1 + u32::try_from(dice.below(2)).unwrap(), dice.one_of(&all))
        }
        11 => {
            let (kind, channel) = (dice.one_of(&NoticeKind::ALL), dice.one_of(&Channel::ALL));
            let status = dice.one_of(&[NoticeStatus::Pending, NoticeStatus::Sent, NoticeStatus::GivenUp]);
            sample::notice(&order, kind, channel, status, u32::try_from(dice.below(3)).unwrap())
        }
        12 | 13 => product(dice),
        14 => {
            let key = key(dice);
            Write::KeepAnswer { key, answer: Answer::Http { status: 202, body: "{}".to_owned() }, at: sample::at(dice.below(9)) }
        }
        15 => Write::AddLetter(sample::letter(&order, u32::try_from(dice.below(2)).unwrap(), "a-cause", dice.below(9))),
        16 => {
            let id = sample::letter(&order, u32::try_from(dice.below(2)).unwrap(), "a-cause", 0).id;
            if dice.below(2) == 0 {
                return Write::MarkLetter { id, origin: "from elsewhere".to_owned() };
            }
            let (state, by, at) = (DeadLetterState::Discarded, sample::text("ann"), sample::at(600));
            Write::CloseLetter(Closing { id, state, by, note: None, overrules: None, at })
        }
        17 => {
            let row = AnalyticsRow { minute: 5, metric: 1, key: vec![7], value: 3 };
            let after = i64::try_from(dice.below(2)).unwrap() * 4;
            Write::SaveAnalytics { add: vec![row], source: fixture.writer.writer, after, seq: after + 4 }
        }
        18 => Write::KnowOrder { order },
        19 => Write::HoldEvent {
            event: Event::of(&order, sample::at(700), dice.one_of(&[&EventBody::OrderConfirmed, &EventBody::PaymentCancelled]).clone()),
        },
        20 => Write::Published { writer: fixture.writer.writer, seq: i64::try_from(dice.below(9)).unwrap() },
        21 => {
            let (topic, partition) = (dice.one_of(&["a", "b"]).to_owned(), i32::try_from(dice.below(2)).unwrap());
            let place = ConsumedPlace { topic, partition, next: i64::try_from(dice.below(9)).unwrap() };
            Write::Consumed { role: dice.one_of(&Role::ALL), places: vec![place] }
        }
        _ => shards(dice),
    }
}

fn save(dice: &mut Dice, order: &Arc<Order>) -> Write {
    let status = dice.one_of(&[OrderStatus::Confirmed, OrderStatus::Cancelled]);
    let letters = if dice.below(2) == 0 { vec![sample::letter(order, 0, "another-cause", 5)] } else { Vec::new() };
    sample::save(order, status, vec![EventBody::OrderConfirmed], letters)
}

fn product(dice: &mut Dice) -> Write {
    let id = sample::product_id(dice.below(PRODUCTS + 1));
    let mut write = match dice.below(4) {
        0 | 1 => sample::put(id, 5),
        2 => sample::adjust(id, i32::try_from(dice.below(9)).unwrap() - 4),
        _ => sample::change_of(id, ProductChange { stock: StockChange::Counted(3), discontinued: Some(true), ..ProductChange::nothing() }),
    };
    if let Write::ChangeProduct(change) = &mut write {
        if dice.below(3) == 0 {
            change.key = Some(key(dice));
        }
        if dice.below(5) == 0 {
            change.condition = Condition::Exists;
        }
    }
    write
}

fn key(dice: &mut Dice) -> IdempotencyKey {
    let (key, body) = (u8::try_from(dice.below(3)).unwrap(), u8::try_from(dice.below(2)).unwrap());
    IdempotencyKey { key: [0x70 + key; 32], body: [body; 32], expires_at: sample::at(5 + dice.below(20)) }
}

fn shards(dice: &mut Dice) -> Write {
    let roles = vec![dice.one_of(&Role::ALL)];
    let shards: Vec<Shard> = (0..=dice.below(2)).map(|_| Shard(u16::try_from(dice.below(3)).unwrap())).collect();
    if dice.below(2) == 0 { Write::TakeShards { roles, shards } } else { Write::ReleaseShards { roles, shards } }
}

async fn contents(fixture: &Fixture) -> Vec<String> {
    let reads = &fixture.reads;
    let mut lines = Vec::new();
    let mut snapshot = reads.snapshot().await.unwrap();
    tell(&mut lines, "product", snapshot.products().await.unwrap());
    tell(&mut lines, "order", snapshot.orders(None, 1000).await.unwrap());
    tell(&mut lines, "number", snapshot.analytics().await.unwrap());
    tell(&mut lines, "position", snapshot.analytics_positions().await.unwrap());
    tell(&mut lines, "log", reads.log(fixture.writer.writer, 0, 100_000).await.unwrap());
    tell(&mut lines, "letter", reads.letters(DeadLetterFilter { limit: 1000, ..DeadLetterFilter::default() }).await.unwrap().rows);
    tell(&mut lines, "correction", reads.corrections(CorrectionFilter { limit: 1000, ..CorrectionFilter::default() }).await.unwrap());
    tell(&mut lines, "shard", reads.shard_rows().await.unwrap().into_iter().filter(|row| row.writer.is_some()).collect());
    for writer in reads.writers().await.unwrap() {
        lines.push(format!("writer {:?}", (writer.writer, writer.commits, writer.last_seq, writer.published_seq)));
    }
    for role in Role::ALL {
        tell(&mut lines, role.name(), reads.consumed(role).await.unwrap().places);
    }
    for n in 0..ORDERS {
        let order = sample::order(n).id;
        tell(&mut lines, "known", vec![reads.known_order(order).await.unwrap()]);
        tell(&mut lines, "payment", vec![reads.payment(order).await.unwrap()]);
        tell(&mut lines, "notice", reads.notices(order).await.unwrap());
    }
    for n in 0..3_u8 {
        tell(&mut lines, "answer", vec![reads.answer([0x70 + n; 32]).await.unwrap()]);
    }
    lines
}

fn tell<T: Debug>(lines: &mut Vec<String>, what: &str, rows: Vec<T>) {
    lines.extend(rows.iter().map(|row| format!("{what} {row:?}")));
}
