//! Data identifiers and what their data says: packed decimals into quantities, relay and named fields.
//!
//! Owns one table, a row per identifier; refuses to know frames. A phase that is absent is all FF, and a figure whose
//! digits are not decimal is no figure: neither is ever shown as 0.

use crate::device::{Decimal, Quantity, Reading};
use crate::line::Value;

/// What the data of one identifier says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemValue {
    /// Name of the identifier's row; `None` for identifiers that are not in the table.
    pub item: Option<&'static str>,
    /// Quantities.
    pub reading: Reading,
    /// The relay: `Some(true)` is closed (power on).
    pub relay: Option<bool>,
    /// Everything else, by name. Empty for the plain quantities, which therefore cost no memory.
    pub fields: Vec<(&'static str, Value)>,
}

/// Forward active total, the energy that sockets are billed by.
pub const ENERGY: u32 = 0x0001_0000;
/// Reverse active total.
pub const ENERGY_EXPORT: u32 = 0x0002_0000;
/// Voltage of phase A.
pub const VOLTAGE: u32 = 0x0201_0100;
/// Current of phase A.
pub const CURRENT: u32 = 0x0202_0100;
/// Active power, total.
pub const POWER: u32 = 0x0203_0000;
/// Power factor, total.
pub const POWER_FACTOR: u32 = 0x0206_0000;
/// Mains frequency.
pub const FREQUENCY: u32 = 0x0280_0002;
/// Status word 3: the relay.
pub const STATUS_WORD_3: u32 = 0x0400_0503;

/// A packed decimal of fixed width.
#[derive(Clone, Copy)]
struct Figure {
    bytes: usize,
    /// The top bit is a sign.
    signed: bool,
    /// One unit of the last digit, in units of the stored integer.
    step: i64,
    /// Decimal digits of the stored integer.
    digits: u8,
}

const fn figure(bytes: usize, signed: bool, step: i64, digits: u8) -> Figure {
    Figure { bytes, signed, step, digits }
}

// Steps are those of the table of quantities: 0.01 kWh in mWh, 0.1 V in mV, 0.001 A in mA, 0.0001 kW in mW, …
const KWH: Figure = figure(4, false, 10_000, 6);
const SIGNED_KWH: Figure = figure(4, true, 10_000, 6);
const VOLT: Figure = figure(2, false, 100, 3);
const AMPERE: Figure = figure(3, true, 1, 3);
const KILOWATT: Figure = figure(3, true, 100, 3);
const FACTOR: Figure = figure(2, true, 1, 3);
const HERTZ: Figure = figure(2, false, 10, 3);

/// Where a figure goes.
#[derive(Clone, Copy)]
enum To {
    Quantity(Quantity),
    Field(&'static str),
}

#[derive(Clone, Copy)]
enum Meaning {
    /// One figure, or several of one width: names beyond the first are those of a block's further figures.
    Figures(Figure, &'static [To]),
    Status1,
    Status3,
    Digits(&'static str),
    Date,
    Time,
}

struct Row {
    di: u32,
    name: &'static str,
    meaning: Meaning,
}

const fn row(di: u32, name: &'static str, meaning: Meaning) -> Row {
    Row { di, name, meaning }
}

const fn one(figure: Figure, to: &'static [To; 1]) -> Meaning {
    Meaning::Figures(figure, to)
}

/// The block of energies: the total, then the tariffs (a meter has up to 63; the first eight are shown).
const ENERGIES: &[To] = &[
    To::Quantity(Quantity::Energy),
    To::Field("tariff_1_kwh"),
    To::Field("tariff_2_kwh"),
    To::Field("tariff_3_kwh"),
    To::Field("tariff_4_kwh"),
    To::Field("tariff_5_kwh"),
    To::Field("tariff_6_kwh"),
    To::Field("tariff_7_kwh"),
    To::Field("tariff_8_kwh"),
];
const VOLTAGES: &[To] =
    &[To::Quantity(Quantity::Voltage), To::Field("voltage_b_v"), To::Field("voltage_c_v")];
const CURRENTS: &[To] =
    &[To::Quantity(Quantity::Current), To::Field("current_b_a"), To::Field("current_c_a")];
const POWERS: &[To] =
    &[To::Quantity(Quantity::Power), To::Field("power_a_w"), To::Field("power_b_w"), To::Field("power_c_w")];

/// The table. The combined total (0000_0000) is a field and never `energy`: meters may form it as import minus
/// export, and then it falls.
const ROWS: [Row; 20] = [
    row(ENERGY, "energy", one(KWH, &[To::Quantity(Quantity::Energy)])),
    row(POWER, "power", one(KILOWATT, &[To::Quantity(Quantity::Power)])),
    row(VOLTAGE, "voltage", one(VOLT, &[To::Quantity(Quantity::Voltage)])),
    row(CURRENT, "current", one(AMPERE, &[To::Quantity(Quantity::Current)])),
    row(STATUS_WORD_3, "status_3", Meaning::Status3),
    row(ENERGY_EXPORT, "energy_export", one(KWH, &[To::Quantity(Quantity::EnergyExport)])),
    row(POWER_FACTOR, "power_factor", one(FACTOR, &[To::Quantity(Quantity::PowerFactor)])),
    row(FREQUENCY, "frequency", one(HERTZ, &[To::Quantity(Quantity::Frequency)])),
    row(0x0000_0000, "combined_energy", one(SIGNED_KWH, &[To::Field("combined_energy_kwh")])),
    row(0x0204_0000, "reactive_power", one(KILOWATT, &[To::Field("reactive_power_var")])),
    row(0x0205_0000, "apparent_power", one(KILOWATT, &[To::Field("apparent_power_va")])),
    row(0x0001_FF00, "energies", Meaning::Figures(KWH, ENERGIES)),
    row(0x0201_FF00, "voltages", Meaning::Figures(VOLT, VOLTAGES)),
    row(0x0202_FF00, "currents", Meaning::Figures(AMPERE, CURRENTS)),
    row(0x0203_FF00, "powers", Meaning::Figures(KILOWATT, POWERS)),
    row(0x0400_0101, "date", Meaning::Date),
    row(0x0400_0102, "time", Meaning::Time),
    row(0x0400_0401, "communication_address", Meaning::Digits("communication_address")),
    row(0x0400_0402, "meter_number", Meaning::Digits("meter_number")),
    row(0x0400_0501, "status_1", Meaning::Status1),
];

/// Name of a data identifier's row, if the table has one.
#[must_use]
pub fn item_name(di: u32) -> Option<&'static str> {
    ROWS.iter().find(|row| row.di == di).map(|row| row.name)
}

/// Says what `data` (without the line's offset, without the identifier) means for `di`. Never fails: what cannot be
/// read is shown as the field `data`.
#[must_use]
pub fn parse_item(di: u32, data: &[u8]) -> ItemValue {
    let mut value = ItemValue::default();
    let understood = match ROWS.iter().find(|row| row.di == di) {
        None => false,
        Some(row) => {
            value.item = Some(row.name);
            apply(row.meaning, data, &mut value).is_some()
        }
    };
    if !understood && !data.is_empty() {
        value.fields.push(("data", Value::Bytes(data.to_vec())));
    }
    value
}

/// The quantities and the relay alone: all that a driver asks for, without the memory that the fields take.
#[must_use]
pub fn parse_figures(di: u32, data: &[u8]) -> (Reading, Option<bool>) {
    let meaning = ROWS.iter().find(|row| row.di == di).map(|row| row.meaning);
    let mut reading = Reading::default();
    let mut relay = None;
    match meaning {
        Some(Meaning::Figures(figure, &[To::Quantity(quantity)])) if data.len() == figure.bytes => {
            if let Read::Number(number) = read_figure(figure, data) {
                reading.set(quantity, number);
            }
        }
        Some(Meaning::Status3) => relay = status_3(data).map(relay_of),
        Some(Meaning::Figures(_, [_, _, ..])) => reading = parse_item(di, data).reading,
        _ => {}
    }
    (reading, relay)
}

fn status_3(data: &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes(data.try_into().ok()?))
}

/// Bit 4 is the open relay.
fn relay_of(word: u16) -> bool {
    word & 1 << 4 == 0
}

/// `None` when the data is not what the row says.
fn apply(meaning: Meaning, data: &[u8], value: &mut ItemValue) -> Option<()> {
    match meaning {
        Meaning::Figures(figure, places) => figures(figure, places, data, value),
        Meaning::Status1 => {
            let word = u16::from_le_bytes(data.try_into().ok()?);
            value.fields.push(("status_word_1", Value::Text(format!("{word:04x}"))));
            Some(())
        }
        Meaning::Status3 => {
            let word = status_3(data)?;
            value.relay = Some(relay_of(word));
            value.fields.push(("status_word_3", Value::Text(format!("{word:04x}"))));
            value.fields.push(("last_command_open", Value::Flag(word & 1 << 6 != 0)));
            Some(())
        }
        Meaning::Digits(name) => text(name, &digits(data, 6)?, value),
        Meaning::Date => {
            // Sent weekday first; the weekday follows from the date and is not shown.
            let all = digits(data, 4)?;
            text("date", &format!("20{}-{}-{}", &all[..2], &all[2..4], &all[4..6]), value)
        }
        Meaning::Time => {
            let all = digits(data, 3)?;
            text("time", &format!("{}:{}:{}", &all[..2], &all[2..4], &all[4..]), value)
        }
    }
}

fn text(name: &'static str, shown: &str, value: &mut ItemValue) -> Option<()> {
    value.fields.push((name, Value::Text(shown.to_owned())));
    Some(())
}

fn figures(figure: Figure, places: &[To], data: &[u8], value: &mut ItemValue) -> Option<()> {
    if let [place] = places {
        let read = if data.len() == figure.bytes { read_figure(figure, data) } else { return None };
        if matches!(read, Read::Absent) {
            value.fields.push(("absent", Value::Flag(true)));
        }
        put(figure, *place, read, value);
        return Some(());
    }
    if data.is_empty() || !data.len().is_multiple_of(figure.bytes) {
        return None;
    }
    for (chunk, place) in data.chunks_exact(figure.bytes).zip(places) {
        put(figure, *place, read_figure(figure, chunk), value);
    }
    Some(())
}

fn put(figure: Figure, place: To, read: Read, value: &mut ItemValue) {
    match (place, read) {
        (_, Read::Absent) => {}
        (_, Read::NotDecimal) => value.fields.push(("not_decimal", Value::Flag(true))),
        (To::Quantity(quantity), Read::Number(number)) => value.reading.set(quantity, number),
        (To::Field(name), Read::Number(number)) => {
            value.fields.push((name, Value::Decimal(Decimal { value: number, digits: figure.digits })));
        }
    }
}

enum Read {
    Number(i64),
    Absent,
    NotDecimal,
}

fn read_figure(figure: Figure, bytes: &[u8]) -> Read {
    let (packed, sign) = match *bytes {
        [a, b] => (u32::from_le_bytes([a, b, 0, 0]), 1 << 15),
        [a, b, c] => (u32::from_le_bytes([a, b, c, 0]), 1 << 23),
        [a, b, c, d] => (u32::from_le_bytes([a, b, c, d]), 1 << 31),
        _ => return Read::NotDecimal,
    };
    let all = sign | (sign - 1);
    if packed == all {
        return Read::Absent;
    }
    let negative = figure.signed && packed & sign != 0;
    let magnitude = if figure.signed { packed & !sign } else { packed };
    match unpack(magnitude) {
        None => Read::NotDecimal,
        Some(number) if negative => Read::Number(-number * figure.step),
        Some(number) => Read::Number(number * figure.step),
    }
}

/// The number that eight packed decimal digits spell; all digits at once, since this runs for every reading.
fn unpack(packed: u32) -> Option<i64> {
    const SIXES: u64 = 0x6666_6666;
    let wide = u64::from(packed);
    // Adding 6 to a digit above 9 carries into the next one.
    let carries = ((wide + SIXES) ^ wide ^ SIXES) & 0x1_1111_1110;
    if carries != 0 {
        return None;
    }
    let pairs = packed - 6 * ((packed >> 4) & 0x0F0F_0F0F);
    let fours = (pairs & 0x00FF_00FF) + 100 * ((pairs >> 8) & 0x00FF_00FF);
    Some(i64::from((fours & 0xFFFF) + 10_000 * (fours >> 16)))
}

/// Packed digits of exactly `bytes` bytes as text, most significant first.
fn digits(data: &[u8], bytes: usize) -> Option<String> {
    let decimal = |byte: &u8| byte >> 4 < 10 && byte & 0xF < 10;
    if data.len() != bytes || !data.iter().all(decimal) {
        return None;
    }
    Some(data.iter().rev().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(di: u32, data: &[u8]) -> Vec<(Quantity, i64)> {
        parse_item(di, data).reading.iter().collect()
    }

    #[test]
    fn figures_are_exact_in_the_units_of_the_table() {
        assert_eq!(reading(ENERGY, &[0x26, 0, 0, 0]), [(Quantity::Energy, 260_000)]);
        assert_eq!(reading(ENERGY, &[0x99; 4]), [(Quantity::Energy, 999_999_990_000)]);
        assert_eq!(reading(VOLTAGE, &[0x01, 0x10]), [(Quantity::Voltage, 100_100)]);
        assert_eq!(reading(CURRENT, &[0x99, 0x49, 0x00]), [(Quantity::Current, 4_999)]);
        assert_eq!(reading(POWER, &[0x12, 0x25, 0x00]), [(Quantity::Power, 251_200)]);
        assert_eq!(reading(POWER_FACTOR, &[0x01, 0x05]), [(Quantity::PowerFactor, 501)]);
        assert_eq!(reading(FREQUENCY, &[0x98, 0x49]), [(Quantity::Frequency, 49_980)]);
    }

    #[test]
    fn every_packed_number_is_read_and_every_digit_above_nine_refused() {
        for number in (0..=99_999_999).step_by(9_973) {
            let packed = u32::from_str_radix(&number.to_string(), 16).unwrap();
            assert_eq!(unpack(packed), Some(number));
        }
        assert_eq!(unpack(0x9999_9999), Some(99_999_999));
        for place in 0..8 {
            for digit in 0xA..=0xF {
                assert_eq!(unpack(0x9999_9999 & !(0xF << (4 * place)) | digit << (4 * place)), None);
            }
        }
    }

    #[test]
    fn the_top_bit_is_a_sign_where_the_format_has_one() {
        assert_eq!(reading(POWER, &[0x12, 0x25, 0x80]), [(Quantity::Power, -251_200)]);
        assert_eq!(reading(CURRENT, &[0x01, 0x00, 0x80]), [(Quantity::Current, -1)]);
        assert_eq!(reading(VOLTAGE, &[0x01, 0x90]), [(Quantity::Voltage, 900_100)]);
        let combined = parse_item(0, &[0x50, 0x01, 0, 0x80]);
        let shown = Value::Decimal(Decimal { value: -1_500_000, digits: 6 });
        assert_eq!(combined.fields, [("combined_energy_kwh", shown)]);
        assert!(combined.reading.is_empty());
    }

    #[test]
    fn an_absent_phase_and_a_figure_that_is_not_decimal_give_no_figure() {
        assert!(reading(VOLTAGE, &[0xFF, 0xFF]).is_empty());
        assert!(reading(POWER, &[0x1A, 0, 0]).is_empty());
        assert!(reading(ENERGY, &[0, 0, 0]).is_empty());
        let block = parse_item(0x0201_FF00, &[0x01, 0x22, 0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(block.reading.get(Quantity::Voltage), Some(220_100));
        assert!(block.fields.is_empty());
    }

    #[test]
    fn the_total_comes_first_in_a_block() {
        let block = parse_item(0x0203_FF00, &[3, 0, 0, 1, 0, 0, 2, 0, 0, 0xFF, 0xFF, 0xFF]);
        assert_eq!(block.reading.get(Quantity::Power), Some(300));
        let names: Vec<_> = block.fields.iter().map(|field| field.0).collect();
        assert_eq!(names, ["power_a_w", "power_b_w"]);
    }

    #[test]
    fn bit_4_of_status_word_3_is_the_open_relay() {
        assert_eq!(parse_item(STATUS_WORD_3, &[0x50, 0]).relay, Some(false));
        assert_eq!(parse_item(STATUS_WORD_3, &[0x40, 0]).relay, Some(true));
        assert_eq!(parse_item(STATUS_WORD_3, &[0x50]).relay, None);
    }

    #[test]
    fn figures_alone_are_those_of_the_whole_value() {
        for row in &ROWS {
            for data in
                [&[0x45, 0x23][..], &[0x10, 0x02], &[0x45, 0x23, 0x81], &[0x99, 0x12, 0, 0], &[0xFF; 4], &[]]
            {
                let whole = parse_item(row.di, data);
                assert_eq!(
                    parse_figures(row.di, data),
                    (whole.reading, whole.relay),
                    "{} {data:02x?}",
                    row.name
                );
            }
        }
    }

    #[test]
    fn no_row_stands_twice() {
        for (index, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..index].iter().all(|other| other.di != row.di), "{:08x}", row.di);
        }
    }
}
