//! An authority of the test's own, the certificates that it signs, and configurations of rustls with them.

#![allow(dead_code, reason = "not each test needs all of it")]

use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The name in the certificates of servers.
const HOST: &str = "localhost";

/// Returns the name by which a client knows the server.
pub(crate) fn host() -> ServerName<'static> {
    ServerName::try_from(HOST).unwrap()
}

/// A certificate and its key, as text in the PEM format.
pub(crate) struct Pem {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Those who trust it trust whom it has signed for.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    roots: Arc<RootCertStore>,
    /// Its own certificate, in the PEM format.
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Another name than those have that it signs, or they would be taken for signed by themselves.
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let pem = certificate.pem();
        Authority { issuer: Issuer::new(params, key), roots: Arc::new(roots), pem }
    }

    fn certify(&self, name: &str) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Makes a certificate for `name`, with its key.
    fn sign(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let (certificate, key) = self.certify(name);
        (vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }

    /// Makes a server that takes any client.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let (chain, key) = self.sign(HOST);
        let config = ServerConfig::builder().with_no_client_auth();
        Arc::new(config.with_single_cert(chain, key).unwrap())
    }

    /// Makes a client that shows no certificate.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        let config = ClientConfig::builder().with_root_certificates(Arc::clone(&self.roots));
        Arc::new(config.with_no_client_auth())
    }
}

impl Authority {
    /// Makes a server that takes clients with a certificate of this authority alone.
    pub(crate) fn server_for_members(&self) -> Arc<ServerConfig> {
        let (chain, key) = self.sign(HOST);
        let members = WebPkiClientVerifier::builder(Arc::clone(&self.roots)).build().unwrap();
        let config = ServerConfig::builder().with_client_cert_verifier(members);
        Arc::new(config.with_single_cert(chain, key).unwrap())
    }

    /// Makes a certificate for `name`, for those who read it as text.
    pub(crate) fn pem_for(&self, name: &str) -> Pem {
        let (certificate, key) = self.certify(name);
        Pem { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Makes a client with a certificate that `by` has signed.
    pub(crate) fn member(&self, by: &Authority) -> Arc<ClientConfig> {
        self.member_as("a client", by)
    }

    /// As [`Authority::member`], for this name.
    pub(crate) fn member_as(&self, name: &str, by: &Authority) -> Arc<ClientConfig> {
        let (chain, key) = by.sign(name);
        let config = ClientConfig::builder().with_root_certificates(Arc::clone(&self.roots));
        Arc::new(config.with_client_auth_cert(chain, key).unwrap())
    }
}
