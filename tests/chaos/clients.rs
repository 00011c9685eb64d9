//! Teams that use other clients in their default settings, killed at random: a payment service in Spring, which keeps nothing, and a stock
//! service in Python, which keeps what it holds in a file. In the end all books say the same.

use crate::cluster::service;
use crate::kills::{Luck, from_env};
use crate::process::{self, LIMIT, Plan};
use crate::recipe::Recipe;
use crate::team::{CUP, POT};
use crate::{alone, folder, plan};
use diesel::{Connection, RunQueryDsl, SqliteConnection};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Dearer than the payment service charges.
const DEAR: &str = "019a0000-0000-7000-8000-00000000000d";

/// How many orders there are, and how many pots there are for a third of them.
const ORDERS: usize = 45;
const POTS: usize = 8;

/// The two teams and how they are started.
struct Teams {
    brokers: String,
    prefix: String,
    file: PathBuf,
    payment: Option<Recipe>,
    stock: Option<Recipe>,
    starts: usize,
}

impl Teams {
    fn start_payment(&mut self) {
        self.payment = None;
        self.starts += 1;
        let group = format!("spring-{}", self.starts);
        self.payment = Some(Recipe::start("spring", &[&self.brokers, &self.prefix, &group]));
    }

    fn start_stock(&mut self) {
        self.stock = None;
        let file = self.file.display().to_string();
        let stock = [format!("{CUP}=1000"), format!("{POT}={POTS}"), format!("{DEAR}=1000")];
        let arguments: Vec<&str> = [&self.brokers, &self.prefix, &file].into_iter().chain(&stock).map(String::as_str).collect();
        self.stock = Some(Recipe::start("python-stock", &arguments));
    }
}

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

/// Names and counts of a file's table.
fn counts(file: &Path, query: &str) -> BTreeMap<String, i64> {
    let mut conn = SqliteConnection::establish(&format!("file:{}?mode=rw", file.display())).unwrap();
    let rows: Vec<Row> = diesel::sql_query(query).load(&mut conn).unwrap();
    rows.into_iter().map(|row| (row.name, row.count)).collect()
}

fn place(plan: &Plan, product: &str, price: &str) -> String {
    let body = json!({"customerId": process::CUSTOMER, "items": [{"productId": product, "quantity": 1, "price": price}]});
    let placed = plan.send("POST", "/api/v1/orders", &body.to_string()).unwrap();
    assert_eq!(placed.status, 202, "{placed:?}");
    placed.field("orderId")
}

fn get(plan: &Plan, path: &str) -> Value {
    serde_json::from_str(&plan.get(path).unwrap().body).unwrap()
}

#[test]
fn a_spring_payment_team_and_a_python_stock_team_that_are_killed_agree_with_us_in_the_end() {
    let _alone = alone();
    let seed = from_env("CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("again with CHAOS_SEED={seed}");
    let mut luck = Luck::new(seed);
    let (folder, brokers) = (folder(), service("ORDERMILL_TEST_KAFKA"));
    let prefix = format!("clients-{}.", std::process::id());
    let plan = plan(folder.path())
        .with("kafka.brokers", &brokers)
        .with("kafka.prefix", &prefix)
        .with("kafka.linger_ms", 2)
        .with("kafka.commit_ms", 100)
        .with("cluster.roles", r#"["order", "notification", "analytics"]"#)
        .with("cluster.external_roles", r#"["payment", "inventory"]"#);
    let served = plan.start();
    let file = folder.path().join("stock.db");
    let mut teams = Teams { brokers, prefix, file, payment: None, stock: None, starts: 0 };
    teams.start_payment();
    teams.start_stock();
    let mut orders = Vec::new();
    for kill in 0..4 {
        for _ in 0..ORDERS / 3 {
            if orders.len() < ORDERS {
                let (product, price) = [(CUP, "10.00"), (POT, "12.50"), (DEAR, "600.00")][orders.len() % 3];
                orders.push(place(&plan, product, price));
            }
        }
        process::pause(Duration::from_millis(luck.below(1500)));
        match (kill + luck.below(2)) % 2 {
            0 => teams.start_payment(),
            _ => teams.start_stock(),
        }
    }
    ends(&plan, &orders);
    agree(&plan, &teams, &orders);
    served.stop();
}

/// Each order ends without a person: what the stock team gives back closes the letter about it.
fn ends(plan: &Plan, orders: &[String]) {
    let is_settled = |order: &String| get(plan, &format!("/api/v1/orders/{order}/status"))["settled"] == true;
    let end = Instant::now() + 2 * LIMIT;
    while !orders.iter().all(is_settled) {
        let open = || orders.iter().filter(|order| !is_settled(order)).map(|order| get(plan, &format!("/api/v1/orders/{order}")));
        assert!(Instant::now() < end, "{:#?}\n{:#}", open().collect::<Vec<_>>(), get(plan, "/api/v1/admin/dlq"));
        process::pause(Duration::from_millis(100));
    }
}

/// Our orders, our numbers, our invariants and the stock team's file.
fn agree(plan: &Plan, teams: &Teams, orders: &[String]) {
    let third = i64::try_from(ORDERS / 3).unwrap();
    let pots = i64::try_from(POTS).unwrap();
    let by_status = counts(&plan.database, "SELECT status AS name, count(*) AS count FROM orders GROUP BY status");
    let of = |status: &str| by_status.get(status).copied().unwrap_or(0);
    assert_eq!([of("CONFIRMED"), of("CANCELLED"), of("FAILED")], [third + pots, third - pots, third], "{by_status:?}");
    let held = "SELECT json_extract(answer, '$.type') AS name, sum(released IS NULL) AS count FROM held GROUP BY name";
    let kept = counts(&teams.file, held);
    assert_eq!(kept["InventoryReserved"], of("CONFIRMED"), "held and not given back");
    let left = counts(&teams.file, "SELECT product AS name, available AS count FROM stock");
    assert_eq!([left[CUP], left[POT], left[DEAR]], [1000 - third, 0, 1000]);
    let sales = "SELECT 'cents' AS name, sum(total_amount) AS count FROM orders WHERE status = 'CONFIRMED'";
    let cents = counts(&plan.database, sales)["cents"];
    let revenue = format!("{}.{:02}", cents / 100, cents % 100);
    let mut shown = Value::Null;
    process::until("the dashboard shows what the tables say", LIMIT, || {
        shown = get(plan, "/api/v1/analytics/dashboard");
        shown["revenue"] == revenue.as_str() && shown["orders"]["cancelled"] == of("CANCELLED") && shown["stock"]["released"] == third
    });
    let numbers = ["placed", "confirmed", "failed", "cancelled"].map(|name| shown["orders"][name].as_i64().unwrap());
    assert_eq!(numbers, [3 * third, of("CONFIRMED"), of("FAILED"), of("CANCELLED")], "{shown:#}");
    let paid = ["charged", "failed"].map(|name| shown["payments"][name].as_i64().unwrap());
    assert_eq!(paid, [of("CONFIRMED"), of("FAILED")], "{shown:#}");
    let letters = get(plan, "/api/v1/admin/dlq?state=OPEN");
    assert_eq!(letters["items"], json!([]));
    let record = plan.folder.join("record.txt");
    std::fs::write(&record, orders.join("\n") + "\n").unwrap();
    let (sound, report) = plan.verify(&["--external-roles", "payment,inventory", "--record", &record.display().to_string()]);
    assert!(sound, "{report}");
}
