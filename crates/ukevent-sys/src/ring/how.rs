//! How a file is opened: what openat2(2) takes.

use io_uring::types;

/// How a file is opened, in full: openat2(2). Linux 5.6.
///
/// ```
/// use ukevent_sys::ring::How;
///
/// // Read only, and nothing above the directory where the path begins.
/// let how = How::new(0, 0).beneath();
/// # let _ = how;
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "open_how")]
pub struct How(types::OpenHow);

impl How {
    /// With `O_…` of open(2), close-on-exec, and the permissions of a file that is made, less the umask;
    /// the kernel wants them to be 0 where none can be made.
    #[must_use]
    pub fn new(flags: i32, mode: u32) -> Self {
        let flags = u64::from((flags | libc::O_CLOEXEC).cast_unsigned());
        Self(types::OpenHow::new().flags(flags).mode(mode.into()))
    }

    /// A path that leads out of the directory where it begins, by `..`, a link or because it is absolute,
    /// is refused with `EXDEV` (`RESOLVE_BENEATH`); so are the magic links of /proc, with `ELOOP`.
    #[must_use]
    pub fn beneath(self) -> Self {
        Self(self.0.resolve(libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS))
    }

    /// Where the kernel reads it.
    pub(super) const fn lent(&self) -> *const types::OpenHow {
        &raw const self.0
    }
}
