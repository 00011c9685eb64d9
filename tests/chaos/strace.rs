//! strace on a running node: to see its system calls, or to make some of them fail.

use crate::process;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// An attached tracer. Dropped, it lets the node go on as if nothing had been.
pub(crate) struct Tracer(Child);

impl Tracer {
    /// Attaches to all threads of a process, with these options.
    pub(crate) fn attach(pid: u32, options: &[&str]) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &pid.to_string()]).args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("this test needs strace (apt-get install strace): {error}"));
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert!(line.contains("attached"), "strace cannot attach (it needs CAP_SYS_PTRACE): {line}");
        // Nobody reads on: a full pipe must not hold the tracer up.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self(child)
    }

    /// Makes every call of this kind fail that touches the file: `pwrite64:error=EIO`.
    pub(crate) fn inject(pid: u32, file: &Path, fault: &str) -> Self {
        let calls = fault.split(':').next().unwrap();
        let (trace, inject) = (format!("trace={calls}"), format!("inject={fault}"));
        Self::attach(pid, &["-o", "/dev/null", "-P", &file.display().to_string(), "-e", &trace, "-e", &inject])
    }

    /// Detaches; then all that it wrote is in its file.
    pub(crate) fn detach(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if self.0.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        // Not SIGKILL: it must give the threads back.
        drop(Command::new("sh").args(["-c", &format!("kill -INT {}", self.0.id())]).status());
        process::until("the tracer ends", process::LIMIT, || self.0.try_wait().is_ok_and(|ended| ended.is_some()));
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.end();
    }
}
