//! Parses the command line: `--name value`, or `--name` alone.

use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// The arguments of this process.
#[derive(Debug)]
pub struct Args(Vec<String>);

impl Args {
    /// Reads the arguments of this process.
    ///
    /// # Errors
    ///
    /// Returns an error if an option is not in `known`, for example because of a typo.
    pub fn of_process(known: &[&str]) -> Result<Self> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        for arg in &args {
            if arg.starts_with("--") && !known.contains(&arg.as_str()) {
                bail!("unknown option {arg}; the options are {}", known.join(" "));
            }
        }
        Ok(Self(args))
    }

    /// Returns whether the option `name` is present.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|arg| arg == name)
    }

    /// Returns the word number `n`, counted from 0, after the option `name`.
    #[must_use]
    pub fn word(&self, name: &str, n: usize) -> Option<&str> {
        let at = self.0.iter().position(|arg| arg == name)?;
        self.0.get(at + 1 + n).map(String::as_str)
    }

    /// Returns the value of the option `name`, or `default` if the option is absent.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is missing or cannot be parsed as a `T`.
    pub fn value<T: FromStr>(&self, name: &str, default: T) -> Result<T>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        if !self.has(name) {
            return Ok(default);
        }
        let value = self
            .word(name, 0)
            .with_context(|| format!("{name} needs a value"))?;
        value
            .parse()
            .with_context(|| format!("invalid value for {name}: {value}"))
    }
}
