//! Stored forms come back as they were, and damage is seen.

use proptest::prelude::*;

use super::samples::{any_command, any_device, any_event, command, device, reading, token};
use super::*;
use crate::device::{Epoch, GatewayId};
use crate::hub::feed::{Body, Change, Event, Fresh};

proptest! {
    #[test]
    fn what_is_stored_comes_back_as_it_was(event in any_event(), device in any_device(), command in any_command()) {
        let mut stored = Vec::new();
        append_event(&event, &mut stored);
        prop_assert_eq!(seq_of(&stored), Some(event.seq));
        let head = head_of(&stored).expect("it was stored now");
        let fresh = &event.fresh;
        prop_assert_eq!((head.seq, head.unix_ms), (event.seq, fresh.unix_ms));
        prop_assert_eq!(head.device, fresh.device.as_ref().map(DeviceId::as_str));
        prop_assert_eq!(head.reading, matches!(fresh.body, Body::Reading(_)));
        prop_assert_eq!(event_of(&stored), Ok(event));
        prop_assert_eq!(unseal_device(&seal_device(&device)), Ok(device));
        prop_assert_eq!(unseal_command(&seal_command(&command)), Ok(command));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut marked = vec![SCHEMA];
        marked.extend(&bytes);
        for stored in [&bytes, &marked, &seal(&bytes)] {
            prop_assert!(event_of(stored).is_err() || seq_of(stored).is_some());
            prop_assert!(unseal_device(stored).is_err());
            prop_assert!(unseal_command(stored).is_err());
        }
    }
}

#[test]
fn a_flipped_bit_is_seen_wherever_it_is() {
    let sealed = seal_device(&device("dlt645_000000004711"));
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(unseal_device(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn a_value_of_a_later_schema_is_told_from_a_damaged_one() {
    let mut stored = Vec::new();
    append_event(&reading(7, 1), &mut stored);
    stored[0] = SCHEMA + 1;
    assert_eq!(event_of(&stored), Err(Unreadable::Schema { got: SCHEMA + 1 }));
    assert_eq!(seq_of(&stored), Some(7));
}

/// A golden form: it changes only together with the schema number.
#[test]
fn stored_forms_of_schema_1_stay_as_they_are() {
    let mut stored = Vec::new();
    append_event(&reading(300, 41_700), &mut stored);
    assert_eq!(
        stored.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        "01ac02f6f9b2e5bd68000113646c743634355f303030303030303034373131001b04c88b05a48bb09909d09f1c981c"
    );
    let value = seal_command(&command("cmd_01jd2e3f4g5h6j7k8m9n0p1q2r"));
    assert_eq!(
        String::from_utf8_lossy(&value[SEAL..]),
        r#"{"id":"cmd_01jd2e3f4g5h6j7k8m9n0p1q2r","device":"dlt645_000000004711","action":{"switch":{"on":true}},"state":"accepted","version":1,"outcome":null,"error":null,"attempts":0,"created_unix_ms":1795000000000,"expires_unix_ms":1795000030000,"times_unix_ms":{"accepted":1795000000000},"requested_by":"http","idempotency":null,"transaction":null,"response_topic":null,"correlation":null,"started":false,"parts":[],"part_of":null}"#
    );
}

/// Written before there were groups.
#[test]
fn records_that_end_earlier_are_read_too() {
    for (kept, fields) in [
        (seal_device(&device("dlt645_000000004711")), r#","groups":[],"members":null"#),
        (seal_command(&command("cmd_01jd2e3f4g5h6j7k8m9n0p1q2r")), r#","parts":[],"part_of":null"#),
    ] {
        let payload = String::from_utf8(kept[SEAL..].to_vec()).unwrap();
        assert!(payload.contains(fields), "{payload}");
        let older = seal(payload.replace(fields, "").as_bytes());
        let read = [unseal_device(&older).map(drop), unseal_command(&older).map(drop)];
        assert!(read.contains(&Ok(())), "{read:?}");
    }
    for body in [
        Body::Device { change: Change::Added, device: Arc::new(device("dlt645_000000004711")) },
        Body::Command(Arc::new(command("cmd_01jd2e3f4g5h6j7k8m9n0p1q2r"))),
    ] {
        let event = Event { fresh: Fresh { body, ..reading(7, 1).fresh }, seq: 7 };
        let mut stored = Vec::new();
        append_event(&event, &mut stored);
        assert_eq!(stored[stored.len() - 2..], [0, 0], "two empty fields of a byte each");
        assert_eq!(event_of(&stored[..stored.len() - 2]), Ok(event));
    }
}

#[test]
fn the_sidecar_reads_back_and_refuses_a_changed_letter() {
    let registry = Registry {
        meta: Meta {
            gateway: GatewayId::parse("gw_aaaaaaaaaa").unwrap(),
            epoch: Epoch::parse("k3f9q2mz"),
            generation: 7,
            devices: 1,
            checkpoint: 12,
            resume: [LineName::parse("plug").unwrap()].into(),
        },
        devices: vec![Arc::new(device("dlt645_000000004711"))],
        lines: vec![(LineName::parse("plug").unwrap(), Arc::from([0, 0x7f, 0xff]))],
        tokens: vec![Arc::new(token("tok_a"))],
    };
    let text = sidecar_text(&registry);
    assert_eq!(sidecar_of(&text), Ok(registry));
    assert!(matches!(sidecar_of(&text.replace("Kettle", "kettle")), Err(Unreadable::Checksum { .. })));
    assert!(sidecar_of(&text[..text.len() / 2]).is_err());
    assert!(sidecar_of("").is_err());
}
