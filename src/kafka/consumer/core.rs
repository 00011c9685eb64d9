//! What the consumer of one role decides: which partitions it listens to, which message is handled next, what waits behind a dead letter,
//! which offset is done, what is stored and committed of that, and what a partition leaves behind that is given up.
//!
//! It does no IO and knows no clock: what happened is put in, and what is to be done is asked for ([`ConsumerCore::poll`],
//! [`ConsumerCore::to_store`], [`ConsumerCore::to_commit`]). The shell (`run.rs` and its neighbours) puts it between librdkafka, the roles
//! and the database; the simulation between brokers and nodes that fail.

pub mod assignment;
pub mod gap;
mod keeping;
mod lanes;
mod ledger;
pub mod letters;
mod parked;
pub mod standing;
pub mod starts;
mod window;
pub mod work;

use crate::config::KafkaSettings;
use crate::domain::{DeadLetter, OrderId, Role, RoleShards, Roles, Shard, Shards, Topic};
use crate::kafka::message::{Reading, Record};
#[cfg(feature = "plants")]
use crate::plants::Plant;
use assignment::PartitionId;
use gap::Gap;
use lanes::Lanes;
use ledger::Ledger;
use parked::Parked;
use standing::Standing;
use starts::Starts;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use window::Window;
use work::{End, Work};

/// A message that was taken: its place, and in which assignment of its partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Taken {
    /// Its partition.
    pub partition: PartitionId,
    /// Its number there.
    pub offset: i64,
    /// Which assignment of the partition it is of; what an older one left is a stranger.
    pub life: u64,
}

/// A message to be handled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    /// Its place.
    pub place: Taken,
    /// Itself.
    pub record: Record,
    /// What it is.
    pub work: Work,
    /// Whether it becomes a letter that waits behind an earlier one of its order.
    pub waits: bool,
}

/// Where partitions begin.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Begun {
    /// What is known of them.
    pub starts: Starts,
    /// Topics of which the brokers do not say what is committed; they hold up no others.
    pub refused: BTreeSet<Topic>,
    /// The orders that are parked there.
    pub parked: Vec<OrderId>,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Ask where these partitions begin, and which orders of these shards are parked, in this order; [`ConsumerCore::begun`] follows.
    AskWhere(Vec<PartitionId>, BTreeSet<Shard>),
    /// Fetch from there, or from the beginning; it is that assignment of each.
    Listen(Vec<(PartitionId, Option<i64>)>, u64),
    /// Fetch nothing more of these, and store and commit what is done; what is under way of them need not go on.
    Leave(Vec<PartitionId>),
    /// Fetch from there instead, or from the beginning; it is that assignment.
    Fetch(PartitionId, Option<i64>, u64),
    /// Fetch no more for now.
    Pause(PartitionId),
    /// Go on fetching.
    Resume(PartitionId),
    /// Handle a message; [`ConsumerCore::processed`] follows.
    Process(Box<Task>),
    /// Look for orders of these shards that are parked; [`ConsumerCore::found_parked`] follows.
    FindParked(BTreeSet<Shard>),
    /// Look how it stands with a parked order; [`ConsumerCore::stands`] follows.
    LookAt(OrderId),
    /// Take the message of a letter that only waited; [`ConsumerCore::waited`] follows.
    TakeWaiting(OrderId, Box<DeadLetter>),
}

/// A partition that is listened to.
#[derive(Debug)]
struct Partition {
    window: Window,
    is_paused: bool,
    life: u64,
}

/// A message that waits for its turn, or has it.
#[derive(Debug)]
struct Item {
    place: Taken,
    record: Record,
    work: Work,
}

/// See the module.
#[derive(Debug)]
pub struct ConsumerCore {
    role: Role,
    /// The roles that another team runs.
    external: Roles,
    reading: Reading,
    /// Most messages of a partition that are under way.
    most: usize,
    role_shards: RoleShards,
    /// How many partitions each topic has, as far as is known.
    counts: BTreeMap<Topic, i32>,
    partitions: BTreeMap<PartitionId, Partition>,
    lives: u64,
    lanes: Lanes<Item>,
    parked: Parked,
    /// The partitions of which it is being asked where they begin; those that were lost meanwhile are none of them.
    asked: BTreeSet<PartitionId>,
    is_asking: bool,
    /// What the role's own database has of how far partitions are done, and the brokers' copy of it.
    stored: Ledger,
    committed: Ledger,
    actions: VecDeque<Action>,
    #[cfg(feature = "plants")]
    plant: Option<Plant>,
}

impl ConsumerCore {
    /// One that listens to nothing yet.
    #[must_use]
    pub fn new(role: Role, external: Roles, settings: &KafkaSettings, shards: Shards) -> Self {
        Self {
            role,
            external,
            reading: Reading::of(settings, shards),
            most: settings.consume_window,
            role_shards: RoleShards::default(),
            counts: BTreeMap::new(),
            partitions: BTreeMap::new(),
            lives: 0,
            lanes: Lanes::default(),
            parked: Parked::default(),
            asked: BTreeSet::new(),
            is_asking: false,
            stored: Ledger::default(),
            committed: Ledger::default(),
            actions: VecDeque::new(),
            #[cfg(feature = "plants")]
            plant: None,
        }
    }

    /// The same with a bug on purpose.
    #[cfg(feature = "plants")]
    #[must_use]
    pub fn with(self, plant: Option<Plant>) -> Self {
        Self { plant, ..self }
    }

    /// What to do next.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What the node owns now: what it does not is given up at once, and of the rest it is asked where it begins.
    pub fn assign(&mut self, role_shards: &RoleShards) {
        self.role_shards = role_shards.clone();
        let (role, all) = (self.role, self.reading.shards);
        self.parked.retain(|order| role_shards.has(role, all.of(*order)));
        self.plan();
    }

    /// How many partitions these topics have. More than shards are listened to as well: what stands there goes on to its own.
    pub fn counted(&mut self, counts: impl IntoIterator<Item = (Topic, i32)>) {
        let mut is_new = false;
        for (topic, count) in counts {
            is_new |= self.counts.insert(topic, count) != Some(count);
        }
        if is_new {
            self.plan();
        }
    }

    /// Asks again for what could not be asked.
    pub fn plan(&mut self) {
        let count = |topic: Topic| self.counts.get(&topic).copied();
        let want = assignment::partitions(self.role, &self.role_shards, self.external, self.reading.shards, count);
        self.asked.retain(|key| want.contains(key));
        let gone: Vec<PartitionId> = self.partitions.keys().filter(|key| !want.contains(key)).copied().collect();
        if !gone.is_empty() {
            self.give_up(gone);
        }
        let new: Vec<PartitionId> = want.into_iter().filter(|key| !self.partitions.contains_key(key)).collect();
        if !new.is_empty() && !self.is_asking {
            self.is_asking = true;
            self.asked = new.iter().copied().collect();
            let shards = new.iter().filter_map(|(_, partition)| shard_of(*partition)).collect();
            self.actions.push_back(Action::AskWhere(new, shards));
        }
    }

    /// Whether it is being asked where something begins.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.is_asking
    }

    /// What is done of them is stored and committed beside, so that their next owner begins there; if he is faster, he hears the last of it
    /// again.
    fn give_up(&mut self, gone: Vec<PartitionId>) {
        for key in &gone {
            let next = self.partitions.remove(key).and_then(|partition| partition.window.next());
            self.stored.give_up(*key, next);
            self.committed.give_up(*key, next);
        }
        self.actions.push_back(Action::Leave(gone));
        let partitions = &self.partitions;
        self.lanes.retain(|item| is_alive(partitions, item.place));
    }

    /// It is known where the partitions begin that were asked for; none: it is not. [`Self::plan`] asks again for what is not known.
    pub fn begun(&mut self, begun: Option<Begun>) {
        self.is_asking = false;
        let mut asked = std::mem::take(&mut self.asked);
        let Some(begun) = begun else { return };
        asked.retain(|(topic, _)| !begun.refused.contains(topic));
        let shards: BTreeSet<Shard> = asked.iter().filter_map(|(_, partition)| shard_of(*partition)).collect();
        self.parked.add(begun.parked.into_iter().filter(|order| shards.contains(&self.reading.shards.of(*order))));
        if !asked.is_empty() {
            self.lives += 1;
            let places: Vec<_> = asked.into_iter().map(|key| (key, begun.starts.of(key, self.external))).collect();
            for (key, at) in &places {
                self.stored.begin(*key, begun.starts.stored.get(key).copied());
                self.committed.begin(*key, begun.starts.committed.get(key).copied());
                self.partitions.insert(*key, Partition { window: Window::beginning_at(*at), is_paused: false, life: self.lives });
            }
            self.actions.push_back(Action::Listen(places, self.lives));
        }
        // What has come to be owned meanwhile was not asked for.
        if begun.refused.is_empty() {
            self.plan();
        }
    }

    /// A message was fetched. `false`: it is nobody's here, for what was fetched before its partition was given up is its next owner's.
    pub fn taken(&mut self, record: Record) -> bool {
        let key = (record.topic, record.partition);
        let mut work = Work::of(&record, self.role, &self.reading);
        if matches!(work, Work::Move(_) | Work::Unreadable(_)) && !self.answers_for(&record) {
            work = Work::Pass;
        }
        let Some(partition) = self.partitions.get_mut(&key) else { return false };
        partition.window.take(record.offset);
        #[cfg(feature = "plants")]
        if self.plant == Some(Plant::CommitsWhatIsUnderWay) {
            partition.window.done(record.offset);
        }
        if matches!(work, Work::Pass) {
            partition.window.done(record.offset);
            return true;
        }
        let must_pause = partition.window.held() >= self.most && !partition.is_paused;
        partition.is_paused |= must_pause;
        let place = Taken { partition: key, offset: record.offset, life: partition.life };
        let item = Item { place, record, work };
        let item = match item.work.order() {
            Some(order) => self.lanes.enter(order, item),
            None => Some(item),
        };
        if let Some(item) = item {
            self.begin(item);
        }
        if must_pause {
            self.actions.push_back(Action::Pause(key));
        }
        true
    }

    /// Of several roles that listen one deals with what is no event of its order: one letter, one copy, one publishing.
    fn answers_for(&self, record: &Record) -> bool {
        let shard = self.reading.shards.of_partition(record.partition);
        assignment::answers_for(self.role, (record.topic, shard), self.external, &self.role_shards)
    }

    fn begin(&mut self, item: Item) {
        let Item { place, record, work } = item;
        let waits = work.order().is_some_and(|order| self.parked.has(order)) && !work.overtakes();
        self.actions.push_back(Action::Process(Box::new(Task { place, record, work, waits })));
    }

    /// A message was handled. `is_copying`: its copy is still to be made, and [`Self::copied`] follows.
    pub fn processed(&mut self, place: Taken, order: Option<OrderId>, end: End, is_copying: bool) {
        // One of a shard that was given up meanwhile is its next owner's.
        if end == End::Parked {
            self.parked.add(order.filter(|order| self.owns(*order)));
        }
        if let Some(order) = order {
            self.free(order);
        }
        if !is_copying {
            self.copied(place);
        }
    }

    /// A message is done with, its copy included.
    pub fn copied(&mut self, place: Taken) {
        let Some(partition) = self.partitions.get_mut(&place.partition).filter(|partition| partition.life == place.life) else { return };
        partition.window.done(place.offset);
        if partition.is_paused && partition.window.held() <= self.most / 2 {
            partition.is_paused = false;
            self.actions.push_back(Action::Resume(place.partition));
        }
    }

    fn free(&mut self, order: OrderId) {
        if let Some(next) = self.lanes.leave(order) {
            self.begin(next);
        }
    }

    fn owns(&self, order: OrderId) -> bool {
        self.role_shards.has(self.role, self.reading.shards.of(order))
    }

    /// Looks for orders that are parked in any shard of the role: who listened before, here or elsewhere, may have left letters that wait
    /// where nothing is listened to now, because this node has all roles.
    pub fn find_parked(&mut self) {
        let shards: BTreeSet<Shard> = self.role_shards.shards_of(self.role).into_iter().collect();
        if !shards.is_empty() && self.parked.begin_finding() {
            self.actions.push_back(Action::FindParked(shards));
        }
    }

    /// These orders are parked; none: that is not known.
    pub fn found_parked(&mut self, found: Option<Vec<OrderId>>) {
        let ours: Vec<OrderId> = found.unwrap_or_default().into_iter().filter(|order| self.owns(*order)).collect();
        self.parked.found(ours);
    }

    /// Parked orders go on when a person has closed what held them up: looks at some of them.
    pub fn look_at_parked(&mut self) {
        for order in self.parked.next() {
            if self.lanes.try_take(order) {
                self.actions.push_back(Action::LookAt(order));
            }
        }
    }

    /// How it stands with an order that was looked at; none if that is not known.
    pub fn stands(&mut self, order: OrderId, standing: Option<Standing>) {
        match standing {
            Some(Standing::Next(letter)) if self.parked.has(order) => {
                return self.actions.push_back(Action::TakeWaiting(order, letter));
            }
            Some(Standing::Free) => self.parked.remove(order),
            Some(Standing::Next(_) | Standing::Blocked) | None => {}
        }
        self.free(order);
    }

    /// The message that only waited was taken. The lane is still taken: what waits behind it goes on in its order.
    pub fn waited(&mut self, order: OrderId) {
        self.actions.push_back(Action::LookAt(order));
    }

    /// The client stands before `next`, and has given everything before `given` (negative: nothing yet). What it was given everything of
    /// goes on behind the markers of transactions, which are no messages.
    pub fn stands_at(&mut self, partition: PartitionId, next: i64, given: i64) {
        // Markers count as given; a message that was given is in the window by now.
        let is_at = given < 0 || given >= next;
        if let Some(partition) = self.partitions.get_mut(&partition).filter(|_| is_at) {
            partition.window.pass_to(next);
        }
    }

    /// What comes next in each partition, as far as is known: the brokers may not have it any more.
    #[must_use]
    pub fn places(&self) -> Vec<(PartitionId, i64)> {
        self.partitions.iter().filter_map(|(key, one)| Some((*key, one.window.at()?))).collect()
    }

    /// Nothing is missing of these, but the client may have stopped. Where nothing was read yet, the beginning may have moved.
    pub fn fetch_again(&mut self, which: impl Fn(PartitionId) -> bool) {
        let places: Vec<_> = self.partitions.iter().map(|(key, one)| (*key, one.window.at())).filter(|(key, _)| which(*key)).collect();
        for (key, at) in places {
            self.fetch(key, at);
        }
    }

    /// The gap's letter is stored: on with what there is. A gap may be found twice; behind it, nothing is fetched again.
    pub fn pass_gap(&mut self, gap: &Gap) {
        let Some(partition) = self.partitions.get_mut(&gap.partition) else { return };
        if partition.window.at() != Some(gap.from) {
            return;
        }
        if gap.is_new_topic() {
            // Its numbers begin anew: what is under way of the old ones is nobody's any more.
            self.lives += 1;
            *partition = Partition { window: Window::beginning_at(Some(gap.low)), is_paused: false, life: self.lives };
        } else {
            partition.window.pass_to(gap.low);
        }
        self.fetch(gap.partition, Some(gap.low));
    }

    fn fetch(&mut self, key: PartitionId, from: Option<i64>) {
        if let Some(partition) = self.partitions.get_mut(&key) {
            partition.is_paused = false;
            self.actions.push_back(Action::Fetch(key, from, partition.life));
        }
    }

    /// The topics that are listened to, each with one of its partitions.
    #[must_use]
    pub fn topics(&self) -> BTreeMap<Topic, i32> {
        self.partitions.keys().copied().collect()
    }

    /// The partitions that are listened to, and those of which it is still to be stored or committed how far they are done.
    #[must_use]
    pub fn partitions(&self) -> usize {
        let leaving: BTreeSet<PartitionId> = self.stored.leaving().chain(self.committed.leaving()).collect();
        self.partitions.len() + leaving.len()
    }

    /// Orders of which a message is a dead letter.
    #[must_use]
    pub fn parked(&self) -> usize {
        self.parked.len()
    }

    /// Messages that are not done.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.partitions.values().map(|one| one.window.waiting()).sum()
    }
}

fn is_alive(partitions: &BTreeMap<PartitionId, Partition>, place: Taken) -> bool {
    partitions.get(&place.partition).is_some_and(|one| one.life == place.life)
}

/// The shard of a partition; none where the topic has more of them.
fn shard_of(partition: i32) -> Option<Shard> {
    u16::try_from(partition).ok().map(Shard)
}

#[cfg(test)]
mod tests;
