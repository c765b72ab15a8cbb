//! The clients that are measured: many questions at a time to a real database, over either library's sockets
//! and tasks.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use deadpool::managed::{Manager, Metrics, Pool, RecycleResult};
use redis::RedisConnectionInfo;
use redis::aio::MultiplexedConnection;
use tokio_postgres::{Client, Config, NoTls, Statement};

use crate::measure::{Figures, Laps, cpu_time};
use crate::sides::Side;

/// The most sessions that the questions to PostgreSQL share.
const SESSIONS: usize = 8;

/// Asks for so long, with as many questions under way as `flight` says, and prints the figures.
pub(crate) fn run(kind: &str, side: Side, port: u16, flight: usize, millis: u64) -> Result<()> {
    let (kind, time) = (kind.to_owned(), Duration::from_millis(millis));
    let figures = side.run(async move {
        match kind.as_str() {
            "postgres" => postgres(side, port, flight, time).await,
            "redis" => redis(side, port, flight, time).await,
            other => bail!("there is no client {other}"),
        }
    })??;
    println!("{figures}");
    Ok(())
}

/// Has `flight` tasks ask side by side for so long.
async fn side_by_side<F>(
    side: Side,
    flight: usize,
    time: Duration,
    asker: impl Fn(Instant) -> F,
) -> Result<Figures>
where
    F: Future<Output = Result<Vec<Duration>>> + Send + 'static,
{
    let (cpu, start) = (cpu_time(), Instant::now());
    let asking: Vec<_> = (0..flight).map(|_| side.spawn(asker(start + time))).collect();
    let mut times = Vec::new();
    for task in asking {
        times.append(&mut task.await?);
    }
    Ok(Figures::of(times, start.elapsed(), cpu_time() - cpu))
}

/// What makes sessions for a pool.
struct Sessions {
    side: Side,
    config: Config,
    port: u16,
}

/// A session with what it asks.
struct Session {
    client: Client,
    select: Statement,
}

impl Manager for Sessions {
    type Type = Session;
    type Error = anyhow::Error;

    async fn create(&self) -> Result<Session> {
        let client = if self.side == Side::Tokio {
            let (client, connection) = self.config.connect(NoTls).await?;
            tokio::spawn(connection);
            client
        } else {
            let stream = twoply::net::TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream.set_nodelay(true)?;
            let (client, connection) = self.config.connect_raw(twoply::tokio::Io::new(stream), NoTls).await?;
            twoply::spawn(connection).detach();
            client
        };
        let select = client.prepare("SELECT 1").await?;
        Ok(Session { client, select })
    }

    async fn recycle(&self, _: &mut Session, _: &Metrics) -> RecycleResult<anyhow::Error> {
        Ok(())
    }
}

async fn postgres(side: Side, port: u16, flight: usize, time: Duration) -> Result<Figures> {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user("postgres").dbname("postgres");
    let pool = Pool::<Sessions>::builder(Sessions { side, config, port }).max_size(SESSIONS).build()?;
    // All sessions are there when the time begins.
    let sessions = futures::future::join_all((0..SESSIONS).map(|_| pool.get())).await;
    sessions.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| anyhow::anyhow!("{error}"))?;
    side_by_side(side, flight, time, |end| {
        let pool = pool.clone();
        async move {
            let mut laps = Laps::until(end);
            while laps.next() {
                let session = pool.get().await.map_err(|error| anyhow::anyhow!("{error}"))?;
                session.client.query_one(&session.select, &[]).await?;
            }
            Ok(laps.times())
        }
    })
    .await
}

async fn redis(side: Side, port: u16, flight: usize, time: Duration) -> Result<Figures> {
    // The driver borrows them, as far as its type says, and lives as long as the program.
    let settings: &'static RedisConnectionInfo = Box::leak(Box::default());
    let mut connection = if side == Side::Tokio {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) = MultiplexedConnection::new(settings, stream).await?;
        tokio::spawn(driver);
        connection
    } else {
        let stream = twoply::net::TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) =
            MultiplexedConnection::new(settings, twoply::tokio::Io::new(stream)).await?;
        twoply::spawn(driver).detach();
        connection
    };
    // There is a limit, as in programs, and it lets a machine be busy.
    connection.set_response_timeout(Duration::from_secs(60));
    redis::cmd("SET").arg("key").arg("a value").exec_async(&mut connection).await?;
    side_by_side(side, flight, time, |end| {
        let mut connection = connection.clone();
        async move {
            let mut laps = Laps::until(end);
            while laps.next() {
                redis::cmd("GET").arg("key").exec_async(&mut connection).await?;
            }
            Ok(laps.times())
        }
    })
    .await
}
