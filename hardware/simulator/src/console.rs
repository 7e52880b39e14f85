//! Lines that a person types. A program in the background leaves the terminal alone: reading it would stop the program.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How often a program in the background looks whether it is in front again.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
/// Octets read at once.
const READ_BYTES: usize = 256;
/// A line longer than this is cut.
const LINE_MAX: usize = 1_024;

/// Standard input, line by line.
#[derive(Debug, Default)]
pub struct Console {
    pending: Vec<u8>,
}

impl Console {
    /// Waits for the next line; `None` at the end of the input.
    ///
    /// # Errors
    /// When standard input cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            let stdin = io::stdin();
            wait(&stdin)?;
            let mut buffer = [0; READ_BYTES];
            match rustix::io::read(&stdin, &mut buffer) {
                Ok(0) => return Ok(None),
                Ok(length) => self.pending.extend_from_slice(&buffer[..length]),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self) -> Option<String> {
        let length = self.pending.iter().position(|byte| *byte == b'\n');
        let length = length.or((self.pending.len() > LINE_MAX).then_some(LINE_MAX))?;
        let line: Vec<u8> = self.pending.drain(..=length.min(self.pending.len() - 1)).collect();
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

/// Waits until there is something to read, and the terminal, if it is one, is ours.
fn wait(stdin: &io::Stdin) -> io::Result<()> {
    loop {
        match poll(&mut [PollFd::new(stdin, PollFlags::IN)], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // What is no terminal has no foreground.
        if rustix::termios::tcgetpgrp(stdin).map_or(true, |group| group == rustix::process::getpgrp()) {
            return Ok(());
        }
        poll(&mut [], Some(&PATIENCE)).or_else(|error| match error {
            rustix::io::Errno::INTR => Ok(0),
            error => Err(io::Error::from(error)),
        })?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_were_read_and_an_endless_one_is_cut() {
        let mut console = Console::default();
        console.pending.extend_from_slice(b"pull 3\r\npress");
        assert_eq!((console.take(), console.take()), (Some("pull 3".to_owned()), None));
        console.pending.extend_from_slice(b" 4\n\n");
        assert_eq!((console.take(), console.take()), (Some("press 4".to_owned()), Some(String::new())));
        console.pending.extend_from_slice(&[b'x'; LINE_MAX + 1]);
        assert_eq!(console.take().map(|line| line.len()), Some(LINE_MAX + 1));
        assert_eq!(console.take(), None);
    }
}
