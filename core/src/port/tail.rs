//! A file that is followed as it grows, also across truncation and rotation.
//!
//! ```text
//!              not there ┌──────────────┐                        │ a look shows a shorter file,
//!                        ▼              │                        ▼ or another one
//!  Opening ──open──▶ Reading ──end──▶ Waiting ──bell, time──▶ Looking
//!     ▲                  ▲                                    │  │
//!     │                  └────────────the same file───────────┘  │
//!     └──────── the end of what is there of the old one ◀────────┘
//! ```
//!
//! The truth is found by looking at the file. That the system tells of changes ([`Bell`]) only makes a
//! look come sooner, so nothing depends on events that are lost, come too late, or do not exist for this file
//! system.

mod bell;

use std::fs::Metadata;
use std::future::Future;
use std::io::{self, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::AsyncRead;

use super::codec::Decoder;
use super::event::{During, PortError};
use super::medium::{Input, Medium};
use super::stream::Decoding;
use crate::fs::{self, File};
use crate::time::{Sleep, sleep};
use bell::Bell;

/// The time between two looks at a file, unless one says otherwise.
const EVERY: Duration = Duration::from_secs(1);

/// The settings of a [port that follows a file](super::tail_with).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, fs, port::{self, Lines, Tail}};
///
/// # let path = std::env::temp_dir().join(format!("twoply-doc-tail-settings-{}", std::process::id()));
/// fs::write(&path, "written before\n").wait()?;
/// let tail = Tail::new(&path).from_start(true).every(Duration::from_millis(100));
/// let port = port::tail_with(tail, Lines::new()).start()?;
/// assert_eq!(port.recv().wait()?.item().as_deref(), Some("written before"));
/// # fs::remove_file(&path).wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tail {
    path: PathBuf,
    from_start: bool,
    every: Duration,
}

impl Tail {
    /// Returns the settings for the file at `path`: what is in it already is passed over, and it is looked
    /// at each second, besides the times at which the system tells of a change.
    pub fn new(path: impl Into<PathBuf>) -> Tail {
        Tail { path: path.into(), from_start: false, every: EVERY }
    }

    /// Sets whether what is in the file already comes first.
    pub fn from_start(mut self, from_start: bool) -> Tail {
        self.from_start = from_start;
        self
    }

    /// Sets the time between two looks at the file, a millisecond at least. It matters where the system tells
    /// nothing of changes: on network file systems, and on systems other than Linux.
    pub fn every(mut self, period: Duration) -> Tail {
        self.every = period.max(Duration::from_millis(1));
        self
    }
}

/// A future of an operation on the file system.
type Operation<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// The thing that a port which follows a file does at present; see the [module](self).
enum State {
    /// The path is being opened. `None` says that there is nothing.
    Opening(Operation<Option<Open>>),
    /// The file is read, as far as it goes.
    Reading,
    /// There is nothing more for now.
    Waiting(Sleep),
    /// The path is looked at. `None` says that there is nothing.
    Looking(Operation<Option<Metadata>>),
}

/// The file that is open.
struct Open {
    file: File,
    /// Its device and its number there.
    identity: (u64, u64),
}

/// The fate of the open file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It may still grow.
    Grows,
    /// Another one has its path: it is read to its end.
    Replaced,
    /// It has become shorter: what comes is the beginning of something else.
    Cut,
}

/// A file that is followed, as a medium. Nothing is written to it.
pub(super) struct Followed<D> {
    settings: Tail,
    /// The decoder as it is at the beginning of a file.
    decoder: D,
    input: Decoding<D>,
    state: State,
    open: Option<Open>,
    fate: Fate,
    bell: Arc<Bell>,
}

impl<D: Decoder + Clone> Followed<D> {
    pub(super) fn new(settings: Tail, decoder: D) -> Followed<D> {
        let bell = Arc::new(Bell::new());
        Followed {
            input: Decoding::new(decoder.clone()),
            decoder,
            state: State::Opening(open(&settings.path, settings.from_start, &bell)),
            settings,
            open: None,
            fate: Fate::Grows,
            bell,
        }
    }

    /// Reads the file, as far as there is something. Pending, too, where there is nothing for now, which
    /// `self.state` says.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Input<D::Item>> {
        let Followed { input, state, open, fate, settings, .. } = self;
        input.poll_next(cx, |cx, buf| {
            let (Some(open), Fate::Grows | Fate::Replaced) = (open.as_mut(), *fate) else {
                return Poll::Ready(Ok(0));
            };
            let count = ready!(Pin::new(&mut open.file).poll_read(cx, buf))?;
            if count == 0 && *fate == Fate::Grows {
                *state = State::Waiting(sleep(settings.every));
                return Poll::Pending;
            }
            Poll::Ready(Ok(count))
        })
    }

    /// Begins with the file that is at the path now.
    fn begin_anew(&mut self) {
        self.input = Decoding::new(self.decoder.clone());
        self.open = None;
        self.fate = Fate::Grows;
        self.state = State::Opening(open(&self.settings.path, true, &self.bell));
    }

    /// Does what a look at the path asks for.
    fn seen(&mut self, there: Option<&Metadata>) {
        self.state = State::Reading;
        match (&self.open, there) {
            (None, Some(_)) => self.begin_anew(),
            (None, None) => self.state = State::Waiting(sleep(self.settings.every)),
            // It has been removed or renamed, and whoever writes to it may go on.
            (Some(_), None) => {}
            (Some(open), Some(there)) if open.identity != identity(there) => self.fate = Fate::Replaced,
            (Some(open), Some(there)) if there.len() < open.file.position() => self.fate = Fate::Cut,
            (Some(_), Some(_)) => {}
        }
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Opens the file at `path`, and has `bell` ring for it.
fn open(path: &Path, from_start: bool, bell: &Arc<Bell>) -> Operation<Option<Open>> {
    let (path, bell) = (path.to_owned(), Arc::clone(bell));
    Box::pin(async move {
        bell.watch_name(&path).await;
        let Some(there) = look(&path).await? else { return Ok(None) };
        // To open a pipe would wait for its other end.
        if !there.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is no file", path.display()),
            ));
        }
        let file = match File::open(&path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let identity = identity(&file.metadata().await?);
        // Bytes that are written before are read; and if another file has the name by now, that has rung.
        bell.watch_file(&path).await;
        if !from_start {
            file.seek(SeekFrom::End(0)).await?;
        }
        Ok(Some(Open { file, identity }))
    })
}

/// Returns what is at `path`.
async fn look(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        there => there.map(Some),
    }
}

impl<D> Medium for Followed<D>
where
    D: Decoder<Item: Send> + Clone + Send + 'static,
{
    type In = D::Item;
    type Out = std::convert::Infallible;

    const WRITES: bool = false;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Input<D::Item>> {
        let failed = |error| Poll::Ready(Input::Failed(PortError::Io { during: During::Open, error }));
        loop {
            match &mut self.state {
                State::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(Some(open)) => {
                        self.open = Some(open);
                        self.state = State::Reading;
                    }
                    Ok(None) => self.state = State::Waiting(sleep(self.settings.every)),
                    Err(error) => return failed(error),
                },
                State::Reading => match self.poll_read(cx) {
                    Poll::Pending if matches!(self.state, State::Reading) => return Poll::Pending,
                    Poll::Pending => {}
                    Poll::Ready(Input::End) => self.begin_anew(),
                    Poll::Ready(Input::Failed(error @ PortError::Unfinished { .. })) => {
                        self.begin_anew();
                        return Poll::Ready(Input::Error(error));
                    }
                    Poll::Ready(input) => return Poll::Ready(input),
                },
                State::Waiting(pause) => {
                    if self.bell.poll_rung(cx).is_pending() {
                        ready!(Pin::new(pause).poll(cx));
                    }
                    let path = self.settings.path.clone();
                    self.state = State::Looking(Box::pin(async move { look(&path).await }));
                }
                State::Looking(looking) => match ready!(looking.as_mut().poll(cx)) {
                    Ok(there) => self.seen(there.as_ref()),
                    Err(error) => return failed(error),
                },
            }
        }
    }

    fn take_at_hand(&mut self, most: usize, take: impl FnMut(D::Item)) -> Option<Input<D::Item>> {
        self.input.take_at_hand(most, take)
    }

    fn encode(&mut self, item: Self::Out) -> Result<(), PortError> {
        match item {}
    }

    fn settle(&mut self) {
        self.input.settle();
    }
}
