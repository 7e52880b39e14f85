//! Nothing of the originals is left, and who is who can still be told.

use proptest::prelude::*;

use super::*;

fn house() -> Redactor {
    let mut redactor = Redactor::default();
    for (number, (id, name, address)) in (1..).zip([
        ("dlt645_000000004711", "Grandma's heater", "000000004711"),
        ("insteon_1a777b", "Heater", "1a777b"),
        ("plugline_02a0b1fffe001234", "TV", "02a0b1fffe001234"),
        ("group_1", "Grandma's heaters", ""),
    ]) {
        redactor.hide_numbered(Kind::Device, id, number);
        redactor.hide_numbered(Kind::Name, name, number);
        redactor.hide_numbered(Kind::Address, address, number);
    }
    redactor.hide(Kind::Host, "attic");
    redactor
}

#[test]
fn of_two_names_the_longer_one_counts_and_a_short_one_is_no_part_of_a_word() {
    for (text, wanted) in [
        ("Grandma's heaters, Grandma's heater, heater, HEATER", "name-4, name-1, name-2, name-2"),
        ("preheaters", "preheaters"),
        ("\"TV\" tv TVs", "\"name-3\" name-3 TVs"),
        ("a \\nTV", "a \\nname-3"),
    ] {
        assert_eq!(house().redact(text), wanted);
    }
}

#[test]
fn an_original_is_found_however_it_is_written() {
    for (text, wanted) in [
        ("dlt645_000000004711 of 000000004711", "device-1 of address-1"),
        ("plugline/gw/device/dlt645_000000004711/set", "plugline/gw/device/device-1/set"),
        ("1A.77.7B, 1a777b, 02501A777B1F", "address-2, address-2, 0250address-21F"),
        ("02:A0:B1:FF:FE:00:12:34 and 02A0B1FFFE001234", "address-3 and address-3"),
        ("68 11 47 00 00 00 00 68", "68 address-1 68"),
        ("/v1/groups/Grandma%27s%20heater grandma_s_heater", "/v1/groups/name-1 name-1"),
    ] {
        assert_eq!(house().redact(text), wanted);
    }
    let mut redactor = Redactor::default();
    redactor.hide(Kind::Name, "\"My\" \\ lamp");
    let said = format!("{:?}", "\"My\" \\ lamp");
    assert_eq!(redactor.redact(&format!("name={said} in {}", serde_json::json!(said))), {
        "name=\"name-1\" in \"\\\"name-1\\\"\""
    });
}

#[test]
fn what_nobody_told_of_is_known_by_its_looks() {
    for (text, wanted) in [
        ("mqtts://me:s3@cret@broker.home:8883/x", "mqtts://user-1@host-1:8883/x"),
        ("mqtt://…@broker and broker", "mqtt://…@host-1 and host-1"),
        ("tcp://[fe80::1]:3333, fe80::1", "tcp://[host-1]:3333, host-1"),
        (
            "http://127.0.0.1:8480 [::1]:1 0.0.0.0:80 localhost",
            "http://127.0.0.1:8480 [::1]:1 0.0.0.0:80 localhost",
        ),
        ("from 192.168.1.20:3333 and 10.0.0.2.", "from host-1:3333 and host-2."),
        ("anna.b@example.org, ann@box", "mail-1, mail-2"),
        ("plgu_0123456789abcdef plgs_ABCDEFGH12", "token-1 token-2"),
        ("Authorization: Bearer abc.DEF-123", "Authorization: Bearer token-1"),
        ("--code PLG1:02A0B1FFFE001234:000G40R40M:08Y6", "--code label-1"),
        ("config=/home/anna/plugline.toml by anna", "config=/home/user-1/plugline.toml by user-1"),
        ("left: dlt645_000000004799 gw_abcdefg234", "left: device-1 gateway"),
        ("foreign 2C.0D.11, 0011223344556677", "foreign address-1, address-2"),
        ("24:6F:28:aa:bb:cc", "address-1"),
        ("10.11.12.1", "host-1"),
        (
            "connected to broker.home:1883, no gateway at attic:80;",
            "connected to host-1:1883, no gateway at host-2:80;",
        ),
    ] {
        assert_eq!(Redactor::default().redact(text), wanted);
    }
}

#[test]
fn what_tells_nothing_of_anybody_stays() {
    for text in [
        "2026-11-18T11:06:40.123Z info plugline::port: open port=/dev/ttyUSB0",
        "version 0.1.0 (5a2324906b78) 1795000000000123 after 12:30:15",
        "plugline_line_heard_total{line=\"dlt645\"} 47",
        "sha256 AB:CD:EF:01:23:45:67:89:AB:CD",
        "Basic configuration at /var/lib/plugline",
        "cargo::rerun and a::b",
    ] {
        assert_eq!(Redactor::default().redact(text), text);
    }
    let mut redactor = Redactor::default();
    for host in ["plugline", "mqtt"] {
        redactor.hide(Kind::Host, host);
        redactor.hide(Kind::User, host);
    }
    assert_eq!(redactor.redact("plugline mqtt"), "plugline mqtt");
}

#[test]
fn a_name_of_one_letter_or_a_small_number_is_hidden_between_quotes_alone() {
    let mut redactor = Redactor::default();
    redactor.hide(Kind::Name, "1");
    redactor.hide(Kind::Name, "A");
    assert_eq!(
        redactor.redact("{\"name\":\"1\",\"n\":1} a \"A\""),
        "{\"name\":\"name-1\",\"n\":1} a \"name-2\""
    );
}

#[test]
fn a_stand_in_is_the_same_everywhere() {
    let mut redactor = house();
    let first = redactor.redact("Heater at attic, dlt645_000000009999, 192.168.0.9");
    assert_eq!(first, "name-2 at host-1, device-5, host-2");
    assert_eq!(
        redactor.redact("192.168.0.9 DLT645_000000009999 tcp://ATTIC:1"),
        "host-2 device-5 tcp://host-1:1"
    );
}

/// No part of a stand-in, and no hex that could be read as an address.
fn originals() -> impl Strategy<Value = Vec<(Kind, String)>> {
    let kind = prop_oneof![
        (Just(Kind::Name), "[A-Zäöü][a-zß]{2,8}( [A-Z'\"\\\\][a-zé]{1,6}){0,2}"),
        (Just(Kind::Host), "[g-z]{4,9}(\\.[g-z]{3,5})?"),
        (Just(Kind::User), "[g-z]{4,9}"),
        (Just(Kind::Device), "dlt645_[0-9]{12}"),
        (Just(Kind::Address), "[0-9a-f]{12}"),
        (Just(Kind::Token), "plgu_[0-9A-Za-z]{36}"),
    ];
    proptest::collection::vec(kind, 1..12)
}

const SIGNS: [&str; 10] = [" ", "\"", "/", "=", ", ", ": ", "\n", "(", "\\n", "'"];

proptest! {
    #[test]
    fn nothing_of_an_original_survives_between_any_signs(
        originals in originals(),
        signs in proptest::collection::vec(0..SIGNS.len(), 24),
        escaped in any::<bool>(),
    ) {
        let mut redactor = Redactor::default();
        let mut text = String::from("it");
        for (index, (kind, original)) in originals.iter().enumerate() {
            redactor.hide(*kind, original);
            text += SIGNS[signs[index]];
            text += &if escaped { super::escaped(original) } else { original.clone() };
            text += SIGNS[signs[index + 12]];
        }
        let clean = redactor.redact(&text).to_lowercase();
        for (kind, original) in &originals {
            let harmless = matches!(kind, Kind::Host | Kind::User) && ANYBODY.contains(&&**original);
            let own = "name host user device address token gateway";
            prop_assume!(!harmless && !own.contains(&original.to_lowercase()));
            prop_assert!(!clean.contains(&original.to_lowercase()), "{original:?} in {clean:?}");
        }
        // The same once more: nothing new is learnt of what is clean, and stand-ins are nobody's originals.
        prop_assert_eq!(redactor.redact(&text).to_lowercase(), clean);
    }

    #[test]
    fn any_text_at_all_is_taken(text in "\\PC{0,80}", name in "\\PC{0,12}") {
        let mut redactor = Redactor::default();
        redactor.hide(Kind::Name, &name);
        redactor.hide(Kind::Address, &name);
        redactor.redact(&text);
    }
}
