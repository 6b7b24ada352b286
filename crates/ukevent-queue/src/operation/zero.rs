//! Sending without a copy, where it pays.

use super::{Operation, Request};

/// Bytes below which a send is copied whatever it asks for. Pinning the pages, and the second completion
/// that says when the kernel has let go of them, cost as much as copying about 3 kB; a page is the next
/// number that the kernel can do anything with.
const LEAST_BYTES: usize = 4096;

impl Operation {
    /// Permits a send to leave without a copy, and asks for nothing. Its event comes when the buffer is
    /// ours again: on TCP when the peer has acknowledged the bytes, so perhaps after those of the sends
    /// behind it, which do not wait for it.
    ///
    /// Made use of on io_uring, for 4 KiB and more, until the kernel says of a send of this registration
    /// that it did copy, as it does for a peer on the same machine, or cannot say (before Linux 6.10): from
    /// then on its sends are ordinary ones, as they are elsewhere. The pages count against the limit of
    /// locked memory while they are lent. A queue that is dropped waits for them, for 2 s after the last one
    /// that came back, and then leaves them to the kernel for good. Without effect on anything but [`Operation::send`].
    #[doc(alias = "MSG_ZEROCOPY")]
    pub const fn zero_copy(mut self) -> Self {
        if let Request::Send { zero_copy, .. } = &mut self.request {
            *zero_copy = true;
        }
        self
    }
}

impl Request {
    /// Whether it may leave without a copy, and is worth it.
    pub(crate) fn is_zero_copy(&self) -> bool {
        matches!(self, Self::Send { zero_copy: true, sent: 0, piece, .. }
            if piece.bytes().len() >= LEAST_BYTES)
    }
}
