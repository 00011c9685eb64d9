//! A service of another team (`tests/kafka/recipes`): a program of its own that prints what it reads.

use crate::process::until;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Installing and starting takes long the first time.
const START: Duration = Duration::from_secs(600);

/// The service, killed with this.
pub(crate) struct Recipe {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Recipe {
    pub(crate) fn start(what: &str, arguments: &[&str]) -> Self {
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/recipes/run");
        let mut child = Command::new(run).arg(what).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let (lines, said) = (BufReader::new(child.stdout.take().unwrap()).lines(), Arc::new(Mutex::new(Vec::new())));
        let kept = said.clone();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line)));
        let recipe = Self { child, said };
        until(&format!("{what} is ready"), START, || recipe.said().contains(&"ready".to_owned()));
        recipe
    }

    /// The lines that it has printed.
    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }
}

impl Drop for Recipe {
    fn drop(&mut self) {
        // It has ended already, or it must.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
