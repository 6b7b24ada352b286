//! Entry points for fuzzing: everything that reads bytes from outside. Not part of the interface.
//!
//! Each takes any bytes and panics when an invariant does not hold.

use crate::{Asked, Class, Reply, ReplyReader};

/// Reads what a connection brings, whole and in pieces: the replies must be the same, and account for every byte.
/// The first byte chooses the pieces, and which requests are HEAD.
pub fn replies(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let heads = choice >> 5;
    let size = usize::from(choice & 31);
    let whole = read([bytes], heads);
    let sizes = if size == 0 { bytes.len().max(1) / 2 + 1 } else { size };
    let pieces = read(bytes.chunks(sizes), heads);
    assert_eq!(whole, pieces, "read differently in pieces of {sizes}");
    let counted: u64 = whole.0.iter().map(|reply| reply.head_bytes + reply.body_bytes).sum();
    assert!(counted <= bytes.len() as u64, "{counted} bytes counted of {}", bytes.len());
    assert!(whole.0.iter().all(|reply| (200..1000).contains(&reply.status)));
}

/// All replies in these pieces, and how the connection ended. Of each three requests those are HEAD whose bit
/// is set.
pub(crate) fn read<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    heads: u8,
) -> (Vec<Reply>, Class) {
    let mut reader = ReplyReader::new();
    let mut replies = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let is_head = heads >> (replies.len() % 3) & 1 == 1;
            let asked = if is_head { Asked::Head } else { Asked::Content };
            match reader.feed(piece, Some(asked)) {
                Ok(step) => {
                    assert!(step.used <= piece.len());
                    assert!(step.reply.is_some() || step.used == piece.len());
                    assert_eq!(step.reply.is_some(), reader.is_between_replies());
                    piece = &piece[step.used..];
                    replies.extend(step.reply);
                }
                Err(class) => {
                    assert_eq!(reader.feed(piece, None), Err(class), "an error stays");
                    return (replies, class);
                }
            }
        }
    }
    match reader.end() {
        Ok(reply) => {
            replies.push(reply);
            (replies, Class::Closed)
        }
        Err(class) => (replies, class),
    }
}
