//! The one list of (name, value) that a frame or message has. A log line, the JSON of `decode`, the capture view and
//! the `decoded` object of a vector are all made from it. Knows no encoding.

/// A value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A whole number, in the unit that the field's name ends with.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// One of a few words.
    Word(&'static str),
    /// Octets, shown as hex.
    Bytes(&'a [u8]),
    /// Not measured, or not known.
    Absent,
}

impl Value<'_> {
    /// A number, or [`Value::Absent`].
    #[must_use]
    pub fn maybe(value: Option<i64>) -> Self {
        value.map_or(Self::Absent, Self::Number)
    }
}

/// Called once for each field, in the order of the wire.
pub type Visit<'v> = dyn FnMut(&'static str, Value<'_>) + 'v;

/// Something that can list its fields.
pub trait Fields {
    /// Calls `visit` for each field, in the order of the wire. Keys are never listed.
    fn fields(&self, visit: &mut Visit<'_>);
}
