//! Reads the endpoint and the method from a web framework's route attribute below
//! `#[instrumented]`: actix-web's and Rocket's `#[get("/x")]`, actix-web's
//! `#[route("/x", method = "GET")]`, utoipa's `#[utoipa::path(get, path = "/x")]`
//! and poem-openapi's `#[oai(path = "/x", method = "get")]`.
//!
//! An attribute that does not parse is ignored. The framework reports its errors.

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, LitStr, Meta};

use crate::tokens::is_punct;

/// The endpoint and the method that a route attribute states.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) endpoint: Option<String>,
    pub(crate) method: Option<String>,
}

/// Returns the route if there is exactly one route attribute. A function with several
/// route attributes handles several routes, so it has no single endpoint.
pub(crate) fn of(attrs: &[Attribute]) -> Route {
    let mut routes = attrs.iter().filter_map(route);
    match (routes.next(), routes.next()) {
        (Some(route), None) => route,
        _ => Route::default(),
    }
}

fn route(attr: &Attribute) -> Option<Route> {
    let Meta::List(list) = &attr.meta else {
        return None;
    };
    let segments: Vec<String> = attr
        .path()
        .segments
        .iter()
        .map(|segment| segment.ident.to_string())
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let arguments = RouteArguments::parse(list.tokens.clone());
    let (endpoint, methods) = match segments[..] {
        ["utoipa", "path"] => (arguments.named("path"), arguments.words.clone()),
        ["oai"] | ["poem_openapi", "oai"] => (arguments.named("path"), arguments.all("method")),
        ["route"] | ["actix_web", "route"] | ["rocket", "route"] => {
            (arguments.first.clone(), arguments.all("method"))
        }
        [method] | ["actix_web" | "rocket", method] if standard(method).is_some() => {
            (arguments.first.clone(), vec![method.to_owned()])
        }
        _ => return None,
    };
    let endpoint = endpoint.map(|path| match path.split_once('?') {
        // A route of Rocket includes the query: `/x/<id>?<page>`.
        Some((path, _query)) => path.to_owned(),
        None => path,
    });
    let mut methods = methods.iter().filter_map(|method| standard(method));
    let method = match (methods.next(), methods.next()) {
        (Some(method), None) => Some(method),
        _ => None,
    };
    endpoint.map(|path| Route {
        // An empty path means the path of the enclosing scope, which is not known here.
        endpoint: Some(path).filter(|path| !path.is_empty()),
        method,
    })
}

/// Returns the method in upper case if it is a standard method.
fn standard(method: &str) -> Option<String> {
    let method = method.to_ascii_uppercase();
    crate::method::is_standard(&method).then_some(method)
}

/// The arguments of a route attribute, as far as they matter here.
#[derive(Default)]
struct RouteArguments {
    /// The first argument, if it is a string.
    first: Option<String>,
    /// The arguments that are single identifiers, such as `get`.
    words: Vec<String>,
    /// The arguments of the form `name = "value"`.
    named: Vec<(String, String)>,
}

impl RouteArguments {
    fn parse(tokens: TokenStream) -> Self {
        let mut arguments = Self::default();
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (index, argument) in tokens.split(|token| is_punct(token, ",")).enumerate() {
            match argument {
                [value] if index == 0 && string(value).is_some() => {
                    arguments.first = string(value);
                }
                [TokenTree::Ident(word)] => arguments.words.push(word.to_string()),
                [TokenTree::Ident(name), equals, value] if is_punct(equals, "=") => {
                    if let Some(value) = string(value) {
                        arguments.named.push((name.to_string(), value));
                    }
                }
                _ => {}
            }
        }
        arguments
    }

    fn named(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.named
            .iter()
            .filter(|(found, _)| found == name)
            .map(|(_, value)| value.clone())
            .collect()
    }
}

fn string(token: &TokenTree) -> Option<String> {
    syn::parse2::<LitStr>(token.clone().into())
        .ok()
        .map(|literal| literal.value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn read(attrs: &[Attribute]) -> (Option<String>, Option<String>) {
        let Route { endpoint, method } = of(attrs);
        (endpoint, method)
    }

    #[test]
    fn the_frameworks_attributes_are_read() {
        let known: [(Attribute, &str, Option<&str>); 9] = [
            (parse_quote!(#[get("/x")]), "/x", Some("GET")),
            (
                parse_quote!(#[actix_web::post("/x", name = "create")]),
                "/x",
                Some("POST"),
            ),
            (
                parse_quote!(#[rocket::get("/x/<id>?<page>", rank = 2)]),
                "/x/<id>",
                Some("GET"),
            ),
            (
                parse_quote!(#[route("/x", method = "PUT")]),
                "/x",
                Some("PUT"),
            ),
            (
                parse_quote!(#[route("/x", method = "GET", method = "HEAD")]),
                "/x",
                None,
            ),
            (
                parse_quote!(#[utoipa::path(get, path = "/x", responses((status = 200)))]),
                "/x",
                Some("GET"),
            ),
            (
                parse_quote!(#[utoipa::path(path = "/x", patch)]),
                "/x",
                Some("PATCH"),
            ),
            (
                parse_quote!(#[oai(path = "/x", method = "delete")]),
                "/x",
                Some("DELETE"),
            ),
            (parse_quote!(#[route("/x", method = "PURGE")]), "/x", None),
        ];
        for (attr, endpoint, method) in known {
            let shown = quote::quote!(#attr).to_string();
            assert_eq!(
                read(&[attr]),
                (Some(endpoint.to_owned()), method.map(str::to_owned)),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_scopes_own_route_says_its_method() {
        let scopes = read(&[parse_quote!(#[get("")])]);
        assert_eq!(scopes, (None, Some("GET".to_owned())));
    }

    #[test]
    fn other_attributes_and_several_routes_say_nothing() {
        let others: [&[Attribute]; 4] = [
            &[parse_quote!(#[get])],
            &[parse_quote!(#[allow(unused)])],
            &[parse_quote!(#[serde(path = "/x")])],
            &[parse_quote!(#[get("/x")]), parse_quote!(#[post("/x")])],
        ];
        for attrs in others {
            assert_eq!(read(attrs), (None, None));
        }
    }
}
