//! Runs this program again as child processes, which answer questions over pipes.
//!
//! Only one child works at a time, so that rounds of different candidates can be
//! interleaved.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// A child process that answers each line with a line. Dropping it kills the process.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Child {
    /// Starts this program again with `args`.
    ///
    /// # Errors
    ///
    /// Returns an error if the process cannot be started.
    pub fn start(args: &[&str]) -> Result<Self> {
        Self::start_program(&std::env::current_exe()?, args)
    }

    /// Starts another build of this program with `args`.
    ///
    /// # Errors
    ///
    /// Returns an error if the process cannot be started.
    pub fn start_program(program: &Path, args: &[&str]) -> Result<Self> {
        let mut process = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = process.stdin.take();
        let answers = process
            .stdout
            .take()
            .context("the child has no piped output")?;
        Ok(Self {
            process,
            questions,
            answers: BufReader::new(answers),
        })
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the next line of output.
    ///
    /// # Errors
    ///
    /// Returns an error if the child has exited.
    pub fn hear(&mut self) -> Result<String> {
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(answer.ends_with('\n'), "the child exited without an answer");
        answer.pop();
        Ok(answer)
    }

    /// Sends a line and waits for the answer.
    ///
    /// # Errors
    ///
    /// Returns an error if the child has exited.
    pub fn ask(&mut self, question: &str) -> Result<String> {
        let questions = self
            .questions
            .as_mut()
            .context("the child has no piped input")?;
        writeln!(questions, "{question}")?;
        self.hear()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A child exits when its standard input is closed. Kill the child anyway, in case it
        // is busy.
        drop(self.questions.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Answers each line of standard input. The child calls this.
///
/// # Errors
///
/// Returns the error of `answer`, or an I/O error if the parent has exited.
pub fn answer(mut answer: impl FnMut(&str) -> Result<String>) -> Result<()> {
    for question in std::io::stdin().lines() {
        let answer = answer(&question?)?;
        let mut output = std::io::stdout().lock();
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}
