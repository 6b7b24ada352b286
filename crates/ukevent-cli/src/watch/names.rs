//! Names that the kernel knows for numbers. What has none here, or none any more, has no name.

use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

/// The network interface of this index, in the command's own network namespace.
pub(crate) fn interface(index: u32) -> Option<OsString> {
    // Any socket will do: the call asks for the network namespace of one.
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None).ok()?;
    netdevice::index_to_name(socket, index).ok().map(OsString::from)
}

/// What a process calls itself (proc_pid_comm(5)).
pub(crate) fn process(pid: i32) -> Option<OsString> {
    let mut name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    name.pop_if(|last| *last == b'\n');
    Some(OsString::from_vec(name))
}

/// What a descriptor of this process is: a path, or `pipe:[123]` and the like (proc_pid_fd(5)).
pub(crate) fn descriptor(fd: i32) -> Option<OsString> {
    fs::read_link(format!("/proc/self/fd/{fd}")).ok().map(OsString::from)
}
