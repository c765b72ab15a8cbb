//! Requests to the port mapper of a host, and its answers.

/// The type of a node that is hidden.
const HIDDEN: u8 = 72;
/// The versions of the handshake.
const VERSION: [u8; 2] = [0, 6];

/// An answer of the port mapper's that makes no sense, or a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EpmdError {
    /// The answer is malformed.
    #[error("the port mapper's answer is malformed")]
    Malformed,
    /// The name is taken by another node.
    #[error("the port mapper has the name already")]
    Taken,
}

/// Returns the request that registers the node `name` (without its host), which listens on `port`. The
/// connection on which it is sent has to stay open for as long as the node lives.
///
/// # Examples
/// ```
/// use twoply_node::wire::{register_request, registered};
///
/// assert_eq!(register_request("shop", 4370)[..6], [0, 17, 120, 17, 18, 72]);
/// assert_eq!(registered(&[118, 0, 0, 0, 1]), Ok(None), "a byte is missing");
/// assert_eq!(registered(&[118, 0, 0, 0, 1, 2]), Ok(Some(258)));
/// ```
pub fn register_request(name: &str, port: u16) -> Vec<u8> {
    let mut request = vec![120];
    request.extend_from_slice(&port.to_be_bytes());
    request.extend_from_slice(&[HIDDEN, 0]);
    request.extend_from_slice(&VERSION);
    request.extend_from_slice(&VERSION);
    request.extend_from_slice(&(name.len() as u16).to_be_bytes());
    request.extend_from_slice(name.as_bytes());
    request.extend_from_slice(&[0, 0]);
    with_length(request)
}

/// Reads the answer to [`register_request`]: the creation of the node. Returns `None` if `bytes` are not all
/// of it.
///
/// # Errors
/// When the name is taken, and when this is no such answer.
pub fn registered(bytes: &[u8]) -> Result<Option<u32>, EpmdError> {
    let (result, creation) = match bytes {
        [118, result, a, b, c, d, ..] => (result, u32::from_be_bytes([*a, *b, *c, *d])),
        [121, result, a, b, ..] => (result, u32::from(u16::from_be_bytes([*a, *b]))),
        [] | [118 | 121, ..] => return Ok(None),
        _ => return Err(EpmdError::Malformed),
    };
    if *result == 0 { Ok(Some(creation)) } else { Err(EpmdError::Taken) }
}

/// Returns the request that asks for the port of the node `name` (without its host).
pub fn port_request(name: &str) -> Vec<u8> {
    with_length([&[122], name.as_bytes()].concat())
}

/// The answer to [`port_request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The node listens on this port, and speaks these versions of the handshake.
    Port {
        /// The port of its listener.
        port: u16,
        /// The highest version of the handshake.
        highest: u16,
        /// The lowest version of the handshake.
        lowest: u16,
    },
    /// There is no such node.
    Unknown,
}

/// Reads the answer to [`port_request`]. Returns `None` if `bytes` are not all of what is needed.
///
/// # Errors
/// When this is no such answer.
pub fn found(bytes: &[u8]) -> Result<Option<Found>, EpmdError> {
    match bytes {
        [119, 0, p, q, _type, _protocol, h, i, l, m, ..] => Ok(Some(Found::Port {
            port: u16::from_be_bytes([*p, *q]),
            highest: u16::from_be_bytes([*h, *i]),
            lowest: u16::from_be_bytes([*l, *m]),
        })),
        [119, result, ..] if *result != 0 => Ok(Some(Found::Unknown)),
        [] | [119, ..] => Ok(None),
        _ => Err(EpmdError::Malformed),
    }
}

/// Returns the request that asks for the names of all nodes of the host.
pub fn names_request() -> Vec<u8> {
    with_length(vec![110])
}

/// Reads the answer to [`names_request`], all that comes until the connection is closed: each node's name,
/// without the host, and its port. What is in none of the usual lines is passed over.
///
/// # Examples
/// ```
/// use twoply_node::wire::names;
///
/// let answer = b"\0\0\x11\x11name shop at port 4370\nname till at port 4371\n";
/// assert_eq!(names(answer)?, [("shop".to_owned(), 4370), ("till".to_owned(), 4371)]);
/// # Ok::<(), twoply_node::wire::EpmdError>(())
/// ```
///
/// # Errors
/// When this is no such answer.
pub fn names(bytes: &[u8]) -> Result<Vec<(String, u16)>, EpmdError> {
    let lines = bytes.get(4..).and_then(|lines| std::str::from_utf8(lines).ok());
    let line = |line: &str| {
        let (name, port) = line.strip_prefix("name ")?.rsplit_once(" at port ")?;
        Some((name.to_owned(), port.trim().parse().ok()?))
    };
    Ok(lines.ok_or(EpmdError::Malformed)?.lines().filter_map(line).collect())
}

fn with_length(request: Vec<u8>) -> Vec<u8> {
    // A name of a node has at most 255 bytes.
    let mut whole = (request.len() as u16).to_be_bytes().to_vec();
    whole.extend(request);
    whole
}
