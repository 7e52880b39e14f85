//! Arithmetic of slots: how many reports fit into a minute when each has its own time. No line is needed for it.

use crate::mains::phy::Phy;

/// A plan of equal slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Bytes of a report.
    pub frame_bytes: usize,
    /// Silence after each, in µs.
    pub guard_us: u64,
    /// The part of the superframe that is for reports, in µs.
    pub window_us: u64,
}

impl Slots {
    /// 60 % of a minute for reports, 8 ms between two.
    #[must_use]
    pub fn of_a_minute(frame_bytes: usize) -> Self {
        Self { frame_bytes, guard_us: 8_000, window_us: 36_000_000 }
    }

    /// A slot, in µs.
    #[must_use]
    pub fn slot_us(&self, phy: &Phy) -> u64 {
        phy.airtime_us(self.frame_bytes) + self.guard_us
    }

    /// Slots in the window.
    #[must_use]
    pub fn count(&self, phy: &Phy) -> u64 {
        self.window_us / self.slot_us(phy)
    }

    /// Slots for first reports when `spare_ppm` of them is kept free for sending lost ones again.
    #[must_use]
    pub fn count_with_repair(&self, phy: &Phy, spare_ppm: u64) -> u64 {
        self.window_us * 1_000_000 / (self.slot_us(phy) * (1_000_000 + spare_ppm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mains::{LEVEL, Line, Noise, Setup, Wiring, dealt_phases};

    fn at(bit_rate: u32) -> Phy {
        Phy { bit_rate, ..Phy::default() }
    }

    fn house(sockets: usize, loss_ppm: u32, seed: u64) -> Line {
        let wiring = Wiring::new(&dealt_phases(sockets + 1), &LEVEL, seed).with_hidden(200_000, seed);
        Line::new(Setup { phy: Phy::default(), wiring, noise: Noise::quiet(), loss_ppm, seed })
    }

    /// Sends one report of each of `senders` in slots from `start_us`; who arrived, and when the last slot is over.
    fn round(line: &mut Line, senders: &[usize], bytes: usize, start_us: u64) -> (Vec<usize>, u64) {
        let slot_us = Slots::of_a_minute(bytes).slot_us(&line.setup().phy);
        let mut at_us = start_us;
        for sender in senders {
            line.transmit(*sender, &vec![0; bytes], at_us).unwrap();
            at_us += slot_us;
        }
        line.handle_timeout(at_us);
        let got = std::iter::from_fn(|| line.poll_delivery()).filter(|d| d.node == 0 && d.truth.intact);
        (got.map(|d| d.truth.from).collect(), at_us)
    }

    #[test]
    fn the_published_slots_come_out_to_the_tenth_of_a_millisecond_and_the_socket() {
        for (bit_rate, slot_us, sockets, with_repair) in
            [(2_400, 154_667, 232, 179), (4_800, 81_334, 442, 340), (28_800, 20_223, 1_780, 1_369)]
        {
            let slots = Slots::of_a_minute(34);
            assert_eq!(slots.slot_us(&at(bit_rate)), slot_us);
            assert_eq!(slots.count(&at(bit_rate)), sockets);
            assert_eq!(slots.count_with_repair(&at(bit_rate), 300_000), with_repair);
        }
    }

    #[test]
    fn the_published_airtimes_and_exchanges_come_out() {
        for (bit_rate, bytes, data_ms, ack_ms, with_ack, without) in [
            (2_400, 24, 113.3, 73.3, 141, 233),
            (2_400, 34, 146.7, 73.3, 122, 185),
            (2_400, 48, 193.3, 73.3, 102, 144),
            (4_800, 32, 70.0, 36.7, 227, 352),
            (28_800, 34, 12.2, 6.1, 692, 1_102),
        ] {
            let (data_us, ack_us) = (at(bit_rate).airtime_us(bytes), at(bit_rate).airtime_us(12));
            let rounded = |us: u64| (us as f64 / 100.0).round() / 10.0;
            assert_eq!((rounded(data_us), rounded(ack_us)), (data_ms, ack_ms));
            // 10 ms of turn-around, 15 ms between exchanges, half of the minute.
            assert_eq!(30_000_000 / (data_us + 10_000 + ack_us + 15_000), with_ack, "{bit_rate} {bytes}");
            // Airtimes are rounded up, by less than a microsecond in each of these slots.
            assert_eq!((30_000_000 + without) / (data_us + 15_000), without, "{bit_rate} {bytes}");
        }
    }

    #[test]
    fn slots_bring_every_report_home_though_a_fifth_of_the_pairs_is_hidden() {
        let mut line = house(232, 0, 1);
        let senders: Vec<usize> = (1..=232).collect();
        let (arrived, over_us) = round(&mut line, &senders, 34, 0);
        assert_eq!(arrived, senders);
        assert!(over_us <= 36_000_000, "{over_us}");
        assert_eq!(line.stats().collided + line.stats().deaf, 0);
    }

    #[test]
    fn at_a_fifth_of_loss_one_repair_leaves_a_twenty_fifth_missing_and_fits_into_its_window() {
        let (mut missing, mut latest_us) = (0, 0);
        let mut line = house(179, 200_000, 2);
        for minute in 0..30 {
            let start_us = minute * 60_000_000;
            let senders: Vec<usize> = (1..=179).collect();
            let (first, over_us) = round(&mut line, &senders, 34, start_us);
            let again: Vec<usize> = senders.into_iter().filter(|sender| !first.contains(sender)).collect();
            let (second, over_us) = round(&mut line, &again, 34, over_us);
            missing += again.len() - second.len();
            latest_us = latest_us.max(over_us - start_us);
        }
        let share = missing as f64 / (30.0 * 179.0);
        assert!((0.032..0.048).contains(&share), "{share}");
        assert!(latest_us <= 36_000_000, "{latest_us} µs");
    }

    #[test]
    fn five_chances_for_every_minute_leave_three_readings_in_ten_thousand_missing() {
        // 43 bytes with the energy of four minutes before: 180 slots of 184.7 ms are 33.2 s of each minute. Seed 3.
        const MINUTES: usize = 120;
        let mut line = house(180, 200_000, 3);
        let slots = Slots::of_a_minute(43);
        assert_eq!((slots.slot_us(&line.setup().phy) * 180) / 100_000, 332);
        let senders: Vec<usize> = (1..=180).collect();
        let mut heard = vec![vec![false; MINUTES]; 181];
        for minute in 0..MINUTES {
            let (arrived, _) = round(&mut line, &senders, 43, minute as u64 * 60_000_000);
            for sender in arrived {
                heard[sender][minute.saturating_sub(4)..=minute].fill(true);
            }
        }
        let judged = heard[1..].iter().flat_map(|of_one| &of_one[..MINUTES - 4]);
        let missing = judged.filter(|heard| !**heard).count() as f64 / (180.0 * (MINUTES - 4) as f64);
        assert!((0.0001..0.0006).contains(&missing), "{missing}, expected 0.2⁵ = 0.00032");
    }
}
