//! Dead letters over HTTP: listing them, and acting on them.

use crate::actors::{DeadLetterAction, DeadLetterError};
use crate::db::{DeadLetterFilter, DeadLetterPlace};
use crate::domain::{DeadLetterId, DeadLetterKind, DeadLetterState, OrderId, Role, Shard, Text, Timestamp};
use crate::http::door::body;
use crate::http::door::call::Call;
use crate::http::door::once::Once;
use crate::http::forward::route as forward;
use crate::http::wire::dead_letters::{
    ActionBody, BulkBody, BulkView, DeadLetterPage, DeadLetterView, DeadLetterWhole, FailedLetter, GroupsView,
};
use crate::http::wire::json::{At, Reader};
use crate::http::wire::problem::Problem;
use crate::http::wire::query::{Params, cursor, no_params, path_id};
use crate::http::wire::values::Place;
use actix_web::http::StatusCode;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// What the cursors of the list of letters are marked with.
const LETTERS: u8 = b'l';
/// Letters that one request acts on unless it says.
const BULK: i64 = 100;
/// Most letters that one request acts on.
const BULK_MAX: i64 = 1_000;
/// Letters a second unless the request says.
const PACE: i64 = 10;
/// Most letters a second.
const PACE_MAX: i64 = 100;
/// Longest time that one request acts; what is left is for the next.
const BULK_TIME: Duration = Duration::from_secs(25);
/// Letters that are read at a time.
const PAGE: u32 = 200;

/// Dead letters, newest first.
///
/// A request examines at most 10,000 dead letters. With a filter, a page may hold fewer than `limit`, or none, although more follow:
/// continue with `nextCursor` until there is none.
#[utoipa::path(get, operation_id = "listDeadLetters", path = "/api/v1/admin/dlq", tag = "admin", params(
        ("state" = Option<String>, Query, description = "OPEN, REPROCESSED, SKIPPED, COMPENSATED, DISCARDED, DONE, ACCEPTED or SUPERSEDED"),
        ("kind" = Option<String>, Query, description = "STEP, NOTICE, ANOMALY or MESSAGE"),
        ("cause" = Option<String>, Query), ("step" = Option<String>, Query), ("orderId" = Option<Uuid>, Query),
        ("limit" = Option<u32>, Query, description = "1 to 200, default 50"), ("cursor" = Option<String>, Query)),
    responses((status = 200, description = "a page", body = DeadLetterPage)))]
pub(crate) async fn list(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request, &["state", "kind", "cause", "step", "orderId", "limit", "cursor"]);
    let limit = params.limit();
    let filter = DeadLetterFilter {
        state: params
            .take("state", |name| DeadLetterState::from_name(name).ok_or_else(|| one_of(&DeadLetterState::ALL.map(DeadLetterState::name)))),
        kind: params
            .take("kind", |name| DeadLetterKind::from_name(name).ok_or_else(|| one_of(&DeadLetterKind::ALL.map(DeadLetterKind::name)))),
        cause: params.take("cause", |cause| Ok(cause.to_owned())),
        step: params.take("step", |step| Ok(step.to_owned())),
        order: params.uuid("orderId").map(OrderId),
        before: params.cursor::<24>(LETTERS).and_then(|bytes| {
            let (at, id) = bytes.split_first_chunk::<8>()?;
            Some((Timestamp(i64::from_be_bytes(*at)), DeadLetterId(Uuid::from_slice(id).ok()?)))
        }),
        limit,
        ..DeadLetterFilter::default()
    };
    let filter = params.done(filter)?;
    let page = call.state.handle.reads().letters(filter).await?;
    let mark = |(at, id): DeadLetterPlace| [&at.0.to_be_bytes()[..], id.0.as_bytes()].concat();
    let next_cursor = page.next.map(|place| cursor(LETTERS, &mark(place)));
    Ok(HttpResponse::Ok().json(DeadLetterPage { items: page.rows.iter().map(Into::into).collect(), next_cursor }))
}

/// Counts the open dead letters by kind, cause and step.
///
/// An overview of what is wrong.
#[utoipa::path(get, operation_id = "groupDeadLetters", path = "/api/v1/admin/dlq/groups", tag = "admin",
    responses((status = 200, description = "the groups, largest first", body = GroupsView)))]
pub(crate) async fn groups(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    let groups = call.state.handle.reads().letter_groups().await?;
    Ok(HttpResponse::Ok().json(GroupsView { groups: groups.into_iter().map(Into::into).collect() }))
}

/// Shows one dead letter with the actions on it.
///
/// What failed, why, where it came from, and who did what about it.
#[utoipa::path(get, operation_id = "showDeadLetter", path = "/api/v1/admin/dlq/{id}", tag = "admin", params(("id" = Uuid, Path)),
    responses((status = 200, description = "the dead letter", body = DeadLetterWhole), (status = 404, description = "no such dead letter")))]
pub(crate) async fn show(call: Call, request: HttpRequest) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    let id = DeadLetterId(path_id(&request)?);
    Ok(HttpResponse::Ok().json(whole(&call, id).await?))
}

async fn whole(call: &Call, id: DeadLetterId) -> Result<DeadLetterWhole, Problem> {
    let reads = call.state.handle.reads();
    let letter = reads.letter(id).await?.ok_or_else(|| Problem::not_found("there is no such dead letter"))?;
    let audit = reads.audit(id.0.to_string()).await?;
    Ok(DeadLetterWhole { letter: DeadLetterView::from(&letter), audit: audit.into_iter().map(Into::into).collect() })
}

/// Acts on one dead letter.
///
/// The audit records who decided it, and the note.
#[utoipa::path(post, operation_id = "actOnDeadLetter", path = "/api/v1/admin/dlq/{id}", tag = "admin", params(("id" = Uuid, Path)), request_body = ActionBody,
    responses((status = 200, description = "the dead letter after the action", body = DeadLetterWhole), (status = 404, description = "no such dead letter"),
        (status = 409, description = "the dead letter is closed, the action does not apply to it, or the payment provider contradicts it")))]
pub(crate) async fn act(call: Call, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    let id = DeadLetterId(path_id(&request)?);
    let bytes = body::json(&call.state, &request, payload).await?;
    let mut reader = Reader::default();
    let fields = reader.body(&bytes, &["action", "note", "override"])?;
    let decision = fields.and_then(|[action, note, overrides]| read_decision(&mut reader, action, note, overrides));
    let (action, note) = reader.errors.none_or(decision)?;
    let once = Once::of(&call, &request, &bytes)?;
    if let Some(answer) = Once::answered(once.as_ref(), &call).await? {
        return Ok(answer);
    }
    let limit = Duration::from_millis(call.state.settings.order.request_limit_ms);
    let (handle, by) = (&call.state.handle, call.caller.name.clone());
    let acted = match handle.act(id, action, by.clone(), note.clone(), limit).await {
        // Sent again under its key: the node died before it could keep the answer.
        Err(DeadLetterError::Closed) if once.is_some() && handle.has_acted(id, action, &by, note.as_ref()).await? => Ok(()),
        acted => acted,
    };
    match acted {
        Err(DeadLetterError::NotHere(role, shard)) => forward::to_shard(&call, &request, bytes, (role, shard), None).await,
        done => {
            done?;
            let view = whole(&call, id).await?;
            Ok(Once::keep(once, &call, StatusCode::OK, &view).await)
        }
    }
}

/// Acts on many open dead letters at a limited rate, or lists which ones it would act on.
///
/// An empty `filter` selects all open dead letters. A request acts for at most half a minute: repeat it for what is left.
#[utoipa::path(post, operation_id = "actOnDeadLetters", path = "/api/v1/admin/dlq", tag = "admin", request_body = BulkBody,
    responses((status = 200, description = "the result", body = BulkView)))]
pub(crate) async fn act_on_many(call: Call, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    no_params(&request)?;
    let bytes = body::json(&call.state, &request, payload).await?;
    let bulk = read_bulk(&bytes)?;
    let once = Once::of(&call, &request, &bytes)?;
    if let Some(answer) = Once::answered(once.as_ref(), &call).await? {
        return Ok(answer);
    }
    let ids = matching(&call, &bulk).await?;
    let mut view = BulkView { dry_run: bulk.dry_run, matched: ids.len(), done: 0, failed: Vec::new(), letters: Vec::new() };
    if bulk.dry_run {
        view.letters = ids.iter().map(|id| id.0).collect();
        return Ok(HttpResponse::Ok().json(view));
    }
    let end = Instant::now() + BULK_TIME;
    let limit = Duration::from_millis(call.state.settings.order.request_limit_ms);
    let mut pace = tokio::time::interval(bulk.pace);
    for id in ids {
        pace.tick().await;
        if Instant::now() >= end || call.state.is_draining() {
            break;
        }
        let done = match call.state.handle.act(id, bulk.action, call.caller.name.clone(), bulk.note.clone(), limit).await {
            Err(DeadLetterError::NotHere(role, shard)) => act_elsewhere(&call, &request, id, &bulk, (role, shard)).await,
            done => done.map_err(|error| error.to_string()),
        };
        match done {
            Ok(()) => view.done += 1,
            Err(detail) => view.failed.push(FailedLetter { letter_id: id.0, detail }),
        }
    }
    Ok(Once::keep(once, &call, StatusCode::OK, &view).await)
}

/// Has the owner of a letter's order do the same about this one letter.
async fn act_elsewhere(call: &Call, request: &HttpRequest, id: DeadLetterId, bulk: &Bulk, owner: (Role, Shard)) -> Result<(), String> {
    let action = action_name(bulk.action);
    let mut body = serde_json::Map::from_iter([("action".to_owned(), action.into())]);
    if let Some(note) = &bulk.note {
        body.insert("note".to_owned(), note.as_str().into());
    }
    if bulk.action == (DeadLetterAction::Done { overrules: true }) {
        body.insert("override".to_owned(), true.into());
    }
    let path = format!("/api/v1/admin/dlq/{}", id.0);
    let body = serde_json::Value::Object(body).to_string();
    let answer = forward::to_shard(call, request, body.into(), owner, Some(&path)).await;
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("the node that owns the order answers {}", answer.status().as_u16())),
        Err(problem) => Err(problem.to_string()),
    }
}

struct Bulk {
    action: DeadLetterAction,
    note: Option<Text<200>>,
    filter: DeadLetterFilter,
    limit: usize,
    pace: Duration,
    dry_run: bool,
}

async fn matching(call: &Call, bulk: &Bulk) -> Result<Vec<DeadLetterId>, Problem> {
    let mut ids = Vec::new();
    let mut filter = bulk.filter.clone();
    while ids.len() < bulk.limit {
        let page = call.state.handle.reads().letters(filter.clone()).await?;
        ids.extend(page.rows.iter().map(|letter| letter.id));
        filter.before = page.next;
        if page.next.is_none() {
            break;
        }
    }
    ids.truncate(bulk.limit);
    Ok(ids)
}

fn read_bulk(bytes: &[u8]) -> Result<Bulk, Problem> {
    let mut reader = Reader::default();
    let fields = reader.body(bytes, &["action", "note", "override", "filter", "limit", "perSecond", "dryRun"])?;
    let bulk = fields.and_then(|[action, note, overrides, filter, limit, per_second, dry_run]| {
        let at = |name| At::Field(&At::Root, name);
        let decision = read_decision(&mut reader, action, note, overrides);
        let limit = bounded(&mut reader, limit, &at("limit"), BULK, BULK_MAX);
        let per_second = bounded(&mut reader, per_second, &at("perSecond"), PACE, PACE_MAX);
        let dry_run = dry_run.map_or(Some(false), |raw| reader.flag(raw, &at("dryRun")));
        let filter = reader.required(filter, &at("filter")).and_then(|raw| read_filter(&mut reader, raw, &at("filter")));
        let ((action, note), filter) = (decision?, filter?);
        let pace = Duration::from_secs(1) / u32::try_from(per_second?).ok()?;
        Some(Bulk { action, note, filter, limit: usize::try_from(limit?).ok()?, pace, dry_run: dry_run? })
    });
    reader.errors.none_or(bulk)
}

/// An empty filter means all open letters; it must be written.
fn read_filter(reader: &mut Reader, raw: &str, at_filter: &At<'_>) -> Option<DeadLetterFilter> {
    let [kind, cause, step, order] = reader.object(raw, &["kind", "cause", "step", "orderId"], at_filter)?;
    let at = |name| At::Field(at_filter, name);
    let kind = kind.and_then(|raw| {
        let kind = reader.string(raw, &at("kind")).map(|name| DeadLetterKind::from_name(&name))?;
        if kind.is_none() {
            reader.fail(&at("kind"), one_of(&DeadLetterKind::ALL.map(DeadLetterKind::name)));
        }
        kind
    });
    let cause = cause.and_then(|raw| reader.text::<64>(raw, &at("cause"))).map(|cause| cause.to_string());
    let step = step.and_then(|raw| reader.text::<64>(raw, &at("step"))).map(|step| step.to_string());
    let order = order.and_then(|raw| reader.uuid(raw, &at("orderId"))).map(OrderId);
    let state = Some(DeadLetterState::Open);
    Some(DeadLetterFilter { state, kind, cause, step, order, limit: PAGE, ..DeadLetterFilter::default() })
}

fn read_decision(
    reader: &mut Reader,
    action: Option<&str>,
    note: Option<&str>,
    overrides: Option<&str>,
) -> Option<(DeadLetterAction, Option<Text<200>>)> {
    let at = |name| At::Field(&At::Root, name);
    let name = reader.required(action, &at("action")).and_then(|raw| reader.string(raw, &at("action")));
    let action = name.as_deref().and_then(action_of);
    if name.is_some() && action.is_none() {
        reader.fail(&at("action"), one_of(&["reprocess", "skip", "compensate", "discard", "done", "accept"]));
    }
    let note = match note {
        None if matches!(action, Some(DeadLetterAction::Done { .. })) => {
            reader.fail(&at("note"), "is required: say what was done, and where".to_owned());
            None
        }
        note => note.and_then(|raw| reader.text(raw, &at("note"))),
    };
    let overrides = overrides.map_or(Some(false), |raw| reader.flag(raw, &at("override")));
    match (action?, overrides?) {
        (DeadLetterAction::Done { .. }, overrules) => Some((DeadLetterAction::Done { overrules }, note)),
        (action, false) => Some((action, note)),
        (_, true) => {
            reader.fail(&at("override"), "is allowed only with done".to_owned());
            None
        }
    }
}

fn action_name(action: DeadLetterAction) -> &'static str {
    match action {
        DeadLetterAction::Reprocess => "reprocess",
        DeadLetterAction::Skip => "skip",
        DeadLetterAction::Compensate => "compensate",
        DeadLetterAction::Discard => "discard",
        DeadLetterAction::Done { .. } => "done",
        DeadLetterAction::Accept => "accept",
    }
}

fn action_of(name: &str) -> Option<DeadLetterAction> {
    match name {
        "reprocess" => Some(DeadLetterAction::Reprocess),
        "skip" => Some(DeadLetterAction::Skip),
        "compensate" => Some(DeadLetterAction::Compensate),
        "discard" => Some(DeadLetterAction::Discard),
        "done" => Some(DeadLetterAction::Done { overrules: false }),
        "accept" => Some(DeadLetterAction::Accept),
        _ => None,
    }
}

fn bounded(reader: &mut Reader, raw: Option<&str>, at: &At<'_>, default: i64, most: i64) -> Option<i64> {
    let Some(raw) = raw else { return Some(default) };
    let number = reader.integer(raw, at)?;
    if !(1..=most).contains(&number) {
        reader.errors.add(Place::Body, at.pointer(), format!("must be 1 to {most}"));
        return None;
    }
    Some(number)
}

fn one_of(names: &[&str]) -> String {
    format!("must be one of {}", names.join(", "))
}
