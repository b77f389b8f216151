//! Decides whether a call that starts is the handler of the current request.

use super::current::Poll;
use super::{By, Caller, Evidence, Framework, HandedOver, Request, State};
use crate::call::extracts::Extracts;
use crate::call::site::{CallSite, Role};
use crate::outcome::Protocol;

/// What happens to a call that starts.
pub(super) enum Verdict {
    /// The call joins the request as its handler.
    Joins(By),
    /// The call could be the handler, but the evidence is missing. The call is counted by
    /// itself. While it runs, no other call is inferred to be the handler.
    Doubtful,
    /// The call is counted by itself.
    ByItself,
}

/// How a function's names (its method and endpoint) compare with those of the request.
#[derive(PartialEq, Eq)]
enum Names {
    /// The names do not decide, because the function has no method or no endpoint.
    Nothing,
    /// Both names match the request.
    Same,
    /// The endpoint does not match the request.
    OtherEndpoint,
    /// The method does not match the request.
    OtherMethod,
}

impl Request {
    pub(super) fn judge(&self, state: &State, caller: &Caller<'_>) -> Verdict {
        let names = match caller.site.role() {
            Role::Never => return Verdict::ByItself,
            Role::Handler => Names::Same,
            Role::Open | Role::Helper => self.names(state, caller.site),
        };
        match names {
            Names::OtherMethod => Verdict::ByItself,
            Names::Same => match &state.claim {
                Some(claim) if claim.is_active() => Verdict::ByItself,
                _ => Verdict::Joins(By::Word),
            },
            Names::Nothing | Names::OtherEndpoint => {
                self.infer(state, caller, names == Names::OtherEndpoint)
            }
        }
    }

    fn names(&self, state: &State, site: &CallSite) -> Names {
        let method = site.method();
        let is_method = method == self.method || (method, self.method) == ("GET", "HEAD");
        if !method.is_empty() && !is_method {
            return Names::OtherMethod;
        }
        let Some(endpoint) = site.endpoint() else {
            // The method alone does not decide: many functions have the same method.
            return Names::Nothing;
        };
        let is_endpoint = match (state.route.as_deref(), state.candidate.as_deref()) {
            (Some(route), _) | (None, Some(route)) => ends_with(route, endpoint),
            (None, None) => match &state.path {
                Some(path) => matches(endpoint, path),
                None => false,
            },
        };
        match is_endpoint {
            false => Names::OtherEndpoint,
            true if method.is_empty() => Names::Nothing,
            true => Names::Same,
        }
    }

    /// Judges a call by the evidence, when neither the attribute nor the names decide.
    fn infer(&self, state: &State, caller: &Caller<'_>, has_other_endpoint: bool) -> Verdict {
        let Evidence {
            protocol,
            is_answer,
            extracts,
            carried,
        } = caller.evidence;
        let is_carried = carried.is_some_and(|request| std::ptr::eq(&**request, self));
        let is_callable =
            is_answer && protocol != Protocol::Grpc && caller.site.role() == Role::Open;
        let (could_be, is_certain) = match self.framework {
            Framework::Axum => (
                is_callable && extracts.axum.are_all(),
                is_carried || !has_other_endpoint && Self::is_handed_to(state, extracts.axum),
            ),
            Framework::ActixWeb => (
                is_callable && extracts.actix_web.are_all(),
                !has_other_endpoint && state.route.is_some() && extracts.actix_web.is_telling(),
            ),
            // No `is_callable` here: the methods of a tonic service take `&self`, so
            // their role is `Helper`.
            Framework::Tonic => (protocol == Protocol::Grpc && is_carried, true),
            Framework::Tower => (
                is_callable && protocol == Protocol::Http && is_carried,
                true,
            ),
        };
        if !could_be {
            return Verdict::ByItself;
        }
        match &state.claim {
            Some(claim) if claim.is_active() => return Verdict::ByItself,
            Some(claim) if !claim.gives_way_to(caller.site) => return Verdict::ByItself,
            _ => {}
        }
        if is_certain && !state.is_doubtful && state.doubtful_calls == 0 {
            Verdict::Joins(By::Inference)
        } else {
            Verdict::Doubtful
        }
    }

    /// Returns whether axum has handed the request over to this very call.
    ///
    /// axum takes the request apart for the last extractor of the handler, and calls the
    /// handler as soon as this extractor is done. Only an extractor of the body can take
    /// longer than the poll in which the request was taken apart.
    fn is_handed_to(state: &State, extracts: Extracts) -> bool {
        let HandedOver::In(poll) = state.handed_over else {
            return false;
        };
        if extracts.is_request() {
            // The argument is not known to be this request: `is_carried` is false.
            false
        } else if extracts.has_body() {
            extracts.is_telling()
        } else {
            poll.is_some() && poll == Poll::current() && !state.has_moved_on
        }
    }
}

/// Returns whether `route` is `endpoint`, or ends with an `endpoint` that begins with `/`
/// (in nested routers).
fn ends_with(route: &str, endpoint: &str) -> bool {
    route == endpoint || endpoint.starts_with('/') && route.ends_with(endpoint)
}

/// Returns whether `path` matches a route pattern, in the notation of any framework.
///
/// `{id}`, `{id:\d+}`, `:id` and `<id>` match one segment; `{*rest}`, `*rest` and
/// `<rest..>` match all remaining segments.
fn matches(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let is_rest = expected.starts_with("{*")
            || expected.starts_with('*')
            || expected.starts_with('<') && expected.ends_with("..>");
        let Some(segment) = segments.next() else {
            return false;
        };
        if is_rest {
            return true;
        }
        let is_parameter = expected.starts_with('{') && expected.ends_with('}')
            || expected.starts_with('<') && expected.ends_with('>')
            || expected.len() > 1 && expected.starts_with(':');
        if is_parameter && segment.is_empty() || !is_parameter && expected != segment {
            return false;
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_ends_with_an_endpoint_at_a_slash() {
        for (route, endpoint, is_end) in [
            ("/users/{id}", "/users/{id}", true),
            ("/api/users/{id}", "/users/{id}", true),
            ("/api/", "/", true),
            ("/superusers/{id}", "users/{id}", false),
            ("/superusers/{id}", "/users/{id}", false),
            ("/users", "/api/users", false),
            ("/users/{id}", "/users/{name}", false),
        ] {
            assert_eq!(ends_with(route, endpoint), is_end, "{route} {endpoint}");
        }
    }

    #[test]
    fn a_path_is_matched_in_every_notation() {
        for (pattern, path, is_match) in [
            ("/", "/", true),
            ("/", "", false),
            ("/users", "/users", true),
            ("/users", "/users/", false),
            ("/users", "/user", false),
            ("/users/{id}", "/users/7", true),
            (r"/users/{id:\d+}", "/users/7", true),
            ("/users/:id", "/users/7", true),
            ("/users/<id>", "/users/7", true),
            ("/users/{id}", "/users/", false),
            ("/users/{id}", "/users", false),
            ("/users/{id}", "/users/7/posts", false),
            ("/users/{id}/posts", "/users/7/posts", true),
            ("/files/{*path}", "/files/a/b", true),
            ("/files/*path", "/files/a/b", true),
            ("/files/<path..>", "/files/a/b", true),
            ("/files/{*path}", "/other/a", false),
        ] {
            assert_eq!(matches(pattern, path), is_match, "{pattern} {path}");
        }
    }
}
