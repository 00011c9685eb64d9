//! A role that a hostile team runs ([`crate::team`]), while nodes are killed: in the end its books say what the orders say, and every
//! order has an end or a dead letter. Where it is the stock, the payment provider is hostile as well.

use crate::cluster::{database, service};
use crate::hostile::{Course, Provider, hasty, item, quick, trouble};
use crate::kills::{Luck, from_env};
use crate::process::{self, Plan, Served};
use crate::talk::{Kept, Say, When};
use crate::team::{self, CUP, POT, STRANGER, Team};
use crate::{alone, folder, plan};
use ordermill::domain::{OrderStatus, Role};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What a person decided of an order.
#[derive(Default)]
struct Decided {
    /// Letters about an undo that was done at the team.
    undone: HashSet<String>,
    /// Orders for which the team did by word of mouth what it had not done.
    done: HashSet<String>,
    /// Orders for which other money or other goods were accepted.
    accepted: BTreeSet<String>,
}

struct Play {
    role: Role,
    plans: Vec<Plan>,
    nodes: Vec<Served>,
    team: Team,
    provider: Option<Provider>,
    luck: Luck,
    began: Instant,
    _folders: Vec<TempDir>,
}

impl Play {
    fn begin(role: Role, count: usize) -> Self {
        let seed = from_env("CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
        println!("again with CHAOS_SEED={seed}");
        let began = Instant::now();
        let name = format!("foreign_{}_{count}_{}", role.name(), std::process::id());
        let (database, brokers) = (database(&name), service("ORDERMILL_TEST_KAFKA"));
        let prefix = format!("{}.", name.replace('_', "-"));
        let folders: Vec<_> = (0..count).map(|_| folder()).collect();
        let provider = (role == Role::Inventory).then(|| Provider::start(&plan(folders[0].path())));
        let ours = ["order", "inventory", "payment", "notification", "analytics"].into_iter().filter(|ours| *ours != role.name());
        let ours: Vec<&str> = ours.collect();
        let of_folder = |folder: &TempDir| {
            let own = provider.as_ref().map_or_else(|| plan(folder.path()), |provider| hasty(folder.path(), &provider.url()));
            quick(own, &database, &brokers, &prefix)
                .with("cluster.roles", ours.join(","))
                .with("cluster.external_roles", role.name())
                .with("cluster.external_answer_ms", 3000)
                .with("kafka.retry_first_ms", 50)
        };
        let mut plans: Vec<Plan> = folders.iter().map(of_folder).collect();
        if role == Role::Payment {
            plans = plans.into_iter().map(|plan| plan.with("order.payment_deadline_ms", 12_000)).collect();
        }
        let mut nodes: Vec<Served> = plans.iter().map(Plan::spawn).collect();
        nodes.iter_mut().for_each(Served::wait_ready);
        if role == Role::Payment {
            plans[0].put(CUP, "10.00");
            plans[0].put(POT, "10.00");
        }
        let team = Team::start(&brokers, &prefix, role, seed);
        Self { role, plans, nodes, team, provider, luck: Luck::new(seed), began, _folders: folders }
    }

    /// Orders of both products, some of which cannot be had, or cannot be paid.
    fn orders(&mut self) -> Vec<String> {
        let basket: fn(&mut Luck) -> String = if self.role == Role::Payment {
            |luck| {
                const UNKNOWN: &str = "019a0000-0000-7000-8000-000000000005";
                let other = if luck.below(8) == 0 { UNKNOWN } else { POT };
                [item(CUP, "10.00"), item(other, "10.00")].join(",")
            }
        } else {
            |luck| {
                let price = if luck.below(6) == 0 { "10.01" } else { "10.00" };
                [item(CUP, "10.00"), item(POT, price)].join(",")
            }
        };
        let course = Course { orders: 40, kills: 2, cancelled: 6, pause_ms: 150, basket };
        trouble(&self.plans, &mut self.nodes, &course, &mut self.luck)
    }

    fn says(&self, what: &str) {
        println!("{:>5.1} s: {what}", self.began.elapsed().as_secs_f64());
    }

    /// Kills a node, and starts it again.
    fn kill_one(&mut self) {
        let victim = self.luck.below(self.plans.len() as u64) as usize;
        self.nodes[victim].kill();
        self.nodes[victim] = self.plans[victim].spawn();
    }

    fn get(&self, path: &str) -> Option<Value> {
        let answer = self.plans.iter().find_map(|plan| plan.get(path).ok().filter(|answer| answer.status == 200))?;
        serde_json::from_str(&answer.body).ok()
    }

    /// All letters, or those that wait.
    fn letters(&self, query: &str) -> Option<Vec<Value>> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/api/v1/admin/dlq?limit=200{query}{cursor}"))?;
            all.extend(page["items"].as_array()?.iter().cloned());
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Some(all),
            }
        }
    }

    /// The order, and its letters.
    fn told_of(&self, order: &str) -> Value {
        let letters = self.letters(&format!("&orderId={order}"));
        json!({ "order": self.get(&format!("/api/v1/orders/{order}")), "letters": letters })
    }

    fn status(&self, order: &str) -> Option<(OrderStatus, bool)> {
        let view = self.get(&format!("/api/v1/orders/{order}/status"))?;
        Some((OrderStatus::from_name(view["status"].as_str()?)?, view["settled"].as_bool()?))
    }

    /// Every order of these has ended, or waits for a person.
    fn has_end_or_letter(&self, orders: &BTreeSet<String>) -> bool {
        let Some(letters) = self.letters("&state=OPEN") else { return false };
        let waits: HashSet<&str> =
            letters.iter().filter(|letter| letter["kind"] == "STEP").filter_map(|letter| letter["orderId"].as_str()).collect();
        orders.iter().all(|order| waits.contains(order.as_str()) || self.status(order).is_some_and(|(_, settled)| settled))
    }

    /// A person works the letters, asks the team what is so, and has it undo what is owed back.
    fn work_letters(&self, decided: &mut Decided) {
        for letter in self.letters("&state=OPEN").unwrap_or_default() {
            let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
            let (id, order, step) = (text("letterId"), text("orderId"), text("step"));
            let is_even = order.bytes().last().is_some_and(|last| last % 2 == 0);
            let action = match text("cause").as_str() {
                "amount-mismatch" | "reservation-mismatch" if is_even => "accept",
                "amount-mismatch" | "reservation-mismatch" => "compensate",
                "external-role" => {
                    if decided.undone.insert(id.clone()) {
                        self.team.tell(&order, |kept| kept.undone += 1);
                    }
                    "done"
                }
                "answer-overdue" if step == "shipment-answer" || decided.done.contains(&order) => "done",
                "answer-overdue" => match (self.team.tell(&order, Kept::asked), self.role) {
                    (Some(_), _) => "reprocess",
                    (None, Role::Payment) => "done",
                    (None, Role::Inventory) if is_even => {
                        self.team.tell(&order, |kept| kept.did = Some(Say::Reserved));
                        decided.done.insert(order.clone());
                        "done"
                    }
                    (None, _) => "compensate",
                },
                "contradicting-answer" => continue,
                // Of an order that nobody placed; what was published again comes twice, and waits for the first.
                "unknown-order" | "waits-for-earlier" if order.starts_with(STRANGER) => continue,
                other => panic!("nobody expected {other}: {letter}"),
            };
            let body = json!({ "action": action, "note": "asked the team" }).to_string();
            let done = self.plans[0].send("POST", &format!("/api/v1/admin/dlq/{id}"), &body);
            if action == "accept" && done.is_ok_and(|answer| answer.status == 200) {
                decided.accepted.insert(order);
            }
        }
    }

    /// Sends every third confirmed order.
    fn ship(&self, orders: &BTreeSet<String>) {
        for order in orders.iter().filter(|order| order.bytes().last().is_some_and(|last| last % 3 == 0)) {
            if self.status(order).is_some_and(|(status, _)| status == OrderStatus::Confirmed) {
                process::until("a shipment is taken", process::LIMIT, || {
                    let body = r#"{"carrier":"post","trackingNumber":"1"}"#;
                    self.plans[0].send("POST", &format!("/api/v1/orders/{order}/ship"), body).is_ok_and(|answer| answer.status == 202)
                });
            }
        }
    }

    fn settle(&mut self, decided: &mut Decided, orders: &BTreeSet<String>) {
        let end = Instant::now() + process::LIMIT;
        while self.plans[0].open_orders() > 0 {
            self.work_letters(decided);
            process::pause(Duration::from_millis(100));
            if Instant::now() > end {
                let open = orders.iter().filter(|order| self.status(order).is_none_or(|(_, settled)| !settled));
                let told = open.map(|order| format!("{:?}: {:#}", self.team.books().get(order), self.told_of(order)));
                panic!("these do not end: {}", told.collect::<Vec<_>>().join("\n"));
            }
        }
    }

    fn statuses(&self, orders: &BTreeSet<String>) -> BTreeMap<String, OrderStatus> {
        let mut all = BTreeMap::new();
        process::until("each order can be read", process::LIMIT, || {
            all = orders.iter().filter_map(|order| Some((order.clone(), self.status(order)?.0))).collect();
            all.len() == orders.len()
        });
        all
    }
}

fn play(role: Role, count: usize) {
    let _alone = alone();
    let mut play = Play::begin(role, count);
    play.says("the nodes are ready");
    let accepted = play.orders();
    play.says("the orders are placed");
    let mut orders: BTreeSet<String> = accepted.iter().cloned().collect();
    process::until("each order has an end or a dead letter", process::LIMIT, || play.has_end_or_letter(&orders));
    play.says("each has an end or a dead letter");
    play.team.go_on(When::Late);
    play.kill_one();
    process::until("the team has spoken", process::LIMIT, || play.team.has_spoken());
    // Else a person decides of what is only told afterwards.
    process::until("the team is heard", process::LIMIT, || play.team.is_heard());
    // Those whose answer was lost with a node are orders as well.
    orders.extend(play.team.books().keys().cloned());
    process::until("each order still has an end or a dead letter", process::LIMIT, || play.has_end_or_letter(&orders));
    play.says("the late answers are heard");
    let mut decided = Decided::default();
    play.work_letters(&mut decided);
    play.kill_one();
    play.settle(&mut decided, &orders);
    play.ship(&orders);
    play.settle(&mut decided, &orders);
    play.says("all have ended");
    let before = play.statuses(&orders);
    check_books(&play, &before, &decided);
    play.team.go_on(When::AtTheEnd);
    play.kill_one();
    process::until("the team has said all", process::LIMIT, || play.team.has_spoken());
    process::until("all is heard", process::LIMIT, || play.team.is_heard());
    told(&play, &before);
    play.says("each contradiction is told");
    play.settle(&mut decided, &orders);
    assert_eq!(play.statuses(&orders), before, "what comes after the end moves nothing");
    check_books(&play, &before, &decided);
    check_database(&play, &accepted);
    println!("{}", counted(&play, &before));
    play.nodes.into_iter().for_each(Served::stop);
}

/// Each word that contradicts how an order ended is a dead letter; an order of which nothing contrary was said has none.
fn told(play: &Play, ended: &BTreeMap<String, OrderStatus>) {
    let mut missing: Vec<(String, Say)> = Vec::new();
    process::until("each contradiction is told", process::LIMIT, || {
        let letters = play.letters("&cause=contradicting-answer").unwrap_or_default();
        let told: HashSet<(&str, &str)> =
            letters.iter().filter_map(|one| Some((one["orderId"].as_str()?, one["step"].as_str()?))).collect();
        let books = play.team.books();
        missing.clear();
        for (order, kept) in books.iter().filter(|(order, _)| ended.contains_key(*order)) {
            let lacks = |say: &Say| !told.contains(&(order.as_str(), team::name(*say)));
            missing.extend(kept.contradictions(ended[order]).filter(lacks).map(|say| (order.clone(), say)));
            assert!(!kept.is_honest() || !told.iter().any(|(of, _)| of == order), "nothing said of {order} contradicts {kept:?}");
        }
        missing.is_empty() && !letters.is_empty()
    });
}

/// The team has done what each order says, and no more.
fn check_books(play: &Play, ended: &BTreeMap<String, OrderStatus>, decided: &Decided) {
    let books = play.team.books();
    for (order, status) in ended {
        let kept = books.get(order).cloned().unwrap_or_default();
        let is_right = kept.agrees(*status, decided.accepted.contains(order));
        assert!(is_right, "order {order} is {}, and the team has {kept:?}: {:#}", status.name(), play.told_of(order));
    }
    assert!(!books.keys().any(|order| order.starts_with(STRANGER)), "of orders that nobody placed it keeps no books");
}

/// Every invariant, the stock, and the provider's own books.
fn check_database(play: &Play, accepted: &[String]) {
    let record = play.plans[0].folder.join("record.txt");
    std::fs::write(&record, accepted.join("\n") + "\n").unwrap();
    let record = record.display().to_string();
    let mut arguments = vec!["--external-roles", play.role.name(), "--record", &record];
    let url = play.provider.as_ref().map(Provider::url);
    if let Some(url) = &url {
        arguments.extend(["--provider", url]);
    }
    let (mut sound, mut report) = (false, String::new());
    // The numbers are counted behind the orders.
    let end = Instant::now() + process::LIMIT;
    while !sound && Instant::now() < end {
        (sound, report) = play.plans[0].verify(&arguments);
    }
    assert!(sound, "{report}");
    assert!(url.is_none() || report.contains("money.provider"), "{report}");
    let letters = play.letters("").unwrap();
    let strange = |letter: &&Value| letter["orderId"].as_str().is_some_and(|order| order.starts_with(STRANGER));
    assert!(letters.iter().filter(strange).all(|letter| letter["kind"] == "MESSAGE"), "{letters:#?}");
}

/// How the orders ended; of our own stock exactly what was sold is held or has left.
fn counted(play: &Play, ended: &BTreeMap<String, OrderStatus>) -> String {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    ended.values().for_each(|status| *counts.entry(status.name()).or_default() += 1);
    for status in ["CONFIRMED", "CANCELLED"] {
        assert!(counts.contains_key(status), "too tame: {counts:?}");
    }
    if play.role == Role::Payment {
        for product in [CUP, POT] {
            let view = play.get(&format!("/api/v1/products/{product}")).unwrap();
            let [held, left] = ["CONFIRMED", "SHIPPED"].map(|status| counts.get(status).copied().unwrap_or(0));
            let seen = ["reservedQuantity", "shippedQuantity", "availableQuantity"].map(|name| view[name].as_i64().unwrap());
            assert_eq!(seen, [held, left, 1_000_000 - held - left], "{product}");
        }
    }
    format!("{counts:?}, {} contradictions", play.letters("&cause=contradicting-answer").unwrap().len())
}

#[test]
fn a_hostile_payment_team_and_a_node_that_is_killed() {
    play(Role::Payment, 1);
}

#[test]
fn a_hostile_payment_team_and_three_nodes_that_are_killed() {
    play(Role::Payment, 3);
}

#[test]
fn a_hostile_stock_team_and_a_node_that_is_killed() {
    play(Role::Inventory, 1);
}

#[test]
fn a_hostile_stock_team_and_three_nodes_that_are_killed() {
    play(Role::Inventory, 3);
}
