//! Which partitions a role listens to.

use crate::domain::{EventKind, Role, RoleShards, Roles, Shard, Shards, Topic};
use std::collections::BTreeSet;

/// A partition: its topic and its number.
pub type PartitionId = (Topic, i32);

/// Roles that listen to anything.
pub const LISTENERS: [Role; 4] = [Role::Order, Role::Inventory, Role::Payment, Role::Notification];

/// Whether a role takes events of that kind from the topic. What payment and notification need of an order they learn from its
/// first event, where its owner is elsewhere.
#[must_use]
pub fn takes(role: Role, topic: Topic, kind: EventKind) -> bool {
    if topic == Topic::Shipping {
        return role == Role::Order && kind == EventKind::OrderShipped;
    }
    let learns = kind == EventKind::OrderCreated && matches!(role, Role::Payment | Role::Notification);
    kind.topic() == topic && (learns || kind.subscribers().contains(&role))
}

/// The partitions that `role` must consume from Kafka: those of the shards that it owns here, if this node does not own the same shard in
/// the role that writes the topic. Events of roles on this node are delivered without Kafka. Only the order role consumes the answers of
/// external roles (`external`); it announces to the others what it accepts.
#[must_use]
pub fn assignment(role: Role, role_shards: &RoleShards, external: Roles) -> BTreeSet<(Topic, Shard)> {
    let owned = role_shards.shards_of(role);
    let mut all = BTreeSet::new();
    for topic in Topic::ALL {
        let listens = EventKind::ALL.into_iter().any(|kind| takes(role, topic, kind));
        let is_external = topic.role().is_some_and(|writer| external.has(writer));
        if !listens || (is_external && role != Role::Order) {
            continue;
        }
        let is_written_here = |shard: &Shard| topic.role().is_some_and(|writer| role_shards.has(writer, *shard));
        all.extend(owned.iter().filter(|shard| !is_written_here(shard)).map(|shard| (topic, *shard)));
    }
    all
}

/// The topics that `role` listens to here.
#[must_use]
pub fn topics(role: Role, role_shards: &RoleShards, external: Roles) -> BTreeSet<Topic> {
    assignment(role, role_shards, external).into_iter().map(|(topic, _)| topic).collect()
}

/// The same as numbers: of those that the topic has, and with those beyond the shards, which it may have by mistake: they are shared out
/// like the shards.
#[must_use]
pub fn partitions(
    role: Role,
    role_shards: &RoleShards,
    external: Roles,
    shards: Shards,
    count: impl Fn(Topic) -> Option<i32>,
) -> BTreeSet<PartitionId> {
    let step = usize::from(shards.count()).max(1);
    let of = |(topic, shard): (Topic, Shard)| {
        let first = i32::from(shard.0);
        let end = count(topic).unwrap_or(first + 1);
        (first..end).step_by(step).map(move |number| (topic, number))
    };
    assignment(role, role_shards, external).into_iter().flat_map(of).collect()
}

/// Whether it is `role` that deals with what is on a partition and is no event of its order: what cannot be read, and what belongs
/// elsewhere. One role does so for a topic that another team writes. Where none is to be expected, of a topic that is written by a role of
/// ours on another node, the first one on each node.
#[must_use]
pub fn answers_for(role: Role, (topic, shard): (Topic, Shard), external: Roles, role_shards: &RoleShards) -> bool {
    let takes_any = |role: &Role| EventKind::ALL.into_iter().any(|kind| takes(*role, topic, kind));
    let listens_here = |role: &Role| role_shards.has(*role, shard);
    let is_foreign = topic.role().is_none_or(|writer| external.has(writer));
    let listeners = LISTENERS.into_iter().filter(|one| Some(*one) != topic.role() && !external.has(*one)).filter(takes_any);
    let mut answering = listeners.filter(|one| is_foreign || listens_here(one));
    answering.next().is_none_or(|first| first == role)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role_shards(owned: &[(Role, &[u16])]) -> RoleShards {
        owned.iter().flat_map(|(role, shards)| shards.iter().map(|shard| (*role, Shard(*shard)))).collect()
    }

    fn topics(role: Role, owned: &[(Role, &[u16])]) -> Vec<(&'static str, u16)> {
        assignment(role, &role_shards(owned), Roles::default()).into_iter().map(|(topic, shard)| (topic.name(), shard.0)).collect()
    }

    #[test]
    fn a_node_of_all_roles_hears_of_shipments_alone() {
        let all: Vec<(Role, &[u16])> = Role::ALL.iter().map(|role| (*role, &[1, 2][..])).collect();
        for role in Role::ALL {
            let want: &[(&str, u16)] = if role == Role::Order { &[("shipping-events", 1), ("shipping-events", 2)] } else { &[] };
            assert_eq!(topics(role, &all), want, "{}", role.name());
        }
    }

    #[test]
    fn another_teams_role_is_heard_by_the_order_alone() {
        let ours: Vec<(Role, &[u16])> = [Role::Order, Role::Inventory, Role::Notification].iter().map(|role| (*role, &[1][..])).collect();
        let external = [Role::Payment].into_iter().collect();
        let listened = |role| assignment(role, &role_shards(&ours), external).into_iter().map(|(topic, _)| topic).collect::<Vec<Topic>>();
        assert_eq!(listened(Role::Order), [Topic::Payment, Topic::Shipping]);
        assert!(listened(Role::Inventory).is_empty() && listened(Role::Notification).is_empty());
        let alone = [(Role::Notification, &[1][..])];
        let of_order: Vec<Topic> =
            assignment(Role::Notification, &role_shards(&alone), external).into_iter().map(|(topic, _)| topic).collect();
        assert_eq!(of_order, [Topic::Order], "it hears there what the order accepts");
    }

    #[test]
    fn a_role_hears_what_others_write_elsewhere() {
        let order = [(Role::Order, &[3][..])];
        let topics_of_order: Vec<&str> = topics(Role::Order, &order).into_iter().map(|(topic, _)| topic).collect();
        assert_eq!(topics_of_order, ["inventory-events", "payment-events", "notification-events", "shipping-events"]);
        let two = [(Role::Inventory, &[3, 4][..]), (Role::Payment, &[4][..])];
        assert_eq!(topics(Role::Inventory, &two), [("order-events", 3), ("order-events", 4), ("payment-events", 3)]);
        assert_eq!(topics(Role::Payment, &two), [("order-events", 4)], "of its reservations it hears here");
        assert_eq!(topics(Role::Notification, &two), []);
        assert_eq!(topics(Role::Notification, &[(Role::Notification, &[0])]), [("order-events", 0), ("payment-events", 0)]);
        let without_payment = [(Role::Order, &[0][..]), (Role::Inventory, &[0]), (Role::Notification, &[0])];
        assert_eq!(topics(Role::Order, &without_payment), [("payment-events", 0), ("shipping-events", 0)]);
    }

    #[test]
    fn one_role_deals_with_what_is_no_event_of_its_order() {
        let all: Vec<(Role, &[u16])> = Role::ALL.iter().map(|role| (*role, &[1][..])).collect();
        let answering = |topic, external: &[Role], owned: &[(Role, &[u16])]| {
            let external: Roles = external.iter().copied().collect();
            let here = role_shards(owned);
            LISTENERS.into_iter().filter(|role| answers_for(*role, (topic, Shard(1)), external, &here)).collect::<Vec<_>>()
        };
        assert_eq!(answering(Topic::Shipping, &[], &all), [Role::Order]);
        assert_eq!(answering(Topic::Payment, &[Role::Payment], &all), [Role::Order]);
        assert_eq!(answering(Topic::Payment, &[Role::Payment], &[(Role::Inventory, &[1])]), [Role::Order], "on another node");
        assert_eq!(answering(Topic::Payment, &[], &[(Role::Inventory, &[1]), (Role::Notification, &[1])]), [Role::Inventory]);
        assert_eq!(answering(Topic::Order, &[Role::Payment], &[(Role::Inventory, &[1]), (Role::Notification, &[1])]), [Role::Inventory]);
    }

    #[test]
    fn partitions_beyond_the_shards_are_shared_out_like_them() {
        let mine = role_shards(&[(Role::Order, &[1]), (Role::Payment, &[1]), (Role::Inventory, &[1]), (Role::Notification, &[1])]);
        let numbers = |count| {
            let mut all: Vec<i32> = partitions(Role::Order, &mine, Roles::default(), Shards::new(4).unwrap(), |_| count)
                .into_iter()
                .map(|(_, one)| one)
                .collect();
            all.sort_unstable();
            all
        };
        assert_eq!((numbers(None), numbers(Some(4)), numbers(Some(10))), (vec![1], vec![1], vec![1, 5, 9]));
        assert_eq!((numbers(Some(1)), numbers(Some(0))), (vec![], vec![]), "what is not there cannot be read");
    }
}
