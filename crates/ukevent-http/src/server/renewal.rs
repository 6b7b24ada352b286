//! Who reads the certificate anew when its files change.

use super::{House, threads::Vital};
use crate::certificate::{Certificate, places::directories};
use std::{
    fmt,
    io::{self, Write},
    path::PathBuf,
    rc::Rc,
    time::Duration,
};
use ukevent_queue::{Changes, Inode};
use ukevent_task::{
    EventSet,
    time::{now, timeout},
};

/// What is asked of the directories that lead to a certificate and its key: as a rule a new file takes the
/// place of the old one, or a link to it.
const ASKED: Changes = Changes::WRITTEN
    .union(Changes::MOVED_TO)
    .union(Changes::MOVED_FROM)
    .union(Changes::CREATED)
    .union(Changes::REMOVED);

/// Two files change one after the other: they are read when it has been quiet for so long.
const SETTLED: Duration = Duration::from_millis(200);

/// Where it is never quiet, because others write there too, they are read after so long.
const LATEST: Duration = Duration::from_secs(2);

impl House {
    /// Reads the certificate again when its files change.
    pub(super) async fn renew_certificate(self: Rc<Self>) {
        let _vital = Vital(Rc::clone(&self));
        let Some(identity) = &self.identity else { return };
        let mut said = Vec::new();
        let mut watched = watch(identity.files(), &mut said);
        loop {
            // What changed before there was a watch is read, too.
            if let Err(error) = identity.reload() {
                say(format_args!("the certificate was changed, and the one before stays: {error}"));
            }
            watched.next().await;
            let latest = now() + LATEST;
            while now() < latest && timeout(SETTLED, watched.next()).await.is_ok() {}
            // A link may lead elsewhere now.
            watched = watch(identity.files(), &mut said);
        }
    }
}

/// Watches whatever may change what is there. Of what cannot be watched it is said once.
fn watch(Certificate { chain, key }: &Certificate, said: &mut Vec<PathBuf>) -> EventSet {
    let mut places = directories(chain);
    places.extend(directories(key));
    places.sort_unstable();
    places.dedup();
    let mut changes = EventSet::new();
    for place in places {
        if let Err(error) = changes.add(Inode::path(&place).on(ASKED))
            && !said.contains(&place)
        {
            say(format_args!(
                "{}: changes of the certificate there will not be seen: {error}",
                place.display()
            ));
            said.push(place);
        }
    }
    changes
}

/// On standard error. Serving does not depend on its being read.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "ukevent-http: {line}");
}
