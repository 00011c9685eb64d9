//! A service of a test's own, which it may halt and change; stopped at the end.
#![allow(dead_code, unreachable_pub, reason = "each target uses its own part")]

use std::process::{Command, Stdio};

/// The services of `scripts/services` under a name of their own.
pub struct Services(&'static str);

impl Services {
    /// Starts `service` under this name, and gives its address.
    pub fn start(name: &'static str, service: &str) -> (Self, String) {
        Self::start_with(name, &[], service)
    }

    /// The same with more options of the script.
    pub fn start_with(name: &'static str, options: &[&str], service: &str) -> (Self, String) {
        let services = Self(name);
        let printed = services.run(&[options, &["start", service]].concat());
        let variable = format!("export ORDERMILL_TEST_{}=", service.to_uppercase());
        let address = printed.lines().find_map(|line| line.strip_prefix(&variable)).unwrap_or_else(|| panic!("{printed}"));
        (services, address.to_owned())
    }

    /// One command of the script.
    pub fn run(&self, arguments: &[&str]) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services");
        let output = Command::new(script).args(["--name", self.0]).args(arguments).stderr(Stdio::inherit()).output().expect("the script");
        assert!(output.status.success(), "scripts/services {arguments:?}");
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.run(&["stop"]);
    }
}
