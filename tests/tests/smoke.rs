//! First light.
use std::time::{Duration, Instant};
use twoply_core::{Wait, channel, task::Spawner};
use twoply_green::Green;
use twoply_native::Native;

fn all(f: impl Fn(&str, &Spawner)) {
    let native = Native::new();
    eprintln!("native");
    f("native", native.spawner());
    native.shutdown(Duration::from_secs(5)).unwrap();
    for workers in [1, 2] {
        eprintln!("green {workers}");
        let green = Green::builder().workers(workers).build().unwrap();
        f("green", green.spawner());
        green.shutdown(Duration::from_secs(5)).unwrap();
        eprintln!("fibers {workers}");
        let green = unsafe { Green::builder().workers(workers).fibers() }.build().unwrap();
        f("fibers", green.spawner());
        green.shutdown(Duration::from_secs(5)).unwrap();
    }
}

#[test]
fn basics() {
    all(|_, s| {
        assert_eq!(s.spawn(async { 1 }).wait().unwrap(), 1);
        assert_eq!(s.spawn_fn(|| 2).wait().unwrap(), 2);
        let (tx, rx) = channel::bounded(1);
        let (tx2, rx2) = channel::bounded(1);
        let a = s.spawn_fn(move || {
            for i in 0..1000 {
                tx.send(i).wait().unwrap();
                assert_eq!(rx2.recv().wait().unwrap(), i);
            }
        });
        let b = s.spawn(async move {
            for _ in 0..1000 {
                let i: i32 = rx.recv().await.unwrap();
                tx2.send(i).await.unwrap();
            }
        });
        a.wait().unwrap();
        b.wait().unwrap();
        let p = s.spawn(async {
            if true {
                panic!("boom")
            }
        });
        assert!(p.wait().unwrap_err().is_panic());
        let start = Instant::now();
        s.spawn(twoply_core::time::sleep(Duration::from_millis(20))).wait().unwrap();
        s.spawn_fn(|| twoply_core::time::sleep(Duration::from_millis(20)).wait()).wait().unwrap();
        assert!(start.elapsed() >= Duration::from_millis(40));
        let c = s.spawn(std::future::pending::<()>());
        c.cancel();
        assert!(c.wait().unwrap_err().is_cancelled());
        let c = s.spawn_fn(|| std::future::pending::<()>().wait());
        std::thread::sleep(Duration::from_millis(20));
        c.cancel();
        assert!(c.wait().unwrap_err().is_cancelled());
    });
}
