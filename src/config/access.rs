//! Who may come in: keys with a role each, stored hashed.

use super::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Who may come in. With no keys everybody on this machine may do everything, and nobody else can reach the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessSettings {
    /// The keys.
    pub keys: Vec<AccessKey>,
}

/// What a key's holder may do; each may do what the ones before it may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessRole {
    /// Place, see and cancel its own orders; see products.
    Customer,
    /// All orders, stock, analytics.
    Operator,
    /// Everything.
    Admin,
}

impl AccessRole {
    /// All, least first.
    pub const ALL: [Self; 3] = [Self::Customer, Self::Operator, Self::Admin];

    /// The name in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// One key: its hash, or (for a secret from the environment) the key itself, which is hashed at start and forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// The holder's name, in audits; also the scope of its idempotency keys, so a changed key keeps them.
    pub name: String,
    /// What it may do.
    pub role: AccessRole,
    /// The one customer of a customer's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<Uuid>,
    /// SHA-256 of the key, 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The key itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
}

impl AccessKey {
    /// SHA-256 of the key; none where the settings give none or both forms.
    #[must_use]
    pub fn hash(&self) -> Option<[u8; 32]> {
        match (&self.sha256, &self.key) {
            (Some(hash), None) => parse_hash(hash),
            (None, Some(secret)) => Some(Sha256::digest(secret.expose().as_bytes()).into()),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }
}

/// 64 hexadecimal digits.
pub(super) fn parse_hash(digits: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(digits, &mut hash).ok()?;
    Some(hash)
}

/// The shortest key that is accepted in clear; shorter ones can be guessed.
const KEY_MIN_LENGTH: usize = 16;

impl AccessSettings {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        for (at, key) in self.keys.iter().enumerate() {
            let here = format!("access.keys[{at}] ({})", key.name);
            if key.name.is_empty() || key.name.chars().count() > 100 || key.name.chars().any(char::is_control) {
                problems.push(format!("{here}: name must have 1 to 100 characters, none of them control characters"));
            }
            if self.keys.iter().take(at).any(|earlier| earlier.name == key.name) {
                problems.push(format!("{here}: another key has this name"));
            }
            match (key.role, key.customer_id) {
                (AccessRole::Customer, None) => problems.push(format!("{here}: a customer's key needs customer_id")),
                (AccessRole::Operator | AccessRole::Admin, Some(_)) => {
                    problems.push(format!("{here}: only a customer's key has a customer_id"));
                }
                (AccessRole::Customer, Some(_)) | (AccessRole::Operator | AccessRole::Admin, None) => {}
            }
            match (&key.sha256, &key.key) {
                (Some(hash), None) if parse_hash(hash).is_some() => {}
                (Some(_), None) => problems.push(format!("{here}: sha256 must be 64 hexadecimal digits")),
                (None, Some(key)) if key.expose().len() >= KEY_MIN_LENGTH => {}
                (None, Some(_)) => problems.push(format!("{here}: key must have at least {KEY_MIN_LENGTH} characters")),
                (Some(_), Some(_)) | (None, None) => problems.push(format!("{here}: give sha256 or key, one of them")),
            }
        }
    }
}
