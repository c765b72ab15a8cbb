//! Services in the local network by mdns-sd: one announces, the other one browses, over the loopback
//! interface and a port of the test's own. Its channels are awaited as they are, by `.await` and in
//! straight-line code.

use std::net::UdpSocket;

use mdns_sd::{IfKind, Receiver, ServiceDaemon, ServiceEvent, ServiceInfo};
use twoply::Wait;
use twoply_tests::{Systems, laws};

laws! {
    everywhere {
        a_service_is_found_and_lost,
    }
}

const KIND: &str = "_twoply._udp.local.";

/// Starts what sends and receives, on the loopback interface alone.
fn daemon(port: u16) -> ServiceDaemon {
    let daemon = ServiceDaemon::new_with_port(port).unwrap();
    daemon.disable_interface(IfKind::All).unwrap();
    daemon.enable_interface(IfKind::LoopbackV4).unwrap();
    daemon
}

/// Returns the first event for which `wanted` has something to say.
async fn next<T>(events: &Receiver<ServiceEvent>, mut wanted: impl FnMut(ServiceEvent) -> Option<T>) -> T {
    loop {
        if let Some(found) = wanted(events.recv_async().await.unwrap()) {
            return found;
        }
    }
}

fn a_service_is_found_and_lost(on: &Systems) {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (announcing, browsing) = (daemon(port), daemon(port));
    let properties = [("colour", "green")];
    let service =
        ServiceInfo::new(KIND, "a shop", "shop.local.", "127.0.0.1", 4321, &properties[..]).unwrap();
    let name = service.get_fullname().to_owned();
    announcing.register(service).unwrap();
    let events = browsing.browse(KIND).unwrap();
    let finding = on.here().spawn(async move {
        let found = next(&events, |event| match event {
            ServiceEvent::ServiceResolved(service) => Some(service),
            _ => None,
        });
        (found.await, events)
    });
    let (found, events) = finding.wait().unwrap();
    assert_eq!((found.get_fullname(), found.get_port()), (name.as_str(), 4321));
    assert_eq!(found.get_property_val_str("colour"), Some("green"));
    let removed = name.clone();
    let losing = on.here().spawn_fn(move || {
        let lost = next(&events, |event| match event {
            ServiceEvent::ServiceRemoved(_, name) => Some(name),
            _ => None,
        });
        assert_eq!(lost.wait(), removed);
    });
    announcing.unregister(&name).unwrap();
    losing.wait().unwrap();
    for daemon in [announcing, browsing] {
        let ended = daemon.shutdown().unwrap();
        on.here().spawn(async move { ended.recv_async().await.unwrap() }).wait().unwrap();
    }
}
