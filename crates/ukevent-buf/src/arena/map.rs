//! The mapping behind an arena: anonymous or a memfd, of ordinary or of huge pages (mmap(2),
//! memfd_create(2), madvise(2)).
//!
//! It lies in a stretch of addresses that was reserved around it, so it begins at a huge page, has at
//! least one page on either side whose touch ends the process, and shares its entry in
//! `/proc/self/smaps` with nobody.

use super::pages::{HugePages, PageKind, Pages, Refusal};
use crate::error::SysError;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::os::fd::{AsRawFd, OwnedFd};
use std::{ffi::c_void, fs, ptr::NonNull};

type Result<T> = std::result::Result<T, SysError>;

fn failed(call: &'static str) -> impl FnOnce(Errno) -> SysError {
    move |errno| SysError::new(call, errno.raw_os_error())
}

/// The huge page that `MAP_HUGE_2MB` names.
pub(crate) const RESERVED_PAGE_BYTES: usize = 2 << 20;

const TRANSPARENT: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const TRANSPARENT_SHARED: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
const TRANSPARENT_BYTES: &str = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";

/// Memory of this process, zero at first, or of this process and whoever maps its memfd.
pub(crate) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
    /// Dropping it unmaps what lies in it.
    _around: Reservation,
    file: Option<OwnedFd>,
    pages: Pages,
}

// SAFETY: owns what it maps, and gives out nothing but its address.
unsafe impl Send for Mapping {}
// SAFETY: as above; its own methods change no bytes but those that the caller says nobody uses.
unsafe impl Sync for Mapping {}

/// Addresses that nothing else will be mapped at.
struct Reservation {
    at: NonNull<c_void>,
    bytes: usize,
}

impl Reservation {
    fn new(bytes: usize) -> Result<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: at no address of ours, so it replaces nothing.
        let at = unsafe {
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::empty(), flags)
        };
        let at = at.map_err(failed("mmap"))?;
        let at = NonNull::new(at).expect("mmap(2) fails rather than map at 0");
        Ok(Self { at, bytes })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; the mapping that lies in it goes with its last user.
        let _ = unsafe { rustix::mm::munmap(self.at.as_ptr(), self.bytes) };
    }
}

impl Mapping {
    /// Maps at least `bytes`, more if the pages are larger; a memfd if there is a name for it.
    pub(crate) fn new(bytes: usize, asked: HugePages, name: Option<&str>) -> Result<Self> {
        let no_reserved = match (asked, bytes < RESERVED_PAGE_BYTES) {
            (HugePages::Never | HugePages::Transparent, _) => None,
            (HugePages::Reserved, true) => Some(Refusal::Small),
            (HugePages::Reserved, false) => match Self::reserved(bytes, name) {
                Ok(mapping) => return Ok(mapping),
                Err(error) => Some(Refusal::Kernel(error)),
            },
        };
        let page_bytes = rustix::param::page_size();
        let huge_bytes = transparent_bytes();
        let align = if bytes < huge_bytes { page_bytes } else { huge_bytes };
        let file = name.map(|name| memfd(name, MemfdFlags::empty())).transpose()?;
        let mut mapping = Self::at(bytes, page_bytes, align, file, MapFlags::empty())?;
        mapping.pages.no_reserved = no_reserved;
        if asked != HugePages::Never {
            match mapping.make_transparent(huge_bytes) {
                Ok(()) => {
                    mapping.pages.kind = PageKind::Transparent;
                    mapping.pages.page_bytes = huge_bytes;
                }
                Err(refusal) => mapping.pages.no_transparent = Some(refusal),
            }
        }
        Ok(mapping)
    }

    fn reserved(bytes: usize, name: Option<&str>) -> Result<Self> {
        let flags = MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB;
        let file = name.map(|name| memfd(name, flags)).transpose()?;
        let page = RESERVED_PAGE_BYTES;
        let flags = MapFlags::HUGETLB | MapFlags::HUGE_2MB;
        let mut mapping = Self::at(bytes, page, page, file, flags)?;
        mapping.pages.kind = PageKind::Reserved;
        // Where a control group allows fewer than are set aside, touching them would end the process.
        // SAFETY: of our own mapping; makes pages be there, with the content they have.
        unsafe {
            rustix::mm::madvise(
                mapping.base.as_ptr().cast(),
                mapping.bytes,
                Advice::LinuxPopulateWrite,
            )
        }
        .map_err(failed("madvise"))?;
        Ok(mapping)
    }

    fn at(
        bytes: usize,
        page_bytes: usize,
        align: usize,
        file: Option<OwnedFd>,
        anonymous: MapFlags,
    ) -> Result<Self> {
        let too_large = || SysError::new("mmap", Errno::NOMEM.raw_os_error());
        let bytes = bytes.checked_next_multiple_of(page_bytes).ok_or_else(too_large)?;
        let around = align.max(page_bytes) + 2 * rustix::param::page_size();
        let reserved = Reservation::new(bytes.checked_add(around).ok_or_else(too_large)?)?;
        let first = reserved.at.addr().get() + rustix::param::page_size();
        let base = reserved.at.as_ptr().map_addr(|_| first.next_multiple_of(align));
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        let mapped = match &file {
            // SAFETY: inside what was reserved just now, and nobody else knows of.
            None => unsafe {
                let flags = MapFlags::PRIVATE | MapFlags::FIXED | anonymous;
                rustix::mm::mmap_anonymous(base, bytes, rights, flags)
            },
            Some(file) => {
                // The size is sealed, so no reader of the memfd can run over its end (SIGBUS).
                rustix::fs::ftruncate(file, bytes as u64).map_err(failed("ftruncate"))?;
                let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
                rustix::fs::fcntl_add_seals(file, seals).map_err(failed("fcntl"))?;
                // SAFETY: inside what was reserved just now, and nobody else knows of.
                unsafe {
                    let flags = MapFlags::SHARED | MapFlags::FIXED;
                    rustix::mm::mmap(base, bytes, rights, flags, file, 0)
                }
            }
        };
        let base = mapped.map_err(failed("mmap"))?;
        let base = NonNull::new(base.cast()).expect("mapped at an address that is not 0");
        let pages =
            Pages { kind: PageKind::Small, page_bytes, no_reserved: None, no_transparent: None };
        Ok(Self { base, bytes, _around: reserved, file, pages })
    }

    fn make_transparent(&self, huge_bytes: usize) -> std::result::Result<(), Refusal> {
        if self.bytes < huge_bytes {
            return Err(Refusal::Small);
        }
        let setting = if self.file.is_some() { TRANSPARENT_SHARED } else { TRANSPARENT };
        // The kernel accepts the advice also where the setting means that it will not follow it.
        let text = fs::read_to_string(setting).map_err(|_| Refusal::Unsupported(setting))?;
        if text.contains("[never]") || text.contains("[deny]") {
            return Err(Refusal::SwitchedOff(setting));
        }
        // SAFETY: of our own mapping; changes no content.
        unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), self.bytes, Advice::LinuxHugepage) }
            .map_err(failed("madvise"))
            .map_err(Refusal::Kernel)
    }

    pub(crate) const fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn pages(&self) -> Pages {
        self.pages
    }

    /// A new descriptor of the memfd, for reading only. `None` if there is no memfd.
    pub(crate) fn reader(&self) -> Result<Option<OwnedFd>> {
        let Some(file) = &self.file else { return Ok(None) };
        // Opening it anew is the one way to a descriptor with fewer rights.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map(Some).map_err(failed("open"))
    }

    /// Gives the pages of a range back to the system; its bytes are 0 afterwards.
    ///
    /// # Safety
    /// The range lies in the mapping, and nobody uses its bytes, the kernel included.
    pub(crate) unsafe fn discard(&self, at: usize, bytes: usize) -> Result<()> {
        let advice = if self.file.is_some() { Advice::LinuxRemove } else { Advice::LinuxDontNeed };
        // SAFETY: inside the mapping, and nobody uses it.
        unsafe { rustix::mm::madvise(self.base.as_ptr().add(at).cast(), bytes, advice) }
            .map_err(failed("madvise"))
    }
}

fn memfd(name: &str, flags: MemfdFlags) -> Result<OwnedFd> {
    let flags = flags | MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create(name, flags).map_err(failed("memfd_create"))?;
    // Who was given a descriptor for reading shall not open it for writing by its name in /proc.
    rustix::fs::fchmod(&file, Mode::RUSR).map_err(failed("fchmod"))?;
    Ok(file)
}

fn transparent_bytes() -> usize {
    let read = fs::read_to_string(TRANSPARENT_BYTES).ok();
    let bytes = read.and_then(|text| text.trim().parse().ok());
    bytes.filter(|bytes: &usize| bytes.is_power_of_two()).unwrap_or(RESERVED_PAGE_BYTES)
}
