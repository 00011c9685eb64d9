//! Names of attributes: stable semantic conventions of OpenTelemetry (HTTP, database, errors, services), and our own. Those of messaging,
//! which are not stable yet, are in [`messaging`](super::messaging).

/// The conventions' version.
pub const SCHEMA: &str = "https://opentelemetry.io/schemas/1.30.0";

/// The program's name in the system.
pub const SERVICE: &str = "service.name";
/// Its version.
pub const SERVICE_VERSION: &str = "service.version";
/// Which of its processes.
pub const SERVICE_INSTANCE: &str = "service.instance.id";

/// The request's method.
pub const HTTP_METHOD: &str = "http.request.method";
/// The answer's status.
pub const HTTP_STATUS: &str = "http.response.status_code";
/// The route, with names for what differs.
pub const HTTP_ROUTE: &str = "http.route";
/// The request's path.
pub const URL_PATH: &str = "url.path";
/// The request's scheme.
pub const URL_SCHEME: &str = "url.scheme";

/// Which kind of database.
pub const DATABASE: &str = "db.system.name";
/// What was asked of it.
pub const DATABASE_OPERATION: &str = "db.operation.name";
/// How many writes were in it.
pub const DATABASE_BATCH: &str = "db.operation.batch.size";

/// What kind of error it was.
pub const ERROR: &str = "error.type";

/// The order.
pub const ORDER: &str = "order.id";
/// The `X-Correlation-Id` of the request that placed the order, or of this one.
pub const CORRELATION: &str = "correlation.id";
/// The event that a step made true.
pub const EVENT: &str = "order.event";
/// The role that does it.
pub const ROLE: &str = "order.role";
/// The order's status.
pub const STATUS: &str = "order.status";
/// Why a trace that was not sampled is told all the same: `slow`, `parked` or `failed`.
pub const TOLD_FOR: &str = "order.told_for";
/// Which provider is called.
pub const PROVIDER: &str = "provider.name";
