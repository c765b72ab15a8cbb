//! Connections of hyper_util's client.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Uri;
use tower_service::Service;
use twoply_core::net::TcpStream;

use crate::Io;

/// Connects to the hosts of `http` addresses, for `hyper_util::client::legacy::Client`, which keeps the
/// connections in a pool. Names are looked up, and the addresses of a host tried side by side, as by
/// `TcpStream::connect`. For another scheme it fails: TLS is a connector around this one.
///
/// # Examples
/// An address that is not one of `http` is refused:
/// ```
/// use std::io::ErrorKind;
/// use hyper::Uri;
/// use tower_service::Service;
/// use twoply::{Wait, hyper::Connector};
///
/// let connecting = Connector::new().call(Uri::from_static("gopher://localhost/"));
/// assert_eq!(connecting.wait().unwrap_err().kind(), ErrorKind::InvalidInput);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Connector(());

impl Connector {
    /// Makes a connector, which has no settings.
    pub fn new() -> Connector {
        Connector(())
    }
}

impl Service<Uri> for Connector {
    type Response = Io<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Io<TcpStream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(async move {
            let (host, port) = host_of(&uri)?;
            let stream = TcpStream::connect((host, port)).await?;
            // Hyper writes whole messages already.
            stream.set_nodelay(true)?;
            Ok(Io::new(stream))
        })
    }
}

/// Returns where to connect to.
fn host_of(uri: &Uri) -> io::Result<(&str, u16)> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{uri}: {what}"));
    if uri.scheme_str().is_some_and(|scheme| scheme != "http") {
        return Err(invalid("the connector speaks plain HTTP only"));
    }
    let host = uri.host().ok_or_else(|| invalid("there is no host"))?;
    // An address of IPv6 stands in brackets.
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok((host, uri.port_u16().unwrap_or(80)))
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn an_address_says_where_to_connect_to() {
        let of = |uri: &str| {
            let uri = uri.parse().unwrap();
            host_of(&uri).map(|(host, port)| (host.to_owned(), port)).map_err(|error| error.to_string())
        };
        assert_eq!(of("http://localhost/x"), Ok(("localhost".into(), 80)));
        assert_eq!(of("http://[::1]:81"), Ok(("::1".into(), 81)));
        assert!(of("https://localhost").unwrap_err().contains("plain HTTP"));
        assert!(of("/x").unwrap_err().contains("no host"));
    }
}
