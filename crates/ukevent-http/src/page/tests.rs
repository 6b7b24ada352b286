//! The page: that it is whole, and needs nothing from elsewhere.

use super::*;
use crate::{
    connection::serve,
    limits::Limits,
    out::Out,
    pulse::Pulse,
    rehearsal::{Pipe, rehearse, settle},
    shared::Shared,
    testing::Answer,
    whole::Whole,
};
use std::{rc::Rc, time::Duration};
use ukevent_task::spawn;

fn get(path: &str) -> Answer {
    let pipe = Pipe::default();
    rehearse(async {
        let shared = Rc::new(Shared::new(Page::new(), Limits::default(), Out::default()));
        shared.tally().pauses.add(7);
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        pipe.with(|state| state.arrived.push_back(request.into_bytes()));
        let connection = spawn(serve(pipe.clone(), shared, |_| ()));
        settle(&pipe).await;
        assert!(!connection.has_ended());
    });
    Answer::all(&pipe.with(|state| std::mem::take(&mut state.sent)), |_| false).remove(0)
}

#[test]
fn serves_itself_and_its_counters() {
    for path in ["/", "/index.html", "/?x"] {
        let answer = get(path);
        assert_eq!((answer.status, answer.text()), (200, HTML));
        assert_eq!(answer.field("Content-Type"), Some("text/html; charset=utf-8"));
    }
    assert_eq!(get("/other").status, 404);
    let counters = get("/counters.json");
    assert_eq!(counters.field("Content-Type"), Some("application/json"));
    assert_eq!(counters.field("Cache-Control"), Some("no-store"));
    assert!(counters.text().contains("\"pauses\":7,"), "{}", counters.text());
    assert!(counters.text().contains("\"requests\":1,"), "{}", counters.text());
    assert!(!counters.text().contains("threads"), "{}", counters.text());
}

#[test]
fn each_of_several_threads_is_told() {
    let counts = Counts::new(Arc::new(Whole::new(2, &Limits::default())), 1);
    counts.own().requests.add(3);
    let told: serde_json::Value =
        serde_json::from_str(&format!("{{{}}}", members(&counts))).unwrap();
    assert_eq!(told["requests"], 3);
    assert_eq!(told["threads"][0]["requests"], 0);
    assert_eq!(told["threads"][1]["requests"], 3);
    assert_eq!(told["threads"].as_array().unwrap().len(), 2);
}

#[test]
fn fetches_nothing_from_elsewhere() {
    let answer = get("/");
    let policy = answer.field("Content-Security-Policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    for (at, _) in HTML.match_indices("http") {
        let rest = &HTML[at..];
        assert!(rest.starts_with("http://www.w3.org/2000/svg"), "{}", &rest[..40]);
    }
    for word in ["src=", "@import", "url(", "<script src", "<link rel=\"stylesheet"] {
        assert!(!HTML.contains(word), "{word}");
    }
}

#[test]
fn every_counter_that_the_page_shows_is_sent() {
    let mut pulse = Pulse::default();
    let whole = Whole::new(2, &Limits::default());
    let event = pulse.beat(Duration::ZERO, &Counts::new(Arc::new(whole), 0)).event;
    let mut shown = 0;
    for (at, _) in HTML.match_indices("now.") {
        let name: String = HTML[at + 4..]
            .chars()
            .take_while(|char| char.is_ascii_alphanumeric() || *char == '_')
            .collect();
        assert!(event.contains(&format!("\"{name}\":")), "{name}");
        shown += 1;
    }
    assert!(shown > 5, "the script reads {shown} counters");
}

#[test]
fn the_process_has_memory() {
    assert!(resident_bytes().unwrap() > 100_000);
}
