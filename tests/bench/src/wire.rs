//! The bench's end of a pseudo terminal.

use std::time::Duration;

use plugline_simulator::Pty;

use crate::frames::MODEM;

/// Throws away what the program asks, so that it never finds its port full.
pub(crate) fn drain(pty: &Pty) {
    let mut scratch = [0; 4096];
    while pty.read(&mut scratch).is_ok_and(|count| count > 0) {}
}

/// An INSTEON modem without links, as far as a driver insists on one before it takes readings for good.
#[derive(Default)]
pub(crate) struct Modem {
    heard: Vec<u8>,
    links_asked: u8,
}

impl Modem {
    /// The driver has asked everything: what follows are readings and nothing else.
    pub(crate) fn settled(&self) -> bool {
        self.links_asked >= 2
    }

    /// Answers what the driver asked since.
    pub(crate) fn answer(&mut self, pty: &Pty) -> anyhow::Result<()> {
        let mut scratch = [0; 4096];
        let count = pty.read(&mut scratch)?;
        self.heard.extend_from_slice(&scratch[..count]);
        while let Some(code) = self.heard.get(1).copied() {
            self.heard.drain(..2);
            let answer = match code {
                0x60 => [&[0x02, 0x60], &MODEM[..], &[0x03, 0x15, 0x9B, 0x06]].concat(),
                0x73 => vec![0x02, 0x73, 0, 0, 0, 0x06],
                0x69 => {
                    self.links_asked += 1;
                    vec![0x02, 0x69, 0x15]
                }
                other => anyhow::bail!("the driver asks {other:02x}, and should ask nothing"),
            };
            anyhow::ensure!(pty.write(&answer)? == answer.len(), "the port is full");
        }
        Ok(())
    }
}

/// Sends all bytes as fast as the reader takes them.
pub(crate) async fn flood(pty: &Pty, bytes: &[u8]) -> anyhow::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = pty.write(rest)?;
        rest = &rest[count..];
        if count == 0 {
            drain(pty);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(())
}
