//! Names, and who resolves them.
//!
//! Asked is, in this order: the [world](crate::world) of the stack, the resolver that the program has set,
//! and the system (`getaddrinfo`), on a thread of the [pool](crate::threads::blocking) for what may block.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use super::addr::{Query, ToSocketAddrs};
use super::sys;
use crate::kernel::blocking;
use crate::kernel::world::{self, Resolving, World};

/// A program's own way to resolve names; see [`set_resolver`].
pub trait Resolver: Send + Sync + 'static {
    /// Looks up the addresses of `host`, each with `port`, in the order in which they are to be tried.
    ///
    /// The future may be dropped before it is ready.
    fn resolve(&self, host: &str, port: u16) -> Resolving;
}

/// The resolver of the program, if it has one of its own.
static RESOLVER: RwLock<Option<Arc<dyn Resolver>>> = RwLock::new(None);

/// Has `resolver` resolve all names of this process from now on, in place of the system; `None` restores
/// that. Returns the one before. A stack that lives in a [world](crate::world) asks that first.
///
/// ```
/// use std::sync::Arc;
/// use twoply::{Wait, net};
/// use twoply::contract::world::Resolving;
///
/// /// Every host is this one.
/// struct Here;
///
/// impl net::Resolver for Here {
///     fn resolve(&self, _host: &str, port: u16) -> Resolving {
///         Box::pin(async move { Ok(vec![([127, 0, 0, 1], port).into()]) })
///     }
/// }
///
/// net::set_resolver(Some(Arc::new(Here)));
/// let addresses = net::lookup(("example.invalid", 80)).wait()?;
/// assert_eq!(addresses, ["127.0.0.1:80".parse().unwrap()]);
/// # net::set_resolver(None);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn set_resolver(resolver: Option<Arc<dyn Resolver>>) -> Option<Arc<dyn Resolver>> {
    let mut current = RESOLVER.write().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *current, resolver)
}

/// Returns the addresses that `addrs` stands for. Where that is a name it is looked up on another thread, or
/// by the program's [resolver](set_resolver).
///
/// Dropping the future gives the question up; a thread that asks the system goes on until it is answered. A
/// [time limit](crate::time::timeout()) ends it likewise.
///
/// # Errors
/// When the name cannot be resolved; the error says which it was, and why.
/// [`NotFound`](io::ErrorKind::NotFound) when it has no address,
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a text that is no `"host:port"`.
///
/// ```
/// use twoply::{Wait, net};
///
/// let addresses = net::lookup("localhost:80").wait()?;
/// assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
/// let error = net::lookup("no port").wait().unwrap_err();
/// assert!(error.to_string().contains("no port"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn lookup(addrs: impl ToSocketAddrs) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
    let query = addrs.to_query();
    async move {
        let world = world::current();
        query.resolve(world.as_deref()).await
    }
}

impl Query {
    /// Returns the addresses, which may be none only if none were given.
    pub(super) async fn resolve(self, world: Option<&dyn World>) -> io::Result<Vec<SocketAddr>> {
        let (host, port) = match self {
            Query::Addresses(addresses) => return Ok(addresses),
            Query::Name(host, port) => (host, port),
            Query::Text(text) => match text.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
                Some((host, Ok(port))) => (host.to_string(), port),
                _ => {
                    let message = format!("{text:?} is no \"host:port\"");
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
                }
            },
        };
        let resolved = match resolving(world, &host, port) {
            Some(resolving) => resolving.await,
            None => {
                let host = host.clone();
                blocking::run(move || sys::resolve_blocking((host.as_str(), port))).await.flatten()
            }
        };
        match resolved {
            Ok(addresses) if addresses.is_empty() => {
                Err(unresolved(host, io::Error::new(io::ErrorKind::NotFound, "it has no address")))
            }
            Ok(addresses) => Ok(addresses),
            Err(error) => Err(unresolved(host, error)),
        }
    }
}

/// Has the world or the program's resolver look the name up, if there is one that does.
fn resolving(world: Option<&dyn World>, host: &str, port: u16) -> Option<Resolving> {
    if let Some(resolving) = world.and_then(|world| world.resolve(host, port)) {
        return Some(resolving);
    }
    // Out of the lock before it is asked: it is the user's.
    let resolver = RESOLVER.read().unwrap_or_else(PoisonError::into_inner).clone();
    resolver.map(|resolver| resolver.resolve(host, port))
}

/// The error of a name that could not be resolved.
#[derive(Debug)]
struct Unresolved {
    host: String,
    error: io::Error,
}

fn unresolved(host: String, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), Unresolved { host, error })
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name {:?} cannot be resolved: {}", self.host, self.error)
    }
}

impl Error for Unresolved {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
