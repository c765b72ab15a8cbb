//! The ring of a reactor, and whether it is to have one.

use std::io;
use std::sync::OnceLock;

use super::Reactor;
use crate::event::files::ring::Ring;
use crate::event::files::{Engine, Request};

/// The place of a reactor's ring.
#[derive(Default)]
pub(super) struct Slot {
    /// The setting, if there is one.
    engine: OnceLock<Engine>,
    /// The ring; `None`: the system has refused it.
    ring: OnceLock<Option<Ring>>,
}

impl Slot {
    fn engine(&self) -> Engine {
        self.engine.get().copied().unwrap_or_default()
    }

    /// Returns the counters of the ring, if there is one: what has been begun, and what is under way.
    pub(super) fn load(&self) -> (u64, usize) {
        self.ring.get().and_then(Option::as_ref).map_or((0, 0), Ring::load)
    }
}

impl Reactor {
    /// Sets who makes the operations on files that are begun on a stack of this reactor. It is a setting of
    /// whoever has made the reactor, and said once, before the first of them.
    ///
    /// # Errors
    /// Fails for [`Engine::IoUring`] when the system refuses it.
    ///
    /// # Examples
    /// ```
    /// use twoply::fs::Engine;
    /// use twoply::reactor::Reactor;
    ///
    /// let reactor = Reactor::new()?;
    /// reactor.set_file_engine(Engine::Pool)?;
    /// assert_eq!(reactor.file_engine(), Engine::Pool);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_file_engine(&self, engine: Engine) -> io::Result<()> {
        // The first setting counts: operations may have been begun with it.
        let _ = self.shared.ring.engine.set(engine);
        match engine {
            Engine::IoUring => Ring::try_system(),
            Engine::Auto | Engine::Pool => Ok(()),
        }
    }

    /// Returns who makes operations on files; [`Engine::Auto`] before that is known.
    pub fn file_engine(&self) -> Engine {
        let slot = &self.shared.ring;
        match (slot.engine(), slot.ring.get()) {
            (Engine::Auto, Some(Some(_))) => Engine::IoUring,
            (Engine::Auto, Some(None)) => Engine::Pool,
            (engine, _) => engine,
        }
    }

    /// Returns the ring, which is made if there is none; `None` where there is to be none.
    pub(crate) fn ring(&self, fallback: fn(Request)) -> Option<&Ring> {
        let slot = &self.shared.ring;
        match slot.engine() {
            Engine::Pool => None,
            Engine::Auto | Engine::IoUring => {
                slot.ring.get_or_init(|| Ring::new(self, fallback).ok()).as_ref()
            }
        }
    }
}
