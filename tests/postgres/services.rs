//! A server of a test's own, which it may halt and change; stopped at the end.

use std::path::Path;
use std::process::{Command, Stdio};

pub(crate) struct Services(&'static str);

impl Services {
    /// A server under this name, and its address.
    pub(crate) fn start(name: &'static str) -> (Self, String) {
        let services = Self(name);
        let told = services.run(&["start", "postgres"]);
        let url = told.lines().find_map(|line| line.strip_prefix("export ORDERMILL_TEST_POSTGRES=")).unwrap().to_owned();
        (services, url)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services");
        let output = Command::new(script).args(["--name", self.0]).args(arguments).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "scripts/services {arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.run(&["stop"]);
    }
}
