//! What the nodes of one cluster have in common and nobody else: a key made of the hashes of all access keys.
//!
//! With it a node proves that an address is a node's, that it has chosen an order's id, and who asks for what in a request that it
//! sends on. The database is no party to this: a login of it can write what it likes, and proves nothing. Without access keys the
//! key is known to everybody; then only this machine can reach a node, and may do everything anyway.

use super::AccessSettings;
use super::access::AccessKey;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;

/// What a proof is of: a proof of one thing is none of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A writer's node listens at this address.
    Address,
    /// The id of an order, promised by one node for another.
    PromisedId,
    /// Who asks for what, in a request that is sent on.
    Asker,
    /// Under which path the sender of a request that is sent on sees the nodes.
    Prefix,
}

impl Purpose {
    fn label(self) -> &'static str {
        match self {
            Self::Address => "ordermill address v1",
            Self::PromisedId => "ordermill promised id v1",
            Self::Asker => "ordermill asker v1",
            Self::Prefix => "ordermill prefix v1",
        }
    }
}

/// The key that all nodes with the same access keys have.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey([u8; 32]);

impl ClusterKey {
    /// The key of the nodes that have these access keys, in any order.
    #[must_use]
    pub fn of(access: &AccessSettings) -> Self {
        let mut hashes: Vec<[u8; 32]> = access.keys.iter().filter_map(AccessKey::hash).collect();
        hashes.sort_unstable();
        Self(hashes.into_iter().fold(Sha256::new(), |all, hash| all.chain_update(hash)).finalize().into())
    }

    /// The proof of these parts, 64 hexadecimal digits. Each part is bounded, so that no two lists of parts are the same text.
    #[must_use]
    pub fn prove(&self, purpose: Purpose, parts: &[&str]) -> String {
        hex::encode(self.mac(purpose, parts).finalize().into_bytes())
    }

    /// Whether `proof` is that of these parts; compared in constant time.
    #[must_use]
    pub fn proves(&self, purpose: Purpose, parts: &[&str], proof: &str) -> bool {
        super::access::parse_hash(proof).is_some_and(|proof| self.mac(purpose, parts).verify_slice(&proof).is_ok())
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn mac(&self, purpose: Purpose, parts: &[&str]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length");
        for part in [purpose.label()].iter().chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

/// That of no access keys.
impl Default for ClusterKey {
    fn default() -> Self {
        Self::of(&AccessSettings::default())
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AccessRole, Secret};

    fn of(keys: &[&str]) -> ClusterKey {
        let key = |key: &&str| AccessKey {
            name: (*key).to_owned(),
            role: AccessRole::Admin,
            customer_id: None,
            sha256: None,
            key: Some(Secret::new(key)),
        };
        ClusterKey::of(&AccessSettings { keys: keys.iter().map(key).collect() })
    }

    #[test]
    fn a_proof_is_of_its_parts_its_purpose_and_all_keys() {
        let proof = of(&["one", "two"]).prove(Purpose::Address, &["7", "http://a"]);
        let cases = [
            (of(&["two", "one"]), Purpose::Address, ["7", "http://a"], true),
            (of(&["one"]), Purpose::Address, ["7", "http://a"], false),
            (of(&[]), Purpose::Address, ["7", "http://a"], false),
            (of(&["one", "two"]), Purpose::Asker, ["7", "http://a"], false),
            (of(&["one", "two"]), Purpose::Address, ["8", "http://a"], false),
            (of(&["one", "two"]), Purpose::Address, ["7h", "ttp://a"], false),
        ];
        for (key, purpose, parts, holds) in cases {
            assert_eq!(key.proves(purpose, &parts, &proof), holds, "{purpose:?} {parts:?}");
        }
        assert!(!of(&["one", "two"]).proves(Purpose::Address, &["7", "http://a"], ""), "no proof proves nothing");
    }
}
