//! What the parts share: where they work, how they put load on a node, how they compare.

use crate::process::{self, LIMIT, Plan, Served};
use crate::support::workload;
use ordermill::db::sqlite::SqliteOptions;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The run.
pub struct Bench {
    binary: PathBuf,
    parent: PathBuf,
    scale: f64,
}

impl Bench {
    pub fn new() -> Self {
        let from_env = |name: &str, default: &str| std::env::var_os(name).map_or_else(|| PathBuf::from(default), PathBuf::from);
        let scale = std::env::var("SPEED_SCALE").map_or(1.0, |text| text.parse().expect("SPEED_SCALE is a number"));
        let bench = Self {
            binary: from_env("SPEED_BINARY", env!("CARGO_BIN_EXE_ordermill")),
            parent: from_env("SPEED_FOLDER", env!("CARGO_TARGET_TMPDIR")),
            scale,
        };
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        println!("{} in {}", bench.binary.display(), bench.parent.display());
        println!("{cores} cores, load average {} (above 0.2 other programs share them: ratios mean little)", load.trim());
        bench
    }

    /// So many orders, by the scale of this run.
    pub fn orders(&self, full: u64) -> u64 {
        ((full as f64 * self.scale) as u64).max(100)
    }

    pub fn folder(&self) -> TempDir {
        tempfile::tempdir_in(&self.parent).expect("a folder to write to")
    }

    /// A node in this folder.
    pub fn plan(&self, folder: &Path) -> Plan {
        Plan::new(&self.binary, folder)
    }

    /// Options of a database in this folder.
    pub fn options(folder: &Path) -> SqliteOptions {
        SqliteOptions::new(folder.join("orders.db"), workload::shards())
    }
}

/// The parts that the command line asks for, by default all; ends the program where there is no such part.
pub fn asked(known: &[&'static str]) -> Vec<&'static str> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let Some(unknown) = asked.iter().find(|name| !known.contains(&name.as_str())) {
        eprintln!("there is no part {unknown}; there are: {}", known.join(", "));
        std::process::exit(2);
    }
    known.iter().filter(|name| asked.is_empty() || asked.iter().any(|wanted| wanted == *name)).copied().collect()
}

/// What one load came to.
pub struct Loaded {
    pub report: serde_json::Value,
    /// Orders a second, counted when the last one was accepted.
    pub accepted: f64,
    /// Counted when nothing was owed any more, from the start of the generator's process on.
    pub settled: f64,
    pub node_cpu_us: f64,
}

impl Loaded {
    /// Of a latency: `acceptedMs`, `confirmedMs`.
    pub fn ms(&self, of: &str, percentile: &str) -> f64 {
        ms(&self.report, of, percentile)
    }

    pub fn generator_cpu_us(&self) -> f64 {
        generator_cpu_us(&self.report)
    }
}

/// Of a report's latency: `acceptedMs`, `confirmedMs`.
pub fn ms(report: &serde_json::Value, of: &str, percentile: &str) -> f64 {
    report[of][percentile].as_f64().unwrap_or_else(|| panic!("no {percentile} of {of}: {report}"))
}

/// CPU time of the generator for each order of a report.
pub fn generator_cpu_us(report: &serde_json::Value) -> f64 {
    report["generatorCpuUsPerOrder"].as_f64().unwrap_or_default()
}

/// Has the generator put load on the nodes at `urls`: its report, and how many orders were accepted.
pub fn generate(plan: &Plan, urls: &str, options: &[&str]) -> (serde_json::Value, f64) {
    let mut arguments = vec!["load", "--url", urls, "--json", "--no-settle"];
    arguments.extend_from_slice(options);
    let output = plan.run(&arguments);
    let text = String::from_utf8_lossy(&output.stdout);
    let report: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    let accepted = report["counts"]["accepted"].as_f64().expect("a count");
    let wanted = options.iter().position(|option| *option == "--orders").and_then(|at| options.get(at + 1)?.parse::<f64>().ok());
    assert!(wanted.is_none_or(|wanted| wanted == accepted), "not all orders were accepted: {report}\n{}", plan.log());
    (report, accepted)
}

/// Puts the catalogue of the generator into a node, and lets it warm up.
pub fn warm_up(node: &Served) {
    load(node, &["--orders", "2000"], true);
}

/// Puts load on a node; `settles`: waits until nothing is owed.
pub fn load(node: &Served, options: &[&str], settles: bool) -> Loaded {
    let (cpu, began) = (node.cpu(), Instant::now());
    let (report, accepted) = generate(&node.plan, &node.plan.url(), options);
    if settles {
        node.wait_settled(LIMIT);
    }
    let spent = began.elapsed();
    Loaded {
        accepted: report["acceptedPerSecond"].as_f64().expect("a rate"),
        settled: accepted / spent.as_secs_f64(),
        node_cpu_us: (node.cpu() - cpu).as_secs_f64() * 1e6 / accepted,
        report,
    }
}

/// The middle one; of an even number the lower.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

/// The value below which this share of them lies.
pub fn percentile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    values[((values.len() as f64 * share) as usize).min(values.len() - 1)]
}

/// `0.47 (0.44 0.47 0.49)`
pub fn ratios(values: &[f64]) -> String {
    let each: Vec<String> = values.iter().map(|value| format!("{value:.2}")).collect();
    format!("{:.2} ({})", median(values.to_vec()), each.join(" "))
}

/// `met` or `MISSED`.
pub fn goal(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

/// Stops a process without its knowing, while another is measured.
pub fn freeze<T>(node: &Served, work: impl FnOnce() -> T) -> T {
    node.signal("STOP");
    let done = work();
    node.signal("CONT");
    process::until("the node is back", LIMIT, || node.plan.get("/health/ready").is_ok_and(|answer| answer.status == 200));
    done
}
