//! The encoding of the page in a response: in pieces, with or without gzip compression.

use std::convert::Infallible;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;
use hyper::body::{Body, Buf, Bytes, Frame, SizeHint};

use crate::page::encoder::{PIECE, Sink, empty_piece};

/// The value of the header `Vary`: the request headers that a page depends on.
pub(crate) const VARIES_BY: &str = "accept, accept-encoding";

/// The encodings of a page that are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) plain: bool,
    pub(crate) gzip: bool,
}

impl Wanted {
    /// Adds the encoding of a response to one more request.
    pub(crate) fn add(&mut self, accepts_gzip: bool) {
        if accepts_gzip {
            self.gzip = true;
        } else {
            self.plain = true;
        }
    }
}

/// A rendered page, in the encodings that its requests accept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Encodings {
    pub(crate) plain: Pieces,
    pub(crate) gzip: Pieces,
}

impl Encodings {
    /// Renders a page with `write`. The page is compressed piece by piece: if all clients
    /// accept gzip, the whole page is never in memory uncompressed.
    pub(crate) fn new(wanted: Wanted, write: impl FnOnce(&mut dyn Sink)) -> Self {
        let mut encoders = Encoders {
            plain: wanted.plain.then(Vec::new),
            gzip: wanted
                .gzip
                .then(|| GzEncoder::new(Collected::default(), Compression::fast())),
        };
        write(&mut encoders);
        let gzip = encoders.gzip.map(|gzip| {
            // Collecting pieces does not fail.
            let collected = gzip.finish().unwrap_or_default();
            collected.finish()
        });
        Self {
            plain: encoders.plain.unwrap_or_default().into(),
            gzip: gzip.unwrap_or_default(),
        }
    }

    /// Returns the body of a response.
    pub(crate) fn body(&self, accepts_gzip: bool) -> &Pieces {
        if accepts_gzip {
            &self.gzip
        } else {
            &self.plain
        }
    }

    /// Returns the size of both encodings together, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.plain.size() + self.gzip.size()
    }
}

struct Encoders {
    plain: Option<Vec<Bytes>>,
    gzip: Option<GzEncoder<Collected>>,
}

impl Sink for Encoders {
    fn take(&mut self, piece: &mut Vec<u8>) {
        if piece.is_empty() {
            return;
        }
        if let Some(gzip) = &mut self.gzip {
            // Collecting pieces does not fail.
            let _ = gzip.write_all(piece);
        }
        let Some(plain) = &mut self.plain else {
            piece.clear();
            return;
        };
        if piece.len() < PIECE {
            // The last piece of the page, or the last one before a large protobuf family.
            piece.shrink_to_fit();
        }
        plain.push(std::mem::replace(piece, empty_piece()).into());
    }
}

/// Collects the output of the compression in pieces.
#[derive(Debug, Default)]
struct Collected {
    pieces: Vec<Bytes>,
    last: Vec<u8>,
}

impl Collected {
    fn finish(mut self) -> Pieces {
        // The output ends with gzip's trailer, so this piece is not empty.
        self.last.shrink_to_fit();
        self.pieces.push(self.last.into());
        self.pieces.into()
    }
}

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.last.extend_from_slice(bytes);
        if self.last.len() >= PIECE {
            let piece = std::mem::replace(&mut self.last, empty_piece());
            self.pieces.push(piece.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A page in one encoding, as the body of a response. Responses that share the page share
/// its memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces {
    pieces: Arc<[Bytes]>,
    /// The number of pieces that have been sent.
    sent: usize,
}

impl From<Vec<Bytes>> for Pieces {
    fn from(pieces: Vec<Bytes>) -> Self {
        Self {
            pieces: pieces.into(),
            sent: 0,
        }
    }
}

impl Pieces {
    /// Returns the number of bytes that have not been sent.
    pub(crate) fn size(&self) -> usize {
        self.pieces[self.sent..].iter().map(Bytes::len).sum()
    }

    #[cfg(all(test, any(feature = "axum", feature = "actix-web")))]
    pub(crate) fn first(&self) -> Option<&[u8]> {
        self.pieces.first().map(|piece| &**piece)
    }

    /// Returns the next piece.
    fn next(&mut self) -> Option<Bytes> {
        let next = self.pieces.get(self.sent)?.clone();
        self.sent += 1;
        Some(next)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.get_mut().next().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent == self.pieces.len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.size() as u64)
    }
}

/// A page as a body of one frame, for the exporter's own server.
///
/// hyper flushes the connection between the frames of a large body. With a single frame, a
/// completed flush means that the whole response was written; `exporter/connections.rs`
/// relies on that.
#[derive(Debug)]
pub(crate) struct Whole(Option<Rest>);

impl From<Pieces> for Whole {
    fn from(pieces: Pieces) -> Self {
        Self(Some(Rest {
            left: pieces.size(),
            sent: 0,
            pieces,
        }))
    }
}

/// The bytes of a page that have not been written.
#[derive(Debug)]
pub(crate) struct Rest {
    pieces: Pieces,
    /// The number of bytes of the first remaining piece that have been written.
    sent: usize,
    /// The number of remaining bytes.
    left: usize,
}

impl Buf for Rest {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        let first = self.pieces.pieces.get(self.pieces.sent);
        first.map(|piece| &piece[self.sent..]).unwrap_or_default()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut sent = self.sent;
        let mut filled = 0;
        for (slice, piece) in slices
            .iter_mut()
            .zip(&self.pieces.pieces[self.pieces.sent..])
        {
            *slice = IoSlice::new(&piece[std::mem::take(&mut sent)..]);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, bytes: usize) {
        self.left -= bytes;
        self.sent += bytes;
        while let Some(piece) = self.pieces.pieces.get(self.pieces.sent)
            && self.sent >= piece.len()
        {
            self.sent -= piece.len();
            self.pieces.sent += 1;
        }
    }
}

impl Body for Whole {
    type Data = Rest;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Rest>, Infallible>>> {
        Poll::Ready(self.get_mut().0.take().map(|rest| Ok(Frame::data(rest))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |rest| rest.left) as u64)
    }
}

#[cfg(feature = "actix-web")]
impl actix_web::body::MessageBody for Pieces {
    type Error = Infallible;

    fn size(&self) -> actix_web::body::BodySize {
        actix_web::body::BodySize::Sized(Self::size(self) as u64)
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(self.get_mut().next().map(Ok))
    }
}

/// Returns whether the request accepts gzip, by [RFC 9110, section 12.5.3]: `*` counts
/// only if `gzip` is not listed, and a weight of 0 refuses a coding.
///
/// [RFC 9110, section 12.5.3]: https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut by_name = None;
    let mut by_star = None;
    for part in headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let (coding, parameters) = part.split_once(';').unwrap_or((part, ""));
        let weight = parameters
            .split(';')
            .filter_map(|parameter| parameter.split_once('='))
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .find_map(|(_, weight)| weight.trim().parse::<f32>().ok())
            .unwrap_or(1.0);
        match coding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => by_name = Some(weight > 0.0),
            "*" => by_star = Some(weight > 0.0),
            _ => {}
        }
    }
    by_name.or(by_star).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_sent_when_it_is_asked_for() {
        for (header, gzip) in [
            ("gzip", true),
            ("gzip, deflate, br", true),
            ("GZIP;q=0.5", true),
            ("deflate", false),
            ("", false),
            ("gzip;q=0", false),
            ("gzip; q=0.0, *", false),
            ("gzip;Q=0", false),
            ("gzip; q =0", false),
            ("*", true),
            ("*;q=0", false),
            ("identity, *;q=0.1", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(header));
            assert_eq!(accepts_gzip(&headers), gzip, "{header:?}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
