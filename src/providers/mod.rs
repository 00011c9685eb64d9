//! The outside providers: payment, mail, SMS. Each has a trait, a stand-in and a real client, behind a breaker.
//!
//! Guarantees: a failed call says whether the caller may try again, must ask first, or must give up ([`ProviderError`]). All time is
//! tokio's, so it can run on a paused clock. It keeps no state that an order depends on: storing requests and answers is up to the caller.

mod breaker;
mod breakers;
mod call;
mod circuit;
mod email;
mod guarded;
mod http;
mod paced;
mod payment;
pub mod sandbox;
pub mod server;
mod sms;
mod smtp;
mod wire;

pub use breaker::{Breaker, Snapshot};
pub use breakers::Breakers;
pub use call::{Call, PAYMENT_BREAKER, ProviderError, SetupError};
pub use circuit::{CallEnd, Circuit, CircuitState, News, Permit, SUSPECT_WAIT_MS, Shown, TRIAL_RETRY_MS};
pub use email::{Email, Mailer};
pub use guarded::Guarded;
pub use http::{HttpPayment, HttpTexter};
pub use paced::Paced;
pub use payment::{Charge, ChargeKey, ChargeRequest, Found, NoChargeKey, PaymentProvider, Voided};
pub use sms::{Sms, Texter};
pub use smtp::SmtpMailer;

use crate::config::providers::{HttpParty, MailParty, ProviderSettings};
use sandbox::{Party, SandboxControl};
use std::sync::Arc;

/// All providers as configured, each behind its own breaker.
#[derive(Clone)]
pub struct Providers {
    /// Charges and refunds.
    pub payment: Arc<dyn PaymentProvider>,
    /// Sends email.
    pub email: Arc<dyn Mailer>,
    /// Sends text messages.
    pub sms: Arc<dyn Texter>,
    /// The breakers of all three.
    pub breakers: Breakers,
    /// The stand-ins, if any provider is one.
    pub sandbox: Option<SandboxControl>,
}

impl Providers {
    /// Creates them; none connects before it is first called.
    ///
    /// # Errors
    /// A setting is invalid for its provider.
    pub fn from_settings(settings: &ProviderSettings) -> Result<Self, SetupError> {
        check(settings)?;
        let ProviderSettings { payment, email, sms, breaker, sandbox } = settings;
        let control = SandboxControl::new(sandbox);
        let breakers = Party::ALL.map(|party| Breaker::new(party.name(), *breaker));
        let [for_payment, for_email, for_sms] = breakers.clone();
        let stand_in = payment.provider == HttpParty::Sandbox || email.provider == MailParty::Sandbox || sms.provider == HttpParty::Sandbox;
        Ok(Self {
            payment: match payment.provider {
                HttpParty::Sandbox => Arc::new(Guarded::new(control.payment(), for_payment, payment.timeout_ms)),
                HttpParty::Http => Arc::new(Guarded::new(HttpPayment::new(payment)?, for_payment, payment.timeout_ms)),
            },
            email: match email.provider {
                MailParty::Sandbox => Arc::new(Guarded::new(control.mailer(), for_email, email.timeout_ms)),
                MailParty::Smtp => {
                    let mailer = Guarded::new(SmtpMailer::new(email)?, for_email, email.longest_ms());
                    Arc::new(Paced::new(mailer, email.max_connections, email.per_second, breaker.trial_ms))
                }
            },
            sms: match sms.provider {
                HttpParty::Sandbox => Arc::new(Guarded::new(control.texter(), for_sms, sms.timeout_ms)),
                HttpParty::Http => {
                    let texter = Guarded::new(HttpTexter::new(sms)?, for_sms, sms.timeout_ms);
                    Arc::new(Paced::new(texter, sms.max_calls, sms.per_second, breaker.trial_ms))
                }
            },
            breakers: Breakers::new(breakers.into()),
            sandbox: stand_in.then_some(control),
        })
    }
}

fn check(settings: &ProviderSettings) -> Result<(), SetupError> {
    let ProviderSettings { payment, email, sms, breaker, sandbox } = settings;
    let positive = [
        ("payment.timeout_ms", payment.timeout_ms),
        ("email.timeout_ms", email.timeout_ms),
        ("email.connect_timeout_ms", email.connect_timeout_ms),
        ("email.text_timeout_ms", email.text_timeout_ms),
        ("sms.timeout_ms", sms.timeout_ms),
        ("breaker.failures", u64::from(breaker.failures)),
        ("breaker.window_ms", breaker.window_ms),
        ("breaker.trial_ms", breaker.trial_ms),
    ];
    if let Some((setting, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
        return Err(SetupError { setting, reason: "must be more than 0".to_owned() });
    }
    let shares = [
        ("sandbox.behaviour.error_rate", sandbox.behaviour.error_rate),
        ("sandbox.behaviour.timeout_rate", sandbox.behaviour.timeout_rate),
    ];
    match shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
        Some((setting, _)) => Err(SetupError { setting, reason: "must be 0 to 1".to_owned() }),
        None => Ok(()),
    }
}
