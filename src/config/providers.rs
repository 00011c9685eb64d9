//! The outside parties: which one stands behind payment, email and SMS, its breaker, and the sandboxes.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// What is printed in place of a secret.
const MASK: &str = "***";

/// A secret: read from settings, never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the secret.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(secret.to_owned())
    }

    /// The secret itself, for the party that it was shared with.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Masked: settings in force are printed by serialising them.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// All settings of the outside parties.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderSettings {
    /// The payment provider.
    pub payment: PaymentSettings,
    /// The mail server.
    pub email: EmailSettings,
    /// The SMS provider.
    pub sms: SmsSettings,
    /// The circuit breakers: one per provider, all with these settings.
    pub breaker: BreakerSettings,
    /// The stand-ins.
    pub sandbox: SandboxSettings,
}

/// Who answers calls over HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HttpParty {
    /// The stand-in in this process.
    #[default]
    Sandbox,
    /// A service at `url`.
    Http,
}

/// Who takes email.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailParty {
    /// The stand-in in this process.
    #[default]
    Sandbox,
    /// A mail server at `host`.
    Smtp,
}

/// How the line to the mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// Not at all; for a server on the same machine.
    None,
    /// Upgraded before anything is said; refused where the server cannot.
    #[default]
    Starttls,
    /// From the first byte (port 465).
    Implicit,
}

/// The payment provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaymentSettings {
    /// The kind of provider.
    pub provider: HttpParty,
    /// Its address if provider is http; ordermill appends /charges.
    pub url: String,
    /// Longest wait for one answer, in milliseconds.
    pub timeout_ms: u64,
    /// Sent as a bearer token.
    pub api_key: Option<Secret>,
}

impl Default for PaymentSettings {
    fn default() -> Self {
        Self { provider: HttpParty::Sandbox, url: "http://127.0.0.1:8090".to_owned(), timeout_ms: 5_000, api_key: None }
    }
}

/// The mail server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmailSettings {
    /// The kind of provider.
    pub provider: MailParty,
    /// Its host if provider is smtp.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The sender of all notices, such as `Shop <orders@example.com>`.
    pub from: String,
    /// Encryption of the connection.
    pub tls: MailTls,
    /// User name for the login; `None`: no login.
    pub username: Option<String>,
    /// Password for the login.
    pub password: Option<Secret>,
    /// The name that this machine sends (EHLO); `None`: the node finds one.
    pub hello: Option<String>,
    /// PEM file of the only authorities to trust for the server's certificate; `None`: the public ones.
    pub ca_file: Option<String>,
    /// PEM file with the client certificate; needs `client_key_file`.
    pub client_cert_file: Option<String>,
    /// PEM file with that certificate's key.
    pub client_key_file: Option<String>,
    /// Longest time to connect, receive the greeting and set up TLS, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest wait for the answer to a command before the message text, in milliseconds.
    pub timeout_ms: u64,
    /// Longest wait for the answer to the message text, in milliseconds; after that, it is unknown whether it was mailed.
    pub text_timeout_ms: u64,
    /// Maximum connections.
    pub max_connections: usize,
    /// Maximum idle connections kept open for the next email.
    pub max_idle_connections: usize,
    /// How long an idle connection is kept, in milliseconds.
    pub max_idle_ms: u64,
    /// How long an idle connection may take to prove that it still works, in milliseconds.
    pub kept_timeout_ms: u64,
    /// Maximum emails started per second; 0: no limit.
    pub per_second: u32,
}

impl EmailSettings {
    /// Longer than one email may take whose every step keeps to its own limit, in milliseconds.
    #[must_use]
    pub fn longest_ms(&self) -> u64 {
        // Connecting, logging in, and the commands on a kept line that dies late and on a fresh one.
        let commands = self.timeout_ms.saturating_mul(8).saturating_add(self.kept_timeout_ms.saturating_mul(2));
        self.connect_timeout_ms.saturating_add(commands).saturating_add(self.text_timeout_ms).saturating_add(1_000)
    }
}

impl Default for EmailSettings {
    fn default() -> Self {
        Self {
            provider: MailParty::Sandbox,
            host: "127.0.0.1".to_owned(),
            port: 587,
            from: "ordermill <orders@localhost>".to_owned(),
            tls: MailTls::Starttls,
            username: None,
            password: None,
            hello: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            connect_timeout_ms: 10_000,
            timeout_ms: 30_000,
            text_timeout_ms: 600_000,
            max_connections: 8,
            max_idle_connections: 8,
            max_idle_ms: 30_000,
            kept_timeout_ms: 2_000,
            per_second: 0,
        }
    }
}

/// The SMS provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmsSettings {
    /// The kind of provider.
    pub provider: HttpParty,
    /// Its address if provider is http; ordermill appends /messages.
    pub url: String,
    /// Longest wait for one answer, in milliseconds.
    pub timeout_ms: u64,
    /// Sent as a bearer token.
    pub api_key: Option<Secret>,
    /// Maximum calls at the same time.
    pub max_calls: usize,
    /// Maximum messages started per second; 0: no limit.
    pub per_second: u32,
}

impl Default for SmsSettings {
    fn default() -> Self {
        Self {
            provider: HttpParty::Sandbox,
            url: "http://127.0.0.1:8090".to_owned(),
            timeout_ms: 5_000,
            api_key: None,
            max_calls: 32,
            per_second: 0,
        }
    }
}

/// When a party that fails is left alone. Failures of one order or notice count once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSettings {
    /// Failures within the window that open the breaker; at least 1.
    pub failures: u32,
    /// The window, in milliseconds.
    pub window_ms: u64,
    /// How long a breaker stays open before its first trial call, in milliseconds; doubled after each failed trial.
    pub open_first_ms: u64,
    /// Longest time it stays open before a trial call, in milliseconds.
    pub open_ms: u64,
    /// How long a trial call may be unanswered before it counts as failed, in milliseconds.
    pub trial_ms: u64,
    /// How many failed orders and notices are remembered, so that others are tried before them; the oldest are forgotten.
    pub suspects: usize,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, window_ms: 60_000, open_first_ms: 1_000, open_ms: 30_000, trial_ms: 10_000, suspects: 1_000 }
    }
}

/// The stand-ins for all parties.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxSettings {
    /// Whether special amounts and addresses (see the sandbox's table) trigger behaviour.
    pub magic: bool,
    /// Charges remembered; the oldest are forgotten. The default is what two hash tables of 2^19 places hold, about 45 MB.
    pub max_charges: usize,
    /// Maximum notices remembered for audits; the oldest are forgotten. 0: none.
    pub max_notices: usize,
    /// Seed of jitter and faults.
    pub seed: u64,
    /// How the stand-ins answer initially; can be changed while they run.
    pub behaviour: Behaviour,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self { magic: true, max_charges: 900_000, max_notices: 0, seed: 1, behaviour: Behaviour::default() }
    }
}

/// How fast and how well a stand-in answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Wait before every answer, in milliseconds.
    pub latency_ms: u64,
    /// Longest random extra wait, in milliseconds.
    pub jitter_ms: u64,
    /// Share of calls that fail without effect, 0 to 1.
    pub error_rate: f64,
    /// Share of calls that get no answer, 0 to 1; half of them take effect.
    pub timeout_rate: f64,
    /// Whether the payment stand-in refuses repeats (422), and pays out again for every refund without a key.
    pub strict: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_printed() {
        let settings = PaymentSettings { api_key: Some(Secret::new("hush")), ..PaymentSettings::default() };
        let shown = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
        assert!(!shown.contains("hush") && shown.contains(MASK), "{shown}");
    }

    #[test]
    fn what_is_not_set_keeps_its_default_and_an_unknown_key_is_refused() {
        let read: ProviderSettings = toml::from_str("[payment]\nprovider = \"http\"\napi_key = \"k\"").unwrap();
        let want = PaymentSettings { provider: HttpParty::Http, api_key: Some(Secret::new("k")), ..PaymentSettings::default() };
        assert_eq!(read, ProviderSettings { payment: want, ..ProviderSettings::default() });
        assert!(toml::from_str::<ProviderSettings>("[payment]\nurls = \"x\"").is_err());
        let whole = toml::to_string(&ProviderSettings::default()).unwrap();
        assert_eq!(toml::from_str::<ProviderSettings>(&whole).unwrap(), ProviderSettings::default());
    }
}
