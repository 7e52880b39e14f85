//! An image that holds one socket and calls every verb, with registers of a made-up board around it. It does nothing
//! useful; its size does. Registers are memory that the optimiser may not look through.
#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::entry;
use panic_halt as _;
use plugline_protocol::Eui64;
use plugline_protocol::messages::Capabilities;
use plugline_protocol::security::Key;
use plugline_protocol::timing::LineRate;
use plugline_socket::{Board, Factory, Limits, Output, Sample, Socket, Start, Transmitted};

struct Flash;

impl Board for Flash {
    const PAGE_LEN: usize = 2048;
    const PAGES: usize = 14;

    fn read(&self, page: usize, at: usize, into: &mut [u8]) {
        black_box((page, at, into));
    }

    fn erase(&mut self, page: usize) {
        black_box(page);
    }

    fn write(&mut self, page: usize, at: usize, octets: &[u8]) {
        black_box((page, at, octets));
    }
}

fn factory() -> Factory {
    Factory {
        eui: Eui64(black_box([1; 8])),
        install_key: Key::new(black_box([2; 16])),
        hardware: black_box(1),
        capabilities: Capabilities { relay: true, meter: true, ring: true, ..Capabilities::default() },
        limits: Limits { current_ma: 16_000, temperature_c: 85 },
        rate: LineRate::REFERENCE,
        crc: black_box(true),
    }
}

#[inline(never)]
fn turn(socket: &mut Socket<Flash>, frame: &[u8]) {
    let now_us = black_box(0_u64);
    match black_box(0_u8) {
        0 => socket.handle_frame(frame, now_us, now_us),
        1 => socket.handle_transmitted(black_box(Transmitted::Busy), now_us),
        2 => socket.handle_metering(black_box(&Sample::default()), now_us),
        3 => socket.handle_button(black_box(true), now_us),
        4 => socket.handle_carrier(black_box(true), now_us),
        5 => socket.handle_power_failing(now_us),
        _ => socket.handle_timeout(now_us),
    }
    while let Some(output) = socket.poll_output() {
        match output {
            Output::Transmit(transmit) => {
                black_box(transmit);
            }
            Output::Relay { on } => {
                black_box(on);
            }
            Output::Led(led) => {
                black_box(led);
            }
            Output::Restart => {
                black_box(0);
            }
        }
    }
    black_box(socket.poll_timeout());
}

#[entry]
fn main() -> ! {
    let mut socket =
        Socket::new(factory(), Flash, black_box(Start::PowerOn), black_box([1, 2, 3, 4]), black_box(0));
    let frame = black_box([0_u8; 128]);
    loop {
        turn(&mut socket, &frame);
    }
}
