//! What is told of something that is watched, when the kernel may have had to drop a part.

use ukevent_queue::Errno;

/// What [`Watch`](crate::watch::Watch) and [`Netlink`](crate::netlink::Netlink) tell. That something was lost
/// is a value of its own, so that it cannot be passed over: a `match` that forgets it does not compile.
///
/// ```
/// use ukevent_task::Observed;
///
/// fn tell(observed: Observed<&str>) -> String {
///     match observed {
///         Observed::Change(what) => format!("{what} changed"),
///         Observed::Rescan => "something changed: look again".to_owned(),
///         Observed::Failed(errno) => format!("no more is told: {errno}"),
///     }
/// }
/// assert_eq!(tell(Observed::Change("it")), "it changed");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed<T> {
    /// This changed.
    Change(T),
    /// The kernel's queue overflowed, and what was in it is not known: look again at all that is watched.
    /// What changes from now on is told.
    Rescan,
    /// It, or of a tree a part, cannot be watched any more: `EACCES`, `ENOSPC`. The rest of a tree goes on.
    Failed(Errno),
}
