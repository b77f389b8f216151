//! The function's text, and the code that drives it.

use std::fmt::Write;

use crate::arguments::{Argument, Declared, Kind, Receiver, Variable};
use crate::case::{Asyncness, Attribute, Case, Form, Labels, Lifetimes, Place, Qualifier, Tail};
use crate::returns::{Output, Returned};
use crate::steps::{Context, Step};

/// A placeholder for the attribute on the annotated side, and for a comment on the plain
/// side.
const ATTRIBUTE: &str = "@attribute";
/// The same placeholder, above an `impl` block.
const BLOCK: &str = "@block";

const HEADER: &str = "\
#![allow(unused_imports)]
use async_trait::async_trait;
use differential_support::*;
use instrument_runtime::instrumented;
use std::borrow::Cow;
use std::cell::Cell;
use std::error::Error;
use std::fmt::Display;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
";

const NAMES: [&str; 3] = ["first", "second", "third"];

/// The text of a function, from which both sides are generated.
#[derive(Clone, Debug)]
pub struct Source {
    text: String,
    driver: String,
    attribute: String,
}

impl Source {
    /// Returns the module of one side.
    #[must_use]
    pub fn module(&self, is_annotated: bool) -> String {
        format!("{HEADER}\n{}\n{}", self.shown(is_annotated), self.driver)
    }

    /// Returns only the function.
    #[must_use]
    pub fn shown(&self, is_annotated: bool) -> String {
        // A comment rather than an empty line, for which Clippy has a lint.
        let (attribute, block) = match (is_annotated, self.attribute.is_empty()) {
            (true, false) => (self.attribute.as_str(), "#[instrumented]"),
            (true, true) => ("//", "#[instrumented]"),
            (false, _) => ("//", "//"),
        };
        self.text
            .replace(ATTRIBUTE, attribute)
            .replace(BLOCK, block)
    }
}

fn indented(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if line.is_empty() {
            out.push('\n');
        } else {
            let _ = writeln!(out, "    {line}");
        }
    }
    out
}

struct Function<'a> {
    case: &'a Case,
    lifetime: &'static str,
    declared: Vec<Declared>,
    returned: Returned,
}

/// Returns the function's text, or `None` if the combination cannot be written.
#[must_use]
pub fn function(case: &Case) -> Option<Source> {
    let is_named = case.lifetimes == Lifetimes::Named;
    let lifetime = if is_named { "'a " } else { "" };
    let declared: Vec<Declared> = case
        .arguments
        .iter()
        .zip(NAMES)
        .map(|(argument, name)| argument.declared(name, lifetime))
        .collect();
    let mut variables: Vec<Variable> = case
        .receiver
        .variable(case.place != Place::DefaultMethod)
        .into_iter()
        .chain(
            declared
                .iter()
                .flat_map(|declared| declared.variables.clone()),
        )
        .collect();
    // Chooses the return type while no variable has been moved.
    let returned = case.output.returned(&variables, lifetime)?;
    let function = Function {
        case,
        lifetime,
        declared,
        returned,
    };
    let attribute = function.attribute(&variables);
    let bodies = function.bodies(&mut variables)?;
    Some(Source {
        text: function.text(&bodies),
        driver: function.driver(&bodies),
        attribute,
    })
}

/// The body of the function, and the body of the function that it delegates to.
struct Bodies {
    body: String,
    inner: Option<String>,
}

impl Function<'_> {
    fn has_block(&self) -> bool {
        matches!(
            self.case.place,
            Place::AsyncTraitBlock | Place::AnnotatedImpl | Place::AnnotatedTraitImpl
        )
    }

    fn attribute(&self, variables: &[Variable]) -> String {
        let read = variables
            .iter()
            .find(|variable| variable.kind != Kind::Closure)
            .map_or_else(|| "choice()".to_owned(), Variable::read);
        let path = format!("/case_{:04}", self.case.number);
        let arguments = match self.case.labels {
            Labels::None => String::new(),
            Labels::Endpoint => format!("(endpoint = \"{path}\", method = \"GET\")"),
            Labels::Literal => "(labels(kind = \"literal\"))".to_owned(),
            Labels::Expression => format!("(labels(value = {read}))"),
            Labels::Several => format!(
                "(endpoint = \"{path}\", labels(kind = \"literal\", value = {read}, text = String::from(\"text\")))"
            ),
            Labels::Awaiting => {
                "(labels(kind = String::from(\"kind\"), value = peek().await))".to_owned()
            }
            Labels::AwaitingBetween => {
                format!("(labels(before = {read}, value = peek().await, after = {read}))")
            }
            Labels::Outcome => "(outcome = |_output| instrument_runtime::Outcome::Ok)".to_owned(),
            Labels::Objectives => "(objective = [\
                 instrument_runtime::Objective::new(\"one\").success(99.9), \
                 instrument_runtime::Objective::new(\"two\")\
                 .latency(std::time::Duration::from_secs(1), 90.0)])"
                .to_owned(),
        };
        let is_conditional = self.case.attribute == Attribute::CfgAttr;
        // In a block, a function that is not async needs its own attribute.
        let is_measured = self.has_block() && self.case.asyncness != Asyncness::Plain;
        if is_measured && arguments.is_empty() && !is_conditional {
            return String::new();
        }
        if is_conditional {
            format!("#[cfg_attr(all(), instrumented{arguments})]")
        } else {
            format!("#[instrumented{arguments}]")
        }
    }

    fn context(&self, is_async: bool) -> Context<'_> {
        Context {
            output: self.case.output,
            returned: &self.returned,
            is_async,
        }
    }

    /// Returns all steps and the last expression, or `None` if a step is not possible.
    fn whole_body(&self, steps: &[Step], variables: &mut Vec<Variable>) -> Option<String> {
        let is_async = self.case.asyncness != Asyncness::Plain;
        let mut lines = Vec::new();
        if !is_async && self.case.attribute == Attribute::TrackCaller {
            lines.push("log(place(Location::caller()));".to_owned());
        }
        for step in steps {
            lines.push(step.text(variables, &self.context(is_async))?);
        }
        // Chooses the value again, from the variables that have not been moved.
        let returned = self.case.output.returned(variables, self.lifetime)?;
        let last = match self.case.output {
            // A plain function cannot be left in the middle of an endless loop.
            Output::Never if !is_async => "panic!(\"the end\")",
            _ => &returned.last,
        };
        let early = &returned.early;
        let is_unit = self.case.output == Output::Unit;
        let is_plain = is_unit || self.case.output == Output::Never;
        lines.push(match self.case.tail {
            Tail::Expression => last.to_owned(),
            Tail::Return if is_unit => "return;".to_owned(),
            _ if is_plain => return None,
            Tail::Return => format!("return {last};"),
            Tail::Binding => format!("let output = {last};\noutput"),
            Tail::IfElse => format!(
                "if choice() == 3 {{\n{}}} else {{\n{}}}",
                indented(early),
                indented(last)
            ),
            Tail::Block => format!("{{\n{}}}", indented(last)),
        });
        lines.retain(|line| !line.is_empty());
        Some(lines.join("\n"))
    }

    fn bodies(&self, variables: &mut Vec<Variable>) -> Option<Bodies> {
        let case = self.case;
        if !case.asyncness.is_returned_future() {
            let body = self.whole_body(&case.steps, variables)?;
            return Some(Bodies { body, inner: None });
        }
        let is_boxed = case.asyncness != Asyncness::ImplFuture;
        let (open, close) = if is_boxed {
            ("Box::pin(", ")")
        } else {
            ("", "")
        };
        if let Form::Delegate | Form::DelegateMethod = case.form {
            let inner = self.whole_body(&case.steps, variables)?;
            let mut arguments = Vec::new();
            let mut callee = "inner";
            if !matches!(case.place, Place::Free | Place::Nested | Place::OfMacro) {
                callee = "Self::inner";
            }
            if case.receiver != Receiver::None {
                arguments.push("self".to_owned());
            }
            arguments.extend(self.declared.iter().map(|declared| name(&declared.pattern)));
            let call = format!("{callee}({})", arguments.join(", "));
            let body = if case.form == Form::DelegateMethod {
                let method = if case.is_local() {
                    "boxed_local"
                } else {
                    "boxed"
                };
                format!("{call}.{method}()")
            } else {
                format!("{open}{call}{close}")
            };
            return Some(Bodies {
                body,
                inner: Some(inner),
            });
        }
        // The first steps run before the future is created.
        let mut steps = case.steps.as_slice();
        let mut lines = Vec::new();
        if case.form != Form::Lone {
            while let [step, rest @ ..] = steps {
                let stays = step.is_async()
                    || step.is_last()
                    || matches!(
                        step,
                        Step::Early
                            | Step::Question
                            | Step::LetElse
                            | Step::Unreachable
                            | Step::Local
                    );
                if stays || lines.len() > 1 {
                    break;
                }
                lines.push(step.text(variables, &self.context(false))?);
                steps = rest;
            }
            if case.attribute == Attribute::TrackCaller {
                lines.push("log(place(Location::caller()));".to_owned());
            }
        }
        if case.form == Form::EarlyFuture {
            lines.push(format!(
                "if choice() == 3 {{\n    return Box::pin(async move {{\n{}    }});\n}}",
                indented(&indented(&self.returned.early))
            ));
        }
        let block = format!(
            "async move {{\n{}}}",
            indented(&self.whole_body(steps, variables)?)
        );
        if case.form == Form::Binding {
            lines.push(format!("let future = {block};\n{open}future{close}"));
        } else {
            lines.push(format!("{open}{block}{close}"));
        }
        Some(Bodies {
            body: lines.join("\n"),
            inner: None,
        })
    }

    /// Returns the signature: `fn target<…>(…) -> …`.
    fn signature(&self, name: &str, asyncness: Asyncness, style: Style) -> String {
        let case = self.case;
        let mut generics = Vec::new();
        if !self.lifetime.is_empty() {
            generics.push("'a".to_owned());
        }
        generics.extend(
            self.declared
                .iter()
                .filter_map(|declared| declared.generic.clone()),
        );
        let generics = if generics.is_empty() {
            String::new()
        } else {
            format!("<{}>", generics.join(", "))
        };
        let mut inputs: Vec<String> = case
            .receiver
            .text(self.lifetime, style != Style::Whole)
            .into_iter()
            .collect();
        for (index, declared) in self.declared.iter().enumerate() {
            let pattern = match style {
                Style::Whole => declared.pattern.clone(),
                Style::Names => crate::source::name(&declared.pattern),
                Style::Declaration => NAMES[index].to_owned(),
            };
            inputs.push(format!("{}{pattern}: {}", declared.attribute, declared.ty));
        }
        let inputs = inputs.join(", ");
        let output = self.returned.ty.as_deref();
        let unit = output.unwrap_or("()");
        let bound = if self.lifetime.is_empty() {
            ""
        } else {
            " + 'a"
        };
        let static_or_a = if self.lifetime.is_empty() {
            "'static"
        } else {
            "'a"
        };
        let send = if case.is_local() { "" } else { " + Send" };
        match asyncness {
            Asyncness::AsyncFn | Asyncness::Plain => {
                let output = output.map_or_else(String::new, |output| format!(" -> {output}"));
                let qualifier = match (asyncness, case.qualifier) {
                    (Asyncness::AsyncFn, _) => "async ",
                    (_, Qualifier::None) => "",
                    (_, Qualifier::Unsafe) => "unsafe ",
                    (_, Qualifier::Extern) => "extern \"C-unwind\" ",
                };
                format!("{qualifier}fn {name}{generics}({inputs}){output}")
            }
            Asyncness::ImplFuture => {
                format!("fn {name}{generics}({inputs}) -> impl Future<Output = {unit}>{bound}")
            }
            Asyncness::Boxed => format!(
                "fn {name}{generics}({inputs}) -> Pin<Box<dyn Future<Output = {unit}>{send}{bound}>>"
            ),
            Asyncness::BoxedAlias => {
                let alias = if case.is_local() {
                    "LocalBoxFuture"
                } else {
                    "BoxFuture"
                };
                format!("fn {name}{generics}({inputs}) -> {alias}<{static_or_a}, {unit}>")
            }
        }
    }

    fn text(&self, bodies: &Bodies) -> String {
        let case = self.case;
        let is_delegate = bodies.inner.is_some();
        let style = if is_delegate {
            Style::Names
        } else {
            Style::Whole
        };
        let (before, after) = match case.attribute {
            Attribute::None | Attribute::CfgAttr => ("", ""),
            Attribute::Docs => ("/// Has a line of documentation.\n", ""),
            Attribute::MustUse => ("", "#[must_use]\n"),
            Attribute::Inline => ("", "#[inline]\n"),
            Attribute::Allow => ("#[allow(unused_variables, clippy::pedantic)]\n", ""),
            Attribute::Expect => ("", "#[expect(clippy::needless_pass_by_value)]\n"),
            Attribute::TrackCaller => ("", "#[track_caller]\n"),
            Attribute::Tracing => ("", "#[tracing::instrument(skip_all)]\n"),
        };
        let sig = self.signature("target", case.asyncness, style);
        let in_trait = matches!(
            case.place,
            Place::TraitMethod
                | Place::DefaultMethod
                | Place::AsyncTraitMethod
                | Place::AsyncTraitBlock
                | Place::AnnotatedTraitImpl
        );
        let vis = if in_trait { "" } else { "pub " };
        let function = format!(
            "{before}{ATTRIBUTE}\n{after}{vis}{sig} {{\n{}}}",
            indented(&bodies.body)
        );
        let inner = bodies.inner.as_ref().map(|inner| {
            format!(
                "{} {{\n{}}}\n",
                self.signature("inner", Asyncness::AsyncFn, Style::Whole),
                indented(inner)
            )
        });
        let is_method = !matches!(case.place, Place::Free | Place::Nested | Place::OfMacro);
        let mut text = String::new();
        if is_method {
            text.push_str("hub!(Hub);\n");
        }
        if let Some(inner) = inner {
            if is_method {
                let _ = writeln!(text, "impl Hub {{\n{}}}", indented(&inner));
            } else {
                text.push_str(&inner);
            }
        }
        let declaration = indented(&format!(
            "{};",
            self.signature("target", case.asyncness, Style::Declaration)
        ));
        let method = indented(&function);
        let of_trait = if case.is_local() {
            "#[async_trait(?Send)]"
        } else {
            "#[async_trait]"
        };
        let _ = match case.place {
            Place::Free | Place::Nested => writeln!(text, "{function}"),
            Place::OfMacro => {
                let function = indented(&indented(&function.replace("fn target", "fn $name")));
                writeln!(
                    text,
                    "macro_rules! make {{\n    ($name:ident) => {{\n{function}    }};\n}}\nmake!(target);"
                )
            }
            Place::Method => writeln!(text, "impl Hub {{\n{method}}}"),
            Place::AnnotatedImpl => writeln!(text, "{BLOCK}\nimpl Hub {{\n{method}}}"),
            Place::TraitMethod => writeln!(
                text,
                "trait Api {{\n{declaration}}}\nimpl Api for Hub {{\n{method}}}"
            ),
            Place::AnnotatedTraitImpl => writeln!(
                text,
                "trait Api {{\n{declaration}}}\n{BLOCK}\nimpl Api for Hub {{\n{method}}}"
            ),
            Place::DefaultMethod => writeln!(
                text,
                "trait Api: Speak + Sized + Send + Sync + 'static {{\n{method}}}\nimpl Api for Hub {{}}"
            ),
            Place::AsyncTraitMethod => writeln!(
                text,
                "{of_trait}\ntrait Api {{\n{declaration}}}\n{of_trait}\nimpl Api for Hub {{\n{method}}}"
            ),
            Place::AsyncTraitBlock => writeln!(
                text,
                "{of_trait}\ntrait Api {{\n{declaration}}}\n{BLOCK}\n{of_trait}\nimpl Api for Hub {{\n{method}}}"
            ),
        };
        if case.place == Place::Nested {
            text = format!("mod scope {{\n    pub fn around() {{}}\n}}\n{text}");
        }
        text
    }

    /// Returns the code that calls the function in every scenario, and that prints the
    /// auto traits and the size of its future.
    fn driver(&self, _bodies: &Bodies) -> String {
        let case = self.case;
        let is_method = !matches!(case.place, Place::Free | Place::Nested | Place::OfMacro);
        let callee = if is_method { "Hub::target" } else { "target" };
        let mut setup = String::new();
        let mut given = Vec::new();
        if let Some((place, value)) = case.receiver.value() {
            if let Some(place) = place {
                let _ = writeln!(setup, "{place}");
            }
            let _ = writeln!(setup, "let given_self = {value};");
            given.push("given_self".to_owned());
        }
        for (declared, name) in self.declared.iter().zip(NAMES) {
            if let Some(place) = &declared.setup {
                let _ = writeln!(setup, "{place}");
            }
            let _ = writeln!(setup, "let given_{name} = {};", declared.value);
            given.push(format!("given_{name}"));
        }
        let mut call = format!("{callee}({})", given.join(", "));
        if case.qualifier == Qualifier::Unsafe {
            call = format!("unsafe {{ {call} }}");
        }
        let sizes: Vec<String> = given
            .iter()
            .map(|given| format!(" + std::mem::size_of_val(&{given})"))
            .collect();
        let sizes = sizes.concat();
        let show = self.returned.show;
        if case.asyncness == Asyncness::Plain {
            // Without the annotation, the closure around a function that never returns would
            // have another type in each edition.
            let (is_never, output) = match case.output {
                Output::Never => (true, " -> String"),
                _ => (false, ""),
            };
            let mut text = format!(
                "#[allow(warnings, clippy::all, clippy::pedantic)]\npub fn drive(case: &mut Case) {{\n    case.choices(|case| {{\n{}        case.run_plain(move ||{output} {{ {call} }}, |value| {show});\n    }});\n",
                indented(&indented(&setup)),
            );
            if !is_never {
                let _ = write!(
                    text,
                    "{}    let value = {call};\n    let auto_traits = auto_traits!(value);\n    case.probe_plain(&auto_traits, std::mem::size_of_val(&value));\n",
                    indented(&setup)
                );
            }
            text.push_str("}\n");
            return text;
        }
        format!(
            "#[allow(warnings, clippy::all, clippy::pedantic)]\npub fn drive(case: &mut Case) {{\n    case.scenarios(|case| {{\n{}        case.run(move || {call}, |value| {show});\n    }});\n{}    let arguments = 0{sizes};\n    let future = {call};\n    let auto_traits = auto_traits!(future);\n    case.probe(&auto_traits, std::mem::size_of_val(&future), arguments);\n}}\n",
            indented(&indented(&setup)),
            indented(&setup),
        )
    }
}

/// How a signature declares the arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// With their patterns.
    Whole,
    /// By name, for a function that only passes them on.
    Names,
    /// As a trait declares them.
    Declaration,
}

fn name(pattern: &str) -> String {
    pattern.strip_prefix("mut ").unwrap_or(pattern).to_owned()
}

impl Argument {
    /// Returns whether its value is in a variable that must be declared `mut`.
    #[must_use]
    pub fn is_mutable_place(self) -> bool {
        self == Self::MutRef
    }
}
