//! Which node owns which shards: an even share for each live node, with as few moves as possible. Every node decides this by itself from
//! the same rows; if two nodes want the same shard, the store decides.

use crate::domain::{Shard, Shards, WriterId};
use std::collections::BTreeMap;

/// What one writer does with the shards of one role.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Share {
    /// Free shards to take.
    pub take: Vec<Shard>,
    /// Own shards to give back, because they exceed its share.
    pub release: Vec<Shard>,
}

/// Computes what `me` does with the shards of one role. `hosts` are the live writers that host the role; `owners` maps the shards owned by
/// live writers.
#[must_use]
pub fn rebalance(shards: Shards, owners: &BTreeMap<Shard, WriterId>, hosts: &[WriterId], me: WriterId) -> Share {
    let mut hosts = hosts.to_vec();
    hosts.sort_unstable();
    hosts.dedup();
    let Some(rank) = hosts.iter().position(|host| *host == me) else {
        // Not a host: whatever it owns is another's due.
        return Share { take: Vec::new(), release: owned_by(owners, me) };
    };
    let quota = |rank: usize| {
        let (count, hosts) = (usize::from(shards.count()), hosts.len());
        count / hosts + usize::from(rank < count % hosts)
    };
    let mine = owned_by(owners, me);
    let due = quota(rank);
    if mine.len() < due {
        let mut free: Vec<Shard> = shards.all().filter(|shard| !owners.contains_key(shard)).collect();
        // Each begins elsewhere, so that those who take at the same time seldom want the same.
        let begin = free.len() * rank / hosts.len();
        free.rotate_left(begin);
        free.truncate(due - mine.len());
        return Share { take: free, release: Vec::new() };
    }
    let missing: usize = (0..hosts.len())
        .zip(&hosts)
        .filter(|(_, host)| **host != me)
        .map(|(rank, host)| quota(rank).saturating_sub(owned_by(owners, *host).len()))
        .sum();
    let free = usize::from(shards.count()) - owners.len();
    let surplus = (mine.len() - due).min(missing.saturating_sub(free));
    Share { take: Vec::new(), release: mine.into_iter().rev().take(surplus).collect() }
}

fn owned_by(owners: &BTreeMap<Shard, WriterId>, writer: WriterId) -> Vec<Shard> {
    owners.iter().filter(|(_, owner)| **owner == writer).map(|(shard, _)| *shard).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets each host act in turn until nobody has anything to do; returns how many shards moved.
    fn settle(count: u16, owners: &mut BTreeMap<Shard, WriterId>, hosts: &[WriterId]) -> usize {
        let shards = Shards::new(count).unwrap();
        owners.retain(|_, owner| hosts.contains(owner));
        let mut moves = 0;
        for _ in 0..100 {
            let mut is_quiet = true;
            for host in hosts {
                let Share { take, release } = rebalance(shards, owners, hosts, *host);
                is_quiet &= take.is_empty() && release.is_empty();
                moves += take.len();
                for shard in release {
                    owners.remove(&shard);
                }
                for shard in take {
                    assert!(owners.insert(shard, *host).is_none(), "only free ones are taken");
                }
            }
            if is_quiet {
                return moves;
            }
        }
        panic!("it never comes to rest: {owners:?}");
    }

    #[test]
    fn shares_are_even_and_moves_are_few() {
        for count in [1, 7, 24, 100] {
            let mut owners = BTreeMap::new();
            let mut hosts: Vec<WriterId> = Vec::new();
            for next in 1..=6 {
                hosts.push(WriterId(next));
                let moves = settle(count, &mut owners, &hosts);
                let most = usize::from(count).div_ceil(hosts.len()) + hosts.len();
                assert!(next == 1 || moves <= most, "{count} shards, host {next}: {moves} moves");
                for host in &hosts {
                    let share = owned_by(&owners, *host).len();
                    let even = usize::from(count) / hosts.len();
                    assert!((even..=even + 1).contains(&share), "{count} shards, {} hosts: {share}", hosts.len());
                }
            }
            hosts.remove(0);
            let lost = owned_by(&owners, WriterId(1)).len();
            let moves = settle(count, &mut owners, &hosts);
            assert!(moves <= lost + hosts.len(), "{count} shards: {lost} lost, {moves} moves");
            assert_eq!(owners.len(), usize::from(count));
        }
    }

    #[test]
    fn who_does_not_host_the_role_gives_its_shards_back() {
        let owners = BTreeMap::from([(Shard(1), WriterId(1)), (Shard(2), WriterId(2))]);
        let share = rebalance(Shards::new(4).unwrap(), &owners, &[WriterId(2)], WriterId(1));
        assert_eq!(share, Share { take: vec![], release: vec![Shard(1)] });
    }
}
