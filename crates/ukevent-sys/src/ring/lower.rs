//! Operations as the kernel's entries. The entry points into the operation, which must be where it
//! stays: each of these takes it in its place.

use super::{Lend, Operation};
use io_uring::{opcode, squeue, types};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};

/// Not a signal but `EPIPE`; and not a part but all, or an error.
const SENDING: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
/// `IORING_SEND_ZC_REPORT_USAGE`.
const REPORT_USAGE: u16 = 1 << 3;
/// The most that one call moves (`MAX_RW_COUNT`), with pages of 4 KiB.
const MOST_BYTES: usize = 0x7fff_f000;

/// The entry that asks for it. What it points to stays valid until `operation` is touched or dropped;
/// it may move as the element of a vector does.
#[inline(always)]
pub(super) fn entry<L: Lend>(operation: &mut Operation<L>, report_usage: bool) -> squeue::Entry {
    let at = types::Fd;
    match operation {
        Operation::Accept { listener, each: true, nonblocking } => {
            opcode::AcceptMulti::new(at(*listener)).flags(accepted(*nonblocking)).build()
        }
        Operation::Accept { listener, each: false, nonblocking } => {
            let (address, length) = (std::ptr::null_mut(), std::ptr::null_mut());
            let flags = accepted(*nonblocking);
            opcode::Accept::new(at(*listener), address, length).flags(flags).build()
        }
        Operation::Connect { fd, address } => {
            let (address, length) = address.lent();
            opcode::Connect::new(at(*fd), address, length).build()
        }
        Operation::Receive { fd, buffer, flags } => {
            let (bytes, length) = room(buffer);
            opcode::Recv::new(at(*fd), bytes, length).flags(flags.bits()).build()
        }
        Operation::ReceiveEach { fd, group, most_bytes } => {
            limited(opcode::RecvMulti::new(at(*fd), *group).build(), *most_bytes)
        }
        Operation::ReadEach { fd, group } => {
            opcode::ReadMulti::new(at(*fd), 0, *group).offset(position(None)).build()
        }
        Operation::Send { fd, buffer, more } => {
            let (bytes, length) = filled(buffer);
            opcode::Send::new(at(*fd), bytes, length).flags(sending(*more)).build()
        }
        Operation::SendMessage { fd, message, more } => {
            let flags = sending(*more).cast_unsigned();
            opcode::SendMsg::new(at(*fd), message.lend_filled()).flags(flags).build()
        }
        Operation::ReceiveMessage { fd, message, flags } => {
            let flags = (flags.bits() | libc::MSG_CMSG_CLOEXEC).cast_unsigned();
            opcode::RecvMsg::new(at(*fd), message.lend_room()).flags(flags).build()
        }
        Operation::SendZero { fd, buffer, more } => {
            let (bytes, length) = filled(buffer);
            let zero = opcode::SendZc::new(at(*fd), bytes, length).flags(sending(*more));
            zero.zc_flags(if report_usage { REPORT_USAGE } else { 0 }).build()
        }
        Operation::Shutdown { fd, how } => opcode::Shutdown::new(at(*fd), directions(*how)).build(),
        Operation::Close { fd } => opcode::Close::new(at(fd.as_raw_fd())).build(),
        Operation::Open { directory, path, flags, mode } => {
            let open = opcode::OpenAt::new(beginning(*directory), path.as_ptr());
            open.flags(*flags | libc::O_CLOEXEC).mode(*mode as libc::mode_t).build()
        }
        Operation::OpenHow { directory, path, how } => {
            opcode::OpenAt2::new(beginning(*directory), path.as_ptr(), how.lent()).build()
        }
        Operation::Read { fd, buffer, offset } => {
            let (bytes, length) = room(buffer);
            opcode::Read::new(at(*fd), bytes, length).offset(position(*offset)).build()
        }
        Operation::Write { fd, buffer, offset } => {
            let (bytes, length) = filled(buffer);
            opcode::Write::new(at(*fd), bytes, length).offset(position(*offset)).build()
        }
        Operation::Sync { fd, data_only } => {
            let mut flags = types::FsyncFlags::empty();
            flags.set(types::FsyncFlags::DATASYNC, *data_only);
            opcode::Fsync::new(at(*fd)).flags(flags).build()
        }
        Operation::Stat { directory, path, follow, status } => {
            let path = path.as_deref().unwrap_or_default();
            let mut flags = if path.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
            if !*follow {
                flags |= libc::AT_SYMLINK_NOFOLLOW;
            }
            opcode::Statx::new(beginning(*directory), path.as_ptr(), status.room().cast())
                .flags(flags)
                .mask(libc::STATX_BASIC_STATS)
                .build()
        }
    }
}

/// Lets a multishot receive end after so many bytes: `optlen`, for which the crate has no field.
fn limited(mut entry: squeue::Entry, most_bytes: u32) -> squeue::Entry {
    const OPTLEN: usize = 44;
    const { assert!(size_of::<squeue::Entry>() == 64, "one io_uring_sqe") };
    // SAFETY: an entry is one `io_uring_sqe` and nothing else, of which any bits are valid, and its word
    // there is within it and aligned.
    unsafe { (&raw mut entry).byte_add(OPTLEN).cast::<u32>().write(most_bytes) };
    entry
}

const fn accepted(nonblocking: bool) -> i32 {
    libc::SOCK_CLOEXEC | if nonblocking { libc::SOCK_NONBLOCK } else { 0 }
}

const fn sending(more: bool) -> i32 {
    SENDING | if more { libc::MSG_MORE } else { 0 }
}

const fn directions(how: Shutdown) -> i32 {
    match how {
        Shutdown::Read => libc::SHUT_RD,
        Shutdown::Write => libc::SHUT_WR,
        Shutdown::Both => libc::SHUT_RDWR,
    }
}

fn beginning(directory: Option<RawFd>) -> types::Fd {
    types::Fd(directory.unwrap_or(libc::AT_FDCWD))
}

/// All ones is the position of the file; an offset that large is refused by the kernel as it is less 1.
fn position(offset: Option<u64>) -> u64 {
    offset.map_or(u64::MAX, |offset| offset.min(u64::MAX - 1))
}

fn filled<L: Lend>(buffer: &L) -> (*const u8, u32) {
    let bytes = buffer.filled();
    (bytes.cast(), bytes.len().min(MOST_BYTES) as u32)
}

fn room<L: Lend>(buffer: &mut L) -> (*mut u8, u32) {
    let bytes = buffer.room();
    (bytes.cast(), bytes.len().min(MOST_BYTES) as u32)
}
