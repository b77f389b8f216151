//! The macro side of `instrument-runtime`.
