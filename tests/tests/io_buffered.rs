//! Buffered readers and writers: over both pairs of traits, with limits, and nothing lost by whoever gives
//! up.

use std::io::{self, BufRead, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use twoply_core::channel::Source;
use twoply_core::future::{OneOf, select};
use twoply_core::io::{BufReader, BufWriter, DuplexStream, LimitExceeded, chain, duplex, take};
use twoply_core::net::UnixStream;
use twoply_core::stream::Stream;
use twoply_core::time::timeout;
use twoply_core::{Wait, channel, io as twoply_io};
use twoply_tests::{Systems, both_ways, laws};

laws! {
    everywhere {
        lines_come_in_pieces_of_any_size,
        both_pairs_of_traits_share_one_buffer,
        a_read_that_is_given_up_loses_nothing,
        a_limit_is_told_and_loses_nothing,
        what_is_put_back_comes_first,
        lines_serve_several_consumers,
        a_stream_of_lines_ends_with_its_first_error,
        a_write_is_accepted_whole_or_not_at_all,
        a_writer_that_fails_keeps_what_it_has,
        parts_and_chains_end_where_they_should,
        what_is_always_ready_lets_others_run,
    }
    and_mixed {
        a_buffered_conversation_goes_both_ways,
        reads_up_to_a_delimiter_have_a_limit_and_a_close_drains,
    }
}

/// A time in which nothing comes.
const NOTHING: Duration = Duration::from_millis(2);

/// An error of a limit, and the limit.
fn limit_of<T: std::fmt::Debug>(result: io::Result<T>) -> usize {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let reason = error.get_ref().and_then(|reason| reason.downcast_ref::<LimitExceeded>());
    reason.expect("it is the limit").limit
}

fn lines_come_in_pieces_of_any_size(on: &Systems) {
    let text = "one\n\ntwo\r\nthree\u{e4}\n".repeat(20) + "last\r";
    both_ways(on, || {
        let text = text.clone();
        async move {
            for piece in [1, 2, 3, 7, 64] {
                for capacity in [1, 2, 16, 8192] {
                    let (ours, theirs) = duplex(16);
                    let bytes = text.clone().into_bytes();
                    let writer = twoply_core::task::spawn(async move {
                        for chunk in bytes.chunks(piece) {
                            theirs.write_all(chunk).await.unwrap();
                        }
                    });
                    let mut reader = BufReader::with_capacity(capacity, ours);
                    let (mut line, mut read) = (String::new(), String::new());
                    while reader.read_line(&mut line).await.unwrap() > 0 {
                        assert_eq!(line.find('\n').unwrap_or(line.len() - 1), line.len() - 1);
                        read.push_str(&std::mem::take(&mut line));
                    }
                    assert_eq!(read, text);
                    assert_eq!(reader.read_line(&mut line).await.unwrap(), 0, "the end stays");
                    writer.await.unwrap();
                }
            }
            // A stream has them without their ends, and what is at the very end as it is.
            let lines = BufReader::new(text.as_bytes()).lines().map(Result::unwrap);
            let lines = lines.collect::<Vec<_>>().await;
            assert_eq!(lines, text.lines().collect::<Vec<_>>());
            let parts = BufReader::new(&b"a,,b"[..]).split(b',').map(Result::unwrap);
            assert_eq!(parts.collect::<Vec<_>>().await, [&b"a"[..], b"", b"b"]);
        }
    });
}

fn both_pairs_of_traits_share_one_buffer(on: &Systems) {
    let straight = || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut ours, mut theirs) = (BufReader::new(ours), BufWriter::new(theirs));
        theirs.write_all(b"async ").wait().unwrap();
        Write::write_all(&mut theirs, b"std ").unwrap();
        theirs.write_all(b"lines\nrest").wait().unwrap();
        Write::flush(&mut theirs).unwrap();
        let mut bytes = [0; 6];
        assert_eq!(ours.read(&mut bytes).wait().unwrap(), 6);
        assert_eq!(&bytes, b"async ");
        Read::read_exact(&mut ours, &mut bytes[..4]).unwrap();
        assert_eq!(&bytes[..4], b"std ");
        let mut line = String::new();
        BufRead::read_line(&mut ours, &mut line).unwrap();
        assert_eq!(line, "lines\n");
        assert_eq!(ours.fill_buf().wait().unwrap(), b"rest");
        assert_eq!(BufRead::fill_buf(&mut ours).unwrap(), b"rest");
        theirs.close().wait().unwrap();
        ours.consume(4);
        assert!(ours.fill_buf().wait().unwrap().is_empty(), "closing it has closed the stream");
    };
    on.here().spawn_fn(straight).wait().unwrap();
}

fn a_read_that_is_given_up_loses_nothing(on: &Systems) {
    both_ways(on, || async {
        let (ours, theirs) = duplex(64);
        let mut reader = BufReader::with_capacity(2, ours);
        let mut line = String::new();
        theirs.write_all(b"half ").await.unwrap();
        // By a time limit, as the arm of a select that loses, and by dropping it.
        assert!(timeout(NOTHING, reader.read_line(&mut line)).await.is_err());
        let ready = std::future::ready(());
        let lost = select((reader.peek(100), ready)).biased().await;
        assert!(matches!(lost, OneOf::Second(())));
        drop(reader.read_until(0, &mut Vec::new()));
        assert_eq!((reader.buffer(), line.as_str()), (&b"half "[..], ""));
        theirs.write_all(b"a line\nmore").await.unwrap();
        reader.read_line(&mut line).await.unwrap();
        assert_eq!(line, "half a line\n");
        drop(theirs);
        assert_eq!(reader.peek(100).await.unwrap(), b"more", "fewer, at the end");

        let (mut ours, theirs) = duplex(64);
        let (mut bytes, mut filled) = ([0; 8], 0);
        for part in [&b"ab"[..], b"c", b"defgh"] {
            let read = twoply_io::read_exact(&mut ours, &mut bytes, &mut filled);
            assert!(timeout(NOTHING, read).await.is_err());
            theirs.write_all(part).await.unwrap();
        }
        twoply_io::read_exact(&mut ours, &mut bytes, &mut filled).await.unwrap();
        assert_eq!((&bytes, filled), (b"abcdefgh", 8));
    });
}

fn a_limit_is_told_and_loses_nothing(on: &Systems) {
    both_ways(on, || async {
        let mut reader = BufReader::with_capacity(3, &b"12345\n123456\nrest"[..]);
        reader.set_limit(6);
        let (mut line, mut bytes) = (String::new(), Vec::new());
        assert_eq!(reader.read_line(&mut line).await.unwrap(), 6, "as long as the limit");
        assert_eq!(limit_of(reader.read_line(&mut line).await), 6);
        assert_eq!(limit_of(reader.read_until(b'\n', &mut bytes).await), 6);
        assert_eq!(limit_of(reader.peek(7).await), 6);
        assert_eq!((line.as_str(), bytes.len()), ("12345\n", 0));
        reader.set_limit(7);
        assert_eq!(reader.read_line(&mut line).await.unwrap(), 7);
        assert_eq!(reader.read_until(b'\n', &mut bytes).await.unwrap(), 4, "the end needs no delimiter");
        assert_eq!((line.as_str(), bytes.as_slice()), ("12345\n123456\n", &b"rest"[..]));

        // What is no text can be read as bytes.
        let mut reader = BufReader::new(&b"\xff\n"[..]);
        let error = reader.read_line(&mut line).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(reader.read_until(b'\n', &mut bytes).await.unwrap(), 2);

        let (mut all, mut source) = (Vec::new(), &b"123456789"[..]);
        assert_eq!(limit_of(twoply_io::read_to_end(&mut source, &mut all, 4).await), 4);
        assert_eq!((all.as_slice(), source), (&b"12345"[..], &b"6789"[..]));
        assert_eq!(twoply_io::read_to_end(&mut source, &mut all, 4).await.unwrap(), 4);
        assert_eq!(all, b"123456789");
        let mut text = String::from("x");
        assert_eq!(twoply_io::read_to_string(&mut &b"yz"[..], &mut text, 2).await.unwrap(), 2);
        assert_eq!(text, "xyz");
    });
}

fn what_is_put_back_comes_first(on: &Systems) {
    both_ways(on, || async {
        let mut reader = BufReader::with_capacity(4, &b"world"[..]);
        assert_eq!(reader.peek(2).await.unwrap(), b"wo");
        reader.consume(1);
        for byte in b"hello w".iter().rev() {
            reader.unread(&[*byte]);
        }
        reader.unread(&[b'.'; 100]);
        let mut text = String::new();
        let mut rest = reader;
        twoply_io::read_to_string(&mut rest, &mut text, 1000).await.unwrap();
        assert_eq!(text, ".".repeat(100) + "hello world");
        rest.unread(b"again");
        assert_eq!(rest.into_parts().1, b"again");
    });
}

fn lines_serve_several_consumers(on: &Systems) {
    let (ours, theirs) = duplex(32);
    let lines = std::sync::Arc::new(BufReader::new(ours).lines().into_source());
    let (tx, rx) = channel::unbounded();
    let consumers: Vec<_> = (0..3)
        .map(|_| {
            let (lines, tx) = (lines.clone(), tx.clone());
            on.here().spawn(async move {
                while let Ok(line) = lines.recv().await {
                    tx.try_send(line.unwrap()).unwrap();
                }
            })
        })
        .collect();
    drop(tx);
    let writer = on.here().spawn_fn(move || {
        for number in 0..100 {
            theirs.write_all(format!("{number}\n").as_bytes()).wait().unwrap();
        }
    });
    writer.wait().unwrap();
    consumers.into_iter().for_each(|consumer| consumer.wait().unwrap());
    let mut got: Vec<u32> = rx.try_iter().map(|line: String| line.parse().unwrap()).collect();
    got.sort_unstable();
    assert_eq!(got, (0..100).collect::<Vec<_>>());
}

fn a_stream_of_lines_ends_with_its_first_error(on: &Systems) {
    both_ways(on, || async {
        let mut reader = BufReader::new(&b"fine\ntoo long\nrest"[..]);
        reader.set_limit(5);
        let mut lines = reader.lines();
        assert_eq!(lines.next().await.unwrap().unwrap(), "fine");
        assert_eq!(limit_of(lines.next().await.unwrap()), 5);
        assert!(lines.next().await.is_none());
        let (_, rest) = lines.into_reader().into_parts();
        assert_eq!(rest, b"too long\nrest");
    });
}

fn a_write_is_accepted_whole_or_not_at_all(on: &Systems) {
    both_ways(on, || async {
        let (ours, theirs) = duplex(3);
        let mut writer = BufWriter::with_capacity(8, ours);
        writer.write_all(b"12345678").await.unwrap();
        assert!(timeout(NOTHING, writer.write_all(b"lost")).await.is_err());
        assert!(timeout(NOTHING, writer.flush()).await.is_err());
        let mut bytes = [0; 3];
        theirs.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"123");
        // What was accepted before is not all out yet.
        assert!(timeout(NOTHING, writer.write_all(b"9, and more than goes in")).await.is_err());
        theirs.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"456");
        writer.write_all(b"9, and more than goes in").await.unwrap();
        let reader = twoply_core::task::spawn(async move {
            let mut text = String::new();
            twoply_io::read_to_string(&mut &theirs, &mut text, 100).await.unwrap();
            text
        });
        writer.close().await.unwrap();
        assert_eq!(reader.await.unwrap(), "789, and more than goes in");
    });
}

/// A writer that takes some bytes and then fails, once.
#[derive(Debug)]
struct Failing {
    taken: Vec<u8>,
    room: usize,
}

impl Failing {
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::mem::replace(&mut self.room, usize::MAX) {
            0 => Err(io::ErrorKind::ConnectionReset.into()),
            room => {
                self.room = if room == usize::MAX { room } else { 0 };
                let n = bytes.len().min(room);
                self.taken.extend_from_slice(&bytes[..n]);
                Ok(n)
            }
        }
    }
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl futures_io::AsyncWrite for Failing {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.get_mut().take(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn a_writer_that_fails_keeps_what_it_has(on: &Systems) {
    both_ways(on, || async {
        let mut writer = BufWriter::new(Failing { taken: Vec::new(), room: 3 });
        writer.write_all(b"abcdef").await.unwrap();
        let error = writer.flush().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(writer.buffer(), b"def");
        writer.flush().await.unwrap();
        assert_eq!(writer.get_ref().taken, b"abcdef");

        let mut writer = BufWriter::new(Failing { taken: Vec::new(), room: 3 });
        Write::write_all(&mut writer, b"abcdef").unwrap();
        Write::flush(&mut writer).unwrap_err();
        let (inner, rest) = writer.into_parts();
        assert_eq!((inner.taken.as_slice(), rest.as_slice()), (&b"abc"[..], &b"def"[..]));
    });
}

fn parts_and_chains_end_where_they_should(on: &Systems) {
    both_ways(on, || async {
        let mut source = BufReader::with_capacity(2, &b"0123456789"[..]);
        let mut text = String::new();
        twoply_io::read_to_string(&mut take(&mut source, 4), &mut text, 100).await.unwrap();
        assert_eq!(text, "0123");
        Read::read_to_string(&mut take(&mut source, 2), &mut text).unwrap();
        assert_eq!(text, "012345");
        let mut part = take(source, 3);
        let mut line = Vec::new();
        // The rest of what std has works on the trait.
        BufRead::read_until(&mut part, b'8', &mut line).unwrap();
        assert_eq!((line.as_slice(), part.limit()), (&b"678"[..], 0));
        let mut both = chain(&b"ab"[..], chain(&b""[..], &b"cd\nef"[..]));
        let mut lines = BufReader::with_capacity(1, &mut both).lines();
        assert_eq!(lines.next().await.unwrap().unwrap(), "abcd");
        assert_eq!(lines.next().await.unwrap().unwrap(), "ef");
        assert!(lines.next().await.is_none());
        let mut text = String::new();
        chain(&b"x"[..], &b"y"[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "xy");
    });
}

/// A reader that is always ready, has no end, and knows of no budget.
struct Endless;

impl futures_io::AsyncRead for Endless {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        buf.fill(b'\n');
        Poll::Ready(Ok(buf.len()))
    }
}

fn what_is_always_ready_lets_others_run(on: &Systems) {
    // Each of these would keep its worker, and its own time limit waiting.
    let lines = on.here().spawn(async {
        let mut reader = BufReader::new(Endless);
        timeout(NOTHING, async {
            loop {
                reader.read_line(&mut String::new()).await.unwrap();
            }
        })
        .await
    });
    let mut all = Vec::new();
    let copied =
        on.here().spawn(async { timeout(NOTHING, twoply_io::copy(&mut Endless, &mut Sink)).await.is_err() });
    let to_end = on.here().spawn(async move {
        timeout(NOTHING, twoply_io::read_to_end(&mut Endless, &mut all, usize::MAX)).await.is_err()
    });
    assert!(lines.wait().unwrap().is_err());
    assert!(copied.wait().unwrap());
    assert!(to_end.wait().unwrap());
}

/// A writer that takes everything at once.
struct Sink;

impl futures_io::AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn a_buffered_conversation_goes_both_ways(on: &Systems) {
    fn split(end: &DuplexStream) -> (BufReader<&DuplexStream>, BufWriter<&DuplexStream>) {
        (BufReader::with_capacity(16, end), BufWriter::with_capacity(16, end))
    }
    let (ours, theirs) = duplex(32);
    let server = on.there().spawn(async move {
        let (mut reader, mut writer) = split(&theirs);
        let mut line = String::new();
        while reader.read_line(&mut line).await.unwrap() > 0 {
            writer.write_all(std::mem::take(&mut line).to_uppercase().as_bytes()).await.unwrap();
            writer.flush().await.unwrap();
        }
        writer.close().await.unwrap();
    });
    let client = on.here().spawn_fn(move || {
        let (mut reader, mut writer) = split(&ours);
        for number in 0..200 {
            writeln!(writer, "question {number}").unwrap();
            Write::flush(&mut writer).unwrap();
            let mut answer = String::new();
            reader.read_line(&mut answer).wait().unwrap();
            assert_eq!(answer, format!("QUESTION {number}\n"));
        }
        writer.close().wait().unwrap();
        assert_eq!(reader.peek(1).wait().unwrap(), b"");
    });
    client.wait().unwrap();
    server.wait().unwrap();
}

fn reads_up_to_a_delimiter_have_a_limit_and_a_close_drains(on: &Systems) {
    let long = "x".repeat(50);
    let (ours, theirs) = duplex(32);
    let text = format!("short\n{long}\nthe end");
    let writer = on.there().spawn(async move {
        // All of it is accepted at once, and most of it is written by the close.
        let mut writer = BufWriter::with_capacity(100, &theirs);
        writer.write_all(text.as_bytes()).await.unwrap();
        assert_eq!(writer.buffer().len(), text.len());
        writer.close().await.unwrap();
        // The other direction goes on.
        let mut answer = Vec::new();
        let mut reader = BufReader::with_capacity(4, &theirs);
        assert_eq!(reader.read_until(b';', &mut answer).await.unwrap(), 5);
        answer
    });
    let reader = on.here().spawn_fn(move || {
        let (mut reader, mut line) = (BufReader::with_capacity(16, &ours), String::new());
        reader.set_limit(20);
        assert_eq!(reader.read_line(&mut line).wait().unwrap(), 6);
        let mut bytes = Vec::new();
        assert_eq!(limit_of(reader.read_until(b'\n', &mut bytes).wait()), 20);
        assert_eq!(limit_of(reader.read_line(&mut line).wait()), 20);
        // Nothing has been lost by that.
        reader.set_limit(51);
        assert_eq!(reader.read_until(b'\n', &mut bytes).wait().unwrap(), 51);
        assert_eq!(reader.read_line(&mut line).wait().unwrap(), 7);
        assert_eq!(reader.read_line(&mut line).wait().unwrap(), 0);
        assert_eq!((line.as_str(), bytes), ("short\nthe end", format!("{long}\n").into_bytes()));
        let mut writer = BufWriter::new(&ours);
        writer.write_all(b"done;").wait().unwrap();
        writer.close().wait().unwrap();
    });
    reader.wait().unwrap();
    assert_eq!(writer.wait().unwrap(), b"done;");
}
