//! A guest: the actor between a connection and the room.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use twoply::actor::supervisor::ChildRef;
use twoply::actor::{Actor, Context, ExitReason, Group, Registry};
use twoply::net::TcpStream;
use twoply::time::timeout;

use crate::lines::Lines;

/// How long a guest's connection may take to accept a line. Who does not read is shown out.
const PATIENCE: Duration = Duration::from_secs(5);

/// What all guests share.
#[derive(Clone)]
pub(crate) struct Room {
    /// Who is called what.
    pub(crate) names: Registry,
    /// Who hears what is said.
    pub(crate) guests: Group<Message>,
    /// Who writes it down.
    pub(crate) log: ChildRef<Arc<str>>,
}

impl Room {
    /// Says something to all in the room. Whoever cannot take it now misses it.
    fn say(&self, text: String) {
        let text: Arc<str> = text.into();
        let _ = self.log.try_send(Arc::clone(&text));
        self.guests.broadcast(&Message::Heard(text));
    }
}

/// What comes to a guest.
#[derive(Clone)]
pub(crate) enum Message {
    /// A line from its client; `None`: the client has gone.
    Typed(Option<String>),
    /// Something that is said in the room.
    Heard(Arc<str>),
}

/// A guest.
pub(crate) struct Guest {
    /// What it is called.
    name: String,
    /// Its client.
    stream: Arc<TcpStream>,
    /// Where it is.
    room: Room,
}

impl Actor for Guest {
    type Message = Message;
    type Error = anyhow::Error;

    async fn started(&mut self, cx: &mut Context<Guest>) -> anyhow::Result<()> {
        cx.attach_to_end(Lines::new(Arc::clone(&self.stream)), |line| Some(Message::Typed(line)));
        self.room.names.register(&*self.name, &cx.me())?;
        self.write(&format!("welcome, {}: /nick NAME, /who, /quit", self.name)).await?;
        self.room.say(format!("* {} has come", self.name));
        self.room.guests.join(&cx.me());
        Ok(())
    }

    async fn handle(&mut self, message: Message, cx: &mut Context<Guest>) -> anyhow::Result<()> {
        let line = match message {
            Message::Heard(text) => return Ok(self.write(&text).await?),
            Message::Typed(Some(line)) => line,
            Message::Typed(None) => "/quit".to_owned(),
        };
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("", _) => {}
            ("/quit", _) => cx.stop(),
            ("/who", _) => {
                let names = self.room.names.registered();
                let names: Vec<&str> = names.iter().map(|(name, _)| &**name).collect();
                self.write(&names.join(", ")).await?;
            }
            ("/nick", name) => self.rename(name.trim(), cx).await?,
            _ => self.room.say(format!("{}: {line}", self.name)),
        }
        Ok(())
    }

    async fn stopped(&mut self, reason: &ExitReason, cx: &mut Context<Guest>) {
        self.room.guests.leave(&cx.pid());
        self.room.say(format!("* {} has left", self.name));
        if *reason == ExitReason::Shutdown {
            let _ = self.write("the room is closing").await;
        }
    }
}

impl Guest {
    pub(crate) fn new(name: String, stream: Arc<TcpStream>, room: Room) -> Guest {
        Guest { name, stream, room }
    }

    /// Takes another name, if it is one and is free.
    async fn rename(&mut self, name: &str, cx: &mut Context<Guest>) -> io::Result<()> {
        if name.is_empty() || name.len() > 20 || name.contains(char::is_whitespace) {
            return self.write("a name is one word of at most 20 letters").await;
        }
        if self.room.names.register(name, &cx.me()).is_err() {
            return self.write(&format!("{name} is taken")).await;
        }
        let before = std::mem::replace(&mut self.name, name.to_owned());
        self.room.names.unregister(&before);
        self.room.say(format!("* {before} is now {name}"));
        Ok(())
    }

    /// Writes a line to the client.
    async fn write(&self, text: &str) -> io::Result<()> {
        let line = format!("{text}\n");
        timeout(PATIENCE, async {
            let mut rest = line.as_bytes();
            while !rest.is_empty() {
                let written = self.stream.write(rest).await?;
                rest = &rest[written..];
            }
            Ok(())
        })
        .await?
    }
}
