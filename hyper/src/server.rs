//! The accept loop of a server.

use std::convert::Infallible;
use std::error::Error;
use std::future::{IntoFuture, poll_fn, ready};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::server::conn::auto::{self, HttpServerConnExec};
use twoply_core::channel;
use twoply_core::future::race;
use twoply_core::net::endpoint::{Endpoint, Family, Listener, Stream};
use twoply_core::net::{TcpListener, TcpStream};
use twoply_core::sync::{CancellationToken, Cancelled};
use twoply_core::task;

use crate::{Executor, Io, Timer};

/// Serves the connections of `listener` until `stop` is ready: HTTP/1 or HTTP/2, whichever the client speaks,
/// each connection as a task on the backend of the calling one. A service of tower's, such as a router of
/// axum's, becomes one of hyper's by `hyper_util::service::TowerToHyperService`.
///
/// At the end it accepts no more, tells the clients so, and returns when the last answer that was under way
/// is out, and its connection closed. A connection of HTTP/1 that was upgraded, as to a WebSocket, is its
/// handler's own by then; a tunnel of HTTP/2 is part of its connection, and is waited for. Dropping the
/// future is such an end that nobody waits for. When descriptors run out it waits for some, as
/// [`TcpListener::incoming`] does. A connection that fails ends by itself, and nobody is told.
///
/// [`serve_with`] is for servers inside TLS, on Unix sockets, and whose services know the peer.
///
/// # Errors
/// When the listener fails for good.
///
/// # Examples
/// ```
/// use std::convert::Infallible;
/// use http_body_util::Full;
/// use hyper::body::{Bytes, Incoming};
/// use hyper::{Request, Response, service::service_fn};
/// use twoply::{Wait, hyper::serve, net::{TcpListener, TcpStream}, spawn};
///
/// async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
///     Ok(Response::new(Full::from("hello")))
/// }
///
/// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
/// let mut client = TcpStream::connect(listener.local_addr()?).wait()?;
/// let (stop, stopped) = twoply::channel::oneshot();
/// let server = spawn(serve(listener, service_fn(hello), stopped));
/// client.write_all(b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").wait()?;
/// let mut answer = Vec::new();
/// twoply::io::read_to_end(&mut client, &mut answer, 1000).wait()?;
/// assert!(answer.ends_with(b"hello"));
/// stop.send(()).unwrap();
/// server.wait()??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    stop: impl IntoFuture<IntoFuture: Send>,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    Executor: HttpServerConnExec<S::Future, B>,
{
    let connect = move |stream: TcpStream, _| {
        // Hyper writes whole messages already. A connection that is gone by now says so when it is read.
        let _ = stream.set_nodelay(true);
        ready(Ok((Io::new(stream), service.clone())))
    };
    serve_with(listener, connect, stop).await
}

/// As [`serve`], where `connect` makes of each connection, and its peer's address, the stream that hyper
/// speaks on and the service that answers there: the handshake of TLS, a service that knows who asks.
///
/// The future of `connect` runs on the task of the connection, so that a slow handshake holds up nobody. It
/// has as much time as it takes; a limit is the user's. An error or a panic of it ends the connection, and so
/// does the end of the server. `connect` itself is called by the server, which ends by a panic there.
///
/// # Errors
/// As [`serve`].
///
/// # Examples
/// A server on a Unix socket, which knows the user that asks:
/// ```
/// use std::convert::Infallible;
/// use hyper::body::Incoming;
/// use hyper::{Request, Response, service::service_fn};
/// use twoply::hyper::{Io, serve_with};
/// use twoply::{Wait, channel, net::{UnixListener, UnixStream}, spawn};
///
/// let path = std::env::temp_dir().join(format!("whoami-{}.sock", std::process::id()));
/// let listener = UnixListener::bind(&path)?;
/// let connect = async |stream: UnixStream, _| {
///     let user = stream.peer_credentials()?.uid;
///     let answer = move |_: Request<Incoming>| async move {
///         Ok::<_, Infallible>(Response::new(format!("you are {user}")))
///     };
///     Ok((Io::new(stream), service_fn(answer)))
/// };
/// let (stop, stopped) = channel::oneshot::<()>();
/// let server = spawn(serve_with(listener, connect, stopped));
/// let mut client = UnixStream::connect(&path).wait()?;
/// client.write_all(b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").wait()?;
/// let mut answer = Vec::new();
/// twoply::io::read_to_end(&mut client, &mut answer, 1000).wait()?;
/// assert!(String::from_utf8_lossy(&answer).contains("you are "));
/// drop(stop);
/// server.wait()??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn serve_with<F, T, I, S, B>(
    listener: Endpoint<F, Listener>,
    connect: impl Fn(Endpoint<F, Stream>, F::Address) -> T,
    stop: impl IntoFuture<IntoFuture: Send>,
) -> io::Result<()>
where
    F: Family,
    T: Future<Output = io::Result<(I, S)>> + Send + 'static,
    I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    Executor: HttpServerConnExec<S::Future, B>,
{
    let mut server = auto::Builder::new(Executor::new());
    server.http1().timer(Timer);
    server.http2().timer(Timer);
    // Each connection has a sender of this, which nobody sends on: when all are gone, so are the connections.
    let (open, all_closed) = channel::unbounded::<Infallible>();
    // Cancelled at the end, however that comes: nobody answers on a stream that is not ready by then.
    let over = CancellationToken::new();
    let guard = over.clone().drop_guard();
    let mut incoming = listener.incoming();
    let mut stop = pin!(async { drop(stop.into_future().await) });
    loop {
        let accept = async { Some(incoming.accept().await) };
        let stopped = async {
            stop.as_mut().await;
            None
        };
        let Some(accepted) = race((accept, stopped)).await else { break };
        let (stream, peer) = accepted?;
        let (connecting, over) = (connect(stream, peer), over.clone());
        let (server, open) = (server.clone(), open.clone());
        task::spawn(async move {
            let _open = open;
            let mut end = End { over: &over, cancelled: over.cancelled(), has_waker: false };
            // The future that connects is dropped, and its room used again, before the connection is served.
            let connected = {
                let mut connecting = pin!(connecting);
                let connected = poll_fn(|cx| match connecting.as_mut().poll(cx) {
                    Poll::Ready(connected) => Poll::Ready(connected.ok()),
                    Poll::Pending if end.has_come(cx) => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                });
                connected.await
            };
            let Some((stream, service)) = connected else { return };
            let mut connection = pin!(server.serve_connection_with_upgrades(stream, service));
            let mut is_told = false;
            let served = poll_fn(|cx| {
                // Asked before it hears of the end: so a request that has arrived is answered.
                let served = connection.as_mut().poll(cx);
                if served.is_pending() && !is_told && end.has_come(cx) {
                    is_told = true;
                    connection.as_mut().graceful_shutdown();
                    return connection.as_mut().poll(cx);
                }
                served
            });
            let _ = served.await;
        })
        .detach();
    }
    drop(guard);
    drop(listener);
    drop(open);
    let _ = all_closed.recv().await;
    Ok(())
}

/// The end of a server, as the task of a connection waits for it.
struct End<'a> {
    over: &'a CancellationToken,
    cancelled: Cancelled<'a>,
    /// True once the task has left a waker with the token.
    has_waker: bool,
}

impl End<'_> {
    /// Returns whether it has come; the task is woken when it does. The first look leaves a waker, which
    /// wakes the task whatever polls it later. So the others take no lock, of which there is one for all
    /// connections, and read nothing that is this connection's.
    fn has_come(&mut self, cx: &mut Context<'_>) -> bool {
        if std::mem::replace(&mut self.has_waker, true) {
            return self.over.is_cancelled();
        }
        Pin::new(&mut self.cancelled).poll(cx).is_ready()
    }
}
