//! Whose log is counted by which node: one that counts counts its own; those of ended writers, and of nodes that do not count, are
//! shared out. Two nodes may see this differently for a while: a stretch is counted once all the same, by the stored position.

use crate::db::WriterRow;
use crate::domain::{Role, WriterId};

/// The part of one node.
pub(super) struct Counting {
    /// The live writers of nodes that count.
    hosts: Vec<WriterId>,
    /// Which of them is this node's; none when it does not count.
    me: Option<WriterId>,
}

impl Counting {
    /// As the writers' rows have it; `own` is the writer of this node.
    pub(super) fn of(writers: &[WriterRow], own: WriterId) -> Self {
        let mut hosts: Vec<WriterId> = writers.iter().filter(|row| is_host(row)).map(|row| row.writer).collect();
        hosts.sort_unstable();
        let me = hosts.contains(&own).then_some(own);
        Self { hosts, me }
    }

    /// Whether this writer's log is this node's to count.
    pub(super) fn counts(&self, row: &WriterRow) -> bool {
        let Some(me) = self.me else { return false };
        if is_host(row) {
            return row.writer == me;
        }
        let turn = usize::try_from(row.writer.0).unwrap_or(0) % self.hosts.len().max(1);
        self.hosts.get(turn) == Some(&me)
    }
}

fn is_host(row: &WriterRow) -> bool {
    row.alive && row.roles.contains(&Role::Analytics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn row(writer: i64, alive: bool, roles: &[Role]) -> WriterRow {
        WriterRow {
            writer: WriterId(writer),
            node: String::new(),
            url: String::new(),
            proof: String::new(),
            roles: roles.to_vec(),
            alive,
            lease_until: Timestamp(0),
            lease_left_ms: 0,
            commits: 0,
            last_seq: 0,
            published_seq: 0,
            publisher: None,
        }
    }

    #[test]
    fn each_log_is_counted_by_one_node_that_counts() {
        let rows = [
            row(1, false, &Role::ALL),
            row(2, true, &Role::ALL),
            row(3, true, &[Role::Order]),
            row(4, false, &[Role::Payment]),
            row(5, true, &[Role::Analytics]),
        ];
        let counted = |own: i64| {
            let counting = Counting::of(&rows, WriterId(own));
            rows.iter().filter(|row| counting.counts(row)).map(|row| row.writer.0).collect::<Vec<_>>()
        };
        assert_eq!(counted(3), [0; 0], "it does not host the role");
        assert_eq!((counted(2), counted(5)), (vec![2, 4], vec![1, 3, 5]));
    }
}
