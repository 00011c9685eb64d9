//! Starts the HTTP server on a socket that is already bound; who starts it owns signals and the order of the stop.

use super::{open_files, routes};
use crate::http::door::state::{HttpState, ServeError};
use actix_web::dev::{Server, ServerHandle};
use actix_web::{App, HttpServer};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// Serves on `listener`; the server works while the returned future is polled, and ends by the handle.
///
/// # Errors
/// See [`ServeError`].
pub fn serve(listener: TcpListener, state: Arc<HttpState>) -> Result<(Server, ServerHandle), ServeError> {
    let address = listener.local_addr()?;
    if !state.access.has_keys() && !address.ip().is_loopback() {
        return Err(ServeError::Open(address));
    }
    if !state.access.has_keys() {
        tracing::warn!("no access keys are set: only this machine can reach the node, and may do everything");
    }
    let settings = state.settings.clone();
    let server = &settings.server;
    let workers = server.worker_count();
    let built = HttpServer::new(move || App::new().configure(|config| routes::configure(config, &state)))
        .workers(workers)
        // Events of a live stream are small and must not wait for the client's acknowledgement of the last one.
        .tcp_nodelay(true)
        .max_connections(open_files::connections(server.max_connections).div_ceil(workers))
        .keep_alive(Duration::from_millis(server.keep_alive_ms))
        .client_request_timeout(Duration::from_millis(server.header_timeout_ms))
        .client_disconnect_timeout(Duration::from_millis(server.disconnect_timeout_ms))
        .shutdown_timeout(server.shutdown_timeout_ms.div_ceil(1000))
        .disable_signals()
        .listen(listener)?
        .run();
    let handle = built.handle();
    Ok((built, handle))
}
