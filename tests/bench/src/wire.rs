//! The bench's end of a pseudo terminal.

use std::time::Duration;

use plugline_simulator::Pty;

/// Throws away what the program asks, so that it never finds its port full.
pub(crate) fn drain(pty: &Pty) {
    let mut scratch = [0; 4096];
    while pty.read(&mut scratch).is_ok_and(|count| count > 0) {}
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
