//! One file of the log: its name, its header, and the walk over its records. Writes nothing.
//!
//! ```text
//! file name   first seq, 20 digits, ".log"
//! header      "PLGLOG\x01\n" | epoch 8 | first seq u64 | opened i64 (unix ms; MIN: not known) | CRC-32C u32
//! record      length u32 | CRC-32C u32 of the payload | payload (record/event.rs)        all little-endian
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::device::Epoch;
use crate::record::{crc32c, seq_of};

const MAGIC: &[u8; 8] = b"PLGLOG\x01\n";

/// Bytes before the first record.
pub(super) const HEADER: u64 = 36;

/// Bytes of a record before its payload.
pub(super) const RECORD_HEAD: usize = 8;

/// Longest payload. The largest event is a command with its caller's texts, a few KiB (request bodies are limited
/// to 64 KiB); a larger length is damage, and must not make a reader allocate.
pub(super) const PAYLOAD_MAX: usize = 256 * 1024;

/// A schema byte and a seq: shorter is damage. Keeps a run of zeros from reading as empty records.
const PAYLOAD_MIN: usize = 2;

/// Bytes read from a file at once.
const CHUNK: usize = 64 * 1024;

/// One mark of the index per so many bytes: 256 marks, 4 KiB of memory for a full segment.
pub(super) const MARK_EVERY: u64 = 16 * 1024;

/// Where a seq starts in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) seq: u64,
    pub(super) offset: u64,
}

/// Offset from which a walk meets every record with a seq of at least `seq`.
pub(super) fn offset_before(marks: &[Mark], seq: u64) -> u64 {
    let upto = marks.partition_point(|mark| mark.seq <= seq);
    upto.checked_sub(1).map_or(HEADER, |index| marks[index].offset)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) epoch: Epoch,
    pub(super) first: u64,
    /// Wall clock when it was opened; `None` while the clock could not be trusted.
    pub(super) opened_unix_ms: Option<i64>,
}

impl Header {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.epoch.as_str().as_bytes());
        bytes.resize(16, b' ');
        bytes.extend(self.first.to_le_bytes());
        bytes.extend(self.opened_unix_ms.unwrap_or(i64::MIN).to_le_bytes());
        bytes.extend(crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// `None` when the file has no header of this form.
    pub(super) fn read(file: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEADER as usize];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Ok(Self::of(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn of(bytes: &[u8; HEADER as usize]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        let number = |at: usize| body.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        if body.get(..8)? != MAGIC || u32::from_le_bytes(*sum) != crc32c(body) {
            return None;
        }
        let opened = number(24)?.cast_signed();
        Some(Self {
            epoch: Epoch::parse(std::str::from_utf8(body.get(8..16)?).ok()?)?,
            first: number(16)?,
            opened_unix_ms: (opened != i64::MIN).then_some(opened),
        })
    }
}

pub(super) fn file_name(first: u64) -> String {
    format!("{first:020}.log")
}

/// The first seq of a segment from its path; `None` for other files.
pub(super) fn first_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".log")?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

/// Puts length and checksum before the payload that stands in `to` from `start` + [`RECORD_HEAD`] on.
pub(super) fn finish_record(to: &mut [u8], start: usize) {
    let payload = &to[start + RECORD_HEAD..];
    let length = u32::try_from(payload.len()).expect("payloads are limited to PAYLOAD_MAX");
    let sum = crc32c(payload);
    to[start..start + 4].copy_from_slice(&length.to_le_bytes());
    to[start + 4..start + RECORD_HEAD].copy_from_slice(&sum.to_le_bytes());
}

/// What a walk meets.
pub(super) enum Step<'a> {
    /// A record whose checksum fits.
    Good { offset: u64, payload: &'a [u8] },
    /// Bytes that are no record. The walk goes on behind it once, if its length looks sound; a second one ends it.
    Bad,
    /// Nothing more.
    End,
}

/// Walks records from an offset up to an end.
pub(super) struct Walk<'f> {
    bytes: Bytes<'f>,
    doubtful: bool,
    done: bool,
}

/// Where a walk gets its bytes: a file read in chunks, or memory.
struct Bytes<'f> {
    file: Option<&'f File>,
    buffer: Vec<u8>,
    /// Place in `buffer`.
    at: usize,
    /// Offset in the file of the buffer's first byte.
    base: u64,
    /// Offset behind the last byte.
    end: u64,
}

impl Bytes<'_> {
    fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Makes `wanted` bytes stand at `at`; `false` when there are not so many.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        if self.buffer.len() - self.at >= wanted {
            return Ok(true);
        }
        let Some(file) = self.file.filter(|_| self.offset() + wanted as u64 <= self.end) else {
            return Ok(false);
        };
        self.buffer.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
        let have = self.buffer.len();
        let left = self.end - self.base - have as u64;
        let more = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK.max(wanted - have));
        self.buffer.resize(have + more, 0);
        match file.read_exact_at(&mut self.buffer[have..], self.base + have as u64) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                // Shorter than was thought: somebody cut it from outside.
                self.buffer.truncate(have);
                self.end = self.base + have as u64;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

impl<'f> Walk<'f> {
    pub(super) fn file(file: &'f File, from: u64, end: u64) -> Self {
        let bytes = Bytes { file: Some(file), buffer: Vec::new(), at: 0, base: from, end };
        Self { bytes, doubtful: false, done: false }
    }

    pub(super) fn memory(buffer: Vec<u8>) -> Self {
        let end = buffer.len() as u64;
        Self { bytes: Bytes { file: None, buffer, at: 0, base: 0, end }, doubtful: false, done: false }
    }

    pub(super) fn step(&mut self) -> io::Result<Step<'_>> {
        let offset = self.bytes.offset();
        if self.done || offset == self.bytes.end {
            return Ok(Step::End);
        }
        if !self.bytes.fill(RECORD_HEAD)? {
            return Ok(self.end());
        }
        let head = &self.bytes.buffer[self.bytes.at..];
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (length, sum) = (number(0) as usize, number(4));
        if !(PAYLOAD_MIN..=PAYLOAD_MAX).contains(&length) || !self.bytes.fill(RECORD_HEAD + length)? {
            return Ok(self.end());
        }
        let start = self.bytes.at + RECORD_HEAD;
        if crc32c(&self.bytes.buffer[start..start + length]) != sum {
            if self.doubtful {
                return Ok(self.end());
            }
            self.doubtful = true;
            self.bytes.at = start + length;
            return Ok(Step::Bad);
        }
        self.doubtful = false;
        self.bytes.at = start + length;
        Ok(Step::Good { offset, payload: &self.bytes.buffer[start..start + length] })
    }

    fn end(&mut self) -> Step<'static> {
        self.done = true;
        Step::Bad
    }
}

/// What stands in a file up to its first bad record.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The last seq, if there is any record.
    pub(super) last: Option<u64>,
    /// Offset behind the last good record.
    pub(super) good: u64,
    pub(super) marks: Vec<Mark>,
}

/// Reads a file up to its first bad record.
pub(super) fn scan(file: &File, end: u64) -> io::Result<Scan> {
    let mut walk = Walk::file(file, HEADER, end);
    let mut scan = Scan { good: HEADER, ..Scan::default() };
    while let Step::Good { offset, payload } = walk.step()? {
        let Some(seq) = seq_of(payload).filter(|seq| scan.last.is_none_or(|last| last < *seq)) else { break };
        mark(&mut scan.marks, seq, offset);
        scan.last = Some(seq);
        scan.good = offset + (RECORD_HEAD + payload.len()) as u64;
    }
    Ok(scan)
}

/// Marks of a whole file, bad records skipped as far as the walk can.
pub(super) fn marks_of(file: &File, end: u64) -> io::Result<Vec<Mark>> {
    let mut walk = Walk::file(file, HEADER, end);
    let mut marks = Vec::new();
    loop {
        match walk.step()? {
            Step::Good { offset, payload } => {
                seq_of(payload).into_iter().for_each(|seq| mark(&mut marks, seq, offset));
            }
            Step::Bad => {}
            Step::End => return Ok(marks),
        }
    }
}

/// Adds a mark when the last one is far enough back.
pub(super) fn mark(marks: &mut Vec<Mark>, seq: u64, offset: u64) {
    if marks.last().is_none_or(|last| last.seq < seq && last.offset + MARK_EVERY <= offset) {
        marks.push(Mark { seq, offset });
    }
}
