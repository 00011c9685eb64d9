#!/usr/bin/env bash
# lettre 0.11.23, features smtp-transport and rustls with ring: a client certificate in PEM form cannot be used.
#
# `Identity::from_pem(pem, key)` returns Ok for a valid certificate, but `TlsParametersBuilder::identify_with(…).build()` then fails:
# the text of the PEM file is kept as if it were the certificate in DER form. The same certificate, decoded to DER first, is taken.
# Seen output:
#   from_pem: ok
#   build with the PEM text: error
#   build with the same certificate as DER: ok
# What follows: decode the PEM file before giving it to lettre; only one certificate can be given, so a chain cannot be sent.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=client.example -keyout key.pem -out cert.pem 2>/dev/null
openssl x509 -in cert.pem -outform der -out cert.der
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "identity"
version = "0.0.0"
edition = "2021"
[dependencies]
lettre = { version = "=0.11.23", default-features = false, features = ["builder", "smtp-transport", "rustls", "ring", "webpki-roots"] }
TOML
cat > src/main.rs <<'RUST'
use lettre::transport::smtp::client::{Identity, TlsParameters};

fn build(certificate: &[u8], key: &[u8]) -> Result<&'static str, &'static str> {
    let identity = Identity::from_pem(certificate, key).map_err(|_| "from_pem: error")?;
    let built = TlsParameters::builder("localhost".to_owned()).identify_with(identity).build();
    built.map(|_| "ok").map_err(|_| "error")
}

fn main() {
    let read = |name| std::fs::read(name).unwrap();
    let key = read("key.pem");
    let told = Identity::from_pem(&read("cert.pem"), &key).map_or("error", |_| "ok");
    println!("from_pem: {told}");
    for (what, file) in [("the PEM text", "cert.pem"), ("the same certificate as DER", "cert.der")] {
        let (Ok(told) | Err(told)) = build(&read(file), &key);
        println!("build with {what}: {told}");
    }
}
RUST
cargo run --quiet > seen.txt
cat seen.txt
diff seen.txt - <<'SEEN'
from_pem: ok
build with the PEM text: error
build with the same certificate as DER: ok
SEEN
