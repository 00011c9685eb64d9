//! One HTTP/1.1 connection, by hand. The generator shares its cores with the node that it measures, so each microsecond that a
//! general client spends on header maps, pools and boxed bodies would be taken from the node; here a request is one buffer, one
//! `write`, one `read` and a single pass over the answer's head. It speaks as much of RFC 9112 as an answer needs (length,
//! chunks, until close, interim answers, keep-alive) and refuses the rest as malformed. Plain `http://` only.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
const READ_BYTES: usize = 16 * 1024;

/// An answer's head, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    pub(crate) closes: bool,
    pub(crate) retry_after_s: Option<u64>,
    pub(crate) replayed: bool,
}

/// How the answer's body ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the connection was closed before the answer was whole")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the answer is not HTTP/1.1: {0}")]
    Malformed(&'static str),
}

/// A connection and the answer that it is reading.
pub(crate) struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
    /// Where the bytes of `input` that are not yet decoded begin.
    at: usize,
    rest: Rest,
    closes: bool,
    body: Vec<u8>,
}

/// What is still to come of the present answer.
#[derive(Clone, Copy, Debug)]
enum Rest {
    Nothing,
    Length(usize),
    Chunks(Chunks),
    UntilClose,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // Without it the kernel may hold a request back for the acknowledgement of the one before; not fatal where unsupported.
        drop(stream.set_nodelay(true));
        Self { stream, input: Vec::with_capacity(READ_BYTES), at: 0, rest: Rest::Nothing, closes: false, body: Vec::new() }
    }

    /// Whether another request can be sent. Sees a connection that the peer has closed since, at no system call when it has not.
    pub(crate) fn is_reusable(&self) -> bool {
        let quiet = matches!(self.stream.try_read(&mut [0u8; 1]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        quiet && !self.closes && matches!(self.rest, Rest::Nothing) && self.at == self.input.len()
    }

    /// Sends a request and reads the whole answer; its body is then in [`Wire::body`].
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Head, Broken> {
        let head = self.open(request).await?;
        let mut body = std::mem::take(&mut self.body);
        body.clear();
        let read = self.read_all(&mut body).await;
        self.body = body;
        read.map(|()| head)
    }

    /// The body that [`Wire::exchange`] read last.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Sends a request and reads the answer's head; the body follows by [`Wire::read_more`].
    pub(crate) async fn open(&mut self, request: &[u8]) -> Result<Head, Broken> {
        self.stream.write_all(request).await?;
        self.input.clear();
        self.at = 0;
        loop {
            match parse_head(&self.input)? {
                Some((head, length)) if head.status < 200 => drop(self.input.drain(..length)),
                Some((head, length)) => {
                    self.at = length;
                    self.closes = head.closes;
                    self.rest = match head.framing {
                        Framing::Length(0) => Rest::Nothing,
                        Framing::Length(length) => Rest::Length(length),
                        Framing::Chunked => Rest::Chunks(Chunks::new()),
                        Framing::UntilClose => Rest::UntilClose,
                    };
                    return Ok(head);
                }
                None if self.input.len() > MAX_HEAD_BYTES => return Err(Broken::Malformed("the head is too large")),
                None => {
                    if self.stream.read_buf(&mut self.input).await? == 0 {
                        return Err(Broken::Closed);
                    }
                }
            }
        }
    }

    /// Appends more of the body to `out`, waiting when nothing is there; false when the body is whole.
    pub(crate) async fn read_more(&mut self, out: &mut Vec<u8>) -> Result<bool, Broken> {
        if matches!(self.rest, Rest::Nothing) {
            return Ok(false);
        }
        if self.at == self.input.len() {
            self.input.clear();
            self.at = 0;
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return self.closed_by_peer();
            }
        }
        let fresh = self.input.get(self.at..).unwrap_or_default();
        let (taken, done) = match &mut self.rest {
            Rest::Nothing => (0, true),
            Rest::Length(left) => {
                let taken = fresh.len().min(*left);
                out.extend_from_slice(fresh.get(..taken).unwrap_or_default());
                *left -= taken;
                (taken, *left == 0)
            }
            Rest::Chunks(chunks) => (chunks.feed(fresh, out)?, chunks.is_done()),
            Rest::UntilClose => {
                out.extend_from_slice(fresh);
                (fresh.len(), false)
            }
        };
        self.at += taken;
        if done {
            self.rest = Rest::Nothing;
        }
        Ok(!done)
    }

    fn closed_by_peer(&mut self) -> Result<bool, Broken> {
        self.closes = true;
        match std::mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::Nothing | Rest::UntilClose => Ok(false),
            Rest::Length(_) | Rest::Chunks(_) => Err(Broken::Closed),
        }
    }

    async fn read_all(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        while self.read_more(out).await? {
            if out.len() > MAX_BODY_BYTES {
                return Err(Broken::Malformed("the body is too large"));
            }
        }
        Ok(())
    }
}

/// Reads an answer's head in one pass; `None` when it is not whole yet, else the head and its length.
pub(crate) fn parse_head(input: &[u8]) -> Result<Option<(Head, usize)>, Broken> {
    let mut lines = input.split_inclusive(|byte| *byte == b'\n');
    let Some(first) = lines.next().filter(|line| line.ends_with(b"\n")) else { return Ok(None) };
    let mut head = Head { status: status_of(first)?, framing: Framing::UntilClose, closes: false, retry_after_s: None, replayed: false };
    let mut length = first.len();
    let mut has_length = false;
    for line in lines {
        if !line.ends_with(b"\n") {
            return Ok(None);
        }
        length += line.len();
        let line = line.trim_ascii_end();
        if line.is_empty() {
            if head.status < 200 || head.status == 204 || head.status == 304 {
                head.framing = Framing::Length(0);
            }
            head.closes |= head.framing == Framing::UntilClose;
            return Ok(Some((head, length)));
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return Err(Broken::Malformed("a header without a colon"));
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let count = number(value).ok_or(Broken::Malformed("a content length that is no number"))?;
            if head.framing != Framing::Chunked {
                head.framing = Framing::Length(count);
            }
            if has_length {
                return Err(Broken::Malformed("two content lengths"));
            }
            has_length = true;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Broken::Malformed("a transfer coding other than chunked"));
            }
            head.framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case(b"connection") {
            head.closes = value.eq_ignore_ascii_case(b"close");
        } else if name.eq_ignore_ascii_case(b"retry-after") {
            // A date is legal too; whoever sends one is asked again after a second.
            head.retry_after_s = Some(number(value).map_or(1, |seconds| seconds as u64));
        } else if name.eq_ignore_ascii_case(b"idempotency-replayed") {
            head.replayed = value.eq_ignore_ascii_case(b"true");
        }
    }
    Ok(None)
}

fn status_of(line: &[u8]) -> Result<u16, Broken> {
    let malformed = || Broken::Malformed("no status line");
    let rest = line.strip_prefix(b"HTTP/1.1 ").ok_or_else(malformed)?;
    let status = number(rest.get(..3).ok_or_else(malformed)?).and_then(|status| u16::try_from(status).ok());
    status.filter(|status| (100..600).contains(status)).ok_or_else(malformed)
}

fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 12 {
        return None;
    }
    digits.iter().try_fold(0usize, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + usize::from(digit - b'0')))
}

/// The decoder of the chunked transfer coding; fed in pieces of any size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks {
    state: ChunkState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ChunkState {
    /// In the size line: what it says so far and how many digits it had.
    Size(usize, u8),
    /// In the size line, after its digits.
    Extension(usize),
    Data(usize),
    /// After a chunk's data: the end of line.
    DataEnd,
    /// In the trailers: whether the present line is empty so far.
    Trailer(bool),
    Done,
}

impl Chunks {
    pub(crate) fn new() -> Self {
        Self { state: ChunkState::Size(0, 0) }
    }

    pub(crate) fn is_done(self) -> bool {
        self.state == ChunkState::Done
    }

    /// Decodes `input` into `out` and returns how much it took; less than all only when the body is whole.
    pub(crate) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Broken> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            self.state = match self.state {
                ChunkState::Done => return Ok(at),
                ChunkState::Data(left) => {
                    let rest = input.get(at..).unwrap_or_default();
                    let taken = left.min(rest.len());
                    out.extend_from_slice(rest.get(..taken).unwrap_or_default());
                    // The loop steps over the last byte taken.
                    at += taken.saturating_sub(1);
                    if taken == left { ChunkState::DataEnd } else { ChunkState::Data(left - taken) }
                }
                ChunkState::Size(size, digits) => size_byte(size, digits, byte)?,
                ChunkState::Extension(size) if byte == b'\n' => after_size(size),
                ChunkState::Extension(size) => ChunkState::Extension(size),
                ChunkState::DataEnd => match byte {
                    b'\r' => ChunkState::DataEnd,
                    b'\n' => ChunkState::Size(0, 0),
                    _ => return Err(Broken::Malformed("a chunk longer than it says")),
                },
                ChunkState::Trailer(empty) => match byte {
                    b'\r' => ChunkState::Trailer(empty),
                    b'\n' if empty => ChunkState::Done,
                    b'\n' => ChunkState::Trailer(true),
                    _ => ChunkState::Trailer(false),
                },
            };
            at += 1;
        }
        Ok(at)
    }
}

fn size_byte(size: usize, digits: u8, byte: u8) -> Result<ChunkState, Broken> {
    let malformed = Broken::Malformed("a chunk size that is no number");
    match char::from(byte).to_digit(16) {
        Some(_) if digits >= 8 => Err(malformed),
        Some(digit) => Ok(ChunkState::Size(size * 16 + digit as usize, digits + 1)),
        None if digits == 0 => Err(malformed),
        None if byte == b'\n' => Ok(after_size(size)),
        None if matches!(byte, b';' | b' ' | b'\t' | b'\r') => Ok(ChunkState::Extension(size)),
        None => Err(malformed),
    }
}

fn after_size(size: usize) -> ChunkState {
    if size == 0 { ChunkState::Trailer(true) } else { ChunkState::Data(size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_whole_and_refused_when_it_is_odd() {
        let whole = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\ncontent-LENGTH:  5\r\nConnection: close\r\n\r\nhello";
        let want = Head { status: 503, framing: Framing::Length(5), closes: true, retry_after_s: Some(2), replayed: false };
        for cut in 0..whole.len() - 5 {
            assert!(parse_head(&whole[..cut]).unwrap().is_none(), "{cut}");
        }
        assert_eq!(parse_head(whole).unwrap(), Some((want, whole.len() - 5)));
        let odd: [&[u8]; 6] = [
            b"HTTP/1.0 200 OK\r\n\r\n",
            b"HTTP/1.1 20x OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
        ];
        for bytes in odd {
            assert!(parse_head(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_body_without_length_ends_with_the_connection_and_some_have_none() {
        let framing = |text: &[u8]| parse_head(text).unwrap().map(|(head, _)| (head.framing, head.closes));
        assert_eq!(framing(b"HTTP/1.1 200 OK\r\n\r\n"), Some((Framing::UntilClose, true)));
        assert_eq!(framing(b"HTTP/1.1 204 No Content\r\n\r\n"), Some((Framing::Length(0), false)));
        assert_eq!(framing(b"HTTP/1.1 100 Continue\r\n\r\n"), Some((Framing::Length(0), false)));
        assert_eq!(framing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"), Some((Framing::Chunked, false)));
    }

    #[test]
    fn chunks_are_decoded_however_they_are_cut() {
        let coded = b"5;note=x\r\nhello\r\n1\r\n,\r\nA\r\n 012345678\r\n0\r\nTrailer: x\r\n\r\nnext";
        for size in 1..coded.len() {
            let (mut chunks, mut out, mut taken) = (Chunks::new(), Vec::new(), 0);
            for piece in coded.chunks(size) {
                taken += chunks.feed(piece, &mut out).unwrap();
            }
            assert!(chunks.is_done());
            assert_eq!(out, b"hello, 012345678", "{size}");
            assert_eq!(taken, coded.len() - 4, "{size}");
        }
        for bad in [&b"x\r\n"[..], b"2\r\nabc\r\n", b"123456789\r\n", b"\r\n"] {
            assert!(Chunks::new().feed(bad, &mut Vec::new()).is_err());
        }
    }
}
