//! One question to a meter and its answer: tries, waiting, and which frame is the answer.
//!
//! An answer is known by address, function and identifier, never by its place in time: carriers deliver late.
//! Refuses to know why the question is asked.

use std::time::Duration;

use super::frame::{Address, Frame, MAX_DATA, OVERHEAD, Request, control};
use super::plan::airtime;
use crate::device::Moment;

/// Parts of a continued answer that are fetched at most; the longest block of the standard (63 tariffs of 4 bytes)
/// needs two.
const PARTS_MAX: u8 = 16;
/// The function in a control byte.
const FUNCTION: u8 = 0x1F;

/// Where a question stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It goes out at this moment.
    Hold(Moment),
    /// It went out, and the answer should have begun by `due`; one that arrives just then may go on until `limit`.
    Reply { due: Moment, limit: Moment },
}

/// What a meter says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The data of the identifier asked for, whole.
    Data(Vec<u8>),
    /// The first of several parts; the question now asks for the next one.
    More,
    /// More parts than anything in the standard has.
    TooLong,
    /// A relay request was taken.
    Accepted,
    /// Its address.
    Address(Address),
    /// An error reply, with its bits.
    Refused(u8),
}

/// A question in flight. Not `Debug`: a relay request holds a password.
pub(super) struct Exchange {
    request: Request,
    di: u32,
    data: Vec<u8>,
    part: u8,
    /// How often it was sent.
    pub(super) attempt: u8,
    /// How often it is sent at most.
    pub(super) tries: u8,
    pub(super) phase: Phase,
    /// Something unreadable came while the answer was awaited.
    pub(super) garbled: bool,
}

impl Exchange {
    /// A question that goes out at `at`.
    pub(super) fn new(request: Request, tries: u8, at: Moment) -> Self {
        let di = request.frame().item().map_or(0, |(di, _)| di);
        let phase = Phase::Hold(at);
        Self { request, di, data: Vec::new(), part: 0, attempt: 0, tries, phase, garbled: false }
    }

    /// The identifier asked for.
    pub(super) fn di(&self) -> u32 {
        self.di
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Moment {
        match self.phase {
            Phase::Hold(due) | Phase::Reply { due, .. } => due,
        }
    }

    /// The bytes to write now; the answer is awaited from here on.
    pub(super) fn emit(&mut self, wake_ups: u8, baud: u32, reply_max: Duration, now: Moment) -> Vec<u8> {
        let bytes = self.request.emit(wake_ups);
        let due = now + airtime(baud, bytes.len()) + reply_max;
        let limit = due + airtime(baud, usize::from(wake_ups) + OVERHEAD + MAX_DATA);
        self.phase = Phase::Reply { due, limit };
        self.attempt = self.attempt.saturating_add(1);
        bytes
    }

    /// The answer, if this frame is one.
    pub(super) fn hear(&mut self, frame: &Frame<'_>) -> Option<Answer> {
        let asked = self.request.frame();
        let mine = matches!(self.phase, Phase::Reply { .. })
            && meant(asked.address, frame.address)
            && frame.control & control::REPLY != 0
            && frame.control & FUNCTION == asked.control;
        if !mine {
            return None;
        }
        if frame.control & control::ERROR != 0 {
            return Some(Answer::Refused(frame.data.first().copied().unwrap_or(0)));
        }
        match asked.control {
            control::READ => {
                let (_, data) = frame.item().filter(|(di, _)| *di == self.di)?;
                self.data = data.to_vec();
                Some(self.taken(frame))
            }
            control::READ_FOLLOWING => {
                let (_, data) = frame.item().filter(|(di, _)| *di == self.di)?;
                let (_, data) = data.split_last().filter(|(part, _)| **part == self.part)?;
                self.data.extend_from_slice(data);
                Some(self.taken(frame))
            }
            control::READ_ADDRESS => Some(Answer::Address(own_address(frame)?)),
            _ => Some(Answer::Accepted),
        }
    }

    /// A part was taken: is there another?
    fn taken(&mut self, frame: &Frame<'_>) -> Answer {
        if frame.control & control::MORE == 0 {
            return Answer::Data(std::mem::take(&mut self.data));
        }
        if self.part + 1 >= PARTS_MAX {
            return Answer::TooLong;
        }
        self.part += 1;
        self.attempt = 0;
        // Whatever part of the address was left open is known now.
        self.request = Request::read_following(frame.address, self.di, self.part);
        Answer::More
    }
}

/// The address that a meter tells when asked for it: in the data, or at least in the frame's head.
fn own_address(frame: &Frame<'_>) -> Option<Address> {
    let told = frame.data.try_into().ok().map(Address);
    told.into_iter().chain([frame.address]).find(|address| is_one_meter(*address))
}

/// Twelve decimal digits that name one meter.
pub(super) fn is_one_meter(address: Address) -> bool {
    let decimal = |byte: &u8| byte >> 4 < 10 && byte & 0xF < 10;
    address != Address::BROADCAST && address.0.iter().all(decimal)
}

/// Whether the meter `own` is meant by the address asked: AA stands for any two digits, and the answer carries all.
fn meant(asked: Address, own: Address) -> bool {
    asked.0.iter().zip(own.0).all(|(asked, own)| *asked == 0xAA || *asked == own)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METER: Address = Address([0x11, 0x47, 0, 0, 0, 0]);
    const DI: u32 = 0x0001_FF00;

    fn frame(control: u8, data: &[u8]) -> Frame<'_> {
        Frame { address: METER, control, data }
    }

    fn sent(request: Request) -> Exchange {
        let mut exchange = Exchange::new(request, 3, Moment::default());
        exchange.emit(0, 2400, Duration::from_secs(1), Moment::default());
        exchange
    }

    #[test]
    fn a_continued_answer_is_fetched_part_by_part_and_put_together() {
        let mut exchange = sent(Request::read(METER, DI));
        assert_eq!(exchange.hear(&frame(0xB1, &[0, 0xFF, 1, 0, 1, 2])), Some(Answer::More));
        let bytes = exchange.emit(0, 2400, Duration::from_secs(1), Moment::default());
        assert_eq!(&bytes[8..15], [0x12, 5, 0x33, 0x32, 0x34, 0x33, 0x34]);
        assert_eq!(exchange.hear(&frame(0xB2, &[0, 0xFF, 1, 0, 3, 1])), Some(Answer::More));
        exchange.emit(0, 2400, Duration::from_secs(1), Moment::default());
        assert_eq!(exchange.hear(&frame(0xB2, &[0, 0xFF, 1, 0, 3, 1])), None, "that part once more");
        let last = exchange.hear(&frame(0x92, &[0, 0xFF, 1, 0, 4, 5, 2]));
        assert_eq!(last, Some(Answer::Data(vec![1, 2, 3, 4, 5])));
    }

    #[test]
    fn an_answer_without_end_is_given_up() {
        let mut exchange = sent(Request::read(METER, DI));
        let mut part = 0;
        let mut answer = exchange.hear(&frame(0xB1, &[0, 0xFF, 1, 0, 9]));
        while answer == Some(Answer::More) {
            part += 1;
            exchange.emit(0, 2400, Duration::from_secs(1), Moment::default());
            answer = exchange.hear(&frame(0xB2, &[0, 0xFF, 1, 0, 9, part]));
        }
        assert_eq!((answer, part), (Some(Answer::TooLong), PARTS_MAX - 1));
    }

    #[test]
    fn an_answer_is_known_by_address_function_and_identifier() {
        let mut exchange = sent(Request::read(METER, DI));
        assert_eq!(exchange.hear(&frame(0x91, &[0, 0, 1, 0, 9])), None, "another identifier");
        assert_eq!(exchange.hear(&frame(0x9C, &[])), None, "another function");
        assert_eq!(exchange.hear(&frame(0x11, &[0, 0xFF, 1, 0])), None, "a request");
        let other = Frame { address: Address([0x12, 0x47, 0, 0, 0, 0]), ..frame(0x91, &[0, 0xFF, 1, 0, 9]) };
        assert_eq!(exchange.hear(&other), None, "another meter");
        assert_eq!(exchange.hear(&frame(0xD1, &[2])), Some(Answer::Refused(2)));
    }

    #[test]
    fn nothing_is_an_answer_before_the_question_went_out() {
        let mut exchange = Exchange::new(Request::read(METER, DI), 3, Moment::default());
        assert_eq!(exchange.hear(&frame(0x91, &[0, 0xFF, 1, 0, 9])), None);
    }

    #[test]
    fn an_abbreviated_address_is_answered_with_all_its_digits() {
        let asked = Address([0x11, 0x47, 0xAA, 0xAA, 0xAA, 0xAA]);
        let mut exchange = sent(Request::read(asked, DI));
        assert_eq!(exchange.hear(&frame(0x91, &[0, 0xFF, 1, 0, 9])), Some(Answer::Data(vec![9])));
    }
}
