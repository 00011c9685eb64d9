//! A database that is locked, full, failing, read-only or damaged, and too many orders: a clear answer, nothing answered with 202
//! that is not stored, and the node goes on by itself when the cause is gone.

use crate::process::{self, Plan, Served};
use crate::strace::Tracer;
use crate::{Fared, alone, assert_whole, folder, plan, record};
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A node on which orders can be placed, and what became of each.
struct Bench {
    node: Served,
    accepted: Vec<String>,
}

impl Bench {
    fn start(plan: &Plan) -> Self {
        let node = plan.start();
        plan.put_product("10.00");
        let mut bench = Self { node, accepted: Vec::new() };
        assert_eq!(bench.place(), 202);
        bench
    }

    fn plan(&self) -> &Plan {
        &self.node.plan
    }

    /// Places an order; the answer's status.
    fn place(&mut self) -> u16 {
        let answer = self.plan().place("10.00").unwrap();
        match answer.status {
            202 => self.accepted.push(answer.field("orderId")),
            503 => assert!(answer.header("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()), "no Retry-After: {answer:?}"),
            status => assert_eq!(status, 504, "{answer:?}"),
        }
        answer.status
    }

    /// While the trouble lasts: orders are turned away with 503, the node says why in its health and its log, and still serves.
    fn assert_in_trouble(&mut self, told: &str) {
        process::until("orders are turned away", process::LIMIT, || self.place() == 503);
        for _ in 0..3 {
            assert_eq!(self.place(), 503);
        }
        let ready = self.plan().get("/health/ready").unwrap();
        assert_eq!(ready.status, 503, "{ready:?}");
        let health = self.plan().get("/health").unwrap();
        assert!(health.body.contains(told), "health does not say '{told}': {}", health.body);
        assert!(self.plan().log().contains(told), "the log does not say '{told}': {}", self.plan().log());
        assert_eq!(self.plan().get("/health/live").unwrap().status, 200);
    }

    /// After it: the same process takes orders again, and the database holds what was answered with 202.
    fn assert_goes_on(mut self) {
        process::until("orders are taken again", process::LIMIT, || self.place() == 202);
        let plan = self.plan().clone();
        process::until("the node is ready", process::LIMIT, || plan.get("/health/ready").is_ok_and(|answer| answer.status == 200));
        let path = plan.folder.join("record.txt");
        record(&path, &self.accepted);
        assert_whole(self.node, &path);
    }
}

#[test]
fn a_database_locked_by_another_process_is_waited_for() {
    let _alone = alone();
    let folder = folder();
    let plan = plan(folder.path());
    let mut bench = Bench::start(&plan);
    let mut other = SqliteConnection::establish(&plan.database.display().to_string()).unwrap();
    other.batch_execute("PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE").unwrap();
    bench.assert_in_trouble("database is locked");
    other.batch_execute("ROLLBACK").unwrap();
    bench.assert_goes_on();
}

#[test]
fn a_second_node_on_the_same_data_says_so_and_ends() {
    let _alone = alone();
    let folder = folder();
    let plan = plan(folder.path());
    let node = plan.start();
    assert_refused(&plan, None, "in use by another process; stop it or choose another database");
    node.stop();
}

#[test]
fn a_full_disk_turns_orders_away_until_there_is_room() {
    let _alone = alone();
    let disk = Disk::mount("16m");
    let plan = plan(&disk.0);
    let mut bench = Bench::start(&plan);
    let filler = disk.0.join("filler");
    let mut file = File::create(&filler).unwrap();
    // To the last byte.
    for size in [65536, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    drop(file);
    bench.assert_in_trouble("the disk is full: free some space");
    std::fs::remove_file(&filler).unwrap();
    bench.assert_goes_on();
}

#[test]
fn a_node_whose_disk_fails_while_it_stores_ends_and_starts_anew_from_what_is_on_the_disk() {
    let _alone = alone();
    for fault in ["pwrite64:error=EIO", "fdatasync,fsync:error=EIO", "pwrite64:error=EROFS"] {
        println!("{fault}");
        let folder = folder();
        let plan = plan(folder.path()).with("order.request_limit_ms", 2_000);
        let mut bench = Bench::start(&plan);
        let tracer = Tracer::inject(bench.node.pid(), &wal(&plan), fault);
        // Its answer is lost with the node: it may be stored or not.
        let asked = plan.clone();
        let asking = std::thread::spawn(move || asked.place("10.00").map(|answer| answer.status));
        assert_eq!(bench.node.ended(process::LIMIT).code(), Some(74));
        assert_ne!(asking.join().unwrap().unwrap_or(0), 202);
        tracer.detach();
        assert!(plan.log().contains("the disk failed while it stored a transaction"), "{}", plan.log());
        bench.node = plan.start();
        bench.assert_goes_on();
    }
}

#[test]
fn a_disk_that_is_full_at_a_write_is_tried_again() {
    let _alone = alone();
    let fault = "pwrite64:error=ENOSPC";
    let folder = folder();
    let plan = plan(folder.path()).with("order.request_limit_ms", 2_000);
    let mut bench = Bench::start(&plan);
    let tracer = Tracer::inject(bench.node.pid(), &wal(&plan), fault);
    process::until("an order is not accepted", process::LIMIT, || bench.place() != 202);
    let ready = plan.get("/health/ready").unwrap();
    assert_eq!(ready.status, 503, "{ready:?}");
    tracer.detach();
    bench.assert_goes_on();
}

fn wal(plan: &Plan) -> PathBuf {
    PathBuf::from(format!("{}-wal", plan.database.display()))
}

/// A constraint that one order breaks and no other: its client is not told to come again.
#[test]
fn an_order_that_the_database_refuses_for_good_is_answered_with_500() {
    let _alone = alone();
    let folder = folder();
    let plan = plan(folder.path());
    let mut bench = Bench::start(&plan);
    let mut database = SqliteConnection::establish(&plan.database.display().to_string()).unwrap();
    let trigger =
        "CREATE TRIGGER no_such_total BEFORE INSERT ON orders WHEN NEW.total_amount = 1234 BEGIN SELECT RAISE(ABORT, 'never'); END";
    database.batch_execute(&format!("PRAGMA busy_timeout = 10000; {trigger}")).unwrap();
    drop(database);
    for _ in 0..2 {
        let refused = plan.place("12.34").unwrap();
        assert_eq!((refused.status, refused.field("type")), (500, "/problems/internal-error".to_owned()), "{refused:?}");
        assert_eq!(refused.header("retry-after"), None, "{refused:?}");
        assert_eq!(bench.place(), 202, "others are taken");
    }
    assert!(plan.log().contains("never"), "the log says why: {}", plan.log());
    bench.node.stop();
}

#[test]
fn a_database_that_may_not_be_written_is_told_at_the_start() {
    let _alone = alone();
    let folder = folder();
    let plan = plan(folder.path());
    plan.start().stop();
    gather(&plan.database);
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    // Another user, who may read everything and write nothing; the way to the folder must be open to it.
    let home = tempfile::tempdir().unwrap();
    set(home.path(), 0o755);
    let binary = home.path().join("ordermill");
    std::fs::copy(&plan.binary, &binary).unwrap();
    let database = home.path().join("orders.db");
    std::fs::copy(&plan.database, &database).unwrap();
    set(&database, 0o444);
    let readonly = Plan { binary, database, ..plan.clone() };
    assert_refused(&readonly, Some(NOBODY), "give this user write access to its file and folder");
}

#[test]
fn a_damaged_file_is_told_at_the_start() {
    let _alone = alone();
    let folder = folder();
    let plan = plan(folder.path());
    plan.start().stop();
    gather(&plan.database);
    let whole = std::fs::read(&plan.database).unwrap();
    for (name, from, to) in [("its head", 0, 4096), ("all behind its head", 4096, whole.len()), ("no database", 0, whole.len())] {
        println!("{name}");
        let mut bytes = whole.clone();
        bytes[from..to].fill(0x5a);
        std::fs::write(&plan.database, &bytes).unwrap();
        assert_refused(&plan, None, "restore it from a backup");
    }
    std::fs::write(&plan.database, &whole).unwrap();
    plan.start().stop();
}

#[test]
fn a_file_that_is_damaged_under_the_node_turns_orders_away_until_it_is_restored() {
    let _alone = alone();
    let folder = folder();
    let plan = plan(folder.path());
    let mut bench = Bench::start(&plan);
    bench.node.wait_settled(process::LIMIT);
    let mut other = SqliteConnection::establish(&plan.database.display().to_string()).unwrap();
    // What the node has in its memory is void once another has written.
    other.batch_execute("PRAGMA busy_timeout = 10000; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let whole = std::fs::read(&plan.database).unwrap();
    overwrite(&plan.database, 4096, &vec![0x5a; whole.len() - 4096]);
    other.batch_execute("PRAGMA user_version = 7").unwrap();
    bench.assert_in_trouble("restore it from a backup");
    overwrite(&plan.database, 4096, &whole[4096..]);
    drop(other);
    bench.assert_goes_on();
}

/// Brings all into the one file; the write-ahead log would heal it.
fn gather(database: &Path) {
    let mut other = SqliteConnection::establish(&database.display().to_string()).unwrap();
    other.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

/// The user who owns nothing.
const NOBODY: u32 = 65_534;

/// The node ends at once and says what to do.
fn assert_refused(plan: &Plan, user: Option<u32>, told: &str) {
    let database = format!("sqlite:{}", plan.database.display());
    let mut command = plan.command(&["serve", "--listen", "127.0.0.1:0", "--database", &database]);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(told), "it does not say '{told}': {text}");
}

#[test]
fn too_many_orders_are_turned_away_and_all_that_were_accepted_settle() {
    let _alone = alone();
    let folder = folder();
    let plan = plan(folder.path()).with("order.open_limit", 10).with("providers.sandbox.behaviour.latency_ms", 100);
    let node = plan.start();
    let (url, path) = (plan.url(), folder.path().join("record.txt"));
    let mut load =
        plan.command(&["load", "--url", &url, "--orders", "60", "--connections", "40", "--products", "20", "--json", "--record"]);
    let fared = Fared::of(&load.arg(&path).output().unwrap());
    fared.assert_survived();
    assert_eq!(fared.count("accepted"), 60);
    assert!(fared.count("busy") > 0, "the bound was never met: {}", fared.report);
    plan.put_product("1.00");
    let turned_away = std::thread::scope(|scope| {
        let each: Vec<_> = (0..30).map(|_| scope.spawn(|| plan.place("1.00").unwrap())).collect();
        each.into_iter().map(|one| one.join().unwrap()).filter(|answer| answer.status == 503).collect::<Vec<_>>()
    });
    assert!(!turned_away.is_empty(), "30 at once fit under a bound of 10");
    assert!(turned_away.iter().all(|answer| answer.header("retry-after").is_some()), "{turned_away:?}");
    assert_whole(node, &path);
}

/// A small disk of its own.
struct Disk(PathBuf);

impl Disk {
    fn mount(size: &str) -> Self {
        let path = folder().keep();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&path).output().unwrap();
        let why = String::from_utf8_lossy(&mounted.stderr);
        assert!(mounted.status.success(), "this test mounts a small tmpfs and so needs root (and CAP_SYS_ADMIN): {why}");
        Self(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        process::until("the small disk is free", process::LIMIT, || {
            Command::new("umount").arg(&self.0).output().is_ok_and(|done| done.status.success())
        });
        drop(std::fs::remove_dir(&self.0));
    }
}
