//! Lists of directories, as far as they are read.

use super::*;
use crate::entity::{Alternates, FilePart};

const ON: Options = Options { precompressed: false, listing: true };

fn json(entity: &Entity) -> serde_json::Value {
    let Alternates::Json(json) = entity.alternates() else { panic!("{entity:?}") };
    serde_json::from_slice(&content(json)).unwrap()
}

fn names(list: &serde_json::Value) -> Vec<&str> {
    let entries = list["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect()
}

#[test]
fn what_would_be_served_is_listed() {
    let site = Site::new();
    let bare = site.root().join("bare");
    fs::create_dir_all(bare.join("sub")).unwrap();
    fs::write(bare.join(".hidden"), b"x").unwrap();
    symlink("../hello.txt", bare.join("link")).unwrap();
    symlink("../../secret.txt", bare.join("out")).unwrap();
    symlink("nowhere", bare.join("dead")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, bare.join("fifo"), fifo, mode, 0).unwrap();
    let mut root = Root::open_with(&site.root(), ON).unwrap();
    let list = entity(&mut root, "bare/");
    let object = json(&list);
    assert_eq!(names(&object), ["sub", "file.txt", "link"]);
    assert_eq!((&object["path"], &object["complete"]), (&"/bare/".into(), &true.into()));
    assert_eq!(object["entries"][2]["size"], 10, "of what the link leads to");
    let fields = std::str::from_utf8(list.fields()).unwrap();
    for field in ["text/html", "Vary: Accept\r\n", "Cache-Control: no-cache", "default-src 'none'"]
    {
        assert!(fields.contains(field), "{field} in {fields}");
    }
    assert!(text(&mut root, "bare/").contains("<a href=\"./file.txt\">file.txt</a>"));
    // It is made anew each time.
    fs::write(bare.join("another"), b"").unwrap();
    assert_eq!(names(&json(&entity(&mut root, "bare/"))), ["sub", "another", "file.txt", "link"]);
}

#[test]
fn an_index_comes_first_and_the_rest_is_as_before() {
    let site = Site::new();
    let mut root = Root::open_with(&site.root(), ON).unwrap();
    assert_eq!(text(&mut root, "dir/"), "<h1>dir</h1>");
    for (path, expected) in [("bare", "Directory"), ("nothing/", "Nothing"), ("odd/", "Forbidden")]
    {
        assert_eq!(format!("{:?}", look(&mut root, path, soon_s())), expected, "{path}");
    }
    fs::remove_file(site.root().join("index.html")).unwrap();
    let top = json(&entity(&mut root, ""));
    assert!(names(&top).contains(&"hello.txt") && !names(&top).contains(&".secret"));
}

/// A list that is longer than a small file leaves as a file does; and it has an end.
#[test]
fn a_long_one() {
    let site = Site::new();
    let many = site.root().join("many");
    fs::create_dir(&many).unwrap();
    for number in 0..4100 {
        fs::write(many.join(format!("{number:05}")), b"").unwrap();
    }
    let mut root = Root::open_with(&site.root(), ON).unwrap();
    let list = entity(&mut root, "many/");
    assert!(list.holds_file());
    let object = json(&list);
    assert_eq!((names(&object).len(), &object["complete"]), (4096, &false.into()));
    let page = String::from_utf8(content(&list)).unwrap();
    assert_eq!(page.len() as u64, list.len());
    assert!(page.contains("There is more"));
}

/// What is hidden is not listed, but it is looked at: a directory of millions of it has an end, too.
#[test]
fn a_long_one_of_hidden_names() {
    let site = Site::new();
    let many = site.root().join("many");
    fs::create_dir(&many).unwrap();
    for number in 0..4 * 4096 + 1 {
        fs::write(many.join(format!(".{number:05}")), b"").unwrap();
    }
    let mut root = Root::open_with(&site.root(), ON).unwrap();
    let object = json(&entity(&mut root, "many/"));
    assert_eq!((names(&object).len(), &object["complete"]), (0, &false.into()));
}

/// Who takes one form of a list does not hold the other.
#[test]
fn what_leaves_is_held_alone() {
    let site = Site::new();
    for number in 0..300 {
        fs::write(site.root().join(format!("bare/{number:0>99}")), b"").unwrap();
    }
    let mut root = Root::open_with(&site.root(), ON).unwrap();
    let list = entity(&mut root, "bare/");
    let Alternates::Json(json) = list.alternates() else { panic!("{list:?}") };
    let json = Arc::downgrade(json);
    let part = FilePart::new(&list, 0, list.len()).expect("it is long");
    drop(list);
    assert!(json.upgrade().is_none(), "held by {part:?}");
}

/// With threads that wait, a list is theirs to make.
#[test]
fn read_by_a_thread() {
    let site = Site::new();
    let mut root = Root::open_with(&site.root(), ON).unwrap();
    root.load_elsewhere(8, Box::new(|| {}));
    let Found::Later(number) = look(&mut root, "bare/", soon_s()) else {
        panic!("it was looked for at once")
    };
    let seen = Seen { epoch: 1, unix_s: soon_s(), sure: false };
    let mut done = Vec::new();
    testkit::wait_until("it was read", || {
        done.extend(root.take_loaded(seen));
        !done.is_empty()
    });
    assert_eq!(done[0].0, number);
    let Found::Entity(list) = &done[0].1 else { panic!("{:?}", done[0].1) };
    assert_eq!(names(&json(list)), ["file.txt"]);
}
