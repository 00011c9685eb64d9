//! The real mail server, spoken to by SMTP.
//!
//! The dialogue is done step by step on lettre's connection rather than by its transport: only so is it known whether the line broke
//! before the text was sent (nothing was mailed) or after (it may have been).

use super::{Call, Email, Mailer, ProviderError, SetupError, error_chain};
use crate::config::providers::{EmailSettings, MailTls};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::{Address, transport::smtp};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// A mail server.
#[derive(Clone)]
pub struct SmtpMailer(Arc<Server>);

struct Server {
    host: String,
    port: u16,
    tls: Option<TlsParameters>,
    mode: MailTls,
    login: Option<Credentials>,
    from: Mailbox,
    prepare_timeout: Duration,
    idle: Mutex<Vec<AsyncSmtpConnection>>,
    max_idle: usize,
}

impl SmtpMailer {
    /// The server that the settings name; connects when the first email is sent.
    ///
    /// # Errors
    /// The sender is no address, the login is half given or would go over an open line, or TLS cannot be set up.
    pub fn new(settings: &EmailSettings) -> Result<Self, SetupError> {
        let refuse = |setting, reason: &str| Err(SetupError { setting, reason: reason.to_owned() });
        let from: Mailbox = match settings.from.parse() {
            Ok(from) => from,
            Err(_) => return refuse("email.from", "is no sender such as \"Shop <orders@example.com>\""),
        };
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
            MailTls::Starttls | MailTls::Implicit => match TlsParameters::new(settings.host.clone()) {
                Ok(tls) => Some(tls),
                Err(error) => return refuse("email.tls", &error_chain(&error)),
            },
        };
        Ok(Self(Arc::new(Server {
            host: settings.host.clone(),
            port: settings.port,
            tls,
            mode: settings.tls,
            login,
            from,
            prepare_timeout: Duration::from_millis(settings.timeout_ms / 2),
            idle: Mutex::new(Vec::new()),
            max_idle: settings.max_idle_connections,
        })))
    }
}

impl Mailer for SmtpMailer {
    fn send(&self, email: Email) -> Call<()> {
        let server = self.0.clone();
        Box::pin(async move {
            let to: Address = email.to.as_str().parse().map_err(|_| ProviderError::rejected("is no email address"))?;
            server.deliver(&email, &to).await.map_err(|error| without_address(error, email.to.as_str()))
        })
    }
}

impl Server {
    async fn deliver(&self, email: &Email, to: &Address) -> Result<(), ProviderError> {
        let text = self.text_of(email, to)?;
        let ready = timeout(self.prepare_timeout, self.prepare(to, &text)).await;
        let mut line = ready.map_err(|_| ProviderError::failed("the mail server took too long before the text was sent"))??;
        match line.message(&text).await {
            Ok(_) => {
                self.keep(line);
                Ok(())
            }
            Err(error) if error.is_permanent() || error.is_transient() => Err(refused(error)),
            Err(error) => Err(ProviderError::unknown(error_chain(&error))),
        }
    }

    fn text_of(&self, email: &Email, to: &Address) -> Result<Vec<u8>, ProviderError> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(email.subject.clone())
            .message_id(Some(format!("<{}@{}>", email.id, self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .body(email.body.clone());
        let mut message = message.map_err(|error| ProviderError::rejected(error_chain(&error)))?;
        let correlation = HeaderName::new_from_ascii_str("X-Correlation-Id");
        message.headers_mut().insert_raw(HeaderValue::new(correlation, email.correlation.to_string()));
        Ok(message.formatted())
    }

    /// A line on which the server waits for the text. Nothing is mailed yet, so whatever goes wrong has failed for certain.
    async fn prepare(&self, to: &Address, text: &[u8]) -> Result<AsyncSmtpConnection, ProviderError> {
        let mut line = match self.begin_on_idle(to, text).await {
            Some(line) => line,
            None => {
                let mut line = self.connect().await.map_err(failed)?;
                self.begin(&mut line, to, text).await.map_err(failed)?;
                line
            }
        };
        if !is_ascii(to) && !line.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(ProviderError::rejected("the mail server takes no such address"));
        }
        line.command(Rcpt::new(to.clone(), vec![])).await.map_err(refused)?;
        line.command(Data).await.map_err(refused)?;
        Ok(line)
    }

    /// A line kept from before may have been closed by the server; that costs another, not an attempt.
    async fn begin_on_idle(&self, to: &Address, text: &[u8]) -> Option<AsyncSmtpConnection> {
        let mut line = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        self.begin(&mut line, to, text).await.ok().map(|()| line)
    }

    async fn begin(&self, line: &mut AsyncSmtpConnection, to: &Address, text: &[u8]) -> Result<(), smtp::Error> {
        let mut options = vec![];
        if !is_ascii(to) && line.server_info().supports_feature(Extension::SmtpUtfEight) {
            options.push(MailParameter::SmtpUtfEight);
        }
        if !text.is_ascii() && line.server_info().supports_feature(Extension::EightBitMime) {
            options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        line.command(Mail::new(Some(self.from.email.clone()), options)).await.map(drop)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, smtp::Error> {
        let hello = ClientId::default();
        let at = (self.host.as_str(), self.port);
        let implicit = self.tls.clone().filter(|_| self.mode == MailTls::Implicit);
        let mut line = AsyncSmtpConnection::connect_tokio1(at, Some(self.prepare_timeout), &hello, implicit, None).await?;
        if let (MailTls::Starttls, Some(tls)) = (self.mode, self.tls.clone()) {
            line.starttls(tls, &hello).await?;
        }
        if let Some(login) = &self.login {
            line.auth(DEFAULT_MECHANISMS, login).await?;
        }
        Ok(line)
    }

    fn keep(&self, line: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.max_idle {
            idle.push(line);
        }
    }
}

/// Before the recipient was named: a refusal is about us (login, sender, quota), not about this email.
fn failed(error: smtp::Error) -> ProviderError {
    ProviderError::failed(error_chain(&error))
}

/// After it: a permanent refusal is about this email.
fn refused(error: smtp::Error) -> ProviderError {
    if error.is_permanent() { ProviderError::rejected(error_chain(&error)) } else { failed(error) }
}

fn is_ascii(address: &Address) -> bool {
    AsRef::<str>::as_ref(address).is_ascii()
}

/// Mail servers like to repeat the address in their answer; reasons are stored and logged, addresses are not.
fn without_address(error: ProviderError, address: &str) -> ProviderError {
    let hide = |reason: String| reason.replace(address, "the recipient");
    match error {
        ProviderError::Failed { reason } => ProviderError::Failed { reason: hide(reason) },
        ProviderError::Unknown { reason } => ProviderError::Unknown { reason: hide(reason) },
        ProviderError::Rejected { reason } => ProviderError::Rejected { reason: hide(reason) },
        ProviderError::Deferred { reason } => ProviderError::Deferred { reason: hide(reason) },
        ProviderError::Busy { retry_in_ms, reason } => ProviderError::Busy { retry_in_ms, reason: hide(reason) },
        ProviderError::Open { retry_in_ms } => ProviderError::Open { retry_in_ms },
    }
}
