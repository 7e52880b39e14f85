//! Opening and closing a relay: the request, when to look whether it was done, and what may be said when it was not.
//!
//! ```text
//! 1C ──▶ 9C ─────────────┐
//!     ╲▶ silence ────────┼─▶ status word 3 after 1, 2, 3 s ─▶ shows it: done
//!      ╲▶ refused again ─┘                                 ╲▶ shows the other / is silent: failed
//! ```
//!
//! A request whose answer was lost may have been carried out, so the relay is looked at before anything is said. Pure;
//! knows neither ports nor tries.

use std::time::Duration;

use super::decode::error_words;
use super::frame::{Expiry, Relay, RelayOperation};
use super::options::{Closing, DeviceOptions, Expiring};
use crate::device::Now;
use crate::line::{Failure, Outcome};

/// Waits before each look at the relay. Meters show the new position one to three seconds after they were told.
const LOOKS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3)];
/// A dated request is good for so long: enough for a meter whose clock shows any time zone's local time.
const DATED_DAYS: i64 = 1;
const DAY_MS: i64 = 24 * 3600 * 1000;
/// Bit of an error reply: wrong password or not authorised.
const NOT_AUTHORISED: u8 = 1 << 2;

/// How the request fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Acknowledged,
    Silent,
    Refused(u8),
}

/// What status word 3 shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// The relay is closed.
    pub(super) on: bool,
    /// The last command was to open.
    pub(super) told_to_open: bool,
}

/// What is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask for status word 3 after this time, so many times.
    Look { after: Duration, tries: u8 },
    /// The relay is where it should be.
    Done,
    /// It is not.
    Failed(Failure),
}

/// A relay on its way.
#[derive(Debug)]
pub(super) struct Switching {
    /// Where it should be.
    pub(super) on: bool,
    by_hand: bool,
    reply: Option<Reply>,
    looks: usize,
    shown: Option<Shown>,
    tries: u8,
}

impl Switching {
    pub(super) fn new(on: bool, options: &DeviceOptions, tries: u8) -> Self {
        let by_hand = options.closing == Closing::Hand;
        Self { on, by_hand, reply: None, looks: 0, shown: None, tries }
    }

    /// The request is out of the way: from here on, the relay is looked at.
    pub(super) fn confirming(&self) -> bool {
        self.reply.is_some()
    }

    /// A person has been allowed to close the relay.
    pub(super) fn allows(&self) -> bool {
        self.on && self.by_hand
    }

    /// The request was taken (9C).
    pub(super) fn acknowledged(&mut self) -> Next {
        self.reply = Some(Reply::Acknowledged);
        Next::Look { after: LOOKS[0], tries: self.tries }
    }

    /// The request was refused (DC), at this attempt.
    pub(super) fn refused(&mut self, bits: u8, attempt: u8, options: &DeviceOptions) -> Next {
        if bits & NOT_AUTHORISED != 0 {
            return Next::Failed(wrong_password(bits, options));
        }
        if attempt <= 1 {
            return Next::Failed(refusal(bits, options));
        }
        // An earlier one may have been carried out, its answer lost, and the same once more refused.
        self.reply = Some(Reply::Refused(bits));
        Next::Look { after: LOOKS[0], tries: self.tries }
    }

    /// The relay was looked at.
    pub(super) fn shown(&mut self, shown: Shown, options: &DeviceOptions) -> Next {
        if shown.on == self.on {
            return Next::Done;
        }
        self.shown = Some(shown);
        self.looks += 1;
        match LOOKS.get(self.looks) {
            Some(after) => Next::Look { after: *after, tries: self.tries },
            None => Next::Failed(self.not_shown(shown, options)),
        }
    }

    /// Nobody answered what was asked last.
    pub(super) fn silent(&mut self) -> Next {
        if self.reply.is_none() {
            self.reply = Some(Reply::Silent);
            // The wait for the last answer is the wait for the relay; one look, as a meter that is gone should not
            // hold the line.
            return Next::Look { after: Duration::ZERO, tries: 1 };
        }
        Next::Failed(self.unknown())
    }

    /// There is no answer that tells: what may be said.
    pub(super) fn unknown(&self) -> Failure {
        let (code, detail) = match self.reply {
            None | Some(Reply::Silent) if self.shown.is_none() => {
                ("no_answer", "no answer to the relay request, nor to the question where the relay stands")
            }
            Some(Reply::Acknowledged) => {
                ("unconfirmed", "the meter took the request and does not tell where its relay stands")
            }
            _ => ("unconfirmed", "the meter stopped telling where its relay stands before it had moved"),
        };
        failure(Outcome::Unknown, code, detail)
    }

    /// The meter answers, and does not tell where its relay stands.
    pub(super) fn untold(&self, why: &str) -> Failure {
        let detail = format!("the meter does not tell where its relay stands: {why}");
        Failure { detail, ..failure(Outcome::Unknown, "unconfirmed", "") }
    }

    fn not_shown(&self, shown: Shown, options: &DeviceOptions) -> Failure {
        if !self.on && shown.told_to_open {
            let detail = "the meter has noted that it should open and is still closed; it may open later";
            return failure(Outcome::Unknown, "not_shown", detail);
        }
        match self.reply {
            Some(Reply::Refused(bits)) => refusal(bits, options),
            Some(Reply::Acknowledged) if self.allows() => {
                failure(Outcome::NotApplied, "awaits_button", "the meter allows closing; press its button")
            }
            Some(Reply::Acknowledged) if self.on => {
                let detail = "the meter took the request and its relay stays open; \
                              if it waits for its button, set `close = \"hand\"` for it";
                failure(Outcome::NotApplied, "not_shown", detail)
            }
            Some(Reply::Acknowledged) => {
                let detail = "the meter took the request and its relay stays closed";
                failure(Outcome::NotApplied, "not_shown", detail)
            }
            Some(Reply::Silent) | None => {
                let detail = "no answer to the relay request, and the relay has not moved";
                failure(Outcome::NotApplied, "no_answer", detail)
            }
        }
    }
}

/// The relay request of a meter.
///
/// # Errors
/// A [`Failure`] when it should carry a date and the clock is not known to be right.
pub(super) fn relay_request(on: bool, options: &DeviceOptions, now: Now) -> Result<Relay, Failure> {
    let expiry = match options.expiring {
        Expiring::Never => Expiry { year: 99, month: 12, day: 30, ..Expiry::default() },
        Expiring::Dated if now.synchronised => date_of(now.unix_ms + DATED_DAYS * DAY_MS),
        Expiring::Dated => {
            let detail = "the relay request must carry a date, and the clock is not known to be right yet";
            return Err(failure(Outcome::NotApplied, "clock_unknown", detail));
        }
    };
    let operation = match (on, options.closing) {
        (false, _) => RelayOperation::Trip,
        (true, Closing::Remote) => RelayOperation::Close,
        (true, Closing::Hand) => RelayOperation::AllowClose,
    };
    let (level, password) = (options.password.level(), options.password.wire());
    Ok(Relay { operation, level, password, operator: options.operator.wire(), expiry })
}

fn wrong_password(bits: u8, options: &DeviceOptions) -> Failure {
    let detail = format!(
        "the meter refused the password of level {:02x} ({}): put its level and six digits into the file that \
         `password_file` of this device names; some meters lock themselves after a few wrong ones",
        options.password.level(),
        error_words(bits)
    );
    Failure { detail, ..failure(Outcome::NotApplied, "password", "") }
}

fn refusal(bits: u8, options: &DeviceOptions) -> Failure {
    let hint = match options.expiring {
        Expiring::Dated => "; its clock may be more than a day ahead",
        Expiring::Never => "",
    };
    let detail = format!("the meter refused the relay request: {} ({bits:02x}){hint}", error_words(bits));
    Failure { detail, ..failure(Outcome::NotApplied, "refused", "") }
}

fn failure(outcome: Outcome, code: &'static str, detail: &str) -> Failure {
    Failure { outcome, silent: false, code, detail: detail.to_owned() }
}

/// The date and time of a moment, UTC, after 1970. Counts in 400-year cycles from 1 March, so that the leap day is
/// the last of its year.
fn date_of(unix_ms: i64) -> Expiry {
    const DAYS_BEFORE_1970: i64 = 719_468;
    const DAYS_OF_400_YEARS: i64 = 146_097;
    let seconds = unix_ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400) + DAYS_BEFORE_1970, seconds.rem_euclid(86_400));
    let in_cycle = days.rem_euclid(DAYS_OF_400_YEARS);
    let year_of_cycle = (in_cycle - in_cycle / 1_460 + in_cycle / 36_524 - in_cycle / 146_096) / 365;
    let in_year = in_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    // March is month 0; five months have 153 days, wherever they start.
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let year = year_of_cycle + i64::from(month >= 10);
    let small = |number: i64| u8::try_from(number).unwrap_or(0);
    Expiry {
        year: small(year % 100),
        month: small(if month < 10 { month + 3 } else { month - 9 }),
        day: small(day),
        hour: small(second / 3600),
        minute: small(second / 60 % 60),
        second: small(second % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(unix_ms: i64) -> [u8; 6] {
        let Expiry { year, month, day, hour, minute, second } = date_of(unix_ms);
        [year, month, day, hour, minute, second]
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        // From `date -u -d @…`.
        assert_eq!(date(0), [70, 1, 1, 0, 0, 0]);
        assert_eq!(date(951_782_400_000), [0, 2, 29, 0, 0, 0]);
        assert_eq!(date(951_868_799_000), [0, 2, 29, 23, 59, 59]);
        assert_eq!(date(951_868_800_000), [0, 3, 1, 0, 0, 0]);
        assert_eq!(date(1_767_225_599_999), [25, 12, 31, 23, 59, 59]);
        assert_eq!(date(1_798_675_445_000), [26, 12, 31, 0, 4, 5]);
        assert_eq!(date(4_107_542_400_000), [0, 3, 1, 0, 0, 0], "2100 has no leap day");
    }

    #[test]
    fn a_dated_request_is_good_for_a_day_and_waits_for_the_clock() {
        let options = DeviceOptions { expiring: Expiring::Dated, ..DeviceOptions::default() };
        let mut now = Now { unix_ms: 951_739_200_000, ..Now::default() };
        let failed = relay_request(true, &options, now).unwrap_err();
        assert_eq!((failed.code, failed.outcome), ("clock_unknown", Outcome::NotApplied));
        now.synchronised = true;
        let expiry = relay_request(true, &options, now).unwrap().expiry;
        assert_eq!(expiry, Expiry { year: 0, month: 2, day: 29, hour: 12, minute: 0, second: 0 });
    }

    #[test]
    fn a_meter_that_has_noted_the_order_to_open_may_still_obey() {
        let options = DeviceOptions::default();
        let mut switching = Switching::new(false, &options, 3);
        switching.acknowledged();
        let mut next = Next::Done;
        for _ in LOOKS {
            next = switching.shown(Shown { on: true, told_to_open: true }, &options);
        }
        let Next::Failed(failure) = next else { panic!("{next:?}") };
        assert_eq!((failure.code, failure.outcome), ("not_shown", Outcome::Unknown));
    }

    #[test]
    fn a_second_try_that_is_refused_says_nothing_about_the_first() {
        let options = DeviceOptions::default();
        let mut switching = Switching::new(false, &options, 3);
        assert!(matches!(switching.refused(1, 2, &options), Next::Look { .. }));
        assert_eq!(switching.shown(Shown { on: false, told_to_open: true }, &options), Next::Done);
        let mut first = Switching::new(false, &options, 3);
        let Next::Failed(failure) = first.refused(1, 1, &options) else { panic!("settled") };
        assert_eq!((failure.code, failure.outcome), ("refused", Outcome::NotApplied));
    }
}
