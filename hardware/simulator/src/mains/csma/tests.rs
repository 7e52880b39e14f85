//! The line held against two authorities: textbook formulas for random access, and a published table.
//!
//! The table says how its stations behave but for the length of their random waits; those of [`Plan::default`] were
//! chosen on the rows at 2400 bit/s. The rows at other rates had no say in it.

use super::published::{Row, TABLE};
use super::*;
use crate::mains::line::dealt_phases;
use crate::mains::noise::Noise;
use crate::mains::phy::Phy;
use crate::mains::wiring::{LEVEL, Wiring};

const SEED: u64 = 1;

/// Frames that arrive, in airtimes of one frame, when `offered` frames an airtime are wished for; senders listen if
/// `polite`. Seed 1, 200 senders, three thousand airtimes.
fn throughput(offered: f64, polite: bool) -> f64 {
    const SENDERS: u64 = 200;
    const AIRTIMES: u64 = 3_000;
    let setup = Setup {
        phy: Phy::default(),
        wiring: Wiring::new(&dealt_phases(SENDERS as usize + 1), &LEVEL, SEED),
        noise: Noise::quiet(),
        loss_ppm: 0,
        seed: SEED,
    };
    let air_us = setup.phy.airtime_us(34);
    let mut line = Line::new(setup);
    // Only the gateway listens; the others need not be asked.
    let mut random = Random::new(SEED);
    let (mut at, mut arrived) = (0.0, 0_u32);
    while at < (AIRTIMES * air_us) as f64 {
        at += random.exponential(air_us as f64 / offered);
        let now_us = at as u64;
        line.handle_timeout(now_us);
        let sender = 1 + random.below(SENDERS) as usize;
        if !(polite && line.carrier(sender, now_us)) {
            let _ = line.transmit(sender, &[0; 34], now_us);
        }
        let whole = std::iter::from_fn(|| line.poll_delivery()).filter(|d| d.node == 0 && d.truth.intact);
        arrived += whole.count() as u32;
    }
    f64::from(arrived) / AIRTIMES as f64
}

#[test]
fn senders_that_do_not_listen_reach_the_throughput_of_pure_aloha() {
    for offered in [0.2, 0.7, 2.0] {
        let formula = offered * f64::exp(-2.0 * offered);
        let got = throughput(offered, false);
        assert!((got - formula).abs() < 0.015, "G = {offered}: {got:.4} instead of {formula:.4}");
    }
}

#[test]
fn senders_that_listen_reach_the_throughput_of_non_persistent_csma() {
    // Kleinrock and Tobagi 1975, for a line whose silence is noticed at once and whose carrier after `a` airtimes:
    // S = G·e^(−aG) / (G·(1 + a) + e^(−aG)).
    let a = 4.0 / 146.667;
    for offered in [0.2, 1.0, 5.0, 20.0] {
        let free = f64::exp(-a * offered);
        let formula = offered * free / (offered * (1.0 + a) + free);
        let got = throughput(offered, true);
        assert!((got - formula).abs() < 0.02, "G = {offered}: {got:.4} instead of {formula:.4}");
    }
}

/// Runs a row and says what is off by more than the tolerance: 3 points of busy time, 2 points of delivery.
fn compare(row: &Row, minutes: u64) -> Option<String> {
    let got = row.run(minutes, SEED);
    let (busy, delivered) = (got.busy * 100.0, got.delivered * 100.0);
    let right = (busy - row.busy).abs() <= 3.0 && (delivered - row.delivered).abs() <= 2.0;
    (!right).then(|| format!("{row:?}: busy {busy:.1} %, delivered {delivered:.2} %"))
}

fn healthy(bit_rate: u32, stations_max: usize) -> impl Iterator<Item = &'static Row> {
    let fits = move |row: &&Row| row.bit_rate == bit_rate && row.stations <= stations_max && !row.collapses();
    TABLE.iter().filter(fits)
}

#[test]
fn the_healthy_rows_of_the_csma_table_come_out_at_2400_bit_per_s() {
    assert_eq!(healthy(2_400, 120).filter_map(|row| compare(row, 60)).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn the_healthy_rows_come_out_at_rates_that_the_waits_were_not_chosen_on() {
    let wrong = healthy(4_800, 120).filter_map(|row| compare(row, 60));
    assert_eq!(wrong.collect::<Vec<_>>(), [""; 0]);
    let wrong = healthy(28_800, 200).filter_map(|row| compare(row, 15));
    assert_eq!(wrong.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_fifth_of_hidden_pairs_makes_csma_collapse_at_120_stations_as_in_the_table() {
    for row in TABLE.iter().filter(|row| row.bit_rate == 2_400 && row.collapses()) {
        let got = row.run(30, SEED);
        let (busy, delivered) = (got.busy * 100.0, got.delivered * 100.0);
        assert!((busy - row.busy).abs() <= 5.0, "{row:?}: busy {busy:.1} %");
        // Which pairs are hidden moves this by some points: far from both ends is what counts.
        assert!(
            (delivered - row.delivered).abs() <= 12.0 && delivered < 90.0,
            "{row:?}: delivered {delivered:.1} %"
        );
    }
}

#[test]
fn a_command_takes_its_airtime_and_the_listening_when_the_line_is_mostly_free() {
    for (at, median_ms) in [(0, 128), (1, 128), (8, 68), (15, 18)] {
        let row = &TABLE[at];
        let got = row.run(if row.bit_rate > 10_000 { 15 } else { 60 }, SEED);
        assert_eq!((got.command_ms(500), row.command_ms[0]), (median_ms, median_ms), "{row:?}");
    }
}

#[test]
fn a_lost_command_costs_one_more_exchange() {
    // 128 ms, then 93 ms in which no answer comes, then 128 ms again: the 95 % of the second and third row.
    for row in &TABLE[1..3] {
        let got = row.run(120, SEED).command_ms(950);
        assert!((340..=375).contains(&got), "{row:?}: {got} ms");
    }
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    assert_eq!(TABLE[5].run(5, 3), TABLE[5].run(5, 3));
    assert_ne!(TABLE[5].run(5, 3), TABLE[5].run(5, 4));
}
