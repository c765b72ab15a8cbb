//! A client of reqwest's for servers that are not inside TLS.

use reqwest::Client;
use rustls::{ClientConfig, RootCertStore};

/// Returns a client that trusts nobody. Without a configuration of its own it would ask for a provider of
/// cryptography, since other tests have reqwest built for TLS.
pub(crate) fn client() -> Client {
    let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
    Client::builder().tls_backend_preconfigured(config.with_no_client_auth()).build().unwrap()
}
