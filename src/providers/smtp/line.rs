//! Connections to the mail server: how they are made, and the idle ones kept for the next email.

use super::reply::{Stage, meaning};
use crate::config::providers::{EmailSettings, MailTls};
use crate::providers::call::{ProviderError, SetupError, error_chain};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, Identity, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// See the module.
pub(super) struct Lines {
    host: String,
    port: u16,
    hello: ClientId,
    tls: Option<TlsParameters>,
    mode: MailTls,
    login: Option<Credentials>,
    connect_limit: Duration,
    idle: Mutex<VecDeque<Kept>>,
    max_idle: usize,
    idle_limit: Duration,
}

/// An idle connection.
pub(super) struct Kept {
    pub(super) line: AsyncSmtpConnection,
    since: Instant,
}

impl Lines {
    pub(super) fn new(settings: &EmailSettings, sender_domain: &str) -> Result<Self, SetupError> {
        let refuse = |setting, reason: &str| Err(SetupError { setting, reason: reason.to_owned() });
        let login = match (&settings.username, &settings.password) {
            (Some(name), Some(password)) => Some(Credentials::new(name.clone(), password.expose().to_owned())),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return refuse("email.password", "a username and a password go together"),
        };
        if settings.tls == MailTls::None && login.is_some() {
            return refuse("email.tls", "is none: the password would be sent in the clear");
        }
        let tls = match settings.tls {
            MailTls::None => None,
            MailTls::Starttls | MailTls::Implicit => Some(tls_of(settings)?),
        };
        Ok(Self {
            host: settings.host.clone(),
            port: settings.port,
            hello: ClientId::Domain(settings.hello.clone().unwrap_or_else(|| sender_domain.to_owned())),
            tls,
            mode: settings.tls,
            login,
            connect_limit: Duration::from_millis(settings.connect_timeout_ms),
            idle: Mutex::default(),
            max_idle: settings.max_idle_connections,
            idle_limit: Duration::from_millis(settings.max_idle_ms),
        })
    }

    /// Takes the most recently used idle connection, unless it was idle for too long: something in between (NAT, a firewall) may have
    /// forgotten such a connection without telling either end.
    pub(super) fn take_kept(&self) -> Option<Kept> {
        let mut idle = self.idle();
        while idle.front().is_some_and(|kept| kept.since.elapsed() >= self.idle_limit) {
            idle.pop_front();
        }
        idle.pop_back()
    }

    pub(super) fn forget_kept(&self) {
        self.idle().clear();
    }

    pub(super) fn keep(&self, line: AsyncSmtpConnection) {
        let mut idle = self.idle();
        if idle.len() < self.max_idle && !line.has_broken() {
            idle.push_back(Kept { line, since: Instant::now() });
        }
    }

    /// Makes a new connection: greeting, TLS and login done.
    pub(super) async fn connect(&self, command_limit: Duration) -> Result<AsyncSmtpConnection, ProviderError> {
        let at = (self.host.as_str(), self.port);
        let implicit = self.tls.clone().filter(|_| self.mode == MailTls::Implicit);
        let connecting = async {
            let mut line = AsyncSmtpConnection::connect_tokio1(at, Some(self.connect_limit), &self.hello, implicit, None).await?;
            if let (MailTls::Starttls, Some(tls)) = (self.mode, self.tls.clone()) {
                line.starttls(tls, &self.hello).await?;
            }
            Ok(line)
        };
        let mut line = in_time(self.connect_limit, "connecting to the mail server", connecting).await?;
        if let Some(login) = &self.login {
            in_time(command_limit, "logging in to the mail server", line.auth(DEFAULT_MECHANISMS, login)).await?;
        }
        Ok(line)
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn in_time<T>(
    limit: Duration,
    what: &str,
    step: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
) -> Result<T, ProviderError> {
    match timeout(limit, step).await {
        Ok(answer) => answer.map_err(|error| meaning(Stage::Sender, &error)),
        Err(_) => Err(ProviderError::failed(format!("{what} took longer than {} ms", limit.as_millis())).away()),
    }
}

/// The authorities to trust for the server, and our client certificate.
fn tls_of(settings: &EmailSettings) -> Result<TlsParameters, SetupError> {
    let read = |setting, file: &str| {
        std::fs::read(file).map_err(|error| SetupError { setting, reason: format!("{file} cannot be read: {error}") })
    };
    let mut tls = TlsParameters::builder(settings.host.clone()).certificate_store(CertificateStore::WebpkiRoots);
    let public = std::env::var("SSL_CERT_FILE").ok().filter(|file| !file.is_empty());
    if let Some(file) = settings.ca_file.as_ref().or(public.as_ref()) {
        let roots = Certificate::from_pem(&read("email.ca_file", file)?);
        let roots = roots.map_err(|error| SetupError { setting: "email.ca_file", reason: format!("{file}: {}", error_chain(&error)) })?;
        tls = tls.add_root_certificate(roots);
    }
    if settings.ca_file.is_some() {
        tls = tls.certificate_store(CertificateStore::None);
    }
    match (&settings.client_cert_file, &settings.client_key_file) {
        (None, None) => {}
        (Some(cert), Some(key)) => {
            // With rustls, lettre takes what it calls PEM for DER: it is given one certificate in that form.
            let shown = CertificateDer::from_pem_slice(&read("email.client_cert_file", cert)?);
            let refuse =
                |setting, file: &str, why: &dyn std::error::Error| SetupError { setting, reason: format!("{file}: {}", error_chain(why)) };
            let shown = shown.map_err(|error| refuse("email.client_cert_file", cert, &error))?;
            let identity = Identity::from_pem(&shown, &read("email.client_key_file", key)?);
            let identity = identity.map_err(|error| refuse("email.client_key_file", key, &error))?;
            tls = tls.identify_with(identity);
        }
        (Some(_), None) | (None, Some(_)) => {
            let reason = "a certificate and its key go together".to_owned();
            return Err(SetupError { setting: "email.client_key_file", reason });
        }
    }
    tls.build().map_err(|error| SetupError { setting: "email.tls", reason: error_chain(&error) })
}
