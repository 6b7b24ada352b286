//! The kernel's network configuration and devices (rtnetlink(7), uevents).

use crate::events::Events;
use crate::observed::Observed;
use crate::runtime::current;
use ukevent_queue::{Kind, NetlinkChange, RegisterError};

/// Tells what changes of interfaces, addresses, routes or devices. Dropping it ends the watch.
///
/// ```
/// use ukevent_task::{block_on, netlink::Netlink};
///
/// block_on(async {
///     let network = ukevent_queue::Netlink::new().links().addresses();
///     let mut network = Netlink::of(network)?;
///     // let change = network.next().await;
///     # drop(network);
///     Ok::<(), ukevent_queue::RegisterError>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Netlink {
    events: Events,
}

impl Netlink {
    /// Watches this, from now on, in the network namespace of the calling thread. What is there already is
    /// not told: to know it too, list it after this.
    ///
    /// # Errors
    /// [`RegisterError::Invalid`], if it is nothing, or uevents together with others.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn of(what: ukevent_queue::Netlink) -> Result<Self, RegisterError> {
        let events = Events::on(current::expect("Netlink::of"), what, "a change of the network")?;
        Ok(Self { events })
    }

    /// Waits for the next change. Nothing is lost if it is dropped.
    pub async fn next(&mut self) -> Observed<NetlinkChange> {
        loop {
            match self.events.next().await {
                Kind::Netlink(change) => return Observed::Change(*change),
                Kind::Rescan => return Observed::Rescan,
                Kind::Failed(errno) => return Observed::Failed(errno),
                _ => {}
            }
        }
    }
}
