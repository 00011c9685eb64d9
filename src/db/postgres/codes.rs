//! Lets an error's code through. The driver in between keeps the text of a server's error and drops its SQLSTATE; the text is in the
//! language of the server, and an ordinary login may not choose another one. So the code is put before the text on its way in.
//!
//! Knows of PostgreSQL's protocol where a message begins and ends, and the fields of an ErrorResponse. What comes before the session is
//! ready (a refused login) and all else passes as it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// So much is read at a time.
const CHUNK: usize = 16 * 1024;
/// An error that is longer passes as it is.
const LONGEST_ERROR: usize = 64 * 1024;

/// The code in front of an error's text, and the text.
pub(super) fn split(message: &str) -> Option<(&str, &str)> {
    let (code, text) = message.split_at_checked(5)?;
    let is_code = code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    Some((code, text.strip_prefix(' ')?)).filter(|_| is_code)
}

/// What is to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Expects {
    /// One byte: whether the server speaks TLS.
    Answer,
    /// Messages.
    Messages,
    /// What only TLS understands.
    Ciphers,
}

/// A stream from a server.
pub(super) struct Coded<S> {
    inner: S,
    reader: Reader,
    chunk: Box<[u8]>,
}

impl<S> Coded<S> {
    pub(super) fn new(inner: S, expects: Expects) -> Self {
        let reader = Reader { expects, is_ready: false, passing: 0, raw: Vec::new(), out: Vec::new(), given: 0 };
        Self { inner, reader, chunk: vec![0; CHUNK].into_boxed_slice() }
    }
}

struct Reader {
    expects: Expects,
    /// The session has begun.
    is_ready: bool,
    /// So much is left of a message that passes as it is.
    passing: usize,
    /// The begin of a message that is not whole yet.
    raw: Vec<u8>,
    /// What can be given on, and how much of it was.
    out: Vec<u8>,
    given: usize,
}

impl Reader {
    fn feed(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        while self.step() {}
    }

    /// Passes the next part on. `false`: there is none yet.
    fn step(&mut self) -> bool {
        match self.expects {
            Expects::Ciphers => self.pass(self.raw.len()),
            Expects::Answer => {
                let Some(answer) = self.raw.first() else { return false };
                self.expects = if *answer == b'N' { Expects::Messages } else { Expects::Ciphers };
                self.pass(1)
            }
            Expects::Messages if self.passing > 0 => {
                let part = self.passing.min(self.raw.len());
                self.passing -= part;
                self.pass(part)
            }
            Expects::Messages => self.message(),
        }
    }

    fn pass(&mut self, length: usize) -> bool {
        self.out.extend(self.raw.drain(..length));
        length > 0
    }

    fn message(&mut self) -> bool {
        let Some(([kind, length @ ..], _)) = self.raw.split_first_chunk::<5>() else { return false };
        let total = 1 + usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX - 1);
        self.is_ready |= *kind == b'Z';
        if *kind != b'E' || !self.is_ready || total > LONGEST_ERROR {
            self.passing = total;
            return true;
        }
        let Some(whole) = self.raw.get(..total) else { return false };
        let coded = with_code(whole).unwrap_or_else(|| whole.to_vec());
        self.raw.drain(..total);
        self.out.extend(coded);
        true
    }

    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let ready = self.out.get(self.given..).unwrap_or_default();
        let part = ready.len().min(buffer.remaining());
        buffer.put_slice(ready.get(..part).unwrap_or_default());
        self.given += part;
        if self.given >= self.out.len() {
            self.out.clear();
            self.given = 0;
        }
    }
}

/// An ErrorResponse with its code before its text.
fn with_code(message: &[u8]) -> Option<Vec<u8>> {
    let fields: Vec<&[u8]> = message.get(5..)?.split(|byte| *byte == 0).filter(|field| !field.is_empty()).collect();
    let code = fields.iter().find_map(|field| field.strip_prefix(b"C"))?;
    let mut body = Vec::with_capacity(message.len() + code.len() + 1);
    for field in &fields {
        match field.strip_prefix(b"M") {
            Some(text) => body.extend([&b"M"[..], code, b" ", text].concat()),
            None => body.extend_from_slice(field),
        }
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).ok()?;
    Some([&b"E"[..], &length.to_be_bytes(), &body].concat())
}

impl<S: AsyncRead + Unpin> AsyncRead for Coded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { inner, reader, chunk } = &mut *self;
        while reader.out.is_empty() {
            let mut read = ReadBuf::new(chunk);
            match Pin::new(&mut *inner).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if read.filled().is_empty() => {
                    // The end; what is left is no whole message, and the driver's to judge.
                    reader.pass(reader.raw.len());
                    break;
                }
                Poll::Ready(Ok(())) => reader.feed(read.filled()),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        reader.give(buffer);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Coded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Coded<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}

/// Makes TLS streams whose errors bear their codes.
pub(super) struct CodedTls<T>(pub(super) T);

impl<S, T> TlsConnect<S> for CodedTls<T>
where
    T: TlsConnect<S>,
    T::Future: Send + 'static,
{
    type Stream = Coded<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, T::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connecting = self.0.connect(stream);
        Box::pin(async move { Ok(Coded::new(connecting.await?, Expects::Messages)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind][..], &length.to_be_bytes(), body].concat()
    }

    /// What comes out of these bytes, however they are cut.
    async fn read(bytes: &[u8], expects: Expects) -> Vec<u8> {
        let mut results = Vec::new();
        for cut in [1, 2, 7, 4096] {
            let mut parts = tokio_test_stream(bytes, cut);
            let mut out = Vec::new();
            Coded::new(&mut parts, expects).read_to_end(&mut out).await.unwrap();
            results.push(out);
        }
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
        results.remove(0)
    }

    /// Bytes in parts of one length.
    fn tokio_test_stream(bytes: &[u8], cut: usize) -> impl AsyncRead + Unpin {
        struct Parts(Vec<Vec<u8>>);
        impl AsyncRead for Parts {
            fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                if let Some(part) = self.0.pop() {
                    buffer.put_slice(&part);
                }
                Poll::Ready(Ok(()))
            }
        }
        Parts(bytes.chunks(cut).rev().map(<[u8]>::to_vec).collect())
    }

    #[tokio::test]
    async fn an_error_bears_its_code_and_all_else_passes() {
        let error = message(b'E', b"SFEHLER\0VERROR\0C55P03\0MStorniere Anfrage\0Fx.c\0\0");
        let coded = message(b'E', b"SFEHLER\0VERROR\0C55P03\0M55P03 Storniere Anfrage\0Fx.c\0\0");
        let (ready, row) = (message(b'Z', b"I"), message(b'D', &[b'E'; 40_000]));
        let sent = [&error[..], &ready, &row, &error, &ready].concat();
        let wanted = [&error[..], &ready, &row, &coded, &ready].concat();
        assert_eq!(read(&sent, Expects::Messages).await, wanted);
        let refused = [&b"N"[..], &sent].concat();
        assert_eq!(read(&refused, Expects::Answer).await, [&b"N"[..], &wanted].concat());
        let secret = [&b"S"[..], &sent].concat();
        assert_eq!(read(&secret, Expects::Answer).await, secret, "TLS is not looked into");
    }

    #[test]
    fn a_code_is_told_from_a_text() {
        assert_eq!(split("55P03 Storniere"), Some(("55P03", "Storniere")));
        for text in ["connection closed", "55P03", "55p03 x", "55P03x", "é", ""] {
            assert_eq!(split(text), None, "{text}");
        }
    }
}
