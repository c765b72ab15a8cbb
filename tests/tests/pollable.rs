//! Descriptors of any kind: events, timers, watches of files, pipes, and one that only tells of changes.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::future::poll_fn;
use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use twoply_core::Wait;
use twoply_core::channel::oneshot;
use twoply_core::future::join_all;
use twoply_core::io::{Direction, Pollable, WouldBlock};
use twoply_core::time::timeout;
use twoply_tests::{Resources, Systems, eventually, laws};

laws! {
    and_mixed {
        an_event_descriptor_is_waited_for,
        a_pipe_is_read_to_its_end,
        a_pollable_is_handed_on_between_two_waits,
        several_wait_and_each_gets_its_share,
    }
    everywhere {
        a_timer_descriptor_is_waited_for,
        a_watch_of_a_file_tells_of_its_changes,
        room_to_write_is_waited_for,
        a_readiness_that_is_over_is_waited_for_again,
        what_only_tells_of_changes_is_asked_before_it_is_waited_for,
        a_wait_that_is_given_up_takes_nothing,
        what_is_always_ready_is_refused,
        the_owner_comes_back_and_nobody_watches_it,
        the_poll_forms_do_the_same,
        a_pollable_leaves_no_descriptor_behind,
    }
}

fn event() -> OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap()
}

/// Takes the counter of an event descriptor.
fn take(fd: &OwnedFd) -> io::Result<u64> {
    let mut count = [0; 8];
    rustix::io::read(fd, &mut count)?;
    Ok(u64::from_ne_bytes(count))
}

fn give(fd: impl AsFd, count: u64) {
    rustix::io::write(fd, &count.to_ne_bytes()).unwrap();
}

/// A pipe whose reader does not block.
fn pipe() -> (Pollable<PipeReader>, io::PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&reader, true).unwrap();
    (Pollable::new(reader).unwrap(), writer)
}

fn an_event_descriptor_is_waited_for(on: &Systems) {
    let event = Arc::new(Pollable::new(event()).unwrap());
    for (one, other) in [(on.here(), on.there()), (on.there(), on.here())] {
        for blocking in [false, true] {
            let waiting = Arc::clone(&event);
            let take_it = async move { waiting.with_io(Direction::Read, take).await.unwrap() };
            let task = match blocking {
                false => one.spawn(take_it),
                true => one.spawn_fn(|| take_it.wait()),
            };
            eventually("it waits", || Arc::strong_count(&event) == 2);
            let giving = Arc::clone(&event);
            other.spawn_fn(move || give(giving.get_ref(), 7)).wait().unwrap();
            assert_eq!(task.wait().unwrap(), 7);
        }
    }
}

fn a_pipe_is_read_to_its_end(on: &Systems) {
    let (reader, mut writer) = pipe();
    let task = on.here().spawn(async move {
        let (mut all, mut buf) = (Vec::new(), [0; 10]);
        loop {
            let guard = reader.readable().await.unwrap();
            match guard.try_io(|mut io| io.read(&mut buf)) {
                Ok(Ok(0)) => return all,
                Ok(read) => all.extend_from_slice(&buf[..read.unwrap()]),
                Err(WouldBlock { .. }) => {}
            }
        }
    });
    let sent: Vec<u8> = (0..=255).collect();
    let source = sent.clone();
    on.there()
        .spawn_fn(move || source.chunks(33).for_each(|chunk| writer.write_all(chunk).unwrap()))
        .wait()
        .unwrap();
    assert_eq!(task.wait().unwrap(), sent);
}

fn a_pollable_is_handed_on_between_two_waits(on: &Systems) {
    let (mut reader, mut writer) = pipe();
    for (round, system) in [on.here(), on.there(), on.here(), on.there()].into_iter().enumerate() {
        let task = system.spawn(async move {
            let mut byte = [0];
            reader.with_io_mut(Direction::Read, |io| io.read(&mut byte)).await.unwrap();
            (reader, byte[0])
        });
        writer.write_all(&[round as u8]).unwrap();
        let byte;
        (reader, byte) = task.wait().unwrap();
        assert_eq!(usize::from(byte), round);
    }
}

fn several_wait_and_each_gets_its_share(on: &Systems) {
    let (reader, mut writer) = pipe();
    let reader = Arc::new(reader);
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let reader = Arc::clone(&reader);
            let system = if n % 2 == 0 { on.here() } else { on.there() };
            system.spawn(async move {
                let mut byte = [0];
                reader.with_io(Direction::Read, |mut io| io.read(&mut byte)).await.unwrap();
                byte[0]
            })
        })
        .collect();
    for n in 0..8 {
        writer.write_all(&[n]).unwrap();
    }
    let mut bytes: Vec<u8> = tasks.into_iter().map(|task| task.wait().unwrap()).collect();
    bytes.sort();
    assert_eq!(bytes, (0..8).collect::<Vec<_>>());
}

fn a_timer_descriptor_is_waited_for(on: &Systems) {
    let timer =
        timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK).unwrap();
    let soon = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    let timer = Pollable::new(timer).unwrap();
    let task = on.here().spawn(async move {
        let mut fired = 0;
        for _ in 0..3 {
            let once = Itimerspec { it_interval: Timespec::default(), it_value: soon };
            timerfd_settime(timer.get_ref(), TimerfdTimerFlags::empty(), &once).unwrap();
            fired += timer.with_io(Direction::Read, take).await.unwrap();
        }
        fired
    });
    assert_eq!(task.wait().unwrap(), 3);
}

fn a_watch_of_a_file_tells_of_its_changes(on: &Systems) {
    let folder =
        std::env::temp_dir().join(format!("{}-{}", on.name().replace("::", "-"), std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&watch, &folder, inotify::WatchFlags::CREATE).unwrap();
    let watch = Pollable::new(watch).unwrap();
    let task = on.here().spawn(async move {
        let names = |fd: &OwnedFd| {
            let mut room = [MaybeUninit::uninit(); 4096];
            let mut events = inotify::Reader::new(fd, &mut room);
            let event = events.next()?;
            Ok(event.file_name().map(|name| name.to_string_lossy().into_owned()))
        };
        watch.with_io(Direction::Read, names).await.unwrap()
    });
    File::create(folder.join("news")).unwrap();
    assert_eq!(task.wait().unwrap().as_deref(), Some("news"));
    fs::remove_dir_all(&folder).unwrap();
}

fn room_to_write_is_waited_for(on: &Systems) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let ours = Pollable::new(ours).unwrap();
    let mut total = 0;
    while let Ok(n) = ours.get_ref().write(&[7; 4096]) {
        total += n;
    }
    let task = on.here().spawn(async move {
        let guard = ours.writable().await.unwrap();
        guard.get_ref().write(&[8]).unwrap()
    });
    let mut all = vec![0; total + 1];
    theirs.read_exact(&mut all).unwrap();
    assert_eq!(task.wait().unwrap(), 1);
    assert_eq!(all.last(), Some(&8));
}

fn a_readiness_that_is_over_is_waited_for_again(on: &Systems) {
    let event = Arc::new(Pollable::new(event()).unwrap());
    // A worker's reactor is told of the first event, which somebody else then takes.
    give(event.get_ref(), 1);
    let waiting = Arc::clone(&event);
    let first = on.here().spawn(async move { waiting.readable().await.map(drop) });
    first.wait().unwrap().unwrap();
    assert_eq!(take(event.get_ref()).unwrap(), 1);
    let (tell, told) = oneshot();
    let waiting = Arc::clone(&event);
    let task = on.here().spawn(async move {
        let early = timeout(Duration::from_millis(20), waiting.readable()).await.is_err();
        tell.send(early).unwrap();
        waiting.with_io(Direction::Read, take).await.unwrap()
    });
    assert!(told.wait().unwrap(), "it is not ready any more");
    give(event.get_ref(), 1);
    assert_eq!(task.wait().unwrap(), 1);
}

/// What a ZeroMQ socket is like: its descriptor becomes readable when something happens to the socket, and
/// each operation on the socket may use that up, whatever it was for.
struct Messages {
    signal: OwnedFd,
    inbox: Mutex<VecDeque<u32>>,
}

impl Messages {
    fn new() -> Messages {
        Messages { signal: event(), inbox: Mutex::default() }
    }

    fn arrive(&self, message: u32) {
        self.inbox.lock().unwrap().push_back(message);
        give(&self.signal, 1);
    }

    /// What any operation does first.
    fn process(&self) {
        let _ = take(&self.signal);
    }

    fn receive(&self) -> io::Result<u32> {
        self.process();
        self.inbox.lock().unwrap().pop_front().ok_or_else(|| ErrorKind::WouldBlock.into())
    }
}

impl AsFd for Messages {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signal.as_fd()
    }
}

fn what_only_tells_of_changes_is_asked_before_it_is_waited_for(on: &Systems) {
    let messages = Arc::new(Pollable::new(Messages::new()).unwrap());
    let receiver = Arc::clone(&messages);
    let (tell, told) = oneshot::<()>();
    let task = on.here().spawn(async move {
        let mut received = Vec::new();
        // It has to wait, so that its driver knows of the descriptor from now on.
        received.push(receiver.with_io(Direction::Read, Messages::receive).await.unwrap());
        let early = timeout(Duration::from_millis(5), receiver.with_io(Direction::Read, Messages::receive));
        assert!(early.await.is_err());
        // A message whose signal an operation of another kind has used up.
        receiver.get_ref().arrive(2);
        receiver.get_ref().process();
        received.push(receiver.with_io(Direction::Read, Messages::receive).await.unwrap());
        tell.send(()).unwrap();
        received
            .push(poll_fn(|cx| receiver.poll_with_io(Direction::Read, cx, Messages::receive)).await.unwrap());
        received
    });
    messages.get_ref().arrive(1);
    told.wait().unwrap();
    messages.get_ref().arrive(3);
    assert_eq!(task.wait().unwrap(), [1, 2, 3]);
}

fn a_wait_that_is_given_up_takes_nothing(on: &Systems) {
    let (reader, mut writer) = pipe();
    let task = on.here().spawn(async move {
        let mut byte = [0];
        for _ in 0..10 {
            let read = reader.with_io(Direction::Read, |mut io| io.read(&mut byte));
            assert!(timeout(Duration::from_millis(1), read).await.is_err());
        }
        writer.write_all(&[5]).unwrap();
        // Polled once without its turn in mind, and dropped.
        let mut guard = Box::pin(reader.readable());
        let _ = Pin::new(&mut guard).poll(&mut Context::from_waker(Waker::noop()));
        drop(guard);
        reader.with_io(Direction::Read, |mut io| io.read(&mut byte)).await.unwrap();
        byte[0]
    });
    assert_eq!(task.wait().unwrap(), 5);
}

fn what_is_always_ready_is_refused(on: &Systems) {
    let refused = || {
        let program = std::env::current_exe().unwrap();
        let kinds = [
            Pollable::new(File::open(program).unwrap()).map(drop),
            Pollable::new(File::open("/").unwrap()).map(drop),
            Pollable::new(File::open("/dev/null").unwrap()).map(drop),
        ];
        kinds.map(|kind| {
            let error = kind.unwrap_err();
            assert!(error.to_string().contains("always ready"), "{error}");
            error.kind()
        })
    };
    assert_eq!(on.here().spawn_fn(refused).wait().unwrap(), [ErrorKind::Unsupported; 3]);
}

fn the_owner_comes_back_and_nobody_watches_it(on: &Systems) {
    let event = Pollable::new(event()).unwrap();
    let task = on.here().spawn(async move {
        let early = timeout(Duration::from_millis(5), event.readable()).await.is_err();
        assert!(early);
        event.into_inner()
    });
    let fd = task.wait().unwrap();
    let number = fd.as_raw_fd();
    drop(fd);
    // The next descriptor has that number, and no event of it goes astray.
    let next = self::event();
    assert!(next.as_raw_fd() <= number || on.kind().is_green());
    let next = Pollable::new(next).unwrap();
    give(next.get_ref(), 3);
    assert_eq!(
        on.here().spawn(async move { next.with_io(Direction::Read, take).await }).wait().unwrap().unwrap(),
        3
    );
}

fn the_poll_forms_do_the_same(on: &Systems) {
    let event = Arc::new(Pollable::new(event()).unwrap());
    let waiting = Arc::clone(&event);
    let task = on.here().spawn(async move {
        poll_fn(|cx| waiting.poll_writable(cx).map_ok(drop)).await.unwrap();
        poll_fn(|cx| waiting.poll_readable(cx).map_ok(drop)).await.unwrap();
        let with_io = poll_fn(|cx| waiting.poll_with_io(Direction::Read, cx, take)).await.unwrap();
        let pending = poll_fn(|cx| Poll::Ready(waiting.poll_readable(cx).is_pending())).await;
        (with_io, pending)
    });
    give(event.get_ref(), 2);
    assert_eq!(task.wait().unwrap(), (2, true));
}

fn a_pollable_leaves_no_descriptor_behind(on: &Systems) {
    on.alone(|| {
        let round = || {
            let events: Vec<_> = (0..20).map(|_| Arc::new(Pollable::new(event()).unwrap())).collect();
            let waiting = events.clone();
            let task = on.here().spawn(async move {
                let reads = waiting.iter().map(|event| event.with_io(Direction::Read, take));
                join_all(reads).await.into_iter().map(Result::unwrap).sum::<u64>()
            });
            events.iter().for_each(|event| give(event.get_ref(), 1));
            assert_eq!(task.wait().unwrap(), 20);
        };
        round();
        // A thread that has started meanwhile may have made one for itself.
        let descriptors = || Resources::now().descriptors.values().sum::<usize>();
        let before = descriptors();
        round();
        eventually("the descriptors are closed", || descriptors() < before + 10);
    });
}
