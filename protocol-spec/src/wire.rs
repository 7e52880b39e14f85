//! Octets in and out of buffers that somebody else owns, big-endian, never past the end. Knows no message.

use core::fmt;

/// The buffer is too small for what should go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the buffer is too small")
    }
}

impl core::error::Error for Full {}

/// Why octets are not the message that they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The octets end before the field, or go on behind the last one.
    Length {
        /// Which field.
        field: &'static str,
        /// Octets there were.
        got: usize,
        /// Octets it takes.
        want: usize,
    },
    /// A field has a value that it must not have.
    Value {
        /// Which field.
        field: &'static str,
        /// What it was.
        got: u32,
    },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { field, got, want } => write!(f, "{field}: {got} octets, want {want}"),
            Self::Value { field, got } => write!(f, "{field}: {got:#x} is not allowed"),
        }
    }
}

impl core::error::Error for ParseError {}

/// Writes into a buffer of the caller.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// Starts at the first octet of `out`.
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Octets written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends octets as they are.
    ///
    /// # Errors
    /// [`Full`] when they do not fit; then none was written.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.len.checked_add(bytes.len()).ok_or(Full)?;
        self.out.get_mut(self.len..end).ok_or(Full)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    /// Appends one octet.
    ///
    /// # Errors
    /// [`Full`].
    pub fn u8(&mut self, value: u8) -> Result<(), Full> {
        self.bytes(&[value])
    }

    /// Appends two octets.
    ///
    /// # Errors
    /// [`Full`].
    pub fn u16(&mut self, value: u16) -> Result<(), Full> {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends four octets.
    ///
    /// # Errors
    /// [`Full`].
    pub fn u32(&mut self, value: u32) -> Result<(), Full> {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends eight octets.
    ///
    /// # Errors
    /// [`Full`].
    pub fn u64(&mut self, value: u64) -> Result<(), Full> {
        self.bytes(&value.to_be_bytes())
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> &'a mut [u8] {
        &mut self.out[..self.len]
    }
}

/// Reads from octets of the caller.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Starts at the first octet.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What was not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next `len` octets, called `field` in the error.
    ///
    /// # Errors
    /// [`ParseError::Length`] when fewer are left.
    pub fn bytes(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], ParseError> {
        let got = self.0.len();
        let (taken, rest) =
            self.0.split_at_checked(len).ok_or(ParseError::Length { field, got, want: len })?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next `N` octets.
    ///
    /// # Errors
    /// [`ParseError::Length`].
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ParseError> {
        let got = self.0.len();
        let (taken, rest) = self.0.split_first_chunk().ok_or(ParseError::Length { field, got, want: N })?;
        self.0 = rest;
        Ok(*taken)
    }

    /// The next octet.
    ///
    /// # Errors
    /// [`ParseError::Length`].
    pub fn u8(&mut self, field: &'static str) -> Result<u8, ParseError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    /// The next two octets.
    ///
    /// # Errors
    /// [`ParseError::Length`].
    pub fn u16(&mut self, field: &'static str) -> Result<u16, ParseError> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// The next four octets.
    ///
    /// # Errors
    /// [`ParseError::Length`].
    pub fn u32(&mut self, field: &'static str) -> Result<u32, ParseError> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// The next eight octets.
    ///
    /// # Errors
    /// [`ParseError::Length`].
    pub fn u64(&mut self, field: &'static str) -> Result<u64, ParseError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// [`ParseError::Length`] with the octets too many, called `field`.
    pub fn end(self, field: &'static str) -> Result<(), ParseError> {
        match self.0.len() {
            0 => Ok(()),
            got => Err(ParseError::Length { field, got, want: 0 }),
        }
    }
}
