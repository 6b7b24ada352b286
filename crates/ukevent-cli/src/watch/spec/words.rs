//! The words that may stand in a spec, in one table per kind.

use super::SpecError;
use bitflags::{Flags, bitflags};
use ukevent::{Changes, ProcessChanges};

/// The first words.
pub(super) const KINDS: [&str; 9] =
    ["timer", "inode", "tree", "signal", "proc", "net", "uevent", "fd", "listen"];

/// What an inode may be watched for.
pub(super) const CHANGES: [(&str, Changes); 12] = [
    ("create", Changes::CREATED),
    ("remove", Changes::REMOVED.union(Changes::SELF_REMOVED).union(Changes::UNMOUNTED)),
    ("moved", MOVED),
    ("modify", Changes::MODIFIED),
    ("write", Changes::WRITTEN),
    ("attrib", Changes::ATTRIBUTES),
    ("grow", Changes::GREW),
    ("open", Changes::OPENED),
    ("close", Changes::READ_CLOSED),
    ("read", Changes::ACCESSED),
    ("usual", USUAL),
    ("all", Changes::all()),
];

const MOVED: Changes = Changes::MOVED_FROM.union(Changes::MOVED_TO).union(Changes::SELF_MOVED);

/// What an inode is watched for unless the spec says otherwise: what changes what one would find.
pub(super) const USUAL: Changes = Changes::CREATED
    .union(Changes::REMOVED)
    .union(MOVED)
    .union(Changes::WRITTEN)
    .union(Changes::ATTRIBUTES)
    .union(Changes::SELF_REMOVED)
    .union(Changes::UNMOUNTED);

/// What a process may be watched for.
pub(super) const DEEDS: [(&str, ProcessChanges); 4] = [
    ("exit", ProcessChanges::EXIT),
    ("fork", ProcessChanges::FORK),
    ("exec", ProcessChanges::EXEC),
    ("all", ProcessChanges::all()),
];

/// Signals that people send, to be shown and guessed from; any other may be watched, too.
pub(super) const SIGNALS: [&str; 10] =
    ["hup", "int", "quit", "usr1", "usr2", "alrm", "term", "chld", "cont", "winch"];

bitflags! {
    /// What of the network's configuration is watched.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Groups: u8 {
        const LINK = 1;
        const ADDRESS = 2;
        const ROUTE = 4;
    }
}

/// What of the network may be watched.
pub(super) const GROUPS: [(&str, Groups); 4] = [
    ("link", Groups::LINK),
    ("addr", Groups::ADDRESS),
    ("route", Groups::ROUTE),
    ("all", Groups::all()),
];

/// The bits that a list such as `create,remove` names.
pub(super) fn bits<B: Flags + Copy>(
    spec: &str,
    list: &str,
    is_no: &'static str,
    table: &[(&'static str, B)],
) -> Result<B, SpecError> {
    list.split(',').try_fold(B::empty(), |bits, word| {
        let known = table.iter().find(|(known, _)| *known == word);
        let Some((_, bit)) = known else {
            let there_are = table.iter().map(|(known, _)| *known);
            return Err(SpecError::unknown(spec, word, is_no, there_are));
        };
        Ok(bits.union(*bit))
    })
}

/// Every word of these tables.
#[cfg(test)]
pub(crate) fn known_words() -> Vec<&'static str> {
    let changes = CHANGES.iter().map(|(word, _)| *word);
    let deeds = DEEDS.iter().map(|(word, _)| *word);
    let groups = GROUPS.iter().map(|(word, _)| *word);
    KINDS.into_iter().chain(changes).chain(deeds).chain(groups).collect()
}
