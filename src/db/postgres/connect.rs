//! Connections: where the server is, TLS, and what every session is set to.

use super::dial::{self, Undialled};
use super::error;
use crate::config::PostgresSettings;
use crate::db::error::StoreError;
use crate::domain::Shards;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use percent_encoding::percent_decode_str;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

/// How a PostgreSQL database is opened.
#[derive(Clone)]
pub struct PgOptions {
    server: Arc<Server>,
    /// The number of shards; fixed when the database is made.
    pub shards: Shards,
    /// How many reads run at once.
    pub readers: u32,
    /// What the server, or another node on it, may keep this one waiting.
    pub limits: PostgresSettings,
}

struct Server {
    /// One for each host, in the order of the address.
    hosts: Vec<tokio_postgres::Config>,
    /// Whether they are tried in any order.
    is_random: bool,
    tls: MakeRustlsConnect,
    /// Shown in place of the address.
    place: String,
    database: String,
}

/// What a session is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Session {
    /// The journal's: writes.
    Journal,
    /// A reader's.
    Reader,
    /// One long view of everything.
    Snapshot,
    /// Making and changing the tables.
    Owner,
}

impl PgOptions {
    /// The defaults for the database at `url` (`postgres://USER:PASSWORD@HOST/DATABASE?sslmode=…&sslrootcert=FILE`).
    ///
    /// # Errors
    /// The address cannot be understood, or its certificate file cannot be read.
    pub fn new(url: &str, shards: Shards) -> Result<Self, StoreError> {
        Ok(Self { server: Arc::new(Server::new(url)?), shards, readers: 4, limits: PostgresSettings::default() })
    }

    /// What is shown of the address.
    pub(super) fn place(&self) -> &str {
        &self.server.place
    }

    /// The database's name.
    pub(super) fn database(&self) -> &str {
        &self.server.database
    }

    /// Connects and sets the session. The connection's task lives on the runtime that this is awaited on.
    pub(super) async fn connect(&self, session: Session) -> Result<AsyncPgConnection, StoreError> {
        let failed = |error: &tokio_postgres::Error| error::connect(error, self.place());
        let mut conn = self.open(self.database()).await.map_err(|error| failed(&error))??;
        conn.batch_execute(&self.settings(session)).await.map_err(|error| error::judge(error).0)?;
        Ok(conn)
    }

    /// Connects to a database of that name; the outer error is the server's answer.
    pub(super) async fn open(&self, database: &str) -> Result<Result<AsyncPgConnection, StoreError>, tokio_postgres::Error> {
        let hosts = &self.server.hosts;
        let first = if self.server.is_random { usize::try_from(Uuid::new_v4().as_u128() % 1_009).unwrap_or(0) } else { 0 };
        let mut failed = None;
        for host in hosts.iter().cycle().skip(first % hosts.len().max(1)).take(hosts.len()) {
            match self.open_at(host, database).await {
                Ok(Ok(conn)) => return Ok(Ok(conn)),
                // What a server says tells more than that another one is silent.
                said @ Err(_) if !failed.as_ref().is_some_and(is_answer) => failed = Some(said),
                other => failed = failed.or(Some(other)),
            }
        }
        failed.unwrap_or_else(|| Ok(Err(StoreError::Mismatch("the address of the database names no host".to_owned()))))
    }

    /// The same at one host, each with its own time.
    async fn open_at(
        &self,
        host: &tokio_postgres::Config,
        database: &str,
    ) -> Result<Result<AsyncPgConnection, StoreError>, tokio_postgres::Error> {
        let limit = host.get_connect_timeout().copied().unwrap_or(Duration::from_millis(self.limits.connect_timeout_ms));
        let late = || StoreError::Unavailable(format!("{}: the server did not answer within {} ms", self.place(), limit.as_millis()));
        let dialled = dial::dial(host, database, &self.server.tls, Duration::from_millis(self.limits.silence_ms));
        let client = match tokio::time::timeout(limit, dialled).await {
            Ok(Ok(client)) => client,
            Ok(Err(Undialled::Refused(error))) => return Err(error),
            Ok(Err(Undialled::Unreachable(why))) => return Ok(Err(StoreError::Unavailable(format!("{}: {why}", self.place())))),
            Err(_) => return Ok(Err(late())),
        };
        Ok(match tokio::time::timeout(limit, AsyncPgConnection::try_from(client)).await {
            Ok(conn) => conn.map_err(|error| StoreError::Unavailable(format!("{}: {error}", self.place()))),
            Err(_) => Err(late()),
        })
    }

    /// The statements that set a session. Settings that this server does not know or that this login may not change are left.
    fn settings(&self, session: Session) -> String {
        // So that logs are in one language.
        let mut optional = vec![("lc_messages", "C".to_owned())];
        let statement_ms = if session == Session::Snapshot { 0 } else { self.limits.statement_limit_ms };
        let mut settings = vec![("jit", "off".to_owned()), ("statement_timeout", format!("{statement_ms}ms"))];
        let timeout = |name, ms: u64| (name, format!("{ms}ms"));
        match session {
            Session::Journal => {
                settings.extend([
                    timeout("idle_in_transaction_session_timeout", self.limits.idle_transaction_ms),
                    timeout("lock_timeout", self.limits.lock_wait_ms),
                    ("default_transaction_isolation", "read committed".to_owned()),
                ]);
                // A session that plans on empty tables keeps plans that are bad for full ones; every statement here finds its
                // rows by an index.
                let plans = ["enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin"];
                settings.extend(plans.map(|name| (name, "off".to_owned())));
                settings.push(("plan_cache_mode", "force_generic_plan".to_owned()));
                // The server's side of a node that is gone.
                let interval = (self.limits.silence_ms / 2).max(1_000).div_ceil(1_000);
                optional.extend([
                    timeout("client_connection_check_interval", (self.limits.silence_ms / 2).max(1)),
                    timeout("tcp_user_timeout", self.limits.silence_ms),
                    ("tcp_keepalives_idle", format!("{interval}s")),
                    ("tcp_keepalives_interval", format!("{interval}s")),
                    ("tcp_keepalives_count", "2".to_owned()),
                ]);
            }
            Session::Reader => {
                settings.extend([("default_transaction_read_only", "on".to_owned()), ("enable_seqscan", "off".to_owned())]);
            }
            Session::Snapshot => {}
            Session::Owner => settings.push(("client_min_messages", "warning".to_owned())),
        }
        let set = |(name, value): &(&str, String)| format!("SET {name} = '{value}';");
        let mut text: String = settings.iter().map(set).collect();
        for (name, value) in optional {
            text += &format!("DO $$ BEGIN PERFORM set_config('{name}', '{value}', false); EXCEPTION WHEN OTHERS THEN NULL; END $$;");
        }
        if session == Session::Journal {
            // Stronger than the default stays; what is acknowledged must be on the disk.
            text += "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';";
        }
        text
    }
}

impl Server {
    fn new(url: &str) -> Result<Self, StoreError> {
        let bad = |why: &str| StoreError::Mismatch(format!("the address of the database: {why}"));
        let (plain, mode, root) = take_tls(url);
        let mut config = tokio_postgres::Config::from_str(&plain).map_err(|error| bad(&said(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(bad("no host is named"));
        }
        let verifies = match mode.as_deref() {
            None | Some("prefer" | "allow") => (SslMode::Prefer, Verify::Nothing),
            Some("disable") => (SslMode::Disable, Verify::Nothing),
            Some("require") => (SslMode::Require, Verify::Nothing),
            Some("verify-full") => (SslMode::Require, Verify::All),
            Some(other) => return Err(bad(&format!("sslmode={other} is not known: use disable, prefer, require or verify-full"))),
        };
        config.ssl_mode(verifies.0);
        let tls = MakeRustlsConnect::new(tls_config(verifies.1, root)?);
        let user = config.get_user().unwrap_or("postgres").to_owned();
        let database = config.get_dbname().unwrap_or(&user).to_owned();
        config.user(user);
        if config.get_application_name().is_none() {
            config.application_name("ordermill");
        }
        let place = format!("{} on {}", database, hosts(&config));
        let is_random = config.get_load_balance_hosts() == LoadBalanceHosts::Random;
        Ok(Self { hosts: each_host(&config), is_random, tls, place, database })
    }
}

/// Whether a server has answered, if with a refusal.
fn is_answer(failed: &Result<Result<AsyncPgConnection, StoreError>, tokio_postgres::Error>) -> bool {
    matches!(failed, Err(error) if error.code().is_some())
}

/// The same settings for each host alone: the driver gives all of them together the time of one.
fn each_host(config: &tokio_postgres::Config) -> Vec<tokio_postgres::Config> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let of_host = |n: usize| {
        let mut one = tokio_postgres::Config::new();
        match hosts.get(n) {
            Some(Host::Tcp(name)) => drop(one.host(name)),
            Some(Host::Unix(path)) => drop(one.host_path(path)),
            None => {}
        }
        if let Some(address) = addresses.get(n) {
            one.hostaddr(*address);
        }
        if let Some(port) = ports.get(n).or_else(|| ports.first()) {
            one.port(*port);
        }
        one.ssl_mode(config.get_ssl_mode()).ssl_negotiation(config.get_ssl_negotiation());
        one.target_session_attrs(config.get_target_session_attrs()).channel_binding(config.get_channel_binding());
        if let Some(user) = config.get_user() {
            one.user(user);
        }
        if let Some(password) = config.get_password() {
            one.password(password);
        }
        if let Some(options) = config.get_options() {
            one.options(options);
        }
        if let Some(name) = config.get_application_name() {
            one.application_name(name);
        }
        if let Some(timeout) = config.get_connect_timeout() {
            one.connect_timeout(*timeout);
        }
        one
    };
    (0..hosts.len().max(addresses.len())).map(of_host).collect()
}

fn said(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn hosts(config: &tokio_postgres::Config) -> String {
    let ports = config.get_ports();
    let named = config.get_hosts().iter().enumerate().map(|(n, host)| {
        let port = ports.get(n).or_else(|| ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => format!("{}:{port}", path.display()),
        }
    });
    named.collect::<Vec<_>>().join(",")
}

/// The address without what is said of TLS, which the driver knows in part only: sslmode and sslrootcert. No library for URLs takes it
/// apart: several hosts, each with a port, are none of a URL.
fn take_tls(url: &str) -> (String, Option<String>, Option<PathBuf>) {
    let Some((handle, query)) = url.split_once('?') else { return (url.to_owned(), None, None) };
    let (mut mode, mut root, mut rest) = (None, None, Vec::new());
    for part in query.split('&') {
        match part.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value.to_owned()),
            Some(("sslrootcert", value)) => root = Some(PathBuf::from(OsString::from_vec(percent_decode_str(value).collect()))),
            Some(_) | None => rest.push(part),
        }
    }
    let query = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
    (format!("{handle}{query}"), mode, root)
}

/// What of the server's certificate is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verify {
    /// Nothing: the line is encrypted, whoever is at its end.
    Nothing,
    /// Who signed it, and whose it is.
    All,
}

fn tls_config(verify: Verify, root: Option<PathBuf>) -> Result<ClientConfig, StoreError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Mismatch(format!("TLS: {error}")))?;
    if verify == Verify::Nothing {
        return Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))).with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    match root {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let bad = |why: String| StoreError::Mismatch(format!("sslrootcert {}: {why}", path.display()));
            for certificate in CertificateDer::pem_file_iter(&path).map_err(|error| bad(error.to_string()))? {
                roots.add(certificate.map_err(|error| bad(error.to_string()))?).map_err(|error| bad(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(bad("there is no certificate in it".to_owned()));
            }
        }
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Takes any certificate, as libpq does for sslmode=require: against listeners, not against impostors.
#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> Result<PgOptions, String> {
        PgOptions::new(url, Shards::new(24).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_shown_of_an_address_has_no_password() {
        let place = options("postgres://me:hush@db.example:6000/shop?sslmode=disable").unwrap().place().to_owned();
        assert_eq!(place, "shop on db.example:6000");
    }

    #[test]
    fn the_ways_to_protect_the_line_are_told_apart() {
        for mode in ["disable", "prefer", "require", "verify-full"] {
            options(&format!("postgres://me@h/d?sslmode={mode}&application_name=x")).unwrap();
        }
        let error = options("postgres://me@h/d?sslmode=verify-ca").err().unwrap();
        assert!(error.contains("verify-full"), "{error}");
        let error = options("postgres://me@h/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem").err().unwrap();
        assert!(error.contains("/nowhere/ca.pem"), "{error}");
        let error = options("postgres://me@h1:1,h2:2/d?sslrootcert=%2fno where%2Fz%C3%BCrich%25.pem&sslmode=verify-full").err().unwrap();
        assert!(error.contains("/no where/zürich%.pem"), "{error}");
        assert!(options("postgres:///d?sslmode=disable").err().unwrap().contains("host"));
    }

    #[test]
    fn the_journal_gives_up_its_locks_well_before_its_lease_ends() {
        let text = options("postgres://me@h/d").unwrap().settings(Session::Journal);
        for wanted in
            ["idle_in_transaction_session_timeout = '2000ms'", "lock_timeout = '4000ms'", "force_generic_plan", "synchronous_commit"]
        {
            assert!(text.contains(wanted), "{text}");
        }
    }
}
