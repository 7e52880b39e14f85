//! Frames of DL/T 645-2007, both ways: finding them in a stream, taking them apart, making requests.
//!
//! ```text
//! [FE …] 68 A0 A1 A2 A3 A4 A5 68 C L D0 … D(L-1) CS 16
//! ```
//!
//! A0 is the least significant byte of the address, each D goes over the line with 0x33 added, CS is the sum of
//! everything from the first 68 on. FE bytes wake a receiver and belong to no frame. Refuses to know data
//! identifiers (`item.rs`) and time: who asked what, and when, is the driver's.

use std::fmt;
use std::sync::Arc;

use crate::line::framing::{Bad, Fault, Grammar, Look, Scanner};

/// Longest data field of any frame, in bytes (reading; writing allows 50).
pub const MAX_DATA: usize = 200;

/// Bytes of a frame around its data.
pub const OVERHEAD: usize = 12;

const START: u8 = 0x68;
const END: u8 = 0x16;
const WAKE_UP: u8 = 0xFE;
/// Added to each data byte on the line, so that data rarely looks like a start.
const OFFSET: u8 = 0x33;

/// Control bytes of requests that are made here.
pub mod control {
    /// Read a data identifier.
    pub const READ: u8 = 0x11;
    /// Read the rest of a long answer.
    pub const READ_FOLLOWING: u8 = 0x12;
    /// Ask for the address; only with one meter on the wire.
    pub const READ_ADDRESS: u8 = 0x13;
    /// Relay, alarm, supply protection.
    pub const RELAY: u8 = 0x1C;
    /// Bit of a reply.
    pub const REPLY: u8 = 0x80;
    /// Bit of an error reply.
    pub const ERROR: u8 = 0x40;
    /// Bit of a reply that is continued.
    pub const MORE: u8 = 0x20;
}

/// Address of a meter, twelve decimal digits, in the order of the line (least significant byte first).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(pub [u8; 6]);

impl Address {
    /// Any meter: answers if it is alone on the wire.
    pub const ANY: Self = Self([0xAA; 6]);
    /// All meters; none answers.
    pub const BROADCAST: Self = Self([0x99; 6]);

    /// Reads up to twelve digits, most significant first; shorter ones are filled with zeros in front, and pairs
    /// `aa` stand for any. `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > 12 {
            return None;
        }
        let mut bytes = [0; 6];
        for (place, digit) in text.bytes().rev().enumerate() {
            let nibble = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a' | b'A' => 0xA,
                _ => return None,
            };
            bytes[place / 2] |= nibble << (4 * (place % 2));
        }
        let whole = |byte: &u8| *byte == 0xAA || (byte >> 4 < 10 && byte & 0xF < 10);
        bytes.iter().all(whole).then_some(Self(bytes))
    }

    /// The canonical spelling as shared text.
    #[must_use]
    pub fn to_text(self) -> Arc<str> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 12];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0.iter().rev()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xF)];
        }
        std::str::from_utf8(&text).expect("hex digits are ASCII").into()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A good frame; its data already without the line's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The meter asked or answering.
    pub address: Address,
    /// Control byte: bit 7 reply, bit 6 error, bit 5 continued.
    pub control: u8,
    /// At most [`MAX_DATA`] bytes.
    pub data: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The data identifier at the front of the data, and what follows it.
    #[must_use]
    pub fn item(&self) -> Option<(u32, &'a [u8])> {
        let (di, rest) = self.data.split_first_chunk()?;
        Some((u32::from_le_bytes(*di), rest))
    }

    /// Appends the frame to `out`, behind `wake_ups` FE bytes; nothing if the data is longer than [`MAX_DATA`].
    pub fn emit(&self, wake_ups: u8, out: &mut Vec<u8>) {
        debug_assert!(self.data.len() <= MAX_DATA, "{} data bytes", self.data.len());
        if self.data.len() > MAX_DATA {
            return;
        }
        out.extend(std::iter::repeat_n(WAKE_UP, usize::from(wake_ups)));
        let start = out.len();
        out.push(START);
        out.extend(self.address.0);
        let length = u8::try_from(self.data.len()).expect("checked against MAX_DATA above");
        out.extend([START, self.control, length]);
        out.extend(self.data.iter().map(|byte| byte.wrapping_add(OFFSET)));
        let check = sum(&out[start..]);
        out.extend([check, END]);
    }
}

/// A request to a meter, kept until it is answered so that it can be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    address: Address,
    control: u8,
    data: Vec<u8>,
}

impl Request {
    /// Any request; `None` if the data is longer than [`MAX_DATA`].
    #[must_use]
    pub fn new(address: Address, control: u8, data: &[u8]) -> Option<Self> {
        (data.len() <= MAX_DATA).then(|| Self { address, control, data: data.to_vec() })
    }

    /// Read the data identifier `di`, written as in tables: `0x0001_0000` is the forward active total.
    #[must_use]
    pub fn read(address: Address, di: u32) -> Self {
        Self { address, control: control::READ, data: di.to_le_bytes().to_vec() }
    }

    /// Read part `seq` (from 1) of an answer that said it is continued.
    #[must_use]
    pub fn read_following(address: Address, di: u32, seq: u8) -> Self {
        let mut data = di.to_le_bytes().to_vec();
        data.push(seq);
        Self { address, control: control::READ_FOLLOWING, data }
    }

    /// Ask the only meter on the wire for its address.
    #[must_use]
    pub fn read_address() -> Self {
        Self { address: Address::ANY, control: control::READ_ADDRESS, data: Vec::new() }
    }

    /// Open or close a relay.
    #[must_use]
    pub fn switch(address: Address, relay: &Relay) -> Self {
        Self { address, control: control::RELAY, data: relay.emit().to_vec() }
    }

    /// The request as a frame.
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        Frame { address: self.address, control: self.control, data: &self.data }
    }

    /// The bytes for the line, behind `wake_ups` FE bytes (0 … 4 are usual).
    #[must_use]
    pub fn emit(&self, wake_ups: u8) -> Vec<u8> {
        let mut out = Vec::with_capacity(usize::from(wake_ups) + OVERHEAD + self.data.len());
        self.frame().emit(wake_ups, &mut out);
        out
    }
}

/// What a relay request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayOperation {
    /// Open the relay (power off).
    Trip,
    /// Let a person close it with the meter's button; many meters close at once.
    AllowClose,
    /// Close the relay (power on).
    Close,
}

impl RelayOperation {
    /// N1 of the request.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Trip => 0x1A,
            Self::AllowClose => 0x1B,
            Self::Close => 0x1C,
        }
    }
}

/// Data of a relay request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Relay {
    /// What to do.
    pub operation: RelayOperation,
    /// Password level, PA; 02 on meters without a security module.
    pub level: u8,
    /// Password P0 P1 P2, in the order of the line.
    pub password: [u8; 3],
    /// Operator code C0 … C3, in the order of the line.
    pub operator: [u8; 4],
    /// The request is void from then on; many meters refuse one in the past.
    pub expiry: Expiry,
}

/// A local date and time, two digits each, as decimal numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// Year within the century, 0 … 99.
    pub year: u8,
    /// 1 … 12.
    pub month: u8,
    /// 1 … 31.
    pub day: u8,
    /// 0 … 23.
    pub hour: u8,
    /// 0 … 59.
    pub minute: u8,
    /// 0 … 59.
    pub second: u8,
}

impl Relay {
    /// The sixteen data bytes: PA P0–P2 C0–C3 N1 N2 and the expiry from its seconds on.
    fn emit(&self) -> [u8; 16] {
        let [p0, p1, p2] = self.password;
        let [c0, c1, c2, c3] = self.operator;
        let Expiry { year, month, day, hour, minute, second } = self.expiry;
        let [ss, mm, hh, dd, mo, yy] = [second, minute, hour, day, month, year].map(to_bcd);
        [self.level, p0, p1, p2, c0, c1, c2, c3, self.operation.code(), 0, ss, mm, hh, dd, mo, yy]
    }
}

impl fmt::Debug for Relay {
    /// Leaves the password out: what is logged is read by many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Relay");
        shown.field("operation", &self.operation).field("level", &self.level).field("expiry", &self.expiry);
        shown.finish_non_exhaustive()
    }
}

/// Two digits as packed decimal; numbers above 99 lose their hundreds.
fn to_bcd(number: u8) -> u8 {
    ((number / 10 % 10) << 4) | (number % 10)
}

/// The frames in the bytes of a port.
#[derive(Debug, Default)]
pub struct Framer(Scanner<Shape>);

impl Framer {
    /// An empty framer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes, in any portions; drain [`Framer::next`] before the next call.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.push(bytes);
    }

    /// The next frame or fault; `None` when more bytes are needed. Not an iterator: the frame borrows the buffer.
    #[expect(
        clippy::should_implement_trait,
        reason = "the frame borrows the framer, which Iterator cannot say"
    )]
    pub fn next(&mut self) -> Option<Result<Frame<'_>, Fault>> {
        let span = match self.0.next_span()? {
            Ok(span) => span,
            Err(fault) => return Some(Err(fault)),
        };
        Some(Ok(open(self.0.span(span))))
    }

    /// The line was silent for longer than a gap within a frame (500 ms): what is unfinished comes out of
    /// [`Framer::next`] as `truncated`, with the good frames inside it, if any.
    pub fn drop_partial(&mut self) {
        self.0.drop_partial();
    }

    /// Bytes are waiting for the rest of their frame.
    #[must_use]
    pub fn has_partial(&self) -> bool {
        self.0.has_partial()
    }

    /// FE bytes between frames so far.
    #[must_use]
    pub fn wake_up_bytes(&self) -> u64 {
        self.0.idle_bytes()
    }
}

/// Takes a whole, verified frame apart, removing the offset in place.
fn open(bytes: &mut [u8]) -> Frame<'_> {
    let address = Address([bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6]]);
    let control = bytes[8];
    let end = bytes.len() - 2;
    let data = &mut bytes[10..end];
    for byte in data.iter_mut() {
        *byte = byte.wrapping_sub(OFFSET);
    }
    Frame { address, control, data }
}

/// The sum of all bytes; eight at a time, in four lanes that no frame is long enough to overflow (128 times eight
/// bytes would).
fn sum(bytes: &[u8]) -> u8 {
    const LANES: u64 = 0x00FF_00FF_00FF_00FF;
    let (words, rest) = bytes.as_chunks();
    let lanes = words.iter().fold(0, |lanes: u64, word| {
        let word = u64::from_le_bytes(*word);
        lanes.wrapping_add(word & LANES).wrapping_add(word >> 8 & LANES)
    });
    let [a, _, b, _, c, _, d, _] = lanes.to_le_bytes();
    rest.iter().chain(&[a, b, c, d]).fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

/// What a frame looks like, and the sums already made: bytes that were summed for a candidate that failed are summed
/// once more at most, whatever starts among them.
#[derive(Debug, Default)]
struct Shape {
    /// Bytes before this index were summed for a candidate that failed.
    summed: usize,
    /// `sums[i]` is the sum of the buffer from `sums_from` up to `sums_from + i`, exclusive.
    sums: Vec<u8>,
    sums_from: usize,
}

impl Shape {
    fn window_sum(&mut self, buffer: &[u8], from: usize, to: usize) -> u8 {
        if from >= self.summed {
            return sum(&buffer[from..to]);
        }
        if self.sums.is_empty() || from >= self.sums_from + self.sums.len() {
            self.sums.clear();
            self.sums.push(0);
            self.sums_from = from;
        }
        let mut total = self.sums[self.sums.len() - 1];
        for byte in
            &buffer[self.sums_from + self.sums.len() - 1..to.max(self.sums_from + self.sums.len() - 1)]
        {
            total = total.wrapping_add(*byte);
            self.sums.push(total);
        }
        self.sums[to - self.sums_from].wrapping_sub(self.sums[from - self.sums_from])
    }
}

impl Grammar for Shape {
    #[inline]
    fn look(&mut self, buffer: &[u8], at: usize, _ended: bool, _inside: bool) -> Look {
        let rest = &buffer[at..];
        if rest[0] != START {
            return Look::Nothing;
        }
        match rest.get(7) {
            Some(&START) => {}
            Some(_) => return Look::Nothing,
            None => return Look::More,
        }
        let Some(&length) = rest.get(9) else { return Look::More };
        if usize::from(length) > MAX_DATA {
            let want = u16::try_from(MAX_DATA).unwrap_or(u16::MAX);
            return Look::Bad(Bad { kind: "length", len: 10, at: 9, got: length.into(), want });
        }
        let len = OVERHEAD + usize::from(length);
        let Some(&[check, end]) = rest.get(len - 2..len) else { return Look::More };
        if end != END {
            return Look::Bad(Bad { kind: "end", len, at: len - 1, got: end.into(), want: END.into() });
        }
        let want = self.window_sum(buffer, at, at + len - 2);
        if check != want {
            self.summed = self.summed.max(at + len);
            return Look::Bad(Bad {
                kind: "checksum",
                len,
                at: len - 2,
                got: check.into(),
                want: want.into(),
            });
        }
        Look::Good(len)
    }

    #[inline]
    fn idle(&self, byte: u8) -> bool {
        byte == WAKE_UP
    }

    #[inline]
    fn skip(&self, bytes: &[u8], inside: bool) -> usize {
        let stop = |byte: &u8| *byte == START || (*byte == WAKE_UP && !inside);
        bytes.iter().position(stop).unwrap_or(bytes.len())
    }

    fn moved(&mut self) {
        self.summed = 0;
        self.sums.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_and_frames(bytes: &[u8]) -> (Vec<Fault>, usize) {
        let mut framer = Framer::new();
        framer.push(bytes);
        framer.drop_partial();
        let (mut faults, mut frames) = (Vec::new(), 0);
        while let Some(next) = framer.next() {
            match next {
                Ok(_) => frames += 1,
                Err(fault) => faults.push(fault),
            }
        }
        (faults, frames)
    }

    fn voltage() -> Vec<u8> {
        Request::read(Address([0x61, 1, 0, 0, 0, 0]), 0x0201_0100).emit(0)
    }

    #[test]
    fn an_address_reads_high_digit_first_and_fills_up_with_zeros() {
        let address = Address::parse("4711").unwrap();
        assert_eq!(address.0, [0x11, 0x47, 0, 0, 0, 0]);
        assert_eq!(address.to_string(), "000000004711");
        assert_eq!(&*address.to_text(), "000000004711");
        assert_eq!(Address::parse("aaaaaaaaaaaa"), Some(Address::ANY));
        assert_eq!(Address::parse("999999999999"), Some(Address::BROADCAST));
        for bad in ["", "1234567890123", "12g4", "00000000000a", "ä"] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_frame_is_complete_only_with_its_length_not_at_the_first_0x16() {
        let mut out = Vec::new();
        Frame { address: Address([0x16; 6]), control: 0x91, data: &[0xE3, 0x16, 0x35, 0x68] }
            .emit(0, &mut out);
        assert_eq!(out[10], 0x16);
        assert_eq!(faults_and_frames(&out), (vec![], 1));
    }

    #[test]
    fn a_run_of_garbage_is_one_fault_with_its_length() {
        let mut bytes = vec![0x00, 0x12, 0x68, 0x34, 0x16];
        bytes.extend(voltage());
        let (faults, frames) = faults_and_frames(&bytes);
        assert_eq!(frames, 1);
        assert_eq!(faults.len(), 1);
        assert_eq!((faults[0].kind, faults[0].start, faults[0].len), ("garbage", 0, 5));
    }

    #[test]
    fn a_bad_checksum_is_told_with_the_sum_that_it_should_have() {
        let mut bytes = voltage();
        bytes[14] ^= 0x40;
        let (faults, frames) = faults_and_frames(&bytes);
        assert_eq!(frames, 0);
        let fault = faults[0];
        assert_eq!((fault.kind, fault.len, fault.at), ("checksum", 16, 14));
        assert_eq!((fault.got, fault.want), (0x57, 0x17));
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn a_good_frame_that_starts_inside_a_bad_one_is_found() {
        let mut bytes = voltage();
        bytes.truncate(11);
        bytes.extend(voltage());
        let (faults, frames) = faults_and_frames(&bytes);
        assert_eq!(frames, 1);
        assert_eq!(faults.iter().map(|fault| fault.len).sum::<usize>(), 11);
        assert_eq!(faults[0].kind, "end");
    }

    #[test]
    fn good_frames_inside_the_data_of_a_bad_one_are_found() {
        let inner = [voltage(), Request::read_address().emit(0), voltage()].concat();
        let data: Vec<u8> = inner.iter().map(|byte| byte.wrapping_sub(OFFSET)).collect();
        let mut bytes = vec![0x01, 0x02];
        Frame { address: Address::ANY, control: 0x91, data: &data }.emit(0, &mut bytes);
        assert_eq!(faults_and_frames(&bytes).1, 1);
        let check = bytes.len() - 2;
        bytes[check] ^= 1;
        let (faults, frames) = faults_and_frames(&bytes);
        assert_eq!(frames, 3);
        assert_eq!(
            faults.iter().map(|fault| (fault.kind, fault.len)).collect::<Vec<_>>(),
            [("garbage", 2), ("checksum", 10), ("garbage", 2),]
        );
    }

    #[test]
    fn wrong_ends_and_lengths_have_words_of_their_own() {
        let mut end = voltage();
        end[15] = 0x17;
        assert_eq!(faults_and_frames(&end).0[0].kind, "end");
        let mut length = voltage();
        length[9] = 201;
        assert_eq!(faults_and_frames(&length).0[0].kind, "length");
        assert_eq!(faults_and_frames(&voltage()[..9]).0[0].kind, "truncated");
    }

    #[test]
    fn silence_gives_up_a_false_start_and_finds_the_frame_behind_it() {
        // The header promises 200 bytes that never come.
        let mut bytes = vec![START, 1, 2, 3, 4, 5, 6, START, 0x91, 200];
        bytes.extend(voltage());
        let mut framer = Framer::new();
        framer.push(&bytes);
        assert_eq!(framer.next(), None);
        framer.drop_partial();
        assert_eq!(framer.next().unwrap().unwrap_err().kind, "truncated");
        assert_eq!(framer.next().unwrap().unwrap().item(), Some((0x0201_0100, &[][..])));
        assert_eq!(framer.next(), None);
    }

    #[test]
    fn silence_gives_up_nothing_that_comes_after_it() {
        let mut framer = Framer::new();
        framer.push(&voltage());
        assert!(framer.next().is_some_and(|next| next.is_ok()));
        framer.drop_partial();
        let frame = voltage();
        framer.push(&frame[..9]);
        assert_eq!(framer.next(), None);
        framer.push(&frame[9..]);
        assert!(framer.next().is_some_and(|next| next.is_ok()));
    }

    #[test]
    fn wake_up_bytes_are_no_fault() {
        let mut framer = Framer::new();
        framer.push(&Request::read_address().emit(4));
        let frame = framer.next().unwrap().unwrap();
        assert_eq!((frame.address, frame.control, frame.data), (Address::ANY, 0x13, &[][..]));
        assert_eq!(framer.wake_up_bytes(), 4);
        assert_eq!(framer.next(), None);
    }

    #[test]
    fn a_relay_request_keeps_its_password_out_of_the_log() {
        let relay = Relay {
            operation: RelayOperation::Trip,
            level: 2,
            password: [0x37, 0x06, 0x02],
            operator: [1, 0, 0, 0],
            expiry: Expiry::default(),
        };
        let shown = format!("{relay:?}");
        assert!(shown.contains("Trip") && !shown.contains("55"), "{shown}");
    }
}
