//! Starts the HTTP server on a socket that is already bound; who starts it owns signals and the order of the stop.

use super::offers::Overlooking;
use super::{open_files, routes};
use crate::http::door::prefix;
use crate::http::door::state::{HttpState, ServeError};
use actix_http::{HttpService, Protocol, Request, Response};
use actix_rt::net::TcpStream;
use actix_service::{IntoServiceFactory as _, Service as _, ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config};
use actix_web::App;
use actix_web::dev::{AppConfig, Server, ServerHandle};
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// The library's clock goes in steps of that: a connection would be closed so much too early.
const CLOCK_STEP: Duration = Duration::from_millis(500);

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
    let (keep_alive, header_timeout, disconnect_timeout) = (
        Duration::from_millis(server.keep_alive_ms) + CLOCK_STEP,
        Duration::from_millis(server.header_timeout_ms),
        Duration::from_millis(server.disconnect_timeout_ms),
    );
    let builder = Server::build()
        .workers(workers)
        .max_concurrent_connections(open_files::connections(server.max_connections).div_ceil(workers))
        .shutdown_timeout(server.shutdown_timeout_ms.div_ceil(1000))
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    // As `actix_web::HttpServer` does it, which gives no hand in what is read.
    let service = move || {
        let (state, stopping) = (state.clone(), stopping.clone());
        let base = state.settings.server.prefix();
        let app = App::new().configure(move |config| routes::configure(config, &state));
        let app = app.into_factory().map_err(|error: actix_web::Error| -> Response<_> { error.error_response().into() });
        // Before a route is looked for: a proxy may leave the path as the client has sent it.
        let app = apply_fn_factory(map_config(app, |()| AppConfig::default()), move |mut request: Request, app| {
            if !base.is_empty()
                && let Some(uri) = prefix::without(&base, request.uri())
            {
                request.head_mut().uri = uri;
            }
            app.call(request)
        });
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(keep_alive)
            .client_request_timeout(header_timeout)
            .client_disconnect_timeout(disconnect_timeout)
            .h1_allow_half_closed(true)
            .local_addr(address)
            .finish(app);
        fn_service(|stream: TcpStream| async move {
            // Events of a live stream are small and must not wait for the client's acknowledgement of the last one.
            drop(stream.set_nodelay(true));
            let peer = stream.peer_addr().ok();
            Ok::<_, Infallible>((Overlooking::new(stream), Protocol::Http1, peer))
        })
        .map_err(|never| match never {})
        .and_then(http)
    };
    let built = builder.listen("http", listener, service)?.run();
    let handle = built.handle();
    Ok((built, handle))
}
