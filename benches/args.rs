//! The programs' arguments: `--name value`, or `--name` alone.

use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// What the program was started with.
#[derive(Debug)]
pub struct Args(Vec<String>);

impl Args {
    /// Refuses an option that is not in `known`.
    ///
    /// # Errors
    ///
    /// On such an option, which a misspelling would be.
    pub fn of_process(known: &[&str]) -> Result<Self> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        for arg in &args {
            if arg.starts_with("--") && !known.contains(&arg.as_str()) {
                bail!("{arg} is no option; there are {}", known.join(" "));
            }
        }
        Ok(Self(args))
    }

    /// Whether `--name` stands there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|arg| arg == name)
    }

    /// The `n`th of the words that follow `--name`.
    #[must_use]
    pub fn word(&self, name: &str, n: usize) -> Option<&str> {
        let at = self.0.iter().position(|arg| arg == name)?;
        self.0.get(at + 1 + n).map(String::as_str)
    }

    /// The value of `--name`, or `default` without it.
    ///
    /// # Errors
    ///
    /// When the value is missing or no `T`.
    pub fn value<T: FromStr>(&self, name: &str, default: T) -> Result<T>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        if !self.has(name) {
            return Ok(default);
        }
        let value = self
            .word(name, 0)
            .with_context(|| format!("{name} what?"))?;
        value.parse().with_context(|| format!("{name} {value}"))
    }
}
