//! The demo's meters and INSTEON devices behind two pseudo terminals, `meters` and `insteon` in the folder given, until
//! standard input ends: lines that outlive the gateway on them.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use plugline_simulator::{Bus, Front, Pty, demo_house, demo_insteon};

/// The same appliances at every start.
const SEED: u64 = 4711;

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("want a folder for the ports"))?;
    let quick = Duration::from_millis(1);
    let meters = demo_house(SEED).into_iter();
    let meters = meters.map(|meter| meter.with_reply_delay(quick).with_relay_delay(quick)).collect();
    let _meters = Front::start(Bus::new(SEED, meters), Pty::open(Some(&folder.join("meters")))?)?;
    let _shelf = Front::start(demo_insteon(SEED), Pty::open(Some(&folder.join("insteon")))?)?;
    writeln!(io::stdout(), "ready")?;
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}
