//! A real mail server, over SMTP.
//!
//! The dialogue runs step by step on lettre's connection rather than through its transport. Only in this way is it known whether the
//! connection broke before the text was sent (nothing was mailed) or after (it may have been). It also gives each step its own limit, and
//! tells a refusal of a recipient from a refusal of us.

mod line;
mod reply;
#[cfg(test)]
mod tests;

use super::{Email, Mailer};
use crate::config::providers::EmailSettings;
use crate::domain::MailAddress;
use crate::providers::call::{Call, ProviderError, SetupError, error_chain};
use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Noop, Rcpt, Rset};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter};
use line::Lines;
use reply::{Stage, meaning};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A mail server.
#[derive(Clone)]
pub struct SmtpMailer(Arc<Server>);

struct Server {
    from: Mailbox,
    lines: Lines,
    command_limit: Duration,
    text_limit: Duration,
    kept_limit: Duration,
}

/// Where a line was used before: one that was kept may have died without a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Kept,
    Fresh,
}

/// Why a line did not come as far as the text.
enum Trouble {
    /// It, or what the server thinks of it: another line may do better.
    Line(ProviderError),
    /// The email, its recipient, or the server as a whole; the line is as good as before.
    Email(Box<AsyncSmtpConnection>, ProviderError),
}

impl SmtpMailer {
    /// The server that the settings name; connects when the first email is sent.
    ///
    /// # Errors
    /// The sender is no address, the login is half given or would go over an open line, or TLS cannot be set up.
    pub fn new(settings: &EmailSettings) -> Result<Self, SetupError> {
        let from: Mailbox = settings
            .from
            .parse()
            .map_err(|_| SetupError { setting: "email.from", reason: "is no sender such as \"Shop <orders@example.com>\"".to_owned() })?;
        let lines = Lines::new(settings, from.email.domain())?;
        Ok(Self(Arc::new(Server {
            from,
            lines,
            command_limit: Duration::from_millis(settings.timeout_ms),
            text_limit: Duration::from_millis(settings.text_timeout_ms),
            kept_limit: Duration::from_millis(settings.kept_timeout_ms),
        })))
    }
}

impl Mailer for SmtpMailer {
    fn send(&self, email: Email) -> Call<()> {
        let server = self.0.clone();
        Box::pin(async move {
            let address = MailAddress::parse(email.to.as_str()).map_err(|_| ProviderError::rejected("is no email address"))?;
            let to = Address::new(&address.local, &address.domain).map_err(|_| ProviderError::rejected("is no email address"))?;
            let answer = server.deliver(&email, &to).await;
            answer.map_err(|error| error.without(&[email.to.as_str(), AsRef::<str>::as_ref(&to)]))
        })
    }
}

impl Server {
    async fn deliver(&self, email: &Email, to: &Address) -> Result<(), ProviderError> {
        let text = self.text_of(email, to)?;
        let mut line = self.prepare(to, &text).await?;
        let answer = match timeout(self.text_limit, line.message(&text)).await {
            Ok(answer) => answer,
            Err(_) => return Err(ProviderError::unknown(format!("no answer to the text within {} ms", self.text_limit.as_millis())).away()),
        };
        match answer {
            Ok(_) => {
                self.lines.keep(line);
                Ok(())
            }
            Err(error) if error.status().is_some() => {
                let error = meaning(Stage::Text, &error);
                if !matches!(error, ProviderError::Busy { .. }) {
                    self.lines.keep(line);
                }
                Err(error)
            }
            Err(error) => Err(ProviderError::unknown(error_chain(&error)).away()),
        }
    }

    fn text_of(&self, email: &Email, to: &Address) -> Result<Vec<u8>, ProviderError> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(email.subject.clone())
            .message_id(Some(format!("<{}@{}>", email.id, self.from.email.domain())))
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN)
            .body(email.body.clone());
        let mut message = message.map_err(|error| ProviderError::rejected(error_chain(&error)))?;
        let mut add = |name, value| message.headers_mut().insert_raw(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
        // Nobody's holiday note is to answer it (RFC 3834).
        add("Auto-Submitted", "auto-generated".to_owned());
        add("X-Correlation-Id", email.correlation.to_string());
        Ok(message.formatted())
    }

    /// A line on which the server waits for the text. Nothing is mailed yet, so whatever goes wrong has failed for certain.
    async fn prepare(&self, to: &Address, text: &[u8]) -> Result<AsyncSmtpConnection, ProviderError> {
        if let Some(kept) = self.lines.take_kept() {
            match self.begin(kept.line, Age::Kept, to, text).await {
                Ok(line) => return Ok(line),
                Err(Trouble::Email(line, error)) => return Err(self.give_back(*line, error).await),
                // No try, and no reason to believe in the others that were kept.
                Err(Trouble::Line(_)) => self.lines.forget_kept(),
            }
        }
        let line = self.lines.connect(self.command_limit).await?;
        match self.begin(line, Age::Fresh, to, text).await {
            Ok(line) => Ok(line),
            Err(Trouble::Email(line, error)) => Err(self.give_back(*line, error).await),
            Err(Trouble::Line(error)) => Err(error),
        }
    }

    /// The dialogue as far as the text.
    async fn begin(&self, mut line: AsyncSmtpConnection, age: Age, to: &Address, text: &[u8]) -> Result<AsyncSmtpConnection, Trouble> {
        let first_limit = match age {
            Age::Kept => {
                // An answer at all shows that it is one; a server may think for longer about what follows.
                let alive = self.say(&mut line, Noop, self.kept_limit).await;
                alive.map_err(|error| Trouble::Line(meaning_or_failed(Stage::Sender, error)))?;
                self.command_limit
            }
            Age::Fresh => self.command_limit,
        };
        if !is_ascii(to) && !line.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(Trouble::Email(Box::new(line), ProviderError::rejected("the mail server takes no such address")));
        }
        let mail = Mail::new(Some(self.from.email.clone()), options(&line, to, text));
        // On a kept line the server may be tired of us (421, 45x after so many emails): another line gets a full hearing.
        self.say(&mut line, mail, first_limit).await.map_err(|error| Trouble::Line(meaning_or_failed(Stage::Sender, error)))?;
        if let Err(error) = self.say(&mut line, Rcpt::new(to.clone(), vec![]), self.command_limit).await {
            return Err(trouble(line, Stage::Recipient, error));
        }
        if let Err(error) = self.say(&mut line, Data, self.command_limit).await {
            return Err(trouble(line, Stage::Recipient, error));
        }
        Ok(line)
    }

    async fn say(&self, line: &mut AsyncSmtpConnection, command: impl Display, limit: Duration) -> Result<(), Silence> {
        match timeout(limit, line.command(command)).await {
            Ok(answer) => answer.map(drop).map_err(Silence::Told),
            Err(_) => Err(Silence::Timeout(limit)),
        }
    }

    /// The server refused this email or recipient: the line is cleared for the next one.
    async fn give_back(&self, mut line: AsyncSmtpConnection, error: ProviderError) -> ProviderError {
        if self.say(&mut line, Rset, self.kept_limit).await.is_ok() {
            self.lines.keep(line);
        }
        error
    }
}

/// Why a command has no good answer.
enum Silence {
    Told(lettre::transport::smtp::Error),
    Timeout(Duration),
}

fn trouble(line: AsyncSmtpConnection, stage: Stage, error: Silence) -> Trouble {
    let is_reply = matches!(&error, Silence::Told(error) if error.status().is_some());
    let error = meaning_or_failed(stage, error);
    if is_reply && !matches!(error, ProviderError::Busy { .. }) { Trouble::Email(Box::new(line), error) } else { Trouble::Line(error) }
}

fn meaning_or_failed(stage: Stage, error: Silence) -> ProviderError {
    match error {
        Silence::Told(error) => meaning(stage, &error),
        Silence::Timeout(limit) => ProviderError::failed(format!("no answer of the mail server within {} ms", limit.as_millis())).away(),
    }
}

fn options(line: &AsyncSmtpConnection, to: &Address, text: &[u8]) -> Vec<MailParameter> {
    let mut options = vec![];
    if !is_ascii(to) {
        options.push(MailParameter::SmtpUtfEight);
    }
    if !text.is_ascii() && line.server_info().supports_feature(Extension::EightBitMime) {
        options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    options
}

fn is_ascii(address: &Address) -> bool {
    AsRef::<str>::as_ref(address).is_ascii()
}
