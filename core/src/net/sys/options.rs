//! Setting and reading the options of sockets.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt;
use socket2::{SockRef, TcpKeepalive};

use crate::event::reactor::{IoHandle, SocketOption, SocketOptions};

/// Changes one option of a socket.
pub(in crate::net) fn set_option(io: &IoHandle, option: SocketOption) -> io::Result<()> {
    let fd = match io {
        IoHandle::Descriptor(fd) => fd,
        IoHandle::Simulated(socket) => return socket.set_option(option),
    };
    let socket = SockRef::from(fd);
    match option {
        SocketOption::ReuseAddr(reuse) => socket.set_reuse_address(reuse),
        SocketOption::ReusePort(reuse) => socket.set_reuse_port(reuse),
        SocketOption::OnlyV6(only) => socket.set_only_v6(only),
        SocketOption::NoDelay(nodelay) => socket.set_tcp_nodelay(nodelay),
        SocketOption::Ttl(routers) => socket.set_ttl_v4(routers),
        SocketOption::Linger(linger) => socket.set_linger(linger),
        SocketOption::KeepAlive(Some(idle)) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle)),
        SocketOption::KeepAlive(None) => socket.set_keepalive(false),
        SocketOption::KeepAliveInterval(interval) => Ok(sockopt::set_tcp_keepintvl(fd, interval)?),
        SocketOption::KeepAliveProbes(probes) => Ok(sockopt::set_tcp_keepcnt(fd, probes)?),
        SocketOption::UserTimeout(time) => socket.set_tcp_user_timeout(time),
        SocketOption::FastOpenConnect(on) => {
            set_number(fd, (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT), on.into())
        }
        SocketOption::FastOpenQueue(most) => set_number(fd, (libc::IPPROTO_TCP, libc::TCP_FASTOPEN), most),
        SocketOption::ReceiveLowWater(bytes) => set_number(fd, (libc::SOL_SOCKET, libc::SO_RCVLOWAT), bytes),
        SocketOption::UnsentLimit(bytes) => {
            set_number(fd, (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT), bytes)
        }
        SocketOption::UrgentInline(inline) => socket.set_out_of_band_inline(inline),
        SocketOption::Device(device) => socket.bind_device(device.as_ref().map(String::as_bytes)),
        SocketOption::Broadcast(allowed) => socket.set_broadcast(allowed),
        SocketOption::JoinV4(group, interface) => socket.join_multicast_v4(&group, &interface),
        SocketOption::LeaveV4(group, interface) => socket.leave_multicast_v4(&group, &interface),
        SocketOption::JoinV6(group, interface) => socket.join_multicast_v6(&group, interface),
        SocketOption::LeaveV6(group, interface) => socket.leave_multicast_v6(&group, interface),
        SocketOption::MulticastLoopV4(back) => socket.set_multicast_loop_v4(back),
        SocketOption::MulticastLoopV6(back) => socket.set_multicast_loop_v6(back),
        SocketOption::MulticastTtlV4(routers) => socket.set_multicast_ttl_v4(routers),
        SocketOption::MulticastHopsV6(routers) => socket.set_multicast_hops_v6(routers),
        SocketOption::MulticastInterfaceV4(address) => socket.set_multicast_if_v4(&address),
        SocketOption::MulticastInterfaceV6(number) => socket.set_multicast_if_v6(number),
        SocketOption::ReceiveBuffer(bytes) => socket.set_recv_buffer_size(bytes),
        SocketOption::SendBuffer(bytes) => socket.set_send_buffer_size(bytes),
    }
}

/// Sets an option that is a number and that the libraries do not know.
fn set_number(fd: &OwnedFd, (level, option): (libc::c_int, libc::c_int), value: u32) -> io::Result<()> {
    let value = libc::c_int::try_from(value).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is open, it is borrowed. The value is readable memory of the size that is passed
    // with it.
    let returned = unsafe {
        let len = size_of::<libc::c_int>() as libc::socklen_t;
        libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const value).cast(), len)
    };
    if returned == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(in crate::net) fn keepalive_interval(io: &IoHandle) -> io::Result<Duration> {
    option(io, |socket| socket.tcp_keepalive_interval(), |options| options.keepalive_interval)
}

pub(in crate::net) fn keepalive_probes(io: &IoHandle) -> io::Result<u32> {
    option(io, |socket| socket.tcp_keepalive_retries(), |options| options.keepalive_probes)
}

pub(in crate::net) fn user_timeout(io: &IoHandle) -> io::Result<Option<Duration>> {
    option(io, |socket| socket.tcp_user_timeout(), |options| options.user_timeout)
}

pub(in crate::net) fn urgent_inline(io: &IoHandle) -> io::Result<bool> {
    option(io, |socket| socket.out_of_band_inline(), |options| options.urgent_inline)
}

pub(in crate::net) fn broadcast(io: &IoHandle) -> io::Result<bool> {
    option(io, |socket| socket.broadcast(), |options| options.broadcast)
}

pub(in crate::net) fn multicast_loop_v4(io: &IoHandle) -> io::Result<bool> {
    option(io, |socket| socket.multicast_loop_v4(), |options| options.multicast_loop_v4)
}

pub(in crate::net) fn multicast_loop_v6(io: &IoHandle) -> io::Result<bool> {
    option(io, |socket| socket.multicast_loop_v6(), |options| options.multicast_loop_v6)
}

pub(in crate::net) fn multicast_ttl_v4(io: &IoHandle) -> io::Result<u32> {
    option(io, |socket| socket.multicast_ttl_v4(), |options| options.multicast_ttl_v4)
}

pub(in crate::net) fn multicast_hops_v6(io: &IoHandle) -> io::Result<u32> {
    option(io, |socket| socket.multicast_hops_v6(), |options| options.multicast_hops_v6)
}

pub(in crate::net) fn multicast_interface_v4(io: &IoHandle) -> io::Result<Ipv4Addr> {
    option(io, |socket| socket.multicast_if_v4(), |options| options.multicast_interface_v4)
}

pub(in crate::net) fn multicast_interface_v6(io: &IoHandle) -> io::Result<u32> {
    option(io, |socket| socket.multicast_if_v6(), |options| options.multicast_interface_v6)
}

pub(in crate::net) fn nodelay(io: &IoHandle) -> io::Result<bool> {
    option(io, |socket| socket.tcp_nodelay(), |options| options.nodelay)
}

pub(in crate::net) fn ttl(io: &IoHandle) -> io::Result<u32> {
    option(io, |socket| socket.ttl_v4(), |options| options.ttl)
}

pub(in crate::net) fn linger(io: &IoHandle) -> io::Result<Option<Duration>> {
    option(io, |socket| socket.linger(), |options| options.linger)
}

pub(in crate::net) fn keepalive(io: &IoHandle) -> io::Result<Option<Duration>> {
    let idle = |socket: SockRef<'_>| match socket.keepalive()? {
        true => socket.tcp_keepalive_time().map(Some),
        false => Ok(None),
    };
    option(io, idle, |options| options.keepalive)
}

pub(in crate::net) fn recv_buffer_size(io: &IoHandle) -> io::Result<usize> {
    option(io, |socket| socket.recv_buffer_size(), |options| options.receive_buffer)
}

pub(in crate::net) fn send_buffer_size(io: &IoHandle) -> io::Result<usize> {
    option(io, |socket| socket.send_buffer_size(), |options| options.send_buffer)
}

/// Returns one option of a socket.
fn option<T>(
    io: &IoHandle,
    of_system: impl FnOnce(SockRef<'_>) -> io::Result<T>,
    of_world: impl FnOnce(SocketOptions) -> T,
) -> io::Result<T> {
    match io {
        IoHandle::Descriptor(fd) => of_system(SockRef::from(fd)),
        IoHandle::Simulated(socket) => socket.options().map(of_world),
    }
}
