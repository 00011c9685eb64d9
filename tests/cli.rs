//! The command line as a shell sees it: a demo node, the commands against it, their output and exit codes.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

#[path = "support/process.rs"]
mod process;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

fn ordermill(arguments: &[&str], url: &str) -> Output {
    command(arguments).env("ORDERMILL_URL", url).output().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ordermill"));
    command.args(arguments).env_remove("ORDERMILL_KEY");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A demo that places an order now and then until it is stopped.
struct Demo {
    process: Child,
    output: BufReader<ChildStdout>,
    url: String,
}

impl Demo {
    fn start(temporary: &Path) -> Self {
        let mut command = command(&["demo", "--listen", "127.0.0.1:0", "--rate", "5"]);
        command.env("ORDERMILL_TELEMETRY__SAMPLE_MS", "100");
        let mut process = command.env("TMPDIR", temporary).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("dashboard").expect(&line).trim().trim_end_matches('/').to_owned();
        let mut demo = Self { process, output, url };
        demo.wait_for("CONFIRMED");
        demo
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while !line.starts_with(word) {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the demo ended before {word}");
        }
    }

    /// Ctrl-C; returns what it still printed.
    fn interrupt(mut self) -> String {
        let sent = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.process.wait().unwrap().success(), "{rest}");
        rest
    }
}

#[test]
fn a_demo_runs_takes_commands_and_ends_with_a_summary_leaving_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let mut demo = Demo::start(&temporary);

    let listed = ordermill(&["orders", "list", "--status", "confirmed", "--json"], &demo.url);
    let orders: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let id = orders[0]["orderId"].as_str().unwrap();
    let shown = text(&ordermill(&["orders", "show", id], &demo.url).stdout);
    assert!(shown.contains(id) && shown.contains("OrderConfirmed"), "{shown}");

    let catalogue = folder.path().join("goods.csv");
    std::fs::write(&catalogue, "id,name,price,availableQuantity\nx,Bad,1,1\n6f1d5c0e-8a0b-4c55-9d7e-21c40a8b77e3,Tea,2.50,9\n").unwrap();
    let imported = ordermill(&["products", "import", catalogue.to_str().unwrap()], &demo.url);
    let said = text(&imported.stdout);
    assert!(said.contains("line 2 refused: productId must be a UUID") && said.contains("1 products imported"), "{said}");
    assert!(imported.status.success());
    let two = ordermill(&["products", "corrections", "--json"], &demo.url);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&two.stdout).unwrap()["items"], serde_json::json!([]));

    check_metrics(&mut demo);
    assert!(get(&demo.url, "/api/v1/admin/cluster").ends_with("}\n"), "answers end with a newline");

    let letters = ordermill(&["dlq", "list"], &demo.url);
    assert_eq!(text(&letters.stdout), "no dead letters\n");
    let none = ordermill(&["dlq", "skip", "6f1d5c0e-8a0b-4c55-9d7e-21c40a8b77e3"], &demo.url);
    assert_eq!(none.status.code(), Some(1));

    let record = folder.path().join("record");
    let load = ordermill(&["load", "--orders", "200", "--no-settle", "--json", "--record", record.to_str().unwrap()], &demo.url);
    let report: serde_json::Value = serde_json::from_slice(&load.stdout).unwrap();
    assert_eq!(report["counts"]["accepted"], 200, "{report}");
    assert_eq!(std::fs::read_to_string(&record).unwrap().lines().count(), 200);

    let summary = demo.interrupt();
    assert!(summary.contains("orders placed in"), "{summary}");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "the data is gone");
}

/// The text of a GET; the test knows no HTTP library.
fn get(url: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    std::io::Write::write_all(&mut stream, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Every sample belongs to a family that has its HELP and TYPE, and the database's numbers are there.
fn check_metrics(demo: &mut Demo) {
    let mut metrics = get(&demo.url, "/metrics");
    while !metrics.contains("\nordermill_orders_total{event=\"confirmed\"}")
        || metrics.contains("\nordermill_orders_total{event=\"confirmed\"} 0\n")
    {
        demo.wait_for("CONFIRMED");
        metrics = get(&demo.url, "/metrics");
    }
    let told = |mark: &str| {
        metrics.lines().filter_map(|line| line.strip_prefix(mark)?.split(' ').next()).collect::<std::collections::HashSet<_>>()
    };
    let (help, types) = (told("# HELP "), told("# TYPE "));
    assert_eq!(help, types, "{metrics}");
    for line in metrics.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end).filter(|family| help.contains(family)));
        assert!(help.contains(family.unwrap_or(name)), "{line} has no HELP");
    }
    for name in [
        "ordermill_orders_open{status=\"PENDING\"}",
        "ordermill_orders_open_oldest_age_seconds{status=\"INVENTORY_RESERVED\"}",
        "ordermill_dead_letters_oldest_age_seconds",
        "ordermill_shards_free{role=\"order\"} 0",
        "ordermill_sqlite_bytes{file=\"log\"}",
        "ordermill_build_info{",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "{name} is missing: {metrics}");
    }
}

#[test]
fn an_error_at_the_start_is_told_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("x.db").display());
    let output = command(&["serve", "--listen", &address, "--database", &database]).output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!((told.matches("cannot listen on").count(), told.matches("in use").count()), (1, 1), "{told}");
    std::fs::write(folder.path().join("x.db"), "no database at all, but long enough to be looked at").unwrap();
    let output = command(&["serve", "--listen", "127.0.0.1:0", "--database", &database]).output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(told.matches("damaged").count(), 1, "{told}");
}

#[test]
fn exit_codes_tell_a_failure_from_a_wrong_usage() {
    // Nobody listens on port 1.
    let away = ordermill(&["orders", "list"], "http://127.0.0.1:1");
    assert_eq!(away.status.code(), Some(1));
    assert!(text(&away.stderr).contains("hint: is the node running?"), "{}", text(&away.stderr));
    for wrong in [
        &["orders"][..],
        &["load", "--connections", "0"],
        &["dlq", "skip"],
        &["orders", "list", "--status", "DONE"],
        &["orders", "list", "--since", "soon"],
        &["orders", "show", "one"],
        &["status", "now"],
        &["top", "--every", "0"],
        &["report", "--bucket", "year"],
        &["products", "set", "6f1d5c0e-8a0b-4c55-9d7e-21c40a8b77e3"],
        &["breakers", "open", "fax"],
        &["orders", "--url", "ftp://x", "list"],
        &["--url", "127.0.0.1:1", "serve"],
        &["migrate", "--login", "nobody"],
        &["config", "--kafka", "nonsense", "--roles", "baker"],
        &["nonsense"],
    ] {
        assert_eq!(ordermill(wrong, "http://127.0.0.1:1").status.code(), Some(2), "{wrong:?}");
    }
    let without_scheme = command(&["--url", "127.0.0.1:1", "orders", "list", "--since", "1h"]).output().unwrap();
    assert_eq!(without_scheme.status.code(), Some(1), "{}", text(&without_scheme.stderr));
    assert!(text(&without_scheme.stderr).contains("cannot reach http://127.0.0.1:1"), "{}", text(&without_scheme.stderr));
    assert_eq!(ordermill(&["load", "--help"], "http://127.0.0.1:1").status.code(), Some(0));
}

#[test]
fn health_tells_whether_a_node_is_ready_and_whether_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    // So long that the test sees it stop.
    let plan = process::Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path()).with("server.drain_ms", 600_000);
    let mut node = plan.start();
    let health = |arguments: &[&str]| {
        let mut command = command(&[&["health"], arguments].concat());
        // A proxy that the environment names is not asked the way to this machine.
        let output = command.env("ORDERMILL_URL", plan.url()).env("http_proxy", "http://127.0.0.1:1").output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    assert_eq!(health(&[]), (Some(0), format!("{} is ready\n", plan.url())));
    assert_eq!(health(&["--live"]), (Some(0), format!("{} is alive\n", plan.url())));
    let (_, answer) = health(&["--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&answer).unwrap()["status"], "UP");
    node.signal("TERM");
    let stopping = (Some(1), format!("{} is not ready: the node is stopping\n", plan.url()));
    process::until("a stopping node is not ready", process::LIMIT, || health(&[]) == stopping);
    assert_eq!(health(&["--live"]).0, Some(0));
    node.kill();
    let (code, told) = health(&["--live"]);
    assert!(code == Some(1) && told.contains("cannot reach"), "{code:?} {told}");

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, told) = health(&["--timeout", "200ms", "--url", &silent.local_addr().unwrap().to_string()]);
    assert!(code == Some(1) && told.contains("timed out"), "{code:?} {told}");
}

/// What a running node logs can be changed, but not by a word that means nothing.
#[test]
fn a_log_filter_that_names_nothing_known_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plan = process::Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path());
    let node = plan.start();
    let set = |filter: &str| plan.send("PUT", "/api/v1/admin/log-level", &format!(r#"{{"filter":"{filter}"}}"#)).unwrap();
    for wrong in ["verbose", "warn,ordermil::http=debug", ""] {
        assert_eq!(set(wrong).status, 400, "{wrong}");
    }
    assert_eq!(set("warn,ordermill::http=debug").status, 200);
    node.stop();
}

#[test]
fn completions_are_what_the_shell_reads_and_every_command_has_a_man_page() {
    let script = ordermill(&["completions", "bash"], "");
    assert!(script.status.success() && text(&script.stdout).contains("complete -F _ordermill"), "{}", text(&script.stdout));
    let mut shell = Command::new("bash").args(["-n", "/dev/stdin"]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), &script.stdout).unwrap();
    assert!(shell.wait().unwrap().success(), "bash refuses the completions");

    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let written = ordermill(&["man", pages.to_str().unwrap()], "");
    assert!(written.status.success(), "{}", text(&written.stderr));
    let page = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap();
    assert!(page("ordermill.1").contains("ordermill\\-serve(1)"), "{}", page("ordermill.1"));
    for word in ["status", "top", "INVENTORY_RESERVED", "SUPERSEDED"] {
        assert!(text(&script.stdout).contains(word), "{word} is completed");
    }
    assert!(page("ordermill-orders-list.1").contains("\\-\\-status"), "{}", page("ordermill-orders-list.1"));
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = ordermill(&["man", file.to_str().unwrap()], "");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("cannot be made"), "{}", text(&refused.stderr));
}

/// Invoices whose totals meet the magic amounts of the payment's stand-in: the run explains them, and ends when what is left waits for
/// a person.
#[test]
fn a_load_of_real_invoices_ends_though_some_orders_are_parked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("invoices.csv");
    let row = |invoice: u32, price: &str| format!("{invoice},A{invoice},Thing,1,2010-12-01 08:26,{price},17850,United Kingdom\n");
    let head = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";
    std::fs::write(&file, [head.to_owned(), row(1, "10.00"), row(2, "10.05"), row(3, "10.01"), row(4, "x")].concat()).unwrap();
    let file = file.to_str().unwrap();

    let dry = ordermill(&["load", "--csv", file, "--dry-run"], "http://127.0.0.1:1");
    let said = text(&dry.stdout);
    assert_eq!(dry.status.code(), Some(0), "{said}");
    assert!(said.starts_with("would send 3 orders of 3 products\n") && said.contains("2 have a total that ends in .01 to .09"), "{said}");
    assert_eq!(text(&dry.stderr), "line 5 refused: price is no decimal number\n");

    let plan = process::Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path()).with("telemetry.sample_ms", 100);
    let node = plan.start();
    let load = ordermill(&["load", "--csv", file, "--settle-timeout", "300"], &plan.url());
    let (said, log) = (text(&load.stdout), text(&load.stderr));
    assert_eq!(load.status.code(), Some(0), "{said}{log}");
    assert!(said.contains("parked              1: they wait for a person (ordermill dlq list)"), "{said}");
    assert!(said.contains("settled             2 in "), "{said}");
    let magic = log.find("have a total that ends in .01 to .09").unwrap();
    assert!(magic < log.find("waiting until all orders are settled").unwrap(), "told before the wait: {log}");
    let letters = r#"ordermill_dead_letters_open{kind="STEP",cause="payment-provider",step="charge"}"#;
    process::until("whoever watches the metrics is told of the letter", process::LIMIT, || {
        plan.metric(letters) == 1.0 && plan.metric("ordermill_dead_letters_oldest_age_seconds") > 0.0
    });
    node.stop();
}

/// Files as people have them, from a file and from standard input: exit code, and what is said. Nothing listens on port 1.
#[test]
fn a_file_is_checked_alike_wherever_it_comes_from_and_a_refused_line_is_exit_code_1() {
    const ID: &str = "6f1d5c0e-8a0b-4c55-9d7e-21c40a8b77e3";
    const OTHER: &str = "6f1d5c0e-8a0b-4c55-9d7e-21c40a8b77e4";
    let checked = "products could be imported, 0 lines refused; nothing was sent\n";
    let open = "a quote is opened in line 3 and never closed: from there on, lines cannot be told from the text of a field";
    let met = "a quote is opened in line 2 and not closed before line 3, where text follows the quote";
    let cases: [(Vec<u8>, i32, String); 8] = [
        (format!("\u{feff}ID;Name;PRICE;Available-Quantity\r\n{ID};Tea;2,50;9\r\n").into(), 0, format!("1 {checked}")),
        (format!("id,name,price\r{ID},Tea,2.50\r\r{OTHER},Cup,x\r").into(), 1, "line 4 refused: price".to_owned()),
        (format!("id,name,price,colour\n{ID},Tea,2.50,red\n").into(), 1, "names \"colour\", which is not a known column".to_owned()),
        (format!("id,name,price\n{ID},Tea,2.50,7\n").into(), 1, "line 2 refused: has 4 fields".to_owned()),
        (format!("id,name,price\n{ID},Tea,2.50\n{OTHER},\"Cup,1.00\n{OTHER},Pot,1\n").into(), 1, open.to_owned()),
        (format!("id,name,price\n{ID},\"Tea,2.50\n{OTHER},\"Cup, small\",1\n").into(), 1, met.to_owned()),
        // Latin-1.
        ([b"id,name,price\n", ID.as_bytes(), b",Th\xe9,2.50\n"].concat(), 1, "line 2 refused: name is not UTF-8".to_owned()),
        (b"id,name,price\n".to_vec(), 1, "0 products could be imported".to_owned()),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("goods.csv");
    for (content, code, says) in cases {
        std::fs::write(&file, &content).unwrap();
        let check = |input: &str, stdin: Stdio| {
            let run = command(&["products", "import", input, "--dry-run"]).env("ORDERMILL_URL", "http://127.0.0.1:1").stdin(stdin).output();
            let run = run.unwrap();
            let said = format!("{}{}", text(&run.stdout), text(&run.stderr));
            assert_eq!(run.status.code(), Some(code), "{said}");
            assert!(said.contains(&says), "{said}");
            said
        };
        let of_file = check(file.to_str().unwrap(), Stdio::null());
        assert_eq!(check("-", std::fs::File::open(&file).unwrap().into()), of_file);
        // What cannot be read is refused before anybody is asked to take it.
        let sent = ordermill(&["products", "import", file.to_str().unwrap()], "http://127.0.0.1:1");
        assert_eq!(sent.status.code(), Some(1), "{}", text(&sent.stderr));
    }
}

/// What the pages show is shown by commands too: what needs attention, the node at work, products, an order with names, a report.
#[test]
fn commands_show_what_the_pages_show() {
    let folder = tempfile::tempdir().unwrap();
    let plan = process::Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path());
    let node = plan.start();
    let url = plan.url();
    let run = |line: &str| {
        let arguments: Vec<&str> = line.split(' ').collect();
        let output = ordermill(&arguments, &url);
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let json = |line: &str| {
        let (_, told) = run(line);
        serde_json::from_str::<serde_json::Value>(&told).unwrap_or_else(|error| panic!("{line}: {error}: {told}"))
    };
    let calm = (Some(0), "nothing needs attention\n".to_owned());
    process::until("nothing needs attention", process::LIMIT, || run("status") == calm);

    let product = process::PRODUCT;
    assert_eq!(run("products list"), (Some(0), "no products\n".to_owned()));
    assert_eq!(run(&format!("products set {product} --price 2")).0, Some(1), "there is none, and none is made without a name");
    let made = json(&format!("products set {product} --name Kettle --price 10.05 --available 7 --json"));
    assert_eq!((&made["name"], &made["availableQuantity"]), (&"Kettle".into(), &7.into()));
    let changed = json(&format!("products set {product} --add -2 --reason broken --json"));
    assert_eq!((&changed["name"], &changed["availableQuantity"]), (&"Kettle".into(), &5.into()));
    assert!(run(&format!("products show {product}")).1.contains("available    5\n"));
    let (_, listed) = run("products list");
    assert!(listed.contains(&format!("{product}  Kettle  10.05          5")), "{listed}");
    let (_, corrections) = run("products corrections");
    assert!(corrections.contains("Kettle") && corrections.contains("-2: broken"), "{corrections}");

    // The payment's stand-in never manages to charge this total: the order is parked.
    let id = plan.place("10.05").unwrap().field("orderId");
    process::until("it needs attention", process::LIMIT, || run("status").0 == Some(1));
    let (_, told) = run("status");
    assert!(told.contains("ERROR") && told.contains("1 parked order ") && told.contains("payment-provider at charge"), "{told}");
    assert_eq!(json("status --json")["items"][0]["kind"], "parked-orders");
    let (code, shown) = run(&format!("orders show {id}"));
    assert!(code == Some(0) && shown.contains(&format!("{product}  Kettle         1  10.05")), "{shown}");
    assert!(shown.contains("parked     payment-provider") && shown.contains("CHARGE  payment"), "{shown}");

    // In a pipe the page is shown once.
    let (code, page) = run("top");
    assert_eq!(code, Some(0), "{page}");
    assert!(page.starts_with(&format!("ordermill  {url}")) && !page.contains('\u{1b}'), "{page}");
    for part in ["1 parked order:", "PER SECOND", "SLOW STEPS", "QUEUES", "OLDEST ORDERS", &id] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let page = json("top --json");
    assert_eq!(page["metrics"]["oldestOrders"][0]["orderId"], id.as_str());
    assert_eq!(page["attention"]["items"][0]["count"], 1);

    process::until("the order is counted", process::LIMIT, || {
        let report = json("report --since 1h --bucket hour --json");
        report["rows"].as_array().is_some_and(|rows| rows.iter().any(|row| row["placed"] == 1))
    });
    assert!(run("report --csv").1.starts_with("start,placed,"));
    assert!(run("report").1.starts_with("START "));
    node.stop();
}

/// Who follows an order goes on behind what was seen when the node is killed and started again.
#[test]
fn an_order_is_followed_through_a_restart_of_its_node() {
    let folder = tempfile::tempdir().unwrap();
    let plan = process::Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path());
    let mut node = plan.start();
    plan.put_product("10.00");
    let id = plan.place("10.00").unwrap().field("orderId");
    node.wait_settled(process::LIMIT);
    let mut watch = plan.command(&["orders", "watch", &id, "--url", &plan.url()]).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    while !seen.last().is_some_and(|line: &String| line.contains("OrderConfirmed")) {
        seen.push(lines.next().expect("the watch goes on").unwrap());
    }
    node.kill();
    // Whoever follows comes again while the node is away.
    let away = std::net::TcpListener::bind(plan.address).unwrap();
    drop(away.accept().unwrap());
    drop(away);
    let node = plan.start();
    assert_eq!(plan.send("POST", &format!("/api/v1/orders/{id}/ship"), r#"{"carrier":"X"}"#).unwrap().status, 202);
    let after: Vec<String> = lines.map(Result::unwrap).collect();
    let mut said = String::new();
    watch.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(watch.wait().unwrap().success(), "{said}");
    assert!(after.iter().any(|line| line.contains("OrderShipped")), "{after:?}");
    seen.extend(after);
    let once: std::collections::BTreeSet<&String> = seen.iter().collect();
    assert_eq!(once.len(), seen.len(), "what was seen is not told again: {seen:#?}");
    let shown = text(&plan.run(&["orders", "show", &id, "--url", &plan.url()]).stdout);
    assert!(shown.contains("shipment   X  20"), "{shown}");
    node.stop();
}

/// How many shards a database has stands in it; who verifies it need not know.
#[test]
fn a_database_of_other_shards_is_verified_without_the_setting() {
    let folder = tempfile::tempdir().unwrap();
    let plan = process::Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path()).with("store.shards", 7);
    let node = plan.start();
    plan.put_product("10.00");
    for _ in 0..10 {
        assert_eq!(plan.place("10.00").unwrap().status, 202);
    }
    node.wait_settled(process::LIMIT);
    node.stop();
    let (sound, report) = plan.verify(&[]);
    assert!(sound, "{report}");
}
