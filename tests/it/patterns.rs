//! JSON as the specifications show it: `…` stands for whatever there is. `"data":…` is any value, `"cmd_…"` a text that begins
//! so, `,…}` leaves room for more members and `,…]` for more elements.

use serde_json::Value;

const REST: &str = "…";

/// The pattern that a text shows.
pub(crate) fn pattern(text: &str) -> Value {
    let mut plain = String::new();
    let (mut quoted, mut escaped) = (false, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '…' if !quoted && plain.trim_end().ends_with([',', '{']) && letters.peek() == Some(&'}') => {
                plain.push_str("\"…\":0");
            }
            '…' if !quoted => plain.push_str("\"…\""),
            letter => plain.push(letter),
        }
        quoted ^= letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
    }
    serde_json::from_str(&plain).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// How two texts or numbers may differ that are the same all the same.
pub(crate) type Alike = fn(name: &str, wanted: &Value, got: &Value) -> bool;

/// Nothing may differ.
pub(crate) fn exactly(_: &str, wanted: &Value, got: &Value) -> bool {
    wanted == got
}

/// Whether something fits a pattern.
pub(crate) fn fits(wanted: &Value, got: &Value, alike: Alike) -> bool {
    member_fits("", wanted, got, alike)
}

fn member_fits(name: &str, wanted: &Value, got: &Value, alike: Alike) -> bool {
    match (wanted, got) {
        (Value::String(text), _) if text == REST => true,
        (Value::String(text), Value::String(got)) if text.ends_with(REST) => {
            got.starts_with(text.trim_end_matches(REST))
        }
        (Value::Object(wanted), Value::Object(got)) => {
            let told = |name: &&String| *name != REST;
            let same = |name: &String| {
                got.get(name).is_some_and(|value| member_fits(name, &wanted[name], value, alike))
            };
            wanted.keys().filter(told).all(same) && (wanted.contains_key(REST) || wanted.len() == got.len())
        }
        (Value::Array(wanted), Value::Array(got)) => {
            let open = wanted.last().is_some_and(|last| last == REST);
            let told = &wanted[..wanted.len() - usize::from(open)];
            (told.len() == got.len() || (open && told.len() < got.len()))
                && told.iter().zip(got).all(|(wanted, got)| member_fits(name, wanted, got, alike))
        }
        _ => alike(name, wanted, got),
    }
}

#[test]
fn a_pattern_leaves_open_what_it_says_and_nothing_else() {
    let fits =
        |wanted: &str, got: &str| fits(&pattern(wanted), &serde_json::from_str(got).expect("JSON"), exactly);
    assert!(fits(r#"{"a":…,"b":"x…","c":[1,…]}"#, r#"{"a":{"d":1},"b":"xyz","c":[1,2,3]}"#));
    assert!(fits(r#"{"a":1,…}"#, r#"{"a":1,"b":2}"#) && fits(r#"{"a":"\"…"}"#, r#"{"a":"\"b"}"#));
    assert!(fits(r#"{"a":…}"#, r#"{"a":[1]}"#) && !fits(r#"{"a":…}"#, r#"{"a":1,"b":2}"#));
    assert!(!fits(r#"{"a":1}"#, r#"{"a":1,"b":2}"#) && !fits(r#"{"a":1,…}"#, r#"{"b":2}"#));
    assert!(!fits(r#"{"b":"x…"}"#, r#"{"b":"y"}"#) && !fits("[1,…]", "[2,3]") && !fits("[1]", "[1,2]"));
}
