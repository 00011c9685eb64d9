//! Real processes and what can happen to them: SIGKILL, signals, a full disk, a lock, a damaged file, too many orders.
//!
//! The tests run one at a time (each wants the machine for itself) against the program that cargo built with them, or the one that
//! `CHAOS_BINARY` names. They need Linux and `strace` (Debian: `apt-get install strace`); [`bad_days`] mounts a small
//! tmpfs and so needs root. What is missing is a failure, not a skip.
//!
//! The node killed with SIGKILL at 50 random moments under load, every 202 accounted for at the end, is one command,
//! `scripts/chaos`, which runs
//!
//! ```text
//! CHAOS_KILLS=50 cargo test --release --test chaos killed -- --nocapture
//! ```
//!
//! `CHAOS_SEED` sets the moments; each run prints its seed.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failing test may panic")]

mod backup;
mod bad_days;
mod clients;
mod cluster;
mod deadlines;
mod foreign;
mod hostile;
mod kills;
mod mail;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/receiver.rs"]
mod receiver;
#[path = "../support/recipe.rs"]
mod recipe;
mod roles;
mod signals;
mod strace;
#[path = "../support/talk.rs"]
mod talk;
mod team;
mod topics;
mod trace;
mod traced;

use process::Plan;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// One test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn plan(folder: &Path) -> Plan {
    let binary = std::env::var_os("CHAOS_BINARY").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_ordermill")), PathBuf::from);
    Plan::new(binary, folder)
}

/// A load that goes on until it is stopped.
struct Load {
    child: Option<Child>,
    record: PathBuf,
}

/// How a load fared.
struct Fared {
    report: serde_json::Value,
}

impl Load {
    /// Starts it with a few connections, keys, and a record of each 202.
    fn start(plan: &Plan, more: &[&str]) -> Self {
        Self::start_at(plan, &[plan.url()], more)
    }

    /// The same, at one or more nodes.
    fn start_at(plan: &Plan, urls: &[String], more: &[&str]) -> Self {
        let record = plan.folder.join("record.txt");
        let always = ["load", "--duration", "1h", "--connections", "8", "--idempotency", "--json", "--no-settle", "--record"];
        let mut command = plan.command(&always);
        command
            .arg(&record)
            .args(urls.iter().flat_map(|url| ["--url", url]))
            .args(["--products", "50", "--give-up", "600", "--timeout", "20"])
            .args(more);
        Self { child: Some(command.spawn().unwrap()), record }
    }

    /// It has not given up.
    fn assert_runs(&mut self) {
        if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
            panic!("the load ended: {:?}", self.child.take().unwrap().wait_with_output());
        }
    }

    /// So many 202 so far.
    fn recorded(&self) -> usize {
        std::fs::read_to_string(&self.record).map_or(0, |text| text.lines().count())
    }

    /// Stops it; answers under way are waited for.
    fn stop(mut self) -> Fared {
        let child = self.child.take().unwrap();
        let sent = std::process::Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status();
        assert!(sent.unwrap().success());
        Fared::of(&child.wait_with_output().unwrap())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Fared {
    fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let report = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("the load printed no summary ({error}): {text}\n{}", String::from_utf8_lossy(&output.stderr));
        });
        Self { report }
    }

    fn count(&self, name: &str) -> u64 {
        self.report["counts"][name].as_u64().unwrap_or_else(|| panic!("no count {name}: {}", self.report))
    }

    /// Nothing went wrong that a crash of the node does not explain.
    fn assert_survived(&self) {
        assert!(self.report["failure"].is_null(), "{}", self.report);
        // Nothing but 503 with Retry-After, 504 with an order id and lost connections.
        assert_eq!(self.report["unexpected"], 0, "{}", self.report);
        assert!(self.count("accepted") > 0, "{}", self.report);
    }
}

/// Adds ids of answers 202 to a record.
fn record(path: &Path, ids: &[String]) {
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    for id in ids {
        writeln!(file, "{id}").unwrap();
    }
}

/// Waits until all is settled, ends the node in order, and checks its database against the record.
fn assert_whole(node: process::Served, record: &Path) {
    node.wait_settled(process::LIMIT);
    let plan = node.plan.clone();
    node.stop();
    let (sound, report) = plan.verify(&["--record", &record.display().to_string()]);
    assert!(sound, "{report}\n{}", plan.log());
}
