//! Ports that follow a file: nothing is lost or reordered as it grows, is cut, is renamed, or comes late.

#[path = "ports/told.rs"]
mod told;

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use told::{assert_closed, error, item, start};
use twoply_core::Wait;
use twoply_core::port::{self, Active, During, Event, Frames, Lines, Port, PortError, Prefix, Tail};
use twoply_tests::{Systems, laws};

laws! {
    and_served {
        a_file_is_followed_as_it_grows,
        what_is_there_already_is_passed_over,
        a_file_that_is_cut_is_read_from_its_beginning,
        a_file_that_is_replaced_is_read_to_its_end_first,
        a_file_that_is_not_there_is_waited_for,
        a_file_is_looked_at_by_the_clock,
        what_is_no_file_is_told_of,
        a_passive_port_reads_no_file,
    }
}

/// So long that nothing is found by the clock.
const NEVER: Duration = Duration::from_secs(3_600);

/// A directory of a law's own, which goes with it.
struct Dir(PathBuf);

impl Dir {
    fn new(on: &Systems, law: &str) -> Dir {
        let name = format!("twoply-tail-{}-{law}-{}", std::process::id(), on.name());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn follow(on: &Systems, path: &Path, every: Duration) -> Port<String, std::convert::Infallible> {
    let tail = Tail::new(path).from_start(true).every(every);
    start(on.here(), port::tail_with(tail, Lines::new()))
}

/// Returns how often a law may look at the file: where the system tells of changes, that is enough.
fn told() -> Duration {
    if cfg!(target_os = "linux") { NEVER } else { Duration::from_millis(1) }
}

fn a_file_is_followed_as_it_grows(on: &Systems) {
    const LINES: usize = 3_000;
    let dir = Dir::new(on, "grows");
    let log = dir.join("log");
    append(&log, "first\nsec");
    let port = follow(on, &log, told());
    assert_eq!(item(&port), "first");
    append(&log, "ond\n");
    assert_eq!(item(&port), "second");
    let writer = on.there().spawn_fn({
        let log = log.clone();
        move || (0..LINES).for_each(|line| append(&log, &format!("{line}\n")))
    });
    for line in 0..LINES {
        assert_eq!(item(&port), line.to_string());
    }
    writer.wait().unwrap();
    port.port_ref().close();
    assert_closed(&port);
}

fn what_is_there_already_is_passed_over(on: &Systems) {
    let dir = Dir::new(on, "passed");
    let log = dir.join("log");
    append(&log, "old\nold\n");
    let port = start(on.here(), port::tail(&log));
    let first = loop {
        append(&log, "new\n");
        match port.try_recv() {
            Ok(event) => break event.item().unwrap(),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    assert_eq!(first, "new");
}

fn a_file_that_is_cut_is_read_from_its_beginning(on: &Systems) {
    let dir = Dir::new(on, "cut");
    let log = dir.join("log");
    append(&log, "one\npart");
    let port = follow(on, &log, told());
    assert_eq!(item(&port), "one");
    for _ in 0..5 {
        // What came with the last line has been read with it.
        fs::write(&log, "1\n").unwrap();
        assert_eq!([item(&port), item(&port)], ["part", "1"]);
        append(&log, "a longer line\npart");
        assert_eq!(item(&port), "a longer line");
    }
    // Where a part makes no item, that is told, and what comes is read all the same.
    let frames = dir.join("frames");
    fs::write(&frames, [1, 7, 9, 1, 2]).unwrap();
    let tail = Tail::new(&frames).from_start(true).every(told());
    let port = start(on.here(), port::tail_with(tail, Frames::new(Prefix::U8)));
    assert_eq!(item(&port), [7]);
    fs::write(&frames, [1, 8]).unwrap();
    match error(&port) {
        PortError::Unfinished { at: 2, rest } => assert_eq!(rest, [9, 1, 2]),
        other => panic!("{other}"),
    }
    assert_eq!(item(&port), [8]);
}

fn a_file_that_is_replaced_is_read_to_its_end_first(on: &Systems) {
    const ROUNDS: usize = 10;
    let dir = Dir::new(on, "replaced");
    let log = dir.join("log");
    append(&log, "0a\n");
    let port = follow(on, &log, told());
    for round in 0..ROUNDS {
        assert_eq!(item(&port), format!("{round}a"));
        // Some is written before the name goes, and some after.
        append(&log, &format!("{round}b\n{round}c\n"));
        let old = dir.join(&format!("log.{round}"));
        fs::rename(&log, &old).unwrap();
        append(&old, &format!("{round}d"));
        append(&log, &format!("{}a\n", round + 1));
        assert_eq!(
            [item(&port), item(&port), item(&port)],
            ["b", "c", "d"].map(|part| format!("{round}{part}"))
        );
    }
}

fn a_file_that_is_not_there_is_waited_for(on: &Systems) {
    let dir = Dir::new(on, "late");
    let log = dir.join("log");
    let port = start(on.here(), port::tail_with(Tail::new(&log).every(told()), Lines::new()));
    std::thread::sleep(Duration::from_millis(5));
    assert!(port.try_recv().is_err());
    append(&log, "the first line\n");
    // It may have come before the port has looked for the first time: then it is passed over.
    let first = loop {
        match port.try_recv() {
            Ok(event) => break event.item().unwrap(),
            Err(_) => append(&log, "another\n"),
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(first == "the first line" || first == "another");
    // One that is removed is as one that is not there.
    fs::remove_file(&log).unwrap();
    append(&log, "anew\n");
    while item(&port) != "anew" {}
}

fn a_file_is_looked_at_by_the_clock(on: &Systems) {
    let (dir, other) = (Dir::new(on, "clock"), Dir::new(on, "clock-target"));
    let (link, log) = (dir.join("link"), other.join("log"));
    append(&log, "one\n");
    std::os::unix::fs::symlink(&log, &link).unwrap();
    let port = follow(on, &link, Duration::from_millis(1));
    assert_eq!(item(&port), "one");
    // Nothing is told of a name in a directory that is not the link's.
    fs::rename(&log, other.join("old")).unwrap();
    append(&log, "two\n");
    assert_eq!(item(&port), "two");
}

fn what_is_no_file_is_told_of(on: &Systems) {
    let dir = Dir::new(on, "none");
    for (path, kind) in
        [(dir.0.clone(), ErrorKind::InvalidInput), (PathBuf::from("nul\0"), ErrorKind::InvalidInput)]
    {
        let port = start(on.here(), port::tail(path));
        match error(&port) {
            PortError::Io { during: During::Open, error } => assert_eq!(error.kind(), kind, "{error}"),
            other => panic!("{other}"),
        }
        assert_closed(&port);
    }
}

fn a_passive_port_reads_no_file(on: &Systems) {
    let dir = Dir::new(on, "passive");
    let log = dir.join("log");
    append(&log, "one\ntwo\n");
    let tail = Tail::new(&log).from_start(true).every(told());
    let port = start(on.here(), port::tail_with(tail, Lines::new()).active(Active::Once));
    assert_eq!(item(&port), "one");
    std::thread::sleep(Duration::from_millis(5));
    assert!(port.try_recv().is_err());
    port.active(Active::N(1));
    assert_eq!(item(&port), "two");
    assert!(matches!(port.recv().wait(), Ok(Event::Passive)));
}
