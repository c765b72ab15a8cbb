//! ureq, whose requests are straight-line code, over our sockets: on fibers and green tasks a request that
//! waits holds up nobody. Its traits for transports make no promise to stay as they are, so what is here is
//! not a part of the library.

use std::convert::Infallible;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use twoply::net::{TcpListener, TcpStream};
use twoply::sync::Barrier;
use twoply::{Wait, channel, time};
use twoply_tests::{Systems, laws};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};
use ureq::{Agent, Error};

laws! {
    everywhere {
        requests_hold_up_nobody,
        a_connection_is_used_again,
        a_large_body_goes_there_and_back,
        a_time_limit_holds,
        an_agent_that_is_shut_down_ends_its_requests,
    }
}

/// Connects, and counts how often.
#[derive(Clone, Debug, Default)]
struct Sockets(Arc<AtomicUsize>);

#[derive(Debug)]
struct Socket(TcpStream);

impl ShutdownHandle for Socket {
    fn shutdown(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A socket with what ureq reads into and writes from.
#[derive(Debug)]
struct Connection {
    socket: Arc<Socket>,
    buffers: LazyBuffers,
}

/// Waits for `operation` no longer than ureq wants to.
fn within<T>(limit: NextTimeout, operation: impl Future<Output = io::Result<T>>) -> Result<T, Error> {
    match limit.not_zero() {
        None => Ok(operation.wait()?),
        Some(after) => match time::timeout(*after, operation).wait() {
            Ok(done) => Ok(done?),
            Err(_) => Err(Error::Timeout(limit.reason)),
        },
    }
}

impl Connector for Sockets {
    type Out = Connection;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Connection>, Error> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let addresses: Vec<SocketAddr> = details.addrs.iter().copied().collect();
        let stream = within(details.timeout, TcpStream::connect(&addresses[..]))?;
        stream.set_nodelay(true)?;
        let socket = Arc::new(Socket(stream));
        let handle: Arc<dyn ShutdownHandle> = socket.clone();
        (details.register_shutdown)(Arc::downgrade(&handle))?;
        let (input, output) = (details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Connection { socket, buffers: LazyBuffers::new(input, output) }))
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, limit: NextTimeout) -> Result<(), Error> {
        within(limit.for_write(), self.socket.0.write_all(&self.buffers.output()[..amount]))
    }

    fn await_input(&mut self, limit: NextTimeout) -> Result<bool, Error> {
        let length = within(limit.for_read(), self.socket.0.read(self.buffers.input_append_buf()))?;
        self.buffers.input_appended(length);
        Ok(length > 0)
    }

    fn is_open(&mut self) -> bool {
        // Between two requests there is nothing to read.
        matches!(self.socket.0.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Runs `client` against a server, both in the same runtime. The server gives bodies back; what is sent to
/// `/meet` waits for another such request, and what is sent to `/never` for ever.
fn with_server(on: &Systems, client: impl FnOnce(Agent, &str) + Send + 'static) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let meeting = Arc::new(Barrier::new(2));
    let handler = move |request: Request<Incoming>| {
        let meeting = Arc::clone(&meeting);
        async move {
            match request.uri().path() {
                "/meet" => drop(meeting.wait().await),
                "/never" => std::future::pending().await,
                _ => {}
            }
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(body)))
        }
    };
    let (stop, stopped) = channel::oneshot::<()>();
    let server = on.here().spawn(twoply::hyper::serve(listener, service_fn(handler), stopped));
    let sockets = Sockets::default();
    let agent =
        Agent::with_parts(Agent::config_builder().build(), sockets.clone(), DefaultResolver::default());
    on.here().spawn_fn(move || client(agent, &url)).wait().unwrap();
    drop(stop);
    // Its handlers of requests that nobody waits for any more are gone, too.
    server.wait().unwrap().unwrap();
    sockets.0.load(Ordering::SeqCst)
}

fn requests_hold_up_nobody(on: &Systems) {
    with_server(on, |agent, url| {
        // Each of a pair is answered when both are there.
        let requests = (0..10).map(|n: u32| {
            let (agent, url) = (agent.clone(), format!("{url}/meet"));
            twoply::spawn_fn(move || {
                let mut answer = agent.post(url).send(n.to_string()).unwrap();
                assert_eq!(answer.body_mut().read_to_string().unwrap(), n.to_string());
            })
        });
        requests.collect::<Vec<_>>().into_iter().for_each(|request| request.wait().unwrap());
    });
}

fn a_connection_is_used_again(on: &Systems) {
    let connections = with_server(on, |agent, url| {
        for _ in 0..10 {
            assert_eq!(agent.post(url).send("again").unwrap().body_mut().read_to_string().unwrap(), "again");
        }
    });
    assert_eq!(connections, 1);
}

fn a_large_body_goes_there_and_back(on: &Systems) {
    with_server(on, |agent, url| {
        let body: Vec<u8> = (0..1_000_000_u32).map(|n| (n * 7) as u8).collect();
        let back = agent.post(url).send(&body[..]).unwrap().body_mut().read_to_vec().unwrap();
        assert!(back == body);
    });
}

fn a_time_limit_holds(on: &Systems) {
    with_server(on, |agent, url| {
        let request = agent.get(format!("{url}/never")).config();
        let limited = request.timeout_recv_response(Some(Duration::from_millis(20))).build();
        assert!(matches!(limited.call().unwrap_err(), Error::Timeout(ureq::Timeout::RecvResponse)));
    });
}

fn an_agent_that_is_shut_down_ends_its_requests(on: &Systems) {
    with_server(on, |agent, url| {
        let (same, url) = (agent.clone(), format!("{url}/never"));
        let request = twoply::spawn_fn(move || same.get(url).call().map(drop));
        // The request is under way, or fails as soon as it begins.
        twoply::future::yield_now().wait();
        agent.shutdown();
        request.wait().unwrap().unwrap_err();
    });
}
