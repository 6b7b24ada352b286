//! Lists, read again by a browser's rules and by a reader of JSON.

use super::*;
use proptest::prelude::*;

fn entry(name: &[u8], is_directory: bool) -> Entry {
    Entry { name: name.into(), is_directory, size: 1234, modified_s: 784_111_777 }
}

fn listing(path: &[u8], entries: Vec<Entry>) -> Listing {
    let mut listing = Listing { entries, ..Listing::new(path) };
    listing.sort();
    listing
}

#[test]
fn directories_first_and_sorted() {
    let all = [entry(b"b", false), entry(b"z", true), entry(b"A", false), entry(b"c", true)];
    let listing = listing(b"", all.to_vec());
    let names: Vec<_> = listing.entries.iter().map(|entry| entry.name[0]).collect();
    assert_eq!(names, b"czAb");
}

#[test]
fn the_page() {
    let listing = listing(b"a<b/", vec![entry(b"x&y.txt", false), entry(b"d\"", true)]);
    let html = String::from_utf8(listing.html()).unwrap();
    for part in [
        "<title>/a&lt;b/</title>",
        "<a href=\"../\">../</a>",
        "<tr><td><a href=\"./d%22/\">d&quot;/</a><td><td>1994-11-06 08:49\n",
        "<tr><td><a href=\"./x&amp;y.txt\">x&amp;y.txt</a><td>1234<td>1994-11-06 08:49\n",
        "color-scheme:light dark",
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
    assert!(!html.contains("script") && !html.contains("There is more"));
    let root = Listing { is_cut_short: true, ..Listing::new(b"") };
    let html = String::from_utf8(root.html()).unwrap();
    assert!(!html.contains("../") && html.contains("There is more"));
}

#[test]
fn the_object() {
    let listing = listing(b"d/", vec![entry(b"x\"\xff\n", false), entry(b"e", true)]);
    assert_eq!(
        String::from_utf8(listing.json()).unwrap(),
        "{\"path\":\"/d/\",\"complete\":true,\"entries\":[\
         {\"name\":\"e\",\"href\":\"./e/\",\"type\":\"directory\",\"modified\":\"1994-11-06T08:49:37Z\"},\
         {\"name\":\"x\\\"\u{fffd}\\n\",\"href\":\"./x%22%FF%0A\",\"type\":\"file\",\"size\":1234,\
         \"modified\":\"1994-11-06T08:49:37Z\"}]}\n"
    );
}

#[test]
fn a_time_that_no_calendar_has() {
    let ancient = Entry { modified_s: i64::MIN, ..entry(b"a", false) };
    assert!(String::from_utf8(listing(b"", vec![ancient]).html()).unwrap().contains("<td>\n"));
}

proptest! {
    /// Whatever its name, an entry adds one row, and its reference leads back to it.
    #[test]
    fn any_name(name in prop::collection::vec(1u8.., 1..40)) {
        let name: Vec<u8> = name.into_iter().filter(|byte| *byte != b'/').collect();
        if name.is_empty() || name.starts_with(b".") {
            return Ok(());
        }
        let listing = listing(b"", vec![entry(&name, false)]);
        let html = String::from_utf8(listing.html()).unwrap();
        prop_assert_eq!(html.matches('<').count(), Listing::new(b"").html().iter().filter(|byte| **byte == b'<').count() + 6);
        let reference = listing.entries[0].reference();
        let mut path = Vec::new();
        prop_assert!(target::resolve(&reference[1..], &mut path).is_ok());
        prop_assert_eq!(path, name);
        let value: serde_json::Value = serde_json::from_slice(&listing.json()).unwrap();
        prop_assert_eq!(value["entries"][0]["href"].as_str().unwrap(), reference);
    }
}
