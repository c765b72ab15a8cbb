//! Files on a device that is full, broken or slow: what it refuses, cuts short or interrupts arrives as what
//! it is, from below each engine.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use twoply_core::Wait;
use twoply_core::channel::Source;
use twoply_core::fs::{self, Engine, File, OpenOptions, PathError};
use twoply_core::port::{self, FileAnswer, FileRequest};
use twoply_core::strand::{self, ThreadStrand};
use twoply_core::threads::PoolLimits;
use twoply_core::time::timeout;
use twoply_core::world::{FileCall, Files, World};
use twoply_tests::{Dir, System, Systems, eventually, laws};

laws! {
    everywhere {
        what_the_device_refuses_is_told,
        what_is_cut_short_goes_on_where_it_ended,
        a_device_that_fills_up_says_how_far_it_got,
        a_call_that_is_interrupted_is_made_again,
        a_file_is_replaced_wholly_wherever_it_fails,
        calls_on_paths_fail_as_the_device_does,
        whole_files_are_moved_in_parts,
        a_world_that_panics_fails_the_call,
        real_devices_refuse,
        a_port_gives_back_what_the_device_refuses,
        what_changes_beside_an_operation_does_not_hold_it_up,
    }
    fibers { a_change_that_is_given_up_counts_when_it_ends }
}

const SOON: Duration = Duration::from_secs(10);

/// A device whose calls fail or fall short as a law says. It is a world, too.
#[derive(Clone, Default)]
struct Device(Arc<Mutex<Settings>>);

#[derive(Default)]
struct Settings {
    /// True if nothing can be done without waiting, so that each engine has to work.
    waits: bool,
    /// Calls that fail, each once: the operation, the number of those before it that do not, the error.
    fails: Vec<(&'static str, usize, i32)>,
    /// The number of bytes that a call moves at most.
    most: Option<usize>,
    /// The number of bytes that a file has room for.
    room: Option<u64>,
    panics: bool,
    /// A file that is changed, elsewhere than at its beginning, within each call there.
    changed: Option<File>,
    /// The calls that were made.
    calls: Vec<(&'static str, Option<u64>, usize)>,
}

impl Files for Device {
    fn decide(&self, call: &FileCall<'_>) -> io::Result<Option<usize>> {
        let mut settings = self.0.lock().unwrap();
        if settings.waits && !call.may_wait {
            return Err(ErrorKind::WouldBlock.into());
        }
        settings.calls.push((call.operation, call.at, call.len));
        if std::mem::take(&mut settings.panics) {
            drop(settings);
            panic!("a world that panics");
        }
        if let Some(file) = settings.changed.clone().filter(|_| call.at == Some(0)) {
            drop(settings);
            // A thread that may wait.
            let change = || file.write_at(b"beside", 64).wait();
            std::thread::scope(|scope| scope.spawn(change).join().unwrap())?;
            return Ok(None);
        }
        let fails = &mut settings.fails;
        if let Some(place) = fails.iter().position(|(operation, ..)| ["", call.operation].contains(operation))
        {
            let (_, before, errno) = &mut fails[place];
            if *before == 0 {
                let errno = *errno;
                fails.remove(place);
                return Err(io::Error::from_raw_os_error(errno));
            }
            *before -= 1;
        }
        let (room, at) = (settings.room.filter(|_| call.operation == "write"), call.at.unwrap_or(0));
        match room.map(|room| room.saturating_sub(at) as usize) {
            Some(0) => Err(ErrorKind::StorageFull.into()),
            room => Ok(room.into_iter().chain(settings.most).min()),
        }
    }
}

impl World for Device {
    fn files(&self) -> Option<Arc<dyn Files>> {
        Some(Arc::new(self.clone()))
    }
}

impl Device {
    fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.0.lock().unwrap());
    }

    /// Has the next call of this name fail, or the next one at all.
    fn fail(&self, operation: &'static str, errno: i32) {
        self.set(|settings| settings.fails.push((operation, 0, errno)));
    }

    /// Returns the number of calls of this name.
    fn count(&self, operation: &str) -> usize {
        self.0.lock().unwrap().calls.iter().filter(|call| call.0 == operation).count()
    }

    /// Runs code whose files are on the device.
    fn within<T>(&self, code: impl FnOnce() -> T) -> T {
        let thread = ThreadStrand::new().with_world(Arc::new(self.clone()));
        strand::enter(&thread, code)
    }

    /// Opens a file on the device, which is created.
    fn open(&self, path: &Path) -> File {
        let open = || OpenOptions::new().read(true).write(true).create(true).open(path).wait().unwrap();
        self.within(open)
    }

    /// Runs code on the device that begins there, where it may not block, and goes on wherever it is.
    async fn begun<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let begun = self.within(|| future.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        match begun {
            Poll::Ready(output) => output,
            Poll::Pending => future.await,
        }
    }
}

/// Runs a law on each engine, as a future and as straight-line code, and where nothing is ready at once, too.
fn on_devices<F>(on: &Systems, law: impl Fn(Device, Dir) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    on_engines(on, |system| {
        for waits in [false, true] {
            let make = || {
                let device = Device::default();
                device.set(|settings| settings.waits = waits);
                law(device, Dir::new())
            };
            system.spawn(make()).wait().unwrap();
            let future = make();
            system.spawn_fn(move || future.wait()).wait().unwrap();
        }
    });
}

fn on_engines(on: &Systems, law: impl Fn(&System)) {
    if !on.kind().is_green() {
        return law(on.here());
    }
    for engine in [Engine::Pool, Engine::IoUring] {
        // A sandbox may refuse it, and then says so.
        let Ok(green) = on.kind().green().file_engine(engine).build() else {
            assert_eq!(engine, Engine::IoUring);
            continue;
        };
        let system = System::from(green);
        law(&system);
        let ring: u64 = system.metrics().workers.iter().map(|worker| worker.reactor.file_operations).sum();
        assert!(engine == Engine::IoUring || ring == 0);
        system.shutdown(SOON).unwrap();
    }
}

/// What an error of the module says of itself.
fn told(error: &io::Error) -> (&'static str, Option<PathBuf>, Option<i32>) {
    let of_path = error.get_ref().and_then(|inner| inner.downcast_ref::<PathError>()).unwrap();
    (of_path.operation(), of_path.path().map(Path::to_owned), of_path.raw_os_error())
}

fn what_the_device_refuses_is_told(on: &Systems) {
    on_devices(on, |device, dir| {
        let path = dir.join("file");
        let file = device.open(&path);
        async move {
            let _dir = dir;
            file.write_all(b"abcdef").await.unwrap();
            file.seek(io::SeekFrom::Start(2)).await.unwrap();
            for errno in [libc::EIO, libc::ENOSPC, libc::EDQUOT] {
                let refused = |operation, error: io::Error| {
                    assert_eq!(told(&error), (operation, Some(path.clone()), Some(errno)));
                    assert_eq!(error.kind(), io::Error::from_raw_os_error(errno).kind());
                    assert_eq!(file.position(), 2, "an error has moved nothing");
                };
                let buf = &mut [0; 2];
                device.fail("read", errno);
                refused("read", file.read(buf).await.unwrap_err());
                device.fail("read", errno);
                refused("read", file.read_at(buf, 1).await.unwrap_err());
                device.fail("write", errno);
                refused("write", file.write(b"XY").await.unwrap_err());
                device.fail("write", errno);
                refused("write", file.write_at(b"XY", 1).await.unwrap_err());
                device.fail("sync", errno);
                refused("sync", file.sync_all().await.unwrap_err());
                device.fail("sync", errno);
                refused("sync", file.sync_data().await.unwrap_err());
                device.fail("set the length of", errno);
                refused("set the length of", file.set_len(1).await.unwrap_err());
                device.fail("look at", errno);
                refused("look at", file.metadata().await.unwrap_err());
                device.fail("lock", errno);
                refused("lock", file.lock().await.unwrap_err());
                // It is an error of that call alone, and nothing has happened.
                file.sync_all().await.unwrap();
                assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
            }
            assert_eq!(file.read(&mut [0; 9]).await.unwrap(), 4);
            assert_eq!(file.write(b"g").await.unwrap(), 1);
            assert_eq!(std::fs::read(&path).unwrap(), b"abcdefg");
        }
    });
}

fn what_is_cut_short_goes_on_where_it_ended(on: &Systems) {
    on_devices(on, |device, dir| {
        let path = dir.join("file");
        let file = device.open(&path);
        async move {
            let _dir = dir;
            device.set(|settings| settings.most = Some(3));
            assert_eq!(file.write(b"abcdefgh").await.unwrap(), 3);
            assert_eq!(file.position(), 3);
            file.write_all(b"defgh").await.unwrap();
            assert_eq!(file.write_at(b"ABCDEFGH", 8).await.unwrap(), 3);
            file.write_all_at(b"DEFGH", 11).await.unwrap();
            let text = b"abcdefghABCDEFGH";
            assert_eq!(std::fs::read(&path).unwrap(), text);
            file.seek(io::SeekFrom::Start(0)).await.unwrap();
            let mut buf = [0; 16];
            assert_eq!(file.read(&mut buf).await.unwrap(), 3);
            assert_eq!((&buf[..4], file.position()), (&b"abc\0"[..], 3));
            assert_eq!(file.read_at(&mut buf, 8).await.unwrap(), 3);
            file.read_exact_at(&mut buf, 0).await.unwrap();
            assert_eq!(&buf, text);
            let (mut one, mut two) = ([0; 2], [0; 2]);
            let mut bufs = [IoSliceMut::new(&mut []), IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            let read = file.read_vectored(&mut bufs).await.unwrap();
            assert!((1..=3).contains(&read), "{read}");
            assert_eq!(file.position(), 3 + read as u64);
            let written = file.write_vectored(&[IoSlice::new(b"12"), IoSlice::new(b"345")]).await.unwrap();
            assert!((1..=3).contains(&written), "{written}");
            let at = 3 + read;
            assert_eq!(std::fs::read(&path).unwrap()[at..at + written], b"12345"[..written]);
            // The end of a file looks like a call that moves nothing; a write that moves nothing is an error.
            device.set(|settings| settings.most = Some(0));
            assert_eq!(file.read(&mut buf).await.unwrap(), 0);
            assert_eq!(file.read_exact(&mut buf).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
            assert_eq!(file.write_all(b"x").await.unwrap_err().kind(), ErrorKind::WriteZero);
            drop(file);
            // What is closed keeps no world.
            eventually("it is let go", || Arc::strong_count(&device.0) == 1);
        }
    });
}

fn a_device_that_fills_up_says_how_far_it_got(on: &Systems) {
    on_devices(on, |device, dir| {
        let path = dir.join("file");
        let file = device.open(&path);
        async move {
            let _dir = dir;
            device.set(|settings| {
                settings.most = Some(4);
                settings.room = Some(10);
            });
            let error = file.write_all(b"abcdefghijkl").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            assert_eq!(file.position(), 10);
            assert_eq!(std::fs::read(&path).unwrap(), b"abcdefghij");
            device.set(|settings| settings.room = None);
            file.write_all(b"kl").await.unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"abcdefghijkl");
        }
    });
}

fn a_call_that_is_interrupted_is_made_again(on: &Systems) {
    on_devices(on, |device, dir| {
        let path = dir.join("file");
        let file = device.open(&path);
        async move {
            let _dir = dir;
            let twice = |operation| (0..2).for_each(|_| device.fail(operation, libc::EINTR));
            // One that has been made where it may not wait is made once more.
            let is_again = |operation| {
                let count = device.count(operation);
                device.set(|settings| settings.calls.clear());
                [3, 4].contains(&count)
            };
            twice("write");
            assert_eq!(file.write(b"abcd").await.unwrap(), 4);
            assert!(is_again("write"));
            twice("write");
            assert_eq!(file.write_at(b"efgh", 4).await.unwrap(), 4);
            assert!(is_again("write"));
            let mut buf = [0; 4];
            twice("read");
            assert_eq!(file.read(&mut buf).await.unwrap(), 4);
            assert_eq!((&buf, is_again("read")), (b"efgh", true));
            twice("read");
            assert_eq!(file.read_at(&mut buf, 0).await.unwrap(), 4);
            assert_eq!((&buf, is_again("read")), (b"abcd", true));
            twice("sync");
            file.sync_all().await.unwrap();
            assert!(is_again("sync"));
            twice("set the length of");
            file.set_len(2).await.unwrap();
            twice("look at");
            assert_eq!(file.metadata().await.unwrap().len(), 2);
        }
    });
}

/// Each call of `replace` fails once, with a full device and a broken one.
fn a_file_is_replaced_wholly_wherever_it_fails(on: &Systems) {
    on_devices(on, |device, dir| async move {
        let path = dir.join("settings");
        std::fs::write(&path, "old").unwrap();
        device.begun(fs::replace(&path, "old")).await.unwrap();
        let calls: Vec<_> = device.0.lock().unwrap().calls.iter().map(|call| call.0).collect();
        let steps = ["open", "write", "look at", "set the permissions of", "sync", "rename", "open", "sync"];
        assert_eq!(calls, steps);
        for (step, operation) in steps.into_iter().enumerate() {
            for errno in [libc::EIO, libc::ENOSPC] {
                std::fs::write(&path, "old").unwrap();
                device.set(|settings| settings.fails = vec![("", step, errno)]);
                let error = device.begun(fs::replace(&path, "new")).await.unwrap_err();
                assert_eq!(told(&error), ("replace", Some(path.clone()), Some(errno)), "{operation}");
                let text = std::fs::read_to_string(&path).unwrap();
                assert_eq!(text, if step > 5 { "new" } else { "old" }, "{operation}");
                assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 1, "nothing temporary is left");
            }
        }
        // Short writes and interrupted calls are no failures.
        device.set(|settings| {
            settings.most = Some(2);
            settings.fails = (0..steps.len()).map(|_| ("", 1, libc::EINTR)).collect();
        });
        device.begun(fs::replace(&path, "the third")).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "the third");
    });
}

fn calls_on_paths_fail_as_the_device_does(on: &Systems) {
    on_devices(on, |device, dir| async move {
        let (path, to) = (dir.join("file"), dir.join("other"));
        std::fs::write(&path, "text").unwrap();
        let refused = |operation, error: io::Error| {
            assert_eq!(told(&error), (operation, Some(path.clone()), Some(libc::EIO)));
        };
        device.fail("open", libc::EIO);
        refused("open", device.begun(File::open(&path)).await.unwrap_err());
        device.fail("rename", libc::EIO);
        refused("rename", device.begun(fs::rename(&path, &to)).await.unwrap_err());
        device.fail("copy", libc::EIO);
        refused("copy", device.begun(fs::copy(&path, &to)).await.unwrap_err());
        device.fail("look at", libc::EIO);
        refused("look at", device.begun(fs::metadata(&path)).await.unwrap_err());
        device.fail("remove", libc::EIO);
        refused("remove", device.begun(fs::remove_file(&path)).await.unwrap_err());
        for operation in ["open", "read"] {
            device.fail(operation, libc::EIO);
            refused("read", device.begun(fs::read(&path)).await.unwrap_err());
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"text");
        // The entries of a directory: the error is one of them, and the rest comes after it.
        device.fail("read the directory", libc::EIO);
        assert_eq!(told(&device.begun(fs::read_dir(&dir.0)).await.unwrap_err()).2, Some(libc::EIO));
        let entries = device.begun(fs::read_dir(&dir.0)).await.unwrap();
        device.fail("read the directory", libc::EIO);
        assert_eq!(told(&entries.recv().await.unwrap().unwrap_err()).2, Some(libc::EIO));
        assert_eq!(entries.recv().await.unwrap().unwrap().file_name(), "file");
        assert!(entries.recv().await.is_err());
    });
}

fn whole_files_are_moved_in_parts(on: &Systems) {
    on_devices(on, |device, dir| async move {
        let path = dir.join("file");
        device.set(|settings| settings.most = Some(7));
        let text = "parts of a text ".repeat(9);
        device.begun(fs::write(&path, &text)).await.unwrap();
        assert_eq!(device.begun(fs::read_to_string(&path)).await.unwrap(), text);
        assert_eq!(device.count("write"), text.len().div_ceil(7));
        device.set(|settings| settings.fails = vec![("write", 3, libc::ENOSPC)]);
        let error = device.begun(fs::write(&path, &text)).await.unwrap_err();
        assert_eq!(told(&error), ("write", Some(path.clone()), Some(libc::ENOSPC)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text[..21], "what there was room for");
        // What is synced is written before, and is told of as one operation.
        device.begun(fs::write_synced(&path, &text)).await.unwrap();
        assert_eq!((std::fs::read_to_string(&path).unwrap(), device.count("sync")), (text.clone(), 1));
        for (operation, errno) in [("open", libc::EIO), ("write", libc::ENOSPC), ("sync", libc::EIO)] {
            device.fail(operation, errno);
            let error = device.begun(fs::write_synced(&path, &text)).await.unwrap_err();
            assert_eq!(told(&error), ("write and sync", Some(path.clone()), Some(errno)));
        }
        std::fs::write(&path, [0xff]).unwrap();
        let error = device.begun(fs::read_to_string(&path)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    });
}

fn a_world_that_panics_fails_the_call(on: &Systems) {
    on_devices(on, |device, dir| {
        let file = device.open(&dir.join("file"));
        async move {
            let panics = || device.set(|settings| settings.panics = true);
            panics();
            let error = file.write(b"x").await.unwrap_err();
            assert!(error.to_string().contains("panicked"), "{error}");
            panics();
            assert!(file.sync_all().await.is_err());
            panics();
            assert!(file.read(&mut [0]).await.is_err());
            file.write_all(b"x").await.unwrap();
            assert_eq!(std::fs::read(dir.join("file")).unwrap(), b"x");
        }
    });
}

/// The errors of the system itself: a page that is not mapped, a device that is full, a file that is not
/// opened for it, an end.
fn real_devices_refuse(on: &Systems) {
    on_engines(on, |system| {
        let work = || async {
            let memory = File::open("/proc/self/mem").await.unwrap();
            let buf = &mut [0; 4];
            assert_eq!(told(&memory.read(buf).await.unwrap_err()).2, Some(libc::EIO));
            assert_eq!(told(&memory.read_at(buf, 4096).await.unwrap_err()).2, Some(libc::EIO));
            assert_eq!(memory.position(), 0);
            let full = OpenOptions::new().read(true).write(true).open("/dev/full").await.unwrap();
            assert_eq!(full.write(b"x").await.unwrap_err().kind(), ErrorKind::StorageFull);
            assert_eq!(full.write_at(b"x", 0).await.unwrap_err().kind(), ErrorKind::StorageFull);
            assert_eq!(full.sync_all().await.unwrap_err().kind(), ErrorKind::InvalidInput);
            assert_eq!(full.read(buf).await.unwrap(), 4);
            let null = File::open("/dev/null").await.unwrap();
            assert_eq!(null.read(buf).await.unwrap(), 0);
            assert_eq!(told(&null.write(b"x").await.unwrap_err()).2, Some(libc::EBADF));
        };
        system.spawn(work()).wait().unwrap();
        system.spawn_fn(move || work().wait()).wait().unwrap();
    });
}

fn a_port_gives_back_what_the_device_refuses(on: &Systems) {
    on_engines(on, |system| {
        for waits in [false, true] {
            let (device, dir) = (Device::default(), Dir::new());
            device.set(|settings| settings.waits = waits);
            let path = dir.join("file");
            let port = port::file(device.open(&path)).on(system.backend()).start().unwrap();
            let ask = |request: FileRequest| {
                port.send(request).wait().unwrap();
                port.recv().wait().unwrap().item().unwrap()
            };
            let write = |at, text: &str| FileRequest::Write { at, bytes: text.into() };
            let content = || std::fs::read_to_string(&path).unwrap();
            for (operation, request) in [
                ("read", FileRequest::Read { at: 0, len: 4 }),
                ("write", write(1, "XY")),
                ("sync", FileRequest::Sync),
                ("set the length of", FileRequest::SetLen(1)),
                ("look at", FileRequest::Metadata),
            ] {
                for errno in [libc::EIO, libc::ENOSPC] {
                    device.fail(operation, errno);
                    let answer = ask(request.clone());
                    let FileAnswer::Failed { request: back, error } = &answer else { panic!("{answer:?}") };
                    assert_eq!(*back, request);
                    assert_eq!(told(error), (operation, Some(path.clone()), Some(errno)));
                }
            }
            // What is cut short and interrupted is no failure.
            device.set(|settings| {
                settings.most = Some(3);
                settings.fails = vec![("write", 1, libc::EINTR), ("read", 1, libc::EINTR)];
            });
            let answer = ask(write(0, "0123456789"));
            assert!(matches!(answer, FileAnswer::Written { at: 0, len: 10 }), "{answer:?}");
            let answer = ask(FileRequest::Read { at: 1, len: 100 });
            assert!(
                matches!(&answer, FileAnswer::Read { at: 1, bytes } if bytes == b"123456789"),
                "{answer:?}"
            );
            // Of what is too much, there is as much as there was room for; the next one finds its place.
            device.set(|settings| (settings.most, settings.room) = (None, Some(12)));
            let answer = ask(write(8, "abcdefgh"));
            let FileAnswer::Failed { request, error } = &answer else { panic!("{answer:?}") };
            assert_eq!((request, error.kind()), (&write(8, "abcdefgh"), ErrorKind::StorageFull));
            assert_eq!(content(), "01234567abcd");
            let answer = ask(write(2, "--"));
            assert!(matches!(answer, FileAnswer::Written { at: 2, len: 2 }), "{answer:?}");
            assert_eq!(content(), "01--4567abcd");
            // A world that panics fails the request.
            device.set(|settings| settings.panics = true);
            assert!(matches!(ask(FileRequest::Sync), FileAnswer::Failed { .. }));
            assert!(matches!(ask(FileRequest::Sync), FileAnswer::Synced));
        }
    });
}

/// Other tasks that change the file all the time would make a read begin again and again.
fn what_changes_beside_an_operation_does_not_hold_it_up(on: &Systems) {
    on_engines(on, |system| {
        let work = || async {
            let (device, dir) = (Device::default(), Dir::new());
            let file = device.open(&dir.join("file"));
            file.write_all_at(b"there", 0).await.unwrap();
            device.set(|settings| (settings.waits, settings.changed) = (true, Some(file.clone())));
            let count = |operation| {
                let at_zero = |call: &&(&str, Option<u64>, usize)| (call.0, call.1) == (operation, Some(0));
                device.0.lock().unwrap().calls.iter().filter(at_zero).count()
            };
            let start = SeekFrom::Start(0);
            let (mut shared, buf) = (&file, &mut [0; 5]);
            // A future takes what it has begun.
            assert_eq!(device.begun(file.read(buf)).await.unwrap(), 5);
            assert_eq!((*buf, count("read")), (*b"there", 1));
            file.seek(start).await.unwrap();
            // A poll function does not know what that is, and begins again, but once.
            let reading = poll_fn(|cx| Pin::new(&mut shared).poll_read(cx, buf));
            assert_eq!(device.begun(reading).await.unwrap(), 5);
            assert_eq!((*buf, count("read")), (*b"there", 3));
            file.seek(start).await.unwrap();
            let before = count("write");
            let writing = poll_fn(|cx| Pin::new(&mut shared).poll_write(cx, b"again"));
            assert_eq!(device.begun(writing).await.unwrap(), 5);
            assert_eq!((count("write") - before, file.position()), (2, 5));
            // The device holds the file, which holds the device.
            device.set(|settings| settings.changed = None);
        };
        system.spawn(timeout(SOON, work())).wait().unwrap().unwrap();
        system.spawn_fn(move || timeout(SOON, work()).wait()).wait().unwrap().unwrap();
    });
}

/// What a poll function has left is from before a change whose future was dropped while it went on.
fn a_change_that_is_given_up_counts_when_it_ends(on: &Systems) {
    /// Polls once, and reports whether that was enough.
    async fn begin<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> bool {
        let mut poll = Some(poll);
        poll_fn(|cx| Poll::Ready(poll.take().unwrap()(cx).is_ready())).await
    }
    let limits = PoolLimits { threads: 1, ..PoolLimits::default() };
    let green = on.kind().green().offload_limits(limits).file_engine(Engine::Pool).build().unwrap();
    let system = System::from(green);
    let task = system.spawn(async {
        let (device, dir) = (Device::default(), Dir::new());
        let file = device.open(&dir.join("file"));
        device.set(|settings| settings.waits = true);
        let (mut shared, buf) = (&file, &mut [0; 8]);
        for change in ["write", "set the length of"] {
            file.write_all_at(b"old", 0).await.unwrap();
            file.seek(SeekFrom::Start(0)).await.unwrap();
            if begin(|cx| Pin::new(&mut shared).poll_read(cx, buf)).await {
                // The pool was faster.
                continue;
            }
            poll_fn(|cx| Pin::new(&mut shared).poll_close(cx)).await.unwrap();
            match change {
                "write" => begin(|cx| pin!(file.write_at(b"new", 0)).poll(cx)).await,
                _ => begin(|cx| pin!(file.set_len(0)).poll(cx)).await,
            };
            // The pool has one thread, so this comes after it.
            file.metadata().await.unwrap();
            let read = poll_fn(|cx| Pin::new(&mut shared).poll_read(cx, buf)).await.unwrap();
            let expected = if change == "write" { &b"new"[..] } else { b"" };
            assert_eq!(&buf[..read], expected, "after a call to {change} that was given up");
        }
    });
    task.wait().unwrap();
    system.shutdown(SOON).unwrap();
}
