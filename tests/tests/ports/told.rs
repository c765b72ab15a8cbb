//! The events of a port as a law expects them.

use twoply_core::Wait;
use twoply_core::port::{self, Event, Port, PortError};
use twoply_tests::System;

/// Starts a port on `system`.
pub(super) fn start<I: Send + 'static, O: Send + 'static>(
    system: &System,
    port: port::Builder<I, O>,
) -> Port<I, O> {
    port.on(system.backend()).start().unwrap()
}

/// Receives an item.
pub(super) fn item<I: Send + std::fmt::Debug + 'static, O>(port: &Port<I, O>) -> I {
    match port.recv().wait().unwrap() {
        Event::Item(item) => item,
        other => panic!("{other:?}"),
    }
}

/// Receives an error.
pub(super) fn error<I: Send + std::fmt::Debug + 'static, O>(port: &Port<I, O>) -> PortError {
    match port.recv().wait().unwrap() {
        Event::Error(error) => error,
        other => panic!("{other:?}"),
    }
}

/// Checks that the port has closed: that is the last that it says.
pub(super) fn assert_closed<I: Send + std::fmt::Debug + 'static, O>(port: &Port<I, O>) {
    let last = port.recv().wait().unwrap();
    assert!(matches!(last, Event::Closed), "{last:?}");
    assert!(port.recv().wait().is_err());
    assert!(port.port_ref().ended().wait().is_normal());
}
