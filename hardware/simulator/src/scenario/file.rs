//! A scenario file as it is written: names, units and what may be left out. What it means is [`super`]'s business.

use serde::Deserialize;
use toml::Spanned;

type Number = Spanned<f64>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) seed: Option<Spanned<u64>>,
    pub(crate) start: Option<Spanned<String>>,
    pub(crate) mains_hz: Option<Number>,
    pub(crate) sockets: Option<Spanned<u64>>,
    #[serde(default)]
    pub(crate) others: Vec<Spanned<Load>>,
    pub(crate) loss_percent: Option<Number>,
    #[serde(default)]
    pub(crate) phy: PhyTable,
    #[serde(default)]
    pub(crate) wiring: WiringTable,
    #[serde(default)]
    pub(crate) noise: NoiseTable,
    #[serde(default)]
    pub(crate) modem: ModemTable,
    #[serde(default)]
    pub(crate) socket: Vec<SocketTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PhyTable {
    pub(crate) bit_rate: Option<Number>,
    pub(crate) overhead_bytes: Option<Number>,
    pub(crate) transmit_dbuv: Option<Number>,
    pub(crate) sensitivity_dbuv: Option<Number>,
    pub(crate) carrier_dbuv: Option<Number>,
    pub(crate) sense_delay_us: Option<Number>,
    pub(crate) capture_db: Option<Number>,
    pub(crate) coding_gain_db: Option<Number>,
    pub(crate) sync_errors_max: Option<Number>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) enum PhaseName {
    L1,
    L2,
    L3,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WiringTable {
    pub(crate) phases: Option<Spanned<Vec<PhaseName>>>,
    pub(crate) modem_phase: Option<PhaseName>,
    pub(crate) mean_db: Option<Number>,
    pub(crate) deviation_db: Option<Number>,
    pub(crate) other_phase_db: Option<Number>,
    pub(crate) least_db: Option<Number>,
    pub(crate) most_db: Option<Number>,
    pub(crate) modem_max_db: Option<Number>,
    pub(crate) hidden_percent: Option<Number>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoiseTable {
    pub(crate) background: Option<Background>,
    #[serde(default)]
    pub(crate) locked: Vec<Locked>,
    #[serde(default)]
    pub(crate) impulses: Vec<Impulses>,
    #[serde(default)]
    pub(crate) switching: Vec<Switching>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Background {
    pub(crate) level_dbuv: Number,
    pub(crate) shape: Option<ShapeTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShapeTable {
    pub(crate) a: [Number; 3],
    pub(crate) theta_deg: [Number; 3],
    pub(crate) n: [Number; 3],
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Locked {
    pub(crate) offset_us: Number,
    pub(crate) width_us: Number,
    pub(crate) level_dbuv: Number,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Impulses {
    pub(crate) mean_gap_ms: Number,
    pub(crate) mean_width_us: Number,
    pub(crate) level_dbuv: Number,
    pub(crate) deviation_db: Option<Number>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Switching {
    pub(crate) mean_on_ms: Number,
    pub(crate) mean_off_ms: Number,
    pub(crate) level_dbuv: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModemTable {
    pub(crate) clock_ppm: Option<Number>,
    pub(crate) listen_us: Option<Number>,
    pub(crate) shift_us: Option<Number>,
    pub(crate) queue: Option<Number>,
    pub(crate) boot_ms: Option<Number>,
    pub(crate) sulk_every_s: Option<Number>,
    #[serde(default)]
    pub(crate) sulk: Vec<SulkTable>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SulkName {
    Busy,
    Reset,
    Hang,
    HangForGood,
    LoseConfirm,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SulkTable {
    pub(crate) at_s: Number,
    pub(crate) kind: Spanned<SulkName>,
    pub(crate) for_ms: Option<Number>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Load {
    Nothing,
    Kettle,
    Fridge,
    PhoneCharger,
    LedLamp,
    Lamp,
    Heater,
    Desk,
    Television,
    WashingMachine,
    Panel,
    Constant,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SocketTable {
    pub(crate) name: Option<String>,
    pub(crate) appliance: Spanned<Load>,
    pub(crate) peak_w: Option<Number>,
    pub(crate) power_w: Option<Number>,
    pub(crate) phase: Option<PhaseName>,
    pub(crate) to_modem_db: Option<Number>,
    pub(crate) extra_noise_db: Option<Number>,
}
