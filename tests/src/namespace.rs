//! A network namespace of a test's own: what runs in it is on another host, to which there is a line that may
//! be cut.

use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::skip;

/// A namespace with two lines to this one, which goes with everything in it when this is dropped. The first
/// line may be cut; the second one is there for what the test itself says.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    /// The number of each line's network, which no other one on this machine has.
    number: u16,
}

/// The lines to a namespace.
#[derive(Clone, Copy)]
enum Line {
    First,
    Second,
}

impl Namespace {
    /// Makes one. Returns `None` where that is not allowed, and says so.
    pub fn new() -> Option<Namespace> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // Others may have some of these, or may have left them behind.
        for _ in 0..10 {
            let number = (id() * 8 + NUMBER.fetch_add(1, Relaxed)) as u16 & 0x3fff;
            let name = format!("twoply{number}");
            if ip(&["netns", "add", &name]) {
                let made = Namespace { name, number };
                let lines = made.connect(Line::First) && made.connect(Line::Second);
                let runs = || made.command("true").status().is_ok_and(|status| status.success());
                if lines && made.inside(&["set", "lo", "up"]) && runs() {
                    return Some(made);
                }
            }
        }
        skip("there is no network namespace to be had");
        None
    }

    /// Returns the address of this side of the line that may be cut.
    pub fn here(&self) -> IpAddr {
        self.address(Line::First, 1)
    }

    /// Returns the address of the other side of it.
    pub fn there(&self) -> IpAddr {
        self.address(Line::First, 2)
    }

    /// Returns the address of this side of the other line.
    pub(crate) fn second_here(&self) -> IpAddr {
        self.address(Line::Second, 1)
    }

    /// Cuts the first line: what is sent over it is lost.
    pub fn cut(&self) {
        assert!(self.inside(&["set", &self.device(Line::First, 2), "down"]));
    }

    /// Mends the first line.
    pub fn mend(&self) {
        assert!(self.inside(&["set", &self.device(Line::First, 2), "up"]));
    }

    /// Begins a command in the namespace.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    fn connect(&self, line: Line) -> bool {
        let [here, there] = [1, 2].map(|side| self.device(line, side));
        let [here_at, there_at] = [1, 2].map(|side| format!("{}/30", self.address(line, side)));
        ip(&["link", "add", &here, "type", "veth", "peer", "name", &there, "netns", &self.name])
            && ip(&["address", "add", &here_at, "dev", &here])
            && ip(&["link", "set", &here, "up"])
            && ip(&["-n", &self.name, "address", "add", &there_at, "dev", &there])
            && self.inside(&["set", &there, "up"])
    }

    fn inside(&self, arguments: &[&str]) -> bool {
        ip(&[&["-n", &self.name, "link"], arguments].concat())
    }

    fn device(&self, line: Line, side: u8) -> String {
        format!("twoply{}{}{side}", self.number, ["a", "b"][line as usize])
    }

    /// Networks of four addresses, out of the one that is there for measuring, of which nobody is.
    fn address(&self, line: Line, side: u8) -> IpAddr {
        let network = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + (line as u32) * 0x1_0000;
        Ipv4Addr::from(network + u32::from(self.number) * 4 + u32::from(side)).into()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its devices go with it, and the other ends of them.
        ip(&["netns", "delete", &self.name]);
    }
}

/// Runs the program that changes networks. Returns false where it is not there, or refuses.
fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}
