//! The page that the server shows about itself when it was given no directory.
//!
//! One file, with its style and script in it, and a stream of events that it watches
//! ([`pulse`](crate::pulse)). Both come from this process, and the policy sent along keeps the browser from
//! fetching anything from elsewhere. For everybody else the counters are a resource of their own.

use crate::{
    counters::{Counters, Counts},
    entity::{Body, Content, Description, Entity, Found, Seen},
};
use std::sync::Arc;

const HTML: &str = include_str!("page.html");

/// Nothing is loaded but what the page holds, and its events.
const POLICY: &str = "Cache-Control: no-store\r\n\
    Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'\r\n";

/// The page and its counters.
#[derive(Debug)]
pub(crate) struct Page {
    html: Arc<Entity>,
}

impl Page {
    pub(crate) fn new() -> Self {
        Self { html: Arc::new(entity("text/html; charset=utf-8", POLICY, HTML)) }
    }
}

impl Content for Page {
    fn find(&mut self, path: &[u8], _: Seen, counts: &Counts) -> Found {
        match path {
            b"" | b"index.html" => Found::Entity(Arc::clone(&self.html)),
            b"counters.json" => Found::Entity(Arc::new(entity(
                "application/json",
                "Cache-Control: no-store\r\n",
                format!("{{{}}}\n", members(counts)),
            ))),
            b"live" => Found::Live,
            _ => Found::Nothing,
        }
    }
}

/// What is made for whoever asks, and not kept.
pub(crate) fn entity(media_type: &str, extra: &str, content: impl Into<Vec<u8>>) -> Entity {
    let content = content.into();
    let len = content.len() as u64;
    let description =
        Description { media_type, etag: None, modified_s: None, settled: false, len, extra };
    Entity::new(description, Body::Bytes(content.into_boxed_slice()))
}

/// The counters as the members of a JSON object, all of them numbers; and if there are several threads, a list of
/// what each has counted.
pub(crate) fn members(counts: &Counts) -> String {
    let mut members = members_of_all(&counts.all());
    let threads = counts.by_thread();
    if !threads.is_empty() {
        let threads: Vec<_> = threads.iter().map(members_of_thread).collect();
        members.push_str(",\"threads\":[");
        members.push_str(&threads.join(","));
        members.push(']');
    }
    members
}

/// One thread's.
fn members_of_thread(counters: &Counters) -> String {
    let Counters { open, accepted, requests, bytes_sent, events, batches, .. } = counters;
    format!(
        "{{\"open\":{open},\"accepted\":{accepted},\"requests\":{requests},\
         \"bytes_sent\":{bytes_sent},\"events\":{events},\"batches\":{batches}}}"
    )
}

fn members_of_all(counters: &Counters) -> String {
    let Counters {
        uptime_s,
        open,
        accepted,
        refused,
        pauses,
        timed_out,
        requests,
        answers: [_, _, success, redirection, client_error, server_error],
        bytes_sent,
        events,
        batches,
        largest_batch,
        ..
    } = counters;
    let memory_bytes = resident_bytes().unwrap_or(0);
    format!(
        "\"uptime_s\":{uptime_s},\"open\":{open},\"accepted\":{accepted},\"refused\":{refused},\
         \"pauses\":{pauses},\"timed_out\":{timed_out},\"requests\":{requests},\
         \"success\":{success},\"redirection\":{redirection},\"client_error\":{client_error},\
         \"server_error\":{server_error},\"bytes_sent\":{bytes_sent},\"events\":{events},\
         \"batches\":{batches},\"largest_batch\":{largest_batch},\
         \"memory_bytes\":{memory_bytes}"
    )
}

/// Memory of this process that is resident (proc_pid_status(5)).
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests;
