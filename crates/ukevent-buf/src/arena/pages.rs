//! Which pages an arena has, and why not larger ones.

use crate::error::SysError;
use std::fmt;

/// Which pages to ask for. What the kernel refuses is told by [`Arena::pages`](crate::Arena::pages),
/// and the next smaller kind used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HugePages {
    /// The machine's ordinary pages only.
    Never,
    /// Transparent huge pages (`MADV_HUGEPAGE`): the kernel uses large pages when it has some, and
    /// gives or takes them as it likes.
    #[default]
    Transparent,
    /// Pages of 2 MiB that the administrator set aside (`MAP_HUGETLB`, hugetlbpage in the kernel's
    /// documentation), else transparent ones. They are taken and filled with zeros at once, so that
    /// a limit (of a control group) shows here and does not end the process later; they are not given
    /// back before the arena goes.
    Reserved,
}

/// The kind of an arena's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// The machine's ordinary pages.
    Small,
    /// Ordinary or huge, as the kernel has them; [`Arena::residency`](crate::Arena::residency) says
    /// how many are huge now.
    Transparent,
    /// Huge pages, all of them.
    Reserved,
}

/// Why an arena does not have pages of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The kernel refused. `ENOMEM` for reserved pages: none, or too few, are set aside.
    Kernel(SysError),
    /// The administrator switched them off in this file of sysfs.
    SwitchedOff(&'static str),
    /// The kernel cannot do it: this file of sysfs is not there.
    Unsupported(&'static str),
    /// The arena is smaller than one huge page.
    Small,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => error.fmt(f),
            Self::SwitchedOff(file) => write!(f, "{file} switches them off"),
            Self::Unsupported(file) => write!(f, "the kernel has no {file}"),
            Self::Small => f.write_str("the arena is smaller than one"),
        }
    }
}

/// The pages of an arena, and why they are not others. Prints as one line for people.
///
/// ```
/// use ukevent_buf::{Arena, HugePages, PageKind};
///
/// let arena = Arena::builder(64 << 10).huge_pages(HugePages::Reserved).build()?;
/// let pages = arena.pages();
/// assert_eq!(pages.kind, PageKind::Small);
/// assert!(pages.to_string().contains("the arena is smaller than one"));
/// # Ok::<(), ukevent_buf::ArenaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pages {
    /// What it got.
    pub kind: PageKind,
    /// Bytes of a page; of transparent ones, those of a huge page.
    pub page_bytes: usize,
    /// Why it did not get reserved pages; `None` if it did, or did not ask.
    pub no_reserved: Option<Refusal>,
    /// Why it did not get transparent pages; `None` if it did, or did not ask.
    pub no_transparent: Option<Refusal>,
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = self.page_bytes >> 10;
        match self.kind {
            PageKind::Small => write!(f, "pages of {kib} KiB")?,
            PageKind::Transparent => write!(f, "transparent huge pages of {kib} KiB")?,
            PageKind::Reserved => write!(f, "reserved huge pages of {kib} KiB")?,
        }
        if let Some(refusal) = &self.no_reserved {
            write!(f, "; no reserved huge pages: {refusal}")?;
        }
        if let Some(refusal) = &self.no_transparent {
            write!(f, "; no transparent huge pages: {refusal}")?;
        }
        Ok(())
    }
}
