//! The server, and those who work for it.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use twoply::channel::{self, Receiver, Sender, oneshot};
use twoply::net::TcpListener;
use twoply::task::SpawnError;
use twoply::{Spawner, Wait, offload, select};

use crate::connection::Connection;

/// A question for those who compute: how many primes are there below a number?
pub(crate) struct Question {
    /// The number.
    below: u32,
    /// Where the answer goes.
    answer: oneshot::Sender<Answer>,
}

/// How many there are, and on what that was computed.
type Answer = (u32, &'static str);

/// What the server's tasks share.
#[derive(Clone)]
pub(crate) struct Office {
    /// To those who compute.
    pub(crate) questions: Sender<Question>,
    /// To the one who writes everything down.
    pub(crate) answers: Sender<u32>,
    /// Closed when the server is to end.
    pub(crate) closing: Receiver<Infallible>,
}

/// The backend that the calling task runs on.
fn here() -> &'static str {
    twoply::spawner().backend().name()
}

/// Accepts clients until the server is closing.
pub(crate) async fn accept(listener: TcpListener, spawner: Spawner, office: Office) -> io::Result<()> {
    let mut clients = listener.incoming();
    loop {
        select! { await;
            client = clients.accept() => {
                let stream = client?.0;
                stream.set_nodelay(true)?;
                let client = Connection::new(stream, office.closing.clone(), Duration::from_secs(10));
                spawner.spawn(serve(client, office.clone())).detach();
            },
            _ = office.closing.recv() => return Ok(()),
        }
    }
}

/// Answers the requests of one client: the page by itself, primes with the help of others.
async fn serve(mut client: Connection, office: Office) -> io::Result<()> {
    while let Some(request) = client.next().await? {
        let (count, place) = match (request.method, request.path) {
            ("GET", "/") => (0, here()),
            ("POST", "/primes") => {
                let number = std::str::from_utf8(request.body).map_err(io::Error::other)?;
                let below = number.parse().map_err(io::Error::other)?;
                let (answer, answered) = channel::oneshot();
                office.questions.send(Question { below, answer }).await.map_err(io::Error::other)?;
                answered.await.map_err(io::Error::other)?
            }
            _ => return Err(io::Error::other("not one of our clients")),
        };
        office.answers.send(count).await.map_err(io::Error::other)?;
        request.reply("200 OK", format!("{count} {place}").as_bytes());
    }
    Ok(())
}

/// Answers questions until nobody can ask any more, and returns how many there were.
///
/// Whoever computes for long holds up what else is on its worker. A thread of its own may do that; elsewhere,
/// `offload` goes to a thread and comes back.
pub(crate) fn compute(questions: Receiver<Question>) -> Result<usize, SpawnError> {
    let mut answered = 0;
    for question in questions.iter() {
        let is_prime = |n: &u32| (2..).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
        let count = offload(|| (2..question.below).filter(is_prime).count())?;
        // A client that has gone does not want to know.
        question.answer.send((count as u32, here())).unwrap_or_default();
        answered += 1;
    }
    Ok(answered)
}

/// Writes a line for each answer and sees it safely to the disk. Returns how many times it did that.
pub(crate) fn journal(answers: Receiver<u32>, mut file: File) -> io::Result<usize> {
    let mut batches = 0;
    while let Ok(first) = answers.recv().wait() {
        let mut lines = format!("{first}\n");
        answers.drain().for_each(|answer| lines += &format!("{answer}\n"));
        // Files block, too.
        offload(|| file.write_all(lines.as_bytes()).and_then(|()| file.sync_data()))
            .map_err(io::Error::other)??;
        batches += 1;
    }
    Ok(batches)
}
