//! The default backend, for tasks that are started outside of any task, unless they name a backend.
//!
//! The core knows no backend, so a package that knows some registers what makes the default one: for users,
//! `twoply`. It does so [before `main`](crate::register_default_backend), because nothing of that package
//! need be called before something of the core is. The runtime itself is made when it is first needed.

use std::io;
use std::sync::{Arc, OnceLock};

use super::error::SpawnError;
use super::spawner::Spawner;
use crate::base::fork::PerProcess;
use crate::kernel::backend::Backend;

/// Makes a default backend, or hands out the one that it has made before.
pub type MakeDefault = fn() -> io::Result<Spawner>;

/// The function that was registered.
static REGISTERED: OnceLock<MakeDefault> = OnceLock::new();

/// The default backend, once it has been set; `None`: the registered one has been used, and stays it. One
/// that was set before a fork has no threads in the child.
static DEFAULT: PerProcess<Option<Spawner>> = PerProcess::new();

/// Makes `spawner` the one for tasks that are started outside of any task. Without this they go to a green
/// runtime of the process, or a native one where the feature `green` of `twoply` is off. The child of a fork
/// begins without it, and may set one of its own.
///
/// # Errors
/// When it has been set or used before: then it stays what it is, and `spawner` comes back.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::task::{set_default, spawn};
///
/// set_default(twoply::native()).unwrap();
/// let backend = spawn(async { twoply::task::current_backend().unwrap().name() });
/// assert_eq!(backend.wait().unwrap(), "native");
/// // It has been used now.
/// assert!(set_default(twoply::green()).is_err());
/// ```
pub fn set_default(spawner: Spawner) -> Result<(), Spawner> {
    let mut refused = Some(spawner);
    DEFAULT.get_or_init(|| refused.take());
    refused.map_or(Ok(()), Err)
}

/// Registers `make`, unless there is something already; for
/// [`register_default_backend`](crate::register_default_backend).
#[doc(hidden)]
pub fn register_default(make: MakeDefault) {
    let _ = REGISTERED.set(make);
}

/// Returns the default backend. It is made now if this process has not used it before.
pub(super) fn default_backend() -> Result<Arc<dyn Backend>, SpawnError> {
    let registered = || REGISTERED.get().ok_or(SpawnError::NoBackend);
    let set = match DEFAULT.get() {
        Some(set) => set,
        // A process without any may still set one.
        None => registered().map(|_| DEFAULT.get_or_init(|| None))?,
    };
    match set {
        Some(spawner) => Ok(Arc::clone(spawner.backend())),
        None => Ok(Arc::clone(registered()?()?.backend())),
    }
}

/// Registers a function that makes the default backend, of the type
/// [`MakeDefault`](crate::task::MakeDefault), in every program that the calling package is part of. The first
/// one that is registered counts.
///
/// It is registered before `main`, by an entry in the table of functions that the system calls when it loads
/// a program. That happens on Linux and systems like it; elsewhere the package has to call `register_default`
/// itself.
#[doc(hidden)]
#[macro_export]
macro_rules! register_default_backend {
    ($make:path) => {
        const _: () = {
            extern "C" fn register() {
                $crate::task::register_default($make);
            }
            #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
            #[used]
            // SAFETY: the section holds pointers to functions of this type, which are called one after the
            // other before `main`. This one stores a pointer, which needs nothing of std's that is not there
            // yet.
            #[unsafe(link_section = ".init_array")]
            static REGISTER: extern "C" fn() = register;
        };
    };
}
