//! One connection to one host: the socket, TLS, and what kind of server it must be.

use super::codes::{Coded, CodedTls, Expects};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Why there is no connection.
pub(super) enum Undialled {
    /// The server says so, or the line broke.
    Refused(Error),
    /// There is nobody, or not whom we look for; the text tells.
    Unreachable(String),
}

impl From<Error> for Undialled {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Connects to the one host of `config`. The connection's task lives on the runtime that this is awaited on.
pub(super) async fn dial(config: &Config, database: &str, tls: &MakeRustlsConnect, silence: Duration) -> Result<Client, Undialled> {
    let mut config = config.clone();
    config.dbname(database);
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let place =
        |what: &str, error: &io::Error| Undialled::Unreachable(format!("{what}: {error}; is the server running, and reachable from here?"));
    let (name, address) = match (config.get_hosts().first(), config.get_hostaddrs().first()) {
        (Some(Host::Unix(folder)), _) => {
            let path = folder.join(format!(".s.PGSQL.{port}"));
            let stream = unix(&path).await.map_err(|error| place(&path.display().to_string(), &error))?;
            // Nobody listens on this machine's own sockets.
            config.ssl_mode(SslMode::Disable);
            return handshake(&config, stream, "localhost", tls).await;
        }
        (Some(Host::Tcp(name)), address) => (name.clone(), address.copied()),
        (None, Some(address)) => (address.to_string(), Some(*address)),
        (None, None) => return Err(Undialled::Unreachable("the address of the database names no host".to_owned())),
    };
    let stream = tcp(&name, address, port, silence).await.map_err(|error| place(&format!("{name}:{port}"), &error))?;
    handshake(&config, stream, &name, tls).await
}

async fn unix(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

/// The first of a name's addresses that takes a connection.
async fn tcp(name: &str, address: Option<std::net::IpAddr>, port: u16, silence: Duration) -> io::Result<TcpStream> {
    let stream = match address {
        Some(address) => TcpStream::connect(SocketAddr::new(address, port)).await?,
        None => TcpStream::connect((name, port)).await?,
    };
    stream.set_nodelay(true)?;
    // A server that is gone without a word is noticed.
    rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
    rustix::net::sockopt::set_tcp_keepidle(&stream, (silence / 2).max(Duration::from_secs(1)))?;
    rustix::net::sockopt::set_tcp_keepintvl(&stream, (silence / 4).max(Duration::from_secs(1)))?;
    rustix::net::sockopt::set_tcp_keepcnt(&stream, 2)?;
    rustix::net::sockopt::set_tcp_user_timeout(&stream, u32::try_from(silence.as_millis()).unwrap_or(u32::MAX))?;
    Ok(stream)
}

async fn handshake<S>(config: &Config, stream: S, name: &str, tls: &MakeRustlsConnect) -> Result<Client, Undialled>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let expects = if config.get_ssl_mode() == SslMode::Disable { Expects::Messages } else { Expects::Answer };
    let stream = Coded::new(stream, expects);
    let mut tls = tls.clone();
    let connector = <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Coded<S>>>::make_tls_connect(&mut tls, name);
    let connector = connector.map_err(|error| Undialled::Unreachable(format!("{name}: TLS: {error}")))?;
    let (client, connection) = config.connect_raw(stream, CodedTls(connector)).await?;
    // It ends with the client; what went wrong the client's own questions tell.
    tokio::spawn(async move { drop(connection.await) });
    let attributes = config.get_target_session_attrs();
    let wanted = if attributes == TargetSessionAttrs::ReadWrite {
        "off"
    } else if attributes == TargetSessionAttrs::ReadOnly {
        "on"
    } else {
        return Ok(client);
    };
    let said = client.simple_query("SHOW transaction_read_only").await?;
    let is = said.iter().find_map(|message| if let SimpleQueryMessage::Row(row) = message { row.get(0) } else { None });
    if is == Some(wanted) {
        return Ok(client);
    }
    Err(Undialled::Unreachable(format!(
        "{name}: the server is {} (target_session_attrs)",
        if wanted == "off" { "read-only" } else { "not read-only" }
    )))
}
