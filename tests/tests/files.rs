//! Files and directories: what is read and written, what a file that is given up leaves behind, and what
//! errors say.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};
use twoply_core::channel::Source;
use twoply_core::fs::{self, Engine, File, OpenOptions, PathError};
use twoply_core::threads::PoolLimits;
use twoply_core::time::{sleep, timeout};
use twoply_core::{Wait, channel, future};
use twoply_tests::{Dir, Signal, System, Systems, both_ways, eventually, laws};

laws! {
    and_mixed {
        what_is_written_is_read,
        a_file_without_a_cache_takes_any_memory,
        the_traits_of_others_move_the_same_cursor,
        reads_and_writes_at_positions_go_on_side_by_side,
        what_is_larger_than_an_operation_is_moved_in_parts,
        writes_of_several_tasks_do_not_mix,
        an_append_goes_to_the_end,
        errors_say_what_failed_and_where,
        a_file_is_replaced_as_a_whole_or_not_at_all,
        paths_are_made_moved_looked_at_and_removed,
        every_entry_of_a_directory_comes_once,
        locks_exclude_each_other,
        a_file_goes_to_another_runtime_and_back,
    }
    everywhere {
        a_read_that_waits_holds_up_nobody,
        a_dropped_read_of_a_pipe_loses_nothing,
        a_file_of_std_keeps_its_place,
        a_position_that_no_file_has_is_refused,
    }
    fibers {
        a_write_that_is_given_up_can_be_done_again,
        a_pool_that_refuses_is_an_error,
    }
}

const SOON: Duration = Duration::from_secs(10);

fn what_is_written_is_read(on: &Systems) {
    both_ways(on, || {
        let dir = Dir::new();
        async move {
            let path = dir.join("file");
            let file = OpenOptions::new().read(true).write(true).create(true).open(&path).wait().unwrap();
            assert_eq!(file.write(b"hello").wait().unwrap(), 5);
            file.write_all(b", world").wait().unwrap();
            assert_eq!(file.position(), 12);
            file.sync_all().wait().unwrap();
            file.sync_data().wait().unwrap();
            assert_eq!(file.seek(SeekFrom::Start(7)).wait().unwrap(), 7);
            let mut buf = [0; 3];
            assert_eq!(file.read(&mut buf).wait().unwrap(), 3);
            assert_eq!(&buf, b"wor");
            assert_eq!(file.seek(SeekFrom::Current(-10)).wait().unwrap(), 0);
            assert_eq!(file.seek(SeekFrom::End(-1)).wait().unwrap(), 11);
            let before = file.seek(SeekFrom::Current(-12)).wait().unwrap_err();
            assert_eq!(before.kind(), io::ErrorKind::InvalidInput);
            assert_eq!(file.position(), 11, "an error has moved nothing");
            let mut rest = Vec::new();
            assert_eq!(file.read_to_end(&mut rest).wait().unwrap(), 1);
            assert_eq!(file.read(&mut buf).wait().unwrap(), 0, "the end");
            assert_eq!(file.read(&mut []).wait().unwrap(), 0);
            assert_eq!(file.write(&[]).wait().unwrap(), 0);
            file.set_len(4).wait().unwrap();
            assert_eq!(file.metadata().wait().unwrap().len(), 4);
            let (mut one, mut two) = ([0; 1], [0; 9]);
            file.seek(SeekFrom::Start(0)).wait().unwrap();
            let mut bufs = [io::IoSliceMut::new(&mut one), io::IoSliceMut::new(&mut two)];
            assert_eq!(file.read_vectored(&mut bufs).wait().unwrap(), 4);
            assert_eq!((&one, &two[..3]), (b"h", &b"ell"[..]));
            let bufs = [io::IoSlice::new(b"a"), io::IoSlice::new(b"bc")];
            assert_eq!(file.write_vectored(&bufs).wait().unwrap(), 3);
            assert_eq!(std::fs::read(&path).unwrap(), b"hellabc");
        }
    });
}

fn a_file_without_a_cache_takes_any_memory(on: &Systems) {
    both_ways(on, || {
        let dir = Dir::new();
        async move {
            let path = dir.join("file");
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).custom_flags(libc::O_DIRECT);
            // A file system that lies in memory may refuse it.
            let Ok(file) = options.open(&path).await else { return };
            let bytes: Vec<u8> = (0..16_384_u32).map(|n| (n / 256) as u8 ^ n as u8).collect();
            // It begins at a multiple of the size of a page but for one byte.
            let memory = vec![0; 3 * 8192];
            let start = (memory.as_ptr() as usize).next_multiple_of(4096) - memory.as_ptr() as usize + 1;
            let mut memory = memory;
            memory[start..start + 8192].copy_from_slice(&bytes[..8192]);
            file.write_all(&memory[start..start + 8192]).await.unwrap();
            memory[start..start + 8192].copy_from_slice(&bytes[8192..]);
            file.write_all_at(&memory[start..start + 8192], 8192).await.unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
            assert_eq!(file.read_at(&mut memory[start..start + 8192], 4096).await.unwrap(), 8192);
            assert_eq!(memory[start..start + 8192], bytes[4096..12_288]);
            file.seek(SeekFrom::Start(0)).await.unwrap();
            let (one, two) = memory[start..].split_at_mut(4096);
            let mut bufs = [io::IoSliceMut::new(one), io::IoSliceMut::new(&mut two[..4096])];
            assert_eq!(file.read_vectored(&mut bufs).await.unwrap(), 8192);
            assert_eq!(memory[start..start + 8192], bytes[..8192]);
            // The end of a file is where it is.
            file.set_len(13_000).await.unwrap();
            let mut rest = Vec::new();
            assert_eq!(file.read_to_end(&mut rest).await.unwrap(), 13_000 - 8192);
            assert_eq!(rest, bytes[8192..13_000]);
            // Some file systems do without the device here.
            for error in [
                file.read_at(&mut memory[..100], 0).await.map(drop),
                file.write_at(&memory[..4096], 1).await.map(drop),
            ]
            .map(|moved| moved.err())
            .into_iter()
            .flatten()
            {
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                assert!(error.to_string().contains("whole blocks"), "{error}");
            }
        }
    });
}

fn the_traits_of_others_move_the_same_cursor(on: &Systems) {
    both_ways(on, || {
        let dir = Dir::new();
        async move {
            let file = File::create_new(dir.join("file")).await.unwrap();
            let mut shared = &file;
            let written = future_of(|cx| Pin::new(&mut shared).poll_write(cx, b"abcdef")).await;
            assert_eq!(written.unwrap(), 6);
            future_of(|cx| Pin::new(&mut shared).poll_flush(cx)).await.unwrap();
            let sought = future_of(|cx| Pin::new(&mut shared).poll_seek(cx, SeekFrom::Start(2))).await;
            assert_eq!(sought.unwrap(), 2);
            let mut buf = [0; 2];
            assert_eq!(future_of(|cx| Pin::new(&mut shared).poll_read(cx, &mut buf)).await.unwrap(), 2);
            assert_eq!(&buf, b"cd");
            assert_eq!(file.read(&mut buf).await.unwrap(), 2);
            assert_eq!(&buf, b"ef");
            future_of(|cx| Pin::new(&mut shared).poll_close(cx)).await.unwrap();
            // Those of std block the stack.
            let mut clone = file.clone();
            Seek::seek(&mut clone, SeekFrom::Start(0)).unwrap();
            Write::write_all(&mut clone, b"AB").unwrap();
            Write::flush(&mut clone).unwrap();
            let mut text = String::new();
            clone.read_to_string(&mut text).unwrap();
            assert_eq!(text, "cdef");
            assert_eq!(file.position(), 6);
        }
    });
}

/// A future of a poll function.
fn future_of<T>(poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> impl Future<Output = T> {
    std::future::poll_fn(poll)
}

fn reads_and_writes_at_positions_go_on_side_by_side(on: &Systems) {
    both_ways(on, || {
        let dir = Dir::new();
        async move {
            let file = File::create_new(dir.join("file")).await.unwrap();
            let blocks: Vec<_> = (0..16_u8).map(|n| [n; 512]).collect();
            let at = |n: usize| n as u64 * 512;
            let writes = blocks.iter().enumerate().map(|(n, block)| file.write_all_at(block, at(n)));
            for written in future::join_all(writes.map(Box::pin)).await {
                written.unwrap();
            }
            let reads = (0..16).map(|n| {
                let file = file.clone();
                Box::pin(async move {
                    let mut block = [0; 512];
                    file.read_exact_at(&mut block, at(n)).await.map(|()| block)
                })
            });
            let read: Vec<_> = future::join_all(reads).await.into_iter().map(Result::unwrap).collect();
            assert_eq!(read, blocks);
            assert_eq!(file.position(), 0);
            let beyond = file.read_exact_at(&mut [0; 2], at(16) - 1).await.unwrap_err();
            assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
        }
    });
}

fn what_is_larger_than_an_operation_is_moved_in_parts(on: &Systems) {
    both_ways(on, || {
        let dir = Dir::new();
        async move {
            let file = File::create_new(dir.join("file")).await.unwrap();
            let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| (n / 7) as u8).collect();
            file.write_all(&bytes).await.unwrap();
            assert_eq!(file.position(), bytes.len() as u64);
            file.seek(SeekFrom::Start(0)).await.unwrap();
            let mut read = Vec::new();
            file.read_to_end(&mut read).await.unwrap();
            assert!(read == bytes);
            let mut exact = vec![0; bytes.len()];
            file.read_exact_at(&mut exact, 0).await.unwrap();
            assert!(exact == bytes);
        }
    });
}

fn writes_of_several_tasks_do_not_mix(on: &Systems) {
    let dir = Dir::new();
    let path = dir.join("file");
    let file = File::create(&path).wait().unwrap();
    let write = |n: usize| {
        let file = file.clone();
        let system = if n.is_multiple_of(2) { on.here() } else { on.there() };
        system.spawn(async move {
            for _ in 0..20 {
                let line = format!("{n}").repeat(99) + "\n";
                assert_eq!(file.write(line.as_bytes()).await.unwrap(), 100);
            }
        })
    };
    let tasks: Vec<_> = (0..8).map(write).collect();
    tasks.into_iter().for_each(|task| task.wait().unwrap());
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 160);
    for n in 0..8 {
        let line = format!("{n}").repeat(99);
        assert_eq!(text.lines().filter(|other| **other == *line).count(), 20);
    }
}

fn an_append_goes_to_the_end(on: &Systems) {
    both_ways(on, || {
        let dir = Dir::new();
        async move {
            let path = dir.join("log");
            fs::write(&path, "one\n").await.unwrap();
            let log = OpenOptions::new().append(true).read(true).open(&path).await.unwrap();
            log.write_all(b"two\n").await.unwrap();
            assert_eq!(log.position(), 8);
            log.seek(SeekFrom::Start(0)).await.unwrap();
            log.write_all(b"three\n").await.unwrap();
            assert_eq!(fs::read_to_string(&path).await.unwrap(), "one\ntwo\nthree\n");
            assert_eq!(log.read(&mut [0]).await.unwrap(), 0, "the cursor is at the end");
        }
    });
}

/// What an error of the module says of itself.
fn told(error: &io::Error) -> (&'static str, Option<PathBuf>, Option<i32>) {
    let of_path = error.get_ref().and_then(|inner| inner.downcast_ref::<PathError>()).unwrap();
    let path = of_path.path().map(Path::to_owned);
    assert!(error.to_string().starts_with(of_path.operation()), "{error}");
    (of_path.operation(), path, of_path.raw_os_error())
}

fn errors_say_what_failed_and_where(on: &Systems) {
    both_ways(on, || {
        let dir = Dir::new();
        async move {
            let nul = File::open("a\0b").await.unwrap_err();
            assert_eq!(nul.kind(), io::ErrorKind::InvalidInput);
            assert_eq!(told(&nul), ("open", Some("a\0b".into()), None));
            let long = "x".repeat(300);
            let long = fs::metadata(&long).await.unwrap_err();
            assert_eq!(long.kind(), io::ErrorKind::InvalidFilename);
            assert_eq!(told(&long).2, Some(libc::ENAMETOOLONG));
            let missing = dir.join("missing");
            let error = fs::rename(&missing, dir.join("there")).await.unwrap_err();
            assert_eq!(told(&error), ("rename", Some(missing.clone()), Some(libc::ENOENT)));
            assert!(error.to_string().contains("there"), "{error}");
            let full = OpenOptions::new().write(true).open("/dev/full").await.unwrap();
            let error = full.write(b"x").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert_eq!(told(&error), ("write", Some("/dev/full".into()), Some(libc::ENOSPC)));
            let error = full.write_at(b"x", 0).await.unwrap_err();
            assert_eq!(told(&error).2, Some(libc::ENOSPC));
            let directory = File::open(&dir.0).await.unwrap();
            let error = directory.read(&mut [0]).await.unwrap_err();
            assert_eq!(told(&error), ("read", Some(dir.0.clone()), Some(libc::EISDIR)));
            let error = directory.write(b"x").await.unwrap_err();
            assert_eq!(told(&error).2, Some(libc::EBADF), "it is open for reading");
            let error = fs::read_dir(&missing).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            let empty = File::create_new(dir.join("empty")).await.unwrap();
            let error = empty.read_exact(&mut [0]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(told(&error).1, Some(dir.join("empty")));
        }
    });
}

fn a_file_is_replaced_as_a_whole_or_not_at_all(on: &Systems) {
    both_ways(on, || {
        let dir = Dir::new();
        async move {
            use std::os::unix::fs::PermissionsExt;
            let path = dir.join("settings");
            fs::replace(&path, "first").await.unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).await.unwrap();
            fs::replace(&path, "second").await.unwrap();
            assert_eq!(fs::read_to_string(&path).await.unwrap(), "second");
            let mode = fs::metadata(&path).await.unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o640, "the permissions stay");
            // A directory cannot be replaced by a file.
            let taken = dir.join("taken");
            fs::create_dir(&taken).await.unwrap();
            let error = fs::replace(&taken, "x").await.unwrap_err();
            assert_eq!(told(&error).0, "replace");
            assert!(fs::replace(dir.join("no/such"), "x").await.is_err());
            let error = fs::replace(dir.join(".."), "x").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            let mut names: Vec<_> =
                std::fs::read_dir(&dir.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            assert_eq!(names, ["settings", "taken"], "nothing temporary is left");
        }
    });
}

fn paths_are_made_moved_looked_at_and_removed(on: &Systems) {
    both_ways(on, || {
        let dir = Dir::new();
        async move {
            let deep = dir.join("a/b");
            fs::create_dir_all(&deep).await.unwrap();
            assert!(fs::create_dir(&deep).await.is_err());
            let file = deep.join("file");
            fs::write(&file, "text").await.unwrap();
            assert_eq!(fs::copy(&file, deep.join("copy")).await.unwrap(), 4);
            fs::hard_link(&file, deep.join("hard")).await.unwrap();
            fs::symlink("file", deep.join("soft")).await.unwrap();
            assert_eq!(fs::read_link(deep.join("soft")).await.unwrap(), Path::new("file"));
            assert!(fs::symlink_metadata(deep.join("soft")).await.unwrap().is_symlink());
            let real = fs::canonicalize(deep.join("soft")).await.unwrap();
            assert_eq!(real, fs::canonicalize(&file).await.unwrap());
            fs::rename(deep.join("copy"), deep.join("moved")).await.unwrap();
            assert!(!fs::exists(deep.join("copy")).await.unwrap());
            assert_eq!(fs::read(deep.join("moved")).await.unwrap(), b"text");
            fs::remove_file(deep.join("moved")).await.unwrap();
            assert!(fs::remove_dir(&deep).await.is_err(), "it is not empty");
            fs::remove_dir_all(dir.join("a")).await.unwrap();
            assert!(!fs::exists(&deep).await.unwrap());
            fs::create_dir(deep.parent().unwrap()).await.unwrap();
            fs::remove_dir(dir.join("a")).await.unwrap();
        }
    });
}

fn every_entry_of_a_directory_comes_once(on: &Systems) {
    let dir = Dir::new();
    let mut names: Vec<String> = (0..200).map(|n| format!("file-{n:03}")).collect();
    names.iter().for_each(|name| std::fs::write(dir.join(name), "").unwrap());
    let entries = std::sync::Arc::new(fs::read_dir(&dir.0).wait().unwrap());
    let receive = |system: &System| {
        let entries = entries.clone();
        system.spawn(async move {
            let mut names = Vec::new();
            loop {
                {
                    // One that is dropped has received nothing.
                    let mut cx = Context::from_waker(Waker::noop());
                    let dropped = pin!(entries.recv()).poll(&mut cx);
                    if let Poll::Ready(Ok(entry)) = dropped {
                        names.push(entry.unwrap().file_name().into_string().unwrap());
                    }
                }
                let Ok(entry) = entries.recv().await else { return names };
                names.push(entry.unwrap().file_name().into_string().unwrap());
            }
        })
    };
    let tasks = [receive(on.here()), receive(on.there())];
    let mut received: Vec<_> = tasks.into_iter().flat_map(|task| task.wait().unwrap()).collect();
    received.sort();
    names.sort();
    assert_eq!(received, names);
    assert!(entries.recv().wait().is_err());
    assert!(matches!(entries.try_recv(), Err(twoply_core::channel::TryRecvError::Closed)));
}

fn a_file_goes_to_another_runtime_and_back(on: &Systems) {
    const ROUNDS: u8 = 20;
    let dir = Dir::new();
    let path = dir.join("file");
    let opening = on
        .here()
        .spawn(async move { OpenOptions::new().read(true).write(true).create(true).open(path).await });
    let file = opening.wait().unwrap().unwrap();
    let ((there, comes), (back, returns)) = (channel::bounded::<File>(1), channel::bounded::<File>(1));
    // One writes what the other one reads, by the cursor that goes along, which it puts back.
    let reading = on.there().spawn(async move {
        for round in 0..ROUNDS {
            let file = comes.recv().await.unwrap();
            file.seek(SeekFrom::Current(-1)).await.unwrap();
            let mut byte = [0];
            file.read_exact(&mut byte).await.unwrap();
            assert_eq!(byte, [round]);
            // An operation that is given up leaves the cursor where it was, for whoever has the file then.
            let _ = timeout(Duration::ZERO, file.read(&mut byte)).await;
            back.send(file).await.unwrap();
        }
    });
    let writing = on.here().spawn_fn(move || {
        let mut file = file;
        for round in 0..ROUNDS {
            file.write_all(&[round]).wait().unwrap();
            there.send(file).wait().unwrap();
            file = returns.recv().wait().unwrap();
            assert_eq!(file.position(), u64::from(round) + 1);
        }
    });
    writing.wait().unwrap();
    reading.wait().unwrap();
}

fn locks_exclude_each_other(on: &Systems) {
    let dir = Dir::new();
    let path = dir.join("file");
    let mine = File::create(&path).wait().unwrap();
    let theirs = File::open(&path).wait().unwrap();
    mine.try_lock().unwrap();
    assert!(matches!(theirs.try_lock_shared(), Err(fs::TryLockError::WouldBlock)));
    // One that gives up leaves nothing behind.
    assert!(timeout(Duration::from_millis(1), theirs.lock()).wait().is_err());
    let cancelled = theirs.clone();
    let cancelled = on.here().spawn(async move { cancelled.lock().await });
    cancelled.cancel();
    assert!(cancelled.wait().unwrap_err().is_cancelled());
    let waiting = on.there().spawn({
        let theirs = theirs.clone();
        async move { theirs.lock().await }
    });
    sleep(Duration::from_millis(2)).wait();
    assert!(!waiting.is_finished());
    mine.unlock().unwrap();
    waiting.wait().unwrap().unwrap();
    assert!(mine.try_lock().is_err());
    theirs.unlock().unwrap();
    mine.lock_shared().wait().unwrap();
    theirs.lock_shared().wait().unwrap();
}

fn a_read_that_waits_holds_up_nobody(on: &Systems) {
    let dir = Dir::new();
    let (pipe, mut other) = dir.pipe();
    let signal = Signal::new();
    let begun = signal.clone();
    let reading = on.here().spawn(async move {
        begun.add();
        let mut buf = [0; 8];
        // Two directions of a pipe do not wait for each other.
        let n = pipe.read(&mut buf).await.unwrap();
        (buf[..n].to_vec(), pipe)
    });
    eventually("it has begun", || signal.count() == 1);
    on.here().spawn(sleep(Duration::from_millis(5))).wait().unwrap();
    assert!(!reading.is_finished());
    other.write_all(b"bytes").unwrap();
    let (bytes, pipe) = reading.wait().unwrap();
    assert_eq!(bytes, b"bytes");
    let error = on.here().spawn(async move { pipe.seek(SeekFrom::Start(0)).await }).wait().unwrap();
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotSeekable);
}

fn a_dropped_read_of_a_pipe_loses_nothing(on: &Systems) {
    let dir = Dir::new();
    let (pipe, mut other) = dir.pipe();
    let task = on.here().spawn(async move {
        let mut buf = [0; 4];
        assert!(timeout(Duration::from_millis(5), pipe.read(&mut buf)).await.is_err());
        assert_eq!(pipe.write(b"abcdef").await.unwrap(), 6, "it does not wait for the read");
        let mut read = Vec::new();
        while read.len() < 6 {
            let mut buf = [0; 2];
            let n = pipe.read(&mut buf).await.unwrap();
            read.extend_from_slice(&buf[..n]);
        }
        read
    });
    assert_eq!(task.wait().unwrap(), b"abcdef");
    other.flush().unwrap();
}

fn a_file_of_std_keeps_its_place(on: &Systems) {
    let dir = Dir::new();
    let path = dir.join("file");
    std::fs::write(&path, "abcdef").unwrap();
    let task = on.here().spawn(async move {
        let mut file = std::fs::File::open(&path).unwrap();
        file.read_exact(&mut [0; 2]).unwrap();
        let file = File::from(file);
        assert_eq!((file.position(), file.path()), (2, None));
        file.read_exact(&mut [0; 2]).await.unwrap();
        let mut rest = String::new();
        file.to_std().unwrap().read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), file.position()), ("ef", 4));
    });
    task.wait().unwrap();
}

/// A system whose pool has one thread, which is busy until the sender is dropped.
fn busy(on: &Systems, queue: usize) -> (System, mpsc::Sender<()>) {
    let limits = PoolLimits { threads: 1, queue, ..PoolLimits::default() };
    let builder = on.kind().green().offload_limits(limits).file_engine(Engine::Pool);
    let system = System::from(builder.build().unwrap());
    let (hold, held) = mpsc::channel();
    let (begin, began) = mpsc::channel();
    let block = move || {
        begin.send(()).unwrap();
        let _ = held.recv();
    };
    system.backend().blocking_pool().execute(None, block).unwrap();
    began.recv().unwrap();
    (system, hold)
}

fn a_write_that_is_given_up_can_be_done_again(on: &Systems) {
    let dir = Dir::new();
    let path = dir.join("file");
    let file = File::create(&path).wait().unwrap();
    let (system, hold) = busy(on, usize::MAX);
    let writer = file.clone();
    let given_up = system.spawn(async move {
        // `O_DSYNC` is not set, so the system may take it at once.
        timeout(Duration::from_millis(5), writer.write(b"once")).await.is_err()
    });
    let given_up = given_up.wait().unwrap();
    assert_eq!(file.position(), if given_up { 0 } else { 4 });
    let again = file.clone();
    let again = system.spawn(async move {
        if given_up {
            again.write_all(b"once").await.unwrap();
        }
        again.write_all(b" more").await.unwrap();
        again.sync_all().await.unwrap();
    });
    drop(hold);
    again.wait().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"once more");
    system.shutdown(SOON).unwrap();
}

fn a_pool_that_refuses_is_an_error(on: &Systems) {
    let dir = Dir::new();
    let path = dir.join("file");
    let file = File::create(&path).wait().unwrap();
    let (system, hold) = busy(on, 0);
    let refused = system.spawn(async move {
        let error = fs::metadata("/").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        assert_eq!(told(&error).1, Some(PathBuf::from("/")));
        let error = fs::rename("/from", "/to").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        assert_eq!(told(&error).1, Some(PathBuf::from("/from")));
        file.sync_all().await
    });
    let refused = refused.wait().unwrap();
    if let Err(error) = refused {
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        assert_eq!(told(&error).1, Some(path));
    }
    drop(hold);
    system.shutdown(SOON).unwrap();
}

fn a_position_that_no_file_has_is_refused(on: &Systems) {
    both_ways(on, || {
        let dir = Dir::new();
        async move {
            let path = dir.join("file");
            let file = OpenOptions::new().read(true).write(true).create(true).open(&path).await.unwrap();
            file.write_all(b"content").await.unwrap();
            file.seek(SeekFrom::Start(2)).await.unwrap();
            for at in [u64::MAX, u64::MAX - 1, i64::MAX as u64 + 1] {
                let refused = [
                    file.read_at(&mut [0; 4], at).await,
                    file.read_at(&mut [0; 4], at).wait(),
                    file.write_at(b"over", at).await,
                    file.write_at(b"over", at).wait(),
                    file.seek(SeekFrom::Start(at)).await.map(|_| 0),
                ];
                for result in refused {
                    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput);
                }
            }
            assert_eq!((file.position(), std::fs::read(&path).unwrap()), (2, b"content".to_vec()));
        }
    });
}
