//! A real pseudo terminal, opened by its path as a gateway does.

use super::*;
use crate::Pty;
use crate::fault::Fault;
use crate::house::demo_house;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::path::Path;

/// Much longer than any reply takes; only a broken front waits this long.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// Read the kettle's status word 3, and the answer of a closed relay.
const ASK: [u8; 16] = [0x68, 0x11, 0x47, 0, 0, 0, 0, 0x68, 0x11, 0x04, 0x36, 0x38, 0x33, 0x37, 0x15, 0x16];
const CLOSED: [u8; 18] =
    [0x68, 0x11, 0x47, 0, 0, 0, 0, 0x68, 0x91, 0x06, 0x36, 0x38, 0x33, 0x37, 0x33, 0x33, 0xfd, 0x16];

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("plugline-simulator-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn link(&self) -> PathBuf {
        self.0.join("modem")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Up to `length` bytes; fewer when the port ends.
fn receive(port: &OwnedFd, length: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < length {
        let ready = poll(&mut [PollFd::new(port, PollFlags::IN)], Some(&PATIENCE)).unwrap();
        assert_eq!(ready, 1, "no bytes: got {got:02x?}");
        let mut buffer = [0; 64];
        match rustix::io::read(port, &mut buffer) {
            Ok(0) | Err(_) => return got,
            Ok(n) => got.extend_from_slice(&buffer[..n]),
        }
    }
    got
}

fn ask(port: &OwnedFd) -> Vec<u8> {
    assert_eq!(rustix::io::write(port, &ASK).unwrap(), ASK.len());
    receive(port, CLOSED.len())
}

fn start(link: Option<&Path>) -> Front {
    Front::start(Bus::new(1, demo_house(1)), Pty::open(link).unwrap()).unwrap()
}

#[test]
fn a_request_written_to_the_port_is_answered_and_recorded() {
    let front = start(None);
    let port = open(&front.path());
    assert_eq!(ask(&port), CLOSED);
    let requests = front.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].bytes, ASK);
}

#[test]
fn a_program_that_comes_back_finds_the_port_alive() {
    let front = start(None);
    for _ in 0..3 {
        let port = open(&front.path());
        rustix::termios::ioctl_tiocexcl(&port).unwrap();
        assert_eq!(ask(&port), CLOSED);
    }
}

#[test]
fn a_pulled_cable_ends_the_port_and_a_new_one_answers_under_the_same_name() {
    let folder = Folder::new("cable");
    let front = start(Some(&folder.link()));
    assert_eq!(front.path(), folder.link());
    let port = open(&folder.link());
    assert_eq!(ask(&port), CLOSED);

    front.unplug().unwrap();
    assert!(receive(&port, 1).is_empty(), "the open port has ended");
    assert!(rustix::io::write(&port, &ASK).is_err());
    assert!(fs::symlink_metadata(folder.link()).is_err(), "the name is gone");

    front.plug().unwrap();
    assert_eq!(ask(&open(&folder.link())), CLOSED);
}

#[test]
fn faults_and_buttons_reach_a_running_bus() {
    let front = start(None);
    let port = open(&front.path());
    let kettle = crate::Address::parse("000000004711").unwrap();
    front.with_bus(|bus| {
        bus.set_fault_times(Fault::LoseReplies(kettle), 1);
        bus.set_fault(Fault::Echo);
    });
    rustix::io::write(&port, &ASK).unwrap();
    assert_eq!(receive(&port, ASK.len()), ASK, "the echo, and no reply");
    front.with_bus(|bus| bus.clear_faults());
    assert_eq!(ask(&port), CLOSED);
}

#[test]
fn the_name_goes_away_with_the_front() {
    let folder = Folder::new("stop");
    start(Some(&folder.link())).stop();
    assert!(fs::symlink_metadata(folder.link()).is_err());
}

#[test]
fn a_stale_name_is_taken_over_and_a_file_is_not() {
    let folder = Folder::new("stale");
    std::os::unix::fs::symlink("/dev/pts/gone", folder.link()).unwrap();
    let first = Pty::open(Some(&folder.link())).unwrap();
    let second = Pty::open(Some(&folder.link())).unwrap();
    drop(first);
    assert_eq!(fs::read_link(folder.link()).unwrap(), second.device(), "the newer one keeps the name");
    drop(second);

    fs::write(folder.link(), "mine").unwrap();
    let refused = Pty::open(Some(&folder.link())).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(folder.link()).unwrap(), "mine");
}

#[test]
fn a_modem_behind_the_port_answers_and_tells_of_its_buttons() {
    let front = Front::start(crate::demo_insteon(1), Pty::open(None).unwrap()).unwrap();
    let port = open(&front.path());
    let status = [0x02, 0x62, 0x1A, 0x77, 0x7B, 0x0F, 0x19, 0x00];
    rustix::io::write(&port, &status).unwrap();
    let heard = receive(&port, 20);
    assert_eq!(heard[..9], [&status[..], &[0x06]].concat());
    assert_eq!(heard[9..], [0x02, 0x50, 0x1A, 0x77, 0x7B, 0x4A, 0x51, 0x0C, 0x2B, 0x00, 0xFF]);
    assert_eq!(front.requests()[0].frame(), status);
    assert!(front.with(|plm| plm.press(crate::insteon::Id([0x1A, 0x77, 0x7B]), 1)));
    assert_eq!(receive(&port, 11)[9], 0x13);
}

#[test]
fn a_tcp_port_serves_one_program_after_the_other_and_again_after_the_cable_was_out() {
    use std::net::TcpStream;
    let any = "127.0.0.1:0".parse().unwrap();
    let front = Front::start(Bus::new(1, demo_house(1)), Outlet::listen(any).unwrap()).unwrap();
    let name = front.path().display().to_string();
    let ask = || {
        let mut stream = TcpStream::connect(name.strip_prefix("tcp://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(&ASK).unwrap();
        let mut reply = [0; CLOSED.len()];
        stream.read_exact(&mut reply).unwrap();
        (stream, reply)
    };
    let (mut first, reply) = ask();
    assert_eq!(reply, CLOSED);
    assert_eq!(ask().1, CLOSED, "the newer one has the wire");
    assert_eq!(first.read(&mut [0; 1]).unwrap(), 0, "and the older one is told");
    drop(first);
    front.unplug().unwrap();
    assert!(TcpStream::connect(name.strip_prefix("tcp://").unwrap()).is_err());
    front.plug().unwrap();
    assert_eq!(ask().1, CLOSED);
}

#[test]
fn a_fast_house_lives_through_many_hours_in_an_instant() {
    let text = crate::scenario::HOUSEHOLD;
    let scenario = crate::scenario::Scenario::parse(text).unwrap().with_sockets(1);
    let house = crate::mains::House::new(&scenario);
    let front = Front::start_at(house, Pty::open(None).unwrap(), 1_000.0).unwrap();
    let port = open(&front.path());
    let mut heard = Vec::new();
    while front.with(|house| house.now_us()) < 120_000_000 {
        heard.extend(receive(&port, 1));
    }
    assert!(heard.len() > 50, "its HELLO, and a socket that asks to join: {heard:02x?}");
}
