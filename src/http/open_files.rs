//! As many connections as the system lets the process have open files, and no more: past that limit the database could not open
//! its files either.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are not connections: the database's, the providers' connections, logs.
const OTHERS: u64 = 512;

/// Raises the process's limit of open files for `wanted` connections, and returns how many connections it can have.
pub(crate) fn connections(wanted: usize) -> usize {
    let needed = u64::try_from(wanted).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(current) = current.filter(|current| *current < needed) else { return wanted };
    let reachable = maximum.map_or(needed, |maximum| maximum.min(needed)).max(current);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(reachable), maximum });
    let files = if raised.is_ok() { reachable } else { current };
    let connections = fitting(files, wanted);
    if is_few(connections, wanted) {
        tracing::warn!(
            connections,
            wanted,
            files,
            "the system's limit of open files allows fewer connections than server.max_connections: raise it (ulimit -n)"
        );
    }
    connections
}

/// A little less than wanted is nothing to trouble anybody with at each start.
fn is_few(connections: usize, wanted: usize) -> bool {
    connections < wanted / 4 * 3
}

/// How many of `wanted` connections fit into a limit of `files`; the rest is kept for the others, half of it where it is small.
fn fitting(files: u64, wanted: usize) -> usize {
    let left = files.saturating_sub(OTHERS).max(files / 2).max(1);
    usize::try_from(left).unwrap_or(usize::MAX).min(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_kept_for_the_database() {
        let cases = [(20_000, 20_000, 19_488), (100_000, 20_000, 20_000), (1024, 20_000, 512), (256, 20_000, 128), (1, 5, 1)];
        for (files, wanted, want) in cases {
            assert_eq!(fitting(files, wanted), want, "{files} files, {wanted} connections");
            assert_eq!(is_few(want, wanted), want < 15_000 && wanted == 20_000 || want == 1, "{want} of {wanted}");
        }
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes() {
        let before = getrlimit(Resource::Nofile);
        assert_eq!(connections(1), 1);
        let got = connections(usize::MAX);
        let after = getrlimit(Resource::Nofile);
        assert_eq!(after.current, after.maximum.or(before.current), "{after:?}");
        assert!(got >= 1);
    }
}
