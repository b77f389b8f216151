//! Child processes of the same program that wait for their turn: only one of
//! them works at a time, so that rounds can be interleaved.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// A child that answers one line to each line. Dropping it ends it.
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
    /// When it cannot be started.
    pub fn start(args: &[&str]) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = process.stdin.take();
        let answers = process.stdout.take().context("the child's output")?;
        Ok(Self {
            process,
            questions,
            answers: BufReader::new(answers),
        })
    }

    /// The child's process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The next line that the child says.
    ///
    /// # Errors
    ///
    /// When the child has ended.
    pub fn hear(&mut self) -> Result<String> {
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(answer.ends_with('\n'), "a child ended without an answer");
        answer.pop();
        Ok(answer)
    }

    /// Sends a line and waits for the answer.
    ///
    /// # Errors
    ///
    /// When the child has ended.
    pub fn ask(&mut self, question: &str) -> Result<String> {
        let questions = self.questions.as_mut().context("the child's input")?;
        writeln!(questions, "{question}")?;
        self.hear()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Ends by itself when its questions end; a server does not listen.
        drop(self.questions.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The child's side: answers each line of standard input.
///
/// # Errors
///
/// What `answer` fails with, or when the parent is gone.
pub fn answer(mut answer: impl FnMut(&str) -> Result<String>) -> Result<()> {
    for question in std::io::stdin().lines() {
        let answer = answer(&question?)?;
        let mut output = std::io::stdout().lock();
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}
