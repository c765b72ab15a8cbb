//! The servers that are measured: the same service over either library's sockets and tasks.

use std::convert::Infallible;
use std::io::{self, BufRead, Write};
use std::sync::{Arc, mpsc};
use std::thread;

use anyhow::{Result, bail};
use axum::routing::post;
use axum::{Json, Router};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::measure::cpu_time;
use crate::sides::Side;

/// What a server tells of its port.
type Tell = mpsc::Sender<u16>;

/// The most bytes that are echoed at a time.
const ROOM: usize = 4_096;

/// Serves until standard input ends. Each line of it is answered with the CPU time so far.
pub(crate) fn run(kind: &str, side: Side) -> Result<()> {
    let (tell, told) = mpsc::channel();
    let kind = kind.to_owned();
    thread::spawn(move || side.run(serve(kind, side, tell)));
    println!("{}", told.recv()?);
    for line in io::stdin().lock().lines() {
        line?;
        println!("{}", cpu_time().as_nanos());
        io::stdout().flush()?;
    }
    Ok(())
}

async fn serve(kind: String, side: Side, tell: Tell) -> Result<()> {
    match kind.as_str() {
        "hyper" => serve_http(side, tell, service_fn(hello)).await,
        "axum" => {
            serve_http(side, tell, TowerToHyperService::new(Router::new().route("/", post(echo)))).await
        }
        "tls" => serve_tls(side, tell).await,
        other => bail!("there is no server {other}"),
    }
}

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello, World!"))))
}

/// What is echoed.
#[derive(Serialize, Deserialize)]
struct Order {
    name: String,
    items: Vec<u32>,
}

async fn echo(Json(order): Json<Order>) -> Json<Order> {
    Json(order)
}

async fn serve_http<S, B>(side: Side, tell: Tell, service: S) -> Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: hyper::body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    if side != Side::Tokio {
        let listener = twoply::net::TcpListener::bind("127.0.0.1:0").await?;
        tell.send(listener.local_addr()?.port())?;
        return Ok(twoply::hyper::serve(listener, service, std::future::pending::<()>()).await?);
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    tell.send(listener.local_addr()?.port())?;
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new());
    server.http2().timer(TokioTimer::new());
    let server = Arc::new(server);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (server, service) = (Arc::clone(&server), service.clone());
        tokio::spawn(async move {
            drop(server.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
        });
    }
}

/// Returns the settings of a server with a certificate of its own, which no client here asks about.
fn tls() -> Result<Arc<ServerConfig>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let certificates = vec![CertificateDer::from(made.cert)];
    Ok(Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key)?))
}

/// Echoes over TLS with the listener, the acceptor and the tasks of one library. The streams of the two have
/// traits of their own, whose methods have the same names.
macro_rules! echo {
    ($tell:ident, $listener:ty, $acceptor:ty, $spawn:path) => {{
        let acceptor = <$acceptor>::from(tls()?);
        let listener = <$listener>::bind("127.0.0.1:0").await?;
        $tell.send(listener.local_addr()?.port())?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let acceptor = acceptor.clone();
            $spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut room = [0; ROOM];
                loop {
                    let read = stream.read(&mut room).await?;
                    stream.write_all(&room[..read]).await?;
                    stream.flush().await?;
                    if read == 0 {
                        return io::Result::Ok(());
                    }
                }
            });
        }
    }};
}

async fn serve_tls(side: Side, tell: Tell) -> Result<()> {
    if side == Side::Tokio {
        echo!(tell, tokio::net::TcpListener, tokio_rustls::TlsAcceptor, tokio::spawn)
    }
    echo!(tell, twoply::net::TcpListener, futures_rustls::TlsAcceptor, detached)
}

/// Starts a task for which nobody waits.
fn detached(task: impl Future<Output = io::Result<()>> + Send + 'static) {
    twoply::spawn(task).detach();
}
