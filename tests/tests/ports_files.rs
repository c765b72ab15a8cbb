//! Files as ports: requests are carried out and answered in order, and what goes wrong is told of.

#[path = "ports/told.rs"]
mod told;

use std::io::ErrorKind;
use std::sync::mpsc;

use told::{assert_closed, error, item, start};
use twoply_core::Wait;
use twoply_core::actor::Process;
use twoply_core::fs::{self, File, OpenOptions};
use twoply_core::port::{self, Active, During, Event, FileAnswer, FileRequest, PortError, PortRef};
use twoply_tests::{Dir, Systems, builder, far, laws};

laws! {
    on_all {
        requests_are_answered_in_order,
        a_file_is_handed_over_with_requests_under_way,
    }
    and_served {
        a_request_that_fails_is_given_back,
        answers_that_nobody_takes_hold_the_next_request_up,
        closing_carries_out_what_was_sent,
        finishing_has_all_answers_come,
        a_failure_that_nobody_has_taken_is_told_of,
    }
}

/// Opens a new file in `dir`.
fn new_file(dir: &Dir) -> File {
    OpenOptions::new().read(true).write(true).create_new(true).open(dir.join("file")).wait().unwrap()
}

/// Returns the request to write number `n` at its place.
fn write(n: u64) -> FileRequest {
    FileRequest::Write { at: 8 * n, bytes: n.to_le_bytes().to_vec() }
}

fn requests_are_answered_in_order(on: &Systems) {
    const NUMBERS: u64 = 500;
    let dir = Dir::new();
    let port = start(on.here(), port::file(new_file(&dir)));
    let sender = port.port_ref().clone();
    let sending = on.there().spawn(async move {
        for n in 0..NUMBERS {
            sender.send(write(n)).await.unwrap();
            // It goes over what was written last, and sees that.
            sender.send(FileRequest::Read { at: 8 * n, len: 100 }).await.unwrap();
        }
        for request in [
            FileRequest::Metadata,
            FileRequest::SetLen(20),
            FileRequest::Sync,
            FileRequest::Read { at: 16, len: usize::MAX },
            FileRequest::Read { at: 100, len: 1 },
            FileRequest::Read { at: 0, len: 0 },
            FileRequest::Write { at: 0, bytes: Vec::new() },
        ] {
            sender.send(request).await.unwrap();
        }
    });
    for n in 0..NUMBERS {
        let answer = item(&port);
        assert!(matches!(answer, FileAnswer::Written { at, len: 8 } if at == 8 * n), "{answer:?}");
        let answer = item(&port);
        let FileAnswer::Read { at, bytes } = &answer else { panic!("{answer:?}") };
        assert_eq!((*at, &bytes[..]), (8 * n, &n.to_le_bytes()[..]));
    }
    let answer = item(&port);
    assert!(matches!(&answer, FileAnswer::Metadata(it) if it.len() == 8 * NUMBERS), "{answer:?}");
    assert!(matches!(item(&port), FileAnswer::LenSet(20)));
    assert!(matches!(item(&port), FileAnswer::Synced));
    for (place, content) in [(16, &[2, 0, 0, 0][..]), (100, &[]), (0, &[])] {
        let answer = item(&port);
        let FileAnswer::Read { at, bytes } = &answer else { panic!("{answer:?}") };
        assert_eq!((*at, &bytes[..]), (place, content));
    }
    assert!(matches!(item(&port), FileAnswer::Written { at: 0, len: 0 }));
    sending.wait().unwrap();
}

fn a_file_is_handed_over_with_requests_under_way(on: &Systems) {
    const NUMBERS: u64 = 400;
    let dir = Dir::new();
    let (out, places) = mpsc::channel();
    let (rest, give_over) = (out.clone(), NUMBERS / 4);
    // Small mailboxes, so that answers wait for room as the port is handed over.
    let second = far(on).capacity(4).spawn_fn(move |mut me: Process<Event<FileAnswer>>| {
        while let Some(Event::Item(FileAnswer::Written { at, .. })) = me.receive().wait().message() {
            rest.send(at).unwrap();
        }
    });
    let (give, take) = mpsc::channel::<PortRef<FileAnswer, FileRequest>>();
    let first = builder(on).capacity(4).spawn_fn(move |mut me: Process<Event<FileAnswer>>| {
        let (port, second) = (take.recv().unwrap(), second.unwrap());
        while let Some(Event::Item(FileAnswer::Written { at, .. })) = me.receive().wait().message() {
            out.send(at).unwrap();
            if at == 8 * give_over {
                port.hand_over(&second, |event| event);
            }
        }
    });
    let port = port::file(new_file(&dir)).on(on.here().backend());
    let port = port.into_mailbox(&first.unwrap(), |event| event).unwrap();
    give.send(port.clone()).unwrap();
    let sender = port.clone();
    let sending = on.there().spawn(async move {
        for n in 0..NUMBERS {
            sender.send(write(n)).await.unwrap();
        }
        sender.finish();
    });
    let all: Vec<u64> = places.iter().collect();
    assert!(all.iter().copied().eq((0..NUMBERS).map(|n| 8 * n)), "{} of {NUMBERS}", all.len());
    sending.wait().unwrap();
    assert!(port.ended().wait().is_normal());
    let content = fs::read(dir.join("file")).wait().unwrap();
    assert!(content.chunks(8).eq((0..NUMBERS).map(u64::to_le_bytes)), "{} bytes", content.len());
}

fn a_request_that_fails_is_given_back(on: &Systems) {
    let dir = Dir::new();
    let path = dir.join("file");
    fs::write(&path, "content").wait().unwrap();
    let port = start(on.here(), port::file(File::open(&path).wait().unwrap()));
    // It is open for reading only.
    port.send(write(7)).wait().unwrap();
    port.send(FileRequest::Read { at: u64::MAX, len: 2 }).wait().unwrap();
    port.send(FileRequest::Read { at: 3, len: 4 }).wait().unwrap();
    let answer = item(&port);
    let FileAnswer::Failed { request, error } = &answer else { panic!("{answer:?}") };
    assert_eq!(*request, write(7));
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    let answer = item(&port);
    let FileAnswer::Failed { request, error } = &answer else { panic!("{answer:?}") };
    assert_eq!(*request, FileRequest::Read { at: u64::MAX, len: 2 });
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(matches!(item(&port), FileAnswer::Read { at: 3, bytes } if bytes == b"tent"));
}

fn answers_that_nobody_takes_hold_the_next_request_up(on: &Systems) {
    const NUMBERS: u64 = 500;
    let dir = Dir::new();
    let port = start(on.here(), port::file(new_file(&dir)).active(Active::Passive).high_water(1));
    let sender = port.port_ref().clone();
    let sending = on.here().spawn(async move {
        for n in 0..NUMBERS {
            sender.send(write(n)).await.unwrap();
        }
    });
    // No more are carried out than answers may wait.
    let file = File::open(dir.join("file")).wait().unwrap();
    while file.metadata().wait().unwrap().len() < 8 * 64 {
        std::thread::yield_now();
    }
    assert!(!sending.is_finished());
    assert_eq!(file.metadata().wait().unwrap().len(), 8 * 64);
    port.active(Active::Always);
    for n in 0..NUMBERS {
        assert!(matches!(item(&port), FileAnswer::Written { at, .. } if at == 8 * n));
    }
    sending.wait().unwrap();
}

fn closing_carries_out_what_was_sent(on: &Systems) {
    const NUMBERS: u64 = 500;
    let dir = Dir::new();
    let port = start(on.here(), port::file(new_file(&dir)).active(Active::N(1)).write_queue(1000));
    for n in 0..NUMBERS {
        port.send(FileRequest::Read { at: 0, len: 8 }).wait().unwrap();
        port.send(write(n)).wait().unwrap();
    }
    port.port_ref().close();
    assert!(port.port_ref().ended().wait().is_normal());
    let content = fs::read(dir.join("file")).wait().unwrap();
    assert!(content.chunks(8).eq((0..NUMBERS).map(u64::to_le_bytes)), "{} bytes", content.len());
}

fn finishing_has_all_answers_come(on: &Systems) {
    let dir = Dir::new();
    let port = start(on.here(), port::file(new_file(&dir)).write_queue(200));
    for n in 0..200 {
        port.send(write(n)).wait().unwrap();
    }
    port.port_ref().finish();
    for n in 0..200 {
        assert!(matches!(item(&port), FileAnswer::Written { at, .. } if at == 8 * n));
    }
    assert_closed(&port);
}

fn a_failure_that_nobody_has_taken_is_told_of(on: &Systems) {
    let dir = Dir::new();
    let path = dir.join("file");
    fs::write(&path, "").wait().unwrap();
    let file = File::open(&path).wait().unwrap();
    let port = start(on.here(), port::file(file).active(Active::Passive));
    port.send(write(1)).wait().unwrap();
    port.port_ref().close();
    match error(&port) {
        PortError::Io { during: During::Write, error } => {
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_closed(&port);
}
