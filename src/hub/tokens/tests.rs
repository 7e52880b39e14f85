//! Tokens and the list of changes in virtual time: what is kept, with what, and when it counts.

use super::*;
use crate::access::AUDIT_MAX;
use crate::device::Moment;
use crate::hub::{Asked, RequestId};

const START_MS: i64 = 1_795_000_000_000;

fn at(seconds: u64) -> Now {
    let unix_ms = START_MS + i64::try_from(seconds).unwrap() * 1000;
    Now { mono: Moment(Duration::from_secs(seconds)), unix_ms, synchronised: true }
}

fn hub() -> Hub {
    let mut hub = Hub::new(Vec::new(), "test", 1);
    hub.begin(at(0));
    drain(&mut hub);
    hub
}

fn drain(hub: &mut Hub) -> Vec<Output> {
    std::iter::from_fn(|| hub.poll_output()).collect()
}

fn ask(hub: &mut Hub, by: By, request: AccessRequest, now: Now) -> Vec<Output> {
    hub.handle_request(RequestId(1), Asked { by, request: Request::Access(request) }, now);
    drain(hub)
}

fn token_id(number: usize) -> TokenId {
    TokenId::parse(&format!("tok_{number}")).unwrap()
}

fn new(number: usize, lives: Option<Duration>) -> AccessRequest {
    AccessRequest::Mint(NewToken {
        id: token_id(number),
        digest: Digest::of(&number.to_string()),
        name: "Tablet".into(),
        scope: Scope::Switch,
        reach: None,
        lives,
    })
}

fn session(number: usize, token: usize) -> AccessRequest {
    AccessRequest::OpenSession {
        id: SessionId::parse(&format!("ses_{number}")).unwrap(),
        digest: Digest::of(&format!("cookie {number}")),
        token: token_id(token),
    }
}

fn records(outputs: &[Output]) -> Vec<&Record> {
    let kept = outputs.iter().filter_map(|output| match &output.effect {
        Effect::Persist(_, records) | Effect::Checkpoint(records) => Some(records),
        _ => None,
    });
    kept.flatten().collect()
}

fn refusal(outputs: &[Output]) -> Option<&Refused> {
    outputs.iter().find_map(|output| match &output.effect {
        Effect::Answer(_, answer) => answer.as_ref().err(),
        _ => None,
    })
}

#[test]
fn a_token_and_the_word_about_it_are_kept_in_one_transaction_and_count_once_they_are() {
    let mut hub = hub();
    let outputs = ask(&mut hub, By::Local, new(1, None), at(1));
    let kept: Vec<_> = outputs.iter().filter(|output| matches!(output.effect, Effect::Persist(..))).collect();
    assert_eq!(kept.len(), 1, "{outputs:?}");
    assert!(matches!(
        *records(&outputs),
        [Record::Access(Change::Token(_)), Record::Access(Change::Noted(_))]
    ));
    let visible =
        outputs.iter().filter(|output| matches!(output.effect, Effect::ShowAccess(_) | Effect::Answer(..)));
    assert!(visible.clone().count() == 3 && visible.clone().all(|output| output.after.is_some()));
}

#[test]
fn what_was_refused_and_what_the_gateway_does_itself_is_not_in_the_list() {
    let mut hub = hub();
    let refused = ask(&mut hub, By::Local, AccessRequest::Revoke(token_id(1)), at(1));
    assert_eq!(refusal(&refused), Some(&Refused::UnknownToken(token_id(1))));
    assert!(records(&refused).is_empty());
    ask(&mut hub, By::Gateway, new(1, None), at(1));
    assert_eq!(hub.book.noted().count(), 0);
    let note = AccessRequest::Note { action: "config.change".into(), target: None };
    let noted = ask(&mut hub, By::Mqtt, note, at(2));
    assert!(matches!(*records(&noted), [Record::Access(Change::Noted(_))]), "an edge's own doing is");
}

#[test]
fn the_list_keeps_the_newest_thousand_and_never_gives_a_number_twice() {
    let mut hub = hub();
    let note = || AccessRequest::Note { action: "x".into(), target: None };
    for _ in 0..AUDIT_MAX {
        ask(&mut hub, By::Local, note(), at(1));
    }
    let outputs = ask(&mut hub, By::Local, note(), at(2));
    assert!(records(&outputs).contains(&&Record::Access(Change::NotedGone(1))));
    let numbers: Vec<u64> = hub.book.noted().map(|noted| noted.number).collect();
    assert_eq!((numbers.len(), numbers[0], numbers[AUDIT_MAX - 1]), (AUDIT_MAX, 1001, 2));
}

#[test]
fn a_token_that_is_over_is_forgotten_with_its_sessions() {
    let mut hub = hub();
    ask(&mut hub, By::Local, new(1, Some(Duration::from_secs(60))), at(1));
    ask(&mut hub, By::Local, session(1, 1), at(2));
    hub.handle_timeout(at(60));
    assert!(records(&drain(&mut hub)).is_empty(), "a second is left");
    hub.handle_timeout(at(61));
    let outputs = drain(&mut hub);
    let gone = [
        Record::Access(Change::SessionGone(SessionId::parse("ses_1").unwrap())),
        Record::Access(Change::TokenGone(token_id(1))),
    ];
    assert!(gone.iter().all(|gone| records(&outputs).contains(&gone)), "{outputs:?}");
    assert_eq!(hub.book.tokens().count() + hub.book.sessions().count(), 0);
}

#[test]
fn a_token_that_followed_another_lives_as_long_as_that_one_would_have() {
    let mut hub = hub();
    ask(&mut hub, By::Local, new(1, Some(Duration::from_secs(3600))), at(0));
    let rotate = AccessRequest::Rotate { token: token_id(1), id: token_id(2), digest: Digest::of("2") };
    ask(&mut hub, By::Cli, rotate, at(600));
    let (old, fresh) = (hub.book.token(&token_id(1)).unwrap(), hub.book.token(&token_id(2)).unwrap());
    assert_eq!(fresh.expires_unix_ms, Some(at(4200).unix_ms));
    assert_eq!((old.ends_unix_ms(), &*fresh.created_by), (Some(at(3600).unix_ms), "cli"));
    assert_eq!(old.retires_unix_ms, Some(at(600).unix_ms + ROTATED_LIVES_MS));
}

#[test]
fn one_token_too_many_is_refused_and_one_session_too_many_ends_the_idlest() {
    let mut hub = hub();
    for number in 0..TOKENS_MAX {
        assert_eq!(refusal(&ask(&mut hub, By::Local, new(number, None), at(1))), None);
    }
    let full = ask(&mut hub, By::Local, new(TOKENS_MAX, None), at(1));
    assert_eq!(refusal(&full), Some(&Refused::TooManyTokens { limit: TOKENS_MAX }));
    for number in 0..SESSIONS_MAX {
        ask(&mut hub, By::Local, session(number, 0), at(2));
    }
    let idle = |number: usize| SessionId::parse(&format!("ses_{number}")).unwrap();
    hub.handle_uses((1..SESSIONS_MAX).map(|number| (Grant::Session(idle(number)), at(100).unix_ms)));
    ask(&mut hub, By::Local, session(SESSIONS_MAX, 0), at(200));
    assert_eq!(hub.book.sessions().count(), SESSIONS_MAX);
    assert_eq!(hub.book.session(&idle(0)), None);
}

#[test]
fn the_last_use_is_told_at_once_and_kept_at_the_next_checkpoint() {
    let mut hub = hub();
    ask(&mut hub, By::Local, new(1, None), at(1));
    hub.handle_uses([(Grant::Token(token_id(1)), at(60).unix_ms), (Grant::Token(token_id(9)), 0)]);
    let outputs = drain(&mut hub);
    assert!(records(&outputs).is_empty() && outputs.len() == 1, "{outputs:?}");
    assert!(matches!(&outputs[0].effect, Effect::ShowAccess(Change::Token(token))
        if token.last_used_unix_ms == Some(at(60).unix_ms)));
    hub.handle_stop(at(61));
    let kept = drain(&mut hub);
    assert!(matches!(*records(&kept), [Record::Access(Change::Token(_))]), "{kept:?}");
    hub.handle_stop(at(62));
    assert!(records(&drain(&mut hub)).is_empty(), "once");
}
