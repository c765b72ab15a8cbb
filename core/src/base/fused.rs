//! The trait `FusedFuture` of futures-core on futures of ours, with the feature `futures`.
//!
//! It holds for those that are over once and for all: they give their output away, and so know in any case
//! whether that is behind them. A sleep, a receive or a wait for an event may be polled again, and has no
//! such end.

/// Implements `FusedFuture` for a future, which is over where `$is_over` says so.
macro_rules! fused {
    ([$($generics:tt)*] $Future:ty, |$this:ident| $is_over:expr) => {
        #[cfg(feature = "futures")]
        impl<$($generics)*> futures_core::FusedFuture for $Future {
            fn is_terminated(&self) -> bool {
                let $this = self;
                $is_over
            }
        }
    };
}

pub(crate) use fused;
