//! The table of plain CSMA that the line is held against: 34-byte reports once a minute, each acknowledged, four
//! retries, a carrier noticed after 4 ms. Made by another program, before this one.

use crate::mains::csma::{Figures, Plan, run};
use crate::mains::line::{Setup, dealt_phases};
use crate::mains::noise::Noise;
use crate::mains::phy::Phy;
use crate::mains::wiring::{LEVEL, Wiring};

/// One row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Bits a second.
    pub bit_rate: u32,
    /// Reporting stations.
    pub stations: usize,
    /// Loss of any frame, in percent.
    pub loss_percent: u32,
    /// Pairs of stations that do not hear each other, in percent.
    pub hidden_percent: u32,
    /// Time with a frame on the wire, in percent.
    pub busy: f64,
    /// Reports that arrived, in percent.
    pub delivered: f64,
    /// Commands until their arrival, p50, p95 and p99 in ms.
    pub command_ms: [u64; 3],
}

impl Row {
    /// Too much traffic for stations that do not hear each other: here the outcome hangs on details of waiting.
    #[must_use]
    pub fn collapses(&self) -> bool {
        self.delivered < 90.0
    }

    /// The same, run here for so many minutes.
    #[must_use]
    pub fn run(&self, minutes: u64, seed: u64) -> Figures {
        let wiring = Wiring::new(&dealt_phases(self.stations + 1), &LEVEL, seed);
        let setup = Setup {
            phy: Phy { bit_rate: self.bit_rate, ..Phy::default() },
            wiring: wiring.with_hidden(self.hidden_percent * 10_000, seed),
            noise: Noise::quiet(),
            loss_ppm: self.loss_percent * 10_000,
            seed,
        };
        run(setup, &Plan { length_us: minutes * 60_000_000, ..Plan::default() })
    }
}

const fn row(
    (bit_rate, stations): (u32, usize),
    (loss_percent, hidden_percent): (u32, u32),
    (busy, delivered): (f64, f64),
    command_ms: [u64; 3],
) -> Row {
    Row { bit_rate, stations, loss_percent, hidden_percent, busy, delivered, command_ms }
}

/// All rows.
pub const TABLE: [Row; 19] = [
    row((2_400, 30), (5, 0), (13.0, 99.94), [128, 193, 349]),
    row((2_400, 60), (5, 0), (25.0, 100.0), [128, 345, 566]),
    row((2_400, 120), (5, 0), (51.0, 100.0), [128, 349, 712]),
    row((2_400, 120), (20, 0), (68.0, 99.75), [183, 773, 1_084]),
    row((2_400, 60), (5, 20), (28.0, 99.25), [128, 349, 610]),
    row((2_400, 60), (20, 20), (38.0, 97.8), [132, 587, 828]),
    row((2_400, 120), (5, 20), (74.0, 78.0), [182, 674, 1_752]),
    row((2_400, 120), (20, 20), (89.0, 31.0), [290, 2_330, 4_422]),
    row((4_800, 60), (5, 0), (13.0, 100.0), [68, 123, 257]),
    row((4_800, 120), (5, 0), (25.0, 99.99), [68, 186, 272]),
    row((4_800, 220), (5, 0), (47.0, 99.99), [72, 261, 390]),
    row((4_800, 120), (5, 20), (27.0, 99.6), [68, 192, 287]),
    row((4_800, 120), (20, 20), (36.0, 98.5), [72, 302, 408]),
    row((4_800, 220), (5, 20), (65.0, 87.0), [96, 353, 563]),
    row((4_800, 220), (20, 20), (82.0, 41.0), [139, 860, 1_256]),
    row((28_800, 200), (5, 0), (7.0, 100.0), [18, 58, 118]),
    row((28_800, 600), (5, 0), (23.0, 99.96), [18, 71, 118]),
    row((28_800, 200), (20, 20), (10.0, 99.88), [18, 122, 181]),
    row((28_800, 600), (20, 20), (35.0, 93.8), [23, 161, 260]),
];
