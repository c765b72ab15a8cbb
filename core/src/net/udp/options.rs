//! Broadcast, and groups that datagrams are sent to.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::options::number_of_routers;
use super::super::sys;
use super::UdpSocket;
use crate::kernel::world::SocketOption;

/// Broadcast and multicast. All of them fail with the operating system's error; those for IPv6 on a socket of
/// IPv4, for instance.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl UdpSocket {
    /// Returns whether datagrams may be sent to broadcast addresses (`SO_BROADCAST`).
    pub fn broadcast(&self) -> io::Result<bool> {
        sys::broadcast(self.io())
    }

    /// Sets [`broadcast`](UdpSocket::broadcast). Without it, the system refuses such an address with
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied).
    ///
    /// ```
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0").wait()?;
    /// socket.set_broadcast(true)?;
    /// assert!(socket.broadcast()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_broadcast(&self, allowed: bool) -> io::Result<()> {
        self.set_option(SocketOption::Broadcast(allowed))
    }

    /// Has the socket receive what is sent to `group`, and to its port. `interface` is the address of the
    /// interface of the network, or [`UNSPECIFIED`](Ipv4Addr::UNSPECIFIED) for the system's choice.
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let group = Ipv4Addr::new(239, 255, 77, 1);
    /// let member = UdpSocket::bind("0.0.0.0:0").wait()?;
    /// member.join_multicast_v4(group, Ipv4Addr::LOCALHOST)?;
    /// let sender = UdpSocket::bind("127.0.0.1:0").wait()?;
    /// sender.set_multicast_interface_v4(Ipv4Addr::LOCALHOST)?;
    /// sender.send_to(b"all of you", (group, member.local_addr()?.port())).wait()?;
    /// assert_eq!(member.recv(&mut [0; 16]).wait()?.len, 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.set_option(SocketOption::JoinV4(group, interface))
    }

    /// Ends what [`join_multicast_v4`](UdpSocket::join_multicast_v4) has begun.
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let (group, interface) = (Ipv4Addr::new(239, 255, 77, 2), Ipv4Addr::LOCALHOST);
    /// let socket = UdpSocket::bind("0.0.0.0:0").wait()?;
    /// socket.join_multicast_v4(group, interface)?;
    /// socket.leave_multicast_v4(group, interface)?;
    /// assert!(socket.leave_multicast_v4(group, interface).is_err(), "it is no member any more");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.set_option(SocketOption::LeaveV4(group, interface))
    }

    /// Has the socket receive what is sent to `group`, and to its port. `interface` is the number of the
    /// interface of the network, or 0 for the system's choice.
    ///
    /// ```
    /// use std::net::Ipv6Addr;
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let group = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x77, 1);
    /// // Where there is IPv6, and an interface that can do it.
    /// if let Ok(member) = UdpSocket::bind("[::]:0").wait()
    ///     && member.join_multicast_v6(&group, 0).is_ok()
    /// {
    ///     member.leave_multicast_v6(&group, 0)?;
    ///     assert!(member.leave_multicast_v6(&group, 0).is_err(), "it is no member any more");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.set_option(SocketOption::JoinV6(*group, interface))
    }

    /// Ends what [`join_multicast_v6`](UdpSocket::join_multicast_v6) has begun.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.set_option(SocketOption::LeaveV6(*group, interface))
    }

    /// Returns whether what is sent to a group comes back to members on this machine.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        sys::multicast_loop_v4(self.io())
    }

    /// Sets [`multicast_loop_v4`](UdpSocket::multicast_loop_v4). Default: yes.
    ///
    /// ```
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0").wait()?;
    /// assert!(socket.multicast_loop_v4()?);
    /// socket.set_multicast_loop_v4(false)?;
    /// assert!(!socket.multicast_loop_v4()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_multicast_loop_v4(&self, back: bool) -> io::Result<()> {
        self.set_option(SocketOption::MulticastLoopV4(back))
    }

    /// Returns the same for groups of IPv6.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        sys::multicast_loop_v6(self.io())
    }

    /// Sets [`multicast_loop_v6`](UdpSocket::multicast_loop_v6). Default: yes.
    ///
    /// ```
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// if let Ok(socket) = UdpSocket::bind("[::1]:0").wait() {
    ///     socket.set_multicast_loop_v6(false)?;
    ///     assert!(!socket.multicast_loop_v6()?);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_multicast_loop_v6(&self, back: bool) -> io::Result<()> {
        self.set_option(SocketOption::MulticastLoopV6(back))
    }

    /// Returns how many routers a datagram to a group may pass.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        sys::multicast_ttl_v4(self.io())
    }

    /// Sets [`multicast_ttl_v4`](UdpSocket::multicast_ttl_v4), up to 255. Default: 1, the local network.
    ///
    /// ```
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0").wait()?;
    /// socket.set_multicast_ttl_v4(3)?;
    /// assert_eq!(socket.multicast_ttl_v4()?, 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_multicast_ttl_v4(&self, routers: u32) -> io::Result<()> {
        self.set_option(SocketOption::MulticastTtlV4(number_of_routers(routers)?))
    }

    /// Returns the same for groups of IPv6.
    pub fn multicast_hops_v6(&self) -> io::Result<u32> {
        sys::multicast_hops_v6(self.io())
    }

    /// Sets [`multicast_hops_v6`](UdpSocket::multicast_hops_v6), up to 255. Default: 1, the local network.
    ///
    /// ```
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// if let Ok(socket) = UdpSocket::bind("[::1]:0").wait() {
    ///     socket.set_multicast_hops_v6(3)?;
    ///     assert_eq!(socket.multicast_hops_v6()?, 3);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_multicast_hops_v6(&self, routers: u32) -> io::Result<()> {
        self.set_option(SocketOption::MulticastHopsV6(number_of_routers(routers)?))
    }

    /// Returns the address of the interface through which datagrams to groups are sent;
    /// [`UNSPECIFIED`](Ipv4Addr::UNSPECIFIED) while that is left to the system.
    pub fn multicast_interface_v4(&self) -> io::Result<Ipv4Addr> {
        sys::multicast_interface_v4(self.io())
    }

    /// Sets the interface through which datagrams to groups are sent, by its address.
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0").wait()?;
    /// assert_eq!(socket.multicast_interface_v4()?, Ipv4Addr::UNSPECIFIED);
    /// socket.set_multicast_interface_v4(Ipv4Addr::LOCALHOST)?;
    /// assert_eq!(socket.multicast_interface_v4()?, Ipv4Addr::LOCALHOST);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_multicast_interface_v4(&self, address: Ipv4Addr) -> io::Result<()> {
        self.set_option(SocketOption::MulticastInterfaceV4(address))
    }

    /// Returns the number of the interface through which datagrams to groups of IPv6 are sent; 0 while that
    /// is left to the system.
    pub fn multicast_interface_v6(&self) -> io::Result<u32> {
        sys::multicast_interface_v6(self.io())
    }

    /// Sets the interface through which datagrams to groups of IPv6 are sent, by its number.
    ///
    /// ```
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// if let Ok(socket) = UdpSocket::bind("[::1]:0").wait() {
    ///     // The loopback interface is the first.
    ///     socket.set_multicast_interface_v6(1)?;
    ///     assert_eq!(socket.multicast_interface_v6()?, 1);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_multicast_interface_v6(&self, number: u32) -> io::Result<()> {
        self.set_option(SocketOption::MulticastInterfaceV6(number))
    }
}
