//! That the parts are one table.

use super::{super::Rate, *};

fn address(number: u32) -> IpAddr {
    IpAddr::from(number.to_be_bytes())
}

#[test]
fn an_address_has_one_share_whoever_asks() {
    let limits = PerAddress { open: Some(2), ..PerAddress::default() };
    let shards = Shards::new(limits, 4096);
    let counted: Vec<_> = (0..500)
        .flat_map(|number| [number, number].map(address))
        .map(|from| std::thread::scope(|it| it.spawn(|| shards.open(from, 0)).join()).unwrap())
        .map(Result::unwrap)
        .collect();
    for number in 0..500 {
        assert_eq!(shards.open(address(number), 0).unwrap_err(), Refused::TooMany, "{number}");
    }
    // Each is given back where it was taken.
    for counted in counted {
        shards.close(counted);
    }
    for number in 0..500 {
        let taken = [0, 0].map(|now| shards.open(address(number), now).unwrap());
        assert_eq!(shards.open(address(number), 0).unwrap_err(), Refused::TooMany, "{number}");
        taken.into_iter().for_each(|it| shards.close(it));
    }
}

#[test]
fn requests_are_counted_over_all_connections() {
    let requests = Some(Rate { burst: 3, per_s: 1 });
    let shards = Shards::new(PerAddress { requests, ..PerAddress::default() }, 4096);
    let [one, two] = [1, 1].map(|number| shards.open(address(number), 0).unwrap());
    let other = shards.open(address(2), 0).unwrap();
    for over in [&one, &two, &one] {
        assert_eq!(shards.request(over, 0), Ok(()));
    }
    assert!(matches!(shards.request(&two, 0), Err(Refused::TooOften { .. })));
    assert_eq!(shards.request(&other, 0), Ok(()));
    [one, two, other].into_iter().for_each(|it| shards.close(it));
}
