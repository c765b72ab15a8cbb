//! The accept loop of a server.

use std::error::Error;
use std::future::IntoFuture;
use std::io;

use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::server::conn::auto::{self, HttpServerConnExec};
use hyper_util::server::graceful::GracefulShutdown;
use twoply_core::future::race;
use twoply_core::net::TcpListener;
use twoply_core::task;

use crate::{Executor, Io, Timer};

/// Serves the connections of `listener` until `stop` is ready: HTTP/1 or HTTP/2, whichever the client speaks,
/// each connection as a task on the backend of the calling one. A service of tower's, such as a router of
/// axum's, becomes one of hyper's by `hyper_util::service::TowerToHyperService`.
///
/// At the end it accepts no more, tells the clients so, and returns when the last answer that was under way
/// is out, and its connection closed. One that was upgraded, as to a WebSocket, is its handler's own by then.
/// Dropping the future ends the accept loop and leaves the connections to themselves. When descriptors run
/// out it waits for some, as [`TcpListener::incoming`] does. A connection that fails ends by itself, and
/// nobody is told.
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
    let mut server = auto::Builder::new(Executor::new());
    server.http1().timer(Timer);
    server.http2().timer(Timer);
    let connections = GracefulShutdown::new();
    let mut incoming = listener.incoming();
    let mut stop = std::pin::pin!(async { drop(stop.into_future().await) });
    loop {
        let accept = async { Some(incoming.accept().await) };
        let stopped = async {
            stop.as_mut().await;
            None
        };
        let Some(accepted) = race((accept, stopped)).await else { break };
        let (stream, _) = accepted?;
        // Hyper writes whole messages already. A connection that is gone by now says so when it is read.
        let _ = stream.set_nodelay(true);
        let connection = server.serve_connection_with_upgrades(Io::new(stream), service.clone());
        let connection = connections.watch(connection.into_owned());
        task::spawn(async { drop(connection.await) }).detach();
    }
    drop(listener);
    connections.shutdown().await;
    Ok(())
}
