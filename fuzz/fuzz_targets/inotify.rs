//! What one read of an inotify descriptor gives; see `ukevent_fuzz::kernel::INOTIFY`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (ukevent_fuzz::kernel::INOTIFY.run)(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    ukevent_fuzz::kernel::INOTIFY.repeat()
}
