//! Files: random reads of 4 KiB, reads of 1 MiB one after another, and small files that are written and
//! synced.
//!
//! What is read lies in the memory of the system, so a read measures what a library adds to a system call and
//! a copy; those of `cold` have the system forget it first, so each waits for the device, which is checked by
//! the bytes that it has read. A small file is created, written, synced and closed; most of that is the
//! device's time, but for those of `memory`, which lie in no device, so that they measure the libraries.
//!
//! What differs: tokio has no read at a position, so it seeks and reads, each on another thread. compio is a
//! runtime over io_uring, each on the thread that waits for it; its buffers are handed over and come back.
//! `twoply-green-whole` writes and syncs a small file by one call, as a program may that has all bytes.

use std::fs;
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use compio::io::AsyncReadAtExt as _;
use rustix::fs::Advice;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::{Case, Context, Sample, check_count, timed};
use crate::runtimes::{self, Tasks as _};

pub(crate) const CASES: &[Case] = &[
    timed(
        "file-random-4k",
        &[("workers", 1)],
        &[
            ("std-thread", |ctx| std_thread(ctx, SMALL, Memory::Warm)),
            ("tokio-current", |ctx| tokio(ctx, SMALL, Memory::Warm)),
            ("tokio-multi", |ctx| tokio(ctx, SMALL, Memory::Warm)),
            ("compio", |ctx| compio(ctx, SMALL, Memory::Warm)),
            ("twoply-native", |ctx| twoply(ctx, SMALL, Memory::Warm)),
            ("twoply-green", |ctx| twoply(ctx, SMALL, Memory::Warm)),
            ("twoply-fibers", |ctx| twoply(ctx, SMALL, Memory::Warm)),
        ],
    ),
    Case {
        quick: false,
        ..timed(
            "file-sequential-1m",
            &[("workers", 1)],
            &[
                ("std-thread", |ctx| std_thread(ctx, LARGE, Memory::Warm)),
                ("tokio-current", |ctx| tokio(ctx, LARGE, Memory::Warm)),
                ("tokio-multi", |ctx| tokio(ctx, LARGE, Memory::Warm)),
                ("compio", |ctx| compio(ctx, LARGE, Memory::Warm)),
                ("twoply-native", |ctx| twoply(ctx, LARGE, Memory::Warm)),
                ("twoply-green", |ctx| twoply(ctx, LARGE, Memory::Warm)),
                ("twoply-fibers", |ctx| twoply(ctx, LARGE, Memory::Warm)),
            ],
        )
    },
    Case {
        quick: false,
        ..timed(
            "file-random-4k-cold",
            &[("workers", 1)],
            &[
                ("std-thread", |ctx| std_thread(ctx, SMALL, Memory::Cold)),
                ("tokio-current", |ctx| tokio(ctx, SMALL, Memory::Cold)),
                ("tokio-multi", |ctx| tokio(ctx, SMALL, Memory::Cold)),
                ("compio", |ctx| compio(ctx, SMALL, Memory::Cold)),
                ("twoply-native", |ctx| twoply(ctx, SMALL, Memory::Cold)),
                ("twoply-green", |ctx| twoply(ctx, SMALL, Memory::Cold)),
                ("twoply-fibers", |ctx| twoply(ctx, SMALL, Memory::Cold)),
            ],
        )
    },
    Case {
        quick: false,
        ..timed(
            "file-sequential-1m-cold",
            &[("workers", 1)],
            &[
                ("std-thread", |ctx| std_thread(ctx, LARGE, Memory::Cold)),
                ("tokio-current", |ctx| tokio(ctx, LARGE, Memory::Cold)),
                ("tokio-multi", |ctx| tokio(ctx, LARGE, Memory::Cold)),
                ("compio", |ctx| compio(ctx, LARGE, Memory::Cold)),
                ("twoply-native", |ctx| twoply(ctx, LARGE, Memory::Cold)),
                ("twoply-green", |ctx| twoply(ctx, LARGE, Memory::Cold)),
                ("twoply-fibers", |ctx| twoply(ctx, LARGE, Memory::Cold)),
            ],
        )
    },
    timed(
        "small-file",
        &[("workers", 1)],
        &[
            ("std-thread", |ctx| std_small(ctx, Place::Device)),
            ("tokio-current", |ctx| tokio_small(ctx, Place::Device)),
            ("tokio-multi", |ctx| tokio_small(ctx, Place::Device)),
            ("twoply-native", |ctx| twoply_small(ctx, Place::Device)),
            ("twoply-green", |ctx| twoply_small(ctx, Place::Device)),
            ("twoply-green-whole", |ctx| twoply_small_whole(ctx, Place::Device)),
            ("twoply-fibers", |ctx| twoply_small(ctx, Place::Device)),
        ],
    ),
    timed(
        "small-file-memory",
        &[("workers", 1)],
        &[
            ("std-thread", |ctx| std_small(ctx, Place::Memory)),
            ("tokio-current", |ctx| tokio_small(ctx, Place::Memory)),
            ("tokio-multi", |ctx| tokio_small(ctx, Place::Memory)),
            ("twoply-native", |ctx| twoply_small(ctx, Place::Memory)),
            ("twoply-green", |ctx| twoply_small(ctx, Place::Memory)),
            ("twoply-green-whole", |ctx| twoply_small_whole(ctx, Place::Memory)),
            ("twoply-fibers", |ctx| twoply_small(ctx, Place::Memory)),
        ],
    ),
];

/// The size of the file that is read.
const SIZE: usize = 64 << 20;

/// The size of a random read.
const SMALL: usize = 4 << 10;

/// The size of a read of those that come one after another.
const LARGE: usize = 1 << 20;

/// Where the file that is read lies.
#[derive(Clone, Copy, PartialEq)]
enum Memory {
    Warm,
    Cold,
}

/// Where the small files lie.
#[derive(Clone, Copy)]
enum Place {
    /// On a device, which each sync waits for.
    Device,
    /// In the memory of the system, and nowhere else.
    Memory,
}

impl Place {
    fn path(self) -> PathBuf {
        match self {
            Self::Device => std::env::temp_dir(),
            Self::Memory => PathBuf::from("/dev/shm"),
        }
    }
}

/// Has the system forget what it has read, before it is read again.
struct Forget {
    /// The file, if its content is to be forgotten.
    file: Option<fs::File>,
    /// The number of bytes that the process had read from devices before; `None` where the system does not
    /// say.
    read_before: Option<u64>,
}

impl Forget {
    fn new(path: &Path, memory: Memory) -> Result<Self> {
        let file = fs::File::open(path)?;
        // What has not been written yet cannot be forgotten.
        file.sync_all()?;
        let file = (memory == Memory::Cold).then_some(file);
        if let Some(file) = &file {
            // Whoever writes much leaves pages of up to megabytes, which are forgotten as a whole or not at
            // all. Those of the reads from here on are no larger than what is read.
            rustix::fs::fadvise(file, 0, None, Advice::DontNeed)?;
        }
        Ok(Self { file, read_before: read_from_devices() })
    }

    fn before(&self, at: u64, size: usize) -> Result<()> {
        if let Some(file) = &self.file {
            rustix::fs::fadvise(file, at, NonZeroU64::new(size as u64), Advice::DontNeed)?;
        }
        Ok(())
    }

    /// Has the system read no more than what is asked for: it would do so in vain.
    fn no_more(&self, file: impl AsFd) -> Result<()> {
        if self.file.is_some() {
            rustix::fs::fadvise(file, 0, None, Advice::Random)?;
        }
        Ok(())
    }

    /// Checks that the bytes of `reads` reads have come from a device, if they were to be forgotten.
    fn check(&self, reads: usize, size: usize) -> Result<()> {
        if let (Some(_), Some(before), Some(now)) = (&self.file, self.read_before, read_from_devices()) {
            let (read, wanted) = (now - before, (reads * size) as u64);
            ensure!(read >= wanted, "the system had some in memory: {read} of {wanted} bytes were read");
        }
        Ok(())
    }
}

/// Returns the number of bytes that the threads of this process have had read from devices.
fn read_from_devices() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("read_bytes: "))?.parse().ok()
}

/// A directory of a run's own, which is removed at its end.
struct Dir(PathBuf);

impl Dir {
    fn new(place: Place) -> Result<Self> {
        let path = place.path().join(format!("twoply-bench-fs-{}", std::process::id()));
        fs::create_dir_all(&path).context("making a directory")?;
        Ok(Self(path))
    }

    /// Makes the file that is read: each block begins with its number.
    fn filled(&self) -> Result<PathBuf> {
        let path = self.0.join("file");
        let mut bytes = vec![0; SIZE];
        for (number, block) in (0_u64..).zip(bytes.chunks_mut(SMALL)) {
            block[..8].copy_from_slice(&number.to_le_bytes());
        }
        fs::write(&path, bytes).context("writing the file")?;
        Ok(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where the reads go: everywhere, in an order of chance that is always the same, or one after another.
struct Places {
    size: usize,
    state: u64,
}

impl Places {
    fn new(size: usize) -> Self {
        Self { size, state: 1 }
    }

    fn next(&mut self) -> u64 {
        // Knuth's generator; the upper bits are the better ones.
        self.state = match self.size {
            SMALL => {
                self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
            }
            _ => self.state + 1,
        };
        let number = if self.size == SMALL { self.state >> 33 } else { self.state };
        number % (SIZE / self.size) as u64 * self.size as u64
    }
}

/// Checks that a read has brought what is at its place.
fn check(buf: &[u8], at: u64) -> Result<usize> {
    let number = u64::from_le_bytes(buf[..8].try_into()?);
    ensure!(number == at / SMALL as u64, "a read has brought something else");
    Ok(1)
}

fn std_thread(ctx: &Context, size: usize, memory: Memory) -> Result<Sample> {
    use std::os::unix::fs::FileExt as _;

    let dir = Dir::new(Place::Device)?;
    let path = dir.filled()?;
    ctx.time(1, |ops| {
        let read = || {
            let (file, forget) = (fs::File::open(&path)?, Forget::new(&path, memory)?);
            forget.no_more(&file)?;
            let (mut places, mut buf, mut done) = (Places::new(size), vec![0; size], 0);
            for _ in 0..ops {
                let at = places.next();
                forget.before(at, size)?;
                file.read_exact_at(&mut buf, at)?;
                done += check(&buf, at)?;
            }
            forget.check(ops, size)?;
            anyhow::Ok(done)
        };
        // On a thread of its own, as with the others: a process of one thread pays less for a descriptor.
        let done = std::thread::scope(|scope| scope.spawn(read).join());
        check_count(ops, done.ok().context("the thread has panicked")??)
    })
}

fn tokio(ctx: &Context, size: usize, memory: Memory) -> Result<Sample> {
    let dir = Dir::new(Place::Device)?;
    let path = dir.filled()?;
    let runtime = runtimes::tokio(ctx)?;
    ctx.time(1, |ops| {
        let path = path.clone();
        let read = async move {
            let forget = Forget::new(&path, memory)?;
            let mut file = tokio::fs::File::open(path).await?;
            forget.no_more(&file)?;
            let (mut places, mut buf, mut done) = (Places::new(size), vec![0; size], 0);
            for _ in 0..ops {
                let at = places.next();
                forget.before(at, size)?;
                file.seek(std::io::SeekFrom::Start(at)).await?;
                file.read_exact(&mut buf).await?;
                done += check(&buf, at)?;
            }
            forget.check(ops, size)?;
            anyhow::Ok(done)
        };
        check_count(ops, runtime.run(read)??)
    })
}

fn compio(ctx: &Context, size: usize, memory: Memory) -> Result<Sample> {
    let dir = Dir::new(Place::Device)?;
    let path = dir.filled()?;
    let runtime = compio::runtime::Runtime::new()?;
    ctx.time(1, |ops| {
        let done = runtime.block_on(async {
            let (file, forget) = (compio::fs::File::open(&path).await?, Forget::new(&path, memory)?);
            forget.no_more(&file)?;
            let (mut places, mut buf, mut done) = (Places::new(size), vec![0; size], 0);
            for _ in 0..ops {
                let at = places.next();
                forget.before(at, size)?;
                let (read, back) = file.read_exact_at(buf, at).await.into();
                read?;
                buf = back;
                done += check(&buf, at)?;
            }
            forget.check(ops, size)?;
            anyhow::Ok(done)
        })?;
        check_count(ops, done)
    })
}

fn twoply(ctx: &Context, size: usize, memory: Memory) -> Result<Sample> {
    let dir = Dir::new(Place::Device)?;
    let path = dir.filled()?;
    let runtime = runtimes::twoply(ctx)?;
    ctx.time(1, |ops| {
        let path = path.clone();
        let read = async move {
            let forget = Forget::new(&path, memory)?;
            let file = twoply::fs::File::open(path).await?;
            forget.no_more(&file)?;
            let (mut places, mut buf, mut done) = (Places::new(size), vec![0; size], 0);
            for _ in 0..ops {
                let at = places.next();
                forget.before(at, size)?;
                file.read_exact_at(&mut buf, at).await?;
                done += check(&buf, at)?;
            }
            forget.check(ops, size)?;
            anyhow::Ok(done)
        };
        check_count(ops, runtime.run(read)??)
    })
}

/// The path of a small file. There are so many of them, and then they are written again.
fn small(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("{}", number % 1000))
}

fn std_small(ctx: &Context, place: Place) -> Result<Sample> {
    use std::io::Write as _;

    let dir = Dir::new(place)?;
    ctx.time(1, |ops| {
        for number in 0..ops {
            let mut file = fs::File::create(small(&dir.0, number))?;
            file.write_all(&[7; SMALL])?;
            file.sync_all()?;
        }
        Ok(())
    })
}

fn tokio_small(ctx: &Context, place: Place) -> Result<Sample> {
    let dir = Dir::new(place)?;
    let runtime = runtimes::tokio(ctx)?;
    ctx.time(1, |ops| {
        let path = dir.0.clone();
        runtime.run(async move {
            for number in 0..ops {
                let mut file = tokio::fs::File::create(small(&path, number)).await?;
                file.write_all(&[7; SMALL]).await?;
                file.sync_all().await?;
            }
            anyhow::Ok(())
        })?
    })
}

fn twoply_small(ctx: &Context, place: Place) -> Result<Sample> {
    let dir = Dir::new(place)?;
    let runtime = runtimes::twoply(ctx)?;
    ctx.time(1, |ops| {
        let path = dir.0.clone();
        runtime.run(async move {
            for number in 0..ops {
                let file = twoply::fs::File::create(small(&path, number)).await?;
                file.write_all(&[7; SMALL]).await?;
                file.sync_all().await?;
            }
            anyhow::Ok(())
        })?
    })
}

/// Each file by one operation, instead of three.
fn twoply_small_whole(ctx: &Context, place: Place) -> Result<Sample> {
    let dir = Dir::new(place)?;
    let runtime = runtimes::twoply(ctx)?;
    ctx.time(1, |ops| {
        let path = dir.0.clone();
        runtime.run(async move {
            for number in 0..ops {
                twoply::fs::write_synced(small(&path, number), [7; SMALL]).await?;
            }
            anyhow::Ok(())
        })?
    })
}
