//! [`Flags`]: what a node can do, as it says in the handshake. The bits are those of OTP's `dist.hrl`; a test
//! compares them with the one that is installed.

use std::fmt;
use std::ops::{BitAnd, BitOr, Sub};

/// A set of capabilities of a node.
///
/// # Examples
/// ```
/// use twoply_node::wire::Flags;
///
/// let lacking = Flags::MANDATORY - Flags::V4_NC;
/// assert!(!lacking.contains(Flags::MANDATORY));
/// assert_eq!((Flags::MANDATORY - lacking).to_string(), "V4_NC");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(u64);

/// Defines the constants, and the table of their names.
macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Flags = Flags(1 << $bit);)*

            /// All flags that are known, each with its name.
            pub const ALL: &'static [(&'static str, Flags)] = &[$((stringify!($name), Flags::$name)),*];
        }
    };
}

flags! {
    /// The node is visible, and takes part in `global`.
    PUBLISHED = 0;
    /// An atom cache of long ago.
    ATOM_CACHE = 1;
    /// References of several words.
    EXTENDED_REFERENCES = 2;
    /// Processes are monitored by pid.
    DIST_MONITOR = 3;
    /// Functions have a tag of their own.
    FUN_TAGS = 4;
    /// Processes are monitored by name.
    DIST_MONITOR_NAME = 5;
    /// An atom cache of long ago, of hidden nodes.
    HIDDEN_ATOM_CACHE = 6;
    /// Functions as they are written today.
    NEW_FUN_TAGS = 7;
    /// Numbers of pids and ports of more than 18 bits.
    EXTENDED_PIDS_PORTS = 8;
    /// Functions by their names.
    EXPORT_PTR_TAG = 9;
    /// Binaries whose last byte is not full.
    BIT_BINARIES = 10;
    /// Floats of eight bytes.
    NEW_FLOATS = 11;
    /// The protocol of input and output in Unicode.
    UNICODE_IO = 12;
    /// Headers of frames with an atom cache.
    DIST_HDR_ATOM_CACHE = 13;
    /// Atoms with a length of one byte.
    SMALL_ATOM_TAGS = 14;
    /// Atoms are written in UTF-8.
    UTF8_ATOMS = 16;
    /// Maps may be sent.
    MAP_TAG = 17;
    /// Incarnations of 32 bits.
    BIG_CREATION = 18;
    /// Messages tell who has sent them.
    SEND_SENDER = 19;
    /// Labels of sequential traces that are terms.
    BIG_SEQTRACE_LABELS = 20;
    /// Reasons of ends stand behind the control message.
    EXIT_PAYLOAD = 22;
    /// Messages in several frames.
    FRAGMENTS = 23;
    /// The handshake of OTP 23.
    HANDSHAKE_23 = 24;
    /// Links are taken back with a number, which is confirmed.
    UNLINK_ID = 25;
    /// Stands for all that OTP 25 demands.
    MANDATORY_25_DIGEST = 26;
    /// Processes may be started from afar.
    SPAWN = 32;
    /// The node asks for a name.
    NAME_ME = 33;
    /// Pids, ports and references of more bits.
    V4_NC = 34;
    /// Messages may be sent to aliases.
    ALIAS = 35;
    /// The form of sends that is to take over from those to aliases.
    ALTACT_SIG = 37;
}

impl Flags {
    /// No capability at all.
    pub const NONE: Flags = Flags(0);

    /// The flags for which `MANDATORY_25_DIGEST` stands.
    pub const DIGEST_25: Flags = Flags(
        Flags::EXTENDED_REFERENCES.0
            | Flags::FUN_TAGS.0
            | Flags::NEW_FUN_TAGS.0
            | Flags::EXTENDED_PIDS_PORTS.0
            | Flags::EXPORT_PTR_TAG.0
            | Flags::BIT_BINARIES.0
            | Flags::NEW_FLOATS.0
            | Flags::UTF8_ATOMS.0
            | Flags::MAP_TAG.0
            | Flags::BIG_CREATION.0
            | Flags::HANDSHAKE_23.0,
    );

    /// The flags without which a peer is refused: those of OTP 25, and pids of OTP 24.
    pub const MANDATORY: Flags = Flags(Flags::DIGEST_25.0 | Flags::V4_NC.0);

    /// The flags that this library offers.
    pub const OFFERED: Flags = Flags(
        Flags::MANDATORY.0
            | Flags::MANDATORY_25_DIGEST.0
            | Flags::UNLINK_ID.0
            | Flags::DIST_MONITOR.0
            | Flags::DIST_MONITOR_NAME.0
            | Flags::SEND_SENDER.0
            | Flags::SMALL_ATOM_TAGS.0
            | Flags::DIST_HDR_ATOM_CACHE.0
            | Flags::FRAGMENTS.0
            | Flags::EXIT_PAYLOAD.0
            | Flags::SPAWN.0
            | Flags::ALIAS.0
            | Flags::ALTACT_SIG.0,
    );

    /// Returns the flags of these bits, of which some may be unknown.
    pub fn from_bits(bits: u64) -> Flags {
        Flags(bits)
    }

    /// Returns the bits, as they cross.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Returns true if all of `flags` are among these.
    pub fn contains(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Returns these flags as they are meant: the digest of OTP 25 stands for others.
    #[must_use]
    pub fn expanded(self) -> Flags {
        if self.contains(Flags::MANDATORY_25_DIGEST) { self | Flags::DIGEST_25 } else { self }
    }

    /// Returns what two nodes agree on, of which each has said what it can.
    #[must_use]
    pub fn agreed(self, other: Flags) -> Flags {
        let both = self.expanded() & other.expanded();
        // Fragments without headers have broken nodes before OTP 23.
        let headers = Flags::DIST_HDR_ATOM_CACHE;
        if both.contains(headers) { both } else { both - Flags::FRAGMENTS }
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitAnd for Flags {
    type Output = Flags;

    fn bitand(self, other: Flags) -> Flags {
        Flags(self.0 & other.0)
    }
}

impl Sub for Flags {
    type Output = Flags;

    fn sub(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

/// Writes the names of the flags, and the bits that have none.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut unknown = *self;
        let mut separator = "";
        for (name, flag) in Flags::ALL {
            if self.contains(*flag) {
                write!(f, "{separator}{name}")?;
                (unknown, separator) = (unknown - *flag, " ");
            }
        }
        if unknown != Flags::NONE {
            write!(f, "{separator}{:#x}", unknown.0)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({self})")
    }
}
