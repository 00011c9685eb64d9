//! PgBouncer before the server.

use crate::sample;
use crate::server::{self, Database};
use ordermill::db::Store as _;
use ordermill::db::postgres::{PgOptions, PgReads, PgStore};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use tokio::runtime::Handle;

/// A PgBouncer of this test's own.
struct Pooler {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Pooler {
    async fn start(mode: &str) -> Self {
        let server = server::server();
        let config: tokio_postgres::Config = server.parse().unwrap();
        let password = String::from_utf8(config.get_password().unwrap().to_vec()).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("users.txt");
        std::fs::write(&users, format!("\"postgres\" \"{password}\"\n")).unwrap();
        let settings = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = plain\nauth_file = {}\npool_mode = {mode}\nserver_reset_query = DISCARD ALL\nmax_client_conn = 100\n",
            config.get_ports()[0],
            users.display()
        );
        std::fs::write(&settings, text).unwrap();
        // It refuses to run as root.
        for (path, mode) in [(folder.path().to_path_buf(), 0o755), (users, 0o644), (settings.clone(), 0o644)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        let mut command = Command::new("pgbouncer");
        if is_root {
            command.args(["-u", "postgres"]);
        }
        let spawned = command.arg(&settings).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = spawned.unwrap_or_else(|error| panic!("this test needs pgbouncer (apt-get install pgbouncer): {error}"));
        let mut pooler = Self { child, port, _folder: folder };
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(pooler.child.try_wait().unwrap().is_none(), "pgbouncer has ended");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        pooler
    }

    fn options(&self, database: &Database) -> PgOptions {
        let url = database.url();
        let (handle, _) = url.rsplit_once('@').unwrap();
        PgOptions::new(&format!("{handle}@127.0.0.1:{}/{}?sslmode=disable", self.port, database.name), sample::shards()).unwrap()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_transaction_mode_is_refused_and_one_in_session_mode_serves() {
    let database = Database::missing("pooled");
    drop(PgStore::open(crate::options(&database), Handle::current()).await.unwrap());
    let pooler = Pooler::start("transaction").await;
    let told = PgStore::open(pooler.options(&database), Handle::current()).await.err().unwrap().to_string();
    assert!(told.contains("pool_mode = session"), "{told}");
    let told = PgReads::open(pooler.options(&database), Handle::current()).await.err().unwrap().to_string();
    assert!(told.contains("pool_mode = session"), "{told}");
    drop(pooler);
    let pooler = Pooler::start("session").await;
    let mut desk = crate::Desk::at(pooler.options(&database), 60_000).await;
    desk.commit(vec![sample::place(&sample::order(1))]).await.unwrap();
    let reads = PgReads::open(pooler.options(&database), Handle::current()).await.unwrap();
    assert!(ordermill::db::Reads::order(&reads, sample::order(1).id).await.unwrap().is_some());
    desk.store.end_writer(desk.writer.writer).await.unwrap();
}
