//! `startup`: how long a just started gateway takes to its first reading, and the memory of an idle one.

use std::time::Duration;

use plugline_simulator::Pty;
use tokio::time::{Instant, sleep, timeout};

use crate::broker::{Mosquitto, PATIENCE};
use crate::frames::Dialect;
use crate::gateway::{Home, QUIET};
use crate::path::Floor;
use crate::report::{Report, Row};
use crate::rounds::{least, ms_since};
use crate::subscriber::Subscriber;
use crate::{frames, process, wire};

const FLOOR: &str = "tokio-serial + rumqttc alone";

pub(crate) async fn run(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let Some(broker) = Mosquitto::start().await? else {
        report.skipped("startup", "mosquitto is not installed");
        return Ok(());
    };
    let rounds = if quick { 1 } else { 5 };
    let (mut fresh, mut again, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    let mut floor_rss = Vec::new();
    for _ in 0..rounds {
        let pty = Pty::open(None)?;
        let home = Home::new(pty.path(), broker.port, 3, QUIET)?;
        fresh.push(first_reading(&pty, broker.port, || home.start()).await?.0);
        again.push(first_reading(&pty, broker.port, || home.start()).await?.0);
        let start = || Floor::start(&pty, Dialect::Dlt645, "mqtt", broker.port);
        let (time, process) = first_reading(&pty, broker.port, start).await?;
        floor.push(time);
        floor_rss.push(process::rss_mb(process.pid())?);
    }
    let against = Some((FLOOR, least(floor)));
    let mut row = |case: &str, value, unit, against, goal| {
        report.row(Row { bench: "startup", case: case.into(), value, unit, against, goal });
    };
    row("process start to first reading at MQTT, empty folder", least(fresh), "ms", against, "≤ 200");
    row("the same, second start", least(again), "ms", against, "≤ 200");
    let against = Some((FLOOR, least(floor_rss)));
    for (meters, goal) in [(3, ""), (250, "≤ 15")] {
        let rss = memory(&broker, meters, quick).await?;
        row(&format!("RSS, {meters} meters, all heard, broker elsewhere"), rss, "MB", against, goal);
    }
    Ok(())
}

/// Milliseconds from the start of a process to its first reading at a subscriber, while the meter speaks all the
/// time: a port that is opened throws away what stood in it.
async fn first_reading<P>(
    pty: &Pty,
    broker: u16,
    start: impl Fn() -> anyhow::Result<P>,
) -> anyhow::Result<(f64, P)> {
    let mut subscriber = Subscriber::mqtt(broker).await?;
    let begin = Instant::now();
    let process = start()?;
    let mut sent = 0;
    let speaking = async {
        loop {
            sent += 1;
            pty.write(&frames::power(&frames::meter(0), sent))?;
            wire::drain(pty);
            match timeout(Duration::from_millis(2), subscriber.next()).await {
                Ok(arrived) => return arrived,
                Err(_) if begin.elapsed() > PATIENCE => anyhow::bail!("no first reading"),
                Err(_) => {}
            }
        }
    };
    speaking.await?;
    Ok((ms_since(begin), process))
}

/// Resident memory of a gateway whose meters were all heard, some seconds later.
async fn memory(broker: &Mosquitto, meters: usize, quick: bool) -> anyhow::Result<f64> {
    let pty = Pty::open(None)?;
    let home = Home::new(pty.path(), broker.port, meters, "")?;
    let mut subscriber = Subscriber::mqtt(broker.port).await?;
    let gateway = home.start()?;
    gateway.http().await?;
    let end = Instant::now() + PATIENCE;
    let mut sent = 0;
    let mut arrived = 0;
    while arrived < 2 * meters {
        anyhow::ensure!(Instant::now() < end, "{arrived} of {meters} meters were heard");
        for index in 0..meters {
            sent += 1;
            wire::flood(&pty, &frames::power(&frames::meter(index), sent)).await?;
        }
        sleep(Duration::from_millis(100)).await;
        arrived += subscriber.forget();
    }
    sleep(Duration::from_secs(if quick { 1 } else { 8 })).await;
    process::rss_mb(gateway.pid())
}
