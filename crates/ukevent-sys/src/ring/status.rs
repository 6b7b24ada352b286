//! What statx(2) tells of a file.

/// The status of a file, as an operation brings it. Linux 4.11.
///
/// ```
/// use ukevent_sys::ring::Status;
///
/// let not_filled_in = Status::default();
/// assert_eq!(not_filled_in.size_bytes(), 0);
/// ```
#[derive(Clone)]
#[doc(alias = "statx")]
pub struct Status(libc::statx);

impl Status {
    /// Its size, in bytes.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.0.stx_size
    }

    /// Its kind and permissions: `st_mode` of inode(7).
    #[must_use]
    pub const fn mode(&self) -> u32 {
        self.0.stx_mode as u32
    }

    /// Whether it is a regular file.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        self.mode() & libc::S_IFMT == libc::S_IFREG
    }

    /// Whether it is a directory.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        self.mode() & libc::S_IFMT == libc::S_IFDIR
    }

    /// The number of its inode.
    #[must_use]
    pub const fn inode(&self) -> u64 {
        self.0.stx_ino
    }

    /// The major and minor number of the device that it lies on.
    #[must_use]
    pub const fn device(&self) -> (u32, u32) {
        (self.0.stx_dev_major, self.0.stx_dev_minor)
    }

    /// How many names it has.
    #[must_use]
    pub const fn links(&self) -> u32 {
        self.0.stx_nlink
    }

    /// Its owner and group.
    #[must_use]
    pub const fn owner(&self) -> (u32, u32) {
        (self.0.stx_uid, self.0.stx_gid)
    }

    /// When its bytes were last changed: seconds since 1970, and nanoseconds behind them.
    #[must_use]
    pub const fn modified(&self) -> (i64, u32) {
        (self.0.stx_mtime.tv_sec, self.0.stx_mtime.tv_nsec)
    }

    /// When its bytes or its inode were last changed, as above.
    #[must_use]
    pub const fn changed(&self) -> (i64, u32) {
        (self.0.stx_ctime.tv_sec, self.0.stx_ctime.tv_nsec)
    }

    /// Where the kernel writes it.
    pub(super) const fn room(&mut self) -> *mut libc::statx {
        &raw mut self.0
    }
}

impl Default for Status {
    fn default() -> Self {
        // SAFETY: it consists of integers.
        Self(unsafe { std::mem::zeroed() })
    }
}

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Status")
            .field("size_bytes", &self.size_bytes())
            .field("mode", &format_args!("{:o}", self.mode()))
            .field("inode", &self.inode())
            .finish_non_exhaustive()
    }
}
