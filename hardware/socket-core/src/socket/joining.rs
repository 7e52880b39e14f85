//! How the socket comes into a network: JOIN-UP as long as it is in none, and the JOIN-DOWN that it takes.
//! Spec: protocol-spec/join.md.

use plugline_protocol::MINOR_VERSION;
use plugline_protocol::frame::{Frame, Options};
use plugline_protocol::messages::JoinUp;
use plugline_protocol::security::{self, JoinError, accept_join};
use plugline_protocol::timing::{
    JOIN_ATTEMPT_MS, JOIN_COMMIT_MS, JOIN_EAGER, JOIN_INTERVAL_MAX_MS, JOIN_INTERVAL_MIN_MS, JOIN_SLOW_FACTOR,
};

use super::report::News;
use super::{Attempt, Factory, Socket};
use crate::Board;
use crate::counts::count;
use crate::outbox::Lane;
use crate::place::Place;
use crate::time::{Alarm, ms};

/// A JOIN-UP is not begun with a nonce that would be too old for its answer.
const JOIN_ANSWER_MS: u32 = 2_000;

impl<B: Board> Socket<B> {
    pub(super) fn ask_to_join(&mut self) {
        if !self.join.is_due(self.now_us) || self.fault || self.outbox.is_on_air(Lane::Listen) {
            return;
        }
        let now_us = self.now_us;
        let life_us = ms(JOIN_ATTEMPT_MS - JOIN_ANSWER_MS);
        self.attempt.take_if(|attempt| now_us.saturating_sub(attempt.since_us) >= life_us);
        let draws = &mut self.draws;
        let Attempt { nonce, .. } =
            *self.attempt.get_or_insert_with(|| Attempt { nonce: draws.nonce(), since_us: now_us });
        let Factory { eui, hardware, capabilities, .. } = self.factory;
        let up = JoinUp { eui, minor: MINOR_VERSION, capabilities, hardware, nonce };
        let install = &self.factory.install_key;
        let made = self.outbox.fill(Lane::Listen, self.factory.crc, |out| {
            security::ask_to_join(install, Options::default(), &up, out)
        });
        if made {
            self.outbox.contend(now_us, false);
        }
        let interval_ms =
            JOIN_INTERVAL_MIN_MS + self.random.up_to(JOIN_INTERVAL_MAX_MS - JOIN_INTERVAL_MIN_MS);
        let factor = if self.asked < JOIN_EAGER { 1 } else { JOIN_SLOW_FACTOR };
        self.asked = self.asked.saturating_add(1);
        self.join = Alarm::at(now_us + ms(interval_ms * factor));
    }

    /// Somebody is there who may want it in.
    pub(super) fn ask_soon(&mut self) {
        (self.join, self.asked) = (Alarm::at(self.now_us.max(self.hold_us)), 0);
    }

    pub(super) fn on_join_down(&mut self, frame: &Frame<'_>) {
        let life_us = ms(JOIN_ATTEMPT_MS);
        let now_us = self.now_us;
        let young = self.attempt.filter(|attempt| now_us.saturating_sub(attempt.since_us) < life_us);
        let Some(attempt) = young else { return count(&mut self.counts.ignored) };
        let joined = match accept_join(&self.factory.install_key, self.factory.eui, attempt.nonce, frame) {
            Ok(joined) => joined,
            Err(JoinError::NotForUs) => return,
            Err(JoinError::Forged) => return count(&mut self.counts.forged),
            Err(JoinError::Malformed) => return count(&mut self.counts.malformed),
        };
        // What a former network chose is not known to this one.
        let former = core::mem::take(&mut self.settings.options);
        self.settings.place = Some(Place::granted(joined));
        if !self.save() {
            (self.settings.place, self.settings.options) = (None, former);
            return;
        }
        self.attempt = None;
        self.outbox.stop_unasked();
        self.commit = Alarm::at(self.now_us + ms(JOIN_COMMIT_MS));
        self.wants_sync = true;
        self.tell(News::BOOTED);
        self.plan_report();
    }
}
