//! The dialect of DL/T 645-2007 meters.
