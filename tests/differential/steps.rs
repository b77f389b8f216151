//! The statements of a body.

use crate::arguments::{Kind, Variable};
use crate::dimension;
use crate::returns::{Output, Returned};

dimension!(
    /// One step of a body.
    Step {
        Change,
        Disarm,
        Replace,
        Consume,
        MaybeConsume,
        Part,
        Pause,
        Early,
        EarlyAfterPause,
        Question,
        Loop,
        Labelled,
        WhileLet,
        LetElse,
        Local,
        Temporary,
        CaptureShared,
        CaptureMut,
        InnerAsync,
        InnerAsyncMove,
        InnerItem,
        InlineFormat,
        Panic,
        PanicAny,
        Shadow,
        Match,
        Caller,
        HoldRc,
        HoldCell,
        HoldMutRef,
        UselessConversion,
        UnusedVariable,
        UnusedResult,
        UnusedMut,
        DeadAssignment,
        Unreachable,
        NeedlessBorrow,
        LocalMacro,
        Shadowed,
        TailAssignment,
    }
);

/// The properties of the function that the text of a step depends on.
pub(crate) struct Context<'a> {
    pub(crate) output: Output,
    pub(crate) returned: &'a Returned,
    pub(crate) is_async: bool,
}

impl Step {
    /// Returns whether it awaits.
    #[must_use]
    pub fn is_async(self) -> bool {
        matches!(
            self,
            Self::Pause
                | Self::EarlyAfterPause
                | Self::Loop
                | Self::InnerAsync
                | Self::InnerAsyncMove
                | Self::HoldRc
                | Self::HoldCell
                | Self::HoldMutRef
                | Self::TailAssignment
        )
    }

    /// Returns whether it holds a value across an await that makes the future not `Send`.
    #[must_use]
    pub fn is_local(self) -> bool {
        matches!(self, Self::HoldRc)
    }

    /// Returns whether it can only be the last step.
    #[must_use]
    pub fn is_last(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::TailAssignment | Self::Disarm
        )
    }

    /// Returns the text of the step, and removes the variables that it moves. Returns
    /// `None` if the step is not possible here.
    pub(crate) fn text(
        self,
        variables: &mut Vec<Variable>,
        context: &Context<'_>,
    ) -> Option<String> {
        let returned = context.returned;
        // Joins the statements of all variables that have one.
        let all = |of: fn(&Variable) -> Option<String>| {
            let lines: Vec<String> = variables.iter().filter_map(of).collect();
            (!lines.is_empty()).then(|| lines.join("\n"))
        };
        let place = || variables.iter().find_map(Variable::place);
        let first = || {
            variables
                .iter()
                .find(|variable| variable.kind != Kind::Closure)
                .map(Variable::read)
        };
        let early = returned.leave();
        let never = context.output == Output::Never;
        Some(match self {
            Self::Change => all(Variable::change)?,
            Self::Disarm => all(Variable::disarm)?,
            Self::Replace => all(Variable::replace)?,
            Self::Consume | Self::MaybeConsume | Self::Part => {
                let position = if self == Self::Part {
                    variables.iter().position(|variable| variable.part().is_some())?
                } else {
                    variables.iter().rposition(Variable::is_owned)?
                };
                let variable = variables.remove(position);
                let name = &variable.name;
                match self {
                    Self::Part => variable.part()?,
                    Self::Consume => format!("drop({name});"),
                    _ => format!("if choice() == 3 {{\n    drop({name});\n}}"),
                }
            }
            Self::Pause => "pause().await;".to_owned(),
            Self::Early if never => return None,
            Self::Early => format!("if choice() == 3 {{\n    log(\"early\");\n    {early}\n}}"),
            Self::EarlyAfterPause if never => return None,
            Self::EarlyAfterPause => {
                format!("pause().await;\nif choice() == 1 {{\n    {early}\n}}")
            }
            Self::Question if context.output.takes_question() => {
                "let checked = fallible(choice())?;\nlog(checked);".to_owned()
            }
            Self::Question if context.output == Output::Optional => {
                "let checked = fallible(choice()).ok()?;\nlog(checked);".to_owned()
            }
            Self::Question => return None,
            Self::Loop => {
                let place = place()?;
                format!(
                    "for round in 0..3 {{\n    {place} += round;\n    pause().await;\n    if choice() == 3 {{\n        break;\n    }}\n}}"
                )
            }
            Self::Labelled => {
                let read = first()?;
                format!(
                    "'outer: for round in 0..3 {{\n    loop {{\n        log({read} + round);\n        if choice() == 3 {{\n            break 'outer;\n        }}\n        if round < 7 {{\n            continue 'outer;\n        }}\n    }}\n}}"
                )
            }
            Self::WhileLet => {
                "let mut numbers = vec![1, 2];\nwhile let Some(number) = numbers.pop() {\n    log(number);\n}"
                    .to_owned()
            }
            Self::LetElse if never => return None,
            Self::LetElse => format!(
                "let Ok(fine) = fallible(choice()) else {{\n    {early}\n}};\nlog(fine);"
            ),
            Self::Local => "let _local = Tracker::new(\"local\");".to_owned(),
            Self::Temporary => "log(Tracker::new(\"temporary\").n);".to_owned(),
            Self::CaptureShared => {
                let read = first()?;
                format!("let add = |number: u32| {read} + number;\nlog(add(1));")
            }
            Self::CaptureMut => {
                let place = place()?;
                format!("let mut bump = || {place} += 2;\nbump();\nbump();")
            }
            Self::InnerAsync => {
                let read = first()?;
                format!("let inner = async {{\n    pause().await;\n    {read} + 1\n}};\nlog(inner.await);")
            }
            Self::InnerAsyncMove => {
                let position = variables.iter().rposition(Variable::is_owned)?;
                let variable = variables.remove(position);
                format!(
                    "let inner = async move {{\n    pause().await;\n    {} + 1\n}};\nlog(inner.await);",
                    variable.read()
                )
            }
            Self::InnerItem => {
                "const STEP: u32 = 2;\nfn twice(number: u32) -> u32 {\n    number * STEP\n}\nlog(twice(choice()));"
                    .to_owned()
            }
            Self::InlineFormat => {
                let name = variables
                    .iter()
                    .find(|variable| {
                        matches!(
                            variable.kind,
                            Kind::Tracker | Kind::Number | Kind::Str | Kind::Tuple | Kind::Pair
                        )
                    })
                    .map(|variable| variable.name.clone())?;
                format!("log(format!(\"{{{name}:?}}\"));")
            }
            Self::Panic => {
                "if choice() == 2 {\n    panic!(\"on purpose {}\", choice());\n}".to_owned()
            }
            Self::PanicAny => {
                "if choice() == 2 {\n    std::panic::panic_any(choice());\n}".to_owned()
            }
            Self::Shadow => {
                let position = variables.iter().rposition(|variable| {
                    variable.is_owned() && variable.name != "self"
                })?;
                let name = variables[position].name.clone();
                variables[position].is_mut = false;
                format!("let {name} = {name};")
            }
            Self::Match => {
                let read = first()?;
                format!(
                    "match {read} {{\n    0 => log(\"nothing\"),\n    number if number > 3 => log(number),\n    _ => log(\"little\"),\n}}"
                )
            }
            Self::Caller => "here();".to_owned(),
            Self::HoldRc => "let held = Rc::new(1);\npause().await;\nlog(held);".to_owned(),
            Self::HoldCell => {
                "let held = Cell::new(1);\npause().await;\nlog(held.get());".to_owned()
            }
            Self::HoldMutRef => {
                "let mut number = 1;\nlet held = &mut number;\npause().await;\n*held += 1;\nlog(number);"
                    .to_owned()
            }
            Self::UselessConversion => "let kept = u32::from(choice());\nlog(kept);".to_owned(),
            Self::UnusedVariable => "let nobody_asks = choice();".to_owned(),
            Self::UnusedResult => "fallible(choice());".to_owned(),
            Self::UnusedMut => "let mut still = choice();\nlog(still);".to_owned(),
            Self::DeadAssignment => "let mut lost = choice();\nlog(lost);\nlost = 4;".to_owned(),
            Self::Unreachable if never || !returned.last.is_empty() => {
                "if choice() > 4 {\n    panic!(\"never\");\n    #[allow(unused)]\n    {\n        log(1);\n    }\n}".to_owned()
            }
            Self::Unreachable => "return;\nlog(\"never\");".to_owned(),
            Self::NeedlessBorrow => {
                "let owned = String::from(\"owned\");\nlog(&owned.clone());".to_owned()
            }
            Self::LocalMacro => {
                "macro_rules! shout {\n    ($what:expr) => {\n        log($what)\n    };\n}\nshout!(choice());"
                    .to_owned()
            }
            Self::Shadowed => "let picked = choice();\nlet picked = picked + 1;\nlog(picked);".to_owned(),
            Self::TailAssignment => {
                format!("pause().await;\n{}", all(Variable::disarm)?)
            }
        })
        .filter(|_| context.is_async || !self.is_async())
    }
}
