//! A bell that rings when the system says that something happens to a file or to its name: inotify, where
//! there is one. Who listens looks for itself; events are dropped unread.

pub(super) use sys::Bell;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod sys {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
    use std::task::{Context, Poll};

    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init, remove_watch};

    use crate::event::reactor::Direction;
    use crate::io::Pollable;
    use crate::kernel::blocking::call;

    /// A bell that never rings where the system has no more of them.
    pub(in super::super) struct Bell(Option<Arc<Inotify>>);

    struct Inotify {
        queue: Pollable<OwnedFd>,
        /// The number of the watch of the file; zero is none.
        file: AtomicI32,
    }

    impl Bell {
        pub(in super::super) fn new() -> Bell {
            let queue = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
            let queue = queue.map_err(io::Error::from).and_then(Pollable::new);
            Bell(queue.ok().map(|queue| Arc::new(Inotify { queue, file: AtomicI32::new(0) })))
        }

        /// Rings from now on when another file gets the name `path`.
        pub(in super::super) async fn watch_name(&self, path: &Path) {
            self.watch(path, Inotify::watch_name).await;
        }

        /// Rings from now on when the file that is at `path` is written to, instead of the one before.
        pub(in super::super) async fn watch_file(&self, path: &Path) {
            self.watch(path, Inotify::watch_file).await;
        }

        async fn watch(&self, path: &Path, watch: fn(&Inotify, &Path)) {
            let Some(inotify) = self.0.clone() else { return };
            let path = path.to_owned();
            // A file that cannot be watched is looked at by the clock.
            let _ = call(move || {
                watch(&inotify, &path);
                Ok::<(), io::Error>(())
            })
            .await;
        }

        /// Ready when it has rung since the last time.
        pub(in super::super) fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<()> {
            let Some(inotify) = &self.0 else { return Poll::Pending };
            let mut rung = Poll::Pending;
            let mut events = [0; 4096];
            let mut read = |queue: &OwnedFd| Ok(rustix::io::read(queue, &mut events)?);
            while let Poll::Ready(Ok(1..)) = inotify.queue.poll_with_io(Direction::Read, cx, &mut read) {
                rung = Poll::Ready(());
            }
            rung
        }
    }

    impl Inotify {
        fn watch_name(&self, path: &Path) {
            let names = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE | WatchFlags::ONLYDIR;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let _ = add_watch(&self.queue, parent.unwrap_or(Path::new(".")), names);
        }

        fn watch_file(&self, path: &Path) {
            let new = add_watch(&self.queue, path, WatchFlags::MODIFY).unwrap_or(0);
            let old = self.file.swap(new, Relaxed);
            if old != 0 && old != new {
                // The watch of a file that has been deleted is gone already.
                let _ = remove_watch(&self.queue, old);
            }
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod sys {
    use std::path::Path;
    use std::task::{Context, Poll};

    /// A bell that never rings.
    pub(in super::super) struct Bell;

    impl Bell {
        pub(in super::super) fn new() -> Bell {
            Bell
        }

        pub(in super::super) async fn watch_name(&self, _path: &Path) {}

        pub(in super::super) async fn watch_file(&self, _path: &Path) {}

        pub(in super::super) fn poll_rung(&self, _cx: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }
}
