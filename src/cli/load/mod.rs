//! `ordermill load`: puts orders on a node, as many as it takes or as many a second as asked, and measures what comes back.
//!
//! Owns: the generator's connections, the run's counts and latencies. Promises: every order ends in exactly one count, no error
//! is hidden, a latency of the open loop counts from the time when its order was due. Does not know: what is inside the node.

mod args;
mod ask;
mod connection;
mod follow;
mod node;
mod pace;
mod parked;
mod record;
mod run;
mod scan;
mod setup;
mod show;
mod source;
mod tally;
mod wire;

#[cfg(test)]
mod tests;

pub(super) use args::LoadArgs;

use super::interrupt::Interrupts;
use super::retail::Retail;
use crate::cli::load::node::Node;
use anyhow::{Context, bail};
use connection::Connection;
use follow::Followers;
use hyper::Method;
use pace::Tickets;
use record::Recorder;
use run::{Parts, Run};
use setup::End;
use show::{Moment, Progress, Report};
use source::{CatalogueProduct, Generator, Shape, Source};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use wire::Template;

/// How often the progress line is rewritten.
const MOMENT: Duration = Duration::from_millis(250);
/// After the end of sending, answers are waited for at most so long.
const DRAIN: Duration = Duration::from_secs(15);
/// The stock of each product, so that no run runs out.
const PLENTY: i32 = 1_000_000_000;

/// What a run sends.
struct Work {
    source: Source,
    catalogue: Vec<CatalogueProduct>,
    orders: Option<u64>,
    notes: Vec<String>,
}

/// Runs the load and prints its summary; false when the run failed.
///
/// # Errors
/// The node cannot be reached at the start, refuses the catalogue, or a file cannot be read or written.
pub(super) fn load(args: &LoadArgs) -> anyhow::Result<bool> {
    if args.dry_run {
        print!("{}", plan_text(&work(args)?));
        return Ok(true);
    }
    // One thread: it leaves the other core to the node, and nothing here is shared across threads.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(measure(args))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.text());
    }
    Ok(report.failure.is_none())
}

/// What a run would send.
fn plan_text(work: &Work) -> String {
    let orders =
        work.orders.map_or_else(|| "orders for the given duration".to_owned(), |orders| format!("{} orders", show::grouped(orders)));
    let mut out = format!("would send {orders} of {} products\n", show::grouped(u64::try_from(work.catalogue.len()).unwrap_or(u64::MAX)));
    for note in &work.notes {
        out.push_str(&format!("note: {note}\n"));
    }
    out
}

async fn measure(args: &LoadArgs) -> anyhow::Result<Report> {
    let mut work = work(args)?;
    let mut interrupts = Interrupts::listen();
    let key = args.api.key.as_deref();
    let nodes = nodes(&args.url, key).await?;
    let mut progress = Progress::new(args.json);
    // What will be odd about a run is told before it; the summary says it again.
    for note in &work.notes {
        progress.say(note);
    }
    if !args.no_seed {
        let first = ask::first_reachable(&nodes).await.context("give at least one --url")?;
        progress.say(&format!("putting {} products into the catalogue of {}", work.catalogue.len(), first.address));
        tokio::select! {
            seeded = setup::seed(first, key, Duration::from_secs(args.give_up_s), std::mem::take(&mut work.catalogue)) => seeded?,
            () = interrupts.next() => bail!("interrupted before the first order"),
        }
    }
    match setup::open_orders(&nodes, args.gauge, key).await.map(|open| open.orders) {
        Ok(0) => {}
        Ok(open) => work.notes.push(format!("{open} orders were open before the run; they count in the time to settle")),
        Err(error) => work.notes.push(format!("the number of open orders cannot be read: {error:#}")),
    }
    let recorder = match &args.record {
        Some(path) => Some(Recorder::open(path).with_context(|| format!("cannot write {}", path.display()))?),
        None => None,
    };
    let followers =
        (args.sample > 0.0).then(|| Followers::new(args.sample, args.seed, &nodes, key, Duration::from_secs(args.settle_timeout_s)));
    let run = Run::new(Parts {
        nodes,
        source: work.source,
        tickets: Tickets::start(work.orders, args.rate),
        idempotent: args.idempotency,
        timeout: Duration::from_secs(args.timeout_s),
        give_up: Duration::from_secs(args.give_up_s),
        recorder,
        followers,
    });
    let sent = send(&run, args, work.orders, &mut progress, &mut interrupts).await?;
    let ended = settle(&run, args, &progress, &mut interrupts).await;
    progress.end();
    Ok(report(args, &run, &sent, ended, work.notes))
}

/// The nodes behind the addresses.
async fn nodes(urls: &[String], key: Option<&str>) -> anyhow::Result<Vec<Node>> {
    let mut nodes = Vec::new();
    for url in urls {
        let Some(rest) = url.strip_prefix("http://") else {
            bail!("{url}: load speaks plain http:// only (it measures the node, not a proxy)");
        };
        let host = rest.trim_end_matches('/');
        let with_port =
            if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) { host.to_owned() } else { format!("{host}:80") };
        let address = tokio::net::lookup_host(&with_port).await.with_context(|| format!("{url}: no such host"))?.next();
        let address = address.with_context(|| format!("{url}: the host has no address"))?;
        let orders = Template::new(Method::POST, "/api/v1/orders", host, key).with_context(|| format!("{url}: no request can be made"))?;
        nodes.push(Node { address, host: host.to_owned(), orders });
    }
    Ok(nodes)
}

/// The orders of the run, and the products that they need.
fn work(args: &LoadArgs) -> anyhow::Result<Work> {
    let Some(path) = &args.csv else {
        let shape = Shape { seed: args.seed, products: args.products, customers: args.customers, items: args.items, hot: args.hot };
        let orders = args.orders.or(if args.duration_s.is_some() { None } else { Some(args::DEFAULT_ORDERS) });
        let catalogue = source::catalogue(args.products, PLENTY);
        return Ok(Work { source: Source::Generated(Generator::new(shape)), catalogue, orders, notes: Vec::new() });
    };
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let retail = Retail::read(&text).with_context(|| format!("{} is not a file of invoices", path.display()))?;
    if retail.orders.is_empty() {
        bail!("{} has no usable line", path.display());
    }
    for line in &retail.refused {
        eprintln!("line {} refused: {}", line.number, line.reason);
    }
    let bodies = retail.orders.iter().map(|order| order.body().into_bytes().into()).collect();
    let catalogue = retail.products.iter().map(|product| CatalogueProduct {
        id: product.id.0,
        name: product.name.to_string(),
        price: product.price,
        available: PLENTY,
    });
    let once = u64::try_from(retail.orders.len()).unwrap_or(u64::MAX);
    let orders = args.orders.or(if args.duration_s.is_some() { None } else { Some(once) });
    Ok(Work { source: Source::Real(bodies), catalogue: catalogue.collect(), orders, notes: notes_of(&retail) })
}

fn notes_of(retail: &Retail) -> Vec<String> {
    let lines: usize = retail.orders.iter().map(|order| order.lines.len()).sum();
    let mut notes = vec![format!(
        "the file: {} orders of {lines} lines, {} products, {} lines refused",
        retail.orders.len(),
        retail.products.len(),
        retail.refused.len()
    )];
    notes.extend(retail.refusals().into_iter().map(|(reason, (count, first))| format!("  {count} x {reason} (first: line {first})")));
    notes.push(format!(
        "of one pass through the file, {} orders sell at another price than the catalogue's: a node with pricing=check cancels them",
        retail.mispriced()
    ));
    notes.push(format!(
        "and {} have a total that ends in .01 to .09, by which the sandbox declines, fails or delays a payment unless \
         providers.sandbox.magic is false: those that fail for good become dead letters and wait for a person",
        retail.magic()
    ));
    notes
}

/// What sending took.
struct Sent {
    time: Duration,
    /// CPU time of this process, where the system tells it.
    cpu_us: f64,
}

/// Sends all orders and waits for their answers.
async fn send(
    run: &Arc<Run>,
    args: &LoadArgs,
    orders: Option<u64>,
    progress: &mut Progress,
    interrupts: &mut Interrupts,
) -> anyhow::Result<Sent> {
    let cpu_before = cpu_us();
    let mut tasks = JoinSet::new();
    for number in 0..args.connections {
        tasks.spawn(Connection::new(run.clone(), number).run());
    }
    let recording = run.recorder.clone().map(|recorder| {
        let counting = run.clone();
        tokio::spawn(recorder.run(move |ids| counting.tally().counts.accepted += ids))
    });
    let mut sending = Sending { run, orders, duration: args.duration_s.map(Duration::from_secs_f64), before: (Duration::ZERO, 0) };
    sending.watch(&mut tasks, progress, interrupts).await;
    let time = run.elapsed();
    tasks.shutdown().await;
    if let (Some(recorder), Some(recording)) = (&run.recorder, recording) {
        recorder.finish();
        recording.await?.context("the record could not be written")?;
    }
    let counts = &mut run.tally().counts;
    // Requests of aborted connections were sent and never answered; what else has no end was never sent.
    counts.unknown += run.now_under_way();
    counts.not_sent += run.tickets.taken().saturating_sub(counts.ended()) + run.tickets.left_over();
    Ok(Sent { time, cpu_us: cpu_us() - cpu_before })
}

/// The time of sending.
struct Sending<'a> {
    run: &'a Arc<Run>,
    orders: Option<u64>,
    duration: Option<Duration>,
    /// When and how many were accepted at the last moment.
    before: (Duration, u64),
}

impl Sending<'_> {
    /// Until all connections are done; shows progress, minds the end of the duration and Ctrl-C.
    async fn watch(&mut self, tasks: &mut JoinSet<()>, progress: &mut Progress, interrupts: &mut Interrupts) {
        let mut tick = tokio::time::interval(MOMENT);
        let end = self.duration.map(|duration| self.run.tickets.started() + duration);
        let mut stopped_at: Option<Instant> = None;
        loop {
            tokio::select! {
                joined = tasks.join_next() => match joined {
                    None => return,
                    Some(Ok(())) => {}
                    Some(Err(error)) => self.run.fail(format!("a connection's task stopped: {error}")),
                },
                _ = tick.tick() => progress.show(&self.moment()),
                () = until(end), if stopped_at.is_none() => {
                    self.run.end();
                    stopped_at = Some(Instant::now());
                }
                () = interrupts.next() => {
                    if stopped_at.is_some() {
                        return;
                    }
                    progress.say("stopping; answers under way are waited for (Ctrl-C again: not)");
                    self.run.end();
                    stopped_at = Some(Instant::now());
                }
                () = until(stopped_at.map(|at| at + DRAIN)) => return,
            }
        }
    }

    fn moment(&mut self) -> Moment {
        let (elapsed, tally) = (self.run.elapsed(), self.run.tally());
        let counts = &tally.counts;
        let (then, accepted_then) = std::mem::replace(&mut self.before, (elapsed, counts.accepted));
        let step = elapsed.saturating_sub(then).as_secs_f64().max(0.001);
        let by_count = self.orders.map(|orders| counts.ended() as f64 / orders.max(1) as f64);
        let by_time = self.duration.map(|duration| elapsed.as_secs_f64() / duration.as_secs_f64().max(0.001));
        Moment {
            elapsed,
            share: by_count.into_iter().chain(by_time).reduce(f64::max),
            accepted: counts.accepted,
            now_per_second: counts.accepted.saturating_sub(accepted_then) as f64 / step,
            errors: counts.errors(),
            busy: counts.busy,
            latency: tally.accepted_us.percentiles(),
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits for the node to settle all; returns how that ended and how long after the start, if it was seen.
async fn settle(run: &Arc<Run>, args: &LoadArgs, progress: &Progress, interrupts: &mut Interrupts) -> Option<(End, Duration)> {
    if args.no_settle || run.failure().is_some() {
        return None;
    }
    progress.say("waiting until all orders are settled (Ctrl-C: not)");
    let limit = Duration::from_secs(args.settle_timeout_s);
    let settled = async {
        let open = setup::wait_until_settled(run, args.gauge, args.api.key.as_deref(), limit).await;
        let at = run.elapsed();
        while run.followers.as_ref().is_some_and(|followers| followers.active() > 0) && run.elapsed() < at + DRAIN {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        match open {
            Ok(end) => Some((end, at)),
            Err(error) => {
                progress.say(&format!("cannot find out whether all orders are settled: {error:#}"));
                None
            }
        }
    };
    tokio::select! {
        result = settled => result,
        () = interrupts.next() => None,
    }
}

fn report(args: &LoadArgs, run: &Run, sent: &Sent, ended: Option<(End, Duration)>, notes: Vec<String>) -> Report {
    let (settled_in, open_at_end, parked_at_end) = match ended {
        None => (None, None, None),
        Some((End::Settled, at)) => (Some(at), Some(0), Some(0)),
        Some((End::Parked(parked), at)) => (Some(at), Some(parked), Some(parked)),
        Some((End::Open(open), _)) => (None, Some(open), None),
    };
    let tally = run.tally();
    let counts = tally.counts.clone();
    let per_second = |time: Duration| counts.accepted as f64 / time.as_secs_f64().max(1e-9);
    let sampled = run.followers.as_ref().map(|followers| {
        followers.result(|followed, times| (followed.clone(), times.confirmed_us.percentiles(), times.settled_us.percentiles()))
    });
    let (sample, confirmed_ms, settled_ms) =
        sampled.map_or((None, None, None), |(followed, confirmed, settled)| (Some(followed), confirmed, settled));
    Report {
        r#loop: if args.rate.is_some() { "open" } else { "closed" },
        connections: args.connections,
        rate: args.rate,
        seed: args.seed,
        seconds: sent.time.as_secs_f64(),
        accepted_per_second: per_second(sent.time),
        settled_seconds: settled_in.map(|time| time.as_secs_f64()),
        settled_per_second: settled_in.map(per_second),
        open_at_end,
        parked_at_end,
        accepted_ms: tally.accepted_us.percentiles(),
        confirmed_ms,
        settled_ms,
        sample,
        refusals: tally.refusals(),
        generator_cpu_us_per_order: (counts.accepted > 0).then(|| sent.cpu_us / counts.accepted as f64),
        unexpected: counts.unexpected(),
        counts,
        notes,
        failure: run.failure().or_else(|| {
            let open = open_at_end.filter(|open| *open > 0 && parked_at_end.is_none())?;
            Some(format!("{open} orders were not settled within {} s", args.settle_timeout_s))
        }),
    }
}

/// CPU time of this process so far, in microseconds.
fn cpu_us() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as f64 * 1e6 + spent.tv_nsec as f64 / 1e3
}
