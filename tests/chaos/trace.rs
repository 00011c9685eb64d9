//! No 202 leaves before the sync of its commit: shown by the node's system calls, because SIGKILL cannot show it (what was written
//! and not synced survives the process in the page cache).
//!
//! For each answer 202: the first page of the write-ahead log that holds its order's id, the commit frame of that transaction
//! (its header carries the size of the database), a sync of the log that began after it and ended well, and only then the send.
//! That the check can fail is shown twice: on the same trace with the syncs taken out, and on a node whose syncs are swallowed by
//! the tracer, so that they never reach the kernel.

use crate::strace::Tracer;
use crate::{alone, folder, plan, process};
use std::collections::HashMap;
use std::sync::Mutex;
use uuid::Uuid;

const CALLS: &str = "trace=pwrite64,pwritev,write,writev,sendto,sendmsg,fdatasync,fsync";
const CLIENTS: usize = 6;
const EACH: usize = 5;

#[test]
fn no_202_leaves_before_the_sync_of_its_commit() {
    let _alone = alone();
    let text = trace(&[]);
    let checked = check(&text);
    assert_eq!(checked.answers, CLIENTS * EACH, "answers in the trace");
    assert_eq!(checked.violations, Vec::<String>::new());
    // The same trace without its syncs.
    let without: String = text.lines().filter(|line| !line.contains("sync")).fold(String::new(), |all, line| all + line + "\n");
    assert_eq!(check(&without).violations.len(), CLIENTS * EACH);
}

#[test]
fn with_the_sync_removed_the_same_check_fails() {
    let _alone = alone();
    let checked = check(&trace(&["-e", "inject=fdatasync,fsync:retval=0"]));
    assert_eq!(checked.answers, CLIENTS * EACH, "answers in the trace");
    assert_eq!(checked.violations.len(), CLIENTS * EACH);
}

/// The node's system calls while a few clients place orders at the same time.
fn trace(more: &[&str]) -> String {
    let folder = folder();
    let plan = plan(folder.path());
    let node = plan.start();
    plan.put_product("10.00");
    let file = folder.path().join("trace.txt");
    let path = file.display().to_string();
    let mut options = vec!["-y", "-x", "-s", "8192", "-e", CALLS, "-o", &path];
    options.extend_from_slice(more);
    let tracer = Tracer::attach(node.pid(), &options);
    let statuses = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let status = plan.place("10.00").unwrap().status;
                    statuses.lock().unwrap().push(status);
                }
            });
        }
    });
    assert_eq!(statuses.into_inner().unwrap(), [202; CLIENTS * EACH]);
    tracer.detach();
    node.wait_settled(process::LIMIT);
    node.stop();
    std::fs::read_to_string(&file).unwrap()
}

/// One system call: its arguments as text, and the lines of the trace at which it began and ended.
struct Call {
    name: String,
    arguments: String,
    began: usize,
    /// None: it did not end well, or was not made at all.
    ended: Option<usize>,
}

impl Call {
    fn touches_log(&self) -> bool {
        self.arguments.split(',').next().is_some_and(|file| file.contains("-wal>"))
    }

    /// The bytes of all texts among its arguments.
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let (mut rest, mut inside) = (self.arguments.as_bytes(), false);
        while let Some((byte, tail)) = rest.split_first() {
            rest = tail;
            match (byte, inside) {
                (b'"', _) => inside = !inside,
                (b'\\', true) => {
                    let (byte, length) = escaped(rest);
                    out.push(byte);
                    rest = &rest[length..];
                }
                (byte, true) => out.push(*byte),
                (_, false) => {}
            }
        }
        out
    }
}

/// The byte after a backslash, and how long its name is.
fn escaped(rest: &[u8]) -> (u8, usize) {
    match rest[0] {
        b'x' => (u8::from_str_radix(std::str::from_utf8(&rest[1..3]).unwrap(), 16).unwrap(), 3),
        b'n' => (b'\n', 1),
        b'r' => (b'\r', 1),
        b't' => (b'\t', 1),
        b'v' => (0x0b, 1),
        b'f' => (0x0c, 1),
        digit @ b'0'..=b'7' => {
            let length = rest.iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
            let value = rest[1..length].iter().fold(u32::from(digit - b'0'), |sum, byte| sum * 8 + u32::from(byte - b'0'));
            (value as u8, length)
        }
        other => (other, 1),
    }
}

fn parse(text: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let result = rest.rsplit_once(" = ").map(|(_, result)| result);
        let ended = result.filter(|result| !result.starts_with('-') && !result.contains("INJECTED")).map(|_| at);
        if rest.starts_with("<...") {
            if let Some(call) = unfinished.remove(thread).and_then(|index| calls.get_mut(index)) {
                call.ended = ended;
            }
        } else if let Some((name, arguments)) = rest.split_once('(') {
            if rest.ends_with("<unfinished ...>") {
                unfinished.insert(thread, calls.len());
                calls.push(Call { name: name.to_owned(), arguments: arguments.to_owned(), began: at, ended: None });
            } else {
                calls.push(Call { name: name.to_owned(), arguments: arguments.to_owned(), began: at, ended });
            }
        }
    }
    calls
}

#[derive(Default)]
struct Checked {
    answers: usize,
    violations: Vec<String>,
}

const FRAME_HEADER: usize = 24;

fn check(text: &str) -> Checked {
    let calls = parse(text);
    let log: Vec<(&Call, Vec<u8>)> =
        calls.iter().filter(|call| call.name.starts_with("pwrite") && call.touches_log()).map(|call| (call, call.bytes())).collect();
    let syncs: Vec<&Call> = calls.iter().filter(|call| call.name.ends_with("sync") && call.touches_log()).collect();
    let mut checked = Checked::default();
    for send in calls.iter().filter(|call| ["write", "writev", "sendto", "sendmsg"].contains(&call.name.as_str())) {
        let bytes = send.bytes();
        let text = String::from_utf8_lossy(&bytes);
        for answer in text.split("HTTP/1.1 202").skip(1) {
            checked.answers += 1;
            let id: Uuid = answer.split("\"orderId\":\"").nth(1).and_then(|rest| rest.get(..36)).unwrap().parse().unwrap();
            match committed(&log, id) {
                None => checked.violations.push(format!("{id}: no commit of it before its 202")),
                Some(commit) if commit > send.began => checked.violations.push(format!("{id}: answered before its commit")),
                Some(commit) => {
                    let is_synced = |sync: &&&Call| sync.began > commit && sync.ended.is_some_and(|ended| ended < send.began);
                    if syncs.iter().find(is_synced).is_none() {
                        checked.violations.push(format!("{id}: answered before the sync of its commit"));
                    }
                }
            }
        }
    }
    checked
}

/// Where the last page of the transaction was written that stored this order.
fn committed(log: &[(&Call, Vec<u8>)], id: Uuid) -> Option<usize> {
    let holds = |(_, bytes): &(&Call, Vec<u8>)| bytes.windows(16).any(|window| window == id.as_bytes());
    let first = log.iter().position(holds)?;
    let is_commit = |(_, bytes): &(&Call, Vec<u8>)| bytes.len() == FRAME_HEADER && bytes[4..8] != [0; 4];
    let header = first.saturating_sub(1) + log[first.saturating_sub(1)..].iter().position(is_commit)?;
    log.get(header + 1).map(|(page, _)| page.began)
}
