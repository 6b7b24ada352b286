//! Shared libraries of C that are opened at run time: a rival that is not installed is passed over, and the workspace
//! builds without it.
#![allow(unsafe_code, reason = "opening a library runs its initialisers")]

use libloading::Library;
use ukevent_measure::Result;

/// Opens a library, or says aloud which Debian package has it. It is never closed: what was taken from it is
/// valid to the end of the process.
pub(crate) fn open<Api>(
    name: &str,
    soname: &str,
    package: &str,
    find: impl FnOnce(&'static Library) -> Result<Api>,
) -> Option<Api> {
    // SAFETY: the initialisers of the libraries that are opened here, libevent and libuv, need nothing of the
    // process and may run on any thread.
    let library = match unsafe { Library::new(soname) } {
        Ok(library) => Box::leak(Box::new(library)),
        Err(_) => {
            eprintln!("SKIPPED: {name} is not installed (apt-get install {package})");
            return None;
        }
    };
    find(library).inspect_err(|error| eprintln!("SKIPPED: {name} is another: {error}")).ok()
}

#[cfg(test)]
mod tests {
    use super::open;

    #[test]
    fn a_library_that_is_not_there_is_passed_over() {
        let found = open("libnobody", "libnobody.so.9", "libnobody9", |_| Ok(()));
        assert!(found.is_none());
    }

    #[test]
    fn a_library_without_the_functions_is_passed_over() {
        // The C library is always there.
        let found = open("libc", "libc.so.6", "libc6", |_| Err::<(), _>("no such function".into()));
        assert!(found.is_none());
        assert_eq!(open("libc", "libc.so.6", "libc6", |_| Ok(1)), Some(1));
    }
}
