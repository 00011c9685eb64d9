//! The real providers that are reached over HTTP.

use super::wire::{Answer, BookedBody, BooksBody, CORRELATION_HEADER, ChargeBody, KEY_HEADER, MessageBody, RefundBody, Status, of_number};
use super::{Charge, ChargeKey, ChargeRequest, Found, PaymentProvider, Sms, Texter, Voided};
use crate::config::providers::{PaymentSettings, Secret, SmsSettings};
use crate::domain::{BookedCharge, CorrelationId, Money, PaymentStatus, Text};
use crate::providers::call::{Call, ProviderError, SetupError, error_chain};
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use std::time::Duration;

/// The longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Charges per page of the provider's books.
const BOOKS_PAGE: usize = 10_000;
/// The longest page of the books, in bytes.
const MAX_BOOKS_BYTES: usize = 8 * 1024 * 1024;

/// A payment provider at a URL.
#[derive(Clone, Debug)]
pub struct HttpPayment(Endpoint);

/// An SMS provider at a URL.
#[derive(Clone, Debug)]
pub struct HttpTexter(Endpoint);

impl HttpPayment {
    /// Creates the provider from the settings; it connects when it is first called.
    ///
    /// # Errors
    /// The URL is invalid, or TLS cannot be set up.
    pub fn new(settings: &PaymentSettings) -> Result<Self, SetupError> {
        Endpoint::new("payment.url", &settings.url, settings.timeout_ms, settings.api_key.clone()).map(Self)
    }
}

impl HttpTexter {
    /// Creates the provider from the settings; it connects when it is first called.
    ///
    /// # Errors
    /// The URL is invalid, or TLS cannot be set up.
    pub fn new(settings: &SmsSettings) -> Result<Self, SetupError> {
        Endpoint::new("sms.url", &settings.url, settings.timeout_ms, settings.api_key.clone()).map(Self)
    }
}

impl HttpPayment {
    /// Reads the provider's complete books.
    ///
    /// # Errors
    /// The provider cannot be reached, or its answer cannot be understood.
    pub async fn books(&self) -> Result<Vec<BookedCharge>, ProviderError> {
        let mut booked = Vec::new();
        let mut after = None::<ChargeKey>;
        loop {
            let from = after.map(|key| format!("&after={key}")).unwrap_or_default();
            let call = self.0.request_part(Method::GET, "charges", Some(&format!("limit={BOOKS_PAGE}{from}")));
            let response = call.send().await.map_err(|error| ProviderError::failed(error_chain(&error.without_url())))?;
            let number = response.status().as_u16();
            let body = read(response, MAX_BOOKS_BYTES).await?;
            let page: BooksBody = serde_json::from_slice(&body).map_err(|_| of_number(number))?;
            for line in page.charges {
                booked.push(booked_charge(&line)?);
            }
            match page.next {
                // A key, or no good: it goes into an address.
                Some(next) => {
                    after = Some(next.parse::<ChargeKey>().map_err(|_| ProviderError::failed("the provider's next page has no key"))?)
                }
                None => return Ok(booked),
            }
        }
    }
}

fn booked_charge(line: &BookedBody) -> Result<BookedCharge, ProviderError> {
    let wrong = |what: &str| ProviderError::failed(format!("the provider's books: {what} of {:?} is not understood", line.key));
    let key: ChargeKey = line.key.parse().map_err(|_| wrong("the key"))?;
    let amount = line.amount.parse().map_err(|_| wrong("the amount"))?;
    let status = match line.status {
        Status::Approved => PaymentStatus::Charged,
        Status::Declined => PaymentStatus::Failed,
        Status::Voided => PaymentStatus::Cancelled,
        Status::Refunded => PaymentStatus::Refunded,
        Status::AlreadyCharged | Status::NotFound | Status::Sent | Status::Rejected | Status::Failed | Status::Unknown => {
            return Err(wrong("the status"));
        }
    };
    Ok(BookedCharge { order: key.order, attempt: key.attempt, amount, status, payouts: line.payouts })
}

impl PaymentProvider for HttpPayment {
    fn charge(&self, request: ChargeRequest) -> Call<Charge> {
        let body = ChargeBody { amount: request.amount.to_string(), method: request.method.to_string() };
        let call = self.0.request(Method::POST, "charges").header(KEY_HEADER, request.key.to_string());
        let call = followed(call, request.correlation).json(&body);
        Box::pin(async move {
            let answer = ask(call).await?;
            match answer.status {
                Status::Approved => Ok(Charge::Approved),
                Status::Declined => Ok(Charge::Declined { reason: reason_of(&answer) }),
                Status::Refunded | Status::Voided | Status::AlreadyCharged | Status::NotFound | Status::Sent => Err(answer.into_error()),
                Status::Rejected | Status::Failed | Status::Unknown => Err(answer.into_error()),
            }
        })
    }

    fn find(&self, key: ChargeKey) -> Call<Found> {
        let call = self.0.request(Method::GET, &format!("charges/{key}"));
        Box::pin(async move {
            let answer = ask(call).await?;
            match answer.status {
                Status::Approved => Ok(Found::Approved { refunded: false }),
                Status::Refunded => Ok(Found::Approved { refunded: true }),
                Status::Declined => Ok(Found::Declined { reason: reason_of(&answer) }),
                Status::Voided => Ok(Found::Voided),
                Status::NotFound => Ok(Found::NotFound),
                Status::AlreadyCharged | Status::Sent => Err(answer.into_error()),
                Status::Rejected | Status::Failed | Status::Unknown => Err(answer.into_error()),
            }
        })
    }

    fn void(&self, key: ChargeKey) -> Call<Voided> {
        let call = self.0.request(Method::POST, &format!("charges/{key}/void")).header(KEY_HEADER, format!("{key}:void"));
        Box::pin(async move {
            let answer = ask(call).await?;
            match answer.status {
                Status::Voided => Ok(Voided::Voided),
                Status::AlreadyCharged => Ok(Voided::AlreadyCharged),
                Status::Approved | Status::Declined | Status::Refunded | Status::NotFound | Status::Sent => Err(answer.into_error()),
                Status::Rejected | Status::Failed | Status::Unknown => Err(answer.into_error()),
            }
        })
    }

    fn refund(&self, key: ChargeKey, amount: Money) -> Call<()> {
        let body = RefundBody { amount: amount.to_string() };
        let call = self.0.request(Method::POST, &format!("charges/{key}/refund"));
        let call = call.header(KEY_HEADER, format!("{key}:refund")).json(&body);
        Box::pin(async move { expect(ask(call).await?, Status::Refunded) })
    }
}

impl Texter for HttpTexter {
    fn send(&self, sms: Sms) -> Call<()> {
        let to = sms.to.to_string();
        let body = MessageBody { to: to.clone(), body: sms.body };
        let call = self.0.request(Method::POST, "messages").header(KEY_HEADER, sms.id.to_string());
        let call = followed(call, sms.correlation).json(&body);
        Box::pin(async move {
            let answer = ask(call).await.and_then(|answer| expect(answer, Status::Sent));
            answer.map_err(|error| error.without(&[&to]))
        })
    }
}

/// A provider's address, credentials and connections.
#[derive(Clone, Debug)]
struct Endpoint {
    client: Client,
    base: Url,
    api_key: Option<Secret>,
}

impl Endpoint {
    fn new(setting: &'static str, url: &str, timeout_ms: u64, api_key: Option<Secret>) -> Result<Self, SetupError> {
        let refuse = |reason: String| SetupError { setting, reason };
        let base: Url = url.trim_end_matches('/').parse().map_err(|error| refuse(format!("{error}")))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(refuse("is not an http or https address".to_owned()));
        }
        crate::providers::call::install_tls();
        // A line that cannot be made in half the time leaves it certain, before the caller's timeout, that nothing was sent.
        let connect_timeout = Duration::from_millis(timeout_ms / 2);
        let client = Client::builder().connect_timeout(connect_timeout).redirect(reqwest::redirect::Policy::none()).build();
        Ok(Self { client: client.map_err(|error| refuse(error_chain(&error)))?, base, api_key })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_part(method, path, None)
    }

    fn request_part(&self, method: Method, path: &str, query: Option<&str>) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        if query.is_some() {
            url.set_query(query);
        }
        let request = self.client.request(method, url);
        match &self.api_key {
            Some(key) => request.bearer_auth(key.expose()),
            None => request,
        }
    }
}

/// Tells the provider which request the call follows from, and where it stands in its trace.
fn followed(call: RequestBuilder, correlation: CorrelationId) -> RequestBuilder {
    let call = call.header(CORRELATION_HEADER, correlation.to_string());
    match correlation.trace() {
        Some(trace) => call.header("traceparent", trace.to_string()),
        None => call,
    }
}

async fn ask(call: RequestBuilder) -> Result<Answer, ProviderError> {
    let response = call.send().await.map_err(|error| {
        let unsent = error.is_connect() || error.is_builder();
        let reason = error_chain(&error.without_url());
        if unsent { ProviderError::failed(reason).away() } else { ProviderError::unknown(reason).away() }
    })?;
    let number = response.status().as_u16();
    let body = read(response, MAX_ANSWER_BYTES).await?;
    serde_json::from_slice(&body).map_err(|_| of_number(number))
}

async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, ProviderError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| ProviderError::unknown(error_chain(&error.without_url())).away())? {
        body.extend_from_slice(&chunk);
        if body.len() > most {
            return Err(ProviderError::unknown("the answer is too long"));
        }
    }
    Ok(body)
}

fn expect(answer: Answer, wanted: Status) -> Result<(), ProviderError> {
    if answer.status == wanted { Ok(()) } else { Err(answer.into_error()) }
}

fn reason_of(answer: &Answer) -> Text<200> {
    Text::lossy(answer.reason.as_deref().unwrap_or("declined"))
}
