//! Clients that visit the room over loopback and check what they see.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use twoply::Wait;
use twoply::actor::supervisor::SupervisorRef;
use twoply::actor::{ExitReason, Registry};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client, with nothing of this library: it could be `nc`.
struct Client(BufReader<TcpStream>);

impl Client {
    /// Comes in, and is welcomed by the name that it will have.
    fn enter(address: SocketAddr, name: &str) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Client(BufReader::new(stream));
        client.sees(&format!("welcome, {name}: /nick NAME, /who, /quit"))?;
        Ok(client)
    }

    /// Types a line.
    fn types(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(self.0.get_mut().write_all(format!("{line}\n").as_bytes())?)
    }

    /// Checks that the next line is this one.
    fn sees(&mut self, expected: &str) -> anyhow::Result<()> {
        let mut line = String::new();
        self.0.read_line(&mut line).with_context(|| format!("waiting for {expected:?}"))?;
        ensure!(line.trim_end() == expected, "{expected:?} was expected, {line:?} came");
        Ok(())
    }

    /// Checks that nothing more comes.
    fn is_shown_out(&mut self) -> anyhow::Result<()> {
        let mut line = String::new();
        ensure!(self.0.read_line(&mut line)? == 0, "the end was expected, {line:?} came");
        Ok(())
    }
}

/// Checks that all of `clients` see `line`.
fn all_see(clients: &mut [&mut Client], line: &str) -> anyhow::Result<()> {
    clients.iter_mut().try_for_each(|client| client.sees(line))
}

/// Three clients visit the room, and at the end it is closed.
pub(crate) fn visit(address: SocketAddr, chat: &SupervisorRef, names: &Registry) -> anyhow::Result<()> {
    let mut ada = Client::enter(address, "guest-1")?;
    ada.types("/nick ada")?;
    ada.sees("* guest-1 is now ada")?;
    let mut bob = Client::enter(address, "guest-2")?;
    ada.sees("* guest-2 has come")?;
    bob.types("/nick ada")?;
    bob.sees("ada is taken")?;
    bob.types("/nick bob")?;
    all_see(&mut [&mut ada, &mut bob], "* guest-2 is now bob")?;
    bob.types("hello")?;
    all_see(&mut [&mut ada, &mut bob], "bob: hello")?;
    ada.types("/who")?;
    ada.sees("ada, bob")?;

    // A guest that comes to a bad end harms nobody, and its name is free.
    let mut eve = Client::enter(address, "guest-3")?;
    all_see(&mut [&mut ada, &mut bob], "* guest-3 has come")?;
    println!("{}", chat.tree().wait()?);
    names.whereis_pid("guest-3").context("the third guest has a name")?.exit(ExitReason::Kill);
    eve.is_shown_out()?;
    ada.types("/who")?;
    ada.sees("ada, bob")?;

    bob.types("/quit")?;
    bob.is_shown_out()?;
    ada.sees("* bob has left")?;
    let mut bob = Client::enter(address, "guest-4")?;
    ada.sees("* guest-4 has come")?;
    bob.types("/nick bob")?;
    all_see(&mut [&mut ada, &mut bob], "* guest-4 is now bob")?;
    drop(bob);
    ada.sees("* bob has left")?;

    let reason = chat.stop().wait();
    ensure!(reason == ExitReason::Normal, "the chat has ended: {reason}");
    ada.sees("the room is closing")?;
    ada.is_shown_out()?;
    ensure!(names.registered().is_empty(), "names are left: {names:?}");
    println!("all that was to be seen has been seen");
    Ok(())
}
