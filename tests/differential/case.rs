//! One combination: the value chosen in each dimension, and whether the values are
//! compatible.

use std::fmt::Debug;

use crate::arguments::{Argument, Receiver};
use crate::dimension;
use crate::random::Random;
use crate::returns::Output;
use crate::source;
use crate::steps::Step;

dimension!(
    /// Where the function is defined.
    Place {
        Free,
        Nested,
        OfMacro,
        Method,
        TraitMethod,
        DefaultMethod,
        AsyncTraitMethod,
        AsyncTraitBlock,
        AnnotatedImpl,
        AnnotatedTraitImpl,
    }
);

dimension!(
    /// How the function is async, if it is.
    Asyncness {
        AsyncFn,
        ImplFuture,
        Boxed,
        BoxedAlias,
        /// Not async.
        Plain,
    }
);

dimension!(
    /// The keywords before the `fn` of a function that is not async.
    Qualifier {
        None,
        Unsafe,
        Extern,
    }
);

dimension!(
    /// How a function that returns a future creates it.
    Form {
        /// One async block.
        Lone,
        /// Statements, then an async block.
        Statements,
        /// A call of another function that returns the future.
        Delegate,
        /// A call of another function, whose future a method boxes.
        DelegateMethod,
        /// A future that is bound to a variable first.
        Binding,
        /// An early return of another future.
        EarlyFuture,
    }
);

dimension!(
    /// How the last expression is written.
    Tail {
        Expression,
        Return,
        Binding,
        IfElse,
        Block,
    }
);

dimension!(
    /// The attribute's arguments.
    Labels {
        None,
        Endpoint,
        Literal,
        Expression,
        Several,
        Awaiting,
        /// Reads an argument before and after a label that awaits.
        AwaitingBetween,
        Outcome,
        Objectives,
    }
);

dimension!(
    /// Another attribute on the function.
    Attribute {
        None,
        Docs,
        MustUse,
        Inline,
        Allow,
        Expect,
        TrackCaller,
        CfgAttr,
        Tracing,
    }
);

dimension!(
    /// Whether lifetimes are named or elided.
    Lifetimes {
        Named,
        Elided,
    }
);

dimension!(
    /// The edition of the crate.
    Edition {
        E2018,
        E2021,
        E2024,
    }
);

dimension!(
    /// The features of the runtime crate.
    Features {
        None,
        Tower,
        Axum,
        ActixWeb,
        Tonic,
        All,
    }
);

impl Asyncness {
    /// Returns whether the function is not an `async fn` and returns a future.
    #[must_use]
    pub fn is_returned_future(self) -> bool {
        !matches!(self, Self::AsyncFn | Self::Plain)
    }
}

impl Labels {
    /// Returns whether the expression of a label awaits.
    #[must_use]
    pub fn are_awaited(self) -> bool {
        matches!(self, Self::Awaiting | Self::AwaitingBetween)
    }
}

impl Edition {
    /// Returns the edition as written in `Cargo.toml`.
    #[must_use]
    pub fn year(self) -> &'static str {
        match self {
            Self::E2018 => "2018",
            Self::E2021 => "2021",
            Self::E2024 => "2024",
        }
    }
}

impl Features {
    /// Returns the features as written in `Cargo.toml`.
    #[must_use]
    pub fn list(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Tower => &["tower"],
            Self::Axum => &["axum"],
            Self::ActixWeb => &["actix-web"],
            Self::Tonic => &["tonic"],
            Self::All => &[
                "tower",
                "axum",
                "actix-web",
                "tonic",
                "process",
                "push",
                "testing",
                "tokio",
            ],
        }
    }

    /// Returns the name of the folder for the crates with these features.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tower => "tower",
            Self::Axum => "axum",
            Self::ActixWeb => "actix-web",
            Self::Tonic => "tonic",
            Self::All => "all",
        }
    }
}

/// A combination.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the types document the fields")]
pub struct Case {
    pub number: usize,
    pub place: Place,
    pub asyncness: Asyncness,
    pub qualifier: Qualifier,
    pub form: Form,
    pub receiver: Receiver,
    pub arguments: Vec<Argument>,
    pub steps: Vec<Step>,
    pub output: Output,
    pub tail: Tail,
    pub labels: Labels,
    pub attribute: Attribute,
    pub lifetimes: Lifetimes,
    pub edition: Edition,
    pub features: Features,
}

/// The name of a value of a dimension, as the sampler counts it.
pub type Tag = String;

fn tag(dimension: &str, value: impl Debug) -> Tag {
    format!("{dimension} {value:?}")
}

impl Case {
    /// Returns every value of every dimension.
    #[must_use]
    pub fn all_tags() -> Vec<Tag> {
        fn of<T: Debug>(tags: &mut Vec<Tag>, dimension: &str, values: &[T]) {
            tags.extend(values.iter().map(|value| tag(dimension, value)));
        }
        let mut tags = Vec::new();
        of(&mut tags, "place", Place::ALL);
        of(&mut tags, "asyncness", Asyncness::ALL);
        of(&mut tags, "qualifier", Qualifier::ALL);
        of(&mut tags, "form", Form::ALL);
        of(&mut tags, "receiver", Receiver::ALL);
        of(&mut tags, "argument", Argument::ALL);
        of(&mut tags, "step", Step::ALL);
        of(&mut tags, "output", Output::ALL);
        of(&mut tags, "tail", Tail::ALL);
        of(&mut tags, "labels", Labels::ALL);
        of(&mut tags, "attribute", Attribute::ALL);
        of(&mut tags, "lifetimes", Lifetimes::ALL);
        of(&mut tags, "edition", Edition::ALL);
        of(&mut tags, "features", Features::ALL);
        tags
    }

    /// Returns the values of this combination.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags = vec![
            tag("place", self.place),
            tag("asyncness", self.asyncness),
            tag("receiver", self.receiver),
            tag("output", self.output),
            tag("tail", self.tail),
            tag("labels", self.labels),
            tag("attribute", self.attribute),
            tag("lifetimes", self.lifetimes),
            tag("edition", self.edition),
            tag("features", self.features),
        ];
        if self.asyncness.is_returned_future() {
            tags.push(tag("form", self.form));
        }
        if self.asyncness == Asyncness::Plain {
            tags.push(tag("qualifier", self.qualifier));
        }
        tags.extend(
            self.arguments
                .iter()
                .map(|argument| tag("argument", argument)),
        );
        tags.extend(self.steps.iter().map(|step| tag("step", step)));
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// Returns a random combination. Its values may be incompatible.
    pub(crate) fn random(number: usize, random: &mut Random) -> Self {
        let asyncness = *random.pick(&[
            Asyncness::AsyncFn,
            Asyncness::AsyncFn,
            Asyncness::ImplFuture,
            Asyncness::Boxed,
            Asyncness::BoxedAlias,
            Asyncness::Plain,
            Asyncness::Plain,
        ]);
        let mut arguments: Vec<Argument> = (0..random.below(4))
            .map(|_| *random.pick(Argument::ALL))
            .collect();
        let mut steps: Vec<Step> = (0..2 + random.below(4))
            .map(|_| *random.pick(Step::ALL))
            .collect();
        steps.dedup();
        let mut receiver = *random.pick(Receiver::ALL);
        if random.one_in(6) {
            // One owned argument that the body changes. Without other arguments, it is
            // the likeliest to be captured in part.
            receiver = Receiver::None;
            arguments = vec![*random.pick(&[
                Argument::MutTracker,
                Argument::MutTracker,
                Argument::MutTuple,
                Argument::MutPair,
                Argument::NewtypePattern,
            ])];
            steps.insert(0, Step::Change);
        }
        Self {
            number,
            place: *random.pick(Place::ALL),
            asyncness,
            qualifier: if random.one_in(2) {
                Qualifier::None
            } else {
                *random.pick(Qualifier::ALL)
            },
            form: *random.pick(Form::ALL),
            receiver,
            arguments,
            steps,
            output: *random.pick(Output::ALL),
            tail: *random.pick(Tail::ALL),
            labels: *random.pick(Labels::ALL),
            attribute: if random.one_in(2) {
                Attribute::None
            } else {
                *random.pick(Attribute::ALL)
            },
            lifetimes: *random.pick(Lifetimes::ALL),
            edition: *random.pick(Edition::ALL),
            features: *random.pick(Features::ALL),
        }
    }

    /// Sets a value. Returns `false` if the tag does not exist.
    pub(crate) fn force(&mut self, wanted: &str, random: &mut Random) -> bool {
        fn find<T: Debug + Copy>(dimension: &str, values: &[T], wanted: &str) -> Option<T> {
            values
                .iter()
                .copied()
                .find(|value| tag(dimension, value) == wanted)
        }
        if let Some(value) = find("place", Place::ALL, wanted) {
            self.place = value;
        } else if let Some(value) = find("asyncness", Asyncness::ALL, wanted) {
            self.asyncness = value;
        } else if let Some(value) = find("qualifier", Qualifier::ALL, wanted) {
            self.qualifier = value;
            self.asyncness = Asyncness::Plain;
        } else if let Some(value) = find("form", Form::ALL, wanted) {
            self.form = value;
            if !self.asyncness.is_returned_future() {
                self.asyncness = Asyncness::ALL[1 + random.below(3)];
            }
        } else if let Some(value) = find("receiver", Receiver::ALL, wanted) {
            self.receiver = value;
        } else if let Some(value) = find("argument", Argument::ALL, wanted) {
            let at = random.below(self.arguments.len() + 1);
            self.arguments.insert(at, value);
            // If there are too many arguments, the newest are kept.
            while self.arguments.len() > 3 {
                let gone = (at + 1) % self.arguments.len();
                self.arguments.remove(gone);
            }
        } else if let Some(value) = find("step", Step::ALL, wanted) {
            let at = random.below(self.steps.len() + 1);
            self.steps.insert(at, value);
        } else if let Some(value) = find("output", Output::ALL, wanted) {
            self.output = value;
        } else if let Some(value) = find("tail", Tail::ALL, wanted) {
            self.tail = value;
        } else if let Some(value) = find("labels", Labels::ALL, wanted) {
            self.labels = value;
        } else if let Some(value) = find("attribute", Attribute::ALL, wanted) {
            self.attribute = value;
        } else if let Some(value) = find("lifetimes", Lifetimes::ALL, wanted) {
            self.lifetimes = value;
        } else if let Some(value) = find("edition", Edition::ALL, wanted) {
            self.edition = value;
        } else if let Some(value) = find("features", Features::ALL, wanted) {
            self.features = value;
        } else {
            return false;
        }
        true
    }

    /// Returns whether the combination can be written as a function. Values without
    /// effect are set to a default first.
    pub(crate) fn settle(&mut self) -> bool {
        let is_async_fn = self.asyncness == Asyncness::AsyncFn;
        let is_plain = self.asyncness == Asyncness::Plain;
        let is_returned_future = self.asyncness.is_returned_future();
        if !is_returned_future {
            self.form = Form::Lone;
        }
        if !is_plain {
            self.qualifier = Qualifier::None;
        }
        if matches!(self.place, Place::Free | Place::Nested | Place::OfMacro)
            != (self.receiver == Receiver::None)
            && !(self.receiver == Receiver::None
                && matches!(self.place, Place::Method | Place::AnnotatedImpl))
        {
            return false;
        }
        let in_async_trait = matches!(self.place, Place::AsyncTraitMethod | Place::AsyncTraitBlock);
        if in_async_trait
            && (is_returned_future || self.output.is_opaque() || self.output == Output::Never)
        {
            return false;
        }
        if in_async_trait && self.receiver == Receiver::SharedArc {
            return false;
        }
        if self.place == Place::DefaultMethod && !self.receiver.is_simple() {
            return false;
        }
        // In these places, `#[instrumented]` is written on a block with other functions.
        let in_block = matches!(
            self.place,
            Place::AsyncTraitBlock | Place::AnnotatedImpl | Place::AnnotatedTraitImpl
        );
        if in_block && self.attribute == Attribute::Tracing {
            return false;
        }
        if is_returned_future {
            if self.output == Output::Never {
                return false;
            }
            let is_boxed = self.asyncness != Asyncness::ImplFuture;
            if is_boxed && self.output.is_opaque() {
                return false;
            }
            if self.form == Form::EarlyFuture && !is_boxed {
                return false;
            }
            if self.form == Form::DelegateMethod && !is_boxed {
                return false;
            }
        }
        if !is_async_fn && self.labels.are_awaited() {
            return false;
        }
        if self.attribute == Attribute::TrackCaller && is_async_fn {
            return false;
        }
        // `#[async_trait]` produces a function that is not an `async fn`.
        if self.labels.are_awaited() && self.place == Place::AsyncTraitMethod {
            return false;
        }
        // A macro may contain a `return`, so the expansion puts the body into a closure,
        // which does not see the function's caller.
        if self.attribute == Attribute::TrackCaller
            && self.asyncness == Asyncness::ImplFuture
            && self.steps.contains(&Step::LocalMacro)
        {
            return false;
        }
        // rustc requires the ABI `Rust` for the attribute.
        if self.attribute == Attribute::TrackCaller && self.qualifier == Qualifier::Extern {
            return false;
        }
        // The body of a function that is not async stays in place if all of its values have
        // the outcome `ok`.
        let is_ok = self.output == Output::Never
            || self.labels != Labels::Outcome
                && matches!(
                    self.output,
                    Output::Unit | Output::Closure | Output::ClosureLiteral
                );
        if self.attribute == Attribute::TrackCaller
            && is_plain
            && !is_ok
            && self.steps.contains(&Step::LocalMacro)
        {
            return false;
        }
        // `#[tracing::instrument]` does not support these return types.
        if self.attribute == Attribute::Tracing
            && matches!(
                self.output,
                Output::Never | Output::Awaitable | Output::ClosureLiteral
            )
        {
            return false;
        }
        // A boxed closure is coerced to a trait object only if that type is expected.
        if self.output == Output::BoxedClosure
            && (is_returned_future || is_async_fn && self.tail == Tail::IfElse)
        {
            return false;
        }
        // The signature of a closure is inferred from the return type only at the end of the
        // function, and every closure has a type of its own.
        if self.output == Output::ClosureLiteral {
            let leaves_early = self
                .steps
                .iter()
                .any(|step| matches!(step, Step::Early | Step::LetElse));
            if !is_plain
                || leaves_early
                || self.labels == Labels::Outcome
                || !matches!(self.tail, Tail::Expression | Tail::Return | Tail::Block)
            {
                return false;
            }
        }
        // A trait method that is not async would need `impl Trait` inside `impl Future`.
        let in_trait = matches!(
            self.place,
            Place::TraitMethod | Place::DefaultMethod | Place::AnnotatedTraitImpl
        );
        if in_trait && self.output.is_opaque() {
            return false;
        }
        // The function passes its arguments to the delegate by name.
        if matches!(self.form, Form::Delegate | Form::DelegateMethod) && is_returned_future {
            let has_names = self.arguments.iter().all(|argument| {
                !matches!(
                    argument,
                    Argument::Wild
                        | Argument::TuplePattern
                        | Argument::MutTuplePattern
                        | Argument::StructPattern
                        | Argument::RestPattern
                        | Argument::NewtypePattern
                        | Argument::RefPattern
                        | Argument::RefBinding
                        | Argument::Configured
                )
            });
            if !has_names || self.place == Place::DefaultMethod {
                return false;
            }
        }
        // A `ref` binding borrows from the function itself, so the returned future cannot
        // contain it.
        if is_returned_future && self.arguments.contains(&Argument::RefBinding) {
            return false;
        }
        // With elided lifetimes, the source of a borrow must be unambiguous.
        let borrows =
            self.receiver.borrows() || self.arguments.iter().any(|argument| argument.borrows());
        let is_generic = self.arguments.iter().any(|argument| argument.is_generic());
        if !borrows && !is_generic {
            self.lifetimes = Lifetimes::Elided;
        } else if self.lifetimes == Lifetimes::Elided {
            if is_returned_future {
                return false;
            }
            if self.output.borrows() {
                let many = self
                    .arguments
                    .iter()
                    .filter(|argument| argument.borrows())
                    .count();
                if self.receiver.borrows() || many != 1 {
                    return false;
                }
            }
        }
        if self.output == Output::Awaitable && !is_async_fn {
            return false;
        }
        // Two items with the same name would conflict.
        let items = self.steps.iter().filter(|step| **step == Step::InnerItem);
        if items.count() > 1 {
            return false;
        }
        let last = self.steps.len().saturating_sub(1);
        if self
            .steps
            .iter()
            .enumerate()
            .any(|(at, step)| step.is_last() && at != last)
        {
            return false;
        }
        // The text of every step must be possible in this function.
        source::function(self).is_some()
    }

    /// Returns whether the future is not `Send`.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.receiver.is_local()
            || self.arguments.iter().any(|argument| argument.is_local())
            || self.steps.iter().any(|step| step.is_local())
            || self.output == Output::BoxedError
            || self.output == Output::BoxedBorrowingError
    }
}
