//! What a meter measures, as one noun: meters fill it in, data formats write it down.

/// What a meter's display shows at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Voltage in mV.
    pub voltage_mv: i64,
    /// Current in mA; negative when exporting.
    pub current_ma: i64,
    /// Active power in mW; negative when exporting.
    pub power_mw: i64,
    /// Reactive power in mvar.
    pub reactive_mvar: i64,
    /// Apparent power in mVA.
    pub apparent_mva: i64,
    /// Power factor in thousandths, −1000 … 1000.
    pub power_factor_milli: i64,
    /// Mains frequency in mHz.
    pub frequency_mhz: i64,
}
