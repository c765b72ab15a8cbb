//! The reasons for which a process ends: what its links and monitors are told.
//!
//! Everybody who ends a process or hears of an end uses [`ExitReason`]; what a body returns becomes one by
//! [`IntoExit`]. A reason is cheap to clone, because one end may be told to many. This module decides
//! nothing: which reasons end whom is in [`signal`](crate::actor::process::signal).

use std::any::Any;
use std::backtrace::Backtrace;
use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The reason for which a process has ended, or is asked to.
///
/// Two reasons are equal if they are of the same kind and have the same text.
///
/// With the feature `serde` it is written as its kind and that text: `"normal"`, `{"failed": "no such
/// account"}`. What is read has the text of errors, panics and data alone, so `ShutdownWith` holds a `String`
/// then; a foreign reason is read as one of another kind, with its text.
///
/// # Examples
/// ```
/// use twoply::actor::{ExitReason, IntoExit};
///
/// assert_eq!(().into_exit(), ExitReason::Normal);
/// let failed = Err::<(), _>("no such account").into_exit();
/// assert_eq!(failed.to_string(), "failed: no such account");
/// assert!(!failed.is_normal());
/// ```
// The discriminant, which serves each `Failure` and `Result` around it, fills its word: a value that is
// written in whole words can be read again in whole words, without a stall.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(usize)]
#[non_exhaustive]
pub enum ExitReason {
    /// The process was done. Links that do not trap exits take no notice.
    Normal,
    /// The process was asked to stop, by a supervisor or because its backend was shut down or its task
    /// cancelled.
    Shutdown,
    /// As [`Shutdown`](ExitReason::Shutdown), with data for whoever is told; Erlang's `{shutdown, Term}`.
    /// [`ExitReason::shutdown_with`] makes it.
    ShutdownWith(Data),
    /// The process is to end whether it traps exits or not. This is only sent, with
    /// [`Process::exit`](crate::actor::Process::exit) or
    /// [`ProcessRef::exit`](crate::actor::ProcessRef::exit); the receiver's own reason is then
    /// [`Killed`](ExitReason::Killed). As the reason of a process whose body returned it, it is one like any
    /// other.
    Kill,
    /// Somebody sent the process [`Kill`](ExitReason::Kill).
    Killed,
    /// There was no such process when the link or the monitor was made.
    NoProcess,
    /// The connection to the node of the process was lost.
    NoConnection,
    /// The process panicked, with this message.
    Panicked(PanicMessage),
    /// The body of the process returned an error.
    Failed(Failed),
    /// Any other reason, in the words of whoever gave it.
    Other(Arc<str>),
    /// A reason that came from another kind of node, and that goes back there as what it is.
    Foreign(Foreign),
}

impl ExitReason {
    /// Returns a reason of one's own, with this text.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::ExitReason;
    ///
    /// let reason = ExitReason::other("out of paper");
    /// assert_eq!(reason.to_string(), "out of paper");
    /// assert!(!reason.is_orderly());
    /// ```
    pub fn other(text: impl Into<Arc<str>>) -> ExitReason {
        ExitReason::Other(text.into())
    }

    /// Returns the reason of an intended end with data for whoever is told: a supervisor does not restart a
    /// transient child after it.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::ExitReason;
    ///
    /// let reason = ExitReason::shutdown_with(42);
    /// assert!(reason.is_orderly() && !reason.is_normal());
    /// assert_eq!(reason.to_string(), "shutdown: 42");
    /// match reason {
    ///     ExitReason::ShutdownWith(data) => assert_eq!(data.downcast_ref(), Some(&42)),
    ///     other => panic!("{other}"),
    /// }
    /// ```
    pub fn shutdown_with<T>(data: T) -> ExitReason
    where
        T: fmt::Display + fmt::Debug + Eq + Send + Sync + 'static,
    {
        ExitReason::ShutdownWith(Data::new(data))
    }

    /// Returns `error` as a reason. An error that is an `ExitReason` itself is that reason.
    ///
    /// # Examples
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use twoply::actor::ExitReason;
    ///
    /// let reason = ExitReason::failed(Error::from(ErrorKind::NotFound));
    /// assert!(matches!(reason, ExitReason::Failed(_)));
    /// assert_eq!(ExitReason::failed(ExitReason::Shutdown), ExitReason::Shutdown);
    /// ```
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> ExitReason {
        match error.into().downcast::<ExitReason>() {
            Ok(reason) => *reason,
            Err(error) => ExitReason::Failed(Failed(Arc::from(error))),
        }
    }

    /// Returns true if this is [`Normal`](ExitReason::Normal).
    pub fn is_normal(&self) -> bool {
        matches!(self, ExitReason::Normal)
    }

    /// Returns true if the process ended as intended: [`Normal`](ExitReason::Normal) or
    /// [`Shutdown`](ExitReason::Shutdown), with data or without, or a [foreign](ExitReason::Foreign) reason
    /// that counts as one of them. A supervisor does not restart a transient child after such an end.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::ExitReason;
    ///
    /// assert!(ExitReason::Normal.is_orderly() && ExitReason::Shutdown.is_orderly());
    /// assert!(!ExitReason::Shutdown.is_normal());
    /// assert!(!ExitReason::Killed.is_orderly());
    /// ```
    pub fn is_orderly(&self) -> bool {
        match self {
            ExitReason::Normal | ExitReason::Shutdown | ExitReason::ShutdownWith(_) => true,
            ExitReason::Foreign(foreign) => foreign.is_orderly(),
            _ => false,
        }
    }
}

impl ExitReason {
    /// Returns the stack that a panic came from, if the process panicked and that was kept: see
    /// [`keep_backtraces`](crate::task::keep_backtraces). It stays on the node where it arose.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task, actor::{self, Process}};
    ///
    /// task::keep_backtraces();
    /// let process = actor::spawn_fn(|_: Process<()>| -> () { panic!("expected: no luck") })?;
    /// assert!(process.ended().wait().backtrace().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backtrace(&self) -> Option<&Backtrace> {
        match self {
            ExitReason::Panicked(message) => message.backtrace(),
            _ => None,
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitReason::Normal => f.write_str("normal"),
            ExitReason::Shutdown => f.write_str("shutdown"),
            ExitReason::ShutdownWith(data) => write!(f, "shutdown: {data}"),
            ExitReason::Kill => f.write_str("kill"),
            ExitReason::Killed => f.write_str("killed"),
            ExitReason::NoProcess => f.write_str("no such process"),
            ExitReason::NoConnection => f.write_str("no connection"),
            ExitReason::Panicked(text) => write!(f, "panicked: {text}"),
            ExitReason::Failed(failed) => write!(f, "failed: {failed}"),
            ExitReason::Other(text) => f.write_str(text),
            ExitReason::Foreign(foreign) => foreign.fmt(f),
        }
    }
}

impl Error for ExitReason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ExitReason::Failed(failed) => Some(failed.error()),
            _ => None,
        }
    }
}

/// The message of a panic that has ended a process, which is a text, and the stack that it came from, if that
/// was kept. Two are equal if their texts are.
///
/// # Examples
/// ```
/// use twoply::actor::{ExitReason, PanicMessage};
///
/// let message = PanicMessage::from("no luck");
/// assert_eq!(message.len(), 7);
/// assert_eq!(ExitReason::Panicked(message).to_string(), "panicked: no luck");
/// ```
#[derive(Clone)]
pub struct PanicMessage(Arc<(Box<str>, Option<Arc<Backtrace>>)>);

impl PanicMessage {
    pub(super) fn new(text: impl Into<Box<str>>, backtrace: Option<Arc<Backtrace>>) -> PanicMessage {
        PanicMessage(Arc::new((text.into(), backtrace)))
    }

    /// Returns the stack that the panic came from, if that was kept; see [`ExitReason::backtrace`].
    pub fn backtrace(&self) -> Option<&Backtrace> {
        self.0.1.as_deref()
    }
}

impl<T: Into<Box<str>>> From<T> for PanicMessage {
    fn from(text: T) -> PanicMessage {
        PanicMessage::new(text, None)
    }
}

impl Deref for PanicMessage {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0.0
    }
}

impl PartialEq for PanicMessage {
    fn eq(&self, other: &PanicMessage) -> bool {
        **self == **other
    }
}

impl Eq for PanicMessage {}

impl fmt::Display for PanicMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for PanicMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// The error that a body returned. Two are equal if their texts are.
///
/// # Examples
/// ```
/// use std::io::{Error, ErrorKind};
/// use twoply::actor::ExitReason;
///
/// let ExitReason::Failed(failed) = ExitReason::failed(Error::from(ErrorKind::NotFound)) else {
///     panic!("an error is a failure");
/// };
/// let error = failed.error().downcast_ref::<Error>().expect("it is still that error");
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// ```
#[derive(Clone)]
pub struct Failed(Arc<dyn Error + Send + Sync>);

impl Failed {
    /// Returns the error itself, which stays on the node where it arose; elsewhere there is only its text.
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl PartialEq for Failed {
    fn eq(&self, other: &Failed) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.to_string() == other.0.to_string()
    }
}

impl Eq for Failed {}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A reason that this library cannot read: it knows the text, what it is equal to and whether it is orderly.
/// Whoever has made it gets the value back.
///
/// # Examples
/// ```
/// use twoply::actor::{ExitReason, Foreign};
///
/// let reason = ExitReason::Foreign(Foreign::new("{shutdown,restart}", true));
/// assert_eq!(reason.to_string(), "{shutdown,restart}");
/// assert!(reason.is_orderly() && !reason.is_normal());
/// if let ExitReason::Foreign(foreign) = reason {
///     assert_eq!(foreign.downcast_ref(), Some(&"{shutdown,restart}"));
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Foreign {
    value: Data,
    /// Supervisors take it for an intended end.
    orderly: bool,
}

impl Foreign {
    /// Makes a reason of `value`, whose text is that of the reason. `orderly` says whether supervisors take
    /// it for an intended end.
    pub fn new<T>(value: T, orderly: bool) -> Foreign
    where
        T: fmt::Display + fmt::Debug + Eq + Send + Sync + 'static,
    {
        Foreign { value: Data::new(value), orderly }
    }

    /// Returns the value, if it is a `T`.
    pub fn downcast_ref<T: 'static>(&self) -> Option<&T> {
        self.value.downcast_ref()
    }

    /// Returns true if supervisors take it for an intended end.
    pub fn is_orderly(&self) -> bool {
        self.orderly
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// A value in a reason, of a type that only whoever has made the reason knows. Clones are the same value; two
/// are equal if they are of the same type and their values are equal.
///
/// # Examples
/// ```
/// use twoply::actor::ExitReason;
///
/// let reason = ExitReason::shutdown_with(7_u8);
/// assert_eq!(reason, ExitReason::shutdown_with(7_u8));
/// assert_ne!(reason, ExitReason::shutdown_with(7_u16), "the types differ");
/// let ExitReason::ShutdownWith(data) = reason else { panic!("it has data") };
/// assert_eq!((data.downcast_ref::<u8>(), data.downcast_ref::<u16>()), (Some(&7), None));
/// ```
#[derive(Clone)]
pub struct Data(Arc<dyn Value>);

/// The operations that every value in a reason has.
trait Value: fmt::Display + fmt::Debug + Send + Sync {
    fn equals(&self, other: &dyn Value) -> bool;
    fn as_any(&self) -> &dyn Any;
}

impl<T: fmt::Display + fmt::Debug + Eq + Send + Sync + 'static> Value for T {
    fn equals(&self, other: &dyn Value) -> bool {
        other.as_any().downcast_ref() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Data {
    fn new<T>(value: T) -> Data
    where
        T: fmt::Display + fmt::Debug + Eq + Send + Sync + 'static,
    {
        Data(Arc::new(value))
    }

    /// Returns the value, if it is a `T`.
    pub fn downcast_ref<T: 'static>(&self) -> Option<&T> {
        (*self.0).as_any().downcast_ref()
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Data) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (*self.0).equals(&*other.0)
    }
}

impl Eq for Data {}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A value that the body of a process may return.
///
/// Nothing, or `Ok`, is [`ExitReason::Normal`]; an error is [`ExitReason::Failed`]; a reason is itself.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{self, Process}};
///
/// let process = actor::spawn(async |_: Process<()>| "seven".parse::<u32>().map(drop))?;
/// assert_eq!(process.ended().wait().to_string(), "failed: invalid digit found in string");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait IntoExit {
    /// Returns the reason with which the process ends.
    fn into_exit(self) -> ExitReason;
}

impl IntoExit for () {
    fn into_exit(self) -> ExitReason {
        ExitReason::Normal
    }
}

impl IntoExit for ExitReason {
    fn into_exit(self) -> ExitReason {
        self
    }
}

impl IntoExit for std::convert::Infallible {
    fn into_exit(self) -> ExitReason {
        match self {}
    }
}

/// The output of a body that never returns, such as one that ends in a `loop`.
impl IntoExit for <fn() -> ! as never::Returns>::Output {
    fn into_exit(self) -> ExitReason {
        self
    }
}

mod never {
    /// Names the type that a function returns: stable Rust has no other way to say `!` there.
    pub trait Returns {
        /// The type that is named.
        type Output;
    }

    impl<T> Returns for fn() -> T {
        type Output = T;
    }
}

impl<T: IntoExit, E: Into<Box<dyn Error + Send + Sync>>> IntoExit for Result<T, E> {
    fn into_exit(self) -> ExitReason {
        match self {
            Ok(value) => value.into_exit(),
            Err(error) => ExitReason::failed(error),
        }
    }
}
