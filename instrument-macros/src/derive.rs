//! Expands `#[derive(HttpStatus)]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Fields, Generics, Ident, Path, Token, Type};

use crate::status_code::StatusCode;

pub(crate) fn http_status(input: TokenStream) -> TokenStream {
    let input = match syn::parse2(input) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    match StatusImpl::parse(&input) {
        Ok(statuses) => statuses.expand(&input),
        Err(error) => {
            // The stub implements the trait, so that the uses of the trait do not cause
            // further errors.
            let stub = implementation(
                &syn::parse_quote!(::instrument_runtime),
                &input.ident,
                &input.generics,
                &quote!(loop {}),
            );
            let error = error.into_compile_error();
            quote!(#stub #error)
        }
    }
}

/// Returns the `impl` block with this body of `http_status`.
fn implementation(
    runtime: &Path,
    ident: &Ident,
    generics: &Generics,
    body: &TokenStream,
) -> TokenStream {
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics #runtime::HttpStatus for #ident #type_generics #where_clause {
            fn http_status(&self) -> ::core::primitive::u16 {
                #body
            }
        }
    }
}

/// The implementation to generate. Every value of the type has a status.
struct StatusImpl {
    runtime: Path,
    arms: Vec<Arm>,
}

/// An arm of the `match` on `self`.
struct Arm {
    /// `Self` or `Self::Variant`.
    path: TokenStream,
    status: StatusSource,
}

/// Where the status of a variant comes from.
enum StatusSource {
    Code(u16),
    /// The only field, by its name or index, and its type.
    Transparent(syn::Member, Box<Type>),
}

/// The contents of all `#[http_status(…)]` attributes on one type or variant.
#[derive(Default)]
struct StatusAttr {
    status: Option<(Span, GivenStatus)>,
    runtime: Option<Path>,
}

/// The status that an attribute gives.
enum GivenStatus {
    Code(u16),
    Transparent,
}

impl StatusImpl {
    fn parse(input: &DeriveInput) -> syn::Result<Self> {
        refuse_on_fields(&input.data)?;
        let outer = StatusAttr::parse(&input.attrs)?;
        let runtime = outer
            .runtime
            .unwrap_or_else(|| syn::parse_quote!(::instrument_runtime));
        let arms = match &input.data {
            Data::Struct(data) => {
                let (span, given) = outer.status.ok_or_else(|| {
                    syn::Error::new(
                        input.ident.span(),
                        format!(
                            "`{}` has no HTTP status: write `#[http_status(404)]` or \
                             `#[http_status(transparent)]` above it",
                            input.ident
                        ),
                    )
                })?;
                vec![Arm {
                    path: quote!(Self),
                    status: given.for_fields(span, &data.fields)?,
                }]
            }
            Data::Enum(data) => {
                if let Some((span, GivenStatus::Transparent)) = outer.status {
                    return Err(syn::Error::new(
                        span,
                        "`transparent` does not apply to a whole enum: write \
                         `#[http_status(transparent)]` above each variant that has exactly one \
                         field",
                    ));
                }
                let default = outer.status.map(|(_, given)| given);
                data.variants
                    .iter()
                    .map(|variant| {
                        let ident = &variant.ident;
                        let own = StatusAttr::parse(&variant.attrs)?;
                        if let Some(path) = &own.runtime {
                            return Err(syn::Error::new(
                                path.span(),
                                "`crate` applies to the whole type: write \
                                 `#[http_status(crate = path)]` above the type",
                            ));
                        }
                        let status = match (own.status, &default) {
                            (Some((span, given)), _) => given.for_fields(span, &variant.fields)?,
                            (None, Some(GivenStatus::Code(status))) => StatusSource::Code(*status),
                            (None, _) => {
                                return Err(syn::Error::new(
                                    ident.span(),
                                    format!(
                                        "the variant `{ident}` has no HTTP status: write \
                                         `#[http_status(404)]` or `#[http_status(transparent)]` \
                                         above it, or a default status above the enum"
                                    ),
                                ));
                            }
                        };
                        Ok(Arm {
                            path: quote!(Self::#ident),
                            status,
                        })
                    })
                    .collect::<syn::Result<_>>()?
            }
            Data::Union(data) => {
                return Err(syn::Error::new(
                    data.union_token.span(),
                    "`HttpStatus` cannot be derived for a union, because the active field is not \
                     known: implement `HttpStatus` by hand",
                ));
            }
        };
        Ok(Self { runtime, arms })
    }

    fn expand(&self, input: &DeriveInput) -> TokenStream {
        let Self { runtime, arms } = self;
        let mut generics = input.generics.clone();
        let is_generic = generics.type_params().next().is_some();
        let arms: Vec<TokenStream> = arms
            .iter()
            .map(|Arm { path, status }| match status {
                StatusSource::Code(status) => quote!(#path { .. } => #status,),
                StatusSource::Transparent(member, ty) => {
                    if is_generic {
                        generics
                            .make_where_clause()
                            .predicates
                            .push(syn::parse_quote!(#ty: #runtime::HttpStatus));
                    }
                    let ask = quote_spanned! {ty.span()=>
                        #runtime::HttpStatus::http_status(inner)
                    };
                    quote!(#path { #member: inner, .. } => #ask,)
                }
            })
            .collect();
        // For an enum without variants, `match self {}` does not compile, because the
        // compiler treats every reference type as inhabited.
        let body = if arms.is_empty() {
            quote!(match *self {})
        } else {
            quote!(match self { #(#arms)* })
        };
        implementation(runtime, &input.ident, &generics, &body)
    }
}

/// Refuses `#[http_status(…)]` above a field, where the attribute has no effect.
fn refuse_on_fields(data: &Data) -> syn::Result<()> {
    let all: Vec<&Fields> = match data {
        Data::Struct(data) => vec![&data.fields],
        Data::Enum(data) => data
            .variants
            .iter()
            .map(|variant| &variant.fields)
            .collect(),
        Data::Union(_) => Vec::new(),
    };
    let mut attrs = all.into_iter().flatten().flat_map(|field| &field.attrs);
    match attrs.find(|attr| attr.path().is_ident("http_status")) {
        None => Ok(()),
        Some(attr) => Err(syn::Error::new(
            attr.span(),
            "`http_status` does not apply to a field: write it above the struct or the variant",
        )),
    }
}

impl StatusAttr {
    fn parse(attrs: &[Attribute]) -> syn::Result<Self> {
        let mut parsed = Self::default();
        for attr in attrs
            .iter()
            .filter(|attr| attr.path().is_ident("http_status"))
        {
            let tokens = attr.meta.require_list()?.tokens.clone();
            let parser = |input: ParseStream<'_>| parsed.parse_list(attr.span(), input);
            parser.parse2(tokens)?;
        }
        Ok(parsed)
    }

    fn parse_list(&mut self, span: Span, input: ParseStream<'_>) -> syn::Result<()> {
        if input.is_empty() {
            return Err(syn::Error::new(
                span,
                "`http_status` needs a status: write `#[http_status(404)]`",
            ));
        }
        while !input.is_empty() {
            let span = input.span();
            if input.peek(Token![crate]) {
                Ident::parse_any(input)?;
                input.parse::<Token![=]>()?;
                if self.runtime.is_some() {
                    return Err(syn::Error::new(
                        span,
                        "`crate` is given twice: remove one of them",
                    ));
                }
                self.runtime = Some(input.parse()?);
            } else {
                let given = if input
                    .fork()
                    .parse::<Ident>()
                    .is_ok_and(|i| i == "transparent")
                {
                    input.parse::<Ident>()?;
                    GivenStatus::Transparent
                } else {
                    GivenStatus::Code(input.parse::<StatusCode>()?.0)
                };
                if self.status.is_some() {
                    return Err(syn::Error::new(
                        span,
                        "the HTTP status is given twice: remove one of them",
                    ));
                }
                self.status = Some((span, given));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    }
}

impl GivenStatus {
    /// Checks that the type or variant has the fields that the status needs.
    fn for_fields(&self, span: Span, fields: &Fields) -> syn::Result<StatusSource> {
        match self {
            Self::Code(status) => Ok(StatusSource::Code(*status)),
            Self::Transparent => match fields.members().zip(fields).collect::<Vec<_>>()[..] {
                [(ref member, field)] => Ok(StatusSource::Transparent(
                    member.clone(),
                    Box::new(field.ty.clone()),
                )),
                ref all => Err(syn::Error::new(
                    span,
                    format!(
                        "`transparent` needs exactly one field, found {}: write a status such as \
                         `404`, or implement `HttpStatus` by hand",
                        all.len()
                    ),
                )),
            },
        }
    }
}
