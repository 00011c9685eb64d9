//! A server that takes transactions and answers no COMMIT: its synchronous standby is away. And one that forgets what it answered: a
//! standby took over that had not got it.

use crate::process::{self, Plan};
use crate::server::{self, Database};
use crate::services::Services;

/// Runs a statement at the service's own server.
fn run(url: &str, statement: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (client, line) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(line);
        client.batch_execute(statement).await.unwrap();
        client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    });
}

#[test]
fn a_commit_that_is_not_answered_is_told_and_holds_no_stop_up() {
    let (_services, url) = Services::start("slow", "postgres");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    let plan = Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path())
        .on(&format!("{server}/shop"))
        .with("order.request_limit_ms", 1_000)
        .with("journal.slow_commit_ms", 200)
        .with("journal.stuck_commit_ms", 1_500);
    let mut node = plan.start();
    plan.put_product("10.00");
    let health = |wanted: &str| plan.get("/health").is_ok_and(|answer| answer.body.contains(wanted));
    let ready = |status| plan.get("/health/ready").is_ok_and(|answer| answer.status == status);
    let hang = || {
        run(&url, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
        // Until the server has read its settings again, an order may still be taken.
        process::until("a commit hangs", process::LIMIT, || plan.place("10.00").is_ok_and(|answer| answer.status != 202));
    };
    hang();
    process::until("it is told", process::LIMIT, || health("a commit has not been answered for") && health("DEGRADED"));
    process::until("the node is not ready", process::LIMIT, || ready(503));
    assert!(plan.log().contains("the database has not answered a commit yet"), "{}", plan.log());
    assert!(plan.metric("ordermill_journal_commit_age_seconds") > 0.2);
    run(&url, "ALTER SYSTEM RESET synchronous_standby_names");
    process::until("the node is ready again", process::LIMIT, || ready(200));
    process::until("orders are taken", process::LIMIT, || plan.place("10.00").is_ok_and(|answer| answer.status == 202));
    hang();
    process::until("the node notices", process::LIMIT, || health("a commit has not been answered for"));
    node.signal("TERM");
    // Not the whole time for a stop (20 s) and that of requests on top.
    assert!(node.ended(std::time::Duration::from_secs(15)).success());
}

/// The node's last commits, undone behind its back.
#[test]
fn a_database_that_went_back_ends_the_node_which_names_what_is_lost() {
    let database = Database::missing("back");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let plan = Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path()).on(&database.url());
    let mut node = plan.start();
    plan.put_product("10.00");
    let place = || plan.place("10.00").unwrap().field("orderId");
    let kept = place();
    plan_settles(&plan, &kept);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let owner = runtime.block_on(server::connect(&database.name));
    let ask = |statement: &str| runtime.block_on(owner.query(statement, &[])).unwrap();
    // Counted and at rest: nothing is written while the copy is taken.
    let state =
        "SELECT w.commits, w.last_seq FROM writers w JOIN analytics_positions p USING (writer) WHERE w.alive AND p.seq = w.last_seq";
    process::until("all is counted", process::LIMIT, || !ask(state).is_empty());
    let tables = ["orders", "order_items", "open_orders", "events", "writers", "payments", "notifications", "inventory_reservations"];
    let tables = [&tables[..], &["products", "analytics", "analytics_positions", "rare_orders", "inventory_steps"]].concat();
    let copy: String = tables.iter().map(|table| format!("CREATE TABLE old_{table} AS SELECT * FROM {table};")).collect();
    runtime.block_on(owner.batch_execute(&copy)).unwrap();
    let lost = place();
    plan_settles(&plan, &lost);
    let back: String = tables
        .iter()
        .map(|table| format!("DELETE FROM {table}; INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM old_{table};"))
        .collect();
    runtime
        .block_on(owner.batch_execute(&format!(
            "BEGIN; ALTER TABLE writers DISABLE TRIGGER USER; {back} ALTER TABLE writers ENABLE TRIGGER USER; COMMIT"
        )))
        .unwrap();
    // Its next commit finds it.
    let asking = {
        let plan = plan.clone();
        std::thread::spawn(move || plan.place("10.00").map(|answer| answer.status))
    };
    assert_eq!(node.ended(process::LIMIT).code(), Some(74));
    assert_ne!(asking.join().unwrap().unwrap_or(0), 202);
    let log = plan.log();
    assert!(log.contains("the database is older than what it has acknowledged") && log.contains(&lost), "{log}");
    assert!(!log.contains(&format!("an order that was answered with 202 is not in the database any more order.id={kept}")), "{log}");
    let drop_copies: String = tables.iter().map(|table| format!("DROP TABLE old_{table};")).collect();
    runtime.block_on(owner.batch_execute(&drop_copies)).unwrap();
    let node = plan.start();
    let next = place();
    plan_settles(&plan, &next);
    // It is said for as long as nobody has closed it.
    let letters = plan.get("/api/v1/admin/dlq?cause=commits-lost").unwrap().body;
    assert!(letters.contains(&lost) && !letters.contains(&kept) && letters.contains("with 1 new orders"), "{letters}");
    process::until("an alert could tell of it", process::LIMIT, || {
        plan.metric(r#"ordermill_dead_letters_open{kind="MESSAGE",cause="commits-lost",step="commits"}"#) > 0.0
    });
    let health = plan.get("/health").unwrap();
    assert_eq!(health.status, 200);
    assert!(health.body.contains("\"DEGRADED\"") && health.body.contains("(commits-lost): 1"), "{}", health.body);
    node.stop();
    let (sound, report) = plan.verify(&[]);
    assert!(sound, "{report}");
}

fn plan_settles(plan: &Plan, id: &str) {
    process::until("the order settles", process::LIMIT, || {
        plan.get(&format!("/api/v1/orders/{id}/status")).is_ok_and(|answer| answer.body.contains("\"settled\":true"))
    });
}
