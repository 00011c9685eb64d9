//! Payment and SMS over HTTP, as [`wire`](crate::providers::wire) describes.

use crate::domain::{CorrelationId, Money, NoticeId, Text};
use crate::providers::call::ProviderError;
use crate::providers::sandbox::{ChargeAudit, ChargeState, Keyed, SandboxControl, SandboxPayment, SandboxTexter};
use crate::providers::wire::{Answer, BookedBody, BooksBody, CORRELATION_HEADER, ChargeBody, KEY_HEADER, MessageBody, RefundBody, Status};
use crate::providers::{Charge, ChargeKey, ChargeRequest, Found, PaymentProvider, Sms, Texter, Voided};
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::future::{Either, select};
use serde::Deserialize;
use std::future::Future;
use std::net::TcpListener;
use std::pin::pin;
use std::str::FromStr;
use uuid::Uuid;

/// Worker threads.
const WORKERS: usize = 2;
/// The longest request body, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// Most charges of the books in one answer.
const MAX_BOOKS_PAGE: usize = 10_000;
/// How long calls in progress get at the end, in seconds; a call that is meant never to be answered would take longer.
const DRAIN_S: u64 = 1;

/// Serves `listener` until `shutdown`.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve_http(listener: TcpListener, sandbox: SandboxControl, shutdown: impl Future<Output = ()>) -> std::io::Result<()> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(sandbox.payment()))
            .app_data(web::Data::new(sandbox.texter()))
            .app_data(web::JsonConfig::default().limit(MAX_BODY_BYTES))
            .route("/charges", web::post().to(charge))
            .route("/charges", web::get().to(books))
            .route("/charges/{key}", web::get().to(find))
            .route("/charges/{key}/void", web::post().to(void))
            .route("/charges/{key}/refund", web::post().to(refund))
            .route("/messages", web::post().to(message))
    });
    let server = server.workers(WORKERS).disable_signals().shutdown_timeout(DRAIN_S).listen(listener)?.run();
    let handle = server.handle();
    match select(server, pin!(shutdown)).await {
        Either::Left((ended, _)) => ended,
        Either::Right(((), server)) => {
            let ((), ended) = tokio::join!(handle.stop(true), server);
            ended
        }
    }
}

async fn charge(request: HttpRequest, body: web::Json<ChargeBody>, payment: web::Data<SandboxPayment>) -> HttpResponse {
    respond(charged(&request, &body, &payment).await)
}

async fn charged(request: &HttpRequest, body: &ChargeBody, payment: &SandboxPayment) -> Result<Answer, ProviderError> {
    let key = parse(KEY_HEADER, header(request, KEY_HEADER))?;
    let method = Text::new(&body.method).map_err(|error| ProviderError::rejected(format!("method: {error}")))?;
    let charge = ChargeRequest { key, amount: parse("amount", &body.amount)?, method, correlation: correlation(request) };
    Ok(match payment.charge(charge).await? {
        Charge::Approved => Answer::plain(Status::Approved),
        Charge::Declined { reason } => declined(&reason),
    })
}

async fn find(key: web::Path<String>, payment: web::Data<SandboxPayment>) -> HttpResponse {
    respond(found(&key, &payment).await)
}

async fn found(key: &str, payment: &SandboxPayment) -> Result<Answer, ProviderError> {
    Ok(match payment.find(parse("key", key)?).await? {
        Found::Approved { refunded: false } => Answer::plain(Status::Approved),
        Found::Approved { refunded: true } => Answer::plain(Status::Refunded),
        Found::Declined { reason } => declined(&reason),
        Found::Voided => Answer::plain(Status::Voided),
        Found::NotFound => Answer::plain(Status::NotFound),
    })
}

async fn void(key: web::Path<String>, payment: web::Data<SandboxPayment>) -> HttpResponse {
    respond(voided(&key, &payment).await)
}

async fn voided(key: &str, payment: &SandboxPayment) -> Result<Answer, ProviderError> {
    Ok(match payment.void(parse("key", key)?).await? {
        Voided::Voided => Answer::plain(Status::Voided),
        Voided::AlreadyCharged => Answer::plain(Status::AlreadyCharged),
    })
}

async fn refund(
    request: HttpRequest,
    key: web::Path<String>,
    body: web::Json<RefundBody>,
    payment: web::Data<SandboxPayment>,
) -> HttpResponse {
    let keyed = if header(&request, KEY_HEADER).is_empty() { Keyed::No } else { Keyed::Yes };
    respond(refunded(&key, &body, keyed, &payment).await)
}

async fn refunded(key: &str, body: &RefundBody, keyed: Keyed, payment: &SandboxPayment) -> Result<Answer, ProviderError> {
    let (key, amount): (ChargeKey, Money) = (parse("key", key)?, parse("amount", &body.amount)?);
    payment.refund_as(key, amount, keyed).await.map(|()| Answer::plain(Status::Refunded))
}

/// The part of the books to show.
#[derive(Deserialize)]
struct BooksQuery {
    after: Option<String>,
    limit: Option<usize>,
}

/// The books, by key, as they are: without faults or magic.
async fn books(query: web::Query<BooksQuery>, payment: web::Data<SandboxPayment>) -> HttpResponse {
    let after = match query.after.as_deref().map(|key| parse::<ChargeKey>("after", key)).transpose() {
        Ok(after) => after,
        Err(error) => return respond(Err(error)),
    };
    let limit = query.limit.unwrap_or(MAX_BOOKS_PAGE).clamp(1, MAX_BOOKS_PAGE);
    let mut page: Vec<ChargeAudit> =
        payment.charges().into_iter().filter(|charge| after.is_none_or(|after| charge.key > after)).take(limit + 1).collect();
    let has_more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| has_more).map(|charge| charge.key.to_string());
    let charges = page.iter().map(booked).collect();
    HttpResponse::Ok().json(BooksBody { charges, next })
}

fn booked(charge: &ChargeAudit) -> BookedBody {
    let status = match charge.state {
        ChargeState::Approved => Status::Approved,
        ChargeState::Declined => Status::Declined,
        ChargeState::Voided => Status::Voided,
        ChargeState::Refunded | ChargeState::RefundedUncharged => Status::Refunded,
    };
    BookedBody { key: charge.key.to_string(), amount: charge.amount.to_string(), status, payouts: u32::from(charge.payouts) }
}

async fn message(request: HttpRequest, body: web::Json<MessageBody>, texter: web::Data<SandboxTexter>) -> HttpResponse {
    respond(sent(&request, body.into_inner(), &texter).await)
}

async fn sent(request: &HttpRequest, body: MessageBody, texter: &SandboxTexter) -> Result<Answer, ProviderError> {
    let id: NoticeId = parse(KEY_HEADER, header(request, KEY_HEADER))?;
    let to = Text::new(&body.to).map_err(|error| ProviderError::rejected(format!("to: {error}")))?;
    let sms = Sms { id, to, body: body.body, correlation: correlation(request) };
    texter.send(sms).await.map(|()| Answer::plain(Status::Sent))
}

fn respond(outcome: Result<Answer, ProviderError>) -> HttpResponse {
    let answer = outcome.unwrap_or_else(Answer::of_error);
    let number = StatusCode::from_u16(answer.number()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(number).json(answer)
}

fn declined(reason: &Text<200>) -> Answer {
    Answer { status: Status::Declined, reason: Some(reason.to_string()) }
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn correlation(request: &HttpRequest) -> CorrelationId {
    header(request, CORRELATION_HEADER).parse().unwrap_or(CorrelationId::of(Uuid::nil()))
}

fn parse<T: FromStr<Err: std::fmt::Display>>(name: &str, text: &str) -> Result<T, ProviderError> {
    text.parse().map_err(|error| ProviderError::rejected(format!("{name}: {error}")))
}
