//! The modem between a host that asks and a wire that others use.

use super::*;
use crate::mains::noise::Noise;
use crate::mains::phy::Phy;
use crate::mains::wiring::{LEVEL, Phase, Wiring};
use crate::mains::{Setup, Source};

const BOOT_US: u64 = 300_000;

/// A modem at node 0 and two sockets that the test plays itself.
struct House {
    line: Line,
    modem: Modem,
    now_us: u64,
    told: Vec<ModemEvent>,
    heard: Vec<Delivery>,
}

impl House {
    fn with(setup: ModemSetup, noise: Noise) -> Self {
        let wiring = Wiring::new(&[Phase::L1; 3], &LEVEL, 1);
        let line = Line::new(Setup { phy: Phy::default(), wiring, noise, loss_ppm: 0, seed: 1 });
        Self { line, modem: Modem::new(setup), now_us: 0, told: Vec::new(), heard: Vec::new() }
    }

    /// Up and running, what it told at its boot forgotten.
    fn booted(setup: ModemSetup) -> Self {
        let mut house = Self::with(setup, Noise::quiet());
        house.run_until(BOOT_US + 100_000);
        house.told.clear();
        house
    }

    fn run_until(&mut self, end_us: u64) {
        loop {
            let next = self.line.poll_timeout().into_iter().chain(self.modem.poll_timeout()).min();
            let Some(next_us) = next.filter(|next_us| *next_us <= end_us) else { break };
            self.step(next_us);
        }
        self.step(end_us);
    }

    fn step(&mut self, at_us: u64) {
        self.now_us = self.now_us.max(at_us);
        self.line.handle_timeout(self.now_us);
        while let Some(delivery) = self.line.poll_delivery() {
            self.modem.handle_delivery(&delivery);
            self.heard.push(delivery);
        }
        self.modem.handle_timeout(self.now_us, &mut self.line);
        self.told.extend(std::iter::from_fn(|| self.modem.poll_event()));
    }

    fn ask(&mut self, id: u32, window: (u64, u64)) {
        let request = TxRequest { id, not_before_us: window.0, not_after_us: window.1, frame: vec![9; 32] };
        self.modem.request(request, self.now_us);
    }

    fn confirms(&self) -> Vec<(u32, TxResult, u64)> {
        let confirm = |event: &ModemEvent| match event {
            ModemEvent::Confirmed { id, result, started_us, .. } => Some((*id, *result, *started_us)),
            _ => None,
        };
        self.told.iter().filter_map(confirm).collect()
    }

    fn boots(&self) -> Vec<(u32, BootReason)> {
        let boot = |event: &ModemEvent| match event {
            ModemEvent::Started { boot_id, reason } => Some((*boot_id, *reason)),
            _ => None,
        };
        self.told.iter().filter_map(boot).collect()
    }
}

// [PLG-9.4-2]
#[test]
fn a_frame_planned_for_a_slot_starts_at_its_very_microsecond() {
    let mut house = House::booted(ModemSetup::default());
    house.ask(7, (1_000_000, 1_008_000));
    house.run_until(2_000_000);
    assert_eq!(house.confirms(), [(7, TxResult::Sent, 1_000_000)]);
    assert_eq!(house.heard[0].start_us, 1_000_000);
    assert_eq!(house.heard[0].bytes.len(), 34, "two bytes of CRC");
}

#[test]
fn a_slot_is_kept_by_the_modems_own_clock() {
    let mut house = House::booted(ModemSetup { clock_ppm: 50, ..ModemSetup::default() });
    house.ask(7, (60_000_000, 60_008_000));
    house.run_until(61_000_000);
    assert_eq!(house.confirms(), [(7, TxResult::Sent, 60_000_000)]);
    assert_eq!(house.heard[0].start_us, 59_997_001, "3 ms early after a minute of 50 ppm");
}

// [PLG-9.4-2]
#[test]
fn it_waits_for_the_end_of_a_foreign_frame_and_listens_and_shifts() {
    let starts: Vec<u64> = (0..20)
        .map(|seed| {
            let mut house = House::booted(ModemSetup { seed, ..ModemSetup::default() });
            let end_us = house.line.transmit(1, &[1; 34], house.now_us).unwrap();
            house.ask(7, (house.now_us + 50_000, 5_000_000));
            house.run_until(2_000_000);
            let [(7, TxResult::Sent, start_us)] = house.confirms()[..] else { panic!("{:?}", house.told) };
            assert!((end_us + 4_000..=end_us + 14_000).contains(&start_us), "{start_us}");
            start_us
        })
        .collect();
    assert!(starts.iter().any(|start_us| *start_us != starts[0]), "each seed shifts by its own");
}

#[test]
fn a_window_that_closes_over_a_busy_line_is_confirmed_so_at_its_end() {
    let mut house = House::booted(ModemSetup::default());
    house.line.transmit(1, &[1; 34], house.now_us).unwrap();
    house.ask(7, (house.now_us + 10_000, house.now_us + 60_000));
    house.run_until(460_000);
    assert_eq!(house.confirms(), []);
    house.run_until(460_001);
    assert_eq!(house.confirms(), [(7, TxResult::ChannelBusy, 0)]);
}

#[test]
fn what_cannot_be_sent_is_confirmed_at_once_with_the_reason() {
    let mut house = House::booted(ModemSetup::default());
    house.ask(1, (0, house.now_us - 1));
    house.ask(2, (9_000, 8_000));
    house.modem.request(
        TxRequest { id: 3, not_before_us: 0, not_after_us: u64::MAX, frame: vec![0; FRAME_BYTES_MAX - 1] },
        house.now_us,
    );
    (4..9).for_each(|id| house.ask(id, (5_000_000, 6_000_000)));
    house.run_until(house.now_us);
    assert_eq!(
        house.confirms(),
        [(1, TxResult::Late, 0), (2, TxResult::Late, 0), (3, TxResult::BadFrame, 0), (8, TxResult::Busy, 0)]
    );
}

// [PLG-9.4-3]
#[test]
fn of_two_that_are_due_the_more_urgent_one_goes_first() {
    let mut house = House::booted(ModemSetup::default());
    house.ask(1, (0, 9_000_000));
    house.ask(2, (0, 1_000_000));
    house.run_until(2_000_000);
    assert_eq!(house.confirms().iter().map(|confirm| confirm.0).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_frame_from_the_wire_is_told_with_its_time_and_its_quality() {
    let noise = Noise::new(vec![Source::Background { level_cdbuv: 4_500, shape: None }], 50, 1);
    let mut house = House::with(ModemSetup::default(), noise);
    house.run_until(400_000);
    house.told.clear();
    let mut bytes = b"123456789".to_vec();
    bytes.extend([0x6e, 0x90]);
    let end_us = house.line.transmit(1, &bytes, 500_000).unwrap();
    house.run_until(1_000_000);
    let frame = b"123456789".to_vec();
    // 116 − 35 − 45 dB.
    assert_eq!(house.told, [ModemEvent::Received { start_us: 500_000, end_us, snr_db: 36, frame }]);
}

#[test]
fn a_frame_with_a_wrong_crc_is_counted_and_not_told() {
    let mut house = House::booted(ModemSetup::default());
    house.line.transmit(1, b"123456789\x6e\x91", house.now_us).unwrap();
    house.run_until(700_000);
    house.line.transmit(1, b"\x6e", house.now_us).unwrap();
    house.run_until(1_000_000);
    assert_eq!(house.told, []);
    assert_eq!(house.modem.stats().crc_errors, 2);
}

#[test]
fn a_modem_without_crc_passes_bytes_as_they_are() {
    let mut house = House::booted(ModemSetup { crc: false, ..ModemSetup::default() });
    house.ask(1, (0, u64::MAX));
    house.run_until(1_000_000);
    assert_eq!(*house.heard[0].bytes, [9; 32]);
}

#[test]
fn it_starts_with_garbage_and_then_says_who_it_is() {
    let mut house = House::with(ModemSetup { seed: 4, ..ModemSetup::default() }, Noise::quiet());
    house.run_until(BOOT_US - 1);
    assert_eq!(house.told, []);
    house.run_until(BOOT_US);
    assert!(matches!(&house.told[0], ModemEvent::Garbage(bytes) if !bytes.is_empty()), "{:?}", house.told);
    assert!(matches!(house.told[1], ModemEvent::Started { reason: BootReason::PowerOn, .. }));
}

#[test]
fn a_reset_in_mid_frame_cuts_the_frame_forgets_all_requests_and_shows_another_boot_id() {
    let sulks = vec![Sulk { at_us: 450_000, kind: SulkKind::Reset }];
    let mut house = House::with(ModemSetup { sulks, ..ModemSetup::default() }, Noise::quiet());
    house.run_until(400_000);
    house.ask(1, (0, u64::MAX));
    house.ask(2, (0, u64::MAX));
    house.run_until(2_000_000);
    assert_eq!(house.confirms(), [], "both are lost without a word");
    assert!(house.heard.iter().all(|delivery| !delivery.truth.intact));
    let [(first, BootReason::PowerOn), (second, BootReason::Fault)] = house.boots()[..] else {
        panic!("{:?}", house.told)
    };
    assert_ne!(first, second);
    assert_eq!(house.modem.clock_us(2_000_000), 1_550_000, "its clock starts anew");
    assert_eq!(house.modem.stats().swallowed, 2);
}

#[test]
fn a_modem_that_hangs_says_and_does_nothing_until_it_goes_on() {
    let sulks = vec![Sulk { at_us: 450_000, kind: SulkKind::Hang { for_us: 1_000_000 } }];
    let mut house = House::with(ModemSetup { sulks, ..ModemSetup::default() }, Noise::quiet());
    house.run_until(500_000);
    house.told.clear();
    house.ask(1, (0, u64::MAX));
    house.line.transmit(1, b"123456789\x6e\x90", 600_000).unwrap();
    house.run_until(1_449_999);
    assert_eq!(house.told, []);
    house.run_until(1_450_000);
    house.ask(2, (0, u64::MAX));
    house.run_until(2_000_000);
    assert_eq!(house.confirms(), [(2, TxResult::Sent, 1_450_000)]);
    assert_eq!(house.boots(), []);
}

#[test]
fn a_modem_that_hangs_for_good_comes_back_when_the_host_resets_it() {
    let sulks = vec![Sulk { at_us: 450_000, kind: SulkKind::HangForGood }];
    let mut house = House::with(ModemSetup { sulks, ..ModemSetup::default() }, Noise::quiet());
    house.run_until(3_600_000_000);
    assert_eq!(house.boots().len(), 1);
    house.modem.reset(house.now_us, &mut house.line);
    house.run_until(3_601_000_000);
    assert_eq!(house.boots()[1].1, BootReason::Host);
    house.ask(2, (0, u64::MAX));
    house.run_until(3_602_000_000);
    assert_eq!(house.confirms().len(), 1);
}

#[test]
fn a_busy_modem_refuses_for_its_time_and_a_lost_confirm_hides_a_frame_that_went_out() {
    let sulks = vec![
        Sulk { at_us: 450_000, kind: SulkKind::Busy { for_us: 100_000 } },
        Sulk { at_us: 600_000, kind: SulkKind::LoseConfirm },
    ];
    let mut house = House::with(ModemSetup { sulks, ..ModemSetup::default() }, Noise::quiet());
    house.run_until(500_000);
    house.ask(1, (0, u64::MAX));
    house.run_until(700_000);
    house.ask(2, (0, u64::MAX));
    house.run_until(2_000_000);
    assert_eq!(house.confirms(), [(1, TxResult::Busy, 0)]);
    assert_eq!((house.heard.len(), house.modem.stats().sent), (2, 1), "both sockets heard the second");
}

#[test]
fn through_an_hour_of_sulks_every_request_is_confirmed_once_or_swallowed() {
    for seed in 1..6 {
        let sulks = Sulk::scattered(3_600_000_000, 20_000_000, seed);
        assert!((120..250).contains(&sulks.len()), "about one each 20 s: {}", sulks.len());
        let mut house = House::with(ModemSetup { sulks, seed, ..ModemSetup::default() }, Noise::quiet());
        let asked = 3_000;
        for id in 0..asked {
            let at_us = u64::from(id) * 1_200_000;
            house.run_until(at_us);
            let shown_us = house.modem.clock_us(at_us);
            house.ask(id, (shown_us, shown_us + 900_000));
        }
        house.run_until(3_700_000_000);
        let confirms = house.confirms();
        let mut ids: Vec<u32> = confirms.iter().map(|confirm| confirm.0).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), confirms.len(), "seed {seed}: none is confirmed twice");
        let stats = house.modem.stats();
        let silent = stats.swallowed + stats.sent + stats.refused - confirms.len() as u64;
        assert_eq!(stats.swallowed + stats.sent + stats.refused, u64::from(asked), "seed {seed}");
        assert!(silent > 0 && confirms.len() as u64 + silent == u64::from(asked), "seed {seed}");
        assert_eq!(house.boots().len() as u32, stats.boots, "seed {seed}");
    }
}
