//! Claims of the text that vectors alone do not show: limits, airtimes, what the types refuse.

use plugline_protocol::frame::{self, Frame, Kind, MAX_FRAME, MAX_PAYLOAD, MAX_PDU, Options};
use plugline_protocol::messages::{
    Ask, Beacon, Command, Extensions, History, Report, Response, SlotBits, SlotPlan,
};
use plugline_protocol::messages::{Form, Outcome};
use plugline_protocol::reading::{Flags, Reading};
use plugline_protocol::security::{Channel, OpenError};
use plugline_protocol::timing::LineRate;
use plugline_protocol::wire::Full;
use plugline_protocol::{Identity, NetworkId, ShortAddress};

use crate::world::{WHO, group_key, keys};

fn up() -> Channel {
    Channel::up(&keys().up, &WHO)
}

// [PLG-3.5-1]
#[test]
fn no_message_becomes_a_frame_of_more_than_128_octets() {
    let long = [0xF0, 106].iter().copied().chain([0; 106]).collect::<Vec<u8>>();
    let fitting = Extensions::parse(&long[..2]).unwrap_err();
    assert!(fitting.to_string().contains("want 106"), "{fitting}");
    let mut out = [0; 300];
    let bitmap = [0; 80];
    let plan = SlotPlan { first_ms: 0, pitch_ms: 90, slots: 640 };
    let group = Channel::group(&group_key(), WHO.network);
    let full = Beacon { plan, received: SlotBits(&bitmap), ..Beacon::default() };
    assert_eq!(group.seal(Options::default(), 1, &full, &mut out).unwrap().len() + frame::CRC_LEN, 113);
    let extensions = Extensions::parse(&long).unwrap();
    let over = Beacon { extensions, ..full };
    assert_eq!(group.seal(Options::default(), 2, &over, &mut out), Err(Full));
    let report = Report { extensions, ..Report::default() };
    assert_eq!(up().seal(Options::default(), 1, &report, &mut out), Err(Full));
    let data = [0; MAX_PAYLOAD];
    let of = |len| Response {
        command_low: 0,
        outcome: Outcome::Done,
        form: Form::Other { number: 15, octets: &data[..len] },
    };
    assert_eq!(up().seal(Options::default(), 1, &of(105), &mut out).unwrap().len(), MAX_PDU);
    assert_eq!(up().seal(Options::default(), 2, &of(106), &mut out), Err(Full));
    assert_eq!(MAX_FRAME, 128);
}

// [PLG-3.5-2]
#[test]
fn a_report_with_its_history_fits_a_slot() {
    let mut out = [0; MAX_PDU];
    let pdu = up().seal(Options::default(), 1, &Report::default(), &mut out).unwrap();
    assert_eq!(pdu.len() + frame::CRC_LEN, 41);
}

#[test]
fn a_buffer_that_is_too_small_is_told_and_not_overrun() {
    let ask = Command { reference: 0, ask: Ask::Read };
    for len in 0..23 {
        let mut out = [0; 23];
        assert_eq!(
            Channel::down(&keys().down, &WHO).seal(Options::default(), 1, &ask, &mut out[..len]),
            Err(Full)
        );
    }
    let mut out = [0; 23];
    let pdu = Channel::down(&keys().down, &WHO).seal(Options::default(), 1, &ask, &mut out).unwrap();
    let frame = Frame::parse(pdu).unwrap();
    let down = Channel::down(&keys().down, &WHO);
    assert_eq!(down.open(&frame, &mut [0; 2]), Err(OpenError::Full));
}

// [PLG-3.3-5]
#[test]
fn only_a_report_asks_for_an_ack() {
    let options = Options { ack_request: true, ..Options::default() };
    for number in 0..12 {
        let kind = Kind::of(number).unwrap();
        let header = frame::Header::new(kind, WHO.network, WHO.short, options);
        assert_eq!(header.ack_request, kind == Kind::Report, "{}", kind.name());
    }
}

// [PLG-3.6-2] [PLG-5.3-4]
#[test]
fn a_channel_opens_only_frames_of_its_own_direction_network_and_socket() {
    let mut out = [0; MAX_PDU];
    let frame =
        Frame::parse(up().seal(Options::default(), 1, &Report::default(), &mut out).unwrap()).unwrap();
    let mut clear = [0; MAX_PAYLOAD];
    let mut open = |channel: Channel| channel.open(&frame, &mut clear).map(<[u8]>::len);
    assert_eq!(open(up()), Ok(21));
    let neighbour = Identity { network: NetworkId(0x4A18), ..WHO };
    let other = Identity { short: ShortAddress(0x13), ..WHO };
    let key = keys().up;
    for channel in [
        Channel::down(&key, &WHO),
        Channel::group(&key, WHO.network),
        Channel::up(&key, &neighbour),
        Channel::up(&key, &other),
    ] {
        assert_eq!(open(channel), Err(OpenError::NotForUs));
    }
    let mut named = WHO;
    named.eui.0[7] ^= 1;
    assert_eq!(open(Channel::up(&key, &named)), Err(OpenError::Forged));
}

#[test]
fn the_same_message_under_the_same_counter_is_the_same_octets() {
    let seal = |counter| {
        let mut out = [0; MAX_PDU];
        up().seal(Options::default(), counter, &Report::default(), &mut out).unwrap().to_vec()
    };
    assert_eq!(seal(7), seal(7));
    assert_ne!(seal(7)[10..], seal(8)[10..]);
}

// [PLG-4.2-1] [PLG-4.2-4]
#[test]
fn slots_and_their_bits_are_where_the_text_puts_them() {
    let plan = SlotPlan { first_ms: 1000, pitch_ms: 188, slots: 180 };
    assert_eq!([0, 1].map(|slot| plan.start_ms(slot).unwrap()), [1000, 1188]);
    // 154 slots end by 30 s, at 29,952; the others follow the second BEACON.
    assert_eq!(
        [153, 154, 155, 179].map(|slot| plan.start_ms(slot).unwrap()),
        [29_764, 31_000, 31_188, 35_700]
    );
    let exact = SlotPlan { first_ms: 0, pitch_ms: 1000, slots: 59 };
    assert_eq!([29, 30, 58].map(|slot| exact.start_ms(slot).unwrap()), [29_000, 31_000, 59_000]);
    assert!(
        exact.fits() && !SlotPlan { slots: 60, ..exact }.fits() && !SlotPlan { first_ms: 1, ..exact }.fits()
    );
    let late = SlotPlan { first_ms: 40_000, pitch_ms: 100, slots: 2 };
    assert_eq!(late.start_ms(1), Some(40_100));
    assert_eq!(plan.start_ms(180), None);
    assert_eq!(plan.bitmap_len(), 23);
    let mut octets = [0; 23];
    for slot in [0, 9, 179] {
        SlotBits::set(&mut octets, slot);
    }
    assert_eq!([octets[0], octets[1], octets[22]], [0x01, 0x02, 0x08]);
    let bits = SlotBits(&octets);
    assert!([0, 9, 179].iter().all(|slot| bits.get(*slot)) && !bits.get(1) && !bits.get(10_000));
}

// [PLG-4.2-2]
#[test]
fn the_smallest_pitch_is_the_longest_slot_frame_and_the_guard() {
    assert_eq!(LineRate::REFERENCE.slot_pitch_min_ms(), 188);
    assert_eq!(LineRate { bit_per_s: 28_800, overhead: 14 }.slot_pitch_min_ms(), 17 + 8);
    assert_eq!(LineRate { bit_per_s: 0, overhead: 255 }.airtime_us(usize::MAX / 16), u32::MAX, "no overflow");
}

#[test]
fn a_silence_lasts_a_minute_at_most() {
    let quiet = |octets: &[u8]| {
        Beacon { extensions: Extensions::parse(octets).unwrap(), ..Beacon::default() }.quiet_s()
    };
    assert_eq!(quiet(&[0x41, 1, 30]), Some(30));
    assert_eq!(quiet(&[0x41, 1, 255]), Some(60));
    assert_eq!(quiet(&[0x41, 2, 1, 1]), None);
    assert_eq!(quiet(&[]), None);
}

// [PLG-6.1-2] [PLG-6.1-3]
#[test]
fn a_history_ends_at_the_first_step_that_is_unknown_or_too_large() {
    let known = History::from_samples(1000, [Some(990), Some(985), Some(985), Some(900)]);
    assert_eq!(known.deltas(), [Some(10), Some(5), Some(0), Some(85)]);
    assert_eq!(known.samples(1000), [Some(990), Some(985), Some(985), Some(900)]);
    let gap = History::from_samples(1000, [Some(990), None, Some(985), Some(900)]);
    assert_eq!(gap.deltas(), [Some(10), None, None, None]);
    assert_eq!(gap.samples(1000), [Some(990), None, None, None]);
    let large =
        History::from_samples(10_000, [Some(10_000 - 4094), Some(10_000 - 4094 - 4095), Some(0), None]);
    assert_eq!(large.deltas(), [Some(4094), None, None, None]);
}

#[test]
fn the_register_goes_on_at_0_behind_the_last_value_that_is_not_absent() {
    let before = [Some(u32::MAX - 1), Some(u32::MAX - 3), None, None];
    let history = History::from_samples(1, before);
    assert_eq!(history.deltas(), [Some(2), Some(2), None, None]);
    assert_eq!(history.samples(1), before);
}

// [PLG-6.2-1]
#[test]
fn values_out_of_range_are_sent_as_the_nearest_that_is_in_range() {
    let over = Reading {
        voltage_10mv: Some(u16::MAX),
        current_ma: Some(u16::MAX),
        power_10mw: Some(i32::MIN),
        energy_100mwh: Some(u32::MAX),
        temperature_c: Some(i8::MIN),
        flags: Flags::default(),
    };
    let mut out = [0; MAX_PDU];
    let pdu =
        up().seal(Options::default(), 1, &Report { reading: over, ..Report::default() }, &mut out).unwrap();
    let mut clear = [0; MAX_PAYLOAD];
    let read = Report::parse(up().open(&Frame::parse(pdu).unwrap(), &mut clear).unwrap()).unwrap().reading;
    assert_eq!(read, over.clamped());
    assert_eq!((read.voltage_10mv, read.current_ma), (Some(65_534), Some(65_534)));
    assert_eq!((read.power_10mw, read.temperature_c), (Some(-8_388_607), Some(-127)));
    assert_eq!(read.energy_100mwh, Some(0));
    assert_eq!(
        (read.power_mw(), read.voltage_mv(), read.energy_mwh()),
        (Some(-83_886_070), Some(655_340), Some(0))
    );
}
