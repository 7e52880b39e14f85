//! What was taken back while Home Assistant may have been away. Pure.
//!
//! A cleared config topic tells nobody who comes later: Home Assistant then keeps the device, or the component, for
//! ever. So after its next birth what is gone is shown once more and taken back before its eyes, neither retained.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Things that are remembered; more are not taken away within one absence.
const ROOTS_MAX: usize = 256;

/// Components that are gone, by the root of their thing.
#[derive(Debug, Default)]
pub struct Gone {
    roots: BTreeMap<String, Value>,
}

impl Gone {
    /// Of a thing that was shown with the payload `before`, only the components `kept` are left.
    pub fn lose(&mut self, root: &str, mut before: Value, kept: &[(String, &'static str)]) {
        if let Some(earlier) = self.roots.remove(root) {
            let mut all = components(earlier);
            all.append(&mut components(before.clone()));
            before["cmps"] = all.into();
        }
        let mut lost = components(before.clone());
        lost.retain(|key, _| !kept.iter().any(|(kept, _)| kept == key));
        if !lost.is_empty() {
            before["cmps"] = lost.into();
            self.roots.insert(root.to_owned(), before);
        }
        while self.roots.len() > ROOTS_MAX {
            self.roots.pop_first();
        }
    }

    /// Forgets what is gone and gives the payloads that show it and take it back, by root. `config` gives the payload
    /// of a root as it is now.
    pub fn take_back(&mut self, config: impl Fn(&str) -> Option<Value>) -> Vec<(String, [String; 2])> {
        let mut out = Vec::new();
        for (root, before) in std::mem::take(&mut self.roots) {
            let now = config(&root);
            let mut lost = components(before.clone());
            lost.retain(|key, _| now.as_ref().is_none_or(|now| now["cmps"].get(key).is_none()));
            if lost.is_empty() {
                continue;
            }
            let bare = lost.iter().map(|(key, lost)| (key.clone(), json!({ "p": lost["p"] }))).collect();
            let last = match &now {
                None => String::new(),
                Some(now) => with(now, bare).to_string(),
            };
            let shown = with(now.as_ref().unwrap_or(&before), lost).to_string();
            out.push((root, [shown, last]));
        }
        out
    }
}

fn components(mut config: Value) -> Map<String, Value> {
    match config["cmps"].take() {
        Value::Object(components) => components,
        _ => Map::new(),
    }
}

/// `config` with more components.
fn with(config: &Value, mut more: Map<String, Value>) -> Value {
    let mut config = config.clone();
    let mut all = components(config.clone());
    all.append(&mut more);
    config["cmps"] = all.into();
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(keys: &[&str]) -> Value {
        let cmps: Map<String, Value> =
            keys.iter().map(|key| ((*key).to_owned(), json!({"p": "sensor", "uniq_id": key}))).collect();
        json!({"dev": {"ids": ["x"]}, "cmps": cmps})
    }

    fn told(gone: &mut Gone, now: Option<Value>) -> Vec<Value> {
        let taken = gone.take_back(|_| now.clone());
        assert!(taken.iter().all(|(root, _)| root == "x"));
        let payloads = taken.iter().flat_map(|(_, payloads)| payloads);
        payloads.map(|payload| serde_json::from_str(payload).unwrap_or_default()).collect()
    }

    #[test]
    fn a_thing_that_is_gone_is_shown_and_removed_once() {
        let mut gone = Gone::default();
        gone.lose("x", payload(&["a", "b"]), &[]);
        assert_eq!(told(&mut gone, None), [payload(&["a", "b"]), Value::Null]);
        assert_eq!(told(&mut gone, None), [] as [Value; 0]);
    }

    #[test]
    fn of_a_thing_that_stays_only_what_is_gone_is_taken_back() {
        let mut gone = Gone::default();
        gone.lose("x", payload(&["a", "b", "c"]), &[("a".into(), "sensor"), ("b".into(), "sensor")]);
        gone.lose("x", payload(&["a", "b"]), &[("a".into(), "sensor")]);
        let mut last = payload(&["a"]);
        last["cmps"]["b"] = json!({"p": "sensor"});
        last["cmps"]["c"] = json!({"p": "sensor"});
        assert_eq!(told(&mut gone, Some(payload(&["a"]))), [payload(&["a", "b", "c"]), last]);
    }

    #[test]
    fn what_came_back_is_left_alone() {
        let mut gone = Gone::default();
        gone.lose("x", payload(&["a"]), &[]);
        assert_eq!(told(&mut gone, Some(payload(&["a"]))), [] as [Value; 0]);
        gone.lose("x", payload(&["a"]), &[("a".into(), "sensor")]);
        assert_eq!(told(&mut gone, None), [] as [Value; 0]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut gone = Gone::default();
        for n in 0..1000 {
            gone.lose(&n.to_string(), payload(&["a"]), &[]);
        }
        assert_eq!(gone.roots.len(), ROOTS_MAX);
    }
}
