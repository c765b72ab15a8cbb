//! The toy world: a network in memory. What is sent has arrived at once, unless somebody carries it.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Shutdown};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::io::Errno;
use twoply_core::net::UnixAddr;
use twoply_core::reactor::Interest;
use twoply_core::time::sleep;
use twoply_core::world::{
    Address, Arrival, Notify, Resolving, Socket, SocketKind, SocketOption, SocketOptions, World,
};

/// How many bytes are under way in one direction at most.
pub(crate) const ROOM: usize = 1000;

thread_local! {
    /// The errors of the next calls that accept a connection.
    static FAILURES: RefCell<VecDeque<Errno>> = const { RefCell::new(VecDeque::new()) };
}

/// Has the next `times` calls of this thread that accept a connection fail.
pub(crate) fn fail_accepts(error: Errno, times: usize) {
    FAILURES.with(|failures| failures.borrow_mut().extend(vec![error; times]));
}

/// A network without the system's, as one of its hosts has it. Port 80 of the first is known as `server`.
#[derive(Clone)]
pub(crate) struct Toy {
    network: Arc<Mutex<Network>>,
    host: Ipv4Addr,
    carrier: Option<Carrier>,
}

impl Default for Toy {
    fn default() -> Toy {
        Toy { network: Arc::default(), host: [10, 0, 0, 2].into(), carrier: None }
    }
}

/// Has parcels arrive some time later, those of one connection that go one way in their order.
pub(crate) type Carrier = Arc<dyn Fn(Parcel) + Send + Sync>;

/// The end of the way of what was sent.
type Arrive = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Something that one host sends to another one: bytes, or without any the word that there is news.
pub(crate) struct Parcel {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    /// The number of the connection.
    pub(crate) connection: u64,
    pub(crate) bytes: Vec<u8>,
    arrive: Arrive,
}

impl Parcel {
    pub(crate) fn arrive(self) {
        (self.arrive)(&self.bytes);
    }

    /// Takes the bytes from `at` on into a parcel that follows this one.
    pub(crate) fn split_off(&mut self, at: usize) -> Parcel {
        let Parcel { from, to, connection, .. } = *self;
        Parcel { from, to, connection, bytes: self.bytes.split_off(at), arrive: Arc::clone(&self.arrive) }
    }
}

#[derive(Default)]
struct Network {
    /// The listeners by what tells them apart.
    listeners: BTreeMap<String, Arc<Mutex<Listening>>>,
    /// The sockets of datagrams that are bound, likewise.
    boxes: BTreeMap<String, Arc<Mutex<Letters>>>,
    /// The last port that was given to somebody who did not care.
    last_port: u16,
    /// The connections that there have been.
    connections: u64,
}

/// Attempts that wait to be accepted.
#[derive(Default)]
struct Listening {
    waiting: VecDeque<(Address, Arc<Mutex<Connection>>)>,
    notify: Option<Notify>,
}

/// Datagrams that have arrived.
#[derive(Default)]
struct Letters {
    arrived: VecDeque<(Address, Vec<u8>)>,
    notify: Option<Notify>,
}

/// Both directions of a connection; whoever has connected is end 0.
#[derive(Default)]
struct Connection {
    number: u64,
    /// The hosts of the ends, if those are of any.
    hosts: Option<[IpAddr; 2]>,
    /// Whether end 0 knows that it has been accepted.
    accepted: bool,
    refused: bool,
    ends: [End; 2],
}

#[derive(Default)]
struct End {
    /// What has arrived here.
    arrived: VecDeque<u8>,
    /// The bytes that have been sent here, and not been read as far as the sender knows.
    unread: usize,
    /// Whether nothing more will arrive.
    ended: bool,
    /// Whether nothing more can be sent here, as far as the sender knows.
    closed: bool,
    notify: Option<Notify>,
}

/// A socket of the toy network.
struct ToySocket {
    toy: Toy,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    local: Option<Address>,
    peer: Option<Address>,
    notify: Option<Notify>,
    options: SocketOptions,
    role: Role,
}

#[derive(Clone, Default)]
enum Role {
    #[default]
    Fresh,
    Listener(Arc<Mutex<Listening>>),
    /// One end of a connection, and which one.
    Stream(Arc<Mutex<Connection>>, usize),
    Box(Arc<Mutex<Letters>>),
}

/// What tells addresses apart: hosts have all ports in common.
fn key(address: &Address) -> String {
    match address {
        Address::Ip(address) => address.port().to_string(),
        address => format!("{address:?}"),
    }
}

/// Tells those who wait, with nothing locked.
fn tell(notify: Option<Notify>, ready: Interest) {
    if let Some(notify) = notify {
        notify(ready);
    }
}

impl Toy {
    /// Returns the same network as another host has it, of which this takes what it sends.
    pub(crate) fn at(&self, host: Ipv4Addr, carrier: Carrier) -> Toy {
        Toy { network: Arc::clone(&self.network), host, carrier: Some(carrier) }
    }

    fn carry(&self, hosts: Option<[IpAddr; 2]>, connection: u64, bytes: Vec<u8>, arrive: Arrive) {
        match (hosts, &self.carrier) {
            (Some([from, to]), Some(carrier)) => carrier(Parcel { from, to, connection, bytes, arrive }),
            _ => arrive(&bytes),
        }
    }
}

impl World for Toy {
    fn socket(&self, kind: SocketKind, _: &Address) -> io::Result<Option<Box<dyn Socket>>> {
        let role = match kind {
            SocketKind::Datagram => Role::Box(Arc::default()),
            _ => Role::Fresh,
        };
        let state = Mutex::new(State { role, ..State::default() });
        Ok(Some(Box::new(ToySocket { toy: self.clone(), state })))
    }

    fn socket_pair(&self, _: SocketKind) -> io::Result<Option<[Box<dyn Socket>; 2]>> {
        let connection = Arc::new(Mutex::new(Connection { accepted: true, ..Connection::default() }));
        Ok(Some([0, 1].map(|end| -> Box<dyn Socket> {
            let unnamed = Some(Address::Unix(UnixAddr::Unnamed));
            let role = Role::Stream(Arc::clone(&connection), end);
            let state = State { local: unnamed.clone(), peer: unnamed, role, ..State::default() };
            Box::new(ToySocket { toy: self.clone(), state: Mutex::new(state) })
        })))
    }

    fn resolve(&self, host: &str, port: u16) -> Option<Resolving> {
        let known = host == "server";
        Some(Box::pin(async move {
            sleep(Duration::from_millis(1)).await;
            if known { Ok(vec![([10, 0, 0, 1], port).into()]) } else { Err(io::ErrorKind::NotFound.into()) }
        }))
    }
}

impl ToySocket {
    /// The connection that this is an end of, if it stands.
    fn stream(&self) -> io::Result<(Arc<Mutex<Connection>>, usize)> {
        match self.state.lock().unwrap().role.clone() {
            Role::Stream(connection, end) if end == 1 || connection.lock().unwrap().accepted => {
                Ok((connection, end))
            }
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Sends something from one end of a connection to the other one. `arrive` says what that is ready for
    /// then.
    fn pass(
        &self,
        connection: &Arc<Mutex<Connection>>,
        end: usize,
        bytes: Vec<u8>,
        arrive: impl Fn(&mut Connection, &[u8]) -> Interest + Send + Sync + 'static,
    ) {
        let (hosts, number) = {
            let connection = connection.lock().unwrap();
            (connection.hosts, connection.number)
        };
        let hosts = hosts.map(|hosts| [hosts[end], hosts[1 - end]]);
        let connection = Arc::clone(connection);
        let arrive = move |bytes: &[u8]| {
            let (notify, ready) = {
                let mut connection = connection.lock().unwrap();
                let ready = arrive(&mut connection, bytes);
                (connection.ends[1 - end].notify.clone(), ready)
            };
            tell(notify, ready);
        };
        self.toy.carry(hosts, number, bytes, Arc::new(arrive));
    }

    /// Closes directions of a connection, and sends word of that.
    fn close(&self, connection: &Arc<Mutex<Connection>>, end: usize, how: Shutdown) {
        let (reads, writes) = (how != Shutdown::Write, how != Shutdown::Read);
        let notify = {
            let ends = &mut connection.lock().unwrap().ends;
            ends[1 - end].closed |= writes;
            ends[end].ended |= reads;
            ends[end].notify.clone()
        };
        tell(notify, Interest::BOTH);
        self.pass(connection, end, Vec::new(), move |connection, _| {
            connection.ends[1 - end].ended |= writes;
            connection.ends[end].closed |= reads;
            Interest::BOTH
        });
    }

    fn name(&self, address: &Address) -> io::Result<Address> {
        let mut network = self.toy.network.lock().unwrap();
        let mut named = address.clone();
        if let Address::Ip(address) = &mut named
            && address.port() == 0
        {
            network.last_port += 1;
            address.set_port(network.last_port);
        }
        if network.listeners.contains_key(&key(&named)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(named)
    }

    /// What has arrived, if this is a socket of datagrams.
    fn letters(&self) -> io::Result<Arc<Mutex<Letters>>> {
        match &self.state.lock().unwrap().role {
            Role::Box(letters) => Ok(Arc::clone(letters)),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Socket for ToySocket {
    fn attach(&self, notify: Notify) {
        let mut state = self.state.lock().unwrap();
        match &state.role {
            Role::Fresh => {}
            Role::Listener(listening) => listening.lock().unwrap().notify = Some(Arc::clone(&notify)),
            Role::Stream(connection, end) => {
                connection.lock().unwrap().ends[*end].notify = Some(Arc::clone(&notify));
            }
            Role::Box(letters) => letters.lock().unwrap().notify = Some(Arc::clone(&notify)),
        }
        state.notify = Some(notify);
    }

    fn bind(&self, address: &Address) -> io::Result<()> {
        let local = self.name(address)?;
        if let Ok(letters) = self.letters() {
            self.toy.network.lock().unwrap().boxes.insert(key(&local), letters);
        }
        self.state.lock().unwrap().local = Some(local);
        Ok(())
    }

    fn listen(&self, _: u32) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let listening = Listening { notify: state.notify.clone(), ..Listening::default() };
        let listening = Arc::new(Mutex::new(listening));
        let local = state.local.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
        self.toy.network.lock().unwrap().listeners.insert(key(local), Arc::clone(&listening));
        state.role = Role::Listener(listening);
        Ok(())
    }

    fn accept(&self) -> io::Result<(Box<dyn Socket>, Address)> {
        if let Some(failure) = FAILURES.with(|failures| failures.borrow_mut().pop_front()) {
            return Err(failure.into());
        }
        let state = self.state.lock().unwrap();
        let Role::Listener(listening) = &state.role else { return Err(io::ErrorKind::InvalidInput.into()) };
        let (peer, connection) =
            listening.lock().unwrap().waiting.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let role = Role::Stream(Arc::clone(&connection), 1);
        let accepted =
            State { local: state.local.clone(), peer: Some(peer.clone()), role, ..State::default() };
        drop(state);
        self.pass(&connection, 1, Vec::new(), |connection, _| {
            connection.accepted = true;
            Interest::WRITE
        });
        Ok((Box::new(ToySocket { toy: self.toy.clone(), state: Mutex::new(accepted) }), peer))
    }

    fn connect(&self, address: &Address) -> io::Result<()> {
        if self.letters().is_ok() {
            self.state.lock().unwrap().peer = Some(address.clone());
            return Ok(());
        }
        let local = match address {
            Address::Unix(_) => Address::Unix(UnixAddr::Unnamed),
            _ => self.name(&Address::Ip((self.toy.host, 0).into()))?,
        };
        let hosts = match (&local, address) {
            (Address::Ip(local), Address::Ip(address)) => Some([local.ip(), address.ip()]),
            _ => None,
        };
        let number = {
            let mut network = self.toy.network.lock().unwrap();
            network.connections += 1;
            network.connections
        };
        let connection = {
            let mut state = self.state.lock().unwrap();
            let mut connection = Connection { number, hosts, ..Connection::default() };
            connection.ends[0].notify = state.notify.clone();
            let connection = Arc::new(Mutex::new(connection));
            (state.local, state.peer) = (Some(local.clone()), Some(address.clone()));
            state.role = Role::Stream(Arc::clone(&connection), 0);
            connection
        };
        let (network, address, attempt) =
            (Arc::clone(&self.toy.network), key(address), Arc::clone(&connection));
        let arrive = move |_: &[u8]| {
            let listening = network.lock().unwrap().listeners.get(&address).cloned();
            let (notify, ready) = match listening {
                Some(listening) => {
                    let mut listening = listening.lock().unwrap();
                    listening.waiting.push_back((local.clone(), Arc::clone(&attempt)));
                    (listening.notify.clone(), Interest::READ)
                }
                None => {
                    let mut attempt = attempt.lock().unwrap();
                    attempt.refused = true;
                    (attempt.ends[0].notify.clone(), Interest::BOTH)
                }
            };
            tell(notify, ready);
        };
        self.toy.carry(hosts, number, Vec::new(), Arc::new(arrive));
        // Else it stands once it has been accepted.
        let refused = std::mem::take(&mut connection.lock().unwrap().refused);
        Err(if refused { io::ErrorKind::ConnectionRefused } else { io::ErrorKind::WouldBlock }.into())
    }

    fn receive(&self, bufs: &mut [IoSliceMut<'_>], peek: bool) -> io::Result<usize> {
        let (connection, end) = self.stream()?;
        let moved = {
            let mut connection = connection.lock().unwrap();
            let here = &mut connection.ends[end];
            let mut seen = here.arrived.iter();
            let mut moved = 0;
            for slot in bufs.iter_mut().flat_map(|buf| buf.iter_mut()) {
                let Some(byte) = seen.next() else { break };
                *slot = *byte;
                moved += 1;
            }
            if moved == 0 && !here.ended {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if !peek {
                here.arrived.drain(..moved);
            }
            moved
        };
        if !peek && moved > 0 {
            self.pass(&connection, end, Vec::new(), move |connection, _| {
                connection.ends[end].unread -= moved;
                Interest::WRITE
            });
        }
        Ok(moved)
    }

    fn send(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let (connection, end) = self.stream()?;
        let bytes: Vec<u8> = {
            let there = &mut connection.lock().unwrap().ends[1 - end];
            if there.closed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let bytes = bufs.iter().flat_map(|buf| buf.iter()).copied().take(ROOM - there.unread);
            let bytes: Vec<u8> = bytes.collect();
            there.unread += bytes.len();
            bytes
        };
        let moved = bytes.len();
        if moved == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.pass(&connection, end, bytes, move |connection, bytes| {
            connection.ends[1 - end].arrived.extend(bytes);
            Interest::READ
        });
        Ok(moved)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let (connection, end) = self.stream()?;
        self.close(&connection, end, how);
        Ok(())
    }

    fn receive_from(&self, bufs: &mut [IoSliceMut<'_>], peek: bool) -> io::Result<Arrival> {
        let letters = self.letters()?;
        let mut letters = letters.lock().unwrap();
        let (from, letter) = letters.arrived.front().ok_or(io::ErrorKind::WouldBlock)?;
        let arrival = Arrival { len: letter.len(), from: from.clone() };
        let slots = bufs.iter_mut().flat_map(|buf| buf.iter_mut());
        slots.zip(letter).for_each(|(slot, byte)| *slot = *byte);
        if !peek {
            letters.arrived.pop_front();
        }
        Ok(arrival)
    }

    fn send_to(&self, bufs: &[IoSlice<'_>], to: Option<&Address>) -> io::Result<usize> {
        let (from, to) = {
            let state = self.state.lock().unwrap();
            let to = to.or(state.peer.as_ref()).ok_or(io::ErrorKind::NotConnected)?;
            (state.local.clone().ok_or(io::ErrorKind::InvalidInput)?, key(to))
        };
        let letter: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter()).copied().collect();
        let len = letter.len();
        // Nobody hears of one that is sent to nobody.
        if let Some(letters) = self.toy.network.lock().unwrap().boxes.get(&to).cloned() {
            let notify = {
                let mut letters = letters.lock().unwrap();
                letters.arrived.push_back((from, letter));
                letters.notify.clone()
            };
            tell(notify, Interest::READ);
        }
        Ok(len)
    }

    fn ready(&self, interest: Interest) -> Interest {
        let role = self.state.lock().unwrap().role.clone();
        let (read, write) = match role {
            Role::Fresh => (true, true),
            Role::Listener(listening) => (!listening.lock().unwrap().waiting.is_empty(), false),
            Role::Stream(connection, end) => {
                let connection = connection.lock().unwrap();
                let (here, there) = (&connection.ends[end], &connection.ends[1 - end]);
                let room = there.unread < ROOM || there.closed;
                (!here.arrived.is_empty() || here.ended, room)
            }
            Role::Box(letters) => (!letters.lock().unwrap().arrived.is_empty(), true),
        };
        let one = |is, direction| if is && interest.contains(direction) { direction } else { Interest::NONE };
        one(read, Interest::READ) | one(write, Interest::WRITE)
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.state.lock().unwrap().local.clone().ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    fn peer_addr(&self) -> io::Result<Address> {
        if self.letters().is_err() {
            self.stream()?;
        }
        self.state.lock().unwrap().peer.clone().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn take_error(&self) -> Option<io::Error> {
        let Role::Stream(connection, _) = self.state.lock().unwrap().role.clone() else { return None };
        let refused = std::mem::take(&mut connection.lock().unwrap().refused);
        refused.then(|| io::ErrorKind::ConnectionRefused.into())
    }

    fn options(&self) -> io::Result<SocketOptions> {
        Ok(self.state.lock().unwrap().options.clone())
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.state.lock().unwrap().options.apply(option);
        Ok(())
    }
}

impl Drop for ToySocket {
    fn drop(&mut self) {
        let state = std::mem::take(&mut *self.state.lock().unwrap());
        let mut told = Vec::new();
        match state.role {
            Role::Fresh => {}
            Role::Box(letters) => {
                self.toy.network.lock().unwrap().boxes.retain(|_, other| !Arc::ptr_eq(other, &letters));
            }
            Role::Listener(listening) => {
                self.toy.network.lock().unwrap().listeners.retain(|_, other| !Arc::ptr_eq(other, &listening));
                for (_, connection) in listening.lock().unwrap().waiting.drain(..) {
                    let mut connection = connection.lock().unwrap();
                    connection.refused = true;
                    told.push(connection.ends[0].notify.take());
                }
            }
            Role::Stream(connection, end) => {
                connection.lock().unwrap().ends[end].notify = None;
                self.close(&connection, end, Shutdown::Both);
            }
        }
        told.into_iter().for_each(|notify| tell(notify, Interest::BOTH));
    }
}
