//! `labels(name = expr, …)`: a function's own labels.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Ident, Lit, Token};

/// Labels that the runtime or Prometheus writes itself.
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

/// Labels that the runtime writes with `MetricNames::opentelemetry()`. An application
/// chooses its names when it starts, and a library does not know the choice, so these
/// are reserved always.
const OPENTELEMETRY: [&str; 4] = [
    "http_request_method",
    "http_route",
    "http_response_status_code",
    "rpc_grpc_status_code",
];

#[derive(Clone)]
pub(crate) struct Labels(pub(crate) Vec<Label>);

#[derive(Clone)]
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) value: LabelExpr,
}

#[derive(Clone)]
pub(crate) enum LabelExpr {
    /// Known at compile time: it costs nothing at a call.
    Literal(String),
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
                            format!("the label `{}` is given twice", label.name),
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
            "a label's name is a letter or `_`, then letters, digits or `_`: write `name = value`",
        ));
    }
    let ident = Ident::parse_any(input)?;
    let name = ident.unraw().to_string();
    validate_name(&ident, &name)?;
    if input.peek(Token![-]) {
        return Err(input.error(format!(
            "a label's name has no `-`: write `{}`",
            with_underscores(&name, input)
        )));
    }
    if input.peek(Token![.]) {
        return Err(input.error("a label's name has no `.`: write `_` instead"));
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
            format!("the label `{name}` has no value after `=`"),
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

/// The `tenant_id` that stands for `tenant-id`, of which the first part is read.
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

/// Prometheus's grammar for label names, less what is reserved.
fn validate_name(ident: &Ident, name: &str) -> syn::Result<()> {
    let error = |message| Err(syn::Error::new(ident.span(), message));
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return error(format!(
            "`{name}` is no label name to Prometheus: use ASCII letters, digits and `_`"
        ));
    }
    if name.starts_with("__") {
        return error(format!(
            "the label `{name}` begins with `__`, which Prometheus keeps for itself"
        ));
    }
    if RESERVED.contains(&name) {
        return error(format!(
            "the label `{name}` is reserved (as are {}): choose another name",
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
            "the label `{name}` is reserved: the runtime writes it itself with \
             `MetricNames::opentelemetry()`; choose another name"
        ));
    }
    Ok(())
}
