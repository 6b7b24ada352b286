//! The table, against a model without bounds, and against those who have many addresses.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

const S: u64 = NS_PER_S;

fn address(number: u32) -> IpAddr {
    IpAddr::V4(number.into())
}

fn limits(open: u32) -> PerAddress {
    PerAddress { open: Some(open), ..PerAddress::default() }
}

#[test]
fn so_many_open_and_no_more() {
    let mut table = Addresses::new(limits(2), 100);
    let one = table.open(address(1), 0).unwrap();
    let two = table.open(address(1), 0).unwrap();
    assert_eq!(table.open(address(1), 0).unwrap_err(), Refused::TooMany);
    let other = table.open(address(2), 0).unwrap();
    table.close(one);
    let three = table.open(address(1), 0).unwrap();
    assert_eq!(table.open(address(1), 0).unwrap_err(), Refused::TooMany);
    [two, three, other].into_iter().for_each(|it| table.close(it));
}

#[test]
fn tokens_come_back_one_by_one() {
    let rate = Some(Rate { burst: 3, per_s: 2 });
    let mut table = Addresses::new(PerAddress { connections: rate, requests: rate, open: None }, 8);
    let mut open = |now_ns| table.open(address(1), now_ns).map(|it| table.close(it));
    for _ in 0..3 {
        assert_eq!(open(10 * S), Ok(()));
    }
    assert_eq!(open(10 * S), Err(Refused::TooOften { wait_ns: S / 2 }));
    assert_eq!(open(10 * S + S / 2 - 1), Err(Refused::TooOften { wait_ns: 1 }));
    assert_eq!(open(10 * S + S / 2), Ok(()));
    assert_eq!(open(10 * S + S / 2), Err(Refused::TooOften { wait_ns: S / 2 }));
    // After a rest there are as many as at the beginning, and no more.
    for _ in 0..3 {
        assert_eq!(open(99 * S), Ok(()));
    }
    assert!(open(99 * S).is_err());
    // Requests have a bucket of their own.
    let connection = table.open(address(2), 99 * S).unwrap();
    for _ in 0..3 {
        assert_eq!(table.request(&connection, 99 * S), Ok(()));
    }
    assert_eq!(table.request(&connection, 99 * S), Err(Refused::TooOften { wait_ns: S / 2 }));
    table.close(connection);
}

#[test]
fn none_per_second_is_the_burst_and_then_none() {
    let connections = Some(Rate { burst: 1, per_s: 0 });
    let mut table = Addresses::new(PerAddress { connections, ..PerAddress::default() }, 8);
    let one = table.open(address(1), 5).unwrap();
    assert!(matches!(table.open(address(1), 1000 * S), Err(Refused::TooOften { .. })));
    table.close(one);
}

/// RFC 4291, 2.5.5.2 and RFC 6177.
#[test]
fn whom_an_address_stands_for() {
    let name = |text: &str| name(text.parse().unwrap());
    assert_eq!(name("2001:db8:1:2:3::4"), name("2001:db8:1:2:ffff::"));
    assert_ne!(name("2001:db8:1:2::"), name("2001:db8:1:3::"));
    assert_eq!(name("::ffff:192.0.2.1"), name("192.0.2.1"));
    assert_ne!(name("192.0.2.1"), name("192.0.2.2"));
    assert_ne!(name("0.0.0.1"), name("::1"));
    assert_ne!(name("192.0.2.1"), name("fe80::c000:201"));
}

/// Whoever comes from more addresses than there are places makes the table neither larger nor slower, and
/// cannot take the place of one with a connection open.
#[test]
fn a_crowd_of_addresses() {
    let rate = Some(Rate { burst: 1, per_s: 1 });
    let mut table =
        Addresses::new(PerAddress { open: Some(1), connections: rate, requests: None }, 64);
    let bytes = size_of_val(&*table.places);
    assert_eq!((table.places.len(), bytes), (64, 64 * size_of::<Place>()));
    assert!(size_of::<Place>() <= 40);
    let held = table.open(address(u32::MAX), 0).unwrap();
    let mut open = Vec::new();
    for number in 0..10_000 {
        let connection = table.open(address(number), S).unwrap();
        if number % 10 == 0 { open.push(connection) } else { table.close(connection) }
    }
    assert_eq!(table.places.len(), 64);
    assert_eq!(table.open(address(u32::MAX), 99 * S).unwrap_err(), Refused::TooMany);
    open.into_iter().chain([held]).for_each(|it| table.close(it));
    assert!(table.places.iter().all(|place| place.open == 0));
}

/// Who has just used his tokens is remembered before one who has them all.
#[test]
fn the_least_is_forgotten_first() {
    let rate = Some(Rate { burst: 1, per_s: 1 });
    let mut table = Addresses::new(PerAddress { connections: rate, ..PerAddress::default() }, WAYS);
    for number in 0..WAYS as u32 {
        // The last came last.
        let it = table.open(address(number), S + u64::from(number)).unwrap();
        table.close(it);
    }
    let it = table.open(address(100), S + 100).unwrap();
    table.close(it);
    assert!(table.open(address(7), S + 100).is_err(), "the latest is remembered");
    let again = table.open(address(0), S + 100);
    table.close(again.expect("the first was forgotten"));
}

proptest! {
    /// With room for all, the table says what a model without bounds says.
    #[test]
    fn as_the_model(steps in prop::collection::vec((0u32..4, 0u64..400, any::<bool>()), 1..200)) {
        let rate = Rate { burst: 2, per_s: 5 };
        let mut table = Addresses::new(
            PerAddress { open: Some(3), connections: Some(rate), requests: None },
            1024,
        );
        // Connections, and tokens in thousandths with the time they were counted.
        let mut model: HashMap<u32, (Vec<Counted>, u64, u64)> = HashMap::new();
        let mut now_ms = 0;
        for (number, pause_ms, closes) in steps {
            now_ms += pause_ms;
            let (open, tokens, at_ms) = model.entry(number).or_insert((Vec::new(), 2000, now_ms));
            if closes {
                if let Some(it) = open.pop() {
                    table.close(it);
                }
                continue;
            }
            *tokens = (*tokens + (now_ms - *at_ms) * 5).min(2000);
            *at_ms = now_ms;
            let expected = if open.len() == 3 {
                Err(true)
            } else if *tokens < 1000 {
                Err(false)
            } else {
                *tokens -= 1000;
                Ok(())
            };
            match table.open(address(number), now_ms * 1_000_000) {
                Ok(it) => {
                    prop_assert_eq!(expected, Ok(()));
                    open.push(it);
                }
                Err(refused) => prop_assert_eq!(expected, Err(refused == Refused::TooMany)),
            }
        }
    }
}
