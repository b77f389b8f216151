//! Nothing: the tests are about programs of their own.
