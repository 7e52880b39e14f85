//! Cursors as people write them, and what they mean in a log. Pure. Spec: `protocol-spec/http.md`, Cursors.

use crate::device::Epoch;
use crate::source::{Expired, Identity, Span};

/// Characters of an epoch.
const EPOCH_LEN: usize = 8;

/// From where a reader wants to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// Everything that is kept.
    Earliest,
    /// What happens from now on.
    #[default]
    Now,
    /// What comes after this position.
    Cursor {
        /// The life of the log that it belongs to.
        epoch: Epoch,
        /// Everything up to this number was seen.
        seq: u64,
    },
}

impl From {
    /// Parses `earliest`, `now` or `<epoch>.<seq>`; `None` for anything else. The number has no leading zeros
    /// and fits 64 bits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "earliest" => return Some(Self::Earliest),
            "now" => return Some(Self::Now),
            _ => {}
        }
        let (epoch, seq) = text.split_once('.')?;
        let plain = epoch.len() == EPOCH_LEN && !epoch.contains('_');
        let canonical = seq.bytes().all(|b| b.is_ascii_digit()) && (seq == "0" || !seq.starts_with('0'));
        let epoch = Epoch::parse(epoch).filter(|_| plain && canonical)?;
        Some(Self::Cursor { epoch, seq: seq.parse().ok()? })
    }

    /// The number to read after, in the log of `identity` as it stands.
    ///
    /// # Errors
    /// [`Expired`] when it is of another log, when events after it are gone, or when it lies ahead.
    pub fn resolve(&self, identity: &Identity, span: Span) -> Result<u64, Expired> {
        match self {
            Self::Earliest => Ok(span.oldest),
            Self::Now => Ok(span.head),
            Self::Cursor { epoch, .. } if *epoch != identity.epoch => Err(Expired::EpochChanged),
            Self::Cursor { seq, .. } => span.check(*seq).map(|()| *seq),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::GatewayId;

    fn identity() -> Identity {
        Identity {
            gateway: GatewayId::parse("gw_aaaaaaaaaa").expect("an id"),
            epoch: Epoch::parse("k3f9q2mz").expect("an epoch"),
        }
    }

    #[test]
    fn a_cursor_is_an_epoch_and_a_number_without_leading_zeros() {
        assert!(matches!(From::parse("k3f9q2mz.0"), Some(From::Cursor { seq: 0, .. })));
        assert!(matches!(
            From::parse("k3f9q2mz.18446744073709551615"),
            Some(From::Cursor { seq: u64::MAX, .. })
        ));
        for bad in [
            "",
            ".",
            "k3f9q2mz",
            "k3f9q2mz.",
            "k3f9q2mz.01",
            "k3f9q2mz.00",
            "k3f9q2mz.+1",
            "k3f9q2mz.-1",
            "k3f9q2mz.1.2",
            "k3f9q2mz.18446744073709551616",
            "k3f9q2m.1",
            "k3f9q2mzz.1",
            "K3F9Q2MZ.1",
            "k3f9_2mz.1",
            "Now",
            " now",
        ] {
            assert_eq!(From::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_way_a_cursor_expires_has_its_reason() {
        let span = Span { oldest: 5, head: 9, durable: 7 };
        let at = |text: &str| From::parse(text).expect("good syntax").resolve(&identity(), span);
        assert_eq!(at("earliest"), Ok(5));
        assert_eq!(at("now"), Ok(9));
        assert_eq!(at("k3f9q2mz.5"), Ok(5));
        assert_eq!(at("k3f9q2mz.9"), Ok(9));
        assert_eq!(at("k3f9q2mz.4"), Err(Expired::Trimmed));
        assert_eq!(at("k3f9q2mz.10"), Err(Expired::Ahead));
        assert_eq!(at("zzzzzzzz.7"), Err(Expired::EpochChanged));
    }
}
