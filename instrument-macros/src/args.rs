//! Parses the arguments of `#[instrumented(…)]`.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Ident, Lit, LitBool, LitStr, Path, Token};

use crate::labels::Labels;
use crate::method;
use crate::suggest::closest;

const NAMES: [&str; 8] = [
    "endpoint",
    "method",
    "labels",
    "outcome",
    "objective",
    "handler",
    "skip",
    "crate",
];

/// The value of the argument `endpoint`.
#[derive(Clone)]
pub(crate) enum Endpoint {
    Literal(LitStr),
    /// The path of a constant of type `&'static str`.
    Constant(Path),
}

/// The value of the argument `objective`.
#[derive(Clone)]
pub(crate) struct Objectives {
    /// The location of the list, or of the only objective.
    pub(crate) span: Span,
    pub(crate) each: Vec<Expr>,
}

/// The checked arguments. Each argument keeps the span of its name, for errors that are
/// found later, when the function or the `impl` block is checked.
#[derive(Clone, Default)]
pub(crate) struct Args {
    pub(crate) endpoint: Option<(Span, Endpoint)>,
    pub(crate) method: Option<(Span, LitStr)>,
    pub(crate) labels: Option<(Span, Labels)>,
    pub(crate) outcome: Option<(Span, Expr)>,
    pub(crate) objectives: Option<(Span, Objectives)>,
    pub(crate) handler: Option<(Span, bool)>,
    pub(crate) skip: Option<Span>,
    pub(crate) runtime: Option<(Span, Path)>,
}

impl Args {
    /// Parses the tokens between the parentheses of the attribute.
    pub(crate) fn parse(args: TokenStream) -> syn::Result<Self> {
        Self::parse_stream.parse2(args)
    }

    /// Takes `labels`, `objective` and `crate` from the arguments of the `impl` block where a
    /// method's own arguments do not set them.
    pub(crate) fn or(mut self, block: &Self) -> Self {
        self.labels = self.labels.or_else(|| block.labels.clone());
        self.objectives = self.objectives.or_else(|| block.objectives.clone());
        self.runtime = self.runtime.or_else(|| block.runtime.clone());
        self
    }

    fn parse_stream(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut args = Self::default();
        while !input.is_empty() {
            args.parse_one(input)?;
            if input.is_empty() {
                break;
            }
            if !input.peek(Token![,]) {
                return Err(input.error("expected `,` between two arguments: add it here"));
            }
            input.parse::<Token![,]>()?;
        }
        Ok(args)
    }

    fn parse_one(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        if !input.peek(Ident::peek_any) {
            let hint = if input.peek(LitStr) {
                "; write `endpoint = \"…\"`"
            } else {
                ""
            };
            return Err(input.error(format!(
                "expected the name of an argument: one of {}{hint}",
                accepted()
            )));
        }
        let name = Ident::parse_any(input)?;
        let span = name.span();
        match name.to_string().as_str() {
            "endpoint" => {
                let endpoint = endpoint(&name, input)?;
                once(&mut self.endpoint, &name, (span, endpoint))
            }
            "method" => {
                let method = string(&name, "a string literal", "GET", input)?;
                method::validate(&method)?;
                once(&mut self.method, &name, (span, method))
            }
            "labels" => {
                if !input.peek(syn::token::Paren) {
                    return Err(syn::Error::new(
                        span,
                        "`labels` takes a list in parentheses: write `labels(name = value)`",
                    ));
                }
                let list;
                syn::parenthesized!(list in input);
                if list.is_empty() {
                    return Err(syn::Error::new(
                        span,
                        "the list of `labels` is empty: write `labels(name = value)`",
                    ));
                }
                once(&mut self.labels, &name, (span, list.parse()?))
            }
            "outcome" => {
                let outcome = value(&name, "|output| Outcome::Ok", input)?;
                once(&mut self.outcome, &name, (span, outcome))
            }
            "objective" => {
                let objectives = objectives(&name, input)?;
                once(&mut self.objectives, &name, (span, objectives))
            }
            "handler" => {
                let is_handler = is_handler(&name, input)?;
                once(&mut self.handler, &name, (span, is_handler))
            }
            "skip" => {
                if input.peek(Token![=]) || input.peek(syn::token::Paren) {
                    return Err(syn::Error::new(span, "`skip` takes no value: write `skip`"));
                }
                once(&mut self.skip, &name, span)
            }
            "crate" => {
                let example = "path::to::instrument_runtime";
                let path = value(&name, example, input).map_err(|error| {
                    // `syn` lists the keywords that a path may start with, but does not
                    // say that a path is expected.
                    if error.to_string().starts_with("expected identifier") {
                        let message = format!("`crate` takes a path: write `crate = {example}`");
                        syn::Error::new(error.span(), message)
                    } else {
                        error
                    }
                })?;
                once(&mut self.runtime, &name, (span, path))
            }
            unknown => Err(syn::Error::new(span, unknown_argument(unknown))),
        }
    }
}

fn accepted() -> String {
    NAMES.map(|name| format!("`{name}`")).join(", ")
}

fn unknown_argument(found: &str) -> String {
    let meant = closest(found, &NAMES).or(match found {
        "path" | "route" | "uri" | "url" | "name" => Some("endpoint"),
        "verb" => Some("method"),
        "fields" | "tags" | "attributes" => Some("labels"),
        "status" | "err" | "ret" => Some("outcome"),
        "slo" | "slos" | "target" => Some("objective"),
        "ignore" => Some("skip"),
        _ => None,
    });
    let hint = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
    format!(
        "`#[instrumented]` has no argument `{found}`: use one of {}{hint}",
        accepted()
    )
}

/// Stores an argument, or returns an error if it already has a value.
fn once<T>(slot: &mut Option<T>, name: &Ident, value: T) -> syn::Result<()> {
    if slot.is_some() {
        return Err(syn::Error::new(
            name.span(),
            format!("the argument `{name}` is given twice: remove one of them"),
        ));
    }
    *slot = Some(value);
    Ok(())
}

/// Parses `= value`. The errors show `example` as the value to write.
fn value<T: Parse>(name: &Ident, example: &str, input: ParseStream<'_>) -> syn::Result<T> {
    if !input.peek(Token![=]) {
        return Err(syn::Error::new(
            name.span(),
            format!("`{name}` needs a value: write `{name} = {example}`"),
        ));
    }
    input.parse::<Token![=]>()?;
    if input.is_empty() || input.peek(Token![,]) {
        return Err(syn::Error::new(
            name.span(),
            format!("`{name}` has no value after the `=`: write `{name} = {example}`"),
        ));
    }
    input.parse()
}

/// Parses an objective, or a list of objectives in brackets.
fn objectives(name: &Ident, input: ParseStream<'_>) -> syn::Result<Objectives> {
    if input.peek(syn::token::Paren) {
        return Err(syn::Error::new(
            name.span(),
            "`objective` does not take a list in parentheses: write `objective = CHECKOUT` or \
             `objective = [CHECKOUT, SEARCH]`",
        ));
    }
    let objectives = match without_groups(value(name, "CHECKOUT", input)?) {
        Expr::Array(list) => Objectives {
            span: list.bracket_token.span.join(),
            each: list.elems.into_iter().map(without_groups).collect(),
        },
        one => Objectives {
            span: one.span(),
            each: vec![one],
        },
    };
    objectives.each.iter().try_for_each(refuse_other)?;
    Ok(objectives)
}

/// Refuses an expression that is certainly not an objective. rustc checks the types of the
/// others.
fn refuse_other(objective: &Expr) -> syn::Result<()> {
    let message = match objective {
        Expr::Lit(literal) => {
            let definition = match &literal.lit {
                Lit::Str(name) => format!(
                    " with `const CHECKOUT: Objective = Objective::new({}).success(99.9);`",
                    name.to_token_stream()
                ),
                _ => String::new(),
            };
            format!(
                "`objective` must be a constant of type `Objective`, found `{}`: write `objective \
                 = CHECKOUT`{definition}",
                literal.to_token_stream()
            )
        }
        Expr::Array(_) | Expr::Tuple(_) | Expr::Reference(_) | Expr::Repeat(_) => {
            "several objectives are a list in brackets: write `objective = [CHECKOUT, SEARCH]`"
                .to_owned()
        }
        _ => return Ok(()),
    };
    Err(syn::Error::new(objective.span(), message))
}

/// Unwraps a fragment of `macro_rules!`, which arrives in a group without delimiters.
fn without_groups(mut expression: Expr) -> Expr {
    while let Expr::Group(group) = expression {
        expression = *group.expr;
    }
    expression
}

/// Parses the tokens after `handler`: none, `= true` or `= false`.
fn is_handler(name: &Ident, input: ParseStream<'_>) -> syn::Result<bool> {
    let takes = "write `handler` or `handler = false`";
    if input.peek(syn::token::Paren) {
        return Err(syn::Error::new(
            name.span(),
            format!("`handler` does not take a list: {takes}"),
        ));
    }
    if !input.peek(Token![=]) {
        return Ok(true);
    }
    if let Ok(is_handler) = input.fork().call(|input| {
        input.parse::<Token![=]>()?;
        input.parse::<LitBool>()
    }) {
        input.parse::<Token![=]>()?;
        input.parse::<LitBool>()?;
        return Ok(is_handler.value);
    }
    let found: Expr = value(name, "false", input)?;
    Err(syn::Error::new(
        found.span(),
        format!(
            "`handler` must be `true` or `false`, found `{}`: {takes}",
            quote::quote!(#found)
        ),
    ))
}

/// Parses a string literal or the path of a constant.
fn endpoint(name: &Ident, input: ParseStream<'_>) -> syn::Result<Endpoint> {
    let is_path = input.peek(Token![=])
        && (input.peek2(Ident::peek_any) || input.peek2(Token![::]))
        && !input.peek2(syn::LitBool);
    let ahead = input.fork();
    if is_path
        && ahead.parse::<Token![=]>().is_ok()
        && ahead.parse::<Path>().is_ok()
        && (ahead.is_empty() || ahead.peek(Token![,]))
    {
        return value(name, "PATH", input).map(Endpoint::Constant);
    }
    let expected = "a string literal or the path of a constant";
    let literal = string(name, expected, "/users/{id}", input)?;
    if literal.value().is_empty() {
        return Err(syn::Error::new(
            literal.span(),
            "`endpoint` is empty: write a path, or leave `endpoint` out to use the function's path",
        ));
    }
    Ok(Endpoint::Literal(literal))
}

/// Parses a string literal. The error says `expected` and shows `example`.
fn string(
    name: &Ident,
    expected: &str,
    example: &str,
    input: ParseStream<'_>,
) -> syn::Result<LitStr> {
    match without_groups(value(name, &format!("\"{example}\""), input)?) {
        Expr::Lit(ExprLit {
            lit: Lit::Str(literal),
            ..
        }) => Ok(literal),
        other => Err(syn::Error::new(
            other.span(),
            format!(
                "`{name}` must be {expected}, found `{}`: write `{name} = \"{example}\"`",
                quote::quote!(#other)
            ),
        )),
    }
}
