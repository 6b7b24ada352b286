//! Which kernel this is, for what only newer ones do.

/// The first two numbers of the kernel's release: `(6, 17)` or later.
///
/// ```
/// assert!(testkit::kernel() > (2, 6));
/// ```
///
/// # Panics
///
/// Without a proc file system.
pub fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release.split(|it: char| !it.is_ascii_digit()).map(str::parse);
    let mut next = || numbers.next().and_then(Result::ok).expect("a release begins with numbers");
    (next(), next())
}
