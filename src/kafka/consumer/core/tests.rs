//! What the core asks for, step by step. Orders are letters: `a` and `b` are of partition 0, `c` is of partition 1.

use super::*;
use crate::domain::{CancelledBy, CorrelationId, DeadLetterKind, DeadLetterState, Event, EventBody, Text, Timestamp};
use crate::kafka::headers::Headers;
use crate::kafka::message::Dated;
use crate::kafka::write::{self, Provenance};
use letters::{Failure, WAITS};
use uuid::Uuid;

/// What happens to the core of the notification role, which listens to the orders' topic.
#[derive(Clone, Copy)]
enum Step {
    /// The node owns these shards.
    Own(&'static [u16]),
    /// The brokers and the database say where partitions begin, and which orders are parked.
    Begun(&'static [(i32, i64)], &'static [char]),
    /// They do not say.
    NotBegun,
    /// What could not be asked is asked again.
    Again,
    /// A message of that order has that offset.
    Take(char, i64),
    /// The same, but a request to cancel it.
    Cancel(char, i64),
    /// The same, on that partition.
    TakeOn(i32, char, i64),
    /// A message that cannot be read.
    Unreadable(i64),
    /// It was handled.
    Done(i64),
    /// It is a dead letter, and its copy is still to be made.
    Parked(i64),
    /// Its copy is made.
    Copied(i64),
    LookAtParked,
    /// It looks for parked orders.
    Find,
    /// These are parked.
    Found(&'static [char]),
    /// The node has the role that writes the topic too.
    OwnAll,
    Blocked(char),
    Next(char),
    Free(char),
    Waited(char),
    /// The client stands before the first and has given everything before the second.
    At(i64, i64),
    /// The brokers have the records from the first to before the second.
    Gap(i64, i64),
    Counted(i32),
}
use Step::*;

fn shards() -> Shards {
    Shards::new(2).unwrap()
}

fn order(name: char) -> OrderId {
    let shard = Shard(u16::from(name == 'c'));
    let ids = (0..=255).map(|byte| OrderId::from_parts(1, [byte; 10])).filter(|id| shards().of(*id) == shard);
    ids.into_iter().nth(usize::from(name == 'b')).unwrap()
}

fn name(order: OrderId) -> char {
    ['a', 'b', 'c'].into_iter().find(|name| self::order(*name) == order).unwrap()
}

fn record(partition: i32, offset: i64, order: char, body: EventBody) -> Record {
    let id = self::order(order);
    let event = Event {
        order: id,
        shard: shards().of(id),
        correlation: CorrelationId::of(Uuid::nil()),
        at: Timestamp(1),
        body,
        external_ids: None,
    };
    let mut value = Vec::new();
    write::value(&event, &mut value).unwrap();
    let mut headers = Headers::default();
    write::headers(&event, Provenance::Repeat(None), |_| false, |name, value| headers.add(name, value));
    let key = Some(id.to_string().into_bytes());
    Record { topic: Topic::Order, partition, offset, timestamp_ms: Some(1), dated: Dated::CreateTime, key, value: Some(value), headers }
}

fn letter(order: char) -> DeadLetter {
    let record = record(0, 7, order, failed());
    let failure = Failure { cause: WAITS.to_owned(), detail: String::new(), tries: 0 };
    letters::letter(&record, Role::Notification, "OrderFailed", Some(self::order(order)), shards(), &failure, Timestamp(1))
}

fn failed() -> EventBody {
    EventBody::OrderFailed { reason: Text::lossy("x") }
}

struct Bench {
    core: ConsumerCore,
    /// What is being handled.
    tasks: Vec<Task>,
    /// What is being copied.
    copying: Vec<Taken>,
}

impl Bench {
    fn run(&mut self, step: Step) {
        let core = &mut self.core;
        let partition = |order: char| i32::from(order == 'c');
        match step {
            Own(owned) => core.assign(&owned.iter().map(|shard| (Role::Notification, Shard(*shard))).collect()),
            Begun(known, parked) => {
                let committed = known.iter().map(|(partition, offset)| ((Topic::Order, *partition), *offset)).collect();
                let parked = parked.iter().map(|name| order(*name)).collect();
                let starts = Starts { committed, ..Starts::default() };
                core.begun(Some(super::Begun { starts, parked, ..super::Begun::default() }));
            }
            NotBegun => core.begun(None),
            Again => core.plan(),
            Take(order, offset) => {
                core.taken(record(partition(order), offset, order, failed()));
            }
            Cancel(order, offset) => {
                let body = EventBody::OrderCancelRequested { by: CancelledBy::Customer };
                core.taken(record(partition(order), offset, order, body));
            }
            TakeOn(partition, order, offset) => {
                core.taken(record(partition, offset, order, failed()));
            }
            Unreadable(offset) => {
                let unreadable = Record { value: Some(b"{".to_vec()), headers: Headers::default(), ..record(0, offset, 'a', failed()) };
                core.taken(unreadable);
            }
            Done(offset) => {
                let task = self.task(offset);
                self.core.processed(task.place, task.work.order(), End::Done, false);
            }
            Parked(offset) => {
                let task = self.task(offset);
                self.core.processed(task.place, task.work.order(), End::Parked, true);
                self.copying.push(task.place);
            }
            Copied(offset) => {
                let at = self.copying.iter().position(|place| place.offset == offset).unwrap();
                core.copied(self.copying.remove(at));
            }
            LookAtParked => core.look_at_parked(),
            Find => core.find_parked(),
            Found(found) => core.found_parked(Some(found.iter().map(|name| order(*name)).collect())),
            OwnAll => core.assign(&[Role::Notification, Role::Order].into_iter().map(|role| (role, Shard(0))).collect()),
            Blocked(name) => core.stands(order(name), Some(Standing::Blocked)),
            Next(name) => core.stands(order(name), Some(Standing::Next(Box::new(letter(name))))),
            Free(name) => core.stands(order(name), Some(Standing::Free)),
            Waited(name) => core.waited(order(name)),
            At(next, given) => core.stands_at((Topic::Order, 0), next, given),
            Gap(low, high) => {
                let (partition, at) = core.places()[0];
                core.pass_gap(&gap::Gap::at(partition, at, low, high).unwrap());
            }
            Counted(count) => core.counted([(Topic::Order, count)]),
        }
    }

    /// The oldest one with that offset.
    fn task(&mut self, offset: i64) -> Task {
        let at = self.tasks.iter().position(|task| task.place.offset == offset).unwrap();
        self.tasks.remove(at)
    }

    /// What the core asks for, and commits.
    fn told(&mut self) -> String {
        let mut told = Vec::new();
        while let Some(action) = self.core.poll() {
            told.push(match action {
                Action::AskWhere(new, _) => format!("ask{}", new.iter().map(|(_, number)| format!(" {number}")).collect::<String>()),
                Action::Listen(places, _) => {
                    let place = |((_, number), at): &(PartitionId, Option<i64>)| format!(" {number}@{}", at.unwrap_or(-1));
                    format!("listen{}", places.iter().map(place).collect::<String>())
                }
                Action::Leave(gone) => format!("leave{}", gone.iter().map(|(_, number)| format!(" {number}")).collect::<String>()),
                Action::Fetch((_, number), from, _) => format!("fetch {number}@{}", from.unwrap_or(-1)),
                Action::Pause((_, number)) => format!("pause {number}"),
                Action::Resume((_, number)) => format!("resume {number}"),
                Action::Process(task) => {
                    let what = match &task.work {
                        Work::Hear(event) if task.waits => format!("bury {}", name(event.order)),
                        Work::Hear(event) => format!("hear {}", name(event.order)),
                        Work::Move(order) => format!("move {}", name(*order)),
                        Work::Unreadable(_) => "unreadable ".to_owned(),
                        Work::Pass => "pass".to_owned(),
                    };
                    let told = format!("{what}{}", task.place.offset);
                    self.tasks.push(*task);
                    told
                }
                Action::FindParked(shards) => format!("find{}", shards.iter().map(|shard| format!(" {}", shard.0)).collect::<String>()),
                Action::LookAt(order) => format!("look {}", name(order)),
                Action::TakeWaiting(order, _) => format!("take {}", name(order)),
            });
        }
        told.join(", ")
    }
}

/// Runs the steps; after each the core asks for what is said of it.
#[track_caller]
fn asks(window: usize, steps: &[(Step, &str)]) -> Bench {
    let settings = KafkaSettings { consume_window: window, ..KafkaSettings::default() };
    let core = ConsumerCore::new(Role::Notification, [Role::Payment].into_iter().collect(), &settings, shards());
    let mut bench = Bench { core, tasks: Vec::new(), copying: Vec::new() };
    for (number, (step, want)) in steps.iter().enumerate() {
        bench.run(*step);
        assert_eq!(bench.told(), *want, "step {number}");
    }
    bench
}

/// The same, of a core that listens to partition 0 from offset 5.
#[track_caller]
fn asks_then(window: usize, steps: &[(Step, &str)]) -> Bench {
    let begin = [(Own(&[0]), "ask 0"), (Begun(&[(0, 5)], &[]), "listen 0@5")];
    asks(window, &[&begin, steps].concat())
}

/// What it stores, and that it is stored.
fn stores(bench: &mut Bench) -> Vec<(i32, i64)> {
    let all = bench.core.to_store();
    if !all.is_empty() {
        bench.core.stored(true);
    }
    all.into_iter().map(|((_, number), next)| (number, next)).collect()
}

/// What it commits, and how that ends. It is stored beside.
fn commits(bench: &mut Bench, is_taken: bool) -> Vec<(i32, i64)> {
    stores(bench);
    let all: Vec<(i32, i64)> = bench.core.to_commit().into_values().flatten().collect();
    if !all.is_empty() {
        bench.core.committed(&Topic::ALL.into_iter().filter(|_| !is_taken).collect());
    }
    all
}

#[test]
fn messages_of_one_order_follow_each_other_and_an_offset_is_done_with_all_before_it() {
    let mut bench = asks_then(10, &[(Take('a', 5), "hear a5"), (Take('b', 6), "hear b6"), (Take('a', 7), ""), (Done(6), "")]);
    assert_eq!(commits(&mut bench, true), [], "5 is not done");
    bench.run(Done(5));
    assert_eq!((bench.told().as_str(), commits(&mut bench, true)), ("hear a7", vec![(0, 7)]));
    bench.run(Done(7));
    assert_eq!(commits(&mut bench, false), [(0, 8)]);
    assert_eq!(commits(&mut bench, true), [(0, 8)], "it was refused");
    assert_eq!(commits(&mut bench, true), []);
}

#[test]
fn what_comes_behind_a_dead_letter_waits_until_a_person_has_dealt_with_it() {
    let steps = [
        (Take('a', 5), "hear a5"),
        (Take('a', 6), ""),
        (Parked(5), "bury a6"),
        (Parked(6), ""),
        (Take('b', 7), "hear b7"),
        (Cancel('a', 8), "hear a8"),
        (Done(8), ""),
        (LookAtParked, "look a"),
        (Take('a', 9), ""),
        (LookAtParked, ""),
        (Blocked('a'), "bury a9"),
        (Parked(9), ""),
        (LookAtParked, "look a"),
        (Next('a'), "take a"),
        (Waited('a'), "look a"),
        (Take('a', 10), ""),
        (Free('a'), "hear a10"),
        (Take('a', 11), ""),
    ];
    let mut bench = asks_then(10, &steps);
    assert_eq!((bench.core.parked(), commits(&mut bench, true)), (0, vec![]), "no copy is made");
    bench.run(Copied(6));
    assert_eq!(commits(&mut bench, true), []);
    bench.run(Copied(5));
    assert_eq!(commits(&mut bench, true), [(0, 7)], "b is not done");
}

#[test]
fn what_was_parked_before_waits_from_the_first_message_on() {
    asks(
        10,
        &[
            (Own(&[0]), "ask 0"),
            (Begun(&[(0, 5)], &['a', 'c']), "listen 0@5"),
            (Take('a', 5), "bury a5"),
            (Take('b', 6), "hear b6"),
            (LookAtParked, ""),
            (Parked(5), ""),
            (LookAtParked, "look a"),
        ],
    );
}

/// Nothing is listened to where the node has all roles.
#[test]
fn what_waits_behind_a_dead_letter_goes_on_where_nothing_is_listened_to_any_more() {
    let goes_on = [(LookAtParked, "look a"), (Next('a'), "take a"), (Waited('a'), "look a"), (Free('a'), ""), (LookAtParked, "")];
    let heard = [(Take('a', 5), "hear a5"), (Parked(5), ""), (OwnAll, "leave 0")];
    asks_then(10, &[&heard[..], &goes_on].concat());
    let late = [(Take('a', 5), "hear a5"), (OwnAll, "leave 0"), (Parked(5), "")];
    asks_then(10, &[&late[..], &goes_on].concat());
    let found = [(OwnAll, ""), (Find, "find 0"), (Find, ""), (Found(&['a', 'c']), "")];
    asks(10, &[&found[..], &goes_on, &[(Find, "find 0"), (Own(&[]), ""), (Found(&['a']), ""), (LookAtParked, ""), (Find, "")]].concat());
}

#[test]
fn a_partition_that_is_given_up_leaves_its_offset_behind_and_nothing_else() {
    let steps = [
        (Take('a', 5), "hear a5"),
        (Take('b', 6), "hear b6"),
        (Take('a', 7), ""),
        (Done(5), "hear a7"),
        (Own(&[]), "leave 0"),
        (Take('a', 8), ""),
    ];
    let mut bench = asks_then(10, &steps);
    assert_eq!((bench.core.partitions(), commits(&mut bench, true)), (1, vec![(0, 6)]));
    for step in [Done(6), Parked(7)] {
        bench.run(step);
        assert_eq!((bench.told().as_str(), commits(&mut bench, true), bench.core.parked()), ("", vec![], 0), "it is the next owner's");
    }
    for (step, want) in [(Own(&[0]), "ask 0"), (Begun(&[(0, 6)], &[]), "listen 0@6"), (Take('b', 6), "hear b6"), (Copied(7), "")] {
        bench.run(step);
        assert_eq!(bench.told(), want);
    }
    assert_eq!(commits(&mut bench, true), [], "6 was done in another life");
}

#[test]
fn what_is_given_up_during_a_commit_is_committed_by_the_next_one() {
    let mut bench = asks_then(10, &[(Take('a', 5), "hear a5"), (Done(5), "")]);
    assert_eq!(bench.core.to_commit().len(), 1);
    bench.run(Own(&[]));
    assert_eq!(bench.core.to_commit().len(), 0, "one at a time");
    bench.core.committed(&BTreeSet::new());
    assert_eq!(commits(&mut bench, false), [(0, 6)], "the first one may have failed");
    assert_eq!((commits(&mut bench, true), bench.core.partitions()), (vec![], 0), "it is tried once");
    let mut bench = asks_then(10, &[(Take('a', 5), "hear a5"), (Done(5), ""), (Own(&[]), "leave 0"), (Own(&[0]), "ask 0")]);
    bench.run(Begun(&[(0, 5)], &[]));
    assert_eq!(commits(&mut bench, true), [], "one that came back says itself how far it is");
}

#[test]
fn what_is_done_is_stored_and_what_is_begun_elsewhere_than_it_is_stored_is_stored_at_once() {
    let mut bench = asks_then(10, &[(Take('a', 5), "hear a5"), (Take('b', 6), "hear b6"), (Done(6), "")]);
    assert_eq!((stores(&mut bench), stores(&mut bench)), (vec![(0, 5)], vec![]), "only the brokers had it");
    bench.run(Done(5));
    assert_eq!(bench.core.to_store(), [((Topic::Order, 0), 7)]);
    bench.run(Own(&[]));
    assert_eq!((bench.core.to_store(), bench.core.partitions()), (vec![], 1), "one at a time");
    bench.core.stored(false);
    assert_eq!((stores(&mut bench), commits(&mut bench, true)), (vec![(0, 7)], vec![(0, 7)]));
    assert_eq!((bench.core.partitions(), bench.told().as_str()), (0, "leave 0"));
}

/// Else it would be told anew at each start, until something is done there.
#[test]
fn a_topic_that_was_made_anew_is_stored_from_its_new_beginning() {
    let mut bench = asks_then(10, &[(Gap(0, 2), "fetch 0@0")]);
    assert_eq!((stores(&mut bench), commits(&mut bench, true)), (vec![(0, 0)], vec![(0, 0)]));
}

#[test]
fn only_what_is_still_owned_is_listened_to_and_what_came_meanwhile_is_asked_for_next() {
    let begin = (Own(&[0]), "ask 0");
    let cases: [&[(Step, &str)]; 4] = [
        &[
            begin,
            (Own(&[]), ""),
            (Begun(&[(0, 5)], &['a']), ""),
            (Own(&[0]), "ask 0"),
            (Begun(&[], &[]), "listen 0@-1"),
            (Take('a', 5), "hear a5"),
        ],
        &[begin, (Own(&[0, 1]), ""), (Begun(&[(0, 5)], &[]), "listen 0@5, ask 1"), (Begun(&[(1, 3)], &[]), "listen 1@3")],
        &[begin, (NotBegun, ""), (Take('a', 5), ""), (Again, "ask 0"), (Again, "")],
        &[begin, (Own(&[1]), ""), (Begun(&[(0, 5)], &[]), "ask 1"), (Begun(&[], &[]), "listen 1@-1"), (Take('c', 0), "hear c0")],
    ];
    for steps in cases {
        asks(10, steps);
    }
}

#[test]
fn a_partition_with_too_much_under_way_is_paused() {
    let steps = [
        (Take('a', 5), "hear a5"),
        (Take('b', 6), "hear b6, pause 0"),
        (Done(6), ""),
        (Take('b', 7), "hear b7"),
        (Done(5), "resume 0"),
        (Done(7), ""),
    ];
    let bench = asks_then(2, &steps);
    assert_eq!(bench.core.waiting(), 0);
}

#[test]
fn records_that_are_gone_are_passed_and_a_new_topic_is_read_from_its_beginning() {
    let mut bench = asks_then(10, &[(Gap(8, 9), "fetch 0@8"), (Take('a', 8), "hear a8"), (Done(8), "")]);
    assert_eq!(commits(&mut bench, true), [(0, 9)]);
    let steps = [(Take('a', 5), "hear a5"), (Gap(0, 2), "fetch 0@0"), (Take('b', 0), "hear b0"), (Done(5), ""), (Done(0), "")];
    let mut bench = asks_then(10, &steps);
    assert_eq!(commits(&mut bench, true), [(0, 1)], "5 was another topic's");
    let mut bench = asks_then(10, &[(Gap(8, 9), "fetch 0@8"), (Take('a', 8), "hear a8")]);
    bench.core.pass_gap(&gap::Gap::at((Topic::Order, 0), 5, 8, 9).unwrap());
    assert_eq!(bench.told(), "", "it was found twice");
    bench.run(Done(8));
    assert_eq!(commits(&mut bench, true), [(0, 9)]);
    let mut bench = asks_then(10, &[(Take('a', 5), "hear a5")]);
    bench.core.fetch_again(|_| true);
    assert_eq!(bench.told(), "fetch 0@6", "the client has stopped, and nothing is missing");
    bench.core.fetch_again(|(topic, _)| topic == Topic::Payment);
    assert_eq!(bench.told(), "");
    let mut bench = asks(10, &[(Own(&[0]), "ask 0"), (Begun(&[], &[]), "listen 0@-1")]);
    bench.core.fetch_again(|_| true);
    assert_eq!(bench.told(), "fetch 0@-1", "its beginning went before anything was read");
}

#[test]
fn a_topic_that_the_brokers_do_not_tell_of_holds_up_no_other() {
    let mut bench = asks(10, &[(Own(&[0]), "ask 0")]);
    bench.core.begun(Some(super::Begun { refused: [Topic::Order].into(), ..super::Begun::default() }));
    assert_eq!(bench.told(), "", "nothing else was asked for, and it is not asked again at once");
    bench.core.plan();
    assert_eq!(bench.told(), "ask 0");
    bench.run(Begun(&[(0, 5)], &[]));
    assert_eq!(bench.told(), "listen 0@5");
}

#[test]
fn the_markers_of_transactions_are_passed_when_nothing_is_under_way() {
    let cases = [
        (vec![(At(9, 9), "")], vec![(0, 9)], "only markers came"),
        (vec![(At(9, -1), "")], vec![(0, 9)], "nothing was ever given"),
        (vec![(At(9, 7), "")], vec![], "a message is on its way to us"),
        (vec![(Take('a', 5), "hear a5"), (At(9, 9), "")], vec![], "5 is under way"),
        (vec![(Take('a', 5), "hear a5"), (Done(5), ""), (At(9, 9), "")], vec![(0, 9)], "all is done"),
    ];
    for (steps, want, why) in cases {
        assert_eq!(commits(&mut asks_then(10, &steps), true), want, "{why}");
    }
}

#[test]
fn what_is_no_event_of_its_order_is_moved_or_put_by_by_one_role_and_holds_nobody_up() {
    asks_then(
        10,
        &[
            (TakeOn(0, 'c', 5), "move c5"),
            (Unreadable(6), "unreadable 6"),
            (Take('a', 7), ""),
            (Done(6), "hear a7"),
            (TakeOn(1, 'c', 5), ""),
        ],
    );
    let steps = [
        (Counted(4), "ask 2"),
        (Begun(&[], &[]), "listen 2@-1"),
        (TakeOn(2, 'a', 0), "move a0"),
        (Counted(4), ""),
        (Counted(2), "leave 2"),
    ];
    asks_then(10, &steps);
}

#[test]
fn the_next_letter_is_taken_when_no_other_holds_its_order_up() {
    let waits = || letter('a');
    let open = |cause: &str| DeadLetter { cause: Text::lossy(cause), ..waits() };
    let role = |role| DeadLetter { role, ..open("unknown-order") };
    let later = || DeadLetter { created_at: Timestamp(9), ..waits() };
    let cases = [
        (vec![], Standing::Free, "there is none"),
        (vec![later(), waits()], Standing::Next(Box::new(waits())), "the oldest"),
        (vec![waits(), open("unknown-order")], Standing::Blocked, "a person must decide"),
        (vec![role(Role::Payment)], Standing::Free, "another role's"),
        (vec![open("not-json")], Standing::Free, "nobody knows what it would have been"),
    ];
    for (letters, want, why) in cases {
        assert!(letters.iter().all(|letter| letter.state == DeadLetterState::Open && letter.kind == DeadLetterKind::Message));
        assert_eq!(Standing::of(Role::Notification, letters), want, "{why}");
    }
    let shards: BTreeSet<Shard> = [Shard(0)].into_iter().collect();
    assert_eq!(standing::parked(Role::Notification, &shards, vec![waits(), role(Role::Payment), letter('c')]), [order('a')]);
}
