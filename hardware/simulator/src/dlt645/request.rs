//! Finds requests in the bytes that reach a meter: junk, several frames, half a frame, in any cut.
//!
//! A frame counts when both start bytes, the length, the sum and the end byte are in place; otherwise one byte is
//! dropped and the search goes on. It does not judge what is asked.

use super::{END, OFFSET, PREAMBLE, START, checksum};

/// Longest data field that a meter takes (reading allows 200, writing 50).
const MAX_DATA: usize = 200;
/// Bytes around the data field: start, address, start, control, length, sum, end.
const OVERHEAD: usize = 12;
/// Bit 7 of the control code marks a reply: another meter's, none of ours.
const REPLY_BIT: u8 = 0x80;

/// One request, as the meter understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Address as on the wire; may hold wildcards.
    pub address: [u8; 6],
    /// Control code.
    pub control: u8,
    /// Data, the offset of the wire taken off.
    pub data: Vec<u8>,
}

/// A request and the very bytes that it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) request: Request,
    /// From the first wake-up byte to the end byte.
    pub(crate) bytes: Vec<u8>,
    /// How many wake-up bytes stand in front.
    pub(crate) preamble: usize,
}

/// Collects bytes until they are requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parser {
    pending: Vec<u8>,
    preamble: usize,
    /// Bytes that belonged to no request.
    pub(crate) junk_bytes: u64,
}

enum Look {
    Need,
    Drop,
    Frame(usize),
}

fn look(bytes: &[u8]) -> Look {
    if bytes[0] != START {
        return Look::Drop;
    }
    match bytes.get(7) {
        None => return Look::Need,
        Some(byte) if *byte != START => return Look::Drop,
        Some(_) => {}
    }
    let Some(length) = bytes.get(9).map(|byte| usize::from(*byte)) else { return Look::Need };
    if length > MAX_DATA {
        return Look::Drop;
    }
    let total = length + OVERHEAD;
    let Some(frame) = bytes.get(..total) else { return Look::Need };
    let sound = frame[total - 1] == END && frame[total - 2] == checksum(&frame[..total - 2]);
    if sound && frame[8] & REPLY_BIT == 0 { Look::Frame(total) } else { Look::Drop }
}

impl Parser {
    /// Takes bytes and gives the requests completed by them.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Heard> {
        self.pending.extend_from_slice(bytes);
        let mut heard = Vec::new();
        let mut at = 0;
        while at < self.pending.len() {
            match look(&self.pending[at..]) {
                Look::Need => break,
                Look::Drop => {
                    self.drop_byte(self.pending[at]);
                    at += 1;
                }
                Look::Frame(length) => {
                    heard.push(self.take(at, length));
                    at += length;
                }
            }
        }
        self.pending.drain(..at);
        heard
    }

    /// Forgets half a frame; for a silence on the wire that no frame survives.
    pub(crate) fn forget(&mut self) {
        self.junk_bytes += (self.pending.len() + self.preamble) as u64;
        self.pending.clear();
        self.preamble = 0;
    }

    fn drop_byte(&mut self, byte: u8) {
        if byte == PREAMBLE {
            self.preamble += 1;
        } else {
            self.junk_bytes += 1 + self.preamble as u64;
            self.preamble = 0;
        }
    }

    fn take(&mut self, at: usize, length: usize) -> Heard {
        let frame = &self.pending[at..at + length];
        let preamble = std::mem::take(&mut self.preamble);
        let address = std::array::from_fn(|i| frame[1 + i]);
        let data = frame[10..length - 2].iter().map(|byte| byte.wrapping_sub(OFFSET)).collect();
        let mut bytes = vec![PREAMBLE; preamble];
        bytes.extend_from_slice(frame);
        Heard { request: Request { address, control: frame[8], data }, bytes, preamble }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Source: fdxxw/rs-dlt645, src/frame.rs: read 028022FF from 202208310002.
    const READ: [u8; 20] = [
        0xfe, 0xfe, 0xfe, 0xfe, 0x68, 0x02, 0x00, 0x31, 0x08, 0x22, 0x20, 0x68, 0x11, 0x04, 0x32, 0x55, 0xb3,
        0x35, 0xd1, 0x16,
    ];

    #[test]
    fn a_request_behind_wake_up_bytes_is_understood() {
        let heard = Parser::default().push(&READ);
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].request.data, [0xff, 0x22, 0x80, 0x02]);
        assert_eq!((heard[0].bytes.as_slice(), heard[0].preamble), (READ.as_slice(), 4));
    }

    #[test]
    fn every_cut_of_a_request_gives_it_once() {
        for cut in 0..READ.len() {
            let mut parser = Parser::default();
            let mut heard = parser.push(&READ[..cut]);
            heard.extend(parser.push(&READ[cut..]));
            assert_eq!((heard.len(), parser.junk_bytes), (1, 0), "cut at {cut}");
        }
    }

    #[test]
    fn junk_and_a_doubled_start_byte_cost_no_request() {
        let mut stream = vec![0x00, 0x68, 0x16, 0x68];
        stream.extend_from_slice(&READ[4..]);
        stream.extend_from_slice(&READ);
        let mut parser = Parser::default();
        assert_eq!(parser.push(&stream).len(), 2);
        assert_eq!(parser.junk_bytes, 4);
    }

    #[test]
    fn a_wrong_sum_is_no_request() {
        // Source: a web page that published this frame with sum 1B in place of 00.
        let bad =
            [0x68, 0x16, 0x00, 0x00, 0x00, 0x15, 0x20, 0x68, 0x11, 0x04, 0x33, 0x34, 0x34, 0x35, 0x1b, 0x16];
        assert!(Parser::default().push(&bad).is_empty());
    }

    #[test]
    fn another_meters_reply_is_no_request() {
        // Source: public Java test "WuSong 2017-05-02": 0.26 kWh.
        let reply = [
            0x68, 0x61, 0x01, 0, 0, 0, 0, 0x68, 0x91, 0x08, 0x33, 0x33, 0x34, 0x33, 0x59, 0x33, 0x33, 0x33,
            0x8a, 0x16,
        ];
        assert!(Parser::default().push(&reply).is_empty());
    }

    #[test]
    fn what_a_silence_broke_off_is_forgotten() {
        let mut parser = Parser::default();
        parser.push(&READ[..12]);
        parser.forget();
        assert!(parser.push(&READ[12..]).is_empty());
        assert_eq!(parser.push(&READ).len(), 1);
    }
}
