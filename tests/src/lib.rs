//! Support for the conformance suite: the runtimes by name, and the means to state a law once for all of
//! them.
//!
//! A law is a function `fn law(on: &Systems)`. The macro [`laws!`](crate::laws) makes a test of it for each
//! system, so that a failure names the system: `a_panic_is_reported::fibers_1`. A test that hangs is ended,
//! with a message, by a watchdog ([`watch`]). A law that changes or counts what belongs to the whole process
//! runs in a process of its own ([`Systems::in_child`]).
//!
//! All that is unsafe in the suite lies here: switching fibers on, `fork`, signals, and an allocator that
//! counts.

mod actors;
mod child;
pub mod children;
pub mod differential;
mod dir;
mod erlang_node;
mod gate;
mod heap;
mod namespace;
mod none;
mod skip;
mod storm;
mod system;
mod waits;
mod waker;
mod watch;
mod ways;

pub use actors::{all_are_over, builder, far, run_process, run_trapping, start, start_idle, told};
pub use child::{
    Memory, Resources, assert_has_waited, become_another_user, children_of, exit_and_wait, fork,
    limit_memory, limit_processes, set_mask,
};
pub use dir::Dir;
pub use erlang_node::{ErlangNode, start_node};
pub use gate::{Gate, Signal};
pub use heap::Heap;
pub use namespace::Namespace;
pub use none::{make_none, none};
pub use skip::skip;
pub use storm::{
    OwnSignal, Storm, block_signals, count_signal, deny_pidfd, deny_tgkill, mortal_to_sigpipe, send_signal,
    unblocked_signals,
};
pub use system::{Kind, Law, System, Systems, fiber_promise};
pub use waits::{AnyWait, Waits, all_waits};
pub use waker::{Act, hooked_waker};
pub use watch::{eventually, watch};
pub use ways::{both_ways, start_named, straight};

/// Makes a test of each law for each system of a set.
///
/// | set              | systems                                                        |
/// |------------------|----------------------------------------------------------------|
/// | `everywhere`     | native; green on threads and on fibers, one and two workers    |
/// | `and_mixed`      | the same, and the pairs of `mixed`                             |
/// | `and_served`     | `everywhere`, and those whose ports have threads of their own  |
/// | `on_all`         | `and_mixed` and `and_served`                                   |
/// | `mixed`          | native with green, green with fibers, fibers with native       |
/// | `green`          | green on threads and on fibers, one and two workers            |
/// | `one_worker`     | green on threads and on fibers, one worker                     |
/// | `two_workers`    | green on threads and on fibers, two workers                    |
/// | `threads`        | green on threads, one and two workers                          |
/// | `fibers`         | green on fibers, one and two workers                           |
/// | `native`         | native                                                         |
///
/// ```
/// use twoply_tests::{Systems, laws};
/// use twoply_core::Wait;
///
/// laws! {
///     everywhere { a_future_gives_its_result }
/// }
///
/// fn a_future_gives_its_result(on: &Systems) {
///     assert_eq!(on.here().spawn(async { 1 }).wait().unwrap(), 1);
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! laws {
    ($($set:ident { $($law:ident),* $(,)? })*) => { $($($crate::law!($set $law);)*)* };
}

/// Makes one test of all laws of a set, which runs each law on each system at the same time. It is for laws
/// that mostly wait, for the time that a peer is given, and count nothing that belongs to the whole process.
///
/// The sets are `everywhere` and `two_workers` of [`laws!`](crate::laws).
#[macro_export]
macro_rules! side_by_side {
    ($set:ident { $($law:ident),* $(,)? }) => {
        #[cfg(test)]
        mod side_by_side {
            #[test]
            fn $set() {
                let laws: &[(&str, $crate::Law)] = &[$((stringify!($law), super::$law)),*];
                $crate::Systems::check_side_by_side(laws, $crate::Kind::set(stringify!($set)));
            }
        }
    };
}

/// Makes the settings of a runtime of this kind, of its first part, as the facade has them.
///
/// It is a macro so that only those tests which use it link the facade, and with it a default backend: the
/// others hold laws of programs that have none.
#[macro_export]
macro_rules! facade {
    ($kind:expr) => {{
        let (backend, workers) = $kind.first();
        let builder = twoply::Runtime::builder().workers(workers).fibers($crate::fiber_promise());
        builder.backend(backend.parse().expect("it is the name of a backend"))
    }};
}

/// One law on one set; see [`laws!`](crate::laws).
#[doc(hidden)]
#[macro_export]
macro_rules! law {
    (everywhere $law:ident) => {
        $crate::law!($law: native Native, green_1 Green1, green_2 Green2, fibers_1 Fibers1, fibers_2 Fibers2);
    };
    (and_mixed $law:ident) => {
        $crate::law!($law: native Native, green_1 Green1, green_2 Green2, fibers_1 Fibers1, fibers_2 Fibers2,
            native_and_green NativeAndGreen, green_and_fibers GreenAndFibers, fibers_and_native FibersAndNative);
    };
    (and_served $law:ident) => {
        $crate::law!($law: native Native, green_1 Green1, green_2 Green2, fibers_1 Fibers1, fibers_2 Fibers2,
            native_io_1 NativeIo1, native_io_2 NativeIo2, green_io_1 GreenIo1, green_io_2 GreenIo2,
            fibers_io_1 FibersIo1, fibers_io_2 FibersIo2);
    };
    (on_all $law:ident) => {
        $crate::law!($law: native Native, green_1 Green1, green_2 Green2, fibers_1 Fibers1, fibers_2 Fibers2,
            native_and_green NativeAndGreen, green_and_fibers GreenAndFibers, fibers_and_native FibersAndNative,
            native_io_1 NativeIo1, native_io_2 NativeIo2, green_io_1 GreenIo1, green_io_2 GreenIo2,
            fibers_io_1 FibersIo1, fibers_io_2 FibersIo2);
    };
    (mixed $law:ident) => {
        $crate::law!($law: native_and_green NativeAndGreen, green_and_fibers GreenAndFibers,
            fibers_and_native FibersAndNative);
    };
    (green $law:ident) => {
        $crate::law!($law: green_1 Green1, green_2 Green2, fibers_1 Fibers1, fibers_2 Fibers2);
    };
    (one_worker $law:ident) => { $crate::law!($law: green_1 Green1, fibers_1 Fibers1); };
    (two_workers $law:ident) => { $crate::law!($law: green_2 Green2, fibers_2 Fibers2); };
    (threads $law:ident) => { $crate::law!($law: green_1 Green1, green_2 Green2); };
    (fibers $law:ident) => { $crate::law!($law: fibers_1 Fibers1, fibers_2 Fibers2); };
    (native $law:ident) => { $crate::law!($law: native Native); };
    ($law:ident: $($test:ident $kind:ident),*) => {
        #[cfg(test)]
        mod $law {
            $(#[test]
            fn $test() {
                let name = concat!(stringify!($law), "::", stringify!($test));
                $crate::Systems::check(name, $crate::Kind::$kind, super::$law);
            })*
        }
    };
}
