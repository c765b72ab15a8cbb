//! The options of sockets, as values: what `net` sets and reads, and what a simulated socket is told.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// One option of a simulated socket, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketOption {
    /// True lets an address be taken over that old connections still linger on.
    ReuseAddr(bool),
    /// True lets several listeners share an address.
    ReusePort(bool),
    /// True has an IPv6 listener leave IPv4 alone.
    OnlyV6(bool),
    /// True has small segments sent at once.
    NoDelay(bool),
    /// The number of routers that a packet may pass.
    Ttl(u32),
    /// The time that closing waits for what has been written to arrive.
    Linger(Option<Duration>),
    /// The idle time after which the peer is probed.
    KeepAlive(Option<Duration>),
    /// The time between two probes of a peer that does not answer.
    KeepAliveInterval(Duration),
    /// The number of probes without an answer after which the connection is given up.
    KeepAliveProbes(u32),
    /// The time after which data that is not acknowledged ends the connection; `None`: as usual.
    UserTimeout(Option<Duration>),
    /// True sends the first data with the request to connect.
    FastOpenConnect(bool),
    /// The number of connections with data in their request that may wait; zero takes none.
    FastOpenQueue(u32),
    /// True leaves urgent data among the other data.
    UrgentInline(bool),
    /// The bytes that have to be there before a reader is woken.
    ReceiveLowWater(u32),
    /// The bytes that may wait to be sent before a writer waits.
    UnsentLimit(u32),
    /// The interface of the network that all packets go through; `None`: any.
    Device(Option<String>),
    /// True allows datagrams to everybody.
    Broadcast(bool),
    /// A group to become a member of, on the interface with this address.
    JoinV4(Ipv4Addr, Ipv4Addr),
    /// A group to leave, on the interface with this address.
    LeaveV4(Ipv4Addr, Ipv4Addr),
    /// A group to become a member of, on the interface with this number.
    JoinV6(Ipv6Addr, u32),
    /// A group to leave, on the interface with this number.
    LeaveV6(Ipv6Addr, u32),
    /// True has what is sent to a group come back to members on the same machine.
    MulticastLoopV4(bool),
    /// The same for groups of IPv6.
    MulticastLoopV6(bool),
    /// The number of routers that a datagram to a group may pass.
    MulticastTtlV4(u32),
    /// The same for groups of IPv6.
    MulticastHopsV6(u32),
    /// The address of the interface that datagrams to groups are sent through.
    MulticastInterfaceV4(Ipv4Addr),
    /// The number of that interface for groups of IPv6.
    MulticastInterfaceV6(u32),
    /// The size of the buffer for what has arrived, in bytes.
    ReceiveBuffer(usize),
    /// The size of the buffer for what has been written, in bytes.
    SendBuffer(usize),
}

/// The options of a simulated socket.
///
/// ```
/// use twoply::contract::world::{SocketOption, SocketOptions};
///
/// let mut options = SocketOptions::default();
/// options.apply(SocketOption::NoDelay(true));
/// assert!(options.nodelay);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// The value of [`SocketOption::ReuseAddr`].
    pub reuse_addr: bool,
    /// The value of [`SocketOption::ReusePort`].
    pub reuse_port: bool,
    /// The value of [`SocketOption::OnlyV6`].
    pub only_v6: bool,
    /// The value of [`SocketOption::NoDelay`].
    pub nodelay: bool,
    /// The value of [`SocketOption::Ttl`].
    pub ttl: u32,
    /// The value of [`SocketOption::Linger`].
    pub linger: Option<Duration>,
    /// The value of [`SocketOption::KeepAlive`].
    pub keepalive: Option<Duration>,
    /// The value of [`SocketOption::KeepAliveInterval`].
    pub keepalive_interval: Duration,
    /// The value of [`SocketOption::KeepAliveProbes`].
    pub keepalive_probes: u32,
    /// The value of [`SocketOption::UserTimeout`].
    pub user_timeout: Option<Duration>,
    /// The value of [`SocketOption::UrgentInline`].
    pub urgent_inline: bool,
    /// The value of [`SocketOption::ReceiveLowWater`].
    pub recv_low_water: u32,
    /// The value of [`SocketOption::UnsentLimit`].
    pub unsent_limit: u32,
    /// The value of [`SocketOption::Device`].
    pub device: Option<String>,
    /// The value of [`SocketOption::Broadcast`].
    pub broadcast: bool,
    /// The value of [`SocketOption::MulticastLoopV4`].
    pub multicast_loop_v4: bool,
    /// The value of [`SocketOption::MulticastLoopV6`].
    pub multicast_loop_v6: bool,
    /// The value of [`SocketOption::MulticastTtlV4`].
    pub multicast_ttl_v4: u32,
    /// The value of [`SocketOption::MulticastHopsV6`].
    pub multicast_hops_v6: u32,
    /// The value of [`SocketOption::MulticastInterfaceV4`].
    pub multicast_interface_v4: Ipv4Addr,
    /// The value of [`SocketOption::MulticastInterfaceV6`].
    pub multicast_interface_v6: u32,
    /// The value of [`SocketOption::ReceiveBuffer`].
    pub receive_buffer: usize,
    /// The value of [`SocketOption::SendBuffer`].
    pub send_buffer: usize,
}

impl Default for SocketOptions {
    fn default() -> SocketOptions {
        SocketOptions {
            reuse_addr: false,
            reuse_port: false,
            only_v6: false,
            nodelay: false,
            ttl: 64,
            linger: None,
            keepalive: None,
            keepalive_interval: Duration::from_secs(75),
            keepalive_probes: 9,
            user_timeout: None,
            urgent_inline: false,
            recv_low_water: 1,
            unsent_limit: u32::MAX,
            device: None,
            broadcast: false,
            multicast_loop_v4: true,
            multicast_loop_v6: true,
            multicast_ttl_v4: 1,
            multicast_hops_v6: 1,
            multicast_interface_v4: Ipv4Addr::UNSPECIFIED,
            multicast_interface_v6: 0,
            receive_buffer: 64 << 10,
            send_buffer: 64 << 10,
        }
    }
}

impl SocketOptions {
    /// Changes this one option. Memberships of groups, and what concerns a connection before it stands, are
    /// for the socket to remember.
    pub fn apply(&mut self, option: SocketOption) {
        match option {
            SocketOption::ReuseAddr(reuse) => self.reuse_addr = reuse,
            SocketOption::ReusePort(reuse) => self.reuse_port = reuse,
            SocketOption::OnlyV6(only) => self.only_v6 = only,
            SocketOption::NoDelay(nodelay) => self.nodelay = nodelay,
            SocketOption::Ttl(routers) => self.ttl = routers,
            SocketOption::Linger(linger) => self.linger = linger,
            SocketOption::KeepAlive(idle) => self.keepalive = idle,
            SocketOption::KeepAliveInterval(interval) => self.keepalive_interval = interval,
            SocketOption::KeepAliveProbes(probes) => self.keepalive_probes = probes,
            SocketOption::UserTimeout(time) => self.user_timeout = time,
            SocketOption::UrgentInline(inline) => self.urgent_inline = inline,
            SocketOption::ReceiveLowWater(bytes) => self.recv_low_water = bytes,
            SocketOption::UnsentLimit(bytes) => self.unsent_limit = bytes,
            SocketOption::Device(device) => self.device = device,
            SocketOption::Broadcast(allowed) => self.broadcast = allowed,
            SocketOption::MulticastLoopV4(back) => self.multicast_loop_v4 = back,
            SocketOption::MulticastLoopV6(back) => self.multicast_loop_v6 = back,
            SocketOption::MulticastTtlV4(routers) => self.multicast_ttl_v4 = routers,
            SocketOption::MulticastHopsV6(routers) => self.multicast_hops_v6 = routers,
            SocketOption::FastOpenConnect(_)
            | SocketOption::FastOpenQueue(_)
            | SocketOption::JoinV4(..)
            | SocketOption::LeaveV4(..)
            | SocketOption::JoinV6(..)
            | SocketOption::LeaveV6(..) => {}
            SocketOption::MulticastInterfaceV4(address) => self.multicast_interface_v4 = address,
            SocketOption::MulticastInterfaceV6(number) => self.multicast_interface_v6 = number,
            SocketOption::ReceiveBuffer(bytes) => self.receive_buffer = bytes,
            SocketOption::SendBuffer(bytes) => self.send_buffer = bytes,
        }
    }
}
