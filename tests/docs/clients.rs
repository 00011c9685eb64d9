//! The clients of `docs/api.md`, as they stand there, each in its own language against a node.

use crate::process::{LIMIT, PRODUCT, Plan};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const GUIDE: &str = include_str!("../../docs/api.md");

/// The one code block of the guide in this language.
fn block(language: &str) -> &'static str {
    let blocks: Vec<&str> = GUIDE.split(&format!("```{language}\n")).skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 1, "docs/api.md has one block in {language}");
    blocks[0]
}

/// Writes the block into a file and says how to run that.
fn program(language: &str, file: &str, folder: &Path) -> Command {
    let path = folder.join(file);
    std::fs::write(&path, block(language)).unwrap();
    let runner = match language {
        "sh" => "sh",
        "python" => "python3",
        "java" => "java",
        _ => "node",
    };
    let mut command = Command::new(runner);
    if language == "ts" {
        let mut compiler = Command::new("tsc");
        compiler.args(["--strict", "--target", "es2022", "--module", "es2022", "--lib", "es2022,dom"]).arg(&path);
        let said = compiler.output().expect("tsc is missing: scripts/setup installs it");
        assert!(said.status.success(), "tsc: {}", String::from_utf8_lossy(&said.stdout));
        command.arg(path.with_extension("js"));
    } else {
        command.arg(path);
    }
    command
}

struct Client {
    name: &'static str,
    child: Child,
}

impl Client {
    fn start(name: &'static str, mut command: Command, plan: &Plan) -> Self {
        command.args([&format!("basket-{name}"), PRODUCT, "10.00"]);
        command.env("ORDERMILL_URL", plan.url()).env_remove("ORDERMILL_KEY");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self { name, child: child.unwrap_or_else(|error| panic!("{name}: {error}: scripts/setup installs what is missing")) }
    }

    /// The order's id and status.
    fn end(self) -> (String, String) {
        let name = self.name;
        let output = self.child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&output.stderr));
        let (id, status) = said.trim().split_once(' ').expect(&said);
        (id.to_owned(), status.to_owned())
    }
}

#[test]
fn the_clients_of_the_guide_place_an_order_though_the_node_is_away_at_first() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path());
    let node = plan.start();
    plan.put_product("10.00");
    node.stop();

    let languages = [("python", "order.py"), ("sh", "order.sh"), ("ts", "order.ts"), ("java", "Order.java")];
    let mut clients: Vec<Client> =
        languages.map(|(language, file)| Client::start(language, program(language, file, folder.path()), &plan)).into();
    // One is known to have found nobody; the others may have.
    let mut errors = BufReader::new(clients[0].child.stderr.take().unwrap());
    let mut first = String::new();
    errors.read_line(&mut first).unwrap();
    assert!(first.starts_with("again in"), "{first}");
    let node = plan.start();

    let ends: Vec<(String, String)> = clients.into_iter().map(Client::end).collect();
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    for (id, status) in &ends {
        assert_eq!(status, "CONFIRMED", "{ends:?}");
        let shown = plan.get(&format!("/api/v1/orders/{id}")).unwrap();
        assert_eq!((shown.status, shown.field("totalAmount")), (200, "20.00".to_owned()));
    }
    // The same basket again is the same order.
    let again = Client::start("python", program("python", "order.py", folder.path()), &plan).end();
    assert_eq!(again, ends[0]);
    node.wait_settled(LIMIT);
    let (sound, report) = plan.verify(&[]);
    assert!(sound, "{report}");
    node.stop();
}
