//! What the answers of a running gateway mean.

use serde_json::Value;

use super::asked::{Asked, Told, entries};
use super::finding::Finding;

/// A line is silent when nothing came for as long; the slowest device that is asked speaks oftener.
const SILENT_MS: i64 = 15 * 60 * 1000;

/// Fewer malformed frames than this are the noise of any house …
const MALFORMED_MIN: u64 = 20;

/// … and so is one in this many.
const MALFORMED_ONE_IN: u64 = 20;

/// Sockets that are named; of more the count says enough.
const NAMED: usize = 5;

/// Everything that can be said of it. `version` is this program's.
pub(super) fn of_gateway(asked: &Asked, version: &str, now_unix_ms: i64) -> Vec<Finding> {
    let mut findings = vec![gateway(&asked.gateway, version, now_unix_ms)];
    findings.extend(parts(&asked.health));
    for line in entries(&asked.lines, "lines") {
        let name = line["line"].as_str().unwrap_or_default();
        let quality = asked.quality.iter().find(|(of, _)| of == name).map(|(_, quality)| quality);
        findings.extend(of_line(name, line, quality, now_unix_ms));
    }
    findings.extend(asked.devices.is_ok().then(|| sockets(asked.devices())));
    if asked.config.as_ref().is_ok_and(|config| config["restart_needed"] == true) {
        let text = "its file was changed since the gateway started; restart it, or POST /v1/restart";
        findings.push(Finding::warning("restart", text));
    }
    findings.extend(asked.log.is_ok().then(|| log(entries(&asked.log, "entries"))));
    findings
}

fn gateway(told: &Told, version: &str, now_unix_ms: i64) -> Finding {
    let told = match told {
        Ok(told) => told,
        Err(why) => {
            return Finding::warning("gateway", format!("it runs, and tells nothing of itself: {why}"));
        }
    };
    let its = told["version"].as_str().unwrap_or("of no version");
    let up = unix_ms(&told["started_at"])
        .map_or_else(String::new, |at| format!(", up for {}", duration(now_unix_ms.saturating_sub(at))));
    if its == version {
        return Finding::ok("gateway", format!("{its}{up}"));
    }
    let text = format!("{its}{up}, and this command is {version}; restart the gateway after an update");
    Finding::warning("gateway", text)
}

/// Broker, store and whatever else the gateway is made of.
fn parts(health: &Value) -> Vec<Finding> {
    let parts = health["parts"].as_object().into_iter().flatten();
    let flags = parts.filter_map(|(name, works)| works.as_bool().map(|works| (name, works)));
    let one = |(name, works): (&String, bool)| match (
        works,
        health["details"][name].as_str().unwrap_or_default(),
    ) {
        (true, "") => Finding::ok(name, "works"),
        (true, details) => Finding::ok(name, details),
        (false, "") => Finding::trouble(name, "does not work; the log says more"),
        (false, details) => Finding::trouble(name, details),
    };
    flags.map(one).collect()
}

fn of_line(name: &str, line: &Value, quality: Option<&Told>, now_unix_ms: i64) -> Vec<Finding> {
    let about = format!("line {name}");
    if line["port"] == false {
        let why = line["port_error"].as_str().unwrap_or("its port is closed");
        return vec![Finding::trouble(about, why)];
    }
    if line["modem"] == false {
        let text =
            "its modem does not answer; is it powered and on this port, and are `dialect` and `baud` right?";
        return vec![Finding::trouble(about, text)];
    }
    let heard = unix_ms(&line["last_heard"]).map(|at| now_unix_ms.saturating_sub(at));
    let mut findings = vec![match heard {
        None => Finding::warning(&about, "open, and nothing was heard on it yet; is any device on it?"),
        Some(ago) if ago > SILENT_MS => {
            let text = format!("nothing was heard for {}; is the modem on the same phase?", duration(ago));
            Finding::warning(&about, text)
        }
        Some(ago) => Finding::ok(&about, format!("open, heard {} ago", duration(ago))),
    }];
    let counts = quality.map_or(&[][..], |quality| entries(quality, "hours"));
    let sum = |key: &str| counts.iter().filter_map(|hour| hour[key].as_u64()).sum::<u64>();
    let (heard, malformed) = (sum("heard"), sum("malformed"));
    if malformed >= MALFORMED_MIN && malformed * MALFORMED_ONE_IN > heard + malformed {
        let text = format!(
            "of {} frames in a day {malformed} were malformed; `plugline quality {name}` shows when",
            heard + malformed
        );
        findings.push(Finding::warning(about, text));
    }
    findings
}

fn sockets(devices: &[Value]) -> Finding {
    let named = |device: &&Value| device["name"].as_str().unwrap_or_default().to_owned();
    let offline: Vec<&Value> = devices.iter().filter(|device| device["online"] == false).collect();
    if offline.is_empty() {
        let unheard = devices.iter().filter(|device| device["online"].is_null()).count();
        let text = match (devices.len(), unheard) {
            (0, _) => "none yet".to_owned(),
            (all, 0) => format!("{all}, all online"),
            (all, unheard) => format!("{all}, of which {unheard} were not heard yet"),
        };
        return Finding::ok("sockets", text);
    }
    let mut names: Vec<String> = offline.iter().take(NAMED).map(named).collect();
    if offline.len() > NAMED {
        names.push("…".to_owned());
    }
    let text = format!("{} of {} are offline: {}", offline.len(), devices.len(), names.join(", "));
    Finding::warning("sockets", text)
}

fn log(entries: &[Value]) -> Finding {
    let of = |level: &str| entries.iter().filter(|entry| entry["level"] == level).collect::<Vec<_>>();
    let (errors, warnings) = (of("error"), of("warn"));
    let counts = format!(
        "{} errors and {} warnings in the last {} lines",
        errors.len(),
        warnings.len(),
        entries.len()
    );
    let message = |entry: &&Value| entry["message"].as_str().unwrap_or_default().to_owned();
    match errors.last().map(message) {
        Some(last) => Finding::warning("log", format!("{counts}; the last error: {last}")),
        None => Finding::ok("log", counts),
    }
}

fn unix_ms(time: &Value) -> Option<i64> {
    let time: jiff::Timestamp = time.as_str()?.parse().ok()?;
    Some(time.as_millisecond())
}

/// In the two largest units.
pub(super) fn duration(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    let (days, hours, minutes) = (s / 86_400, s / 3600 % 24, s / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", s % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::doctor::finding::Grade;

    const NOW: i64 = 1_795_000_000_000;

    fn grades(findings: &[Finding]) -> Vec<(Grade, &str, &str)> {
        findings.iter().map(|finding| (finding.grade, &*finding.about, &*finding.text)).collect()
    }

    #[test]
    fn a_part_that_does_not_work_is_trouble_and_says_why() {
        let health = json!({ "parts": { "broker": false, "store": true, "lines": {} },
            "details": { "broker": "connection refused", "store": "" } });
        let wanted = [(Grade::Trouble, "broker", "connection refused"), (Grade::Ok, "store", "works")];
        assert_eq!(grades(&parts(&health)), wanted);
    }

    #[test]
    fn a_closed_port_and_a_silent_modem_are_trouble_and_silence_and_noise_are_told() {
        let line = |more: Value| {
            let mut line = json!({ "port": true, "modem": true, "last_heard": "2026-11-18T11:06:40.000Z" });
            line.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            line
        };
        let heard = unix_ms(&"2026-11-18T11:06:40.000Z".into()).expect("a time");
        let grade = |line: &Value, quality: &Told, ago: i64| {
            let findings = of_line("attic", line, Some(quality), heard + ago);
            findings.iter().map(|finding| finding.grade).collect::<Vec<_>>()
        };
        let quiet = Ok(json!({ "hours": [{ "heard": 500, "malformed": 19 }] }));
        let noisy =
            Ok(json!({ "hours": [{ "heard": 200, "malformed": 15 }, { "heard": 50, "malformed": 15 }] }));
        let closed = line(json!({ "port": false, "port_error": "no such port" }));
        assert_eq!(grade(&closed, &quiet, 0), [Grade::Trouble]);
        assert_eq!(grade(&line(json!({ "modem": false })), &quiet, 0), [Grade::Trouble]);
        assert_eq!(grade(&line(json!({ "last_heard": null })), &quiet, 0), [Grade::Warning]);
        assert_eq!(grade(&line(json!({})), &quiet, SILENT_MS), [Grade::Ok]);
        assert_eq!(grade(&line(json!({})), &quiet, SILENT_MS + 1), [Grade::Warning]);
        assert_eq!(grade(&line(json!({})), &noisy, 0), [Grade::Ok, Grade::Warning]);
    }

    #[test]
    fn sockets_that_are_offline_are_named_up_to_a_few() {
        let device = |n: usize| json!({ "name": format!("S{n}"), "online": false });
        let six: Vec<Value> = (1..=6).map(device).collect();
        assert_eq!(sockets(&six).text, "6 of 6 are offline: S1, S2, S3, S4, S5, …");
        assert_eq!(sockets(&[json!({ "online": true }), json!({ "online": null })]).grade, Grade::Ok);
    }

    #[test]
    fn another_version_of_the_gateway_and_errors_in_its_log_are_warnings() {
        let told = Ok(json!({ "version": "1", "started_at": "2026-11-18T11:06:40.000Z" }));
        assert_eq!(gateway(&told, "1", NOW).grade, Grade::Ok);
        assert_eq!(gateway(&told, "2", NOW).grade, Grade::Warning);
        assert_eq!(gateway(&Err("no".into()), "2", NOW).grade, Grade::Warning);
        let entries =
            [json!({ "level": "warn", "message": "a" }), json!({ "level": "error", "message": "b" })];
        assert_eq!(log(&entries).text, "1 errors and 1 warnings in the last 2 lines; the last error: b");
        assert_eq!(log(&entries[..1]).grade, Grade::Ok);
    }

    #[test]
    fn a_duration_has_two_units() {
        let told = [5_000, 65_000, 7_260_000, 97_200_000].map(duration);
        assert_eq!(told, ["5 s", "1 min 5 s", "2 h 1 min", "1 d 3 h"]);
    }
}
