//! Attacks on tokens, and the rules of scopes and reach.

use proptest::prelude::*;

use super::ticket::{Key, TICKET_S};
use super::*;

const NOW: i64 = 1_795_000_000_000;

fn secret(seed: u8) -> TokenText {
    TokenText::mint(Kind::User, [seed; RANDOM_BYTES])
}

fn id(text: &str) -> DeviceId {
    DeviceId::parse(text).expect("an id")
}

fn token(text: &TokenText) -> Token {
    Token {
        id: TokenId::parse("tok_a").expect("an id"),
        name: "Tablet".into(),
        digest: text.digest(),
        scope: Scope::Switch,
        reach: None,
        created_unix_ms: NOW,
        created_by: "local".into(),
        expires_unix_ms: None,
        retires_unix_ms: None,
        last_used_unix_ms: None,
    }
}

fn book(tokens: impl IntoIterator<Item = Token>) -> Book {
    let mut book = Book::default();
    tokens.into_iter().for_each(|token| book.take(Change::Token(Arc::new(token))));
    book
}

#[test]
fn a_token_has_the_form_that_scanners_look_for() {
    let text = secret(7).expose().to_owned();
    assert_eq!(text.len(), 41);
    assert!(text.starts_with("plgu_"));
    assert!(text[5..].bytes().all(|byte| byte.is_ascii_alphanumeric()));
    // Frozen: a checksum computed otherwise would refuse every token ever given.
    let zeros = TokenText::mint(Kind::Admin, [0; RANDOM_BYTES]);
    assert_eq!(zeros.expose(), "plga_0000000000000000000000000000003ZiNhU");
}

#[test]
fn a_wrong_checksum_is_refused_without_a_look_up() {
    let mut text = secret(7).expose().to_owned();
    let last = if text.ends_with('0') { "1" } else { "0" };
    text.replace_range(40.., last);
    // A look-up takes a parsed text, and there is none.
    assert_eq!(TokenText::parse(&text), Err(BadToken::Checksum));
}

#[test]
fn the_digest_of_a_token_is_not_accepted_as_a_token() {
    let text = secret(7);
    assert_eq!(TokenText::parse(&text.digest().to_hex()), Err(BadToken::Form));
    let dressed = format!("plgu_{}", &text.digest().to_hex()[..36]);
    assert_eq!(TokenText::parse(&dressed), Err(BadToken::Checksum));
}

#[test]
fn no_part_of_a_token_is_accepted_and_nothing_around_it() {
    let text = secret(7).expose().to_owned();
    for end in 0..text.len() {
        assert!(TokenText::parse(&text[..end]).is_err());
        assert!(TokenText::parse(&text[end + 1..]).is_err());
    }
    for around in [format!("{text}0"), format!(" {text}"), format!("{text}\n"), format!("{text}{text}")] {
        assert!(TokenText::parse(&around).is_err(), "{around:?}");
    }
}

#[test]
fn a_well_formed_token_that_nobody_was_given_is_nobodys() {
    let book = book([token(&secret(7))]);
    assert!(book.find(&secret(7), NOW).is_some());
    assert_eq!(book.find(&secret(8), NOW), None);
}

#[test]
fn an_expired_token_is_refused_from_that_millisecond_on() {
    let book = book([Token { expires_unix_ms: Some(NOW + 10), ..token(&secret(7)) }]);
    assert!(book.find(&secret(7), NOW + 9).is_some());
    assert_eq!(book.find(&secret(7), NOW + 10), None);
}

#[test]
fn a_rotated_token_ends_at_the_earlier_of_its_two_ends() {
    let retired = Token {
        expires_unix_ms: Some(NOW + ROTATED_LIVES_MS * 2),
        retires_unix_ms: Some(NOW + ROTATED_LIVES_MS),
        ..token(&secret(7))
    };
    let book = book([retired]);
    assert!(book.find(&secret(7), NOW + ROTATED_LIVES_MS - 1).is_some());
    assert_eq!(book.find(&secret(7), NOW + ROTATED_LIVES_MS), None);
}

#[test]
fn a_revoked_token_takes_its_sessions_with_it() {
    let (text, cookie) = (secret(7), TokenText::mint(Kind::Session, [9; RANDOM_BYTES]));
    let mut book = book([token(&text)]);
    let token = TokenId::parse("tok_a").expect("an id");
    let session = Session {
        id: SessionId::parse("ses_a").expect("an id"),
        digest: cookie.digest(),
        token: token.clone(),
        created_unix_ms: NOW,
        last_used_unix_ms: NOW,
    };
    book.take(Change::Session(Arc::new(session)));
    let holder = book.find(&cookie, NOW).expect("it is open");
    assert_eq!(holder.by.to_string(), "token:Tablet");
    assert_eq!(book.find(&cookie, NOW + SESSION_IDLE_MS), None, "nobody used it");
    book.take(Change::TokenGone(token));
    assert_eq!(book.find(&text, NOW), None);
    assert_eq!(book.find(&cookie, NOW), None);
}

#[test]
fn a_ticket_is_good_for_its_path_and_its_time_and_cannot_be_changed() {
    let key = Key([3; 32]);
    let holder = Grant::Token(TokenId::parse("tok_a").expect("an id"));
    let ends = NOW / 1000 + TICKET_S;
    let text = key.ticket("/v1/events", &holder, ends);
    let check = |text: &str, path| key.check(text, path, NOW);
    assert_eq!(check(&text, "/v1/events"), Some(holder.clone()));
    assert_eq!(check(&text, "/v1/devices"), None);
    assert_eq!(key.check(&text, "/v1/events", ends * 1000), None, "over");
    assert_eq!(Key([4; 32]).check(&text, "/v1/events", NOW), None, "of another run");
    for forged in [
        text.replace("tok_a", "cli"),
        text.replace(&ends.to_string(), &(ends + 1).to_string()),
        text[..text.len() - 2].to_owned(),
        format!("{text}.x"),
        String::from("plgt_"),
    ] {
        assert_eq!(check(&forged, "/v1/events"), None, "{forged}");
    }
}

#[test]
fn who_is_bound_to_a_group_reaches_its_members_and_nothing_else() {
    let bound = Principal { reach: Some([id("group_attic"), id("lamp")].into()), ..Principal::local() };
    let members = |group: &DeviceId| match group.as_str() {
        "group_attic" => vec![id("fan")],
        _ => Vec::new(),
    };
    for (device, reached) in [("lamp", true), ("group_attic", true), ("fan", true), ("kettle", false)] {
        assert_eq!(bound.reaches(&id(device), members), reached, "{device}");
    }
    assert!(Principal::local().reaches(&id("kettle"), members));
    assert!(!Principal::stranger().reaches(&id("kettle"), members));
}

#[test]
fn a_scope_includes_those_below_it() {
    let user = Principal { scope: Scope::Switch, ..Principal::local() };
    let words: Vec<&str> = user.scopes().map(Scope::name).collect();
    assert_eq!(words, ["read", "switch"]);
    assert!(!user.may(Scope::Manage));
}

#[test]
fn nothing_that_is_printed_for_developers_tells_a_secret() {
    let text = secret(7);
    let shown = format!("{text:?} {:?} {:?}", token(&text), Key([7; 32]));
    assert!(!shown.contains(&text.expose()[5..]) && !shown.contains("7, 7"), "{shown}");
    assert!(!shown.contains(&text.digest().to_hex()));
}

proptest! {
    #[test]
    fn every_minted_token_parses_and_every_changed_character_is_noticed(
        random: [u8; RANDOM_BYTES], at in 0_usize..41, other in "[0-9A-Za-z_]",
    ) {
        let text = TokenText::mint(Kind::Admin, random);
        prop_assert_eq!(TokenText::parse(text.expose()), Ok(text.clone()));
        let mut changed = text.expose().to_owned();
        changed.replace_range(at..=at, &other);
        prop_assert_eq!(TokenText::parse(&changed).is_ok(), changed == text.expose());
    }

    #[test]
    fn parsing_takes_any_text(text: String, tail in "plg[uas]_.{0,40}", path: String) {
        for text in [text, tail] {
            prop_assert!(TokenText::parse(&text).is_err());
            prop_assert!(Key::default().check(&text, &path, NOW).is_none());
        }
    }

    #[test]
    fn a_digest_survives_its_digits(text: String) {
        let digest = Digest::of(&text);
        prop_assert_eq!(Digest::from_hex(&digest.to_hex()), Some(digest));
    }
}
