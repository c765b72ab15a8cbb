//! Stub of the reactor's interface.
/// Which readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest(u8);
impl Interest {
    /// Nothing.
    pub const NONE: Interest = Interest(0);
    /// Readable.
    pub const READ: Interest = Interest(1);
    /// Writable.
    pub const WRITE: Interest = Interest(2);
    /// Nothing at all.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Whether `other` is contained.
    pub fn contains(self, other: Interest) -> bool {
        self.0 & other.0 == other.0
    }
}
impl std::ops::BitOr for Interest {
    type Output = Interest;
    fn bitor(self, o: Interest) -> Interest {
        Interest(self.0 | o.0)
    }
}
/// A descriptor.
pub struct Source {
    fd: std::os::fd::OwnedFd,
}
impl std::os::fd::AsFd for Source {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
impl Source {
    /// Tells everybody who waits.
    pub fn notify(&self, _ready: Interest) {}
}
