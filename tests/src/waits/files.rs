//! Waits for files, which are made to wait by pipes with names.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use twoply_core::Wait;
use twoply_core::fs::File;

use super::{Waits, any_wait, leak, leak_mut, waits};

/// A pipe with a name, which goes away with it, and is opened for writing then.
struct Pipe(PathBuf);

impl Pipe {
    fn new() -> Pipe {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("twoply-wait-{}-{number}", std::process::id()));
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("there is room");
        Pipe(path)
    }

    /// Opens both ends, so that nobody waits.
    fn open(&self) -> std::fs::File {
        std::fs::OpenOptions::new().read(true).write(true).open(&self.0).expect("it is there")
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // Whoever waits until it can be opened does so in a thread, which is to end.
        drop(self.open());
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(super) fn files() -> Vec<Waits> {
    let pipe = Pipe::new();
    let writer = pipe.open();
    let reader = leak(File::open(&pipe.0).wait().expect("it is there"));
    let read = || any_wait(reader.read(leak_mut([0])));
    let locked = Pipe::new();
    let holder = File::from_std(locked.open());
    holder.try_lock().expect("nobody else has it");
    let lock = leak(File::from_std(locked.open()));
    vec![
        waits("read of a file", [read(), read()], move || drop((writer, pipe))),
        waits("lock of a file", [any_wait(lock.lock())], move || drop((holder, locked))),
    ]
}
