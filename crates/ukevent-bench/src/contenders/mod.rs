//! The contenders that need nothing from outside: ukevent on each backend, and straight system calls.

pub mod bare_epoll;
pub mod bare_inotify;
pub mod bare_poll;
pub mod bare_serve;
pub mod busy_loop;
pub mod ukevent;
pub mod ukevent_inode;
pub mod ukevent_serve;
pub mod ukevent_take;
