//! Addresses to connect to and to listen on, and names that must be resolved first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Values that stand for addresses, or for a name that has some. Like [`std::net::ToSocketAddrs`], but it
/// does not resolve names itself: that can take long and only ever blocks, so it is done on a thread that may
/// block.
///
/// ```
/// use twoply::net::{Query, ToSocketAddrs};
///
/// assert!(matches!("127.0.0.1:80".to_query(), Query::Addresses(known) if known.len() == 1));
/// assert_eq!(("localhost", 80).to_query(), Query::Name("localhost".into(), 80));
/// assert_eq!("localhost:80".to_query(), Query::Text("localhost:80".into()));
/// ```
pub trait ToSocketAddrs {
    /// Returns what there is to look up.
    fn to_query(&self) -> Query;
}

/// The addresses of a [`ToSocketAddrs`], or what must be looked up to know them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Query {
    /// The addresses are known already.
    Addresses(Vec<SocketAddr>),
    /// A host with a port, to be resolved as the system does.
    Name(String, u16),
    /// The same as one text, `"host:port"`.
    Text(String),
}

impl ToSocketAddrs for SocketAddr {
    fn to_query(&self) -> Query {
        Query::Addresses(vec![*self])
    }
}

impl ToSocketAddrs for [SocketAddr] {
    fn to_query(&self) -> Query {
        Query::Addresses(self.to_vec())
    }
}

impl ToSocketAddrs for str {
    fn to_query(&self) -> Query {
        match self.parse() {
            Ok(address) => Query::Addresses(vec![address]),
            Err(_) => Query::Text(self.into()),
        }
    }
}

impl ToSocketAddrs for String {
    fn to_query(&self) -> Query {
        self.as_str().to_query()
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn to_query(&self) -> Query {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Query::Addresses(vec![SocketAddr::new(ip, port)]),
            Err(_) => Query::Name(host.into(), port),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    fn to_query(&self) -> Query {
        (self.0.as_str(), self.1).to_query()
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn to_query(&self) -> Query {
        (**self).to_query()
    }
}

/// Implements the trait for what std converts to a `SocketAddr`.
macro_rules! to_one_address {
    ($($kind:ty),*) => {$(
        impl ToSocketAddrs for $kind {
            fn to_query(&self) -> Query {
                SocketAddr::from(*self).to_query()
            }
        }
    )*};
}

to_one_address!(SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));
