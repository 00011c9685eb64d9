//! Overlooks a client's offer to go on in another protocol, such as the `Upgrade: h2c` that Java's client makes by default.
//!
//! A server may ignore such an offer (RFC 9110, 7.8). The HTTP library does not: it answers `connection: upgrade` and then closes the
//! connection without a word, so that the client's next request is lost on it. So the offer is made unreadable before the library sees
//! it, without changing a length: `Connection: Upgrade` becomes `Connection: ignored`. What is no well-formed request is passed on as it
//! is: the library refuses it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longest line of a head that is looked at, in bytes; no connection option is longer.
const LONGEST_LINE: usize = 16_384;

/// As long as `upgrade`.
const IGNORED: &[u8; 7] = b"ignored";

/// What comes next of a connection's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// A request's first line.
    Request,
    /// A field of its head, whose body is delimited like that.
    Field(Body),
    /// So many bytes of a body.
    Sized(u64),
    /// The line that tells how long a chunk is.
    ChunkSize,
    /// So many bytes of a chunk, its line end included.
    Chunk(u64),
    /// A line behind the last chunk.
    Trailer,
    /// Nobody knows; all is passed on.
    Anything,
}

/// How the end of a body is known, as far as its head has been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Body {
    None,
    Sized(u64),
    Chunked,
}

/// Finds the offers in a connection's bytes.
#[derive(Debug)]
struct Scan(Next);

impl Scan {
    /// Overwrites the offers. Returns how many of the bytes were looked at: the rest is a line that is not whole yet.
    fn feed(&mut self, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let here = u64::try_from(rest.len()).unwrap_or(u64::MAX);
            match self.0 {
                Next::Anything => return bytes.len(),
                Next::Sized(left) => {
                    done += usize::try_from(left.min(here)).unwrap_or(rest.len());
                    self.0 = if left > here { Next::Sized(left - here) } else { Next::Request };
                }
                Next::Chunk(left) => {
                    done += usize::try_from(left.min(here)).unwrap_or(rest.len());
                    self.0 = if left > here { Next::Chunk(left - here) } else { Next::ChunkSize };
                }
                Next::Request | Next::Field(_) | Next::ChunkSize | Next::Trailer => {
                    let line = rest.split_inclusive_mut(|byte| *byte == b'\n').next().unwrap_or_default();
                    let length = line.len();
                    match line.split_last_mut() {
                        Some((b'\n', line)) => {
                            done += length;
                            self.0 = self.0.after(line);
                        }
                        Some(_) if length <= LONGEST_LINE => return done,
                        Some(_) | None => self.0 = Next::Anything,
                    }
                }
            }
        }
        done
    }
}

impl Next {
    /// What comes after this line.
    fn after(self, line: &mut [u8]) -> Self {
        let length = line.strip_suffix(b"\r").unwrap_or(line).len();
        let line = line.get_mut(..length).unwrap_or_default();
        match self {
            // Empty lines before a request are passed over.
            Self::Request if line.is_empty() => Self::Request,
            // What follows is no HTTP.
            Self::Request if line.starts_with(b"CONNECT ") => Self::Anything,
            Self::Request => Self::Field(Body::None),
            Self::Field(Body::None | Body::Sized(0)) if line.is_empty() => Self::Request,
            Self::Field(Body::Sized(length)) if line.is_empty() => Self::Sized(length),
            Self::Field(Body::Chunked) if line.is_empty() => Self::ChunkSize,
            Self::Field(body) => field(line, body).map_or(Self::Anything, Self::Field),
            Self::ChunkSize => match chunk_size(line) {
                Some(0) => Self::Trailer,
                Some(size) => size.checked_add(2).map_or(Self::Anything, Self::Chunk),
                None => Self::Anything,
            },
            Self::Trailer if line.is_empty() => Self::Request,
            Self::Trailer => Self::Trailer,
            // No lines.
            Self::Sized(_) | Self::Chunk(_) | Self::Anything => self,
        }
    }
}

/// Overwrites what the field offers. None: it is not understood.
fn field(line: &mut [u8], body: Body) -> Option<Body> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_mut_checked(colon)?;
    let value = value.get_mut(1..)?;
    let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
    if is("upgrade") {
        name.copy_from_slice(IGNORED);
        return Some(body);
    }
    if is("connection") {
        value.split_mut(|byte| *byte == b',').for_each(overlook);
        return Some(body);
    }
    let is_new = body == Body::None;
    let text = || std::str::from_utf8(value).map(str::trim).ok();
    match () {
        () if is("content-length") => is_new.then(|| text()?.parse().ok().map(Body::Sized))?,
        () if is("transfer-encoding") => (is_new && text()?.eq_ignore_ascii_case("chunked")).then_some(Body::Chunked),
        // A line that goes on with the field before.
        () if name.first().is_none_or(u8::is_ascii_whitespace) => None,
        () => Some(body),
    }
}

fn overlook(option: &mut [u8]) {
    if option.trim_ascii().eq_ignore_ascii_case(b"upgrade") {
        let before = option.len() - option.trim_ascii_start().len();
        option.iter_mut().skip(before).zip(IGNORED).for_each(|(byte, ignored)| *byte = *ignored);
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next()?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A connection whose offers are overlooked.
pub(super) struct Overlooking<T> {
    io: T,
    scan: Scan,
    /// A line that is not whole yet.
    held: Vec<u8>,
    /// What was looked at and is still to be read.
    ready: Vec<u8>,
}

impl<T> Overlooking<T> {
    pub(super) fn new(io: T) -> Self {
        Self { io, scan: Scan(Next::Request), held: Vec::new(), ready: Vec::new() }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Overlooking<T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while buffer.remaining() > 0 {
            if !this.ready.is_empty() {
                let count = this.ready.len().min(buffer.remaining());
                this.ready.drain(..count).for_each(|byte| buffer.put_slice(&[byte]));
                break;
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(context, buffer))?;
            let fresh = buffer.filled_mut().get_mut(before..).unwrap_or_default();
            if fresh.is_empty() {
                // It has ended, in the middle of a line perhaps.
                this.ready.append(&mut this.held);
                if this.ready.is_empty() {
                    break;
                }
            } else if this.held.is_empty() {
                let seen = this.scan.feed(fresh);
                this.held.extend(fresh.iter().skip(seen));
                buffer.set_filled(before + seen);
                if seen > 0 {
                    break;
                }
            } else {
                this.held.extend_from_slice(fresh);
                buffer.set_filled(before);
                let seen = this.scan.feed(&mut this.held);
                this.ready.extend(this.held.drain(..seen));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Overlooking<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    /// What is read of these pieces, each of which comes on its own.
    fn read(pieces: &[&[u8]]) -> String {
        let mut connection = Overlooking::new(Pieces(pieces.iter().map(|piece| piece.to_vec()).collect()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut all = Vec::new();
        runtime.block_on(connection.read_to_end(&mut all)).unwrap();
        String::from_utf8(all).unwrap()
    }

    struct Pieces(std::collections::VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if let Some(mut piece) = self.0.pop_front() {
                let rest = piece.split_off(piece.len().min(buffer.remaining()));
                buffer.put_slice(&piece);
                if !rest.is_empty() {
                    self.0.push_front(rest);
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    const OFFERS: [(&str, &str); 6] = [
        // Java's.
        (
            "POST / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 21\r\nHost: a\r\nHTTP2-Settings: AAE\r\nUpgrade: \
             h2c\r\n\r\nconnection: upgrade\r\n",
            "POST / HTTP/1.1\r\nConnection: ignored, HTTP2-Settings\r\nContent-Length: 21\r\nHost: a\r\nHTTP2-Settings: AAE\r\nignored: \
             h2c\r\n\r\nconnection: upgrade\r\n",
        ),
        (
            "GET / HTTP/1.1\nconnection:keep-alive , uPGRADE\nupgrade:websocket\n\n",
            "GET / HTTP/1.1\nconnection:keep-alive , ignored\nignored:websocket\n\n",
        ),
        (
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n15;a=b\r\nconnection: upgrade\r\n\r\n0\r\nupgrade: x\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n15;a=b\r\nconnection: upgrade\r\n\r\n0\r\nupgrade: x\r\n\r\n",
        ),
        (
            "\r\nGET /upgrade HTTP/1.1\r\nX: upgrade\r\nConnection: close\r\n\r\n",
            "\r\nGET /upgrade HTTP/1.1\r\nX: upgrade\r\nConnection: close\r\n\r\n",
        ),
        (
            "GET / HTTP/1.1\r\nConnection: upgrades, Upgrade-Insecure\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: upgrades, Upgrade-Insecure\r\n\r\n",
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 0\r\nConnection: Upgrade\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 0\r\nConnection: ignored\r\n\r\n",
        ),
    ];

    #[test]
    fn an_offer_in_a_head_is_overwritten_however_it_is_cut_and_nothing_else_is() {
        let (sent, want): (String, String) = OFFERS.into_iter().unzip();
        assert_eq!(read(&[sent.as_bytes()]), want);
        for size in [1, 2, 3, 7, 50, 200] {
            let pieces: Vec<&[u8]> = sent.as_bytes().chunks(size).collect();
            assert_eq!(read(&pieces), want, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_not_understood_is_passed_on() {
        let offer = "GET / HTTP/1.1\r\nConnection: upgrade\r\n\r\n";
        for strange in [
            "CONNECT a:1 HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nnothing\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
            "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            let all = format!("{strange}{offer}");
            assert_eq!(read(&[all.as_bytes()]), all);
        }
        let long = format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(3 * LONGEST_LINE));
        assert_eq!(read(&[long.as_bytes()]), long);
        assert_eq!(read(&[b"GET / HTTP/1.1\r\nConnection: Upgr"]), "GET / HTTP/1.1\r\nConnection: Upgr", "it ends there");
    }
}
