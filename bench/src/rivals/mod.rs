//! The contenders, one file each. A contender may be in several tables.
//!
//! Each has its best documented set-up. The bare ones are the floor: straight system calls, nothing
//! between them and the program. `unsafe` is allowed in single files here, where a bare loop or a
//! rival's own interface needs it.

pub(crate) mod atomic;
pub(crate) mod bare_ring;
pub(crate) mod binary_heap;
pub(crate) mod btree;
pub(crate) mod buffer_ring;
pub(crate) mod classes;
pub(crate) mod compio;
pub(crate) mod dealt_epoll;
pub(crate) mod edge_epoll;
pub(crate) mod epoll_echo;
pub(crate) mod exclusive_epoll;
pub(crate) mod global_alloc;
pub(crate) mod glommio;
pub(crate) mod heap;
pub(crate) mod libevent;
pub(crate) mod library;
pub(crate) mod libuv;
pub(crate) mod mio;
pub(crate) mod mio_serve;
pub(crate) mod monoio;
pub(crate) mod notify;
pub(crate) mod one_shot_epoll;
pub(crate) mod polling;
pub(crate) mod pread;
pub(crate) mod ring;
pub(crate) mod ring_echo;
pub(crate) mod ring_read;
pub(crate) mod ring_take;
pub(crate) mod shared_epoll;
pub(crate) mod slots;
pub(crate) mod std_channel;
pub(crate) mod task_runtimes;
pub(crate) mod tokio_channel;
pub(crate) mod tokio_echo;
pub(crate) mod tokio_fs;
pub(crate) mod tokio_timers;
pub(crate) mod ukevent_buf;
pub(crate) mod ukevent_echo;
pub(crate) mod ukevent_read;
pub(crate) mod ukevent_shared;
pub(crate) mod ukevent_task_echo;
