//! `ordermill health`: checks that a node is ready, or alive. For containers without a shell or curl.

use super::client::{ApiArgs, Client, rows_at, text_at};
use super::table::print_json;
use clap::Args;
use serde_json::Value;
use std::time::Duration;

/// Checks that a node is ready (accepts orders): exit code 0 if it is, 1 if it is not or nothing answers.
#[derive(Args, Clone, Debug)]
pub(crate) struct HealthArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Check only that the process is alive; it may be alive but not ready
    #[arg(long)]
    live: bool,
    /// Longest wait for the answer
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = super::parse_seconds)]
    timeout: f64,
    /// Print what the node answers, as JSON
    #[arg(long)]
    json: bool,
}

/// Whether the node is what it was asked for.
///
/// # Errors
/// Nobody answers, or something that is no node.
pub(crate) async fn run(args: &HealthArgs) -> anyhow::Result<bool> {
    let client = Client::direct(&args.api)?;
    let (path, asked) = if args.live { ("/health/live", "alive") } else { ("/health/ready", "ready") };
    let (is_so, answer) = client.look(path, Duration::from_secs_f64(args.timeout)).await?;
    if args.json {
        print_json(&answer)?;
    } else {
        println!("{}", told(client.url(), asked, is_so, &answer));
    }
    Ok(is_so)
}

fn told(url: &str, asked: &str, is_so: bool, answer: &Value) -> String {
    if is_so {
        return format!("{url} is {asked}");
    }
    let mut reasons: Vec<&str> = rows_at(answer, "reasons").iter().filter_map(Value::as_str).collect();
    // A proxy, or a node that refuses to answer at all, tells a problem.
    reasons.extend(text_at(answer, "detail"));
    if reasons.is_empty() { format!("{url} is not {asked}") } else { format!("{url} is not {asked}: {}", reasons.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_that_is_not_ready_says_why() {
        let down = json!({ "status": "DOWN", "reasons": ["database is down", "the node is stopping"] });
        assert_eq!(told("http://n", "ready", false, &down), "http://n is not ready: database is down; the node is stopping");
        assert_eq!(told("http://n", "ready", true, &json!({ "status": "UP" })), "http://n is ready");
        assert_eq!(told("http://n", "ready", false, &json!({ "detail": "too many requests" })), "http://n is not ready: too many requests");
        assert_eq!(told("http://n", "alive", false, &Value::Null), "http://n is not alive");
    }
}
