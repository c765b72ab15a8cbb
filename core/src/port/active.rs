//! The number of items that a port gives before it is asked again.

/// The number of items that a port gives its owner before it waits to be asked again: Erlang's `{active, N}`.
///
/// A port that is passive reads nothing, so whoever writes to it has to wait in the end. What it has read and
/// made no item of stays where it is. It is the items, and the errors in their place, that count. The end of
/// the input is found by reading, so a passive port does not tell of it.
///
/// It comes on top of the backpressure that there is in any case: a port whose owner's mailbox or channel is
/// full reads nothing either.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::UnixStream, port::{self, Active, Event}};
///
/// let (ours, theirs) = UnixStream::pair()?;
/// theirs.write_all(b"one\ntwo\n").wait()?;
/// let port = port::lines(ours).active(Active::Once).start()?;
/// assert!(matches!(port.recv().wait()?, Event::Item(line) if line == "one"));
/// port.active(Active::Once); // Nothing comes before it is asked for.
/// assert!(matches!(port.recv().wait()?, Event::Item(line) if line == "two"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Active {
    /// No items at all.
    Passive,
    /// One. No [`Event::Passive`](super::Event::Passive) comes after it.
    Once,
    /// As many more as this; then [`Event::Passive`](super::Event::Passive).
    N(u32),
    /// All that there are.
    #[default]
    Always,
}

/// The items that have been asked for and have not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// So many items; nothing is said when they have come if it is 0 or was asked for as one.
    Counted { left: u32, silent: bool },
    /// Any number of items.
    Endless,
}

impl Demand {
    pub(super) fn new(active: Active) -> Demand {
        let mut demand = Demand::Counted { left: 0, silent: true };
        demand.add(active);
        demand
    }

    /// Changes it as the owner asks.
    pub(super) fn add(&mut self, active: Active) {
        *self = match (active, *self) {
            (Active::Passive | Active::N(0), _) => Demand::Counted { left: 0, silent: true },
            (Active::Once, _) => Demand::Counted { left: 1, silent: true },
            (Active::N(n), Demand::Counted { left, silent: false }) => {
                Demand::Counted { left: left.saturating_add(n), silent: false }
            }
            (Active::N(n), _) => Demand::Counted { left: n, silent: false },
            (Active::Always, _) => Demand::Endless,
        };
    }

    pub(super) fn is_passive(self) -> bool {
        matches!(self, Demand::Counted { left: 0, .. })
    }

    /// Returns the number of items that are to come.
    pub(super) fn left(self) -> usize {
        match self {
            Demand::Counted { left, .. } => left as usize,
            Demand::Endless => usize::MAX,
        }
    }

    /// Counts items. Returns true if the owner is to be told that the last has come.
    #[inline]
    pub(super) fn count(&mut self, items: usize) -> bool {
        let Demand::Counted { left, silent } = self else { return false };
        let before = *left;
        *left = left.saturating_sub(u32::try_from(items).unwrap_or(u32::MAX));
        before > 0 && *left == 0 && !*silent
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn numbers_add_up_and_everything_else_takes_their_place() {
        let mut demand = Demand::new(Active::N(2));
        assert!(!demand.count(1));
        demand.add(Active::N(1));
        assert!(!demand.count(1));
        assert!(demand.count(1) && demand.is_passive());
        demand.add(Active::Once);
        assert!(!demand.count(1) && demand.is_passive());
        demand.add(Active::Always);
        assert!(!demand.count(1) && !demand.is_passive());
        demand.add(Active::N(1));
        assert!(demand.count(1));
        demand.add(Active::N(5));
        demand.add(Active::Passive);
        assert!(demand.is_passive());
        demand.add(Active::N(u32::MAX));
        demand.add(Active::N(u32::MAX));
        assert_eq!(demand, Demand::Counted { left: u32::MAX, silent: false });
    }
}
