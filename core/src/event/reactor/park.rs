//! The state that says whether a reactor's owner sleeps, so that waking it takes a system call only then.
//!
//! The reactor is its only caller. The state itself puts nobody to sleep and wakes nobody: it tells its
//! callers to.
//!
//! ```text
//!              (1) prepare, begin_turn                (2) notify: writes the event descriptor
//!     AWAKE ───────────────────────▶ PARKED ──────────────────────────▶ NOTIFIED
//!       ▲ │                            │                                   │
//!       │ └──────────(3) notify: no system call────────────────────────▶   │
//!       └────────────────────(4) begin_turn, end_sleep ◀───────────────────┘
//! ```
//!
//! It is changed by read-modify-writes only, so they have one order: a `notify` that comes before (1) is
//! seen by it and the turn does not sleep; one that comes after sees PARKED and writes. What a caller of
//! `notify` wrote before it is visible to the turn that it ends. The event descriptor is registered
//! edge-triggered and never read.

#[cfg(all(test, loom))]
mod model;

use crate::base::sync::atomic::AtomicU8;
use crate::base::sync::atomic::Ordering::{AcqRel, Relaxed};

/// The owner runs: it looks at its queues before it sleeps.
const AWAKE: u8 = 0;
/// The owner sleeps in the kernel, or is about to.
const PARKED: u8 = 1;
/// The next turn must not sleep.
const NOTIFIED: u8 = 2;

/// The state: [`AWAKE`], [`PARKED`] or [`NOTIFIED`]; see the [module](self)'s diagram.
pub(super) struct ParkState(AtomicU8);

impl ParkState {
    /// Returns the state of a reactor that nobody turns.
    pub(super) fn new() -> ParkState {
        ParkState(AtomicU8::new(AWAKE))
    }

    /// Announces a sleep. Returns false when there is a notification, which stays for the next turn to take.
    pub(super) fn prepare(&self) -> bool {
        // AcqRel pairs with the swap in `notify`.
        self.0.compare_exchange(AWAKE, PARKED, AcqRel, Relaxed) != Err(NOTIFIED)
    }

    /// Notifies the owner. Returns true when the owner sleeps or is about to: then the caller must make the
    /// system call that wakes it.
    pub(super) fn notify(&self) -> bool {
        // AcqRel: Release for what the caller wrote, Acquire so that seeing PARKED comes after its
        // announcement.
        self.0.swap(NOTIFIED, AcqRel) == PARKED
    }

    /// Returns whether the owner sleeps, for a caller whom something else orders after the announcement.
    pub(super) fn is_parked(&self) -> bool {
        self.0.load(Relaxed) == PARKED
    }

    /// Begins a turn, and announces its sleep if it `sleeps`. Takes a notification: returns true if there was
    /// one, and then the turn must not sleep.
    pub(super) fn begin_turn(&self, sleeps: bool) -> bool {
        // AcqRel pairs with the swap in `notify`: either this sees its NOTIFIED, or it sees this PARKED. A
        // turn that will not sleep says AWAKE, so that nobody pays for waking it.
        let enter = |state| Some(if sleeps && state != NOTIFIED { PARKED } else { AWAKE });
        self.0.fetch_update(AcqRel, Relaxed, enter) == Ok(NOTIFIED)
    }

    /// Ends the sleep of a turn. A notification that came meanwhile is taken: it has ended this turn.
    pub(super) fn end_sleep(&self) {
        // Acquire pairs with `notify`, for what its caller wrote; Release with a later one.
        self.0.swap(AWAKE, AcqRel);
    }
}
