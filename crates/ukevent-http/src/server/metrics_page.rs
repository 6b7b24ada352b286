//! The counters at an address of their own, for Prometheus.

use super::{House, Site, threads::Vital};
use crate::{
    connection::{self, wire::Plain},
    counters::Counts,
    entity::{Content, Found, Seen},
    metrics::Exposition,
    out::Out,
    page,
    shared::Shared,
};
use std::{rc::Rc, sync::Arc};
use ukevent_task::{
    Scope,
    net::{Incoming, TcpStream},
    time::sleep,
};

/// Who may ask at a time. One more waits in the backlog.
const MOST: usize = 16;

/// What is served there: `/metrics`.
struct MetricsPage(Rc<Shared<Site>>);

impl Content for MetricsPage {
    fn find(&mut self, path: &[u8], _: Seen, _: &Counts) -> Found {
        if path != b"metrics" {
            return Found::Nothing;
        }
        let snapshot = self.0.snapshot();
        let mut text = Vec::new();
        snapshot.append(Exposition::Text, &mut text);
        let media_type = Exposition::Text.media_type();
        Found::Entity(Arc::new(page::entity(media_type, "Cache-Control: no-store\r\n", text)))
    }
}

impl House {
    /// Shows the counters to whoever asks, until the server has ended.
    pub(super) async fn show_metrics(self: Rc<Self>, mut incoming: Incoming) {
        let _vital = Vital(Rc::clone(&self));
        let content = MetricsPage(Rc::clone(&self.shared));
        let shared = Rc::new(Shared::new(content, self.shared.limits.clone(), Out::default()));
        let mut scope = Scope::new();
        loop {
            while scope.len() >= MOST {
                // Whatever it came to.
                let _ = scope.join_next().await;
            }
            match incoming.accept().await.and_then(TcpStream::from_socket) {
                Ok(stream) => {
                    let wire = Plain::new(stream.into_split());
                    scope.spawn(connection::serve(wire, Rc::clone(&shared), |_| ()));
                }
                Err(_) => sleep(super::accept::PAUSE).await,
            }
        }
    }
}
