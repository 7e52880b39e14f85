//! Names and lengths of everything on the host link of an INSTEON modem, by the byte behind `02`.
//!
//! The link has neither lengths nor checks, so this table is all there is to find frames by.

/// One code. Lengths count from the `02`, replies with their ACK byte; 0 where there is no such frame.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Name of the event or command: `link_record`, `send`.
    pub name: &'static str,
    /// Name of the reply.
    pub reply_name: &'static str,
    /// Bytes of the command to the modem.
    pub host: u8,
    /// Bytes of the event or reply from the modem.
    pub modem: u8,
}

const fn none() -> Row {
    Row { name: "", reply_name: "", host: 0, modem: 0 }
}

const fn event(name: &'static str, modem: u8) -> Row {
    Row { name, reply_name: "", host: 0, modem }
}

const fn command(name: &'static str, reply_name: &'static str, host: u8, modem: u8) -> Row {
    Row { name, reply_name, host, modem }
}

const FIRST: u8 = 0x50;

/// Codes 50 … 7F in order. 56 is 7 bytes where the byte behind the code is 01, as the maker's guide has it, and 6
/// where it is not (openHAB and misterhouse know it so). 62 is 14 bytes longer when its flags say extended. 77 has
/// an argument on some modems. 5C and 7F are known by their length alone (openHAB); 79 … 7C come from a later guide
/// of the maker and were seen in no capture.
const ROWS: [Row; 48] = [
    event("standard", 11),
    event("extended", 25),
    event("x10", 4),
    event("link_completed", 10),
    event("button", 3),
    event("user_reset", 2),
    event("cleanup_failure", 7),
    event("link_record", 10),
    event("cleanup_status", 3),
    event("database_record", 12),
    none(),
    none(),
    event("unnamed_5c", 11),
    none(),
    none(),
    none(),
    command("get_info", "info", 2, 9),
    command("send_group", "send_group_reply", 5, 6),
    command("send", "send_reply", 8, 9),
    command("send_x10", "send_x10_reply", 4, 5),
    command("start_linking", "start_linking_reply", 4, 5),
    command("cancel_linking", "cancel_linking_reply", 2, 3),
    command("set_category", "set_category_reply", 5, 6),
    command("reset", "reset_reply", 2, 3),
    command("set_ack_byte", "set_ack_byte_reply", 3, 4),
    command("first_link", "first_link_reply", 2, 3),
    command("next_link", "next_link_reply", 2, 3),
    command("set_config", "set_config_reply", 3, 4),
    command("link_for_sender", "link_for_sender_reply", 2, 3),
    command("led_on", "led_on_reply", 2, 3),
    command("led_off", "led_off_reply", 2, 3),
    command("manage_link", "manage_link_reply", 11, 12),
    command("set_nak_byte", "set_nak_byte_reply", 3, 4),
    command("set_ack_bytes", "set_ack_bytes_reply", 4, 5),
    command("rf_sleep", "rf_sleep_reply", 2, 3),
    command("get_config", "config", 2, 6),
    command("cancel_cleanup", "cancel_cleanup_reply", 2, 3),
    command("read_database", "read_database_reply", 4, 5),
    command("write_database", "write_database_reply", 12, 13),
    command("beep", "beep_reply", 2, 3),
    command("set_status", "set_status_reply", 3, 4),
    command("set_next_link_data", "set_next_link_data_reply", 5, 6),
    command("set_link_retries", "set_link_retries_reply", 3, 4),
    command("set_rf_offset", "set_rf_offset_reply", 3, 4),
    command("set_templinc_ack", "set_templinc_ack_reply", 18, 19),
    none(),
    none(),
    command("unnamed_7f", "unnamed_7f_reply", 3, 4),
];

/// The longest frame either way.
pub const MAX_FRAME: usize = 25;

/// The row of a code, if it is known.
#[must_use]
pub fn row(code: u8) -> Option<&'static Row> {
    let row = ROWS.get(usize::from(code.checked_sub(FIRST)?))?;
    (row.modem != 0).then_some(row)
}

/// All codes that are known, with their rows.
pub fn rows() -> impl Iterator<Item = (u8, &'static Row)> {
    (FIRST..=0x7F).filter_map(|code| row(code).map(|row| (code, row)))
}

/// Bytes that the data of an extended message adds to 62.
const EXTENDED: u8 = 14;
const EXTENDED_BIT: u8 = 0x10;

/// Length of a frame from the modem that begins with `bytes` (`02`, a known code), or `None` when that is not yet
/// known.
#[must_use]
pub fn modem_len(row: &Row, bytes: &[u8]) -> Option<usize> {
    let len = match bytes[1] {
        0x56 if *bytes.get(2)? != 0x01 => 6,
        0x62 if *bytes.get(5)? & EXTENDED_BIT != 0 => row.modem + EXTENDED,
        0x77 if !matches!(*bytes.get(2)?, 0x06 | 0x15) => 4,
        _ => row.modem,
    };
    Some(len.into())
}

/// The same for a command to the modem, all of which lies in `bytes`.
#[must_use]
pub fn host_len(row: &Row, bytes: &[u8]) -> usize {
    let len = match (bytes[1], bytes.get(5)) {
        (0x62, Some(flags)) if flags & EXTENDED_BIT != 0 => row.host + EXTENDED,
        (0x77, _) if bytes.len() > 2 => 3,
        _ => row.host,
    };
    len.into()
}
