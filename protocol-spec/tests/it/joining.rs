//! A joining and a RESUME from end to end, and what they do not accept. `join.md`, `security.md` §5.7.

use plugline_protocol::frame::{Frame, MAX_PDU, Options};
use plugline_protocol::messages::{Capabilities, Grant, JoinUp};
use plugline_protocol::security::{self, JoinError, Joined, Key, KeySet, Nonces};
use plugline_protocol::{Eui64, Identity, ShortAddress};

use crate::world::{LATER_NONCES, NG, NS, WHO, grant, install, keys};

fn asked(install: &Key, nonce: [u8; 8]) -> Vec<u8> {
    let capabilities = Capabilities { relay: true, meter: true, ..Capabilities::default() };
    let up = JoinUp { eui: WHO.eui, minor: 0, capabilities, hardware: 1, nonce };
    let mut out = [0; MAX_PDU];
    security::ask_to_join(install, Options::default(), &up, &mut out).unwrap().to_vec()
}

/// What the gateway says to a JOIN-UP, with the install key that it was told.
fn answered(install: &Key, up: &JoinUp, short: ShortAddress) -> (KeySet, Vec<u8>) {
    let identity = Identity { eui: up.eui, short, ..WHO };
    let keys = KeySet::joined(install, &identity, &Nonces { socket: up.nonce, gateway: NG });
    let joined = Joined { identity, keys: keys.clone(), grant: grant() };
    let mut out = [0; MAX_PDU];
    (keys, security::answer_join(&joined, NG, Options::default(), &mut out).unwrap().to_vec())
}

// [PLG-5.2-1]
#[test]
fn both_sides_of_a_joining_hold_the_same_keys() {
    let up = asked(&install(), NS);
    let frame = Frame::parse(&up).unwrap();
    assert!(security::is_from_label(&install(), &frame));
    let (gateway, down) = answered(&install(), &JoinUp::parse(&frame).unwrap(), WHO.short);
    let socket = security::accept_join(&install(), WHO.eui, NS, &Frame::parse(&down).unwrap()).unwrap();
    assert_eq!((socket.identity, &socket.keys, socket.grant), (WHO, &gateway, grant()));
    let other = KeySet::joined(&install(), &WHO, &Nonces { socket: NS, gateway: NS });
    assert!(
        [&other.up, &other.down, &other.ack, &other.kek].iter().all(|key| ![
            &gateway.up,
            &gateway.down,
            &gateway.ack,
            &gateway.kek
        ]
        .contains(key))
    );
}

#[test]
fn a_join_down_of_another_attempt_socket_or_label_is_not_taken() {
    let up = JoinUp::parse(&Frame::parse(&asked(&install(), NS)).unwrap()).unwrap();
    let (_, down) = answered(&install(), &up, WHO.short);
    let frame = Frame::parse(&down).unwrap();
    let accept = |key: &Key, eui, nonce| security::accept_join(key, eui, nonce, &frame).unwrap_err();
    assert_eq!(accept(&install(), WHO.eui, NG), JoinError::Forged);
    assert_eq!(accept(&Key::new([9; 16]), WHO.eui, NS), JoinError::Forged);
    assert_eq!(accept(&install(), Eui64([1; 8]), NS), JoinError::NotForUs);
    let moved = [&down[..5], &[0x13], &down[6..]].concat();
    let moved = Frame::parse(&moved).unwrap();
    assert_eq!(security::accept_join(&install(), WHO.eui, NS, &moved), Err(JoinError::Forged));
}

#[test]
fn a_join_up_under_a_wrong_install_code_is_told_from_a_right_one() {
    let up = asked(&Key::new([9; 16]), NS);
    assert!(!security::is_from_label(&install(), &Frame::parse(&up).unwrap()));
    assert!(security::is_from_label(&Key::new([9; 16]), &Frame::parse(&up).unwrap()));
}

// [PLG-5.7-1]
#[test]
fn both_sides_of_a_resume_hold_the_same_new_keys() {
    let (kek, plain) = (keys().kek, Options::default());
    let (mut a, mut b, mut c) = ([0; MAX_PDU], [0; MAX_PDU], [0; MAX_PDU]);
    let ask =
        Frame::parse(security::ask_resume(&kek, &WHO, LATER_NONCES.gateway, plain, &mut a).unwrap()).unwrap();
    let gateway_nonce = security::is_resume_ask(&kek, &WHO, &ask).unwrap();
    let nonces = Nonces { socket: LATER_NONCES.socket, gateway: gateway_nonce };
    let up = Frame::parse(security::answer_resume(&kek, &WHO, &nonces, plain, &mut b).unwrap()).unwrap();
    assert_eq!(security::is_resume_up(&kek, &WHO, LATER_NONCES.gateway, &up), Some(nonces));
    assert_eq!(security::is_resume_up(&kek, &WHO, NG, &up), None);
    let grant = Grant { slot: None, ..grant() };
    let joined = Joined { identity: WHO, keys: KeySet::resumed(&kek, &WHO, &nonces), grant };
    let down = Frame::parse(security::finish_resume(&joined, plain, &mut c).unwrap()).unwrap();
    assert_eq!(security::accept_resume(&kek, &WHO, &nonces, &down), Ok(joined.clone()));
    assert_eq!(security::accept_resume(&kek, &WHO, &LATER_NONCES, &ask), Err(JoinError::NotForUs));
    assert_ne!(joined.keys.up, keys().up);
    assert_eq!(joined.keys.kek, kek);
}

// [PLG-5.8-2]
#[test]
fn no_key_is_shown_by_a_debug_line() {
    let label = plugline_protocol::label::Label { eui: WHO.eui, install_key: install() };
    let joined = Joined { identity: WHO, keys: keys(), grant: grant() };
    let shown = format!("{joined:?} {label:?} {:?}", security::ShortKey::new(&keys().ack, &WHO));
    for key in [keys().up, keys().down, keys().ack, keys().wrap, keys().kek, install(), grant().group_key] {
        let octets: Vec<String> = key.octets().iter().take(4).map(u8::to_string).collect();
        assert!(!shown.contains(&octets.join(", ")), "{shown}");
    }
    assert!(shown.contains("Key(..)"), "{shown}");
}
