//! The outside of a program, which it asks for sockets, files, names and chance, and what there is once for
//! it: through one trait that a strand may carry.
//!
//! A [`World`] is how a simulator stands in for the operating system. The strand that runs a task says which
//! world the task lives in ([`Strand::world`](crate::backend::Strand::world)); most have none, and then
//! everything is real. The world is looked up when a thing is *made*: bound, connected, resolved, seeded.
//! The thing holds on to what it got, so an operation on it costs no lookup, and a socket stays one of its
//! world wherever it is handed to.
//!
//! ```text
//! TcpListener::bind ── world? ──┬─ none, or `None` ──▶ a descriptor           net/sys.rs makes the system calls
//!                               └─ Some(socket) ─────▶ a `Box<dyn Socket>`    net/sys.rs calls its methods
//!                                                        │
//!                           reactor/source.rs: readiness, waiters, cancel-safety, for both alike
//! ```
//!
//! Files are the system's in every world, which decides about each call on them before it is made
//! ([`Files`]).
//!
//! The things of which a program has one each, such as the global registry of names, a world has for
//! itself ([`Globals`]), so that two of them in one program never meet. Numbers of tasks and processes stay
//! unique over all of them; [`Numbers`] makes those of a world the same in each run.
//!
//! Three questions to the outside have their answers elsewhere, on the strand itself, and a simulator
//! overrides them there: the time is [`Driver::now`](crate::backend::Driver::now), deadlines are
//! [`Driver::timers`](crate::backend::Driver::timers), and code that blocks goes where
//! [`Strand::block_in_place`](crate::backend::Strand::block_in_place) and
//! [`Strand::blocking_pool`](crate::backend::Strand::blocking_pool) say.
//!
//! This module makes no system call, and never keeps a world alive for longer than what was made in it.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};

pub use crate::base::id::Numbers;
use crate::base::sync::lock_std;
pub use crate::event::files::open::{FileCall, Files};
pub use crate::event::reactor::{Address, Arrival, Notify, Socket, SocketKind, SocketOption, SocketOptions};
use crate::kernel::strand::with_current;

/// The addresses of a name, when they are known; returned by [`World::resolve`].
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// The outside of a program, as a strand may carry it.
///
/// Each method may answer `None`, which means: as the operating system does it. That is what the defaults do,
/// so a world says only what is different in it.
///
/// ```
/// use std::{io, sync::Arc};
/// use twoply::{Wait, net::TcpStream};
/// use twoply::contract::strand::{self, ThreadStrand};
/// use twoply::contract::world::{Resolving, World};
///
/// /// No name has an address here.
/// struct Nameless;
///
/// impl World for Nameless {
///     fn resolve(&self, _host: &str, _port: u16) -> Option<Resolving> {
///         Some(Box::pin(async { Err(io::ErrorKind::NotFound.into()) }))
///     }
/// }
///
/// let thread = ThreadStrand::new().with_world(Arc::new(Nameless));
/// let error = strand::enter(&thread, || TcpStream::connect("localhost:80").wait().unwrap_err());
/// assert_eq!(error.kind(), io::ErrorKind::NotFound);
/// ```
pub trait World: Send + Sync + 'static {
    /// Makes a socket for the family of `address`, neither bound nor connected.
    ///
    /// # Errors
    /// When there can be none.
    fn socket(&self, kind: SocketKind, address: &Address) -> io::Result<Option<Box<dyn Socket>>> {
        let _ = (kind, address);
        Ok(None)
    }

    /// Makes two Unix sockets without names that are connected with each other.
    ///
    /// # Errors
    /// When there can be none.
    fn socket_pair(&self, kind: SocketKind) -> io::Result<Option<[Box<dyn Socket>; 2]>> {
        let _ = kind;
        Ok(None)
    }

    /// Looks up the addresses of `host`, each with `port`.
    fn resolve(&self, host: &str, port: u16) -> Option<Resolving> {
        let _ = (host, port);
        None
    }

    /// Returns what decides about calls on files and paths: those that are opened, or asked for, from now on.
    ///
    /// # Examples
    /// ```
    /// use std::{io, sync::Arc};
    /// use twoply::{Wait, fs};
    /// use twoply::contract::strand::{self, ThreadStrand};
    /// use twoply::contract::world::{FileCall, Files, World};
    ///
    /// /// The device has no room.
    /// struct Full;
    ///
    /// impl Files for Full {
    ///     fn decide(&self, call: &FileCall<'_>) -> io::Result<Option<usize>> {
    ///         match call.operation {
    ///             "write" => Err(io::ErrorKind::StorageFull.into()),
    ///             _ => Ok(None),
    ///         }
    ///     }
    /// }
    ///
    /// impl World for Full {
    ///     fn files(&self) -> Option<Arc<dyn Files>> {
    ///         Some(Arc::new(Full))
    ///     }
    /// }
    ///
    /// # let path = std::env::temp_dir().join(format!("twoply-doc-world-{}", std::process::id()));
    /// let thread = ThreadStrand::new().with_world(Arc::new(Full));
    /// let error = strand::enter(&thread, || fs::write(&path, "text").wait().unwrap_err());
    /// assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), io::Error>(())
    /// ```
    fn files(&self) -> Option<Arc<dyn Files>> {
        None
    }

    /// Returns 64 random bits: the seed of the generator that a strand's selects and races choose with.
    fn random(&self) -> Option<u64> {
        None
    }

    /// Returns 64 bits that nobody is to guess, as the challenges and the creation of a node are. Without
    /// them they are the system's. A world whose peers are not simulated must not say any that can be
    /// foreseen: whoever foresees them may pass for somebody else.
    fn secret(&self) -> Option<u64> {
        None
    }

    /// Returns what this world has once, where a program has it once.
    fn globals(&self) -> Option<&Globals> {
        None
    }
}

/// The values that a world has once: the [global registry](crate::actor::Registry::global) and the [global
/// groups](crate::actor::Groups::global), each made when it is first asked for.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use twoply::actor::{Builder, Process, Registry};
/// use twoply::contract::strand::{self, ThreadStrand};
/// use twoply::contract::world::{Globals, World};
///
/// #[derive(Default)]
/// struct Simulated(Globals);
///
/// impl World for Simulated {
///     fn globals(&self) -> Option<&Globals> {
///         Some(&self.0)
///     }
/// }
///
/// let process = Builder::new().spawn_fn(|mut me: Process<()>| drop(twoply::Wait::wait(me.receive())))?;
/// let thread = ThreadStrand::new().with_world(Arc::new(Simulated::default()));
/// strand::enter(&thread, || Registry::global().register("clerk of the world", &process))?;
/// assert!(strand::enter(&thread, || Registry::global().whereis_pid("clerk of the world")).is_some());
/// assert!(Registry::global().whereis_pid("clerk of the world").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Globals(Mutex<BTreeMap<TypeId, Box<dyn Any + Send>>>);

impl Globals {
    /// Returns the value of this type, which `T::default` makes when there is none.
    fn get<T: Clone + Default + Send + 'static>(&self) -> T {
        let mut values = lock_std(&self.0);
        let value = values.entry(TypeId::of::<T>()).or_insert_with(|| Box::new(T::default()));
        match value.downcast_ref::<T>() {
            Some(value) => value.clone(),
            None => unreachable!("the key is the type"),
        }
    }
}

impl fmt::Debug for Globals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Globals").finish_non_exhaustive()
    }
}

/// Returns the value of which there is one: that of the calling stack's world, or else that of the program.
/// `T` is a type of this library, so nothing of the user's is run.
pub(crate) fn global<T: Clone + Default + Send + Sync + 'static>(program: &OnceLock<T>) -> T {
    let of_world = current().and_then(|world| world.globals().map(Globals::get));
    of_world.unwrap_or_else(|| program.get_or_init(T::default).clone())
}

/// Returns the world of the calling stack; `None`: the real one.
///
/// ```
/// assert!(twoply::contract::world::current().is_none());
/// ```
pub fn current() -> Option<Arc<dyn World>> {
    with_current(|strand| strand.world().cloned())
}
