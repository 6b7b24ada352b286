//! The changes that a datagram of rtnetlink tells; see `ukevent_fuzz::kernel::CHANGES`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (ukevent_fuzz::kernel::CHANGES.run)(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    ukevent_fuzz::kernel::CHANGES.repeat()
}
