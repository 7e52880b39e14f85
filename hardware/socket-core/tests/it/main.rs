//! The socket as its gateway, its board and a person see it. Each test drives the real one in virtual time.

mod alone;
mod arbitrary;
mod bench;
mod commands;
mod joining;
mod power;
mod reports;
#[path = "../../src/testing.rs"]
mod testing;

use plugline_socket::Board;

#[test]
fn a_socket_takes_about_a_kilobyte() {
    let octets = size_of::<plugline_socket::Socket<testing::Flash>>() - size_of::<testing::Flash>();
    println!("{octets} octets without its board, on a machine of {} bits", usize::BITS);
    assert!((512..=1_200).contains(&octets), "{octets}");
}
