//! [`Tls`]: who a node is to others, and whom it trusts, where connections are inside TLS.

mod session;

use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

pub(crate) use self::session::Session;

/// The certificate of a node and the authorities that it trusts, for connections inside TLS. What nodes say
/// to each other is Erlang's distribution over TLS, so Erlang's nodes are to run with
/// `-proto_dist inet_tls`. A node that has this meets no peer without TLS.
///
/// Certificates are for the host in the name of a node: `shop@example.org` shows one for `example.org`. That
/// is checked whenever this node connects, and by [`Tls::mutual`] whenever it is connected to, too. Revoked
/// certificates are not known as such.
///
/// The port mapper is asked without TLS, as Erlang's nodes ask it; whoever answers in its place can lead
/// nodes nowhere but to somebody without a certificate.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::node::{Node, Tls};
///
/// # let pem = |name: &str| std::fs::read(format!("{}/tests/certificates/{name}.pem", env!("CARGO_MANIFEST_DIR")));
/// let tls = Tls::mutual(&pem("node")?, &pem("key")?, &pem("authority")?)?;
/// let shop = Node::builder("shop@localhost").cookie("secret").tls(tls.clone()).without_epmd();
/// let shop = shop.start().wait()?;
/// let till = Node::builder("till@localhost").cookie("secret").tls(tls).without_epmd().start().wait()?;
/// till.add_peer(shop.name(), shop.local_addr());
///
/// till.connect("shop@localhost").wait()?;
/// assert_eq!(till.nodes(), ["shop@localhost"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

/// The reasons for which certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A text is no PEM, or has nothing of what it is to have.
    #[error("the PEM text: {0}")]
    Pem(String),
    /// The certificates and the key are none that can be used.
    #[error("the certificates: {0}")]
    Certificates(String),
}

impl Tls {
    /// Makes a node that shows a certificate, and meets nobody without one: `chain` is its certificate and
    /// those that lead to an authority, `key` the private key, `authorities` are trusted. Each is text in the
    /// PEM format.
    ///
    /// # Errors
    /// When one of the texts has nothing of its kind, and when the key is not that of the certificate.
    pub fn mutual(chain: &[u8], key: &[u8], authorities: &[u8]) -> Result<Tls, TlsError> {
        Tls::new(chain, key, authorities, true)
    }

    /// As [`mutual`](Tls::mutual), but whoever connects to this node needs no certificate, which is what
    /// Erlang's nodes do unless they are told otherwise: they show by the cookie alone that they may.
    ///
    /// # Errors
    /// As those of `mutual`.
    pub fn one_sided(chain: &[u8], key: &[u8], authorities: &[u8]) -> Result<Tls, TlsError> {
        Tls::new(chain, key, authorities, false)
    }

    fn new(chain: &[u8], key: &[u8], authorities: &[u8], mutual: bool) -> Result<Tls, TlsError> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(in_pem)?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(authorities)? {
            roots.add(authority).map_err(unfit)?;
        }
        let roots = Arc::new(roots);
        // Not the one that the program may have set for itself.
        let provider = Arc::new(ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unfit)?;
        let server = if mutual {
            server.with_client_cert_verifier(members(&roots, &provider)?)
        } else {
            server.with_no_client_auth()
        };
        let server = server.with_single_cert(chain.clone(), key.clone_key()).map_err(unfit)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(unfit)?;
        Ok(Tls { client: Arc::new(client), server: Arc::new(server) })
    }
}

/// Returns what takes callers whose certificate one of the authorities has signed.
fn members(
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
        .build()
        .map_err(unfit)
}

/// Returns the certificates in a text, of which there has to be one.
fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(in_pem)?;
    if all.is_empty() { Err(in_pem(pem::Error::NoItemsFound)) } else { Ok(all) }
}

fn in_pem(error: pem::Error) -> TlsError {
    TlsError::Pem(error.to_string())
}

fn unfit(error: impl fmt::Display) -> TlsError {
    TlsError::Certificates(error.to_string())
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
