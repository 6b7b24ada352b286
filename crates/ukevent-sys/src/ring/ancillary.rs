//! Ancillary data of sockets: a run of pieces, each with its length, level and type before it, padded
//! to a word (cmsg(3)).

/// A piece of ancillary data that came with a message.
///
/// ```
/// use ukevent_sys::ring::{Message, NoLoan};
///
/// // One that was not received has none.
/// assert!(Message::<NoLoan>::new(Vec::new()).received().next().is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "cmsghdr")]
pub struct ControlMessage<'a> {
    /// The level: whose it is, as `SOL_SOCKET`.
    pub level: i32,
    /// The type, as `SCM_RIGHTS`.
    pub kind: i32,
    /// The data, in the byte order of the machine.
    pub data: &'a [u8],
}

const WORD: usize = size_of::<usize>();
const HEADER: usize = (WORD + 8).next_multiple_of(WORD);
/// Linux 6.5.
const SCM_PIDFD: i32 = 4;

/// Appends a piece.
pub(super) fn append(bytes: &mut Vec<u8>, level: i32, kind: i32, data: &[u8]) {
    let start = bytes.len();
    bytes.extend_from_slice(&(HEADER + data.len()).to_ne_bytes());
    bytes.extend_from_slice(&level.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.resize(start + HEADER, 0);
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(WORD), 0);
}

/// The pieces, up to the first that is none.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = ControlMessage<'_>> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<WORD>()?;
        let (level, rest) = rest.split_first_chunk::<4>()?;
        let (kind, _) = rest.split_first_chunk::<4>()?;
        let length = usize::from_ne_bytes(*length);
        // The last one may be cut short.
        let data = bytes.get(HEADER..length.min(bytes.len()))?;
        let message = ControlMessage {
            level: i32::from_ne_bytes(*level),
            kind: i32::from_ne_bytes(*kind),
            data,
        };
        bytes = bytes.get(length.checked_next_multiple_of(WORD)?..).unwrap_or_default();
        Some(message)
    })
}

/// The numbers of the descriptors in it.
pub(super) fn descriptors(bytes: &[u8]) -> impl Iterator<Item = i32> {
    messages(bytes)
        .filter(|message| {
            message.level == libc::SOL_SOCKET
                && [libc::SCM_RIGHTS, SCM_PIDFD].contains(&message.kind)
        })
        .flat_map(|message| message.data.chunks_exact(4))
        .filter_map(|number| number.try_into().ok().map(i32::from_ne_bytes))
        .filter(|&number| number >= 0)
}
