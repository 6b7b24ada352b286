//! The rules of a channel, against a naive one, in an order drawn by a seed.

use super::{Flow, Ticket, Tried};
use std::collections::VecDeque;

/// A future of the model: what it wants, and where it stands.
struct Waits {
    name: u32,
    message: Option<u32>,
    ticket: Option<Ticket>,
}

fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

/// Many senders and receivers come, wait, are told, go on or give up. Every message that was sent is received
/// once, in order; who waits is told before one who came later; and in the end nobody waits for what is there.
#[test]
fn nothing_is_lost_and_nobody_is_passed_over() {
    for mut seed in 1..=200 {
        let capacity = 1 + (next(&mut seed) % 4) as usize;
        let mut flow: Flow<u32, u32> = Flow::new(capacity);
        let (mut sending, mut receiving) = (VecDeque::<Waits>::new(), VecDeque::<Waits>::new());
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        let mut told: Vec<u32> = Vec::new();
        for name in 0..2_000 {
            match next(&mut seed) % 6 {
                0 | 1 => sending.push_back(Waits { name, message: Some(name), ticket: None }),
                2 | 3 => receiving.push_back(Waits { name, message: None, ticket: None }),
                4 if !sending.is_empty() => {
                    let place = next(&mut seed) as usize % sending.len();
                    let gone = sending.remove(place).unwrap();
                    if let Some(ticket) = gone.ticket {
                        told.extend(flow.give_up_sending(ticket).1);
                    }
                }
                5 if !receiving.is_empty() => {
                    let place = next(&mut seed) as usize % receiving.len();
                    let gone = receiving.remove(place).unwrap();
                    if let Some(ticket) = gone.ticket {
                        told.extend(flow.give_up_receiving(ticket).1);
                    }
                }
                _ => {}
            }
            // Those who are new, and those who were told, are polled; sometimes somebody for no reason.
            let any = next(&mut seed) as u32 % (name + 1);
            sending.retain_mut(|it| {
                if it.ticket.is_some() && !told.contains(&it.name) && it.name != any {
                    return true;
                }
                let message = it.message;
                match flow.send(&mut it.message, &mut it.ticket) {
                    Tried::Done((), who) => {
                        sent.extend(message);
                        told.extend(who);
                        false
                    }
                    Tried::Closed => panic!("there is a receiver"),
                    Tried::Not => {
                        flow.wait_to_send(&mut it.ticket, it.name);
                        true
                    }
                }
            });
            receiving.retain_mut(|it| {
                if it.ticket.is_some() && !told.contains(&it.name) && it.name != any {
                    return true;
                }
                match flow.receive(&mut it.ticket) {
                    Tried::Done(message, who) => {
                        received.push(message);
                        told.extend(who);
                        false
                    }
                    Tried::Closed => panic!("there is a sender"),
                    Tried::Not => {
                        flow.wait_to_receive(&mut it.ticket, it.name);
                        true
                    }
                }
            });
            assert!(flow.messages.len() + flow.sending.granted <= capacity, "seed {seed}");
            assert!(flow.receiving.granted <= flow.messages.len(), "seed {seed}");
            let idle = (flow.sending.waiting.is_empty() || flow.room() == 0)
                && (flow.receiving.waiting.is_empty() || flow.unclaimed() == 0);
            assert!(idle, "somebody waits for what is there");
        }
        received.extend(flow.messages.iter());
        assert_eq!(received, sent);
    }
}
