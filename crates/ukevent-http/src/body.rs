//! Finds the end of a request's body, and throws the body away.
//!
//! A file server has no use for what a client sends after a head, but must know where it ends, or
//! the next request is read from the middle of it. RFC 9112, 6 and 7.1. The chunked reader is
//! strict (CR LF everywhere, digits only, no space around a size, where 7.1.1 would have one before a
//! semicolon tolerated, and trailers that are fields, not folded) and bounded: chunk headers and trailers
//! count as body.

use crate::{request::Framing, status::Status};

/// A body on its way in.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    /// Bytes on the wire that the bound still allows.
    allowed: u64,
    part: Part,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// So many bytes, and then the end.
    Content(u64),
    /// A digit of a chunk's size, or what ends it.
    Size {
        value: u64,
        digits: u8,
    },
    /// The rest of a chunk's header, up to CR.
    Extension {
        value: u64,
    },
    SizeLf {
        value: u64,
    },
    /// So many bytes, and then the end of the chunk.
    Data(u64),
    DataCr,
    DataLf,
    /// The first byte of a trailer, or of the empty line after the last.
    Trailers,
    /// The rest of its name, and the colon.
    TrailerName,
    /// The rest of a trailer, up to CR.
    Trailer,
    TrailerLf,
    LastLf,
    /// All of it was read.
    End,
}

/// How far the input went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All of the input was body, and more is to come.
    More,
    /// The body ended after this many bytes of the input.
    Ended(usize),
    /// Malformed or too large. Answer so, and close.
    Refused(Status),
}

impl Body {
    /// The body of this framing, of `allowed` bytes at most; `None` if there is none.
    pub(crate) fn new(framing: Framing, allowed: u64) -> Result<Option<Self>, Status> {
        let part = match framing {
            Framing::Nothing => return Ok(None),
            Framing::Length(bytes) if bytes > allowed => return Err(Status::ContentTooLarge),
            Framing::Length(bytes) => Part::Content(bytes),
            Framing::Chunked => Part::Size { value: 0, digits: 0 },
        };
        Ok(Some(Self { allowed, part }))
    }

    /// Takes the next bytes of the connection.
    pub(crate) fn take(&mut self, input: &[u8]) -> Progress {
        let mut taken = 0;
        while self.part != Part::End {
            let Some(&byte) = input.get(taken) else { return Progress::More };
            // Content is skipped at once; the rest is looked at byte by byte.
            let (step, next) = match self.part {
                Part::Content(left) => {
                    let step = left.min((input.len() - taken) as u64);
                    (step, if step == left { Part::End } else { Part::Content(left - step) })
                }
                Part::Data(left) => {
                    let step = left.min((input.len() - taken) as u64);
                    (step, if step == left { Part::DataCr } else { Part::Data(left - step) })
                }
                part => match after(part, byte) {
                    Some(next) => (1, next),
                    None => return Progress::Refused(Status::BadRequest),
                },
            };
            // A chunk that is announced too large is refused before it is sent.
            let announced = if let Part::Data(bytes) = next { bytes } else { 0 };
            if step.saturating_add(announced) > self.allowed {
                return Progress::Refused(Status::ContentTooLarge);
            }
            self.allowed -= step;
            self.part = next;
            taken += step as usize;
        }
        Progress::Ended(taken)
    }
}

/// What follows this byte; `None` if it may not stand here.
fn after(part: Part, byte: u8) -> Option<Part> {
    let is_text = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    Some(match (part, byte) {
        (Part::Size { value, digits: 1.. } | Part::Extension { value }, b'\r') => {
            Part::SizeLf { value }
        }
        (Part::Size { value, digits: 1.. }, b';') => Part::Extension { value },
        (Part::Extension { value }, _) if is_text => Part::Extension { value },
        // Sixteen digits fill 64 bits.
        (Part::Size { value, digits: digits @ ..16 }, _) => {
            let digit = char::from(byte).to_digit(16)?;
            Part::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
        }
        (Part::SizeLf { value: 0 }, b'\n') => Part::Trailers,
        (Part::SizeLf { value }, b'\n') => Part::Data(value),
        (Part::DataCr, b'\r') => Part::DataLf,
        (Part::DataLf, b'\n') => Part::Size { value: 0, digits: 0 },
        (Part::Trailers, b'\r') => Part::LastLf,
        (Part::Trailers | Part::TrailerName, _) if is_token(byte) => Part::TrailerName,
        (Part::TrailerName, b':') => Part::Trailer,
        (Part::Trailer, _) if is_text => Part::Trailer,
        (Part::Trailer, b'\r') => Part::TrailerLf,
        (Part::TrailerLf, b'\n') => Part::Trailers,
        (Part::LastLf, b'\n') => Part::End,
        _ => return None,
    })
}

/// `tchar` (RFC 9110, 5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.')
        || matches!(byte, b'^' | b'_' | b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests;
