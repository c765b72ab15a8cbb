//! The table of nodes, and references whose forwarder is a test.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::thread;

use super::*;
use crate::Wait;
use crate::actor::remote;

#[test]
fn a_row_lives_as_long_as_some_pid_of_its_node() {
    let nodes = NodeTable::new();
    let first = nodes.node("peer", 1);
    let endpoint = || Arc::new(Deaf) as Arc<dyn Endpoint>;
    let pid = remote::pid(&first, 1, endpoint());
    let number = first.number();
    assert_ne!(
        pid,
        remote::pid(&nodes.node("peer", 2), 1, endpoint()),
        "a pid of an earlier creation is nobody"
    );
    drop(first);
    assert_eq!((nodes.len(), nodes.node("peer", 1).number()), (1, number));
    assert_eq!(remote::node(&pid).map(|node| node.name().to_owned()), Some("peer".to_owned()));
    drop(pid);
    assert!(nodes.is_empty());
    assert_ne!(nodes.node("peer", 1).number(), number, "numbers are not used twice");
    for peer in 0..10_000 {
        nodes.node(&format!("peer {peer}"), peer);
    }
    assert!(nodes.is_empty());
}

/// An endpoint of nobody.
struct Deaf;

impl Endpoint for Deaf {
    fn deliver(&self, _: &Pid, _: Signal) {}
}

/// A forwarder that has room for one message at a time.
#[derive(Default)]
struct Narrow {
    room: Mutex<(bool, Vec<Waker>)>,
    sent: AtomicUsize,
}

impl Forwarder<u32> for Narrow {
    fn try_send(&self, message: u32, urgent: bool) -> Result<(), TrySendError<u32>> {
        let used = &mut self.room.lock().unwrap().0;
        if *used {
            return Err(TrySendError::Full(message));
        }
        *used = true;
        self.sent.fetch_add(if urgent { 100 } else { 1 }, Ordering::SeqCst);
        Ok(())
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = self.room.lock().unwrap();
        if !room.0 {
            return Poll::Ready(());
        }
        room.1.push(cx.waker().clone());
        Poll::Pending
    }

    fn ended(&self) -> Option<ExitReason> {
        None
    }
}

#[test]
fn a_send_waits_until_the_forwarder_has_room() {
    let forwarder = Arc::new(Narrow::default());
    let pid = remote::pid(&NodeTable::new().node("peer", 1), 1, Arc::new(Deaf));
    let there = remote::process_ref(pid, Arc::clone(&forwarder) as Arc<dyn Forwarder<u32>>);
    there.send(1).wait().unwrap();
    assert!(there.try_send(2).unwrap_err().is_full());
    let waiting = thread::spawn({
        let there = there.clone();
        move || there.urgent().send(3).wait().unwrap()
    });
    while forwarder.room.lock().unwrap().1.is_empty() {
        thread::yield_now();
    }
    let wakers = std::mem::take(&mut *forwarder.room.lock().unwrap()).1;
    wakers.into_iter().for_each(Waker::wake);
    waiting.join().unwrap();
    assert_eq!(forwarder.sent.load(Ordering::SeqCst), 101);
}
