//! What the core sends, step by step.

use super::*;
use crate::domain::{CorrelationId, EventBody, OrderId, Timestamp};
use std::sync::Arc;
use uuid::Uuid;

/// What happens to the core.
enum Step {
    /// The writers are, with whether each is alive, and how far its log is published and goes.
    Look(&'static [(i64, bool, i64, i64)]),
    /// The claim of that log succeeds.
    Claimed(i64),
    /// A commit of events with the numbers after the first to the second.
    Commit(i64, i64, i64),
    /// A commit of which the last number is a marker.
    WithMarker(i64, i64, i64),
    /// So many entries are read after a number.
    Page(i64, i64, i64),
    /// A marker is read after a number: another log must be published to that number first.
    Marker(i64, i64, Option<(i64, i64)>),
    /// An event is said again, when the log goes to that number.
    Repeat(i64, i64),
    Acked(i64, i64),
    /// The last one was not taken.
    NotTaken(i64, i64),
    Lost {
        is_refusal: bool,
    },
    Connected,
}
use Step::{Acked, Claimed, Commit, Connected, Look, Lost, Marker as Marked, NotTaken, Page, Repeat, WithMarker};

/// This node's writer.
const OWN: WriterId = WriterId(1);

fn event() -> Event {
    Event {
        order: OrderId::from_parts(1, [1; 10]),
        shard: Shard(0),
        correlation: CorrelationId::of(Uuid::nil()),
        at: Timestamp(1),
        body: EventBody::OrderShipped { carrier: None, tracking: None },
        external_ids: None,
    }
}

fn logged(seq: i64) -> LoggedEvent {
    LoggedEvent { seq, event: event(), sale: None }
}

fn row(&(writer, alive, published_seq, last_seq): &(i64, bool, i64, i64)) -> WriterRow {
    WriterRow {
        writer: WriterId(writer),
        node: "node".to_owned(),
        url: String::new(),
        proof: String::new(),
        alive,
        roles: Role::ALL.to_vec(),
        lease_until: Timestamp(0),
        lease_left_ms: 0,
        commits: 0,
        last_seq,
        published_seq,
        publisher: None,
    }
}

impl Step {
    fn run(&self, core: &mut PublisherCore) {
        let of = |writer: i64, after: i64, to: i64, events: i64| Logged {
            writer: WriterId(writer),
            after,
            to,
            events: Arc::new((after + 1..=after + events).map(logged).collect()),
        };
        match *self {
            Look(rows) => drop(core.looked(&rows.iter().map(row).collect::<Vec<_>>(), OWN, false)),
            Claimed(writer) => core.claimed(WriterId(writer), true),
            Commit(writer, after, to) => core.commit(of(writer, after, to, to - after)),
            WithMarker(writer, after, to) => core.commit(of(writer, after, to, to - after - 1)),
            Page(writer, after, count) => {
                core.page(WriterId(writer), after, (after + 1..=after + count).map(|seq| LogEntry::Event(logged(seq))).collect());
            }
            Marked(writer, after, before) => {
                let before = before.map(|(writer, seq)| (WriterId(writer), seq));
                let marker = Marker { role: Role::Order, shard: Shard(0), after: before };
                core.page(WriterId(writer), after, vec![LogEntry::Marker { seq: after + 1, marker }]);
            }
            Repeat(writer, end) => core.repeat(WriterId(writer), end, event()),
            Acked(writer, seq) => core.acked(WriterId(writer), seq),
            NotTaken(writer, seq) => {
                core.not_taken(&Outgoing::Logged { writer: WriterId(writer), logged: logged(seq), is_own: true });
            }
            Lost { is_refusal } => drop(core.disconnected(0, is_refusal)),
            Connected => core.connected(),
        }
    }
}

/// Runs the steps; after each the core sends what is said of it.
#[track_caller]
fn sends(window: usize, steps: &[(Step, &str)]) -> PublisherCore {
    let mut core = PublisherCore::new(&KafkaSettings { publish_window: window, ..KafkaSettings::default() });
    core.connected();
    for (number, (step, want)) in steps.iter().enumerate() {
        step.run(&mut core);
        let mut sent = Vec::new();
        while let Some(outgoing) = core.poll_send(OWN) {
            sent.push(match outgoing {
                Outgoing::Logged { writer, logged, .. } => format!("{}/{}", writer.0, logged.seq),
                Outgoing::Repeat(..) => "again".to_owned(),
            });
        }
        assert_eq!(sent.join(" "), *want, "step {number}");
    }
    core
}

fn to_read(core: &PublisherCore) -> Vec<(i64, i64)> {
    core.to_read().into_iter().map(|(writer, after)| (writer.0, after)).collect()
}

#[test]
fn commits_are_sent_where_they_follow_and_the_rest_is_read() {
    let core = sends(
        10,
        &[
            (Commit(1, 0, 1), ""),
            (Look(&[(1, true, 0, 1)]), ""),
            (Commit(1, 1, 2), ""),
            (Page(1, 0, 2), "1/1 1/2"),
            (Commit(1, 2, 4), "1/3 1/4"),
            (Commit(1, 2, 4), ""),
            (Commit(1, 3, 5), "1/5"),
            (Commit(1, 6, 7), ""),
            (Page(1, 5, 2), "1/6 1/7"),
        ],
    );
    assert_eq!((to_read(&core), core.waiting(), core.lag()), (vec![], 7, 7));
}

#[test]
fn what_finds_no_room_is_read_once_something_is_acknowledged() {
    let core = sends(
        3,
        &[
            (Look(&[(1, true, 0, 0)]), ""),
            (Commit(1, 0, 5), "1/1 1/2 1/3"),
            (Commit(1, 5, 6), ""),
            (Acked(1, 2), ""),
            (Commit(1, 6, 7), ""),
            (Page(1, 3, 4), "1/4"),
        ],
    );
    assert_eq!((to_read(&core), core.waiting(), core.lag()), (vec![], 3, 7), "there is no room");
    let core = sends(3, &[(Look(&[(1, true, 0, 0)]), ""), (Commit(1, 0, 2), "1/1 1/2"), (NotTaken(1, 2), ""), (Commit(1, 2, 3), "")]);
    assert_eq!((to_read(&core), core.waiting()), (vec![], 1), "the producer is full");
    let core = sends(
        3,
        &[(Look(&[(1, true, 0, 0)]), ""), (Commit(1, 0, 2), "1/1 1/2"), (NotTaken(1, 2), ""), (Acked(1, 1), ""), (Page(1, 1, 1), "1/2")],
    );
    assert_eq!(core.waiting(), 1);
}

#[test]
fn a_marker_holds_its_log_up_until_the_last_owners_log_is_published() {
    let until_marker = || vec![(Look(&[(1, true, 0, 0), (2, true, 3, 5)]), ""), (Commit(1, 0, 1), "1/1"), (WithMarker(1, 1, 3), "")];
    let with = |more: Vec<(Step, &'static str)>| {
        let mut steps = until_marker();
        steps.extend(more);
        sends(10, &steps)
    };
    let core = with(vec![(Page(1, 1, 1), "1/2"), (Marked(1, 2, Some((2, 5))), ""), (Commit(1, 3, 4), "")]);
    assert_eq!(to_read(&core), vec![], "it is held up");
    let published = Look(&[(1, true, 0, 4), (2, true, 5, 5)]);
    let core = with(vec![(Page(1, 1, 1), "1/2"), (Marked(1, 2, Some((2, 5))), ""), (published, "")]);
    assert_eq!(to_read(&core), vec![(1, 2)], "another node has published it");
    with(vec![(Page(1, 1, 1), "1/2"), (Marked(1, 2, Some((2, 3))), ""), (Page(1, 3, 1), "1/4")]);
    with(vec![(Page(1, 1, 1), "1/2"), (Marked(1, 2, None), ""), (Page(1, 3, 1), "1/4")]);
    with(vec![(Page(1, 1, 1), "1/2"), (Marked(1, 2, Some((9, 5))), ""), (Page(1, 3, 1), "1/4")]);
    with(vec![(Page(1, 1, 1), "1/2"), (Marked(1, 2, Some((1, 9))), ""), (Page(1, 3, 1), "1/4")]);
}

#[test]
fn a_dead_writers_log_is_published_first_where_a_marker_asks_for_it() {
    let mut core = sends(
        10,
        &[
            (Look(&[(1, true, 0, 2), (2, false, 3, 5)]), ""),
            (Marked(1, 0, Some((2, 5))), ""),
            (Claimed(2), ""),
            (Page(2, 3, 2), "2/4 2/5"),
            (Acked(2, 5), ""),
            (Page(1, 0, 2), ""),
        ],
    );
    core.acked(WriterId(2), 4);
    assert_eq!(core.to_mark(), [(WriterId(2), 5)]);
    assert_eq!(to_read(&core), [(1, 0)], "what was acknowledged is published");
}

#[test]
fn a_repeat_overtakes_nothing() {
    sends(
        3,
        &[
            (Look(&[(1, true, 0, 0)]), ""),
            (Repeat(1, 0), "again"),
            (Repeat(2, 0), ""),
            (WithMarker(1, 0, 1), ""),
            (Repeat(1, 1), ""),
            (Marked(1, 0, None), ""),
            (Repeat(1, 1), "again"),
            (Commit(1, 1, 4), "1/2 1/3 1/4"),
            (Repeat(1, 4), ""),
            (Acked(1, 3), ""),
            (Repeat(1, 4), "again"),
        ],
    );
    // A commit that found no room in the feed is known from the repeat itself.
    let core = sends(3, &[(Look(&[(1, true, 0, 0)]), ""), (Repeat(1, 2), ""), (Page(1, 0, 2), "1/1 1/2"), (Repeat(1, 2), "again")]);
    assert_eq!(to_read(&core), []);
}

#[test]
fn what_a_lost_producer_did_not_acknowledge_is_sent_again() {
    let core = sends(
        10,
        &[
            (Look(&[(1, true, 0, 0)]), ""),
            (Commit(1, 0, 4), "1/1 1/2 1/3 1/4"),
            (Acked(1, 1), ""),
            (Acked(1, 3), ""),
            (Lost { is_refusal: false }, ""),
            (Commit(1, 4, 5), ""),
            (Repeat(1, 5), ""),
            (Connected, ""),
            (Page(1, 3, 2), ""),
            (Page(1, 1, 4), "1/2 1/3 1/4 1/5"),
        ],
    );
    assert_eq!((core.waiting(), core.lag()), (4, 4));
}

#[test]
fn after_a_refusal_one_event_is_tried_alone() {
    sends(
        10,
        &[
            (Look(&[(1, true, 0, 0)]), ""),
            (Commit(1, 0, 3), "1/1 1/2 1/3"),
            (Lost { is_refusal: true }, ""),
            (Connected, ""),
            (Page(1, 0, 3), "1/1"),
            (Commit(1, 3, 4), ""),
            (Acked(1, 1), ""),
            (Page(1, 1, 3), "1/2 1/3 1/4"),
        ],
    );
}

#[test]
fn what_is_refused_at_once_is_sent_before_what_comes_behind_it() {
    let core = sends(
        10,
        &[
            (Look(&[(1, true, 0, 0), (2, false, 0, 1)]), ""),
            (Claimed(2), ""),
            (Commit(1, 0, 3), "1/1 1/2 1/3"),
            (NotTaken(1, 2), ""),
            (Page(1, 1, 2), ""),
            (Page(2, 0, 1), ""),
            (Lost { is_refusal: false }, ""),
            (Connected, ""),
            (Page(1, 0, 3), "1/1 1/2 1/3"),
        ],
    );
    assert_eq!(core.waiting(), 3);
}

#[test]
fn room_is_waited_for_where_an_acknowledgement_makes_some() {
    let mut core = sends(4, &[(Look(&[(1, true, 0, 0)]), "")]);
    assert_eq!(core.room_at(), None, "nothing waits");
    Commit(1, 0, 9).run(&mut core);
    while core.poll_send(OWN).is_some() {}
    assert_eq!((core.waiting(), core.room_at()), (4, Some(2)), "half of the window");
    NotTaken(1, 4).run(&mut core);
    Acked(1, 1).run(&mut core);
    Acked(1, 2).run(&mut core);
    NotTaken(1, 3).run(&mut core);
    assert_eq!((core.waiting(), core.room_at()), (0, None), "the producer is full of what is said again");
    Lost { is_refusal: true }.run(&mut core);
    Connected.run(&mut core);
    Page(1, 2, 3).run(&mut core);
    while core.poll_send(OWN).is_some() {}
    assert_eq!((core.waiting(), core.room_at()), (1, Some(0)), "one is tried alone");
}

#[test]
fn a_failing_producer_is_made_again_later_and_later() {
    let settings = KafkaSettings { backoff_first_ms: 10, backoff_most_ms: 50, ..KafkaSettings::default() };
    let mut core = PublisherCore::new(&settings);
    let rests: Vec<u64> = [0, 0, 0, 0, 60_001, 60_000].into_iter().map(|lasted_ms| core.disconnected(lasted_ms, false)).collect();
    assert_eq!(rests, [10, 20, 40, 50, 10, 20]);
}

#[test]
fn only_a_free_log_of_a_dead_writer_is_claimed_and_only_by_who_can_read_it() {
    let own = row(&(1, true, 0, 0));
    let dead = || row(&(2, false, 0, 5));
    let notifier = || WriterRow { roles: vec![Role::Notification], ..dead() };
    let cases = [
        ("dead", own.clone(), dead(), false, true),
        ("nobody reaches the brokers from here", own.clone(), dead(), true, false),
        ("alive", own.clone(), WriterRow { alive: true, ..dead() }, false, false),
        ("published", own.clone(), WriterRow { published_seq: 5, ..dead() }, false, false),
        ("another's", own.clone(), WriterRow { publisher: Some(WriterId(3)), ..dead() }, false, false),
        ("ours already", own.clone(), WriterRow { publisher: Some(OWN), ..dead() }, false, true),
        ("orders of which this node sees no rows", WriterRow { roles: vec![Role::Payment], ..own.clone() }, dead(), false, false),
        ("no orders are in it", WriterRow { roles: vec![Role::Payment], ..own }, notifier(), false, true),
    ];
    for (why, own, other, is_cut_off, is_claimed) in cases {
        let mut core = PublisherCore::new(&KafkaSettings::default());
        let claims = core.looked(&[own, other], OWN, is_cut_off);
        assert_eq!(claims == [WriterId(2)], is_claimed, "{why}");
    }
}

#[test]
fn a_claim_that_fails_leaves_the_log_to_another() {
    let mut core = sends(10, &[(Look(&[(1, true, 0, 0), (2, false, 3, 5)]), ""), (Claimed(2), "")]);
    assert_eq!(to_read(&core), [(2, 3)]);
    core.claimed(WriterId(2), false);
    assert_eq!(to_read(&core), []);
}

#[test]
fn a_point_is_stored_when_all_before_it_is_acknowledged() {
    let mut core = sends(10, &[(Look(&[(1, true, 0, 0)]), ""), (Commit(1, 0, 3), "1/1 1/2 1/3"), (Acked(1, 2), "")]);
    assert_eq!(core.to_mark(), []);
    core.acked(OWN, 1);
    assert_eq!((core.to_mark(), core.to_mark()), (vec![(OWN, 2)], vec![]), "one at a time");
    core.acked(OWN, 3);
    core.marked(OWN, 2, false);
    assert_eq!((core.to_mark(), core.unmarked()), (vec![(OWN, 3)], vec![(OWN, 3)]));
    core.marked(OWN, 3, true);
    assert_eq!((core.to_mark(), core.unmarked(), core.lag()), (vec![], vec![], 0));
}

#[test]
fn who_had_an_event_is_known_of_the_nodes_own_log_alone() {
    let outgoing = |is_own| Outgoing::Logged { writer: OWN, logged: logged(1), is_own };
    let hosts = |role, shard| role == Role::Notification && shard == Shard(0);
    let cases = [(outgoing(true), vec![Role::Notification]), (outgoing(false), vec![]), (Outgoing::Repeat(event(), (OWN, 1)), vec![])];
    for (outgoing, want) in cases {
        assert_eq!(outgoing.local(hosts), want, "{outgoing:?}");
    }
}
