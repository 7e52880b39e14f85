//! `path`: a reading from the serial port to whoever waits for it, quiet and flooded, in each dialect; the gateway's
//! rounds alternate with those of the least program that does it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use plugline_simulator::Pty;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::broker::{Mosquitto, PATIENCE, free_port};
use crate::frames::Dialect;
use crate::gateway::{Gateway, Home, QUIET, QUIET_INSTEON, beside, head};
use crate::report::{Report, Row};
use crate::rounds::{least, percentile};
use crate::subscriber::Subscriber;
use crate::wire::Modem;
use crate::{process, wire};

/// Twenty readings a second.
const PERIOD: Duration = Duration::from_millis(50);
const METERS: usize = 3;
/// Readings before the figures count.
const WARM_UP: usize = 20;

const FLOOR: &str = "tokio-serial + rumqttc alone";
const FLOOR_SSE: &str = "tokio-serial + socket alone";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Mqtt,
    Sse,
}

/// The least program, as a process.
pub(crate) struct Floor(Child);

impl Floor {
    pub(crate) fn start(pty: &Pty, dialect: Dialect, way: &str, tcp: u16) -> anyhow::Result<Self> {
        let mut command = Command::new(beside("plugline-bench")?);
        let port = pty.path().display().to_string();
        command.args(["floor", &port, way, &tcp.to_string(), dialect.name()]);
        Ok(Self(command.stderr(Stdio::null()).spawn()?))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What stands between the port and the subscriber.
enum Subject {
    Gateway { gateway: Gateway, http: u16, _home: Home },
    Floor(Floor),
}

impl Subject {
    fn pid(&self) -> u32 {
        match self {
            Self::Gateway { gateway, .. } => gateway.pid(),
            Self::Floor(floor) => floor.pid(),
        }
    }
}

/// A subject with a port before it and a subscriber behind it, warm.
struct Rig {
    dialect: Dialect,
    /// Who answers the driver, where it insists.
    modem: Option<Modem>,
    pty: Pty,
    subject: Subject,
    subscriber: Subscriber,
    sent: u32,
}

impl Rig {
    async fn gateway(broker: &Mosquitto, (dialect, way): (Dialect, Way)) -> anyhow::Result<Self> {
        let pty = Pty::open(None)?;
        let (modem, quiet) = match dialect {
            Dialect::Dlt645 => (None, QUIET),
            Dialect::Insteon => (Some(Modem::default()), QUIET_INSTEON),
        };
        let home = Home::with(dialect, (pty.path(), broker.port), METERS, ("", quiet))?;
        let gateway = home.start()?;
        let http = gateway.http().await?;
        let subscriber = match way {
            Way::Mqtt => Subscriber::mqtt(broker.port).await?,
            Way::Sse => Subscriber::sse(http).await?,
        };
        let subject = Subject::Gateway { gateway, http, _home: home };
        Self { dialect, modem, pty, subject, subscriber, sent: 0 }.warm_up().await
    }

    async fn floor(broker: &Mosquitto, (dialect, way): (Dialect, Way)) -> anyhow::Result<Self> {
        let pty = Pty::open(None)?;
        let (word, tcp) = match way {
            Way::Mqtt => ("mqtt", broker.port),
            Way::Sse => ("sse", free_port()?),
        };
        let subject = Subject::Floor(Floor::start(&pty, dialect, word, tcp)?);
        let subscriber = match way {
            Way::Mqtt => Subscriber::mqtt(tcp).await?,
            Way::Sse => Subscriber::sse(tcp).await?,
        };
        Self { dialect, modem: None, pty, subject, subscriber, sent: 0 }.warm_up().await
    }

    /// Sends until the first reading arrives, then some more; nothing is under way afterwards.
    async fn warm_up(mut self) -> anyhow::Result<Self> {
        let end = Instant::now() + PATIENCE;
        while self.subscriber.forget() == 0 || self.modem.as_ref().is_some_and(|modem| !modem.settled()) {
            anyhow::ensure!(Instant::now() < end, "no reading arrives");
            self.send()?;
            sleep(Duration::from_millis(20)).await;
        }
        for _ in 0..WARM_UP {
            self.send()?;
            sleep(PERIOD).await;
        }
        self.subscriber.forget();
        Ok(self)
    }

    fn send(&mut self) -> anyhow::Result<()> {
        self.sent += 1;
        let bytes = self.dialect.power(self.sent as usize % METERS, self.sent);
        anyhow::ensure!(self.pty.write(&bytes)? == bytes.len(), "the port is full");
        match &mut self.modem {
            Some(modem) => modem.answer(&self.pty),
            None => {
                wire::drain(&self.pty);
                Ok(())
            }
        }
    }
}

/// One quiet round: milliseconds, and processor microseconds a reading.
#[derive(Default)]
struct Quiet {
    p50: Vec<f64>,
    p99: Vec<f64>,
    cpu: Vec<f64>,
}

impl Quiet {
    async fn round(&mut self, mut rig: Rig, count: usize) -> anyhow::Result<()> {
        let mut tick = interval(PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut times = Vec::with_capacity(count);
        let before = process::cpu_s(rig.subject.pid())?;
        for _ in 0..count {
            tick.tick().await;
            let start = Instant::now();
            rig.send()?;
            times.push((rig.subscriber.next().await? - start).as_secs_f64() * 1e3);
        }
        let spent = process::cpu_s(rig.subject.pid())? - before;
        self.cpu.push(spent * 1e6 / count as f64);
        self.p50.push(percentile(&mut times, 0.5));
        self.p99.push(percentile(&mut times, 0.99));
        Ok(())
    }
}

pub(crate) async fn run(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let Some(broker) = Mosquitto::start().await? else {
        report.skipped("path", "mosquitto is not installed");
        return Ok(());
    };
    for dialect in Dialect::BOTH {
        quiet(&broker, quick, (dialect, Way::Mqtt), report).await?;
        quiet(&broker, quick, (dialect, Way::Sse), report).await?;
        flooded(&broker, quick, dialect, report).await?;
    }
    Ok(())
}

async fn quiet(
    broker: &Mosquitto,
    quick: bool,
    (dialect, way): (Dialect, Way),
    report: &mut Report,
) -> anyhow::Result<()> {
    let (rounds, count) = if quick { (1, 60) } else { (3, 400) };
    let (mut own, mut floor) = (Quiet::default(), Quiet::default());
    for _ in 0..rounds {
        own.round(Rig::gateway(broker, (dialect, way)).await?, count).await?;
        floor.round(Rig::floor(broker, (dialect, way)).await?, count).await?;
    }
    let (name, against) = if way == Way::Mqtt { ("MQTT QoS 1", FLOOR) } else { ("SSE", FLOOR_SSE) };
    let rows = [
        ("p50", "ms", own.p50, floor.p50, "≤ 0.5, ≤ 2×"),
        ("p99", "ms", own.p99, floor.p99, "≤ 1, ≤ 2×"),
        ("CPU per reading", "µs", own.cpu, floor.cpu, "≤ 200"),
    ];
    for (what, unit, own, floor, goal) in rows {
        let case = format!("{}, 20/s to {name}, {what}", dialect.name());
        let against = Some((against, least(floor)));
        report.row(Row { bench: "path", case, value: least(own), unit, against, goal });
    }
    Ok(())
}

async fn flooded(
    broker: &Mosquitto,
    quick: bool,
    dialect: Dialect,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (rounds, count) = if quick { (1, 40_000) } else { (3, 200_000) };
    let (mut own, mut floor, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (rate, arrived) = flood(Rig::gateway(broker, (dialect, Way::Mqtt)).await?, count).await?;
        own.push(rate);
        told.push(arrived);
        floor.push(flood(Rig::floor(broker, (dialect, Way::Mqtt)).await?, count).await?.0);
    }
    let most = |figures: Vec<f64>| figures.into_iter().fold(0.0, f64::max);
    let against = Some((FLOOR, most(floor)));
    let mut row = |case: &str, value, against, goal| {
        report.row(Row {
            bench: "path",
            case: format!("{}, {case}", dialect.name()),
            value,
            unit: "readings/s",
            against,
            goal,
        });
    };
    row("flooded, into the feed (floor: every one to MQTT QoS 1)", most(own), against, "≥ 30,000");
    row("meanwhile to MQTT, the newest of each device", most(told), None, "");
    Ok(())
}

/// Readings a second into the feed (the floor: to the subscriber), and to the subscriber.
async fn flood(mut rig: Rig, count: usize) -> anyhow::Result<(f64, f64)> {
    let first = rig.sent;
    let bytes: Vec<u8> =
        (0..count).flat_map(|n| rig.dialect.power(n % METERS, first + 1 + n as u32)).collect();
    let before = match &rig.subject {
        Subject::Gateway { http, .. } => head(*http).await?,
        Subject::Floor(_) => 0,
    };
    let start = Instant::now();
    wire::flood(&rig.pty, &bytes).await?;
    let mut arrived = 0;
    loop {
        arrived += rig.subscriber.forget();
        let done = match &rig.subject {
            Subject::Gateway { http, .. } => head(*http).await? - before,
            Subject::Floor(_) => arrived as u64,
        };
        let seconds = start.elapsed().as_secs_f64();
        if done >= count as u64 {
            return Ok((count as f64 / seconds, arrived as f64 / seconds));
        }
        anyhow::ensure!(start.elapsed() < PATIENCE * 3, "{done} of {count} readings came through");
        sleep(Duration::from_millis(5)).await;
    }
}
