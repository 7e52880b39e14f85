//! Names of topics, both ways: a typed topic to its text and back. Pure; knows no payload.
//!
//! Spec: `protocol-spec/mqtt.md`, Topics.

use std::sync::Arc;

use crate::device::{DeviceId, GatewayId, LineName};

/// Longest verb that is looked at; the longest of the contract has eleven letters.
const VERB_MAX: usize = 32;

/// What a topic below the base, or one of Home Assistant's, is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic {
    /// `status`: the gateway is there; also the will.
    Status,
    /// `gateway`: version, feed, lines.
    Gateway,
    /// `line/{line}`: its modem answers.
    Line(LineName),
    /// `device/{id}/…`.
    Device(DeviceId, Leaf),
    /// `request/{verb}`, in.
    Request(Arc<str>),
    /// `response/{verb}`, out.
    Response(Arc<str>),
    /// `{discovery_prefix}/status`: Home Assistant came or went.
    Birth,
    /// `{discovery_prefix}/device/plugline_{root}/config`.
    Discovery(Arc<str>),
}

/// The last level of a device's topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// It answers; retained.
    Availability,
    /// Its relay; retained.
    Relay,
    /// Newest values; retained.
    Reading,
    /// Values that came late.
    History,
    /// Commands to it, in.
    Set,
    /// How commands ended.
    Result,
}

/// All leaves with their words.
pub const LEAVES: [(Leaf, &str); 6] = [
    (Leaf::Availability, "availability"),
    (Leaf::Relay, "relay"),
    (Leaf::Reading, "reading"),
    (Leaf::History, "history"),
    (Leaf::Set, "set"),
    (Leaf::Result, "result"),
];

impl Leaf {
    fn word(self) -> &'static str {
        LEAVES[self as usize].1
    }
}

/// A base or prefix that cannot stand before topics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "topic `{given}`: want 1 … 128 bytes without `+`, `#`, blanks, control characters or a `/` at an end"
)]
pub struct BadTopic {
    /// The text as given.
    pub given: String,
}

/// Checks a base or prefix.
///
/// # Errors
/// [`BadTopic`] when no topic could begin with it.
pub fn check_base(text: &str) -> Result<(), BadTopic> {
    let bad = |c: char| c == '+' || c == '#' || c.is_whitespace() || c.is_control();
    let edges = text.starts_with('/') || text.ends_with('/') || text.starts_with('$');
    match text.is_empty() || text.len() > 128 || edges || text.contains(bad) {
        true => Err(BadTopic { given: text.to_owned() }),
        false => Ok(()),
    }
}

/// Where our topics hang.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    base: String,
    discovery_prefix: String,
}

impl Topics {
    /// Topics of a gateway; `{gateway}` in `base` becomes its id.
    #[must_use]
    pub fn new(base: &str, discovery_prefix: &str, gateway: &GatewayId) -> Self {
        let base = base.replace("{gateway}", gateway.as_str());
        Self { base, discovery_prefix: discovery_prefix.to_owned() }
    }

    /// The topic's text.
    #[must_use]
    pub fn name(&self, topic: &Topic) -> String {
        let (base, prefix) = (&self.base, &self.discovery_prefix);
        match topic {
            Topic::Status => format!("{base}/status"),
            Topic::Gateway => format!("{base}/gateway"),
            Topic::Line(line) => format!("{base}/line/{line}"),
            Topic::Device(id, leaf) => format!("{base}/device/{id}/{}", leaf.word()),
            Topic::Request(verb) => format!("{base}/request/{verb}"),
            Topic::Response(verb) => format!("{base}/response/{verb}"),
            Topic::Birth => format!("{prefix}/status"),
            Topic::Discovery(root) => format!("{prefix}/device/plugline_{root}/config"),
        }
    }

    /// A device's topic as text.
    #[must_use]
    pub fn device(&self, id: &DeviceId, leaf: Leaf) -> String {
        format!("{}/device/{id}/{}", self.base, leaf.word())
    }

    /// What the text names; `None` when it is none of ours.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<Topic> {
        let below = |base: &str| text.strip_prefix(base)?.strip_prefix('/');
        if let Some(rest) = below(&self.base)
            && let Some(topic) = parse_own(rest)
        {
            return Some(topic);
        }
        match below(&self.discovery_prefix)? {
            "status" => Some(Topic::Birth),
            rest => {
                let root = rest.strip_prefix("device/plugline_")?.strip_suffix("/config")?;
                DeviceId::parse(root).map(|_| Topic::Discovery(root.into()))
            }
        }
    }

    /// What is subscribed and may be switched by: filters of commands and requests.
    #[must_use]
    pub fn inward(&self) -> [String; 2] {
        [format!("{}/device/+/set", self.base), format!("{}/request/+", self.base)]
    }

    /// An answer may go there: a plain topic outside our own and Home Assistant's, so that nobody makes the gateway
    /// speak where its own words are believed.
    #[must_use]
    pub fn may_answer_on(&self, text: &str) -> bool {
        let bad = |c: char| c == '+' || c == '#' || c.is_control();
        let inside =
            |base: &str| text.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        !text.is_empty()
            && !text.starts_with('$')
            && !text.contains(bad)
            && !inside(&self.base)
            && !inside(&self.discovery_prefix)
    }
}

fn parse_own(rest: &str) -> Option<Topic> {
    let levels: Vec<&str> = rest.split('/').collect();
    match *levels.as_slice() {
        ["status"] => Some(Topic::Status),
        ["gateway"] => Some(Topic::Gateway),
        ["line", line] => LineName::parse(line).map(Topic::Line),
        ["request", verb] => parse_verb(verb).map(Topic::Request),
        ["response", verb] => parse_verb(verb).map(Topic::Response),
        ["device", id, word] => {
            let (leaf, _) = LEAVES.iter().find(|(_, known)| *known == word)?;
            Some(Topic::Device(DeviceId::parse(id)?, *leaf))
        }
        _ => None,
    }
}

fn parse_verb(text: &str) -> Option<Arc<str>> {
    let fits =
        (1..=VERB_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    fits.then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        let gateway = GatewayId::parse("gw_aaaaaaaaaa").expect("an id");
        Topics::new("plugline/{gateway}", "homeassistant", &gateway)
    }

    fn id() -> DeviceId {
        DeviceId::parse("insteon_2c0d11_2").expect("an id")
    }

    #[test]
    fn every_topic_comes_back_from_its_name() {
        let line = LineName::parse("cellar").expect("a name");
        let mut all = vec![
            Topic::Status,
            Topic::Gateway,
            Topic::Line(line),
            Topic::Request("permit_join".into()),
            Topic::Response("health".into()),
            Topic::Birth,
            Topic::Discovery("insteon_2c0d11".into()),
        ];
        all.extend(LEAVES.iter().map(|(leaf, _)| Topic::Device(id(), *leaf)));
        for topic in all {
            assert_eq!(topics().parse(&topics().name(&topic)), Some(topic.clone()), "{topic:?}");
        }
    }

    #[test]
    fn the_words_stand_in_the_order_of_the_leaves() {
        for (index, (leaf, word)) in LEAVES.iter().enumerate() {
            assert_eq!(*leaf as usize, index, "{word}");
        }
    }

    #[test]
    fn names_are_those_of_the_contract() {
        assert_eq!(
            topics().name(&Topic::Device(id(), Leaf::Set)),
            "plugline/gw_aaaaaaaaaa/device/insteon_2c0d11_2/set"
        );
        assert_eq!(
            topics().name(&Topic::Discovery("insteon_2c0d11".into())),
            "homeassistant/device/plugline_insteon_2c0d11/config"
        );
        assert_eq!(topics().name(&Topic::Birth), "homeassistant/status");
    }

    #[test]
    fn strangers_are_not_ours() {
        for text in [
            "",
            "plugline/gw_aaaaaaaaaa",
            "plugline/gw_aaaaaaaaaa/device/A b/set",
            "plugline/gw_aaaaaaaaaa/device/x/y/set",
            "plugline/gw_aaaaaaaaaa/request/Permit",
            "plugline/gw_bbbbbbbbbb/status",
            "homeassistant/device/zigbee_1/config",
        ] {
            assert_eq!(topics().parse(text), None, "{text}");
        }
    }

    #[test]
    fn answers_go_nowhere_where_the_gateways_own_words_are_believed() {
        for text in [
            "",
            "a/+",
            "a/#",
            "$SYS/x",
            "plugline/gw_aaaaaaaaaa/status",
            "homeassistant/device/x/config",
            "a\0b",
        ] {
            assert!(!topics().may_answer_on(text), "{text}");
        }
        for text in ["replies/7", "plugline/gw_aaaaaaaaaab/x", "homeassistantx"] {
            assert!(topics().may_answer_on(text), "{text}");
        }
    }

    #[test]
    fn a_base_that_no_topic_can_begin_with_is_refused() {
        for text in ["", "/a", "a/", "a/+/b", "#", "a b", "$SYS", &"a".repeat(129)] {
            assert!(check_base(text).is_err(), "{text}");
        }
        assert!(check_base("plugline/{gateway}").is_ok());
    }
}
