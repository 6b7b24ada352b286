//! Memory for packets and I/O: an arena, a pool of frames, an allocator for any size, the buffers that
//! come from them, and a ring that hands them over.
//!
//! ```
//! use std::{sync::Arc, task::Wake};
//! use ukevent_buf::{AllocateError, Arena, Buffer, FramePool, NetAllocator, ring};
//!
//! // One bounded stretch of memory, in huge pages if the system has them.
//! let arena = Arena::new(4 << 20)?;
//!
//! // Frames of one size, for what the kernel fills. It is lent a frame by its number …
//! let pool = FramePool::builder(64, 2048).headroom_bytes(64).waker(resumes()).build(&arena)?;
//! let loan = pool.lend()?;
//! # // SAFETY: the kernel's part: the frame is lent, and not taken back.
//! # unsafe { loan.as_mut_ptr().copy_from(b"from the wire".as_ptr(), 13) };
//! // … and when it says that it wrote 13 bytes into that one, they are a buffer.
//! let mut packet: Buffer = pool.take_back(loan.index(), 13)?;
//! packet.prepend(b"seen: ")?;
//! assert_eq!(&packet[..], b"seen: from the wire");
//!
//! // Buffers of any size, for what the program makes.
//! let net = NetAllocator::new(&arena);
//! let mut page = net.allocate(8_000)?;
//! page.append(b"HTTP/1.1 200 OK\r\n\r\n")?;
//! page.append(&packet)?;
//!
//! // Frozen, it can be shared and cut without a copy.
//! let page = page.freeze();
//! let body = page.slice(19..).expect("inside");
//! let same: bytes::Bytes = body.clone().into();
//!
//! // Whoever drops the last of it: the memory goes home.
//! let (mut producer, mut consumer) = ring(16);
//! for buffer in [packet, Buffer::from(vec![1, 2, 3]), Buffer::with_capacity(512)] {
//!     producer.push(buffer).expect("there is place");
//! }
//! std::thread::spawn(move || while consumer.pop().is_some() {}).join().unwrap();
//! assert_eq!(pool.statistics()?.free, 64);
//!
//! // Full is an outcome, and the waker tells when that is over.
//! let all: Vec<Buffer> = (0..64).map(|_| pool.allocate()).collect::<Result<_, _>>()?;
//! assert_eq!(pool.allocate().unwrap_err(), AllocateError::Full);
//! drop(all);
//! # fn resumes() -> std::task::Waker {
//! #     struct Resume;
//! #     impl Wake for Resume { fn wake(self: Arc<Self>) {} }
//! #     Arc::new(Resume).into()
//! # }
//! # assert_eq!((&body[..6], &same[..4]), (&b"seen: "[..], &b"seen"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What every part keeps to:
//! - *Bounded.* Nothing grows behind the program's back, and full is an outcome with a wake-up.
//! - *Owned.* A pool or allocator belongs to the thread that uses it first, which allocates and frees
//!   without an atomic step. Frees of other threads come home over return rings, without a lock.
//! - *Beside the memory.* Counts, links and canaries lie in side tables; the memory holds the bytes and
//!   nothing else, so the kernel or another process may see all of it.
//! - *Initialised.* The kernel's zeros at first, somebody's bytes later, never nothing.
//!
//! Debug builds find double frees, writes beyond the end, and writes after the return: they panic when
//! the block comes back or is lent again.
//!
//! The files, from the outside inwards: [`Buffer`] and [`Slice`]; `entry` (what is known of a piece of
//! memory); `pool` and `net`; `home` (one owner, frees from everywhere) and `returns` (their way);
//! `arena`.
#![cfg(target_os = "linux")]

mod arena;
mod buffer;
mod entry;
mod error;
mod guard;
mod home;
mod net;
mod piece;
mod pool;
mod primitive;
mod returns;
mod ring;
mod slice;
#[cfg(test)]
mod testing;
mod thread;

pub use arena::{
    Arena, ArenaBuilder, ArenaPin, ArenaStatistics, ArenaView, HugePages, OwnerKind,
    OwnerStatistics, PageKind, Pages, Refusal, Residency,
};
pub use buffer::Buffer;
pub use error::{
    AllocateError, ArenaError, NoRoom, PoolError, SysError, TakeBackError, TrimError, ViewError,
    WrongThread,
};
pub use net::{NetAllocator, NetAllocatorBuilder, NetStatistics};
pub use piece::Piece;
pub use pool::{FramePool, FramePoolBuilder, Loan, PoolStatistics};
pub use ring::{Consumer, Producer, ring};
pub use slice::Slice;
