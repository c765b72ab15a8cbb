//! The server's clients, and what they found out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use twoply::net::TcpStream;

/// Numbers that clients ask about are below this.
const LIMIT: usize = 40_000;

/// What clients have found out.
#[derive(Default)]
pub(crate) struct Tally {
    /// How long answers took, by what was asked for and what computed the answer.
    answers: BTreeMap<(&'static str, String), Vec<Duration>>,
    /// All the primes counted.
    pub(crate) sum: u64,
    /// Answers that were not as they should be.
    pub(crate) wrong: usize,
}

/// Asks for the page, again and again.
pub(crate) async fn ask_for_pages(server: SocketAddr, until: Instant) -> Result<Tally> {
    let (stream, mut tally) = (TcpStream::connect_addr(server).await?, Tally::default());
    while Instant::now() < until {
        tally.ask(&stream, "GET /", "", 0).await?;
    }
    Ok(tally)
}

/// Asks for the number of primes below random numbers.
pub(crate) async fn ask_for_primes(server: SocketAddr, until: Instant) -> Result<Tally> {
    let (stream, mut tally, counts) = (TcpStream::connect_addr(server).await?, Tally::default(), sieve());
    while Instant::now() < until {
        let below = fastrand::usize(10_000..LIMIT);
        tally.ask(&stream, "POST /primes", &below.to_string(), counts[below]).await?;
    }
    Ok(tally)
}

impl Tally {
    /// Makes a request, and compares the answer with what it should be.
    async fn ask(&mut self, stream: &TcpStream, what: &'static str, which: &str, right: u32) -> Result<()> {
        let start = Instant::now();
        let length = which.len();
        let request = format!("{what} HTTP/1.1\r\nhost: mixed\r\ncontent-length: {length}\r\n\r\n{which}");
        stream.write_all(request.as_bytes()).await?;
        let (mut buffer, mut filled) = ([0; 1024], 0);
        let answer = loop {
            match stream.read(&mut buffer[filled..]).await? {
                0 => anyhow::bail!("the server has closed the connection"),
                n => filled += n,
            }
            if let Some(answer) = body(&buffer[..filled])? {
                break answer;
            }
        };
        let (count, place) = answer.split_once(' ').context("an answer has two words")?;
        self.wrong += usize::from(count.parse() != Ok(right));
        self.sum += count.parse::<u64>()?;
        self.answers.entry((what, place.to_owned())).or_default().push(start.elapsed());
        Ok(())
    }

    /// Adds another client's.
    pub(crate) fn add(&mut self, other: Tally) {
        for (kind, times) in other.answers {
            self.answers.entry(kind).or_default().extend(times);
        }
        self.sum += other.sum;
        self.wrong += other.wrong;
    }

    /// How many requests were made.
    pub(crate) fn requests(&self) -> usize {
        self.answers.values().map(Vec::len).sum()
    }

    /// How many of them were for primes.
    pub(crate) fn primes_asked(&self) -> usize {
        let primes = self.answers.iter().filter(|((what, _), _)| *what == "POST /primes");
        primes.map(|(_, times)| times.len()).sum()
    }

    /// Prints what was asked for, what answered, how often and how fast.
    pub(crate) fn print(&mut self, took: Duration) {
        println!(
            "{:12} {:12} {:>9} {:>9} {:>9} {:>9}",
            "asked for", "answered on", "requests", "per s", "median", "p99"
        );
        for ((what, place), times) in &mut self.answers {
            times.sort_unstable();
            let (n, median, p99) = (times.len(), times[times.len() / 2], times[times.len() * 99 / 100]);
            let rate = n as f64 / took.as_secs_f64();
            println!("{what:12} {place:12} {n:>9} {rate:>9.0} {median:>9.1?} {p99:>9.1?}");
        }
    }
}

/// The body of a response, once it is complete.
fn body(response: &[u8]) -> Result<Option<&str>> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(start) = head.parse(response)? else { return Ok(None) };
    anyhow::ensure!(head.code == Some(200), "the server said {:?}", head.code);
    let length = head.headers.iter().find(|header| header.name == "content-length").context("no length")?;
    let length: usize = std::str::from_utf8(length.value)?.parse()?;
    Ok(response.get(start..start + length).map(std::str::from_utf8).transpose()?)
}

/// For each number how many primes are below it, found in another way than the server's.
fn sieve() -> Vec<u32> {
    let mut composite = vec![false; LIMIT];
    let mut counts = vec![0];
    for n in 0..LIMIT {
        let prime = n >= 2 && !composite[n];
        if prime {
            (n * n..LIMIT).step_by(n).for_each(|multiple| composite[multiple] = true);
        }
        counts.push(counts[n] + u32::from(prime));
    }
    counts
}
