//! A datagram of netlink; see `ukevent_fuzz::kernel::NETLINK`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (ukevent_fuzz::kernel::NETLINK.run)(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    ukevent_fuzz::kernel::NETLINK.repeat()
}
