//! The stored forms of the registry about itself, and of its sidecar file. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::access::TokenV1;
use super::{DeviceV1, SCHEMA, Text, Unreadable, crc32c, id, json_text, seal_json, shape, unseal_json};
use crate::access::Token;
use crate::device::{Device, Epoch, GatewayId, LineName};

/// What the registry knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The gateway.
    pub gateway: GatewayId,
    /// The log that the checkpoint and the positions speak of.
    pub epoch: Option<Epoch>,
    /// Grows by one at each change of what the sidecar holds.
    pub generation: u64,
    /// Devices recorded; fewer found means that some were lost.
    pub devices: u64,
    /// Devices as recorded hold everything that the feed says up to this seq.
    pub checkpoint: u64,
    /// Lines whose record is older than what they did since, and that have not kept a newer one yet.
    pub resume: BTreeSet<LineName>,
}

/// The registry about itself, as a sealed value.
#[must_use]
pub fn seal_meta(meta: &Meta) -> Vec<u8> {
    seal_json(&MetaV1::from(meta))
}

/// The registry about itself, from a sealed value.
///
/// # Errors
/// [`Unreadable`].
pub fn unseal_meta(sealed: &[u8]) -> Result<Meta, Unreadable> {
    unseal_json::<MetaV1<'_>>(sealed)?.meta()
}

/// What the sidecar file holds: the registry without commands, positions, sessions and who changed what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// About itself.
    pub meta: Meta,
    /// All devices.
    pub devices: Vec<Arc<Device>>,
    /// Each line's own record.
    pub lines: Vec<(LineName, Arc<[u8]>)>,
    /// All tokens, by their digests.
    pub tokens: Vec<Arc<Token>>,
}

/// The sidecar file's text: one JSON object whose `registry` is covered by `crc32c`.
#[must_use]
pub fn sidecar_text(registry: &Registry) -> String {
    let body = json_text(&RegistryV1 {
        meta: (&registry.meta).into(),
        devices: registry.devices.iter().map(|device| DeviceV1::from(&**device)).collect(),
        lines: registry.lines.iter().map(|(name, bytes)| (name.as_str().into(), hex(bytes))).collect(),
        tokens: registry.tokens.iter().map(|token| TokenV1::from(&**token)).collect(),
    });
    format!("{{\"schema\":{SCHEMA},\"crc32c\":\"{:08x}\",\"registry\":{body}}}\n", crc32c(body.as_bytes()))
}

/// A registry from its sidecar's text.
///
/// # Errors
/// [`Unreadable`].
pub fn sidecar_of(text: &str) -> Result<Registry, Unreadable> {
    let sealed: SidecarV1<'_> = serde_json::from_str(text).map_err(shape)?;
    let noted = u32::from_str_radix(&sealed.crc32c, 16)
        .map_err(|_| Unreadable::Field { field: "crc32c", got: sealed.crc32c.to_string() })?;
    let body = sealed.registry.get();
    match crc32c(body.as_bytes()) {
        got if got != noted => return Err(Unreadable::Checksum { got, wanted: noted }),
        _ if sealed.schema != SCHEMA => return Err(Unreadable::Schema { got: sealed.schema }),
        _ => {}
    }
    let registry: RegistryV1<'_> = serde_json::from_str(body).map_err(shape)?;
    let lines = registry.lines.iter().map(|(name, bytes)| {
        let bytes = unhex(bytes).ok_or_else(|| Unreadable::Field { field: "lines", got: bytes.clone() })?;
        Ok((id("line", name, LineName::parse)?, bytes.into()))
    });
    Ok(Registry {
        lines: lines.collect::<Result<_, Unreadable>>()?,
        meta: registry.meta.meta()?,
        tokens: registry.tokens.into_iter().map(|t| Ok(Arc::new(t.token()?))).collect::<Result<_, _>>()?,
        devices: registry.devices.into_iter().map(|d| Ok(Arc::new(d.device()?))).collect::<Result<_, _>>()?,
    })
}

#[derive(Serialize, Deserialize)]
struct SidecarV1<'a> {
    schema: u8,
    #[serde(borrow)]
    crc32c: Text<'a>,
    #[serde(borrow)]
    registry: &'a serde_json::value::RawValue,
}

#[derive(Serialize, Deserialize)]
struct RegistryV1<'a> {
    #[serde(borrow)]
    meta: MetaV1<'a>,
    #[serde(borrow)]
    devices: Vec<DeviceV1<'a>>,
    lines: BTreeMap<String, String>,
    #[serde(borrow, default)]
    tokens: Vec<TokenV1<'a>>,
}

#[derive(Serialize, Deserialize)]
struct MetaV1<'a> {
    #[serde(borrow)]
    gateway: Text<'a>,
    epoch: Option<Text<'a>>,
    generation: u64,
    devices: u64,
    checkpoint: u64,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    resume: Vec<Text<'a>>,
}

impl<'a> From<&'a Meta> for MetaV1<'a> {
    fn from(meta: &'a Meta) -> Self {
        Self {
            gateway: meta.gateway.as_str().into(),
            epoch: meta.epoch.as_ref().map(|epoch| epoch.as_str().into()),
            generation: meta.generation,
            devices: meta.devices,
            checkpoint: meta.checkpoint,
            resume: meta.resume.iter().map(|line| line.as_str().into()).collect(),
        }
    }
}

impl MetaV1<'_> {
    fn meta(self) -> Result<Meta, Unreadable> {
        Ok(Meta {
            gateway: id("gateway", &self.gateway, GatewayId::parse)?,
            epoch: self.epoch.map(|epoch| id("epoch", &epoch, Epoch::parse)).transpose()?,
            generation: self.generation,
            devices: self.devices,
            checkpoint: self.checkpoint,
            resume: self
                .resume
                .iter()
                .map(|line| id("resume", line, LineName::parse))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
