//! The standard streams: nothing is lost or reordered, no worker waits, and the mode of what is shared stays.

use std::fs::{self, File};
use std::future::poll_fn;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use rustix::fs::{OFlags, fcntl_getfl};
use twoply_core::Wait;
use twoply_core::future::join_all;
use twoply_core::io::{stderr, stdin, stdout};
use twoply_core::time::timeout;
use twoply_tests::{Systems, laws};

laws! {
    and_mixed {
        what_several_write_comes_out_whole_and_in_the_order_of_each,
    }
    everywhere {
        what_is_accepted_is_written_before_a_shutdown_ends,
        a_reader_that_is_slow_holds_no_worker_up,
        what_must_not_wait_is_accepted_whole_or_not_at_all,
        a_reader_that_is_gone_is_an_error,
        a_read_that_is_given_up_loses_no_input,
        a_file_is_read_to_its_end,
        std_and_futures_io_write_to_the_same_stream,
    }
}

/// The lines of what a child of the harness has written that begin with `mark`, in order.
fn lines_of<'a>(output: &'a str, mark: &str) -> Vec<&'a str> {
    output.split('\n').filter_map(|line| line.find(mark).map(|at| &line[at..])).collect()
}

fn assert_modes() {
    for flags in
        [fcntl_getfl(std::io::stdin()), fcntl_getfl(std::io::stdout()), fcntl_getfl(std::io::stderr())]
    {
        assert!(!flags.unwrap().contains(OFlags::NONBLOCK), "the mode has been changed");
    }
}

fn what_several_write_comes_out_whole_and_in_the_order_of_each(on: &Systems) {
    let output = on.in_child(|| {
        let other = on.there().spawner().clone();
        let main = move || {
            let writers = (0..4).map(|writer| {
                let write = async move {
                    for n in 0..500 {
                        stdout().write_all(format!("writer {writer} {n:05}\n").as_bytes()).await.unwrap();
                    }
                };
                if writer % 2 == 0 { twoply_core::task::spawn(write) } else { other.spawn(write) }
            });
            for task in writers.collect::<Vec<_>>() {
                task.wait().unwrap();
            }
        };
        on.here().spawner().run(main).unwrap();
        assert_modes();
    });
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // A line that has no room at once may be cut by another one: the bytes are all there.
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    assert_eq!(digits(&text[text.find("writer").unwrap()..]), 4 * 500 * 6);
    for writer in 0..4 {
        let mark = format!("writer {writer} ");
        let numbers: Vec<_> = lines_of(&text, &mark).into_iter().filter(|line| line.len() == 14).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert!(numbers.len() > 400);
    }
}

fn what_is_accepted_is_written_before_a_shutdown_ends(on: &Systems) {
    let output = on.in_child(|| {
        let system = on.kind().build();
        let write = async {
            stdout().write_all(&[b'.'; 50_000]).await.unwrap();
            stderr().write_all(&[b':'; 50_000]).await.unwrap();
        };
        system.spawn(write).wait().unwrap();
        system.shutdown(Duration::from_secs(10)).unwrap();
    });
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.ends_with(&[b'.'; 50_000]));
    assert!(output.stderr.ends_with(&[b':'; 50_000]));
}

/// Starts a child of which nobody reads the output yet. Returns it, and the lines of its errors.
fn unread(command: &mut Command) -> (Child, impl Iterator<Item = String> + use<>) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    (child, lines)
}

fn a_reader_that_is_slow_holds_no_worker_up(on: &Systems) {
    let (mut child, mut lines) = unread(&mut on.child(|| {
        let main = || {
            let writer = twoply_core::task::spawn(async { stdout().write_all(&[b'x'; 1 << 20]).await });
            let others = (0..100).map(|n| twoply_core::task::spawn(async move { n }));
            let sum: u32 = others.collect::<Vec<_>>().into_iter().map(|task| task.wait().unwrap()).sum();
            stderr().write_all(format!("the others are done: {sum}\n").as_bytes()).wait().unwrap();
            stderr().flush().wait().unwrap();
            writer.wait().unwrap().unwrap();
        };
        on.here().spawner().run(main).unwrap();
    }));
    assert!(lines.any(|line| line.contains("the others are done: 4950")));
    // Only now does anybody read.
    let mut bytes = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.iter().rev().take_while(|byte| **byte == b'x').count(), 1 << 20);
    assert!(child.wait().unwrap().success());
}

/// Nobody reads, so there is no room for all of it.
fn what_must_not_wait_is_accepted_whole_or_not_at_all(on: &Systems) {
    let (mut child, mut lines) = unread(&mut on.child(|| {
        let main = || {
            let line = format!("{}\n", "x".repeat(999));
            let accepted = (0..1_000).filter(|_| stdout().try_write_all(line.as_bytes())).count();
            assert!(!stdout().try_write_all(&[0; 1 << 20]), "there is never so much room");
            stderr().write_all(format!("lines: {accepted}\n").as_bytes()).wait().unwrap();
        };
        on.here().spawner().run(main).unwrap();
    }));
    let accepted = lines.find_map(|line| line.split_once("lines: ")?.1.parse::<usize>().ok()).unwrap();
    // That of a pipe, and as much again.
    assert!((64..1_000).contains(&accepted), "{accepted}");
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let whole = text.lines().filter(|line| line.ends_with(&"x".repeat(999))).count();
    assert_eq!((whole, text.bytes().filter(|byte| *byte == b'x').count()), (accepted, 999 * accepted));
    assert!(child.wait().unwrap().success());
}

fn a_reader_that_is_gone_is_an_error(on: &Systems) {
    let mut child = on
        .child(|| {
            let task = on.here().spawn(async {
                // What the harness has written may still have found a reader.
                loop {
                    stdout().write_all(b"is anybody there?").await?;
                    stdout().flush().await?;
                }
                #[allow(unreachable_code, reason = "it names the type")]
                Ok::<(), std::io::Error>(())
            });
            assert_eq!(task.wait().unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert!(stdout().try_write_all(b"?"), "that tells no error");
            assert_eq!(stdout().flush().wait().unwrap_err().kind(), ErrorKind::BrokenPipe);
        })
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("is anybody there?") {
        let mut chunk = [0; 64];
        let n = stdout.read(&mut chunk).unwrap();
        seen.extend_from_slice(&chunk[..n]);
    }
    drop(stdout);
    assert!(child.wait().unwrap().success());
}

fn a_read_that_is_given_up_loses_no_input(on: &Systems) {
    let mut child = on
        .child(|| {
            let task = on.here().spawn(async {
                let mut all = Vec::new();
                for _ in 0..5 {
                    let early = timeout(Duration::from_millis(2), stdin().read(&mut [0; 8])).await;
                    assert!(early.is_err(), "nothing has been written yet");
                }
                eprintln!("ready");
                let mut buf = [0; 3];
                // Each of two takes what it gets.
                let two = join_all([stdin().read(&mut [0]), stdin().read(&mut [0])]).await;
                assert!(two.into_iter().all(|n| n.unwrap() == 1));
                let mut input = stdin();
                loop {
                    match poll_fn(|cx| Pin::new(&mut input).poll_read(cx, &mut buf)).await.unwrap() {
                        0 => return all,
                        n => all.extend_from_slice(&buf[..n]),
                    }
                }
            });
            let all = task.wait().unwrap();
            assert_eq!(all, b"cdefghij");
            assert_modes();
        })
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let ready = lines.by_ref().any(|line| line.contains("ready"));
    child.stdin.take().unwrap().write_all(b"abcdefghij").unwrap();
    let rest: Vec<_> = lines.collect();
    assert!(child.wait().unwrap().success() && ready, "{rest:?}");
}

fn a_file_is_read_to_its_end(on: &Systems) {
    let path = std::env::temp_dir().join(format!("{}-input", on.name().replace("::", "-")));
    let bytes: Vec<u8> = (0..100_000).map(|at| (at % 251) as u8).collect();
    let mut command = on.child(|| {
        let task = on.here().spawn_fn(|| {
            let mut bytes = Vec::new();
            stdin().read_to_end(&mut bytes).wait().unwrap();
            bytes
        });
        let bytes = task.wait().unwrap();
        assert_eq!(bytes.len(), 100_000);
        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
    });
    fs::write(&path, bytes).unwrap();
    let output = command.stdin(File::open(&path).unwrap()).output().unwrap();
    fs::remove_file(&path).unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn std_and_futures_io_write_to_the_same_stream(on: &Systems) {
    let output = on.in_child(|| {
        let main = || {
            let mut stream = stdout();
            Write::write_all(&mut stream, b"\none ").unwrap();
            Write::flush(&mut stream).unwrap();
            let task = twoply_core::task::spawn(async move {
                assert_eq!(poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, b"two ")).await.unwrap(), 4);
                poll_fn(|cx| Pin::new(&mut stream).poll_close(cx)).await.unwrap();
                stream.write(b"three\n").await.unwrap()
            });
            assert_eq!(task.wait().unwrap(), 6);
        };
        on.here().spawner().run(main).unwrap();
    });
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("\none two three\n"));
}
