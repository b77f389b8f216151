//! The arguments, and what a body can do with the variables that they bind.

use crate::dimension;

dimension!(
    /// The receiver (`self`) of the function.
    Receiver {
        None,
        Value,
        MutValue,
        Shared,
        Mutable,
        Boxed,
        MutBoxed,
        Rc,
        Arc,
        SharedArc,
        PinnedMutable,
    }
);

dimension!(
    /// One argument.
    Argument {
        Tracker,
        MutTracker,
        Wild,
        Underscore,
        Number,
        MutNumber,
        SharedRef,
        MutRef,
        Str,
        Slice,
        TuplePattern,
        MutTuplePattern,
        StructPattern,
        RestPattern,
        NewtypePattern,
        RefPattern,
        RefBinding,
        Generic,
        MutGeneric,
        ImplTrait,
        MutImplTrait,
        Boxed,
        MutBoxed,
        Optional,
        MutVector,
        Array,
        Shared,
        MutTuple,
        Pair,
        MutPair,
        Closure,
        MutClosure,
        Configured,
    }
);

/// The kind of value that a variable holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An owned `Tracker`.
    Tracker,
    /// A `u32`.
    Number,
    /// `&Tracker`
    SharedRef,
    /// `ref name: Tracker`: borrowed from the function itself.
    LocalRef,
    /// `&mut Tracker`
    MutRef,
    /// `&str`
    Str,
    /// `&[u32]`
    Slice,
    /// An owned value of a type that is only known to implement `Speak`.
    Speaker,
    /// `Box<Tracker>`
    Boxed,
    /// `Option<Tracker>`
    Optional,
    /// `Vec<Tracker>`
    Vector,
    /// `[u8; 3]`
    Array,
    /// `Rc<Tracker>`, or `self` in an `Rc` or an `Arc`
    Rc,
    /// `(Tracker, u32)`
    Tuple,
    /// `Pair`
    Pair,
    /// `impl Fn(u32) -> u32`
    Closure,
    /// `self`, by value or in a box
    OwnSelf,
    /// `&self`, or a borrowed `Arc`
    SharedSelf,
    /// `&mut self`, or a pinned one
    MutSelf,
    /// `self` of a trait's default method, by value
    OwnUnknownSelf,
    /// `&self` of a trait's default method
    SharedUnknownSelf,
    /// `&mut self` of a trait's default method
    MutUnknownSelf,
}

/// A variable that the body can use.
#[derive(Clone, Debug)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// The kind of its value.
    pub kind: Kind,
    /// Whether it is declared `mut`.
    pub is_mut: bool,
}

impl Variable {
    pub(crate) fn new(name: impl Into<String>, kind: Kind, is_mut: bool) -> Self {
        Self {
            name: name.into(),
            kind,
            is_mut,
        }
    }

    /// Returns an expression that reads a `u32` from the variable.
    #[must_use]
    pub fn read(&self) -> String {
        let name = &self.name;
        match self.kind {
            Kind::Tracker
            | Kind::SharedRef
            | Kind::LocalRef
            | Kind::MutRef
            | Kind::Boxed
            | Kind::Rc
            | Kind::OwnSelf
            | Kind::SharedSelf
            | Kind::MutSelf => format!("{name}.n"),
            Kind::Number => name.clone(),
            Kind::Str | Kind::Vector => format!("count({name}.len())"),
            Kind::Slice => format!("{name}.iter().sum::<u32>()"),
            Kind::Speaker
            | Kind::OwnUnknownSelf
            | Kind::SharedUnknownSelf
            | Kind::MutUnknownSelf => format!("{name}.speak()"),
            Kind::Optional => format!("{name}.as_ref().map_or(0, |inner| inner.n)"),
            Kind::Array => format!("u32::from({name}[0])"),
            Kind::Tuple => format!("{name}.1"),
            Kind::Pair => format!("{name}.count"),
            Kind::Closure => format!("{name}(2)"),
        }
    }

    /// Returns the place expression of its `Copy` state, if that can be assigned to.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let name = &self.name;
        match self.kind {
            Kind::MutRef | Kind::MutSelf => Some(format!("{name}.n")),
            _ if !self.is_mut => None,
            Kind::Tracker | Kind::Boxed | Kind::OwnSelf => Some(format!("{name}.n")),
            Kind::Number => Some(name.clone()),
            Kind::Tuple => Some(format!("{name}.0.n")),
            Kind::Pair => Some(format!("{name}.left.n")),
            _ => None,
        }
    }

    /// Returns a statement that changes the value.
    #[must_use]
    pub fn change(&self) -> Option<String> {
        let name = &self.name;
        if let Some(place) = self.place() {
            return Some(format!("{place} += 3;"));
        }
        match self.kind {
            Kind::MutUnknownSelf => Some(format!("{name}.change();")),
            _ if !self.is_mut => None,
            Kind::Speaker | Kind::OwnUnknownSelf => Some(format!("{name}.change();")),
            Kind::Vector => Some(format!("{name}.push(Tracker::new(\"pushed\"));")),
            Kind::Optional => Some(format!(
                "if let Some(inner) = {name}.as_mut() {{\n    inner.n += 3;\n}}"
            )),
            _ => None,
        }
    }

    /// Returns a statement that clears a flag which only `Drop` reads.
    #[must_use]
    pub fn disarm(&self) -> Option<String> {
        let name = &self.name;
        match self.kind {
            Kind::MutRef | Kind::MutSelf => Some(format!("{name}.armed = false;")),
            _ if !self.is_mut => None,
            Kind::Tracker | Kind::Boxed | Kind::OwnSelf => Some(format!("{name}.armed = false;")),
            Kind::Tuple => Some(format!("{name}.0.armed = false;")),
            Kind::Pair => Some(format!("{name}.right.armed = false;")),
            _ => None,
        }
    }

    /// Returns a statement that replaces the value.
    #[must_use]
    pub fn replace(&self) -> Option<String> {
        let name = &self.name;
        match self.kind {
            Kind::MutRef => Some(format!("*{name} = Tracker::new(\"fresh\");")),
            _ if !self.is_mut => None,
            Kind::Tracker => Some(format!("{name} = Tracker::new(\"fresh\");")),
            Kind::Boxed => Some(format!("*{name} = Tracker::new(\"fresh\");")),
            Kind::Optional => Some(format!("{name} = None;")),
            Kind::Vector => Some(format!("{name} = vec![Tracker::new(\"fresh\")];")),
            Kind::Tuple => Some(format!("{name}.0 = Tracker::new(\"fresh\");")),
            Kind::Pair => Some(format!("{name}.right = Tracker::new(\"fresh\");")),
            _ => None,
        }
    }

    /// Returns whether the variable can be passed to `drop`.
    #[must_use]
    pub fn is_owned(&self) -> bool {
        matches!(
            self.kind,
            Kind::Tracker
                | Kind::Speaker
                | Kind::Boxed
                | Kind::Optional
                | Kind::Vector
                | Kind::Rc
                | Kind::Tuple
                | Kind::Pair
                | Kind::OwnSelf
                | Kind::OwnUnknownSelf
        )
    }

    /// Returns a statement that moves a part out of the value (a partial move).
    #[must_use]
    pub fn part(&self) -> Option<String> {
        let name = &self.name;
        match self.kind {
            Kind::Tuple => Some(format!("let part = {name}.0;\nlog(part.n);")),
            Kind::Pair => Some(format!("let part = {name}.left;\nlog(part.n);")),
            Kind::Boxed => Some(format!("let part = *{name};\nlog(part.n);")),
            Kind::Optional => Some(format!(
                "if let Some(part) = {name} {{\n    log(part.n);\n}}"
            )),
            Kind::Vector => Some(format!("for part in {name} {{\n    log(part.n);\n}}")),
            _ => None,
        }
    }

    /// Returns an expression of type `&'a str` that outlives the function.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let name = &self.name;
        match self.kind {
            Kind::Str => Some(name.clone()),
            Kind::SharedRef | Kind::SharedSelf => Some(format!("{name}.text.as_str()")),
            _ => None,
        }
    }
}

/// How an argument is declared in a signature, and the value that is passed for it.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Attributes, followed by a space.
    pub attribute: &'static str,
    /// The pattern.
    pub pattern: String,
    /// The type.
    pub ty: String,
    /// The generic parameter with its bounds.
    pub generic: Option<String>,
    /// A statement before the call, for a value that must outlive the call.
    pub setup: Option<String>,
    /// The value that is passed.
    pub value: String,
    /// The variables that the pattern binds.
    pub variables: Vec<Variable>,
}

impl Argument {
    /// Returns whether it makes the future not `Send`.
    #[must_use]
    pub fn is_local(self) -> bool {
        matches!(self, Self::Shared)
    }

    /// Returns whether it borrows.
    #[must_use]
    pub fn borrows(self) -> bool {
        matches!(
            self,
            Self::SharedRef | Self::MutRef | Self::Str | Self::Slice | Self::RefPattern
        )
    }

    /// Returns whether its type needs a generic parameter.
    #[must_use]
    pub fn is_generic(self) -> bool {
        matches!(
            self,
            Self::Generic
                | Self::MutGeneric
                | Self::ImplTrait
                | Self::MutImplTrait
                | Self::Closure
                | Self::MutClosure
        )
    }

    /// Returns the declaration. `name` is unique in the function; `lifetime` is empty or
    /// `'a ` with a space.
    #[must_use]
    pub fn declared(self, name: &str, lifetime: &str) -> Declared {
        let bound = if lifetime.is_empty() { "" } else { " + 'a" };
        let tracker = format!("Tracker::new(\"{name}\")");
        let upper = name.to_uppercase();
        let mut declared = Declared {
            attribute: "",
            pattern: name.to_owned(),
            ty: "Tracker".to_owned(),
            generic: None,
            setup: None,
            value: tracker.clone(),
            variables: Vec::new(),
        };
        let mut bind = |kind, is_mut| declared.variables.push(Variable::new(name, kind, is_mut));
        let place = format!("let mut {name}_place = {tracker};");
        match self {
            Self::Tracker => bind(Kind::Tracker, false),
            Self::MutTracker => {
                bind(Kind::Tracker, true);
                declared.pattern = format!("mut {name}");
            }
            Self::Wild => declared.pattern = "_".to_owned(),
            Self::Underscore => declared.pattern = format!("_{name}"),
            Self::Number | Self::MutNumber => {
                let is_mut = self == Self::MutNumber;
                bind(Kind::Number, is_mut);
                declared.ty = "u32".to_owned();
                declared.value = "4".to_owned();
                if is_mut {
                    declared.pattern = format!("mut {name}");
                }
            }
            Self::SharedRef => {
                bind(Kind::SharedRef, false);
                declared.ty = format!("&{lifetime}Tracker");
                declared.setup = Some(format!("let {name}_place = {tracker};"));
                declared.value = format!("&{name}_place");
            }
            Self::MutRef => {
                bind(Kind::MutRef, false);
                declared.ty = format!("&{lifetime}mut Tracker");
                declared.setup = Some(place);
                declared.value = format!("&mut {name}_place");
            }
            Self::Str => {
                bind(Kind::Str, false);
                declared.ty = format!("&{lifetime}str");
                declared.setup = Some(format!("let {name}_place = String::from(\"{name}\");"));
                declared.value = format!("{name}_place.as_str()");
            }
            Self::Slice => {
                bind(Kind::Slice, false);
                declared.ty = format!("&{lifetime}[u32]");
                declared.setup = Some(format!("let {name}_place = [1, 2, 3];"));
                declared.value = format!("{name}_place.as_slice()");
            }
            Self::TuplePattern | Self::MutTuplePattern => {
                let is_mut = self == Self::MutTuplePattern;
                declared.pattern = if is_mut {
                    format!("(mut {name}, {name}_other)")
                } else {
                    format!("({name}, {name}_other)")
                };
                declared.ty = "(Tracker, Tracker)".to_owned();
                declared.value = format!("({tracker}, Tracker::new(\"{name} other\"))");
                declared.variables = vec![
                    Variable::new(name, Kind::Tracker, is_mut),
                    Variable::new(format!("{name}_other"), Kind::Tracker, false),
                ];
            }
            Self::StructPattern => {
                declared.pattern = format!(
                    "Pair {{ left: mut {name}, right: _{name}_right, count: {name}_count }}"
                );
                declared.ty = "Pair".to_owned();
                declared.value = format!("Pair::new(\"{name}\", \"{name} right\")");
                declared.variables = vec![
                    Variable::new(name, Kind::Tracker, true),
                    Variable::new(format!("{name}_count"), Kind::Number, false),
                ];
            }
            Self::RestPattern => {
                bind(Kind::Tracker, false);
                declared.pattern = format!("Pair {{ left: {name}, .. }}");
                declared.ty = "Pair".to_owned();
                declared.value = format!("Pair::new(\"{name}\", \"{name} right\")");
            }
            Self::NewtypePattern => {
                bind(Kind::Tracker, true);
                declared.pattern = format!("Wrap(mut {name})");
                declared.ty = "Wrap<Tracker>".to_owned();
                declared.value = format!("Wrap({tracker})");
            }
            Self::RefPattern => {
                bind(Kind::Number, false);
                declared.pattern = format!("&{name}");
                declared.ty = format!("&{lifetime}u32");
                declared.setup = Some(format!("let {name}_place = 5;"));
                declared.value = format!("&{name}_place");
            }
            Self::RefBinding => {
                bind(Kind::LocalRef, false);
                declared.pattern = format!("ref {name}");
            }
            Self::Generic | Self::MutGeneric | Self::ImplTrait | Self::MutImplTrait => {
                let is_mut = matches!(self, Self::MutGeneric | Self::MutImplTrait);
                bind(Kind::Speaker, is_mut);
                if is_mut {
                    declared.pattern = format!("mut {name}");
                }
                if matches!(self, Self::Generic | Self::MutGeneric) {
                    declared.ty = upper.clone();
                    declared.generic = Some(format!("{upper}: Speak + Send + Sync{bound}"));
                } else {
                    declared.ty = format!("impl Speak + Send + Sync{bound}");
                }
            }
            Self::Boxed | Self::MutBoxed => {
                let is_mut = self == Self::MutBoxed;
                bind(Kind::Boxed, is_mut);
                if is_mut {
                    declared.pattern = format!("mut {name}");
                }
                declared.ty = "Box<Tracker>".to_owned();
                declared.value = format!("Box::new({tracker})");
            }
            Self::Optional => {
                bind(Kind::Optional, true);
                declared.pattern = format!("mut {name}");
                declared.ty = "Option<Tracker>".to_owned();
                declared.value = format!("Some({tracker})");
            }
            Self::MutVector => {
                bind(Kind::Vector, true);
                declared.pattern = format!("mut {name}");
                declared.ty = "Vec<Tracker>".to_owned();
                declared.value = format!("vec![{tracker}, Tracker::new(\"{name} second\")]");
            }
            Self::Array => {
                bind(Kind::Array, false);
                declared.ty = "[u8; 3]".to_owned();
                declared.value = "[1, 2, 3]".to_owned();
            }
            Self::Shared => {
                bind(Kind::Rc, false);
                declared.ty = "Rc<Tracker>".to_owned();
                declared.value = format!("Rc::new({tracker})");
            }
            Self::MutTuple => {
                bind(Kind::Tuple, true);
                declared.pattern = format!("mut {name}");
                declared.ty = "(Tracker, u32)".to_owned();
                declared.value = format!("({tracker}, 3)");
            }
            Self::Pair | Self::MutPair => {
                let is_mut = self == Self::MutPair;
                bind(Kind::Pair, is_mut);
                if is_mut {
                    declared.pattern = format!("mut {name}");
                }
                declared.ty = "Pair".to_owned();
                declared.value = format!("Pair::new(\"{name}\", \"{name} right\")");
            }
            Self::Closure | Self::MutClosure => {
                let is_mut = self == Self::MutClosure;
                bind(Kind::Closure, is_mut);
                let kind = if is_mut { "FnMut" } else { "Fn" };
                if is_mut {
                    declared.pattern = format!("mut {name}");
                }
                declared.ty = format!("impl {kind}(u32) -> u32 + Send + Sync{bound}");
                declared.setup = Some(format!("let {name}_kept = {tracker};"));
                declared.value = format!("move |number| number + {name}_kept.n");
            }
            Self::Configured => {
                bind(Kind::Tracker, false);
                declared.attribute = "#[cfg(all())] ";
            }
        }
        declared
    }
}

impl Receiver {
    /// Returns whether it makes the future not `Send`.
    #[must_use]
    pub fn is_local(self) -> bool {
        self == Self::Rc
    }

    /// Returns whether it borrows.
    #[must_use]
    pub fn borrows(self) -> bool {
        matches!(
            self,
            Self::Shared | Self::Mutable | Self::SharedArc | Self::PinnedMutable
        )
    }

    /// Returns whether a default method of a trait can have this receiver and use it.
    #[must_use]
    pub fn is_simple(self) -> bool {
        matches!(
            self,
            Self::None | Self::Value | Self::MutValue | Self::Shared | Self::Mutable
        )
    }

    /// Returns the receiver as written in a signature.
    #[must_use]
    pub fn text(self, lifetime: &str, is_declaration: bool) -> Option<String> {
        let mutable = if is_declaration { "" } else { "mut " };
        Some(match self {
            Self::None => return None,
            Self::Value => "self".to_owned(),
            Self::MutValue => format!("{mutable}self"),
            Self::Shared => format!("&{lifetime}self"),
            Self::Mutable => format!("&{lifetime}mut self"),
            Self::Boxed => "self: Box<Self>".to_owned(),
            Self::MutBoxed => format!("{mutable}self: Box<Self>"),
            Self::Rc => "self: Rc<Self>".to_owned(),
            Self::Arc => "self: Arc<Self>".to_owned(),
            Self::SharedArc => format!("self: &{lifetime}Arc<Self>"),
            Self::PinnedMutable => format!("{mutable}self: Pin<&{lifetime}mut Self>"),
        })
    }

    /// Returns the statement before the call, if one is needed, and the receiver
    /// expression of the call.
    #[must_use]
    pub fn value(self) -> Option<(Option<&'static str>, &'static str)> {
        Some(match self {
            Self::None => return None,
            Self::Value | Self::MutValue => (None, "Hub::new(\"hub\")"),
            Self::Shared => (Some("let hub = Hub::new(\"hub\");"), "&hub"),
            Self::Mutable => (Some("let mut hub = Hub::new(\"hub\");"), "&mut hub"),
            Self::Boxed | Self::MutBoxed => (None, "Box::new(Hub::new(\"hub\"))"),
            Self::Rc => (None, "Rc::new(Hub::new(\"hub\"))"),
            Self::Arc => (None, "Arc::new(Hub::new(\"hub\"))"),
            Self::SharedArc => (Some("let hub = Arc::new(Hub::new(\"hub\"));"), "&hub"),
            Self::PinnedMutable => (
                Some("let mut hub = Hub::new(\"hub\");"),
                "Pin::new(&mut hub)",
            ),
        })
    }

    /// Returns `self` as a variable of the body. `is_known` says whether its type is
    /// known.
    #[must_use]
    pub fn variable(self, is_known: bool) -> Option<Variable> {
        let kind = match (self, is_known) {
            (Self::None, _) => return None,
            (Self::Value | Self::MutValue, false) => Kind::OwnUnknownSelf,
            (Self::Mutable, false) => Kind::MutUnknownSelf,
            (_, false) => Kind::SharedUnknownSelf,
            (Self::Value | Self::MutValue | Self::Boxed | Self::MutBoxed, true) => Kind::OwnSelf,
            (Self::Mutable | Self::PinnedMutable, true) => Kind::MutSelf,
            (Self::Shared | Self::SharedArc, true) => Kind::SharedSelf,
            (Self::Rc | Self::Arc, true) => Kind::Rc,
        };
        let is_mut = matches!(self, Self::MutValue | Self::MutBoxed);
        Some(Variable::new("self", kind, is_mut))
    }
}
