//! What the noise claims to be, measured on long stretches of it.

use super::*;

const PHY: Phy = Phy {
    bit_rate: 2400,
    overhead_bytes: 10,
    transmit_cdbuv: 11_600,
    sensitivity_cdbuv: 3_800,
    carrier_cdbuv: 3_800,
    sense_delay_us: 4_000,
    capture_cdb: 600,
    coding_gain_cdb: 0,
    sync_errors_max: 3,
};

/// The share of the time that a source at 0 dBµV, so of power 1, is on.
fn duty(source: Source, seconds: u64) -> f64 {
    let noise = Noise::new(vec![source], 50, 9);
    let mut power = [0.0];
    noise.add_all(&[0, seconds * 1_000_000], &mut power, Phase::L1);
    power[0]
}

#[test]
fn the_three_classes_of_impulses_have_their_published_disturbance_ratios() {
    // Seed 9.
    for (gap_s, width_us, ratio) in
        [(0.0196, 64.1, 0.003_27), (0.96, 60.7, 0.000_063_2), (8.1967, 111.0, 0.000_013_5)]
    {
        let mean_gap_us = gap_s * 1e6;
        let source =
            Source::Impulses { mean_gap_us, mean_width_us: width_us, level_cdbuv: 0, deviation_cdb: 0 };
        // Enough time for 1500 strokes: the variance of their number and of their widths, three standard errors.
        let got = duty(source, (gap_s * 1500.0) as u64);
        let tolerance = 3.0 * (2.0 / 1500.0_f64).sqrt();
        assert!((got / ratio - 1.0).abs() < tolerance, "gap {gap_s} s: {got} instead of {ratio}");
    }
}

#[test]
fn a_frame_of_34_bytes_meets_about_seven_heavy_impulses() {
    let source =
        Source::Impulses { mean_gap_us: 19_600.0, mean_width_us: 64.1, level_cdbuv: 9_000, deviation_cdb: 0 };
    let noise = Noise::new(vec![source], 50, 4);
    let frames = 400;
    let hit: usize = (0..frames)
        .map(|frame| {
            let classes = noise.classes(&PHY, frame * 200_000, 352, Phase::L1);
            classes.iter().map(|class| class.bits.len()).sum::<usize>()
        })
        .sum();
    // 146.7 ms / 19.6 ms = 7.5 strokes; one in seven reaches over into the next bit.
    let each = hit as f64 / frames as f64;
    assert!((7.5..9.5).contains(&each), "{each} bits hit in each frame");
}

#[test]
fn a_locked_burst_hits_the_same_bits_of_every_frame_that_starts_at_a_zero_crossing() {
    let source = Source::Locked { offset_us: 2_000, width_us: 800, level_cdbuv: 8_000 };
    let noise = Noise::new(vec![source], 50, 1);
    let strong = |start: u64, phase: Phase| -> Vec<u16> {
        let classes = noise.classes(&PHY, start, 352, phase);
        let mut bits: Vec<u16> = classes.into_iter().flat_map(|class| class.bits).collect();
        bits.sort_unstable();
        bits
    };
    assert_eq!(strong(0, Phase::L1), strong(7_340_000, Phase::L1));
    assert_ne!(strong(0, Phase::L1), strong(3_000, Phase::L1), "a shifted start moves them");
    assert_ne!(strong(0, Phase::L1), strong(0, Phase::L2), "another phase crosses zero later");
    assert_eq!(strong(0, Phase::L1)[0], 4, "2.0 ms is in the fifth bit");
    assert_eq!(strong(0, Phase::L1).len(), 15 * 3, "45 bits in 15 half-cycles");
}

#[test]
fn the_background_keeps_its_mean_and_peaks_once_in_a_half_cycle() {
    let shape = Some(Shape::default());
    let noise = Noise::new(vec![Source::Background { level_cdbuv: 4_500, shape }], 50, 1);
    assert_eq!(noise.level_cdbuv(0, 10_000_000, Phase::L1), 4_500);
    let at = |us: u64| noise.level_cdbuv(us, us + 100, Phase::L1);
    let peak = (0..100).map(|n| n * 100).max_by_key(|us| at(*us)).unwrap();
    // −35° peaks at 90° + 35° = 125° of 180°: 6.94 ms.
    assert!((6_900..=7_000).contains(&peak), "{peak}");
    assert!(at(peak) - at(300) > 700, "{} over {}", at(peak), at(300));
    assert_eq!(at(peak), at(peak + 10_000));
}

#[test]
fn a_switching_source_is_on_for_its_share_of_the_time() {
    let source = Source::Switching { mean_on_us: 50_000.0, mean_off_us: 450_000.0, level_cdbuv: 0 };
    let got = duty(source, 1_000);
    // 2000 cycles: 10 % within three standard errors.
    assert!((0.09..0.11).contains(&got), "{got}");
}

#[test]
fn noise_is_the_same_whenever_it_is_asked() {
    let sources = vec![
        Source::Impulses {
            mean_gap_us: 5_000.0,
            mean_width_us: 64.1,
            level_cdbuv: 9_000,
            deviation_cdb: 500,
        },
        Source::Switching { mean_on_us: 9_000.0, mean_off_us: 20_000.0, level_cdbuv: 6_000 },
    ];
    let (one, two) = (Noise::new(sources.clone(), 50, 3), Noise::new(sources.clone(), 50, 3));
    let late = one.classes(&PHY, 9_000_000, 352, Phase::L1);
    let _ = two.classes(&PHY, 1_000, 352, Phase::L1);
    assert_eq!(two.classes(&PHY, 9_000_000, 352, Phase::L1), late);
    assert_ne!(Noise::new(sources, 50, 4).classes(&PHY, 9_000_000, 352, Phase::L1), late);
}
