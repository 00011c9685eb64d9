//! `ordermill dlq`: dead letters, through a node's API. A dead letter is a failed step, notice or message that waits for a person.

use super::client::{ApiArgs, Client, encoded, rows_at, shown_at};
use super::pages::pages;
use super::table::{Column, print_json, printable, table};
use super::terminal;
use super::words::moment_at;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/admin/dlq";
/// One request acts for a limited time; this is the most requests in a row.
const MAX_ROUNDS: u32 = 1000;

const STATES: [&str; 9] = ["OPEN", "REPROCESSED", "SKIPPED", "COMPENSATED", "DISCARDED", "DONE", "ACCEPTED", "SUPERSEDED", "any"];

/// Resolves dead letters: failed steps and messages that wait for a person (needs the role operator).
#[derive(Args, Clone, Debug)]
pub(crate) struct DlqArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Print what the node answers, as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum DlqCommand {
    /// List dead letters, newest first
    List {
        #[command(flatten)]
        filter: FilterArgs,
        /// Only those in this state, or `any`
        #[arg(long, default_value = "OPEN", value_name = "STATE", ignore_case = true, value_parser = STATES)]
        state: String,
        /// Longest list to print
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Count the open dead letters by kind, cause and step
    Group,
    /// Show a dead letter: what failed, why, where it came from, and what was done about it
    Show {
        /// Id of the dead letter
        id: String,
    },
    /// Try again: continue the order, send the notice again, or process the message again
    Reprocess(ActArgs),
    /// Skip the failed step or message, and continue
    Skip(ActArgs),
    /// Cancel the order and undo what was done for it
    Compensate(ActArgs),
    /// Close the dead letter and do nothing else (not if its order waits for it)
    Discard(ActArgs),
    /// Record that a person did the failed step (charged, refunded, told the customer …), and continue the order. Needs --note
    Done(DoneArgs),
    /// Accept another team's answer although it differs from the order (amount-mismatch, currency-mismatch, reservation-mismatch)
    Accept(ActArgs),
}

#[derive(Args, Clone, Debug, Default)]
struct FilterArgs {
    /// Only this kind
    #[arg(long, value_name = "KIND", ignore_case = true, value_parser = ["STEP", "NOTICE", "ANOMALY", "MESSAGE"])]
    kind: Option<String>,
    /// Only this cause, as `dlq group` shows it
    #[arg(long, value_name = "CAUSE")]
    cause: Option<String>,
    /// Only this order
    #[arg(long, value_name = "ID")]
    order: Option<String>,
}

/// Which dead letters to act on, and how.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["ids", "kind", "cause", "order", "all"]))]
struct ActArgs {
    /// Ids of dead letters
    #[arg(value_name = "ID", conflicts_with_all = ["kind", "cause", "order", "all"])]
    ids: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// All open dead letters
    #[arg(long, conflicts_with_all = ["kind", "cause", "order"])]
    all: bool,
    /// Only show which dead letters it would act on
    #[arg(long)]
    dry_run: bool,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// With a filter: act on at most this many (1 to 1,000)
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    /// With a filter: act on this many per second (1 to 100)
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    per_second: u64,
}

/// The action as it is shown; on the wire it is `done` with a field.
const OVERRIDE: &str = "done (override)";

/// Which dead letters, and whether to override the payment provider.
#[derive(Args, Clone, Debug)]
struct DoneArgs {
    #[command(flatten)]
    act: ActArgs,
    /// Record it even if the payment provider contradicts it or cannot be asked
    #[arg(long = "override")]
    overrides: bool,
}

/// Runs the command; false if it failed for some dead letter.
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) async fn run(args: &DlqArgs) -> anyhow::Result<bool> {
    let client = Client::new(&args.api)?;
    match &args.command {
        DlqCommand::List { filter, state, limit } => {
            let state = Some(state.to_ascii_uppercase()).filter(|state| state != "ANY");
            let parts =
                [("state", state), ("kind", filter.kind_name()), ("cause", filter.cause.clone()), ("orderId", filter.order.clone())];
            let rows = pages(&client, PATH, &parts, *limit).await?;
            if args.json {
                return print_json(&Value::Array(rows)).map(|()| true);
            }
            print!("{}", list_text(&rows));
        }
        DlqCommand::Group => {
            let answer = client.get(&format!("{PATH}/groups")).await?;
            if args.json {
                return print_json(&answer).map(|()| true);
            }
            print!("{}", groups_text(rows_at(&answer, "groups")));
        }
        DlqCommand::Show { id } => {
            let letter = client.get(&format!("{PATH}/{}", encoded(id))).await?;
            if args.json {
                return print_json(&letter).map(|()| true);
            }
            print!("{}", show_text(&letter));
        }
        DlqCommand::Reprocess(act) => return decide(&client, "reprocess", act, args.json).await,
        DlqCommand::Skip(act) => return decide(&client, "skip", act, args.json).await,
        DlqCommand::Compensate(act) => return decide(&client, "compensate", act, args.json).await,
        DlqCommand::Discard(act) => return decide(&client, "discard", act, args.json).await,
        DlqCommand::Done(DoneArgs { act, overrides }) => {
            anyhow::ensure!(act.note.is_some(), "--note is required: say what was done, and where");
            return decide(&client, if *overrides { OVERRIDE } else { "done" }, act, args.json).await;
        }
        DlqCommand::Accept(act) => return decide(&client, "accept", act, args.json).await,
    }
    Ok(true)
}

impl FilterArgs {
    fn kind_name(&self) -> Option<String> {
        self.kind.as_ref().map(|kind| kind.to_ascii_uppercase())
    }
}

async fn decide(client: &Client, action: &str, act: &ActArgs, as_json: bool) -> anyhow::Result<bool> {
    if act.ids.is_empty() { many(client, action, act, as_json).await } else { each(client, action, act, as_json).await }
}

async fn each(client: &Client, action: &str, act: &ActArgs, as_json: bool) -> anyhow::Result<bool> {
    let (mut answers, mut all_done) = (Vec::new(), true);
    for id in &act.ids {
        let path = format!("{PATH}/{}", encoded(id));
        let answer = if act.dry_run { client.get(&path).await } else { client.post(&path, &decision(action, act)).await };
        match answer {
            Ok(letter) => {
                if !as_json {
                    let would = if act.dry_run { format!("would {action}, is ") } else { String::new() };
                    println!("{id}  {would}{}  {}", shown_at(&letter, "state"), shown_at(&letter, "cause"));
                }
                answers.push(letter);
            }
            // One that cannot be acted on is no reason to leave the others; a node that is away is.
            Err(error) if error.status().is_some_and(|status| matches!(status, 404 | 409)) => {
                all_done = false;
                eprintln!("{id}  {error}");
            }
            Err(error) => return Err(error.into()),
        }
    }
    if as_json {
        print_json(&Value::Array(answers))?;
    }
    Ok(all_done)
}

fn decision(action: &str, act: &ActArgs) -> Value {
    let is_override = action == OVERRIDE;
    let mut body = serde_json::Map::new();
    body.insert("action".to_owned(), json!(if is_override { "done" } else { action }));
    if is_override {
        body.insert("override".to_owned(), json!(true));
    }
    if let Some(note) = &act.note {
        body.insert("note".to_owned(), json!(note));
    }
    Value::Object(body)
}

/// Acts by filter. The node acts for a limited time and leaves the rest for the next request.
async fn many(client: &Client, action: &str, act: &ActArgs, as_json: bool) -> anyhow::Result<bool> {
    let mut filter = serde_json::Map::new();
    for (name, value) in [("kind", act.filter.kind_name()), ("cause", act.filter.cause.clone()), ("orderId", act.filter.order.clone())] {
        if let Some(value) = value {
            filter.insert(name.to_owned(), json!(value));
        }
    }
    let (mut done, mut failed) = (0u64, Vec::new());
    for _ in 0..MAX_ROUNDS {
        let mut body = decision(action, act);
        if let Some(body) = body.as_object_mut() {
            body.insert("filter".to_owned(), Value::Object(filter.clone()));
            body.insert("limit".to_owned(), json!((act.limit - done).max(1)));
            body.insert("perSecond".to_owned(), json!(act.per_second));
            body.insert("dryRun".to_owned(), json!(act.dry_run));
        }
        let answer = client.post(PATH, &body).await?;
        if act.dry_run {
            return print_dry_run(&answer, action, as_json);
        }
        let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
        done += count("done");
        failed = rows_at(&answer, "failed").to_vec();
        let left = count("matched").saturating_sub(count("done") + failed.len() as u64);
        if left == 0 || count("done") == 0 || done >= act.limit {
            break;
        }
    }
    if as_json {
        print_json(&json!({"done": done, "failed": failed}))?;
    } else {
        println!("{action}: done {done}, failed {}", failed.len());
        for letter in &failed {
            println!("{}  {}", shown_at(letter, "letterId"), printable(&shown_at(letter, "detail")));
        }
    }
    Ok(failed.is_empty())
}

fn print_dry_run(answer: &Value, action: &str, as_json: bool) -> anyhow::Result<bool> {
    if as_json {
        return print_json(answer).map(|()| true);
    }
    println!("would {action} {} dead letters", shown_at(answer, "matched"));
    for id in rows_at(answer, "letters") {
        println!("{}", id.as_str().unwrap_or_default());
    }
    Ok(true)
}

fn list_text(rows: &[Value]) -> String {
    if rows.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let columns = ["letterId", "kind", "step", "cause", "tries", "state", "orderId", "createdAt"];
    let cell = |row: &Value, column: &str| if column == "createdAt" { moment_at(row, column) } else { shown_at(row, column) };
    let rows: Vec<_> = rows.iter().map(|row| columns.map(|column| cell(row, column))).collect();
    let titles = [
        Column::whole("LETTER"),
        Column::whole("KIND").spare(4),
        Column::text("STEP"),
        Column::text("CAUSE"),
        Column::number("TRIES").spare(5),
        Column::whole("STATE").spare(2),
        Column::whole("ORDER").spare(3),
        Column::whole("SINCE").spare(1),
    ];
    table(titles, &rows, terminal::width())
}

fn groups_text(rows: &[Value]) -> String {
    if rows.is_empty() {
        return "no open dead letters\n".to_owned();
    }
    let row = |row: &Value| {
        let [count, kind, cause, step] = ["count", "kind", "cause", "step"].map(|name| shown_at(row, name));
        [count, kind, cause, step, moment_at(row, "oldest")]
    };
    let titles = [Column::number("COUNT"), Column::whole("KIND"), Column::text("CAUSE"), Column::text("STEP"), Column::whole("OLDEST")];
    table(titles, &rows.iter().map(row).collect::<Vec<_>>(), terminal::width())
}

fn show_text(letter: &Value) -> String {
    let mut out = String::new();
    for (title, name) in [
        ("letter", "letterId"),
        ("state", "state"),
        ("kind", "kind"),
        ("role", "role"),
        ("order", "orderId"),
        ("step", "step"),
        ("cause", "cause"),
        ("detail", "detail"),
        ("tries", "tries"),
        ("since", "createdAt"),
        ("closed", "closedAt"),
        ("origin", "origin"),
    ] {
        let value = shown_at(letter, name);
        if value != "-" {
            out.push_str(&format!("{title:<8} {}\n", printable(&value)));
        }
    }
    for entry in rows_at(letter, "audit") {
        let [at, by, action, note] = ["at", "by", "action", "note"].map(|name| printable(&shown_at(entry, name)));
        out.push_str(&format!("audit    {at}  {by}  {action}  {note}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser, Debug)]
    struct CommandLine {
        #[command(flatten)]
        args: DlqArgs,
    }

    #[test]
    fn an_action_needs_letters_or_a_filter_and_not_both() {
        let parses = |line: &str| CommandLine::try_parse_from(line.split_whitespace()).is_ok();
        assert!(parses("dlq skip 1 2 --note x"));
        assert!(parses("dlq reprocess --cause provider-error --dry-run --json"));
        assert!(parses("dlq discard --all"));
        assert!(!parses("dlq compensate"));
        assert!(!parses("dlq compensate --dry-run"));
        assert!(!parses("dlq compensate 1 --all"));
        assert!(!parses("dlq compensate --all --kind STEP"));
        assert!(!parses("dlq reprocess --all --limit 1001"));
    }

    #[test]
    fn a_letter_is_shown_with_what_was_done() {
        let letter = json!({"letterId": "l1", "state": "SKIPPED", "cause": "provider-error", "tries": 3, "detail": "a\nb",
            "audit": [{"at": "t1", "by": "ann", "action": "skip"}]});
        let want = "letter   l1\nstate    SKIPPED\ncause    provider-error\ndetail   a b\ntries    3\naudit    t1  ann  skip  -\n";
        assert_eq!(show_text(&letter), want);
    }
}
