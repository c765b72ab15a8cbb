//! The waits for ports.

use twoply_core::Wait;
use twoply_core::net::UnixStream;
use twoply_core::port;

use super::{Waits, any_wait, leak, waits};
use crate::Systems;

/// All of them, of ports on the first runtime of `on`.
pub(super) fn ports(on: &Systems) -> Vec<Waits> {
    let start = |stream| {
        let port = port::lines(stream).on(on.here().backend()).write_queue(1).high_water(1);
        leak(port.start().expect("it starts"))
    };
    let pair = || UnixStream::pair().expect("there are descriptors");
    let ((quiet, speaker), (writer, deaf)) = (pair(), pair());
    let (quiet, writer) = (start(quiet), start(writer));
    // More than the kernel takes; and one that waits for that.
    for line in ["x".repeat(4 << 20), String::new()] {
        writer.send(line).wait().expect("it is open");
    }
    vec![
        waits("port recv", [any_wait(quiet.recv()), any_wait(quiet.recv())], move || drop(speaker)),
        waits("port send", [any_wait(writer.send(String::new())), any_wait(writer.send(String::new()))], {
            move || drop(deaf)
        }),
    ]
}
