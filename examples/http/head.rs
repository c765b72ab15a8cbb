//! The head of a request, read from bytes: what two servers of these examples go by.

use std::ops::Range;

use httparse::Status;

/// The longest request line with its headers, in bytes.
pub(crate) const MAX_HEAD: usize = 16 * 1024;

/// What is to be known of a request before its body is received. Places are offsets from its first byte.
pub(crate) struct Head {
    /// Its length.
    pub(crate) len: usize,
    /// Where the method is.
    pub(crate) method: Range<usize>,
    /// Where the path is.
    pub(crate) path: Range<usize>,
    /// The length of the body.
    pub(crate) body: usize,
    /// Whether the connection is to stay open.
    pub(crate) keep_alive: bool,
    /// Whether the client waits for a word before it sends the body.
    pub(crate) expects_continue: bool,
}

impl Head {
    /// Reads a request's head. `None`: there is more to come; an error is the status to refuse it with.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
        const TOO_LARGE: &str = "431 Request Header Fields Too Large";
        const BAD: &str = "400 Bad Request";
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let len = match request.parse(bytes) {
            Ok(Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
            Ok(Status::Complete(len)) if len <= MAX_HEAD => len,
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
            Err(_) => return Err(BAD),
        };
        let place = |part: Option<&str>| {
            let part = part.unwrap_or_default();
            let start = part.as_ptr().addr() - bytes.as_ptr().addr();
            start..start + part.len()
        };
        let (method, path) = (place(request.method), place(request.path));
        let mut keep_alive = request.version == Some(1);
        let (mut body, mut expects_continue) = (None, false);
        for header in request.headers.iter() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let value = std::str::from_utf8(header.value).unwrap_or_default();
            let mut words = value.split(',').map(str::trim);
            if is("content-length") {
                let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                let length = value.parse().ok().filter(|_| digits).ok_or(BAD)?;
                // Two that differ are an attempt to have us and a proxy see different requests.
                if body.replace(length).is_some_and(|before| before != length) {
                    return Err(BAD);
                }
            } else if is("transfer-encoding") {
                return Err("411 Length Required");
            } else if is("connection") {
                let close = words.clone().any(|word| word.eq_ignore_ascii_case("close"));
                keep_alive =
                    !close && (keep_alive || words.any(|word| word.eq_ignore_ascii_case("keep-alive")));
            } else if is("expect") {
                expects_continue = value.eq_ignore_ascii_case("100-continue");
            }
        }
        Ok(Some(Head { len, method, path, body: body.unwrap_or(0), keep_alive, expects_continue }))
    }
}
