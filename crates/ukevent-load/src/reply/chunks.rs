//! Finds the end of a body in chunks (RFC 9112, 7.1).
//!
//! Every line ends with CR LF. Spaces may stand between a size and what follows it, as old servers fill sizes up
//! (7.1.1). Extensions are passed over, and trailers, which must be fields that are not folded.

use crate::{Class, syntax::is_token};

/// The longest line of a chunk's size, with extensions, in bytes.
const SIZE_LINE_BYTES: u32 = 4 * 1024;

/// The longest trailers, in bytes.
const TRAILERS_BYTES: u32 = 64 * 1024;

/// A body in chunks on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunks {
    part: Part,
    /// So many bytes that are no content may come.
    room: u32,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A digit of a chunk's size, or what ends it.
    Size {
        value: u64,
        digits: u8,
    },
    /// Spaces behind a size.
    Space {
        value: u64,
    },
    /// The rest of the line, up to CR.
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
    TrailerName,
    /// The rest of a trailer, up to CR.
    TrailerValue,
    TrailerLf,
    LastLf,
    End,
}

impl Chunks {
    pub(super) const fn new() -> Self {
        Self { part: Part::Size { value: 0, digits: 0 }, room: SIZE_LINE_BYTES }
    }

    /// Takes what belongs to the body: how many bytes, and whether it ended with them.
    pub(super) fn take(&mut self, input: &[u8]) -> Result<(usize, bool), Class> {
        let mut taken = 0;
        while self.part != Part::End {
            let Some(&byte) = input.get(taken) else { return Ok((taken, false)) };
            // Content is skipped at once, the rest is looked at byte by byte.
            if let Part::Data(left) = self.part {
                let step = left.min((input.len() - taken) as u64);
                self.part = if step == left { Part::DataCr } else { Part::Data(left - step) };
                taken += step as usize;
                continue;
            }
            let next = after(self.part, byte).ok_or(Class::Garbage)?;
            self.room = match (self.part, next) {
                (_, Part::Data(_)) => SIZE_LINE_BYTES,
                (Part::SizeLf { .. }, Part::Trailers) => TRAILERS_BYTES,
                _ => self.room.checked_sub(1).ok_or(Class::Garbage)?,
            };
            self.part = next;
            taken += 1;
        }
        Ok((taken, true))
    }
}

/// What follows this byte; `None` if it may not stand here.
fn after(part: Part, byte: u8) -> Option<Part> {
    let is_text = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    Some(match (part, byte) {
        (
            Part::Size { value, digits: 1.. } | Part::Space { value } | Part::Extension { value },
            b'\r',
        ) => Part::SizeLf { value },
        (Part::Size { value, digits: 1.. } | Part::Space { value }, b';') => {
            Part::Extension { value }
        }
        (Part::Size { value, digits: 1.. } | Part::Space { value }, b' ' | b'\t') => {
            Part::Space { value }
        }
        // Sixteen digits fill 64 bits.
        (Part::Size { value, digits: digits @ ..16 }, _) => {
            let digit = char::from(byte).to_digit(16)?;
            Part::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
        }
        (Part::Extension { value }, _) if is_text => Part::Extension { value },
        (Part::SizeLf { value: 0 }, b'\n') => Part::Trailers,
        (Part::SizeLf { value }, b'\n') => Part::Data(value),
        (Part::DataCr, b'\r') => Part::DataLf,
        (Part::DataLf, b'\n') => Part::Size { value: 0, digits: 0 },
        (Part::Trailers, b'\r') => Part::LastLf,
        (Part::Trailers | Part::TrailerName, _) if is_token(byte) => Part::TrailerName,
        (Part::TrailerName, b':') => Part::TrailerValue,
        (Part::TrailerValue, _) if is_text => Part::TrailerValue,
        (Part::TrailerValue, b'\r') => Part::TrailerLf,
        (Part::TrailerLf, b'\n') => Part::Trailers,
        (Part::LastLf, b'\n') => Part::End,
        _ => return None,
    })
}
