//! The engines of operations on files that would hold a worker up, or what is waited for beside them.

use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, PipeWriter, SeekFrom, Write};
use std::os::fd::IntoRawFd;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use twoply::{Backend, Runtime};
use twoply_core::channel::Source;
use twoply_core::fs::{self, Engine, File, OpenOptions};
use twoply_core::future::{OneOf, yield_now};
use twoply_core::time::timeout;
use twoply_core::{Wait, future};
use twoply_tests::{Dir, Signal, System, Systems, both_ways, eventually, facade, laws};

laws! {
    green {
        each_engine_does_the_same,
        a_runtime_says_who_makes_operations_on_files,
        without_a_ring_the_pool_does_it,
        a_ring_makes_what_needs_no_thread,
        what_a_runtime_that_ends_has_begun_is_not_lost,
    }
    everywhere {
        more_buffers_than_one_call_takes_are_moved_in_parts,
        what_a_poll_function_leaves_does_not_outlive_a_change,
        what_is_beside_a_file_is_not_held_up,
    }
    one_worker { a_local_runtime_has_files_without_threads }
}

const SOON: Duration = Duration::from_secs(10);

/// Writes, syncs, reads from a pipe that somebody else writes to.
async fn work(dir: &Dir) {
    let file = File::create_new(dir.join("file")).await.unwrap();
    file.write_all(&[7; 100_000]).await.unwrap();
    file.sync_all().await.unwrap();
    file.sync_data().await.unwrap();
    assert_eq!(file.position(), 100_000);
    let (pipe, mut other) = dir.pipe();
    let mut buf = [0; 8];
    assert!(timeout(Duration::from_millis(2), pipe.read(&mut buf)).await.is_err());
    other.write_all(b"bytes").unwrap();
    assert_eq!(pipe.read(&mut buf).await.unwrap(), 5);
    assert_eq!(&buf[..5], b"bytes");
    let full = OpenOptions::new().write(true).open("/dev/full").await.unwrap();
    assert_eq!(full.write(b"x").await.unwrap_err().kind(), io::ErrorKind::StorageFull);
    move_many_buffers(dir).await;
}

/// Writes and reads more buffers at a time than one call of the system takes.
async fn move_many_buffers(dir: &Dir) {
    /// What Linux takes.
    const MOST: usize = 1024;
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(dir.join("many")).await;
    let (file, bytes) = (file.unwrap(), (0..3000_u32).map(|n| (n / 7) as u8).collect::<Vec<_>>());
    let bufs: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
    let mut written = 0;
    while written < bufs.len() {
        let more = file.write_vectored(&bufs[written..]).await.unwrap();
        assert!((1..=MOST).contains(&more), "{more} bytes, one in each buffer");
        written += more;
    }
    file.seek(SeekFrom::Start(0)).await.unwrap();
    let (mut back, mut read) = (vec![0; bytes.len()], 0);
    while read < back.len() {
        let mut bufs: Vec<_> = back[read..].chunks_mut(1).map(IoSliceMut::new).collect();
        let more = file.read_vectored(&mut bufs).await.unwrap();
        assert!((1..=MOST).contains(&more), "{more} bytes, one in each buffer");
        read += more;
    }
    assert!(back == bytes);
}

fn more_buffers_than_one_call_takes_are_moved_in_parts(on: &Systems) {
    both_ways(on, || {
        let dir = Dir::new();
        async move { move_many_buffers(&dir).await }
    });
}

/// A read and a write whose future is a poll function, and is given up before it is over.
fn what_a_poll_function_leaves_does_not_outlive_a_change(on: &Systems) {
    const PAGE: usize = 4096;
    both_ways(on, || {
        let dir = Dir::new();
        async move {
            let path = dir.join("file");
            let mut options = OpenOptions::new();
            // The system has no memory of it, so a worker leaves it to others.
            options.read(true).write(true).create(true).custom_flags(libc::O_DIRECT);
            // A file system that lies in memory may refuse it.
            let Ok(file) = options.open(&path).await else { return };
            let (mut shared, mut page) = (&file, [0; PAGE]);
            file.write_all_at(&[1; PAGE], 0).await.unwrap();
            let change = async |of: u8, by: &str| match by {
                "a write" => file.write_at(&[of; PAGE], 0).await.map(drop),
                "a file" => std::fs::OpenOptions::new().write(true).open(&path)?.write_all(&[of; PAGE]),
                _ => file.set_len(0).await,
            };
            for (of, by) in [(2, "a write"), (3, "a file"), (4, "a length"), (5, "a write")] {
                let left = poll_fn(|cx| Poll::Ready(Pin::new(&mut shared).poll_read(cx, &mut page))).await;
                poll_fn(|cx| Pin::new(&mut shared).poll_close(cx)).await.unwrap();
                change(of, by).await.unwrap();
                if left.is_pending() {
                    let read = file.read(&mut page).await.unwrap();
                    let expected = if by == "a length" { &[][..] } else { &[of; PAGE] };
                    assert!(page[..read] == *expected, "{read} bytes, {} after {by}", page[0]);
                }
                file.seek(SeekFrom::Start(0)).await.unwrap();
            }
            let left = poll_fn(|cx| Poll::Ready(Pin::new(&mut shared).poll_write(cx, &[6; PAGE]))).await;
            poll_fn(|cx| Pin::new(&mut shared).poll_close(cx)).await.unwrap();
            if left.is_pending() {
                change(7, "a write").await.unwrap();
                let written = poll_fn(|cx| Pin::new(&mut shared).poll_write(cx, &[6; PAGE])).await;
                assert_eq!(written.unwrap(), PAGE);
                assert_eq!(std::fs::read(&path).unwrap(), [6; PAGE], "after a write");
            }
        }
    });
}

fn each_engine_does_the_same(on: &Systems) {
    for engine in [Engine::Pool, Engine::IoUring] {
        // A sandbox may refuse it, and then says so.
        let Ok(green) = on.kind().green().file_engine(engine).build() else {
            assert_eq!(engine, Engine::IoUring);
            continue;
        };
        let (system, dir) = (System::from(green), Dir::new());
        system.spawn(async move { work(&dir).await }).wait().unwrap();
        let metrics = system.metrics();
        assert_eq!(metrics.file_engine, engine);
        let ring: u64 = metrics.workers.iter().map(|worker| worker.reactor.file_operations).sum();
        assert_eq!(ring > 0, engine == Engine::IoUring, "{metrics:?}");
        system.shutdown(SOON).unwrap();
    }
}

fn a_ring_makes_what_needs_no_thread(on: &Systems) {
    let Ok(green) = on.kind().green().file_engine(Engine::IoUring).build() else { return };
    let (system, dir) = (System::from(green), Dir::new());
    let made =
        || -> u64 { system.metrics().workers.iter().map(|worker| worker.reactor.file_operations).sum() };
    let file = system.spawn(File::create_new(dir.join("file"))).wait().unwrap().unwrap();
    let (pipe, mut other) = dir.pipe();
    let (writer, reader) = (file.clone(), pipe.clone());
    let write = async move {
        writer.write_all(b"text").await?;
        writer.write_all_at(b"more", 4).await?;
        writer.sync_all().await
    };
    system.spawn(write).wait().unwrap().unwrap();
    assert_eq!(made(), 0, "a disk has a thread wait for it");
    let reading = system.spawn(async move { reader.read(&mut [0]).await });
    eventually("the ring has the read", || made() == 1);
    other.write_all(b"x").unwrap();
    assert_eq!(reading.wait().unwrap().unwrap(), 1);
    system.shutdown(SOON).unwrap();
}

fn a_runtime_says_who_makes_operations_on_files(on: &Systems) {
    let runtime = facade!(on.kind()).file_engine(Engine::Pool).build().unwrap();
    assert_eq!(runtime.metrics().file_engine, Some(Engine::Pool));
    let native = Runtime::builder().backend(Backend::Native).build().unwrap();
    assert_eq!(native.metrics().file_engine, None);
}

fn without_a_ring_the_pool_does_it(on: &Systems) {
    on.in_child(|| {
        let (green, dir) = (on.kind().green().build().unwrap(), Dir::new());
        let system = System::from(green);
        let task = system.spawn(async move {
            let file = File::create_new(dir.join("file")).await.unwrap();
            let (pipe, mut other) = dir.pipe();
            // The system refuses a ring that it has no descriptor for.
            let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
            let none = rustix::process::Rlimit { current: Some(3), ..limits };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, none).unwrap();
            let read = timeout(Duration::from_millis(2), pipe.read(&mut [0])).await;
            assert!(read.is_err(), "a thread reads, and waits");
            other.write_all(b"x").unwrap();
            assert_eq!(pipe.read(&mut [0]).await.unwrap(), 1);
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limits).unwrap();
            work_after(file).await;
        });
        task.wait().unwrap();
        assert_eq!(system.metrics().file_engine, Engine::Pool);
        system.shutdown(SOON).unwrap();
    });
}

async fn work_after(file: File) {
    file.write_all(b"text").await.unwrap();
    file.sync_all().await.unwrap();
    let mut buf = [0; 4];
    file.read_exact_at(&mut buf, 0).await.unwrap();
    assert_eq!(&buf, b"text");
}

fn what_a_runtime_that_ends_has_begun_is_not_lost(on: &Systems) {
    let dir = Dir::new();
    let (pipe, mut other) = dir.pipe();
    let system = System::from(on.kind().green().build().unwrap());
    let (signal, reader) = (Signal::new(), pipe.clone());
    let begun = signal.clone();
    let task = system.spawn(async move {
        let mut buf = [0; 8];
        let mut read = pin!(reader.read(&mut buf));
        let first = std::future::poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_pending())).await;
        assert!(first);
        begun.add();
        read.await
    });
    eventually("it has begun", || signal.count() == 1);
    task.cancel();
    assert!(task.wait().unwrap_err().is_cancelled());
    let _ = system.shutdown(Duration::from_millis(20));
    drop(system);
    other.write_all(b"bytes").unwrap();
    let mut buf = [0; 8];
    assert_eq!(pipe.read(&mut buf).wait().unwrap(), 5);
    assert_eq!(&buf[..5], b"bytes");
}

fn a_local_runtime_has_files_without_threads(on: &Systems) {
    let dir = Dir::new();
    let runtime = on.kind().green().build_local().unwrap();
    let work = async move {
        let path = dir.join("file");
        let file = File::create_new(&path).await.unwrap();
        file.write_all(b"text").await.unwrap();
        file.sync_all().await.unwrap();
        assert_eq!(fs::read(&path).await.unwrap(), b"text");
        assert!(fs::read_dir(&dir.0).await.unwrap().recv().await.is_ok());
    };
    runtime.block_on(runtime.spawn(work)).unwrap().unwrap();
    assert_eq!(runtime.metrics().threads, 0);
}

/// A pipe that has no end yet, by a path: whoever reads it waits.
///
/// The descriptor that the path names is never given back: a read that is given up may open the path later,
/// after the law, and is not to find what another law has opened under the same number.
fn endless() -> (PathBuf, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    (format!("/proc/self/fd/{}", reader.into_raw_fd()).into(), writer)
}

fn what_is_beside_a_file_is_not_held_up(on: &Systems) {
    both_ways(on, || async {
        let (path, writer) = endless();
        let limit = Duration::from_millis(1);
        assert!(timeout(limit, fs::read(&path)).await.is_err(), "a time limit");
        let arms = future::select((fs::read(&path), yield_now())).biased().await;
        assert!(matches!(arms, OneOf::Second(())), "a select");
        let first = future::race((async { fs::read(&path).await.is_ok() }, async { true })).await;
        assert!(first, "a race");
        let mut reads = future::SelectAll::new();
        reads.insert(fs::read(&path));
        assert!(timeout(limit, reads.next_ready()).await.is_err(), "a set");
        // What ends the read comes after it.
        let (read, ()) = future::join((fs::read(&path), async { drop(writer) })).await;
        assert_eq!(read.unwrap(), [], "a join");
    });
}
