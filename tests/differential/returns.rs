//! Return types, and expressions of these types.

use crate::arguments::{Kind, Variable};
use crate::dimension;

dimension!(
    /// What the function returns, or the output of its future.
    Output {
        Unit,
        Number,
        Tracker,
        Text,
        Borrow,
        BorrowedTracker,
        BorrowedArray,
        OptionalBorrow,
        TupleOfBorrow,
        CowBorrow,
        VectorOfBorrows,
        HeadersAndBorrow,
        Fallible,
        FallibleUnit,
        FallibleBorrow,
        FallibleOptionalBorrow,
        FallibleTracker,
        BoxedError,
        BoxedBorrowingError,
        IoError,
        Optional,
        ImplDisplay,
        ImplIterator,
        FallibleImpl,
        Closure,
        /// A closure expression whose argument type is inferred.
        ClosureLiteral,
        BoxedClosure,
        Awaitable,
        Never,
    }
);

/// A return type in a function with certain arguments.
#[derive(Clone, Debug)]
pub struct Returned {
    /// The type, or nothing for `()`.
    pub ty: Option<String>,
    /// The last expression.
    pub last: String,
    /// The value of an early return.
    pub early: String,
    /// An expression that shows the returned value, which is in the variable `value`.
    pub show: &'static str,
}

impl Returned {
    /// Returns the statement for an early return.
    #[must_use]
    pub fn leave(&self) -> String {
        if self.early.is_empty() {
            "return;".to_owned()
        } else {
            format!("return {};", self.early)
        }
    }
}

impl Output {
    /// Returns whether a function with this output can use `?` on a `Result<_, Fault>`.
    #[must_use]
    pub fn takes_question(self) -> bool {
        matches!(
            self,
            Self::Fallible
                | Self::FallibleUnit
                | Self::FallibleBorrow
                | Self::FallibleOptionalBorrow
                | Self::FallibleTracker
                | Self::BoxedError
                | Self::BoxedBorrowingError
                | Self::FallibleImpl
        )
    }

    /// Returns whether it borrows from an argument.
    #[must_use]
    pub fn borrows(self) -> bool {
        matches!(
            self,
            Self::Borrow
                | Self::BorrowedTracker
                | Self::BorrowedArray
                | Self::OptionalBorrow
                | Self::TupleOfBorrow
                | Self::CowBorrow
                | Self::VectorOfBorrows
                | Self::HeadersAndBorrow
                | Self::FallibleBorrow
                | Self::FallibleOptionalBorrow
                | Self::BoxedBorrowingError
        )
    }

    /// Returns whether there is an `impl Trait` in it.
    #[must_use]
    pub fn is_opaque(self) -> bool {
        matches!(
            self,
            Self::ImplDisplay
                | Self::ImplIterator
                | Self::FallibleImpl
                | Self::Closure
                | Self::ClosureLiteral
                | Self::Awaitable
        )
    }

    /// Returns the return type for these variables, or `None` if it borrows and no
    /// argument provides a borrow.
    #[must_use]
    pub fn returned(self, variables: &[Variable], lifetime: &str) -> Option<Returned> {
        // Reads the variables that remain at the end of the body. Leaves out closures,
        // because a closure may not be `Sync`.
        let sum = || {
            let parts: Vec<String> = variables
                .iter()
                .filter(|variable| variable.kind != Kind::Closure)
                .take(2)
                .map(Variable::read)
                .collect();
            if parts.is_empty() {
                "9".to_owned()
            } else {
                parts.join(" + ")
            }
        };
        let text = || variables.iter().find_map(Variable::text);
        let borrow = variables
            .iter()
            .find(|variable| variable.kind == Kind::SharedRef)
            .map(|variable| variable.name.clone());
        let a = lifetime;
        let bound = if a.is_empty() { "" } else { " + 'a" };
        let debug = "format!(\"{:?}\", value)";
        let same = |ty: &str, value: String| Returned {
            ty: Some(ty.to_owned()),
            last: value.clone(),
            early: value,
            show: debug,
        };
        let or = |ty: &str, last: String, early: &str| Returned {
            ty: Some(ty.to_owned()),
            last,
            early: early.to_owned(),
            show: debug,
        };
        let tracker = || {
            variables
                .iter()
                .find(|variable| variable.kind == Kind::Tracker)
                .map_or_else(
                    || "Tracker::new(\"out\")".to_owned(),
                    |found| found.name.clone(),
                )
        };
        let fault = "Err(Fault(9))";
        Some(match self {
            Self::Unit => Returned {
                ty: None,
                last: String::new(),
                early: String::new(),
                show: debug,
            },
            Self::Number => or("u32", sum(), "1"),
            Self::Tracker => or("Tracker", tracker(), "Tracker::new(\"early\")"),
            Self::Text => or(
                "String",
                format!("({}).to_string()", sum()),
                "String::new()",
            ),
            Self::Borrow => same(&format!("&{a}str"), text()?),
            Self::BorrowedTracker => same(&format!("&{a}Tracker"), borrow?),
            Self::BorrowedArray => {
                let text = text()?;
                or(
                    &format!("&{a}[u8; 2]"),
                    format!("{text}.as_bytes().first_chunk().unwrap_or(&[0, 0])"),
                    "&[1, 2]",
                )
            }
            Self::OptionalBorrow => or(
                &format!("Option<&{a}str>"),
                format!("Some({})", text()?),
                "None",
            ),
            Self::TupleOfBorrow => same(&format!("(&{a}str,)"), format!("({},)", text()?)),
            Self::CowBorrow => same(
                &format!("Cow<{}, str>", if a.is_empty() { "'_" } else { "'a" }),
                format!("Cow::Borrowed({})", text()?),
            ),
            Self::VectorOfBorrows => or(
                &format!("Vec<&{a}str>"),
                format!("vec![{}]", text()?),
                "Vec::new()",
            ),
            Self::HeadersAndBorrow => Returned {
                show: "value.1.to_owned()",
                ..same(
                    &format!("(http::HeaderMap, &{a}str)"),
                    format!("(http::HeaderMap::new(), {})", text()?),
                )
            },
            Self::Fallible => or("Result<u32, Fault>", format!("Ok({})", sum()), fault),
            Self::FallibleUnit => or("Result<(), Fault>", "Ok(())".to_owned(), fault),
            Self::FallibleBorrow => or(
                &format!("Result<&{a}str, Fault>"),
                format!("Ok({})", text()?),
                fault,
            ),
            Self::FallibleOptionalBorrow => or(
                &format!("Result<Option<&{a}str>, Fault>"),
                format!("Ok(Some({}))", text()?),
                fault,
            ),
            Self::FallibleTracker => or(
                "Result<Tracker, Fault>",
                format!("Ok({})", tracker()),
                fault,
            ),
            Self::BoxedError => or(
                "Result<u32, Box<dyn Error>>",
                format!("Ok({})", sum()),
                "Err(Fault(8).into())",
            ),
            Self::BoxedBorrowingError => or(
                &format!(
                    "Result<&{a}str, Box<dyn Error{}>>",
                    if a.is_empty() { " + '_" } else { " + 'a" }
                ),
                format!("Ok({})", text()?),
                "Err(Fault(8).into())",
            ),
            Self::IoError => or(
                "std::io::Result<u32>",
                format!("Ok({})", sum()),
                "Err(std::io::ErrorKind::NotFound.into())",
            ),
            Self::Optional => or("Option<u32>", format!("Some({})", sum()), "None"),
            Self::ImplDisplay => Returned {
                show: "value.to_string()",
                ..or(&format!("impl Display{bound}"), sum(), "1")
            },
            Self::ImplIterator => Returned {
                show: "format!(\"{:?}\", value.collect::<Vec<u32>>())",
                ..or(
                    &format!("impl Iterator<Item = u32>{bound}"),
                    format!("0..({})", sum()),
                    "0..1",
                )
            },
            Self::FallibleImpl => Returned {
                show: "value.map_or_else(|fault| fault.to_string(), |shown| shown.to_string())",
                ..or(
                    &format!("Result<impl Display{bound}, Fault>"),
                    format!("Ok({})", sum()),
                    fault,
                )
            },
            // Each closure expression has a type of its own, so all branches return the
            // result of the same function `adder`.
            Self::Closure => Returned {
                show: "value(1).to_string()",
                ..same(
                    &format!("impl Fn(u32) -> u32{bound}"),
                    "adder(5)".to_owned(),
                )
            },
            Self::ClosureLiteral => Returned {
                show: "value(&1).to_string()",
                ..same(
                    &format!("impl Fn(&u32) -> u32{bound}"),
                    "move |number| *number + 5".to_owned(),
                )
            },
            Self::BoxedClosure => Returned {
                show: "value(1).to_string()",
                ..or(
                    &format!("Box<dyn Fn(u32) -> u32{bound}>"),
                    {
                        let sum = sum();
                        format!(
                            "{{\n    let sum = {sum};\n    Box::new(move |number| number + sum)\n}}"
                        )
                    },
                    "Box::new(|number| number)",
                )
            },
            Self::Awaitable => Returned {
                show: "{ drop(value); String::new() }",
                ..same("impl Future<Output = ()>", "pause()".to_owned())
            },
            Self::Never => Returned {
                ty: Some("!".to_owned()),
                last: "loop {\n    pause().await;\n}".to_owned(),
                early: "panic!(\"early\")".to_owned(),
                show: "value",
            },
        })
    }
}
