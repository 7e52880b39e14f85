//! From a file as written to a scenario that can be: ranges, units, defaults.

use crate::appliance::Kind;
use crate::mains::modem::{ModemSetup, Sulk, SulkKind};
use crate::mains::{Phase, Phy, Rule, Shape, Source};
use crate::scenario::error::{At, ScenarioError};
use crate::scenario::file::{
    Background, File, Load, ModemTable, NoiseTable, PhaseName, PhyTable, SocketTable, SulkName, SulkTable,
    WiringTable,
};
use crate::scenario::{SOCKETS_DEFAULT, SOCKETS_MAX, Scenario, SocketPlan};

type Read<T> = Result<T, ScenarioError>;

/// Levels that a receiver can meet, in dBµV.
const LEVELS_DBUV: std::ops::RangeInclusive<f64> = -20.0..=140.0;
/// Sulks at random are planned for so long.
const SULKS_LENGTH_US: u64 = 86_400_000_000;

pub(crate) fn scenario(text: &str) -> Read<Scenario> {
    let file: File = toml::from_str(text).map_err(|error| ScenarioError::of_toml(&error, text))?;
    let at = At(text);
    let seed = file.seed.as_ref().map_or(1, |seed| *seed.get_ref());
    let named = file.socket.iter().map(|socket| plan(at, socket)).collect::<Read<Vec<_>>>()?;
    let (rule, phases, hidden_ppm) = wiring(at, &file.wiring)?;
    Ok(Scenario {
        seed,
        start_of_day_s: start(at, &file)?,
        mains_hz: at.number("mains_hz", file.mains_hz.as_ref(), 50.0, 40.0..=70.0)? as u32,
        sockets: sockets(at, &file, named.len())?,
        named,
        others: others(at, &file)?,
        phy: phy(at, &file.phy)?,
        rule,
        phases,
        modem_phase: file.wiring.modem_phase.map_or(Phase::L1, phase),
        hidden_ppm,
        loss_ppm: percent(at.number("loss_percent", file.loss_percent.as_ref(), 0.0, 0.0..=100.0)?),
        sources: sources(at, &file.noise)?,
        modem: modem(at, &file.modem, seed)?,
        name: file.name,
    })
}

fn percent(percent: f64) -> u32 {
    (percent * 10_000.0).round() as u32
}

fn cdb(db: f64) -> i32 {
    (db * 100.0).round() as i32
}

fn phase(name: PhaseName) -> Phase {
    match name {
        PhaseName::L1 => Phase::L1,
        PhaseName::L2 => Phase::L2,
        PhaseName::L3 => Phase::L3,
    }
}

fn start(at: At<'_>, file: &File) -> Read<u32> {
    let Some(got) = &file.start else { return Ok(10 * 3_600) };
    let parsed = || {
        let (hours, minutes) = got.get_ref().split_once(':')?;
        let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
        (hours < 24 && minutes < 60).then_some(hours * 3_600 + minutes * 60)
    };
    let reason = || format!("start: got \"{}\", wanted a time of day like \"07:30\"", got.get_ref());
    parsed().ok_or_else(|| at.error(&got.span(), reason()))
}

fn sockets(at: At<'_>, file: &File, named: usize) -> Read<usize> {
    let Some(got) = &file.sockets else { return Ok(named.max(SOCKETS_DEFAULT)) };
    let sockets = usize::try_from(*got.get_ref()).unwrap_or(usize::MAX);
    if (named.max(1)..=SOCKETS_MAX).contains(&sockets) {
        return Ok(sockets);
    }
    let least = named.max(1);
    Err(at.error(
        &got.span(),
        format!("sockets: got {sockets}, wanted {least} … {SOCKETS_MAX}, {named} have a table"),
    ))
}

fn others(at: At<'_>, file: &File) -> Read<Vec<Kind>> {
    let of = |load: &toml::Spanned<Load>| {
        kind(*load.get_ref(), None, None).ok_or_else(|| {
            let reason =
                format!("others: {:?} needs a power, so it wants a [[socket]] of its own", load.get_ref());
            at.error(&load.span(), reason)
        })
    };
    let others = file.others.iter().map(of).collect::<Read<Vec<_>>>()?;
    Ok(if others.is_empty() { vec![Kind::Nothing] } else { others })
}

fn plan(at: At<'_>, socket: &SocketTable) -> Read<SocketPlan> {
    let load = *socket.appliance.get_ref();
    let peak_w = socket.peak_w.as_ref().map(|got| at.needed("peak_w", got, 0.0..=5_000.0)).transpose()?;
    let power_w =
        socket.power_w.as_ref().map(|got| at.needed("power_w", got, -20_000.0..=20_000.0)).transpose()?;
    for (field, given, belongs) in [
        ("peak_w", &socket.peak_w, load == Load::Panel),
        ("power_w", &socket.power_w, load == Load::Constant),
    ] {
        if let Some(got) = given.as_ref().filter(|_| !belongs) {
            return Err(at.error(&got.span(), format!("{field}: this appliance has none")));
        }
    }
    let kind = kind(load, peak_w, power_w).ok_or_else(|| {
        let wanted = if load == Load::Panel { "peak_w" } else { "power_w" };
        at.error(&socket.appliance.span(), format!("appliance: a {load:?} wants {wanted} beside it"))
    })?;
    let to_modem =
        socket.to_modem_db.as_ref().map(|got| at.needed("to_modem_db", got, 0.0..=150.0)).transpose()?;
    Ok(SocketPlan {
        name: socket.name.clone().unwrap_or_default(),
        kind,
        phase: socket.phase.map(phase),
        to_modem_cdb: to_modem.map(|db| (db * 100.0) as u16),
        extra_noise_cdb: cdb(at.number("extra_noise_db", socket.extra_noise_db.as_ref(), 0.0, 0.0..=80.0)?),
    })
}

fn kind(load: Load, peak_w: Option<f64>, power_w: Option<f64>) -> Option<Kind> {
    Some(match load {
        Load::Nothing => Kind::Nothing,
        Load::Kettle => Kind::Kettle,
        Load::Fridge => Kind::Fridge,
        Load::PhoneCharger => Kind::Charger,
        Load::LedLamp => Kind::LedLamp,
        Load::Lamp => Kind::Lamp,
        Load::Heater => Kind::Heater,
        Load::Desk => Kind::Desk,
        Load::Television => Kind::Television,
        Load::WashingMachine => Kind::WashingMachine,
        Load::Panel => Kind::Panel { peak_mw: (peak_w? * 1_000.0) as u32 },
        Load::Constant => Kind::Constant { power_mw: (power_w? * 1_000.0) as i64, power_factor_milli: 1_000 },
    })
}

fn phy(at: At<'_>, table: &PhyTable) -> Read<Phy> {
    let usual = Phy::default();
    let db = |cdb: i32| f64::from(cdb) / 100.0;
    let level = |field, got, usual: i32| Ok(cdb(at.number(field, got, db(usual), LEVELS_DBUV)?));
    let overhead = f64::from(usual.overhead_bytes);
    let sync = f64::from(usual.sync_errors_max);
    Ok(Phy {
        bit_rate: at.number("bit_rate", table.bit_rate.as_ref(), f64::from(usual.bit_rate), 50.0..=1e6)?
            as u32,
        overhead_bytes: at.number("overhead_bytes", table.overhead_bytes.as_ref(), overhead, 0.0..=200.0)?
            as u32,
        transmit_cdbuv: level("transmit_dbuv", table.transmit_dbuv.as_ref(), usual.transmit_cdbuv)?,
        sensitivity_cdbuv: level(
            "sensitivity_dbuv",
            table.sensitivity_dbuv.as_ref(),
            usual.sensitivity_cdbuv,
        )?,
        carrier_cdbuv: level("carrier_dbuv", table.carrier_dbuv.as_ref(), usual.carrier_cdbuv)?,
        sense_delay_us: at.number(
            "sense_delay_us",
            table.sense_delay_us.as_ref(),
            usual.sense_delay_us as f64,
            0.0..=1e6,
        )? as u64,
        capture_cdb: cdb(at.number(
            "capture_db",
            table.capture_db.as_ref(),
            db(usual.capture_cdb),
            0.0..=60.0,
        )?),
        coding_gain_cdb: cdb(at.number("coding_gain_db", table.coding_gain_db.as_ref(), 0.0, 0.0..=30.0)?),
        sync_errors_max: at.number("sync_errors_max", table.sync_errors_max.as_ref(), sync, 0.0..=1e3)?
            as u32,
    })
}

fn wiring(at: At<'_>, table: &WiringTable) -> Read<(Rule, Vec<Phase>, u32)> {
    let usual = Rule::default();
    let db = |field, got, usual: f64| at.number(field, got, usual, 0.0..=150.0);
    let rule = Rule {
        mean_db: db("mean_db", table.mean_db.as_ref(), usual.mean_db)?,
        deviation_db: db("deviation_db", table.deviation_db.as_ref(), usual.deviation_db)?,
        other_phase_db: db("other_phase_db", table.other_phase_db.as_ref(), usual.other_phase_db)?,
        range_db: (
            db("least_db", table.least_db.as_ref(), usual.range_db.0)?,
            db("most_db", table.most_db.as_ref(), usual.range_db.1)?,
        ),
        modem_max_db: db("modem_max_db", table.modem_max_db.as_ref(), usual.modem_max_db)?,
    };
    let phases = match &table.phases {
        None => Phase::ALL.to_vec(),
        Some(names) if names.get_ref().is_empty() => {
            return Err(at.error(&names.span(), "phases: got none, wanted L1, L2 or L3".to_owned()));
        }
        Some(names) => names.get_ref().iter().copied().map(phase).collect(),
    };
    let hidden = at.number("hidden_percent", table.hidden_percent.as_ref(), 0.0, 0.0..=100.0)?;
    Ok((rule, phases, percent(hidden)))
}

fn sources(at: At<'_>, table: &NoiseTable) -> Read<Vec<Source>> {
    let level = |got| Ok(cdb(at.needed("level_dbuv", got, LEVELS_DBUV)?));
    let mut sources = Vec::new();
    if let Some(background) = &table.background {
        sources.push(Source::Background {
            level_cdbuv: level(&background.level_dbuv)?,
            shape: shape(at, background)?,
        });
    }
    for locked in &table.locked {
        sources.push(Source::Locked {
            offset_us: at.needed("offset_us", &locked.offset_us, 0.0..=10_000.0)? as u64,
            width_us: at.needed("width_us", &locked.width_us, 1.0..=10_000.0)? as u64,
            level_cdbuv: level(&locked.level_dbuv)?,
        });
    }
    for impulses in &table.impulses {
        let deviation = at.number("deviation_db", impulses.deviation_db.as_ref(), 0.0, 0.0..=40.0)?;
        sources.push(Source::Impulses {
            mean_gap_us: at.needed("mean_gap_ms", &impulses.mean_gap_ms, 0.1..=1e7)? * 1_000.0,
            mean_width_us: at.needed("mean_width_us", &impulses.mean_width_us, 1.0..=1e5)?,
            level_cdbuv: level(&impulses.level_dbuv)?,
            deviation_cdb: cdb(deviation),
        });
    }
    for switching in &table.switching {
        sources.push(Source::Switching {
            mean_on_us: at.needed("mean_on_ms", &switching.mean_on_ms, 0.1..=1e8)? * 1_000.0,
            mean_off_us: at.needed("mean_off_ms", &switching.mean_off_ms, 0.1..=1e8)? * 1_000.0,
            level_cdbuv: level(&switching.level_dbuv)?,
        });
    }
    Ok(sources)
}

fn shape(at: At<'_>, background: &Background) -> Read<Option<Shape>> {
    let Some(table) = &background.shape else { return Ok(None) };
    let three =
        |field, got: &[toml::Spanned<f64>; 3], wanted: std::ops::RangeInclusive<f64>| -> Read<[f64; 3]> {
            let mut values = [0.0; 3];
            for (value, got) in values.iter_mut().zip(got) {
                *value = at.needed(field, got, wanted.clone())?;
            }
            Ok(values)
        };
    Ok(Some(Shape {
        a: three("a", &table.a, 0.0..=1e6)?,
        theta_deg: three("theta_deg", &table.theta_deg, -360.0..=360.0)?,
        n: three("n", &table.n, 0.0..=1e7)?,
    }))
}

fn modem(at: At<'_>, table: &ModemTable, seed: u64) -> Read<ModemSetup> {
    let usual = ModemSetup::default();
    let mut sulks = table.sulk.iter().map(|sulk| planned(at, sulk)).collect::<Read<Vec<_>>>()?;
    if let Some(got) = &table.sulk_every_s {
        let gap_us = at.needed("sulk_every_s", got, 1.0..=1e7)? * 1e6;
        sulks.extend(Sulk::scattered(SULKS_LENGTH_US, gap_us as u64, seed));
    }
    Ok(ModemSetup {
        clock_ppm: at.number("clock_ppm", table.clock_ppm.as_ref(), 0.0, -1_000.0..=1_000.0)? as i32,
        listen_us: at.number("listen_us", table.listen_us.as_ref(), usual.listen_us as f64, 0.0..=1e6)?
            as u64,
        shift_us: at.number("shift_us", table.shift_us.as_ref(), usual.shift_us as f64, 0.0..=1e6)? as u64,
        queue_max: at.number("queue", table.queue.as_ref(), usual.queue_max as f64, 1.0..=64.0)? as usize,
        boot_us: (at.number("boot_ms", table.boot_ms.as_ref(), 300.0, 1.0..=60_000.0)? * 1_000.0) as u64,
        sulks,
        seed,
        ..usual
    })
}

fn planned(at: At<'_>, table: &SulkTable) -> Read<Sulk> {
    let for_ms = table.for_ms.as_ref().map(|got| at.needed("for_ms", got, 1.0..=1e8)).transpose()?;
    let for_us = || {
        let missing = || at.error(&table.kind.span(), "kind: this one wants for_ms beside it".to_owned());
        for_ms.map(|for_ms| (for_ms * 1_000.0) as u64).ok_or_else(missing)
    };
    let kind = match table.kind.get_ref() {
        SulkName::Busy => SulkKind::Busy { for_us: for_us()? },
        SulkName::Hang => SulkKind::Hang { for_us: for_us()? },
        SulkName::Reset => SulkKind::Reset,
        SulkName::HangForGood => SulkKind::HangForGood,
        SulkName::LoseConfirm => SulkKind::LoseConfirm,
    };
    Ok(Sulk { at_us: (at.needed("at_s", &table.at_s, 0.0..=1e9)? * 1e6) as u64, kind })
}
