//! `ordermill top`: what a node does now, drawn again and again like `top`. Where that cannot be, such as in a pipe, once.

use super::client::{ApiArgs, ApiError, Client, rows_at, shown_at};
use super::interrupt::Interrupts;
use super::status;
use super::table::{Column, cut, print_json, printable, table};
use super::terminal::{self, Screen, Tone};
use super::words::age_at;
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

const METRICS: &str = "/api/v1/analytics/metrics";
const DASHBOARD: &str = "/api/v1/analytics/dashboard";
/// The rates of now are those of so much time.
const NOW: Duration = Duration::from_secs(10);
/// Most rows of a section where the page has no end.
const ROWS: usize = 20;

/// Shows what the node does, live: rates, slow steps, queues, oldest orders (needs the role operator). `q` or Ctrl-C ends it
///
/// Rates, orders and what needs attention are those of all nodes; steps and queues are those of the node that answers. Where the
/// output is no terminal, or a dumb one, it is shown once.
#[derive(Args, Clone, Debug)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Time between two looks
    #[arg(long, short = 'd', value_name = "TIME", default_value = "2s", value_parser = super::parse_seconds)]
    every: f64,
    /// Show it once and end
    #[arg(long)]
    once: bool,
    /// Print once what the node answers, as JSON
    #[arg(long)]
    json: bool,
}

/// What is shown.
#[derive(Default)]
struct Look {
    url: String,
    attention: Value,
    metrics: Value,
    dashboard: Value,
    /// Why there are no figures, or why what is shown is old.
    trouble: Option<String>,
    now: DateTime<Utc>,
    /// Orders placed and confirmed, payments and notices a second, as far as known.
    rates: Option<[f64; 4]>,
}

/// Runs until it is ended.
///
/// # Errors
/// The node cannot be reached at first, or refuses.
pub(crate) async fn run(args: &TopArgs) -> anyhow::Result<bool> {
    let client = Client::new(&args.api)?;
    let mut look = look(&client).await?;
    if args.json {
        let all = json!({ "attention": look.attention, "metrics": look.metrics, "dashboard": look.dashboard });
        return print_json(&all).map(|()| true);
    }
    let Some(mut screen) = (if args.once { None } else { Screen::open() }) else {
        for (_, line) in page(&look, terminal::width(), None) {
            println!("{line}");
        }
        return Ok(true);
    };
    follow(&client, &mut look, &mut screen, Duration::from_secs_f64(args.every)).await.map(|()| true)
}

async fn follow(client: &Client, look: &mut Look, screen: &mut Screen, every: Duration) -> anyhow::Result<()> {
    let (mut interrupts, mut keys) = (Interrupts::listen(), screen.keys());
    let (mut resized, mut ended) = (signal(SignalKind::window_change())?, signal(SignalKind::terminate())?);
    let mut seen = Seen::default();
    let mut next = Instant::now() + every;
    seen.count(look);
    loop {
        let (width, height) = screen.size();
        screen.draw(&page(look, Some(width), Some(height)))?;
        tokio::select! {
            () = interrupts.next() => return Ok(()),
            _ = ended.recv() => return Ok(()),
            key = keys.next() => if matches!(key, b'q' | b'Q') { return Ok(()) },
            _ = resized.recv() => {}
            looked = async { tokio::time::sleep_until(next).await; self::look(client).await } => {
                match looked {
                    Ok(newer) => *look = newer,
                    Err(error) if error.is_passing() => look.trouble = Some(one_line(&error)),
                    Err(error) => return Err(error.into()),
                }
                seen.count(look);
                next = Instant::now() + every;
            }
        }
    }
}

async fn look(client: &Client) -> Result<Look, ApiError> {
    let (attention, metrics, dashboard) = tokio::join!(client.get(status::PATH), client.get(METRICS), client.get(DASHBOARD));
    let attention = attention?;
    let mut trouble = None;
    // Where another team counts, or no node does now, the rest is still worth a look.
    let mut figures = |answer: Result<Value, ApiError>| {
        answer.unwrap_or_else(|error| {
            trouble = Some(format!("no figures: {}", one_line(&error)));
            Value::Null
        })
    };
    let (metrics, dashboard) = (figures(metrics), figures(dashboard));
    Ok(Look { url: client.url().to_owned(), attention, metrics, dashboard, trouble, now: Utc::now(), rates: None })
}

fn one_line(error: &ApiError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The totals of the last looks.
#[derive(Default)]
struct Seen(VecDeque<(Instant, [f64; 4])>);

impl Seen {
    /// Adds the look's totals, and tells it the rates since the oldest ones.
    fn count(&mut self, look: &mut Look) {
        let now = Instant::now();
        let totals = ["/orders/placed", "/orders/confirmed", "/payments/charged", "/notifications/sent"];
        let Some(totals) = at_all(&look.dashboard, totals) else { return };
        while self.0.len() > 1 && self.0.front().is_some_and(|(at, _)| now - *at > NOW) {
            self.0.pop_front();
        }
        if let Some((at, before)) = self.0.front() {
            let seconds = (now - *at).as_secs_f64().max(0.001);
            let mut rates = totals;
            rates.iter_mut().zip(before).for_each(|(total, before)| *total = (*total - before).max(0.0) / seconds);
            look.rates = Some(rates);
        }
        self.0.push_back((now, totals));
    }
}

fn at_all<const N: usize>(value: &Value, paths: [&str; N]) -> Option<[f64; N]> {
    let mut numbers = [0.0; N];
    for (number, path) in numbers.iter_mut().zip(paths) {
        *number = value.pointer(path)?.as_f64()?;
    }
    Some(numbers)
}

type Line = (Tone, String);

/// The whole page, within width and height.
fn page(look: &Look, width: Option<usize>, height: Option<usize>) -> Vec<Line> {
    let mut lines = head(look);
    let mut sections = vec![rates(look, width), steps(look, width), oldest(look, width), queues(look, width)];
    sections.retain(|lines| !lines.is_empty());
    if let Some(height) = height {
        // The longest gives first, so that each keeps its most telling rows; the rates stay whole. An empty line stands before each.
        while lines.len() + sections.iter().map(|lines| lines.len() + 1).sum::<usize>() > height {
            let longest = sections.iter_mut().skip(1).max_by_key(|lines| lines.len()).filter(|lines| lines.len() > 2);
            if longest.and_then(Vec::pop).is_none() && sections.pop().is_none() {
                break;
            }
        }
    }
    for section in sections {
        lines.push((Tone::Plain, String::new()));
        lines.extend(section.into_iter().enumerate().map(|(at, line)| (if at == 0 { Tone::Head } else { Tone::Plain }, line)));
    }
    let fit = |(tone, line): Line| (tone, width.map_or(line.clone(), |width| cut(&line, width)));
    let most = height.unwrap_or(usize::MAX);
    lines.into_iter().take(most).map(fit).collect()
}

fn head(look: &Look) -> Vec<Line> {
    let mut lines = vec![(Tone::Head, format!("ordermill  {}  {}", look.url, look.now.format("%Y-%m-%d %H:%M:%S UTC")))];
    if let Some(trouble) = &look.trouble {
        lines.push((Tone::Bad, printable(trouble)));
    }
    let items = rows_at(&look.attention, "items");
    if items.is_empty() {
        lines.push((Tone::Good, "nothing needs attention".to_owned()));
    }
    for item in items {
        let tone = if shown_at(item, "level") == "ERROR" { Tone::Bad } else { Tone::Warn };
        let since = age_at(item, "since", look.now);
        let since = if since == "-" { String::new() } else { format!(", oldest {since}") };
        lines.push((tone, printable(&format!("{}: {}{since}", status::counted(item), shown_at(item, "detail")))));
    }
    let open = format!("open {} of {}", shown_at(&look.metrics, "openOrders"), shown_at(&look.metrics, "openOrdersLimit"));
    let by_status = look.dashboard.pointer("/orders/byStatus").and_then(Value::as_object);
    let by_status = by_status.into_iter().flatten().filter(|(_, count)| count.as_u64() != Some(0));
    let parts = std::iter::once(open).chain(by_status.map(|(status, count)| format!("{status} {count}")));
    lines.push((Tone::Plain, parts.collect::<Vec<_>>().join("  ")));
    lines
}

/// A table's lines, its heading first; nothing if it has no rows.
fn section<const N: usize>(columns: [Column<'_>; N], rows: &[[String; N]], width: Option<usize>) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    let text = table(columns, rows, width);
    // What has no room needs no line that says so.
    text.lines().take(rows.len() + 1).map(str::to_owned).collect()
}

fn rates(look: &Look, width: Option<usize>) -> Vec<String> {
    let number = |path: &str| look.metrics.pointer(path).and_then(Value::as_f64);
    let rate = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
    let share = |path: &str| number(path).map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
    let rows = [
        ("orders placed", 0, "/throughput/placedPerSecond", ""),
        ("orders confirmed", 1, "/throughput/confirmedPerSecond", "/errorRates/stock"),
        ("payments", 2, "/throughput/paymentsPerSecond", "/errorRates/payments"),
        ("notices", 3, "/throughput/noticesPerSecond", "/errorRates/notifications"),
    ];
    let rows = rows.map(|(name, at, path, failed)| {
        let now = look.rates.and_then(|rates| rates.get(at).copied());
        let failed = if failed.is_empty() { "-".to_owned() } else { share(failed) };
        [name.to_owned(), rate(now), rate(number(path)), failed]
    });
    section([Column::text("PER SECOND"), Column::number("NOW"), Column::number("5 MIN"), Column::number("FAILED")], &rows, width)
}

fn steps(look: &Look, width: Option<usize>) -> Vec<String> {
    let mut steps: Vec<&Value> = rows_at(&look.metrics, "latencies").iter().filter(|step| shown_at(step, "count") != "0").collect();
    let slow = |step: &Value| step.get("p99Ms").and_then(Value::as_f64).unwrap_or(0.0);
    steps.sort_by(|a, b| slow(b).total_cmp(&slow(a)));
    let ms = |step: &Value, name: &str| step.get(name).and_then(Value::as_f64).map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
    let row = |step: &&Value| {
        let [median, most, nearly, longest] = ["p50Ms", "p90Ms", "p99Ms", "maxMs"].map(|name| ms(step, name));
        [shown_at(step, "step"), shown_at(step, "count"), median, most, nearly, longest]
    };
    let number = Column::number;
    let columns =
        [Column::text("SLOW STEPS"), number("COUNT").spare(2), number("MEDIAN MS"), number("90 %").spare(1), number("99 %"), number("MAX")];
    section(columns, &steps.iter().take(ROWS).map(row).collect::<Vec<_>>(), width)
}

fn queues(look: &Look, width: Option<usize>) -> Vec<String> {
    let mut queues: Vec<&Value> = rows_at(&look.metrics, "queues").iter().collect();
    let filled = |queue: &Value| {
        let number = |name: &str| queue.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        number("waiting") / number("capacity").max(1.0)
    };
    queues.sort_by(|a, b| filled(b).total_cmp(&filled(a)));
    let rows: Vec<_> = queues.iter().take(ROWS).map(|queue| ["kind", "waiting", "capacity"].map(|name| shown_at(queue, name))).collect();
    section([Column::text("QUEUES"), Column::number("WAITING"), Column::number("OF")], &rows, width)
}

fn oldest(look: &Look, width: Option<usize>) -> Vec<String> {
    let row = |order: &Value| {
        let [id, status, parked] = ["orderId", "status", "parked"].map(|name| shown_at(order, name));
        let [age, unchanged] = ["createdAt", "updatedAt"].map(|name| age_at(order, name, look.now));
        [id, status, age, unchanged, parked]
    };
    let whole = Column::whole;
    let columns = [
        whole("OLDEST ORDERS"),
        whole("STATUS"),
        Column::number("AGE"),
        Column::number("UNCHANGED").spare(1),
        Column::text("PARKED").spare(2),
    ];
    section(columns, &rows_at(&look.metrics, "oldestOrders").iter().take(ROWS).map(row).collect::<Vec<_>>(), width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Look {
        Look {
            url: "http://n".to_owned(),
            attention: json!({"items": [{"kind": "parked-orders", "level": "ERROR", "count": 1, "more": false,
                "since": "2026-01-31T08:25:00Z", "detail": "1 × payment-provider at charge"}]}),
            metrics: json!({
                "throughput": {"placedPerSecond": 12.04, "confirmedPerSecond": 11.0, "paymentsPerSecond": 11.5, "noticesPerSecond": 11.0},
                "errorRates": {"stock": null, "payments": 0.021, "notifications": 0.0},
                "latencies": [{"step": "answer", "count": 9, "p50Ms": 1.0, "p90Ms": 2.0, "p99Ms": 3.0, "maxMs": 4.25},
                    {"step": "pay", "count": 8, "p50Ms": 10.0, "p90Ms": 20.0, "p99Ms": 30.0, "maxMs": 40.0},
                    {"step": "notify", "count": 0, "p50Ms": 0.0, "p90Ms": 0.0, "p99Ms": 0.0, "maxMs": 0.0}],
                "queues": [{"kind": "journal", "waiting": 1, "capacity": 100}, {"kind": "router", "waiting": 3, "capacity": 10}],
                "oldestOrders": [{"orderId": "o1", "status": "PENDING", "createdAt": "2026-01-31T08:20:00Z",
                    "updatedAt": "2026-01-31T08:29:00Z", "parked": "payment-provider"},
                    {"orderId": "o2", "status": "PENDING", "createdAt": "2026-01-31T08:29:00Z", "updatedAt": "2026-01-31T08:29:59Z"}],
                "openOrders": 2, "openOrdersLimit": 5000
            }),
            dashboard: json!({"orders": {"byStatus": {"PENDING": 2, "SHIPPED": 10, "FAILED": 0}}}),
            trouble: None,
            now: DateTime::parse_from_rfc3339("2026-01-31T08:30:00Z").unwrap().to_utc(),
            rates: Some([13.0, 0.0, 0.25, 1.0]),
        }
    }

    fn text(lines: &[Line]) -> String {
        lines.iter().map(|(_, line)| format!("{line}\n")).collect()
    }

    #[test]
    fn a_page_begins_with_what_needs_attention_and_has_the_slowest_and_the_oldest_first() {
        insta::assert_snapshot!(text(&page(&sample(), None, None)), @r"
        ordermill  http://n  2026-01-31 08:30:00 UTC
        1 parked order: 1 × payment-provider at charge, oldest 5m
        open 2 of 5000  PENDING 2  SHIPPED 10

        PER SECOND         NOW  5 MIN  FAILED
        orders placed     13.0   12.0       -
        orders confirmed   0.0   11.0       -
        payments           0.2   11.5   2.1 %
        notices            1.0   11.0   0.0 %

        SLOW STEPS  COUNT  MEDIAN MS  90 %  99 %   MAX
        pay             8       10.0  20.0  30.0  40.0
        answer          9        1.0   2.0   3.0   4.2

        OLDEST ORDERS  STATUS   AGE  UNCHANGED  PARKED
        o1             PENDING  10m         1m  payment-provider
        o2             PENDING   1m         1s  -

        QUEUES   WAITING   OF
        router         3   10
        journal        1  100
        ");
    }

    #[test]
    fn a_page_fits_the_terminal_and_keeps_the_most_telling_rows() {
        for (width, height) in [(80, 24), (60, 15), (40, 9), (20, 3), (200, 60)] {
            let lines = page(&sample(), Some(width), Some(height));
            assert!(lines.len() <= height, "{height}: {}", text(&lines));
            assert!(
                lines.iter().all(|(_, line)| unicode_width::UnicodeWidthStr::width(line.as_str()) <= width),
                "{width}: {}",
                text(&lines)
            );
        }
        let short = text(&page(&sample(), Some(80), Some(15)));
        assert!(short.contains("o1") && short.contains("pay"), "{short}");
    }

    #[test]
    fn a_page_without_figures_says_why() {
        let look =
            Look { trouble: Some("no figures: the node answers 404".to_owned()), metrics: Value::Null, dashboard: Value::Null, ..sample() };
        let text = text(&page(&look, None, None));
        assert!(text.contains("no figures") && text.contains("1 parked order"), "{text}");
    }

    #[test]
    fn rates_are_those_between_two_looks() {
        let mut seen = Seen::default();
        let at = |placed: u32| Look {
            dashboard: json!({"orders": {"placed": placed, "confirmed": 1}, "payments": {"charged": 1}, "notifications": {"sent": 1}}),
            ..Look::default()
        };
        let mut first = at(10);
        seen.count(&mut first);
        assert_eq!(first.rates, None);
        let mut second = at(50);
        seen.count(&mut second);
        let rates = second.rates.unwrap();
        assert!(rates[0] > 0.0 && rates[1] == 0.0, "{rates:?}");
        let mut none = Look::default();
        seen.count(&mut none);
        assert_eq!(none.rates, None, "no totals, no rates");
    }
}
