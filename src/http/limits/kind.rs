//! What kind of request it is that limits count: by method, path and what it says of waiting. Pure.

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: a supervisor's look.
    Free,
    /// A look.
    Read,
    /// A change, or a command.
    Change,
}

/// The kind of a request.
#[must_use]
pub fn kind(method: &str, path: &str) -> Kind {
    match method {
        "GET" | "HEAD" | "OPTIONS" if path == "/livez" => Kind::Free,
        "GET" | "HEAD" | "OPTIONS" => Kind::Read,
        // A filter that is too long for a query.
        "POST" if path == "/v1/events" => Kind::Read,
        _ => Kind::Change,
    }
}

/// Whether its answer may be held open: a stream, or a wait. A body may ask for either.
#[must_use]
pub fn holds(
    (method, path, query): (&str, &str, &str),
    stream: bool,
    mut prefer: impl Iterator<Item = impl AsRef<str>>,
) -> bool {
    let stays = path.ends_with("/live") || path.ends_with("/capture");
    let feed = path == "/v1/events" && (stream || method == "POST");
    let waits = |pair: &str| matches!(pair.split_once('='), Some(("wait", wait)) if wait != "0");
    stays || feed || query.split('&').any(waits) || prefer.any(|text| text.as_ref().contains("wait="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_of_one_kind() {
        for (method, path, wanted) in [
            ("GET", "/livez", Kind::Free),
            ("GET", "/healthz", Kind::Read),
            ("HEAD", "/v1/devices", Kind::Read),
            ("POST", "/v1/events", Kind::Read),
            ("POST", "/v1/devices", Kind::Change),
            ("POST", "/livez", Kind::Change),
            ("DELETE", "/v1/commands/x", Kind::Change),
            ("POST", "/v1/devices/kettle/commands", Kind::Change),
        ] {
            assert_eq!(kind(method, path), wanted, "{method} {path}");
        }
    }

    #[test]
    fn streams_and_waits_hold_and_quick_questions_do_not() {
        let none = || std::iter::empty::<&str>();
        assert!(holds(("GET", "/v1/events", ""), true, none()));
        assert!(holds(("POST", "/v1/events", ""), false, none()));
        assert!(holds(("GET", "/v1/events", "after=x&wait=25"), false, none()));
        assert!(holds(("GET", "/v1/events", ""), false, ["respond-async, wait=5"].iter()));
        assert!(holds(("GET", "/v1/commands/x", "wait=5"), false, none()));
        assert!(holds(("GET", "/v1/lines/attic/live", "seconds=5"), true, none()));
        assert!(!holds(("GET", "/v1/events", "after=x&wait=0"), false, none()));
        assert!(!holds(("GET", "/v1/events", "after=x"), false, none()));
        assert!(!holds(("GET", "/v1/devices", ""), true, none()));
    }
}
