//! reqwest with rustls: a client whose sockets and timers are tokio's, on our tasks, and what it asks is axum
//! behind TLS on our listener. `Client::send` is finished by `.await` and in straight-line code.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use reqwest::Client;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use twoply::net::{TcpListener, TcpStream};
use twoply::tokio::Io;
use twoply::{Wait, channel, hyper::serve_with, spawn, time};
use twoply_tests::{Systems, facade, laws};

#[path = "support/certificates.rs"]
mod certificates;

use certificates::Authority;

laws! {
    everywhere {
        a_client_asks_over_tls,
        a_client_that_has_to_prove_who_it_is_does_so,
        who_trusts_somebody_else_gets_no_answer,
        an_answer_that_takes_too_long_is_given_up,
    }
}

/// Returns a client with the trust of `config`. One without such a configuration asks the system whom to
/// trust, and rustls for the provider of cryptography that the program has installed.
fn client(config: &rustls::ClientConfig) -> Client {
    Client::builder().tls_backend_preconfigured(config.clone()).build().unwrap()
}

/// Returns what is asked.
fn router() -> Router {
    let slow = || async { time::sleep(Duration::from_secs(60)).await };
    Router::new()
        .route("/echo", post(async |body: String| body))
        .route("/block", get(async || spawn(async { "waited for" }).wait().unwrap()))
        .route("/slow", get(slow))
}

/// Runs `ask` beside a server with this configuration. Certificates are for `localhost`, so that is the name
/// in its address.
fn with_server<F: Future<Output: Send> + Send + 'static>(
    on: &Systems,
    config: Arc<ServerConfig>,
    ask: impl FnOnce(String) -> F + Send + 'static,
) {
    let runtime = facade!(on.kind()).tokio().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let (acceptor, service) = (TlsAcceptor::from(config), TowerToHyperService::new(router()));
    let connect = move |stream: TcpStream, _| {
        let (accepting, service) = (acceptor.accept(Io::new(stream)), service.clone());
        async move { Ok((TokioIo::new(accepting.await?), service)) }
    };
    let (stop, stopped) = channel::oneshot::<()>();
    let server = runtime.spawn(serve_with(listener, connect, stopped));
    let url = format!("https://localhost:{}", address.port());
    runtime.spawn(async move { ask(url).await }).wait().unwrap();
    drop(stop);
    server.wait().unwrap().unwrap();
    runtime.shutdown(Duration::from_secs(10)).unwrap();
}

fn a_client_asks_over_tls(on: &Systems) {
    let authority = Authority::new();
    let client = client(&authority.client());
    with_server(on, authority.server(), |url| async move {
        let asking = (0..10).map(|n| {
            let sent = client.post(format!("{url}/echo")).body(format!("question {n}")).send();
            let ask = async { sent.await.unwrap().text().await.unwrap() };
            // One half is suspended while it waits, the other half blocks.
            if n % 2 == 0 { spawn(ask) } else { twoply::spawn_fn(|| Box::pin(ask).wait()) }
        });
        for (n, answer) in asking.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(answer.await.unwrap(), format!("question {n}"));
        }
        let blocked = client.get(format!("{url}/block")).send().await.unwrap();
        assert_eq!(blocked.text().await.unwrap(), "waited for");
    });
}

fn a_client_that_has_to_prove_who_it_is_does_so(on: &Systems) {
    let authority = Authority::new();
    let (member, stranger) = (client(&authority.member(&authority)), client(&authority.client()));
    with_server(on, authority.server_for_members(), |url| async move {
        let url = format!("{url}/block");
        assert_eq!(member.get(&url).send().await.unwrap().status(), 200);
        assert!(stranger.get(&url).send().await.is_err());
    });
}

fn who_trusts_somebody_else_gets_no_answer(on: &Systems) {
    let (authority, other) = (Authority::new(), Authority::new());
    let client = client(&other.client());
    with_server(on, authority.server(), |url| async move {
        assert!(client.get(format!("{url}/block")).send().await.unwrap_err().is_connect());
    });
}

fn an_answer_that_takes_too_long_is_given_up(on: &Systems) {
    let authority = Authority::new();
    let client = client(&authority.client());
    with_server(on, authority.server(), |url| async move {
        let asked = client.get(format!("{url}/slow")).timeout(Duration::from_millis(50));
        assert!(asked.send().await.unwrap_err().is_timeout());
    });
}
