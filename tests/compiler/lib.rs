//! Empty: each test compiles programs of its own.
