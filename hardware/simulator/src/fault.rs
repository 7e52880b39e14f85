//! What can go wrong on a wire, on purpose. Each fault is seeded by the bus, so a bad day can be had twice.

use std::time::Duration;

use crate::dlt645::Address;
use crate::random::Random;

/// Longest run of garbage before a reply, in bytes.
const MAX_GARBAGE: u64 = 24;
/// Pieces that a split reply comes in.
const PIECES: usize = 3;

/// One thing that goes wrong, from [`crate::Bus::set_fault`] until it is cleared or used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The meter is not there: it hears nothing and does nothing.
    Mute(Address),
    /// The meter does as told, but its replies are lost.
    LoseReplies(Address),
    /// Replies of one meter carry another one's address.
    AnswerForAnother {
        /// Who is asked.
        asked: Address,
        /// Whose address the reply shows.
        answers_as: Address,
    },
    /// Noise before each reply, 1 … 24 bytes.
    Garbage,
    /// One bit of a reply is wrong, in this share of the replies.
    BitFlip {
        /// 0 … 100.
        percent: u8,
    },
    /// A reply comes in three pieces.
    Split {
        /// Silence between two pieces.
        gap: Duration,
    },
    /// A reply waits for the next one, and both come at once.
    Merge,
    /// Replies come later by this much.
    Delay(Duration),
    /// The first start byte comes twice.
    DuplicateStart,
    /// Each reply comes twice, the second time after this silence.
    Repeat(Duration),
    /// The adapter gives back what the host wrote.
    Echo,
    /// Long answers come in parts of so many bytes, to be fetched one by one.
    MoreData {
        /// Bytes of data in a part, 1 or more.
        chunk: usize,
    },
}

/// Bytes that leave the bus after a delay.
pub(crate) type Piece = (Duration, Vec<u8>);

/// What a fault makes of a reply, in pieces with the delay of each; `None` if it leaves the reply alone.
pub(crate) fn distort(fault: Fault, pieces: &[Piece], random: &mut Random) -> Option<Vec<Piece>> {
    let mut pieces = pieces.to_vec();
    let (delay, frame) = pieces.first_mut()?;
    match fault {
        Fault::Garbage => {
            let length = 1 + random.below(MAX_GARBAGE);
            let noise = (0..length).map(|_| random.below(256).to_le_bytes()[0]);
            *frame = noise.chain(frame.iter().copied()).collect();
        }
        Fault::BitFlip { percent } => {
            if random.below(100) >= u64::from(percent) {
                return None;
            }
            let bit = usize::try_from(random.below(frame.len() as u64 * 8)).unwrap_or(0);
            *frame.get_mut(bit / 8)? ^= 1 << (bit % 8);
        }
        Fault::Delay(extra) => pieces.iter_mut().for_each(|(delay, _)| *delay += extra),
        Fault::DuplicateStart => {
            let start = frame.iter().position(|byte| *byte == 0x68)?;
            frame.insert(start, 0x68);
        }
        Fault::Repeat(gap) => {
            let again = (*delay + gap, frame.clone());
            pieces.push(again);
        }
        Fault::Split { gap } => return Some(split(&pieces, gap, random)),
        _ => return None,
    }
    Some(pieces)
}

fn split(pieces: &[Piece], gap: Duration, random: &mut Random) -> Vec<Piece> {
    let mut out = Vec::new();
    for (delay, frame) in pieces {
        let mut cut = || usize::try_from(random.below(frame.len() as u64 + 1)).unwrap_or(0);
        let (a, b) = (cut(), cut());
        let bounds: [usize; PIECES + 1] = [0, a.min(b), a.max(b), frame.len()];
        let mut at = *delay;
        for bound in bounds.windows(2).filter(|bound| bound[0] < bound[1]) {
            out.push((at, frame[bound[0]..bound[1]].to_vec()));
            at += gap;
        }
    }
    out
}
