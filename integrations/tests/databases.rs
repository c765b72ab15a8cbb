//! Databases, and a broker of messages, against real servers: tokio-postgres over our own sockets, over
//! tokio's and from pools of bb8's and deadpool's, redis, the drivers of both that block, and async-nats.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use deadpool::managed::{Metrics, RecycleResult};
use futures::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Commands, RedisConnectionInfo};
use tokio_postgres::{Client, Config, Error, NoTls};
use twoply::net::TcpStream;
use twoply::tokio::Io;
use twoply::{Spawner, Wait, channel, offload, spawn};
use twoply_integrations::Server;
use twoply_tests::{Kind, Systems, facade};

/// The port of the server of each kind, while its test runs.
static PORTS: [OnceLock<u16>; 3] = [const { OnceLock::new() }; 3];
const POSTGRES: usize = 0;
const REDIS: usize = 1;
const NATS: usize = 2;

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
    let laws: &[Law] = &[
        ("over_our_sockets", postgres_over_our_sockets),
        ("over_its_own", postgres_over_its_own),
        ("pooled_by_bb8", postgres_pooled_by_bb8),
        ("pooled_by_deadpool", postgres_pooled_by_deadpool),
        ("that_blocks", postgres_that_blocks),
    ];
    check(POSTGRES, twoply_integrations::postgres(), laws);
}

#[test]
fn redis_answers() {
    let laws: &[Law] = &[
        ("redis_over_our_sockets", redis_over_our_sockets),
        ("redis_over_its_own", redis_over_its_own),
        ("redis_that_blocks", redis_that_blocks),
    ];
    check(REDIS, twoply_integrations::redis(), laws);
}

#[test]
fn nats_delivers() {
    check(NATS, twoply_integrations::nats(), &[("nats", nats_requests)]);
}

fn config(port: u16) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user("postgres").dbname("postgres");
    config
}

/// Asks questions side by side over one connection, by `.await` and by `.wait()`.
async fn ask(client: Client) {
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

/// Opens the sessions of a pool, over our sockets.
struct Sessions {
    port: u16,
    /// Where what drives them runs: pools open some from tasks of tokio's.
    spawner: Spawner,
    /// The number of sessions so far.
    opened: AtomicUsize,
}

/// The most sessions that a pool has.
const SESSIONS: usize = 3;

impl Sessions {
    fn new(spawner: &Spawner) -> Sessions {
        Sessions { port: port(POSTGRES), spawner: spawner.clone(), opened: AtomicUsize::new(0) }
    }

    async fn open(&self) -> Result<Client, Error> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("the server listens");
        let (client, connection) =
            config(self.port).connect_raw(twoply::tokio::Io::new(stream), NoTls).await?;
        self.spawner.spawn(connection).detach();
        Ok(client)
    }

    async fn check(&self, client: &Client) -> Result<(), Error> {
        client.simple_query("").await.map(drop)
    }
}

impl bb8::ManageConnection for Sessions {
    type Connection = Client;
    type Error = Error;

    async fn connect(&self) -> Result<Client, Error> {
        self.open().await
    }

    async fn is_valid(&self, client: &mut Client) -> Result<(), Error> {
        self.check(client).await
    }

    fn has_broken(&self, client: &mut Client) -> bool {
        client.is_closed()
    }
}

impl deadpool::managed::Manager for Sessions {
    type Type = Client;
    type Error = Error;

    async fn create(&self) -> Result<Client, Error> {
        self.open().await
    }

    async fn recycle(&self, client: &mut Client, _: &Metrics) -> RecycleResult<Error> {
        Ok(self.check(client).await?)
    }
}

/// Returns which process of the server a session talks to, after a while in which others want one, too.
async fn process(client: &Client) -> i32 {
    let row = client.query_one("SELECT pg_backend_pid(), pg_sleep(0.001)::text", &[]).await.unwrap();
    row.get(0)
}

/// Checks that many who ask at a time share a few sessions.
async fn share<F: Future<Output = i32> + Send + 'static>(ask: impl Fn() -> F) {
    let mut processes = HashSet::new();
    // One half is suspended while it waits, the other half blocks.
    let asking = (0..20).map(|n| {
        let asked = ask();
        if n % 2 == 0 { spawn(asked) } else { twoply::spawn_fn(|| Box::pin(asked).wait()) }
    });
    for process in asking.collect::<Vec<_>>() {
        processes.insert(process.await.unwrap());
    }
    assert!((1..=SESSIONS).contains(&processes.len()), "{processes:?}");
}

fn postgres_pooled_by_bb8(on: &Systems) {
    // bb8 starts tasks of tokio's.
    let runtime = facade!(on.kind()).tokio().build().unwrap();
    let sessions = Sessions::new(runtime.spawner());
    let session = runtime.spawn(async move {
        let pool = bb8::Pool::builder().max_size(SESSIONS as u32).build(sessions).await.unwrap();
        share(|| {
            let pool = pool.clone();
            async move { process(&pool.get().await.unwrap()).await }
        })
        .await;
    });
    session.wait().unwrap();
    runtime.shutdown(Duration::from_secs(10)).unwrap();
}

fn postgres_pooled_by_deadpool(on: &Systems) {
    // This one needs nothing of tokio's.
    let sessions = Sessions::new(on.here().spawner());
    let session = on.here().spawn(async move {
        let pool = deadpool::managed::Pool::<Sessions>::builder(sessions).max_size(SESSIONS).build().unwrap();
        share(|| {
            let pool = pool.clone();
            async move { process(&pool.get().await.unwrap()).await }
        })
        .await;
        assert!(pool.manager().opened.load(Ordering::SeqCst) <= SESSIONS);
    });
    session.wait().unwrap();
}

fn postgres_that_blocks(on: &Systems) {
    let port = port(POSTGRES);
    let connect = move || postgres::Config::from(config(port)).connect(postgres::NoTls);
    // A lock of the server's: who waits for it is held up in the midst of a call.
    const LOCK: &str = "SELECT pg_advisory_lock(1)";
    let mut holding = offload(connect).unwrap().unwrap();
    holding.batch_execute(LOCK).unwrap();
    let (begun, begins) = channel::bounded(1);
    let waiting = on.here().spawn(async move {
        offload(|| {
            let mut client = connect().unwrap();
            begun.send(()).wait().unwrap();
            client.batch_execute(LOCK).unwrap();
            client.query_one("SELECT $1::int4 * 2", &[&21_i32]).unwrap().get::<_, i32>(0)
        })
    });
    // On the same worker, if there is one only.
    let releasing = on.here().spawn(async move {
        begins.recv().await.unwrap();
        offload(|| holding.batch_execute("SELECT pg_advisory_unlock(1)"))
    });
    releasing.wait().unwrap().unwrap().unwrap();
    assert_eq!(waiting.wait().unwrap().unwrap(), 42);
}

fn redis_that_blocks(on: &Systems) {
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", port(REDIS))).unwrap();
    let key = format!("{:?} waits", on.kind());
    let mut connection = client.get_connection().unwrap();
    let (same, waited) = (client.clone(), key.clone());
    let (begun, begins) = channel::bounded(1);
    // A call that the server answers when somebody else has something for it.
    let waiting = on.here().spawn(async move {
        offload(|| {
            let mut connection = same.get_connection().unwrap();
            begun.send(()).wait().unwrap();
            connection.blpop::<_, (String, u32)>(waited, 60.0)
        })
    });
    let giving = on.here().spawn(async move {
        begins.recv().await.unwrap();
        offload(|| connection.rpush::<_, _, u32>(&key, 5).map(|_| key))
    });
    let key = giving.wait().unwrap().unwrap().unwrap();
    assert_eq!(waiting.wait().unwrap().unwrap().unwrap(), (key, 5));
}

/// What a connection of redis' is to begin with. The type of its driver says that it borrows them.
static SETTINGS: LazyLock<RedisConnectionInfo> = LazyLock::new(RedisConnectionInfo::default);

fn redis_over_our_sockets(on: &Systems) {
    let (port, key) = (port(REDIS), format!("{:?} over ours", on.kind()));
    // For its time limits, which are tokio's.
    let runtime = facade!(on.kind()).tokio().build().unwrap();
    let session = runtime.spawn(async move {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (connection, driver) = MultiplexedConnection::new(&SETTINGS, Io::new(stream)).await.unwrap();
        let driver = spawn(driver);
        add(connection, key).await;
        // It ends with the last of the connections.
        driver.await.unwrap();
    });
    session.wait().unwrap();
    runtime.shutdown(Duration::from_secs(10)).unwrap();
}

fn redis_over_its_own(on: &Systems) {
    let (port, key) = (port(REDIS), format!("{:?} over its own", on.kind()));
    let runtime = facade!(on.kind()).tokio().build().unwrap();
    let session = runtime.spawn(async move {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        add(client.get_multiplexed_async_connection().await.unwrap(), key).await;
    });
    session.wait().unwrap();
    runtime.shutdown(Duration::from_secs(10)).unwrap();
}

/// Adds to a number of the server's from tasks that share one connection.
async fn add(mut connection: MultiplexedConnection, key: String) {
    // Its usual limit is half a second.
    connection.set_response_timeout(Duration::from_secs(60));
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
}

fn nats_requests(on: &Systems) {
    const REQUESTS: u32 = 20;
    let address = format!("nats://127.0.0.1:{}", port(NATS));
    let runtime = facade!(on.kind()).tokio().build().unwrap();
    let session = runtime.spawn(async move {
        let client = async_nats::connect(address).await.unwrap();
        let mut requests = client.subscribe("double").await.unwrap();
        // It is known by now, or nobody would be there for the first one.
        client.flush().await.unwrap();
        let replies = client.clone();
        let replying = spawn(async move {
            for _ in 0..REQUESTS {
                let request = requests.next().await.unwrap();
                let number: u32 = std::str::from_utf8(&request.payload).unwrap().parse().unwrap();
                replies.publish(request.reply.unwrap(), (number * 2).to_string().into()).await.unwrap();
            }
        });
        let asking = (0..REQUESTS).map(|n| {
            let client = client.clone();
            // Straight-line code, side by side over one connection.
            twoply::spawn_fn(move || {
                let reply = client.request("double", n.to_string().into()).wait().unwrap();
                assert_eq!(reply.payload, (n * 2).to_string());
            })
        });
        for task in asking.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        replying.await.unwrap();
    });
    session.wait().unwrap();
    runtime.shutdown(Duration::from_secs(10)).unwrap();
}
