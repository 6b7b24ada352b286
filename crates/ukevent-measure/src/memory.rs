//! The memory of a process (proc_pid_smaps(5), `smaps_rollup`; Linux 5.3).

use crate::Result;

/// What a process has in memory, in KiB.
///
/// ```
/// use ukevent_measure::memory::Memory;
///
/// let before = Memory::of(std::process::id())?;
/// let some = vec![1_u8; 8 << 20];
/// let after = Memory::of(std::process::id())?;
/// assert!(after.private_kib >= before.private_kib + 8000, "{}", some.len());
/// # Ok::<(), ukevent_measure::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Anonymous and shared memory: heap, stacks, rings; not the program's file.
    pub private_kib: u64,
    /// All of it.
    pub resident_kib: u64,
}

impl Memory {
    /// Of a process, now.
    ///
    /// # Errors
    /// If there is no such process, it is somebody else's, or the kernel is older.
    pub fn of(process: u32) -> Result<Self> {
        let path = format!("/proc/{process}/smaps_rollup");
        let words = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        Self::read(&words).ok_or_else(|| format!("{path} says something new: {words}").into())
    }

    fn read(words: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = words.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        let private_kib = field("Pss_Anon")? + field("Pss_Shmem")?;
        Some(Self { private_kib, resident_kib: field("Rss")? })
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;

    #[test]
    fn reads_smaps_rollup() {
        let words = "55d0-7fff ---p 00000000 00:00 0    [rollup]\nRss:        1884 kB\n\
                     Pss:         700 kB\nPss_Dirty:   600 kB\nPss_Anon:    120 kB\n\
                     Pss_File:    540 kB\nPss_Shmem:    40 kB\n";
        assert_eq!(Memory::read(words), Some(Memory { private_kib: 160, resident_kib: 1884 }));
        assert_eq!(Memory::read("Rss: 7 kB\n"), None);
    }
}
