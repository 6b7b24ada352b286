//! How much of an arena is in use, by whom, and in what pages.

use crate::error::SysError;
use std::fs;

/// How much of an [`Arena`](crate::Arena) is in use, and by whom.
///
/// ```
/// use ukevent_buf::{Arena, NetAllocator, OwnerKind};
///
/// let arena = Arena::new(1 << 20)?;
/// let net = NetAllocator::new(&arena);
/// let _buffer = net.allocate(1000)?;
/// let statistics = arena.statistics();
/// assert_eq!(statistics.owners[0].kind, OwnerKind::Network);
/// assert!(statistics.owners[0].used_bytes >= 1000);
/// assert_eq!(statistics.free_bytes, (1 << 20) - arena.region_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArenaStatistics {
    /// All of it.
    pub bytes: usize,
    /// Held by no pool or allocator.
    pub free_bytes: usize,
    /// The largest piece of that.
    pub largest_free_bytes: usize,
    /// Who holds the rest, in the order in which they came.
    pub owners: Vec<OwnerStatistics>,
}

/// A pool or an allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnerStatistics {
    /// Its number in this arena; never used again.
    pub number: u64,
    /// What it is.
    pub kind: OwnerKind,
    /// Bytes that it took from the arena.
    pub held_bytes: usize,
    /// Bytes that it gave out and that did not come back, rounded as it rounds them. What other
    /// threads freed counts until the owner has looked.
    pub used_bytes: usize,
}

/// What takes memory from an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OwnerKind {
    /// A [`FramePool`](crate::FramePool).
    Frames,
    /// A [`NetAllocator`](crate::NetAllocator).
    Network,
}

/// How much of an arena is backed by pages at this moment.
///
/// ```
/// let arena = ukevent_buf::Arena::new(1 << 20)?;
/// assert_eq!(arena.residency()?.resident_bytes, 0, "nothing was touched");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Residency {
    /// Bytes in memory, of whatever page size.
    pub resident_bytes: usize,
    /// Bytes of that in huge pages.
    pub huge_bytes: usize,
}

/// Reads it from `/proc/self/smaps` for a mapping that is an entry of its own (proc_pid_smaps(5)).
pub(super) fn residency(base: usize, bytes: usize) -> Result<Residency, SysError> {
    let text = fs::read_to_string("/proc/self/smaps")
        .map_err(|error| SysError::new("read", error.raw_os_error().unwrap_or(0)))?;
    Ok(parse(&text, base, bytes))
}

fn parse(text: &str, base: usize, bytes: usize) -> Residency {
    let mut found = Residency::default();
    let mut is_ours = false;
    for line in text.lines() {
        let Some((first, rest)) = line.split_once(' ') else { continue };
        if let Some(name) = first.strip_suffix(':') {
            let amount = rest.trim().strip_suffix(" kB").and_then(|kib| kib.parse::<usize>().ok());
            let Some(amount) = amount.filter(|_| is_ours).map(|kib| kib << 10) else { continue };
            match name {
                "Rss" => found.resident_bytes += amount,
                "AnonHugePages" | "ShmemPmdMapped" => found.huge_bytes += amount,
                // Not in Rss.
                "Private_Hugetlb" | "Shared_Hugetlb" => {
                    found.resident_bytes += amount;
                    found.huge_bytes += amount;
                }
                _ => {}
            }
        } else if let Some((begin, _)) = first.split_once('-') {
            let begin = usize::from_str_radix(begin, 16).unwrap_or(0);
            is_ours = (base..base + bytes).contains(&begin);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::parse;

    const SMAPS: &str = "\
7f0000000000-7f0000400000 rw-p 00000000 00:00 0 
Size:               4096 kB
Rss:                2052 kB
AnonHugePages:      2048 kB
VmFlags: rd wr mr mw me ac hg
7f0000400000-7f0000800000 rw-p 00000000 00:0f 4711                       /anon_hugepage (deleted)
Rss:                   0 kB
Private_Hugetlb:    4096 kB
7f0000800000-7f0000801000 rw-p 00000000 00:00 0 
Rss:                   4 kB
";

    #[test]
    fn counts_what_is_ours() {
        let count = |base, bytes| {
            let found = parse(SMAPS, base, bytes);
            (found.resident_bytes >> 10, found.huge_bytes >> 10)
        };
        assert_eq!(count(0x7f00_0000_0000, 4 << 20), (2052, 2048));
        assert_eq!(count(0x7f00_0040_0000, 4 << 20), (4096, 4096));
        assert_eq!(count(0x7f00_0080_0000, 4096), (4, 0));
        assert_eq!(count(0x1000, 4096), (0, 0));
    }
}
