//! The waits for bytes, and for room for some, of what is no descriptor: streams in memory, buffers, copies.

use twoply_core::channel::Source;
use twoply_core::io::{self, BufReader, BufWriter, DuplexStream, duplex};
use twoply_core::net::{self, UnixStream};
use twoply_core::stream::Stream;

use super::{AnyWait, Waits, any_wait, leak, leak_mut, waits};

/// An end of a stream in memory from which nothing can be read, and which cannot be written to; and the other
/// end.
fn silent() -> (&'static DuplexStream, DuplexStream) {
    let (ours, theirs) = duplex(1);
    io::write_all(&mut &ours, b"x", &mut 0).now();
    (leak(ours), theirs)
}

/// For what is ready at once.
trait Now: Future<Output = std::io::Result<()>> + Sized {
    fn now(self) {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::pin::pin!(self).poll(&mut cx).is_ready(), "there is room");
    }
}

impl<F: Future<Output = std::io::Result<()>>> Now for F {}

/// One wait on such an end, until the other end is dropped.
fn one(name: &'static str, wait: impl FnOnce(&'static DuplexStream) -> AnyWait) -> Waits {
    let (ours, theirs) = silent();
    waits(name, [wait(ours)], move || drop(theirs))
}

pub(super) fn bytes() -> Vec<Waits> {
    let (ours, theirs) = silent();
    let (full, taker) = silent();
    let (lines, writer) = silent();
    let lines = leak(BufReader::new(lines).lines().into_source());
    let socket = || {
        let (ours, theirs) = UnixStream::pair().expect("there are descriptors");
        (leak(ours), theirs)
    };
    let ((near, client), (far, server)) = (socket(), socket());
    let ((from, source), (to, _sink)) = (socket(), socket());
    let reader = |ours| leak_mut(BufReader::new(ours));
    let writer_of = |ours| leak_mut(BufWriter::with_capacity(1, ours));
    vec![
        waits(
            "read in memory",
            [any_wait(ours.read(leak_mut([0]))), any_wait(ours.read(leak_mut([0])))],
            move || drop(theirs),
        ),
        waits("write in memory", [any_wait(full.write(b"y")), any_wait(full.write(b"y"))], move || {
            drop(taker);
        }),
        one("peek", move |ours| any_wait(reader(ours).peek(2))),
        one("read_line", move |ours| any_wait(reader(ours).read_line(leak_mut(String::new())))),
        one("next line", move |ours| any_wait(leak_mut(BufReader::new(ours).lines()).next())),
        one("next part", move |ours| any_wait(leak_mut(BufReader::new(ours).split(0)).next())),
        waits("source of lines", [any_wait(lines.recv()), any_wait(lines.recv())], move || drop(writer)),
        one("flush of a buffer", move |ours| {
            let writer = writer_of(ours);
            writer.write_all(b"y").now();
            any_wait(writer.flush())
        }),
        one("write beyond a buffer", move |ours| {
            let writer = writer_of(ours);
            writer.write_all(b"y").now();
            any_wait(writer.write_all(b"z"))
        }),
        one("read_exact", |ours| any_wait(io::read_exact(leak_mut(ours), leak_mut([0]), leak_mut(0)))),
        one("write_all", |ours| any_wait(io::write_all(leak_mut(ours), b"y", leak_mut(0)))),
        one("read_to_end", |ours| any_wait(io::read_to_end(leak_mut(ours), leak_mut(Vec::new()), 9))),
        one("copy", |ours| any_wait(io::copy(leak_mut(ours), leak_mut(Vec::new())))),
        one("copy both ways", |ours| any_wait(io::copy_bidirectional(leak_mut(ours), leak_mut(duplex(1).0)))),
        waits("splice", [any_wait(net::copy(from, to))], move || drop(source)),
        waits("splice both ways", [any_wait(net::copy_bidirectional(near, far))], move || {
            drop((client, server));
        }),
    ]
}
