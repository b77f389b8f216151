//! Reads the status from the body of a gRPC-Web response.
//!
//! Browsers do not give scripts access to HTTP trailers, so gRPC-Web sends the trailers
//! as the last frame of the body ([the protocol][protocol]):
//!
//! ```text
//! +-------+-------------+---------+-------+-------------+---------------------+
//! | 0x00  | length, u32 | message | 0x80  | length, u32 | grpc-status:0\r\n … |
//! +-------+-------------+---------+-------+-------------+---------------------+
//!   flags                           flags
//! ```
//!
//! `application/grpc-web-text` is the same body in base64. It is a sequence of base64
//! strings, each with its own padding.
//!
//! The reader does not change the body. It buffers only the head of a frame and the start
//! of one line.
//!
//! [protocol]: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md

use std::io::IoSlice;

use http::HeaderMap;
use hyper::body::Buf;

use super::{UNKNOWN, grpc_subtype, parse_code, strip_prefix_of_any_case};

/// The flag of a frame that contains trailers instead of a message.
const TRAILERS: u8 = 0x80;
/// The flag of a frame whose payload is compressed.
const COMPRESSED: u8 = 0x01;
/// The maximum number of slices of one buffer that the reader reads.
const MAX_SLICES: usize = 16;

/// An incremental reader of a response's body.
#[derive(Debug)]
pub(super) struct WebTrailers {
    base64: Option<Base64>,
    part: FramePart,
}

/// The part of a frame to which the next byte belongs.
#[derive(Debug)]
enum FramePart {
    Head {
        bytes: [u8; 5],
        read: usize,
    },
    Message {
        left: u32,
    },
    Trailers {
        left: u32,
        is_compressed: bool,
        line: Line,
        code: Option<u8>,
    },
    /// After the trailers, or after bytes that are not valid gRPC-Web.
    Over,
}

impl FramePart {
    const START: Self = Self::Head {
        bytes: [0; 5],
        read: 0,
    };
}

impl WebTrailers {
    /// Creates a reader, if the headers are those of a gRPC-Web response.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let encoding = strip_prefix_of_any_case(grpc_subtype(headers)?, "-web")?;
        let is_text = strip_prefix_of_any_case(encoding, "-text").is_some();
        Some(Self {
            base64: is_text.then(Base64::default),
            part: FramePart::START,
        })
    }

    /// Reads a frame of the body. Returns the status once the trailers are complete.
    pub(super) fn read(&mut self, data: &impl Buf) -> Option<u8> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = data.chunks_vectored(&mut slices);
        let slices = &slices[..count];
        if slices.iter().map(|slice| slice.len()).sum::<usize>() != data.remaining() {
            // `Buf` gives access to the rest only after `advance`, which consumes the
            // data.
            self.part = FramePart::Over;
        }
        slices.iter().find_map(|slice| self.read_slice(slice))
    }

    fn read_slice(&mut self, slice: &[u8]) -> Option<u8> {
        if self.base64.is_none() || matches!(self.part, FramePart::Over) {
            return self.read_frames(slice);
        }
        // 64 characters decode to 48 bytes. The bits that earlier characters left over can
        // add one byte.
        let mut decoded = [0; 49];
        for text in slice.chunks(64) {
            let mut length = 0;
            for &character in text {
                match self.base64.as_mut()?.next(character) {
                    Ok(Some(byte)) => {
                        decoded[length] = byte;
                        length += 1;
                    }
                    Ok(None) => {}
                    Err(NotBase64) => {
                        self.part = FramePart::Over;
                        return None;
                    }
                }
            }
            let code = self.read_frames(&decoded[..length]);
            if code.is_some() {
                return code;
            }
        }
        None
    }

    fn read_frames(&mut self, mut bytes: &[u8]) -> Option<u8> {
        loop {
            match &mut self.part {
                FramePart::Head { bytes: head, read } => {
                    let taken = take(&mut bytes, head.len() - *read);
                    head[*read..*read + taken.len()].copy_from_slice(taken);
                    *read += taken.len();
                    if *read < head.len() {
                        return None;
                    }
                    let [flags, length @ ..] = *head;
                    let left = u32::from_be_bytes(length);
                    self.part = if flags & TRAILERS == 0 {
                        FramePart::Message { left }
                    } else {
                        FramePart::Trailers {
                            left,
                            is_compressed: flags & COMPRESSED != 0,
                            line: Line::default(),
                            code: None,
                        }
                    };
                }
                FramePart::Message { left } => {
                    *left -= take_u32(&mut bytes, *left).1;
                    if *left > 0 {
                        return None;
                    }
                    self.part = FramePart::START;
                }
                FramePart::Trailers {
                    left,
                    is_compressed,
                    line,
                    code,
                } => {
                    let (taken, length) = take_u32(&mut bytes, *left);
                    *left -= length;
                    if !*is_compressed {
                        for &byte in taken {
                            *code = line.next(byte).or(*code);
                        }
                    }
                    if *left > 0 {
                        return None;
                    }
                    // The last line may lack its line break.
                    let code = line.next(b'\n').or(*code);
                    self.part = FramePart::Over;
                    return Some(code.unwrap_or(UNKNOWN));
                }
                FramePart::Over => return None,
            }
        }
    }
}

/// Splits off up to `length` bytes.
fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length.min(bytes.len()));
    *bytes = rest;
    taken
}

fn take_u32<'a>(bytes: &mut &'a [u8], length: u32) -> (&'a [u8], u32) {
    let taken = take(bytes, usize::try_from(length).unwrap_or(usize::MAX));
    // `taken` is at most `length` bytes long, so its length fits into a `u32`.
    (taken, u32::try_from(taken.len()).unwrap_or(length))
}

/// The start of the current line of the trailers: enough bytes for `grpc-status: 16`.
#[derive(Debug, Default)]
struct Line {
    start: [u8; 32],
    length: usize,
}

impl Line {
    /// Adds a byte. Returns the status at the end of the line that contains it.
    fn next(&mut self, byte: u8) -> Option<u8> {
        if byte != b'\n' {
            if let Some(place) = self.start.get_mut(self.length) {
                *place = byte;
                self.length += 1;
            }
            return None;
        }
        let length = std::mem::take(&mut self.length);
        let line = str::from_utf8(&self.start[..length]).ok()?;
        let (name, value) = line.split_once(':')?;
        let is_status = name.trim().eq_ignore_ascii_case("grpc-status");
        is_status.then(|| parse_code(value.trim()))
    }
}

/// An incremental base64 decoder.
#[derive(Debug, Default)]
struct Base64 {
    bits: u32,
    count: u32,
}

#[derive(Debug)]
struct NotBase64;

impl Base64 {
    fn next(&mut self, character: u8) -> Result<Option<u8>, NotBase64> {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            // Padding ends a base64 string. The remaining bits are not part of a byte.
            b'=' => {
                *self = Self::default();
                return Ok(None);
            }
            _ => return Err(NotBase64),
        };
        self.bits = self.bits << 6 | u32::from(value);
        self.count += 6;
        if self.count < 8 {
            return Ok(None);
        }
        self.count -= 8;
        Ok(Some((self.bits >> self.count & 0xFF) as u8))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn reader(content_type: &'static str) -> Option<WebTrailers> {
        let mut headers = HeaderMap::new();
        let value = http::HeaderValue::from_static(content_type);
        headers.insert(http::header::CONTENT_TYPE, value);
        WebTrailers::of(&headers)
    }

    fn frame(flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("a short one");
        [&[flags], &length.to_be_bytes()[..], payload].concat()
    }

    /// A message with every byte value, an empty message, and the trailers.
    fn body(flags: u8, trailers: &str) -> Vec<u8> {
        let message: Vec<u8> = (0..=255).collect();
        [
            frame(0, &message),
            frame(1, b""),
            frame(flags, trailers.as_bytes()),
        ]
        .concat()
    }

    fn read(content_type: &'static str, pieces: &[&[u8]]) -> Option<u8> {
        let mut reader = reader(content_type).expect("gRPC-Web");
        pieces.iter().fold(None, |found, piece| {
            let code = reader.read(piece);
            assert!(found.is_none() || code.is_none(), "told twice");
            found.or(code)
        })
    }

    fn encoded(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        bytes
            .chunks(3)
            .flat_map(|three| {
                let number = |place: usize| u32::from(*three.get(place).unwrap_or(&0));
                let bits = number(0) << 16 | number(1) << 8 | number(2);
                (0..4).map(move |place| match place <= three.len() {
                    true => char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]),
                    false => '=',
                })
            })
            .collect()
    }

    #[test]
    fn only_grpc_web_is_read() {
        for (content_type, is_text) in [
            ("application/grpc-web", Some(false)),
            ("application/grpc-web+proto", Some(false)),
            ("application/grpc-web; charset=x", Some(false)),
            ("application/GRPC-Web+json", Some(false)),
            ("application/grpc-web-text", Some(true)),
            ("application/grpc-web-text+proto", Some(true)),
            ("application/grpc", None),
            ("application/grpc+proto", None),
            ("text/plain", None),
        ] {
            let reader = reader(content_type);
            let found = reader.map(|reader| reader.base64.is_some());
            assert_eq!(found, is_text, "{content_type}");
        }
    }

    #[test]
    fn a_status_is_found_however_the_body_is_cut() {
        for (trailers, code) in [
            ("grpc-status:0\r\n", 0),
            ("grpc-status: 5\r\ngrpc-message:no\r\n", 5),
            (
                "x-long: 0123456789012345678901234567890123456789\r\nGRPC-Status:16",
                16,
            ),
            ("grpc-message:grpc-status:3\r\ngrpc-status:7\r\n", 7),
            ("grpc-status:x\r\n", UNKNOWN),
            ("x:y\r\n", UNKNOWN),
            ("", UNKNOWN),
        ] {
            let body = body(TRAILERS, trailers);
            let one_by_one: Vec<&[u8]> = body.chunks(1).collect();
            assert_eq!(read("application/grpc-web", &one_by_one), Some(code));
            for cut in 0..=body.len() {
                let (one, two) = body.split_at(cut);
                let found = read("application/grpc-web", &[one, two]);
                assert_eq!(found, Some(code), "{trailers:?} at {cut}");

                // Each piece has its own padding, and the text is cut anywhere.
                let text = encoded(one) + &encoded(two);
                let found = read("application/grpc-web-text", &[text.as_bytes()]);
                assert_eq!(found, Some(code), "{trailers:?} as text at {cut}");
                let (one, two) = text.as_bytes().split_at(cut);
                let found = read("application/grpc-web-text", &[one, two]);
                assert_eq!(found, Some(code), "{trailers:?} as text, cut at {cut}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_has_no_status() {
        let compressed = body(TRAILERS | COMPRESSED, "grpc-status:0\r\n");
        let found = read("application/grpc-web", &[&compressed]);
        assert_eq!(found, Some(UNKNOWN), "compressed trailers");

        let whole = body(TRAILERS, "grpc-status:0\r\n");
        let cut_off = &whole[..whole.len() - 1];
        assert_eq!(read("application/grpc-web", &[cut_off]), None, "cut off");
        let text = encoded(&whole);
        let found = read("application/grpc-web-text", &[b"!", text.as_bytes()]);
        assert_eq!(found, None, "not base64");
    }

    #[test]
    fn what_follows_the_trailers_is_not_read() {
        let body = body(TRAILERS, "grpc-status:0\r\n");
        let found = read("application/grpc-web", &[&body, &body]);
        assert_eq!(found, Some(0));
    }

    #[test]
    fn a_buffer_may_have_two_pieces() {
        let body = body(TRAILERS, "grpc-status:9\r\n");
        let (one, two) = body.split_at(body.len() - 4);
        let mut reader = reader("application/grpc-web").expect("gRPC-Web");
        assert_eq!(reader.read(&one.chain(two)), Some(9));
    }

    #[test]
    fn a_buffer_that_hides_its_rest_is_not_guessed_at() {
        /// A buffer that shows its first byte only, as `Buf` allows.
        struct Hiding(VecDeque<u8>);

        impl Buf for Hiding {
            fn remaining(&self) -> usize {
                self.0.len()
            }

            fn chunk(&self) -> &[u8] {
                &self.0.as_slices().0[..1]
            }

            fn advance(&mut self, _count: usize) {
                unreachable!("it is only looked at")
            }
        }

        let body = body(TRAILERS, "grpc-status:0\r\n");
        let mut reader = reader("application/grpc-web").expect("gRPC-Web");
        assert_eq!(reader.read(&Hiding(body.clone().into())), None);
        assert_eq!(reader.read(&body.as_slice()), None);
    }
}
