//! Signals of the operating system: whom they reach, what they leave alone, and what cannot be listened to.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use twoply_core::Wait;
use twoply_core::channel::{Source, oneshot};
use twoply_core::future::yield_now;
use twoply_core::signal::{self, SignalKind, Signals};
use twoply_core::stream::Stream;
use twoply_core::time::{sleep, timeout};
use twoply_tests::{OwnSignal, Resources, Systems, count_signal, eventually, fork, laws, send_signal};

laws! {
    and_mixed {
        a_signal_reaches_all_who_listen,
        a_stack_that_blocks_hears_of_a_signal,
    }
    everywhere {
        signals_that_come_together_are_counted,
        a_wait_that_is_given_up_loses_no_signal,
        a_previous_handler_is_called,
        what_cannot_be_handled_is_refused,
        each_kind_comes_out_once_for_each_listener,
        several_receive_from_one_listener,
        a_second_interrupt_ends_the_process,
        a_listener_leaves_nothing_behind,
        the_child_of_a_fork_listens_for_itself,
    }
}

fn kind(signal: i32) -> SignalKind {
    SignalKind::from_raw(signal)
}

fn a_signal_reaches_all_who_listen(on: &Systems) {
    let own = OwnSignal::new();
    let signal = own.number();
    let listen = || Signals::new([kind(signal)]).unwrap();
    let all = [listen(), listen(), listen()];
    let systems = [on.here(), on.there(), on.here()];
    let tasks: Vec<_> = systems
        .into_iter()
        .zip(all)
        .map(|(system, signals)| system.spawn(async move { signals.next().await }))
        .collect();
    let here = listen();
    send_signal(signal);
    for task in tasks {
        let received = task.wait().unwrap();
        assert_eq!((received.kind, received.count), (kind(signal), 1));
    }
    assert_eq!(here.next().wait().count, 1);
    assert!(here.try_recv().is_err());
}

fn a_stack_that_blocks_hears_of_a_signal(on: &Systems) {
    on.alone(|| {
        let own = OwnSignal::new();
        let signal = own.number();
        let tasks = [on.here(), on.there()].map(|system| {
            let signals = Signals::new([kind(signal)]).unwrap();
            system.spawn_fn(move || (signals.next().wait().kind, signals.next().wait().kind))
        });
        // One after the other, for as long as it takes both to hear of two.
        eventually("both hear of it", || {
            send_signal(signal);
            std::thread::sleep(Duration::from_millis(1));
            tasks.iter().all(|task| task.is_finished())
        });
        for task in tasks {
            assert_eq!(task.wait().unwrap(), (kind(signal), kind(signal)));
        }
    });
}

fn signals_that_come_together_are_counted(on: &Systems) {
    let own = OwnSignal::new();
    let signal = own.number();
    let signals = Signals::new([kind(signal)]).unwrap();
    // Real-time signals are queued: none is lost in the kernel.
    (0..5).for_each(|_| send_signal(signal));
    let task = on.here().spawn(async move {
        let mut total = 0;
        while total < 5 {
            total += signals.next().await.count;
        }
        (total, timeout(Duration::from_millis(5), signals.next()).await.is_err())
    });
    assert_eq!(task.wait().unwrap(), (5, true));
}

fn a_wait_that_is_given_up_loses_no_signal(on: &Systems) {
    let own = OwnSignal::new();
    let signal = own.number();
    let signals = Signals::new([kind(signal)]).unwrap();
    let task = on.here().spawn(async move {
        for _ in 0..20 {
            let _ = timeout(Duration::ZERO, signals.next()).await;
            assert!(timeout(Duration::from_micros(100), signals.next()).await.is_err());
            let waiting = signals.next();
            send_signal(signal);
            yield_now().await;
            drop(waiting);
            assert_eq!(signals.next().await.count, 1);
        }
    });
    task.wait().unwrap();
}

fn a_previous_handler_is_called(on: &Systems) {
    on.alone(|| {
        let counted = count_signal(libc::SIGUSR1);
        let signals = Arc::new(Signals::new([SignalKind::USER1]).unwrap());
        let waiting = Arc::clone(&signals);
        let task = on.here().spawn(async move { waiting.next().await.kind });
        send_signal(libc::SIGUSR1);
        assert_eq!(task.wait().unwrap(), SignalKind::USER1);
        assert_eq!(counted.load(Ordering::SeqCst), 1);
        // Also when nobody listens any more; and then the signal does not do what it does by default.
        drop(signals);
        send_signal(libc::SIGUSR1);
        eventually("the handler is called", || counted.load(Ordering::SeqCst) == 2);
    });
}

fn what_cannot_be_handled_is_refused(on: &Systems) {
    let refused = || {
        let named = [
            (libc::SIGKILL, "SIGKILL"),
            (libc::SIGSTOP, "SIGSTOP"),
            (libc::SIGSEGV, "SIGSEGV"),
            (libc::SIGBUS, "SIGBUS"),
            (libc::SIGILL, "SIGILL"),
            (libc::SIGFPE, "SIGFPE"),
            (libc::SIGURG, "SIGURG"),
            (0, "signal 0"),
            (-1, "signal -1"),
            (32, "signal 32"),
            (1000, "signal 1000"),
        ];
        for (number, name) in named {
            let error = Signals::new([SignalKind::USER2, kind(number)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().starts_with(name), "{error}");
            assert!(signal::exit_on_second(kind(number)).is_err());
        }
    };
    on.here().spawn_fn(refused).wait().unwrap();
}

fn each_kind_comes_out_once_for_each_listener(on: &Systems) {
    let (own, others) = (OwnSignal::new(), OwnSignal::new());
    let (one, other) = (own.number(), others.number());
    let both = Signals::new([kind(one), kind(other), kind(one)]).unwrap();
    let only_other = Signals::new([kind(other)]).unwrap();
    [other, one].into_iter().for_each(send_signal);
    let task = on.here().spawn(async move {
        let mut kinds = both.into_stream().map(|received| received.kind).take(2).collect::<Vec<_>>().await;
        kinds.sort();
        (kinds, only_other.next().await.kind)
    });
    let mut sorted = vec![kind(one), kind(other)];
    sorted.sort();
    assert_eq!(task.wait().unwrap(), (sorted, kind(other)));
}

fn several_receive_from_one_listener(on: &Systems) {
    on.alone(|| {
        let own = OwnSignal::new();
        let signal = own.number();
        let signals = Arc::new(Signals::new([kind(signal)]).unwrap());
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let signals = Arc::clone(&signals);
                on.here().spawn(async move { signals.next().await.count })
            })
            .collect();
        // Each gets one of them at least, as long as there are any.
        eventually("each has got one", || {
            send_signal(signal);
            std::thread::sleep(Duration::from_millis(1));
            tasks.iter().all(|task| task.is_finished())
        });
        assert!(tasks.into_iter().all(|task| task.wait().unwrap() >= 1));
    });
}

fn a_second_interrupt_ends_the_process(on: &Systems) {
    let ended = on.in_child(|| {
        signal::exit_on_second(SignalKind::INTERRUPT).unwrap();
        let interrupted = signal::ctrl_c();
        let (tell, told) = oneshot();
        let task = on.here().spawn(async move {
            interrupted.await.unwrap();
            println!("going down");
            tell.send(()).unwrap();
            // The orderly end, which takes too long.
            sleep(Duration::from_secs(1000)).await;
        });
        send_signal(libc::SIGINT);
        told.wait().unwrap();
        assert!(!task.is_finished());
        send_signal(libc::SIGINT);
        std::thread::sleep(Duration::from_secs(30));
    });
    assert_eq!(ended.status.signal(), Some(libc::SIGINT), "{:?}", ended);
    assert!(String::from_utf8_lossy(&ended.stdout).contains("going down"));
}

fn a_listener_leaves_nothing_behind(on: &Systems) {
    on.alone(|| {
        let own = OwnSignal::new();
        let signal = own.number();
        let round = || {
            let task = on.here().spawn(async move {
                let all: Vec<_> = (0..100).map(|_| Signals::new([kind(signal)]).unwrap()).collect();
                send_signal(signal);
                for signals in &all {
                    assert_eq!(signals.next().await.count, 1);
                }
            });
            task.wait().unwrap();
        };
        round();
        // A thread that has started meanwhile may have made one for itself.
        let descriptors = || Resources::now().descriptors.values().sum::<usize>();
        let before = descriptors();
        round();
        eventually("the descriptors are closed", || descriptors() < before + 10);
    });
}

fn the_child_of_a_fork_listens_for_itself(on: &Systems) {
    on.alone(|| {
        let own = OwnSignal::new();
        let signal = own.number();
        let ours = Signals::new([kind(signal)]).unwrap();
        let status = fork(|| {
            let theirs = Signals::new([kind(signal)]).unwrap();
            send_signal(signal);
            theirs.next().wait().count as u8
        });
        assert_eq!(status, Some(1));
        let task = on.here().spawn(async move {
            let nothing = timeout(Duration::from_millis(10), ours.next()).await.is_err();
            send_signal(signal);
            (nothing, ours.next().await.count)
        });
        assert_eq!(task.wait().unwrap(), (true, 1));
    });
}
