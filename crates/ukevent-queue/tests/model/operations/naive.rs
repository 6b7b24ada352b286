//! What is known of streams and operations without asking the queue.

use super::Task;
use std::collections::BTreeSet;

/// The bytes that the peer of a stream writes, by place; nothing in them repeats.
pub(super) fn byte(of: u64, at: usize) -> u8 {
    let mut bits = (of << 32 | at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits ^= bits >> 29;
    (bits.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56) as u8
}

/// What the program receives of a stream.
pub(super) struct Receipt {
    stream: u64,
    /// Bytes that the peer wrote.
    pub(super) written: usize,
    /// Bytes that came.
    pub(super) came: usize,
    /// Bytes that may have been received for operations that were removed.
    pub(super) may_be_lost: usize,
    /// Where the next byte may stand.
    places: BTreeSet<usize>,
}

impl Receipt {
    pub(super) fn new(stream: u64) -> Self {
        let places = BTreeSet::from([0]);
        Self { stream, written: 0, came: 0, may_be_lost: 0, places }
    }

    /// The next bytes that the peer writes.
    pub(super) fn next_bytes(&self, count: usize) -> Vec<u8> {
        (self.written..self.written + count).map(|at| byte(self.stream, at)).collect()
    }

    /// Bytes came. They are what comes next; removed operations may have taken some before.
    pub(super) fn comes(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut next = BTreeSet::new();
        let last = self.came + self.may_be_lost;
        for &place in &self.places {
            for start in place..=last.max(place) {
                let end = start + bytes.len();
                let is_it = end <= self.written
                    && bytes.iter().zip(start..end).all(|(&is, at)| is == byte(self.stream, at));
                if is_it {
                    next.insert(end);
                }
            }
        }
        self.came += bytes.len();
        if next.is_empty() {
            let at = &self.places;
            return Err(format!("{} bytes came that are not those after {at:?}", bytes.len()));
        }
        self.places = next;
        Ok(())
    }

    /// The kernel has so many bytes left: all others must have come.
    pub(super) fn ends(&self, left: usize) -> Result<(), String> {
        let taken = self.written - left;
        if (self.came..=self.came + self.may_be_lost).contains(&taken) {
            Ok(())
        } else {
            Err(format!("{taken} bytes were taken from the kernel, {} came", self.came))
        }
    }
}

/// What an operation sent, as far as its event says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sent {
    /// So much of it.
    Exactly(usize),
    /// It was cancelled, removed, or is not done.
    Perhaps,
}

/// Whether these bytes are what such operations (number, length) send, one after the other. `broken`:
/// some at the end may have been lost.
pub(super) fn is_sent(bytes: &[u8], sends: &[(u64, usize, Sent)], broken: bool) -> bool {
    let mut places = BTreeSet::from([0]);
    for &(id, len, sent) in sends {
        let mut next = BTreeSet::new();
        for &place in &places {
            let rest = &bytes[place..];
            let same = rest.iter().zip(0..len).take_while(|&(&is, at)| is == byte(id, at)).count();
            match sent {
                Sent::Perhaps => next.extend(place..=place + same),
                Sent::Exactly(count) if same >= count => _ = next.insert(place + count),
                // Lost on the way, and all that came after it.
                Sent::Exactly(_) if broken && same == rest.len() => return true,
                Sent::Exactly(_) => {}
            }
        }
        places = next;
    }
    places.contains(&bytes.len())
}

impl Task {
    /// Whether it has its turn among what a stream sends.
    pub(super) const fn is_in_line(self) -> bool {
        self.outgoing().is_some() || matches!(self, Self::Shutdown(_) | Self::Close)
    }

    pub(super) const fn is_receiver(self) -> bool {
        matches!(self, Self::Receive { .. } | Self::ReceivePooled | Self::ReceiveEach)
    }

    /// Bytes that it sends.
    pub(super) const fn outgoing(self) -> Option<usize> {
        match self {
            Self::Send(bytes) | Self::SendShare(bytes) | Self::SendPieces(bytes, _) => Some(bytes),
            _ => None,
        }
    }
}
