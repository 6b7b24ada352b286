//! Several ranges in one answer: `multipart/byteranges` (RFC 9110, 14.6; RFC 2046, 5.1).
//!
//! Each part is a delimiter, two fields and the bytes; the last delimiter ends the body. All of it is
//! known before the first byte leaves, so the length is told. Whoever sends walks:
//!
//! ```text
//! while let Some(file) = parts.walk(out) { send out, then the file part }
//! send out
//! ```
//!
//! The boundary must stand nowhere in the content (RFC 2046, 5.1.1). Nobody reads the content to make
//! sure; it is drawn at random, once an answer, so no file can be made to have it in it.

use super::Ranges;
use crate::{
    entity::{Body, Entity, FilePart},
    out::Out,
    response,
};
use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

/// Bytes of a boundary.
const BOUNDARY_BYTES: usize = 32;

/// What parts the parts: hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Boundary([u8; BOUNDARY_BYTES]);

impl Boundary {
    /// Draws one. The keys of a hash are the randomness that the standard library has; they are the
    /// process's secret, and differ from call to call.
    pub(crate) fn draw() -> Self {
        let half = || RandomState::new().hash_one(0u8);
        Self::of(half(), half())
    }

    /// The one of these numbers.
    pub(crate) fn of(high: u64, low: u64) -> Self {
        let mut digits = [0; BOUNDARY_BYTES];
        for (at, digit) in digits.iter_mut().enumerate() {
            let half = if at < 16 { high } else { low };
            *digit = b"0123456789abcdef"[(half >> (60 - 4 * (at % 16)) & 15) as usize];
        }
        Self(digits)
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.0
    }
}

/// The body of an answer with several ranges, on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    entity: Arc<Entity>,
    ranges: Box<Ranges>,
    boundary: Boundary,
    /// How many were walked past; one more once the end was written.
    walked: usize,
}

impl Parts {
    pub(crate) fn new(entity: &Arc<Entity>, ranges: Box<Ranges>, boundary: Boundary) -> Self {
        Self { entity: Arc::clone(entity), ranges, boundary, walked: 0 }
    }

    /// Bytes of the body, from the first delimiter to the end.
    pub(crate) fn len(&self) -> u64 {
        let end = b"\r\n--".len() + BOUNDARY_BYTES + b"--\r\n".len();
        let parts = self.ranges.as_slice().iter().enumerate();
        parts.fold(end as u64, |sum, (index, &(first, last))| {
            let mut head = 0;
            self.head(index, |bytes| head += bytes.len() as u64);
            // What does not fit was larger than any content, and is not sent.
            sum.saturating_add(head).saturating_add(last - first).saturating_add(1)
        })
    }

    /// Writes what leaves next: heads, and content that lies in memory. What is returned of a file
    /// follows that; `None` once all was written.
    pub(crate) fn walk(&mut self, out: &mut Out) -> Option<FilePart> {
        while let Some(&(first, last)) = self.ranges.as_slice().get(self.walked) {
            self.head(self.walked, |bytes| out.put(bytes));
            self.walked += 1;
            if let Body::Bytes(bytes) = self.entity.body() {
                out.put(&bytes[first as usize..=last as usize]);
            } else {
                return FilePart::new(&self.entity, first, last - first + 1);
            }
        }
        if self.walked == self.ranges.as_slice().len() {
            self.walked += 1;
            out.put_all(&[b"\r\n--", self.boundary.text(), b"--\r\n"]);
        }
        None
    }

    /// The fields that tell what follows: type and length.
    pub(crate) fn put_fields(&self, out: &mut Out) {
        out.put(b"Content-Type: multipart/byteranges; boundary=");
        out.put_all(&[self.boundary.text(), b"\r\nContent-Length: "]);
        response::number(out, self.len());
        out.put(b"\r\n");
    }

    /// Delimiter and fields of a part.
    fn head(&self, index: usize, mut put: impl FnMut(&[u8])) {
        let Some(&(first, last)) = self.ranges.as_slice().get(index) else { return };
        // What stands before the first delimiter is a preamble: there is none.
        put(if index == 0 { b"--" } else { b"\r\n--" });
        put(self.boundary.text());
        put(b"\r\nContent-Type: ");
        put(self.entity.media_type());
        put(b"\r\nContent-Range: bytes ");
        response::digits(first, &mut put);
        put(b"-");
        response::digits(last, &mut put);
        put(b"/");
        response::digits(self.entity.len(), &mut put);
        put(b"\r\n\r\n");
    }
}

#[cfg(test)]
mod tests;
