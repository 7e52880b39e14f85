//! The wire against plain words: who hears what, what collides, what survives.

use super::*;
use crate::mains::noise::Source;
use crate::mains::wiring::LEVEL;

const AIR_34_US: u64 = 146_667;

fn setup(nodes: usize) -> Setup {
    Setup {
        phy: Phy::default(),
        wiring: Wiring::new(&vec![Phase::L1; nodes], &LEVEL, 1),
        noise: Noise::quiet(),
        loss_ppm: 0,
        seed: 1,
    }
}

fn run(line: &mut Line) -> Vec<Delivery> {
    while let Some(at_us) = line.poll_timeout() {
        line.handle_timeout(at_us);
    }
    std::iter::from_fn(|| line.poll_delivery()).collect()
}

#[test]
fn a_frame_reaches_everyone_else_whole_when_its_last_bit_is_through() {
    let mut line = Line::new(setup(4));
    let end_us = line.transmit(1, &[7; 34], 1_000).unwrap();
    assert_eq!(end_us, 1_000 + AIR_34_US);
    let got = run(&mut line);
    assert_eq!(got.iter().map(|delivery| delivery.node).collect::<Vec<_>>(), [0, 2, 3]);
    assert!(
        got.iter()
            .all(|d| d.truth.intact && *d.bytes == [7; 34] && (d.start_us, d.end_us) == (1_000, end_us))
    );
    assert_eq!(line.stats(), Stats { frames: 1, busy_us: AIR_34_US, intact: 3, ..Stats::default() });
}

#[test]
fn a_carrier_is_noticed_after_the_sense_delay_and_until_the_end() {
    let mut line = Line::new(setup(3));
    line.transmit(1, &[7; 34], 0).unwrap();
    assert!(!line.carrier(2, 3_999));
    assert!(line.carrier(2, 4_000));
    assert!(!line.carrier(1, 4_000), "one's own frame is no carrier");
    assert_eq!(line.busy_until_us(2, 4_000), Some(AIR_34_US));
    assert_eq!(line.idle_since_us(2, 4_000), None);
    line.handle_timeout(AIR_34_US);
    assert!(!line.carrier(2, AIR_34_US));
    assert_eq!(line.idle_since_us(2, AIR_34_US + 10), Some(AIR_34_US));
}

#[test]
fn two_frames_of_one_level_spoil_each_other() {
    let mut line = Line::new(setup(4));
    line.transmit(1, &[1; 34], 0).unwrap();
    line.transmit(2, &[2; 34], 100_000).unwrap();
    let got = run(&mut line);
    // The first was found before the second came: it arrives with a spoilt end. The second is never found.
    assert_eq!(got.iter().map(|d| (d.node, d.truth.from)).collect::<Vec<_>>(), [(0, 1), (3, 1)]);
    assert!(got.iter().all(|d| !d.truth.intact && d.bytes[..20] == [1; 20] && d.bytes[..] != [1; 34]));
    let stats = line.stats();
    assert_eq!((stats.damaged, stats.collided, stats.deaf), (2, 2, 2));
    assert_eq!(stats.busy_us, 100_000 + AIR_34_US);
}

#[test]
fn a_frame_stronger_by_the_capture_ratio_survives_whichever_came_first() {
    for (strong_at, weak_at) in [(0, 50_000), (50_000, 0)] {
        let mut setup = setup(3);
        setup.wiring = setup.wiring.with_pair(0, 1, Some(3_000)).with_pair(0, 2, Some(3_600));
        let mut line = Line::new(setup);
        line.transmit(1, &[1; 34], strong_at).unwrap();
        line.transmit(2, &[2; 34], weak_at).unwrap();
        let at_gateway: Vec<_> = run(&mut line).into_iter().filter(|d| d.node == 0).collect();
        assert_eq!(at_gateway.len(), 1);
        assert!(at_gateway[0].truth.intact && at_gateway[0].truth.from == 1);
    }
}

#[test]
fn two_weak_frames_together_drown_one_that_survives_either() {
    let survives = |others: &[Node]| {
        let mut setup = setup(4);
        setup.wiring = setup.wiring.with_pair(0, 1, Some(3_000)).with_pair(0, 2, Some(3_700));
        setup.wiring = setup.wiring.with_pair(0, 3, Some(3_700));
        let mut line = Line::new(setup);
        line.transmit(1, &[1; 34], 0).unwrap();
        others.iter().for_each(|node| {
            line.transmit(*node, &[2; 34], 90_000).unwrap();
        });
        run(&mut line).iter().any(|d| d.node == 0 && d.truth.intact)
    };
    assert!(survives(&[2]) && survives(&[3]), "7 dB each");
    assert!(!survives(&[2, 3]), "4 dB over both");
}

#[test]
fn a_frame_that_starts_as_another_ends_touches_it_not() {
    let mut line = Line::new(setup(3));
    let end_us = line.transmit(1, &[1; 34], 0).unwrap();
    line.transmit(2, &[2; 34], end_us).unwrap();
    assert_eq!(run(&mut line).iter().filter(|d| d.node == 0 && d.truth.intact).count(), 2);
}

#[test]
fn hidden_nodes_hear_neither_frames_nor_carriers_of_each_other() {
    let mut setup = setup(3);
    setup.wiring = setup.wiring.with_pair(1, 2, None);
    let mut line = Line::new(setup);
    line.transmit(1, &[1; 34], 0).unwrap();
    assert!(!line.carrier(2, 50_000) && line.carrier(0, 50_000));
    line.transmit(2, &[2; 34], 50_000).unwrap();
    let got = run(&mut line);
    assert!(got.iter().all(|d| d.node == 0 && !d.truth.intact), "both meet at the modem: {got:?}");
    assert_eq!(line.stats().unheard, 2);
}

#[test]
fn who_sends_hears_nothing() {
    let mut line = Line::new(setup(2));
    line.transmit(0, &[1; 34], 0).unwrap();
    line.transmit(1, &[2; 12], 100_000).unwrap();
    assert_eq!(run(&mut line), []);
    assert_eq!(line.stats().deaf, 2);
}

#[test]
fn a_frame_cut_off_arrives_with_a_spoilt_end_and_frees_the_line_at_once() {
    let mut line = Line::new(setup(3));
    line.transmit(1, &[0; 34], 0).unwrap();
    line.abort(1, 100_000);
    assert!(!line.carrier(2, 100_000));
    assert_eq!(line.stats().busy_us, 100_000);
    let got = run(&mut line);
    assert!(got.iter().all(|d| !d.truth.intact && d.bytes[..19] == [0; 19] && d.end_us == AIR_34_US));
    assert_eq!(got.len(), 2);
    line.transmit(1, &[0; 34], 200_000).unwrap();
    line.abort(1, 210_000);
    assert_eq!(run(&mut line), [], "cut off in its preamble: nobody finds it");
}

#[test]
fn a_node_without_power_neither_hears_nor_sends_and_misses_the_frame_under_way() {
    let mut line = Line::new(setup(3));
    line.set_power(2, false, 0);
    assert_eq!(line.transmit(2, &[1], 0), Err(Refused::Off));
    line.transmit(1, &[1; 34], 0).unwrap();
    line.set_power(2, true, 10_000);
    assert_eq!(run(&mut line).iter().map(|d| d.node).collect::<Vec<_>>(), [0]);
    line.transmit(1, &[1; 34], 200_000).unwrap();
    assert_eq!(run(&mut line).iter().map(|d| d.node).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn what_cannot_be_sent_is_refused_with_the_reason() {
    let mut line = Line::new(setup(2));
    line.handle_timeout(50);
    assert_eq!(line.transmit(2, &[1], 60), Err(Refused::UnknownNode { got: 2, nodes: 2 }));
    assert_eq!(line.transmit(1, &[1], 40), Err(Refused::Past { got_us: 40, now_us: 50 }));
    assert_eq!(line.transmit(1, &[], 60), Err(Refused::BadLength { got: 0 }));
    assert_eq!(line.transmit(1, &[0; 513], 60), Err(Refused::BadLength { got: 513 }));
    let until_us = line.transmit(1, &[1], 50).unwrap();
    assert_eq!(line.transmit(1, &[1], 60), Err(Refused::StillSending { until_us }));
    assert_eq!(Refused::BadLength { got: 513 }.to_string(), "frame: got 513 bytes, wanted 1 … 512");
}

#[test]
fn a_fifth_of_the_frames_is_lost_at_each_receiver_by_itself() {
    let mut line = Line::new(Setup { loss_ppm: 200_000, ..setup(11) });
    let mut both = 0;
    for n in 0..2_000 {
        line.transmit(0, &[1; 4], n * 100_000).unwrap();
        let got = run(&mut line);
        let lost = |node| got.iter().all(|d| d.node != node);
        both += u32::from(lost(1) && lost(2));
    }
    let stats = line.stats();
    assert_eq!(stats.lost + stats.intact, 20_000);
    assert!((3_800..4_200).contains(&stats.lost), "{}", stats.lost);
    assert!((50..112).contains(&both), "a fifth of a fifth of 2000: {both}");
}

/// Bit errors of a frame of 64 bytes at one level over one background, over many frames.
fn bit_error_rate(snr_db: i32) -> f64 {
    let level_cdbuv = 11_600 - 3_500 - snr_db * 100;
    let noise = Noise::new(vec![Source::Background { level_cdbuv, shape: None }], 50, 1);
    let phy = Phy { sync_errors_max: 80, ..Phy::default() };
    let mut line = Line::new(Setup { noise, phy, ..setup(6) });
    let mut wrong = 0;
    for n in 0..400 {
        line.transmit(0, &[0; 64], n * 1_000_000).unwrap();
        let ones = |d: &Delivery| d.bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
        wrong += run(&mut line).iter().map(ones).sum::<u32>();
    }
    f64::from(wrong) / (400.0 * 5.0 * 512.0)
}

#[test]
fn bits_go_wrong_as_bpsk_in_white_noise_does() {
    // ½·erfc(√snr), from tables: 0 dB 0.0786, 4 dB 0.0125, 7 dB 7.73e-4. A million bits: 10 % is three errors' spread.
    for (snr_db, rate) in [(0, 0.0786), (4, 0.0125), (7, 7.73e-4)] {
        let got = bit_error_rate(snr_db);
        assert!((got / rate - 1.0).abs() < 0.12, "{snr_db} dB: {got} instead of {rate}");
    }
    assert_eq!(bit_error_rate(20), 0.0);
}

#[test]
fn the_same_seed_tells_the_same_story_and_another_one_another() {
    let story = |seed| {
        let mut setup = Setup { seed, loss_ppm: 100_000, ..setup(8) };
        setup.noise = Noise::new(
            vec![Source::Impulses {
                mean_gap_us: 20_000.0,
                mean_width_us: 64.1,
                level_cdbuv: 9_500,
                deviation_cdb: 600,
            }],
            50,
            seed,
        );
        let mut line = Line::new(setup);
        for n in 0..40 {
            line.transmit(1 + n % 7, &[0x55; 30], n as u64 * 90_000).unwrap();
        }
        run(&mut line)
    };
    assert_eq!(story(5), story(5));
    assert_ne!(story(5), story(6));
}

#[test]
fn what_one_node_hears_does_not_hang_on_who_else_listens() {
    let heard = |others_on: bool| {
        let mut line = Line::new(Setup { loss_ppm: 300_000, ..setup(5) });
        line.set_power(3, others_on, 0);
        for n in 0..50 {
            line.transmit(1, &[1; 8], n * 100_000).unwrap();
        }
        run(&mut line).into_iter().filter(|d| d.node == 2).collect::<Vec<_>>()
    };
    assert_eq!(heard(true), heard(false));
}
