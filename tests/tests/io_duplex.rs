//! Streams of bytes in memory: as sockets are, on every backend and across two.

use std::io::{self, IoSlice, Read, Write};
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::future::join;
use twoply_core::io::{DuplexStream, duplex};
use twoply_core::net::Shutdown;
use twoply_core::time::timeout;
use twoply_tests::{Systems, both_ways, laws};

laws! {
    and_mixed {
        bytes_arrive_in_order_whatever_the_sizes,
        a_closed_direction_ends_and_the_other_goes_on,
        std_traits_block_the_stack_and_futures_do_not,
        many_readers_and_writers_lose_no_byte,
        whoever_waits_is_told_that_the_other_end_is_gone,
    }
    everywhere {
        a_full_direction_waits_and_an_operation_given_up_has_done_nothing,
        an_end_that_is_dropped_leaves_what_it_wrote,
        closing_wakes_those_at_the_same_end,
    }
}

const NOTHING: Duration = Duration::from_millis(2);

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

/// The bytes that are sent, each of which tells its place.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

async fn read_all(stream: &DuplexStream, sizes: &[usize]) -> Vec<u8> {
    let mut all = Vec::new();
    for size in sizes.iter().cycle() {
        let mut buf = vec![0; *size];
        match stream.read(&mut buf).await.unwrap() {
            0 => break,
            n => all.extend_from_slice(&buf[..n]),
        }
    }
    all
}

fn bytes_arrive_in_order_whatever_the_sizes(on: &Systems) {
    for capacity in [0, 1, 3, 64, 5000] {
        let (ours, theirs) = duplex(capacity);
        let reader = on.there().spawn(async move { read_all(&theirs, &[1, 5, 64, 1000]).await });
        let writer = on.here().spawn_fn(move || {
            for chunk in pattern(5000).chunks(77) {
                ours.write_all(chunk).wait().unwrap();
            }
        });
        writer.wait().unwrap();
        assert_eq!(reader.wait().unwrap(), pattern(5000), "capacity {capacity}");
    }
}

fn a_closed_direction_ends_and_the_other_goes_on(on: &Systems) {
    let (ours, theirs) = duplex(8);
    let server = on.there().spawn(async move {
        let question = read_all(&theirs, &[3]).await;
        theirs.write_all(&question).await.unwrap();
        theirs.write_all(b"!").await.unwrap();
        theirs.shutdown(Shutdown::Write);
        assert_eq!(kind(theirs.write(b"x").await), io::ErrorKind::BrokenPipe);
    });
    let client = on.here().spawn(async move {
        ours.write_all(b"question").await.unwrap();
        ours.shutdown(Shutdown::Write);
        assert_eq!(kind(ours.write(b"more").await), io::ErrorKind::BrokenPipe);
        assert_eq!(read_all(&ours, &[4]).await, b"question!");
        assert_eq!(ours.read(&mut [0]).await.unwrap(), 0, "the end stays");
    });
    client.wait().unwrap();
    server.wait().unwrap();
}

fn std_traits_block_the_stack_and_futures_do_not(on: &Systems) {
    let (ours, theirs) = duplex(4);
    let copied = on.there().spawn_fn(move || {
        let (mut reader, mut text) = (&theirs, String::new());
        reader.read_to_string(&mut text).unwrap();
        text
    });
    let writer = on.here().spawn_fn(move || {
        let mut writer = &ours;
        let how = "in pieces";
        write!(writer, "blocking and {how}").unwrap();
        let done = writer.write_vectored(&[IoSlice::new(b""), IoSlice::new(b".")]).unwrap();
        assert_eq!(done, 1);
    });
    writer.wait().unwrap();
    assert_eq!(copied.wait().unwrap(), "blocking and in pieces.");
}

fn many_readers_and_writers_lose_no_byte(on: &Systems) {
    let (ours, theirs) = duplex(7);
    let (ours, theirs) = (std::sync::Arc::new(ours), std::sync::Arc::new(theirs));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let theirs = theirs.clone();
            on.there().spawn(async move { read_all(&theirs, &[1, 2, 3]).await })
        })
        .collect();
    let writers: Vec<_> = (0..4u8)
        .map(|number| {
            let ours = ours.clone();
            on.here().spawn(async move {
                for _ in 0..500 {
                    ours.write_all(&[number; 3]).await.unwrap();
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.wait().unwrap());
    ours.shutdown(Shutdown::Write);
    let mut counts = [0; 4];
    for reader in readers {
        for byte in reader.wait().unwrap() {
            counts[usize::from(byte)] += 1;
        }
    }
    assert_eq!(counts, [1500; 4]);
}

fn whoever_waits_is_told_that_the_other_end_is_gone(on: &Systems) {
    let (ours, theirs) = duplex(1);
    theirs.write_all(b"x").wait().unwrap();
    ours.write_all(b"y").wait().unwrap();
    let waiting = on.here().spawn(async move {
        let mut byte = [0];
        assert_eq!(ours.read(&mut byte).await.unwrap(), 1);
        let (read, written) = join((
            async {
                let mut byte = [0];
                ours.read(&mut byte).await
            },
            ours.write(b"z"),
        ))
        .await;
        (read.unwrap(), kind(written))
    });
    let dropping = on.there().spawn(async move { drop(theirs) });
    dropping.wait().unwrap();
    assert_eq!(waiting.wait().unwrap(), (0, io::ErrorKind::BrokenPipe));
}

fn a_full_direction_waits_and_an_operation_given_up_has_done_nothing(on: &Systems) {
    both_ways(on, || async {
        let (ours, theirs) = duplex(4);
        assert_eq!(ours.write(b"abcdef").await.unwrap(), 4);
        assert!(timeout(NOTHING, ours.write(b"lost")).await.is_err());
        assert!(timeout(NOTHING, ours.read(&mut [0; 4])).await.is_err());
        let mut buf = [0; 8];
        assert_eq!(theirs.read(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf[..4], b"abcd");
        assert!(timeout(NOTHING, theirs.read(&mut buf)).await.is_err());
        assert_eq!((ours.write(&[]).await.unwrap(), theirs.read(&mut []).await.unwrap()), (0, 0));
    });
}

fn an_end_that_is_dropped_leaves_what_it_wrote(on: &Systems) {
    both_ways(on, || async {
        let (ours, theirs) = duplex(16);
        ours.write_all(b"farewell").await.unwrap();
        drop(ours);
        assert_eq!(kind(theirs.write(b"x").await), io::ErrorKind::BrokenPipe);
        assert_eq!(read_all(&theirs, &[3]).await, b"farewell");
    });
}

fn closing_wakes_those_at_the_same_end(on: &Systems) {
    let (ours, theirs) = duplex(1);
    let ours = std::sync::Arc::new(ours);
    ours.write_all(b"x").wait().unwrap();
    let (reads, writes) = (ours.clone(), ours.clone());
    let reader = on.here().spawn(async move { reads.read(&mut [0]).await.unwrap() });
    let writer = on.here().spawn(async move { kind(writes.write(b"y").await) });
    ours.shutdown(Shutdown::Both);
    assert_eq!(reader.wait().unwrap(), 0);
    assert_eq!(writer.wait().unwrap(), io::ErrorKind::BrokenPipe);
    assert_eq!(theirs.read(&mut [0; 2]).wait().unwrap(), 1, "what was written can still be read");
    assert_eq!(kind(theirs.write(b"z").wait()), io::ErrorKind::BrokenPipe);
}
