//! The dialect of INSTEON power-line modems.
