//! Directories for laws of files.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use twoply_core::fs::File;

/// A directory of a test's own, which is removed at its end.
#[derive(Debug)]
pub struct Dir(pub PathBuf);

impl Dir {
    /// Makes it, empty.
    #[allow(clippy::new_without_default, reason = "it is made on the disk")]
    pub fn new() -> Dir {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("twoply-files-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    /// Returns the path of `name` in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A pipe with a name, open at both ends, so that nobody waits for it to be opened.
    pub fn pipe(&self) -> (File, std::fs::File) {
        let path = self.join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let both = || std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        (File::from_std(both()), both())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
