//! Databases: tokio-postgres over our own sockets and over tokio's, and redis, against real servers.

use std::sync::OnceLock;
use std::time::Duration;

use redis::AsyncCommands;
use tokio_postgres::{Config, NoTls};
use twoply::net::TcpStream;
use twoply::{Wait, spawn};
use twoply_integrations::Server;
use twoply_tests::{Kind, Systems, facade};

/// The port of the server of each kind, while its test runs.
static PORTS: [OnceLock<u16>; 2] = [const { OnceLock::new() }; 2];
const POSTGRES: usize = 0;
const REDIS: usize = 1;

/// A law and its name.
type Law = (&'static str, fn(&Systems));

/// Checks laws on all systems, with a server that lasts as long as they do.
fn check(index: usize, server: std::io::Result<Option<Server>>, laws: &[Law]) {
    let Some(server) = server.expect("a server that is installed starts") else { return };
    PORTS[index].set(server.port).unwrap();
    for (name, law) in laws {
        for kind in [Kind::Native, Kind::Green1, Kind::Green2, Kind::Fibers1, Kind::Fibers2] {
            Systems::check(name, kind, *law);
        }
    }
}

fn port(index: usize) -> u16 {
    *PORTS[index].get().expect("the server runs")
}

#[test]
fn postgres_answers() {
    let laws: &[Law] =
        &[("over_our_sockets", postgres_over_our_sockets), ("over_its_own", postgres_over_its_own)];
    check(POSTGRES, twoply_integrations::postgres(), laws);
}

#[test]
fn redis_answers() {
    check(REDIS, twoply_integrations::redis(), &[("redis", redis_adds)]);
}

fn config(port: u16) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user("postgres").dbname("postgres");
    config
}

/// Asks questions side by side over one connection, by `.await` and by `.wait()`.
async fn ask(client: tokio_postgres::Client) {
    let client = std::sync::Arc::new(client);
    let questions = (0..20_i32).map(|n| {
        let client = std::sync::Arc::clone(&client);
        twoply::spawn_fn(move || {
            let row = client.query_one("SELECT $1::int4 * 2", &[&n]).wait().unwrap();
            assert_eq!(row.get::<_, i32>(0), n * 2);
        })
    });
    for question in questions.collect::<Vec<_>>() {
        question.await.unwrap();
    }
    let error = client.query_one("SELECT nothing", &[]).await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("42703"));
}

fn postgres_over_our_sockets(on: &Systems) {
    let port = port(POSTGRES);
    let session = on.here().spawn(async move {
        let stream = twoply::tokio::Io::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        let (client, connection) = config(port).connect_raw(stream, NoTls).await.unwrap();
        let driver = spawn(connection);
        ask(client).await;
        driver.await.unwrap().unwrap();
    });
    session.wait().unwrap();
}

fn postgres_over_its_own(on: &Systems) {
    let port = port(POSTGRES);
    let runtime = facade!(on.kind()).tokio().build().unwrap();
    let session = runtime.spawn(async move {
        let mut config = config(port);
        config.connect_timeout(Duration::from_secs(60));
        let (client, connection) = config.connect(NoTls).await.unwrap();
        let driver = spawn(connection);
        ask(client).await;
        driver.await.unwrap().unwrap();
    });
    session.wait().unwrap();
    runtime.shutdown(Duration::from_secs(10)).unwrap();
}

fn redis_adds(on: &Systems) {
    let port = port(REDIS);
    let key = format!("{:?}", on.kind());
    let runtime = facade!(on.kind()).tokio().build().unwrap();
    let session = runtime.spawn(async move {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        connection.set::<_, _, ()>(&key, 41).await.unwrap();
        let adding = (0..10).map(|_| {
            let (mut connection, key) = (connection.clone(), key.clone());
            // Straight-line code, side by side over one connection.
            twoply::spawn_fn(move || connection.incr::<_, _, u32>(key, 1).wait().unwrap())
        });
        for task in adding.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!(connection.get::<_, u32>(&key).await.unwrap(), 51);
    });
    session.wait().unwrap();
    runtime.shutdown(Duration::from_secs(10)).unwrap();
}
