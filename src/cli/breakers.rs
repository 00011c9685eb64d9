//! `ordermill breakers`: the circuit breakers of a node, through its API.

use super::client::{ApiArgs, Client, encoded, rows_at, shown_at};
use super::table::{Column, print_json, table};
use super::terminal;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/admin/breakers";

/// Shows and sets the circuit breakers of one node (needs the role operator). Each node has its own breakers, so name the node with --url.
#[derive(Args, Clone, Debug)]
pub(crate) struct BreakersArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Print what the node answers, as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: BreakersCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum BreakersCommand {
    /// Show the breakers
    List,
    /// Let calls through: waiting orders continue immediately
    Close(TurnArgs),
    /// Let no call through until the breaker is closed or tried
    Open(TurnArgs),
    /// Let the next call through; its outcome closes or opens the breaker
    Trial(TurnArgs),
}

#[derive(Args, Clone, Debug)]
struct TurnArgs {
    /// The provider
    #[arg(value_parser = ["payment", "email", "sms"])]
    name: String,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) async fn run(args: &BreakersArgs) -> anyhow::Result<bool> {
    let client = Client::new(&args.api)?;
    let answer = match &args.command {
        BreakersCommand::List => client.get(PATH).await?,
        BreakersCommand::Close(turn) => turned(&client, turn, "close").await?,
        BreakersCommand::Open(turn) => turned(&client, turn, "open").await?,
        BreakersCommand::Trial(turn) => turned(&client, turn, "trial").await?,
    };
    if args.json {
        print_json(&answer)?;
        return Ok(true);
    }
    let columns = ["provider", "state", "failures", "retryInMs", "openedByHand", "openedTotal"];
    let rows: Vec<_> = rows_at(&answer, "breakers").iter().map(|row| columns.map(|column| shown_at(row, column))).collect();
    let [number, whole] = [Column::number, Column::whole];
    let titles = [whole("PROVIDER"), whole("STATE"), number("FAILURES"), number("RETRY-MS"), whole("BY-HAND"), number("OPENED")];
    print!("{}", table(titles, &rows, terminal::width()));
    Ok(true)
}

async fn turned(client: &Client, turn: &TurnArgs, name: &str) -> anyhow::Result<Value> {
    let body = turn.note.as_ref().map_or_else(|| json!({}), |note| json!({ "note": note }));
    Ok(client.post(&format!("{PATH}/{}/{name}", encoded(&turn.name)), &body).await?)
}
