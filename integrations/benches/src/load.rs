//! The requests that servers get: from as many connections as are asked for, each of which waits for its
//! answer. They come from one thread of tokio's, whoever answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::measure::{Figures, Laps};
use crate::sides::Child;

/// The most bytes of an answer.
const ROOM: usize = 4_096;

/// The number of connections that are made at a time: a listener whose queue is full resets some.
const AT_A_TIME: usize = 64;

/// The kind of request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// An HTTP/1 request without a body.
    Http1,
    /// An HTTP/1 request with a body of JSON.
    Json,
    /// An HTTP/2 request without a body.
    Http2,
    /// A word over TLS.
    Tls,
}

/// Asks the server for so long, over so many connections.
pub(crate) fn run(server: &mut Child, shape: Shape, connections: usize, millis: u64) -> Result<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        // Each of them has had an answer when the time begins.
        let open = stream::iter((0..connections).map(|_| Connection::open(server.port, shape)));
        let open: Vec<_> = open.buffered(AT_A_TIME).try_collect().await.context("a connection has failed")?;
        let (cpu, start) = (server.cpu()?, Instant::now());
        let end = start + Duration::from_millis(millis);
        let asking: Vec<_> = open.into_iter().map(|one| tokio::task::spawn_local(one.ask(end))).collect();
        let mut times = Vec::new();
        for task in asking {
            times.append(&mut task.await??);
        }
        Ok(Figures::of(times, start.elapsed(), server.cpu()? - cpu))
    })
}

/// A connection of one who asks.
enum Connection {
    /// What is sent, and the length of the answer, are always the same.
    Bytes { stream: Box<dyn Stream>, request: Vec<u8>, length: usize },
    /// A stream of HTTP/2 for each request.
    Http2(http2::SendRequest<Empty<Bytes>>),
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Connection {
    async fn open(port: u16, shape: Shape) -> Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        match shape {
            Shape::Http1 => {
                let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
                Connection::of_bytes(Box::new(stream), request, length_of_answer).await
            }
            Shape::Json => {
                let body = r#"{"name":"a customer of ours","items":[1,22,333,4444,55555]}"#;
                let request = format!(
                    "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                Connection::of_bytes(Box::new(stream), request.into_bytes(), length_of_answer).await
            }
            Shape::Tls => {
                let connector = tokio_rustls::TlsConnector::from(trusting());
                let stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
                Connection::of_bytes(Box::new(stream), vec![7; 256], |_| Some(256)).await
            }
            Shape::Http2 => {
                let (mut requests, connection) =
                    http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
                tokio::task::spawn_local(connection);
                ask_http2(&mut requests).await?;
                Ok(Connection::Http2(requests))
            }
        }
    }

    /// Finds out how long an answer is.
    async fn of_bytes(
        mut stream: Box<dyn Stream>,
        request: Vec<u8>,
        length: impl Fn(&[u8]) -> Option<usize>,
    ) -> Result<Connection> {
        let mut answer = vec![0; ROOM];
        stream.write_all(&request).await?;
        stream.flush().await?;
        let mut read = 0;
        loop {
            match stream.read(&mut answer[read..]).await? {
                0 => bail!("the server has closed the connection"),
                more => read += more,
            }
            if let Some(length) = length(&answer[..read]).filter(|length| *length <= read) {
                return Ok(Connection::Bytes { stream, request, length });
            }
        }
    }

    /// Asks again whenever the answer is complete, and returns how long each has taken.
    async fn ask(self, end: Instant) -> Result<Vec<Duration>> {
        let mut laps = Laps::until(end);
        match self {
            Connection::Bytes { mut stream, request, length } => {
                let mut answer = vec![0; length];
                while laps.next() {
                    stream.write_all(&request).await?;
                    stream.flush().await?;
                    stream.read_exact(&mut answer).await?;
                }
            }
            Connection::Http2(mut requests) => {
                while laps.next() {
                    ask_http2(&mut requests).await?;
                }
            }
        }
        Ok(laps.times())
    }
}

async fn ask_http2(requests: &mut http2::SendRequest<Empty<Bytes>>) -> Result<()> {
    let request = Request::get("http://localhost/").body(Empty::new())?;
    requests.send_request(request).await?.into_body().collect().await?;
    Ok(())
}

/// Returns how long an answer of HTTP/1 is, once its head is there.
fn length_of_answer(begin: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(begin).ok()?;
    let (head, _) = text.split_once("\r\n\r\n")?;
    let body = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let body: usize = body.context("it says how long it is").ok()?;
    Some(head.len() + 4 + body)
}

/// Returns the settings of a client that trusts everybody.
fn trusting() -> Arc<ClientConfig> {
    let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Trusting));
    Arc::new(config.with_no_client_auth())
}

/// A verifier to which each certificate is right.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
