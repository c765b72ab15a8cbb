//! Changes of files: inotify by its descriptor, which a task waits for as for any other, and notify, which
//! calls a closure on a thread of its own.

use std::ffi::OsString;
use std::io;

use inotify::{EventMask, Inotify, WatchMask};
use notify::{EventKind, RecursiveMode, Watcher};
use twoply::io::{Direction, Pollable};
use twoply::{Wait, channel, fs};
use twoply_tests::{Dir, Systems, laws};

laws! {
    everywhere {
        what_happens_to_files_is_read_as_it_happens,
        what_a_watcher_tells_comes_through_a_channel,
    }
}

/// The changes in a directory, in their order.
struct Changes(Pollable<Inotify>);

impl Changes {
    /// Returns what has changed since the last call, or waits for something.
    async fn next(&mut self) -> io::Result<Vec<(EventMask, Option<OsString>)>> {
        let read = |inotify: &mut Inotify| {
            let mut buffer = [0; 4096];
            let events = inotify.read_events(&mut buffer)?;
            Ok(events.map(|event| (event.mask, event.name.map(OsString::from))).collect())
        };
        self.0.with_io_mut(Direction::Read, read).await
    }
}

const FILES: usize = 20;

fn what_happens_to_files_is_read_as_it_happens(on: &Systems) {
    let dir = Dir::new();
    let inotify = Inotify::init().unwrap();
    inotify.watches().add(&dir.0, WatchMask::CLOSE_WRITE | WatchMask::DELETE).unwrap();
    let mut changes = Changes(Pollable::new(inotify).unwrap());
    let (seen, is_seen) = channel::bounded(1);
    let watching = on.here().spawn(async move {
        let mut count = 0;
        while count < 2 * FILES {
            for (mask, name) in changes.next().await.unwrap() {
                let expected = if count % 2 == 0 { EventMask::CLOSE_WRITE } else { EventMask::DELETE };
                assert_eq!((mask, name), (expected, Some(format!("{}", count / 2).into())));
                count += 1;
                seen.send(()).await.unwrap();
            }
        }
    });
    // Straight-line code, which goes on when the other task has seen what it did.
    let writing = on.here().spawn_fn(move || {
        for n in 0..FILES {
            let path = dir.join(&n.to_string());
            fs::write(&path, "text").wait().unwrap();
            is_seen.recv().wait().unwrap();
            fs::remove_file(&path).wait().unwrap();
            is_seen.recv().wait().unwrap();
        }
    });
    watching.wait().unwrap();
    writing.wait().unwrap();
}

fn what_a_watcher_tells_comes_through_a_channel(on: &Systems) {
    let dir = Dir::new();
    let (changes, received) = channel::unbounded();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let _ = changes.try_send(event);
    })
    .unwrap();
    watcher.watch(&dir.0, RecursiveMode::Recursive).unwrap();
    let wanted = dir.join("file");
    let watching = on.here().spawn(async move {
        loop {
            let event = received.recv().await.unwrap().unwrap();
            if let EventKind::Create(_) = event.kind {
                break (event.paths, received);
            }
        }
    });
    fs::write(&wanted, "text").wait().unwrap();
    let (paths, received) = watching.wait().unwrap();
    assert_eq!(paths, [wanted]);
    // The end of the watcher is the end of the channel.
    drop(watcher);
    let rest = on.here().spawn_fn(move || while received.recv().wait().is_ok() {});
    rest.wait().unwrap();
}
