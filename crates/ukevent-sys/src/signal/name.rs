//! Names of signals: `hup`, `SIGHUP`, `rtmin+3`, `15` (signal(7)).

use std::borrow::Cow;

/// The standard signals; of several names for one number the first is the one that is printed.
const NAMES: &[(&str, i32)] = &[
    ("SIGHUP", libc::SIGHUP),
    ("SIGINT", libc::SIGINT),
    ("SIGQUIT", libc::SIGQUIT),
    ("SIGILL", libc::SIGILL),
    ("SIGTRAP", libc::SIGTRAP),
    ("SIGABRT", libc::SIGABRT),
    ("SIGIOT", libc::SIGIOT),
    ("SIGBUS", libc::SIGBUS),
    ("SIGFPE", libc::SIGFPE),
    ("SIGKILL", libc::SIGKILL),
    ("SIGUSR1", libc::SIGUSR1),
    ("SIGSEGV", libc::SIGSEGV),
    ("SIGUSR2", libc::SIGUSR2),
    ("SIGPIPE", libc::SIGPIPE),
    ("SIGALRM", libc::SIGALRM),
    ("SIGTERM", libc::SIGTERM),
    ("SIGSTKFLT", libc::SIGSTKFLT),
    ("SIGCHLD", libc::SIGCHLD),
    ("SIGCLD", libc::SIGCHLD),
    ("SIGCONT", libc::SIGCONT),
    ("SIGSTOP", libc::SIGSTOP),
    ("SIGTSTP", libc::SIGTSTP),
    ("SIGTTIN", libc::SIGTTIN),
    ("SIGTTOU", libc::SIGTTOU),
    ("SIGURG", libc::SIGURG),
    ("SIGXCPU", libc::SIGXCPU),
    ("SIGXFSZ", libc::SIGXFSZ),
    ("SIGVTALRM", libc::SIGVTALRM),
    ("SIGPROF", libc::SIGPROF),
    ("SIGWINCH", libc::SIGWINCH),
    ("SIGIO", libc::SIGIO),
    ("SIGPOLL", libc::SIGPOLL),
    ("SIGPWR", libc::SIGPWR),
    ("SIGSYS", libc::SIGSYS),
];

/// `SIGHUP`.
pub const HUP: i32 = libc::SIGHUP;
/// `SIGINT`.
pub const INT: i32 = libc::SIGINT;
/// `SIGQUIT`.
pub const QUIT: i32 = libc::SIGQUIT;
/// `SIGUSR1`.
pub const USR1: i32 = libc::SIGUSR1;
/// `SIGUSR2`.
pub const USR2: i32 = libc::SIGUSR2;
/// `SIGALRM`.
pub const ALRM: i32 = libc::SIGALRM;
/// `SIGTERM`.
pub const TERM: i32 = libc::SIGTERM;
/// `SIGCHLD`.
pub const CHLD: i32 = libc::SIGCHLD;
/// `SIGCONT`.
pub const CONT: i32 = libc::SIGCONT;
/// `SIGWINCH`.
pub const WINCH: i32 = libc::SIGWINCH;

/// The first real-time signal that is free: the C library keeps those below it.
#[must_use]
pub fn rt_min() -> i32 {
    libc::SIGRTMIN()
}

/// The last real-time signal.
#[must_use]
pub fn rt_max() -> i32 {
    libc::SIGRTMAX()
}

/// The name of a signal, as in signal(7): `SIGHUP`, `SIGRTMIN+3`. `None` if there is no such signal
/// or the C library keeps it for itself. Allocates for a real-time signal only.
///
/// ```
/// assert_eq!(ukevent_sys::signal::name(2).as_deref(), Some("SIGINT"));
/// assert_eq!(ukevent_sys::signal::name(0), None);
/// ```
#[must_use]
pub fn name(signal: i32) -> Option<Cow<'static, str>> {
    if let Some(&(name, _)) = NAMES.iter().find(|&&(_, number)| number == signal) {
        return Some(name.into());
    }
    if signal == rt_min() {
        return Some("SIGRTMIN".into());
    }
    real_time(signal).map(|signal| format!("SIGRTMIN+{}", signal - rt_min()).into())
}

/// The number of a signal, given its name in either case, with or without `SIG`, or the number
/// itself in decimal. Real-time signals are `rtmin`, `rtmin+3`, `rtmax-1`, `rtmax`. `None` if there
/// is no such signal. Allocates nothing.
///
/// ```
/// use ukevent_sys::signal::{number, rt_min};
///
/// assert_eq!(number("hup"), number("SIGHUP"));
/// assert_eq!(number("rtmin+3"), Some(rt_min() + 3));
/// assert_eq!(number("15"), number("term"));
/// assert_eq!(number("65"), None);
/// ```
#[must_use]
pub fn number(name: &str) -> Option<i32> {
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return name.parse().ok().filter(|signal| (1..=super::LAST).contains(signal));
    }
    let bare = strip_prefix_any_case(name, "SIG").unwrap_or(name);
    if let Some(rest) = strip_prefix_any_case(bare, "RTMIN") {
        return offset(rest, '+').and_then(|above| real_time(rt_min() + above));
    }
    if let Some(rest) = strip_prefix_any_case(bare, "RTMAX") {
        return offset(rest, '-').and_then(|below| real_time(rt_max() - below));
    }
    NAMES
        .iter()
        .find(|(name, _)| name["SIG".len()..].eq_ignore_ascii_case(bare))
        .map(|&(_, number)| number)
}

fn strip_prefix_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// What follows `rtmin` or `rtmax`: nothing, or the sign and at most two digits.
fn offset(rest: &str, sign: char) -> Option<i32> {
    if rest.is_empty() {
        return Some(0);
    }
    let digits = rest.strip_prefix(sign)?;
    let valid = (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if valid { digits.parse().ok() } else { None }
}

fn real_time(signal: i32) -> Option<i32> {
    (rt_min()..=rt_max()).contains(&signal).then_some(signal)
}
