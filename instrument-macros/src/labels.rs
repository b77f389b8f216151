//! Parses `labels(name = expr, …)`, the labels that a user gives to a function.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Ident, Lit, Token};

/// The labels that the runtime or Prometheus writes. `builder/check.rs` in the runtime
/// has the same list; `tests/compiler/same_lists.rs` compares them.
const RESERVED: [&str; 9] = [
    "app_name",
    "method",
    "endpoint",
    "http_status",
    "grpc_status",
    "outcome",
    "overflow",
    "le",
    "quantile",
];

/// The labels that the runtime writes with `MetricNames::opentelemetry()`, apart from
/// those in `RESERVED`. They are always reserved: the application chooses the names when
/// it starts, and an annotated library does not know its choice.
const OPENTELEMETRY: [&str; 9] = [
    "http_request_method",
    "http_route",
    "http_response_status_code",
    "url_scheme",
    "network_protocol_version",
    "rpc_system_name",
    "rpc_method",
    "rpc_response_status_code",
    "error_type",
];

/// The labels of one function, in the order of the attribute. Each name occurs once.
#[derive(Clone)]
pub(crate) struct Labels(pub(crate) Vec<Label>);

#[derive(Clone)]
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) value: LabelExpr,
}

/// The expression that gives a label its value.
#[derive(Clone)]
pub(crate) enum LabelExpr {
    /// A string literal. It is stored in the call site and adds no cost to a call.
    Literal(String),
    /// An expression to evaluate in each call.
    Dynamic(TokenStream),
}

impl Parse for Labels {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let labels: Vec<Label> =
            Punctuated::<(Ident, Label), Token![,]>::parse_terminated_with(input, parse_label)?
                .into_iter()
                .try_fold(Vec::new(), |mut labels: Vec<Label>, (ident, label)| {
                    if labels.iter().any(|other| other.name == label.name) {
                        return Err(syn::Error::new(
                            ident.span(),
                            format!(
                                "the label `{}` is given twice: remove one of them",
                                label.name
                            ),
                        ));
                    }
                    labels.push(label);
                    Ok(labels)
                })?;
        Ok(Self(labels))
    }
}

fn parse_label(input: ParseStream<'_>) -> syn::Result<(Ident, Label)> {
    if !input.peek(Ident::peek_any) {
        return Err(input.error(
            "expected the name of a label (ASCII letters, digits and `_`, without a digit at the \
             beginning): write `name = value`",
        ));
    }
    let ident = Ident::parse_any(input)?;
    let name = ident.unraw().to_string();
    validate_name(&ident, &name)?;
    if input.peek(Token![-]) {
        return Err(input.error(format!(
            "the name of a label cannot contain `-`: write `{}`",
            with_underscores(&name, input)
        )));
    }
    if input.peek(Token![.]) {
        return Err(input.error("the name of a label cannot contain `.`: write `_` instead"));
    }
    if !input.peek(Token![=]) {
        return Err(syn::Error::new(
            ident.span(),
            format!("the label `{name}` has no value: write `{name} = value`"),
        ));
    }
    input.parse::<Token![=]>()?;
    if input.is_empty() || input.peek(Token![,]) {
        return Err(syn::Error::new(
            ident.span(),
            format!("the label `{name}` has no value after the `=`: write `{name} = value`"),
        ));
    }
    let value = match input.parse::<Expr>()? {
        Expr::Lit(ExprLit {
            lit: Lit::Str(literal),
            ..
        }) => LabelExpr::Literal(literal.value()),
        expression => LabelExpr::Dynamic(expression.into_token_stream()),
    };
    Ok((ident, Label { name, value }))
}

/// Returns the label name with `_` instead of `-`: `tenant_id` for `tenant-id`. `first`
/// is the part before the first `-`, which has been parsed already.
fn with_underscores(first: &str, input: ParseStream<'_>) -> String {
    let rest = input.fork();
    let mut name = first.to_owned();
    while rest.parse::<Token![-]>().is_ok() {
        let Ok(part) = Ident::parse_any(&rest) else {
            break;
        };
        name = format!("{name}_{part}");
    }
    name
}

/// Checks a name against Prometheus's grammar for label names and the reserved names.
fn validate_name(ident: &Ident, name: &str) -> syn::Result<()> {
    let error = |message| Err(syn::Error::new(ident.span(), message));
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return error(format!(
            "`{name}` is not a valid label name in Prometheus: use ASCII letters, digits and `_`"
        ));
    }
    if name.starts_with("__") {
        return error(format!(
            "the label `{name}` begins with `__`, which is reserved for Prometheus: choose another \
             name"
        ));
    }
    if RESERVED.contains(&name) {
        return error(format!(
            "the label `{name}` is reserved, as are {}: choose another name",
            RESERVED
                .iter()
                .filter(|other| **other != name)
                .copied()
                .collect::<Vec<_>>()
                .join(", ")
        ));
    }
    if OPENTELEMETRY.contains(&name) {
        return error(format!(
            "the label `{name}` is reserved, because the runtime writes it with \
             `MetricNames::opentelemetry()`: choose another name"
        ));
    }
    Ok(())
}
