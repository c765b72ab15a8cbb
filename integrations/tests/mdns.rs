//! Services in the local network by mdns-sd: one announces, the other one browses, over the loopback
//! interface and a port of the test's own. Its channels are awaited as they are, by `.await` and in
//! straight-line code. A reference to a service that is announced holds messages while nobody announces it.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{SocketAddr, UdpSocket};

use mdns_sd::{IfKind, Receiver, ServiceDaemon, ServiceEvent, ServiceInfo};
use twoply::actor::{Service, ServiceRef, Session};
use twoply::net::{TcpListener, TcpStream};
use twoply::promise::Resolver;
use twoply::{Wait, select};
use twoply_tests::{Systems, eventually, laws};

laws! {
    everywhere {
        a_service_is_found_and_lost,
        what_is_sent_while_nobody_announces_it_arrives,
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
    end(on, [announcing, browsing]);
}

fn end<const N: usize>(on: &Systems, daemons: [ServiceDaemon; N]) {
    for daemon in daemons {
        let ended = daemon.shutdown().unwrap();
        on.here().spawn(async move { ended.recv_async().await.unwrap() }).wait().unwrap();
    }
}

/// A server of the network that answers a byte by another one: present while it is announced.
struct Announced {
    events: Receiver<ServiceEvent>,
}

impl Announced {
    /// Waits until it is announced somewhere.
    async fn found(&self) -> (String, SocketAddr) {
        let resolved = |event| match event {
            ServiceEvent::ServiceResolved(service) => {
                let address = service.get_addresses_v4().into_iter().next()?;
                Some((service.get_fullname().to_owned(), (address, service.get_port()).into()))
            }
            _ => None,
        };
        next(&self.events, resolved).await
    }

    /// Waits until `name` is announced no more.
    async fn lost(&self, name: &str) {
        let removed = |event| match event {
            ServiceEvent::ServiceRemoved(_, removed) if removed == name => Some(()),
            _ => None,
        };
        next(&self.events, removed).await;
    }
}

impl Service for Announced {
    type Message = (u8, Resolver<u8>);
    type Error = io::Error;

    async fn serve(&mut self, session: &mut Session<Self::Message>) -> io::Result<()> {
        let (name, address) = self.found().await;
        let stream = TcpStream::connect(address).await?;
        session.present();
        loop {
            select! {
                await;
                () = self.lost(&name) => return Ok(()),
                message = session.receive() => {
                    let Some((byte, answer)) = message else { return Ok(()) };
                    stream.write_all(&[byte]).await?;
                    let mut reply = [0];
                    stream.read_exact(&mut reply).await?;
                    _ = answer.resolve(reply[0]);
                }
            }
        }
    }
}

/// Answers each byte of a connection by its double.
async fn double(listener: &TcpListener) -> io::Result<Infallible> {
    let (stream, _) = listener.accept().await?;
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).await?;
        stream.write_all(&[byte[0] * 2]).await?;
    }
}

fn what_is_sent_while_nobody_announces_it_arrives(on: &Systems) {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (announcing, browsing) = (daemon(port), daemon(port));
    let announced = Announced { events: browsing.browse(KIND).unwrap() };
    let starting = on.here().spawn(async move { ServiceRef::start(announced) });
    let doubling = starting.wait().unwrap().unwrap();
    // It comes twice; each time what was asked before it came is answered.
    for round in 0..2_u8 {
        assert!(!doubling.is_present());
        let there = doubling.clone();
        let asking = on.here().spawn(async move { there.ask(|answer| (round + 20, answer)).await.unwrap() });
        let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
        let at = listener.local_addr().unwrap().port();
        let serving = on.there().spawn(async move {
            _ = double(&listener).await;
            pending::<()>().await;
        });
        let name = format!("doubling {round}");
        let service = ServiceInfo::new(KIND, &name, "shop.local.", "127.0.0.1", at, None).unwrap();
        let full = service.get_fullname().to_owned();
        announcing.register(service).unwrap();
        assert_eq!(asking.wait().unwrap(), (round + 20) * 2);
        assert_eq!(doubling.ask(|answer| (round, answer)).wait().unwrap(), round * 2);
        announcing.unregister(&full).unwrap();
        eventually("it is away", || !doubling.is_present());
        serving.cancel();
    }
    drop(doubling);
    end(on, [announcing, browsing]);
}
