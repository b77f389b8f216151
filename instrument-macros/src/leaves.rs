//! Finds the expressions whose value a function returns: the tail of its body, the
//! branches of that tail, and the operands of `return`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::visit_mut::{self, VisitMut};
use syn::{Block, Expr, ExprCall, ExprReturn, ExprTry, Ident, Item, Lifetime, Macro, Stmt};

use crate::tokens::{STD_MACROS, is_box_pin, located_at, mentions};

/// The parsed body of a function.
pub(crate) struct Leaves {
    statements: Vec<Stmt>,
    returns: ReturnSearch,
}

impl Leaves {
    /// Parses the body. Returns `None` if it is not valid syntax.
    pub(crate) fn of(body: &TokenStream) -> Option<Self> {
        let mut statements = syn::parse::Parser::parse2(Block::parse_within, body.clone()).ok()?;
        let mut returns = ReturnSearch::default();
        for statement in &mut statements {
            returns.visit_stmt_mut(statement);
        }
        Some(Self {
            statements,
            returns,
        })
    }

    /// Whether the body contains a `return` outside of macros.
    pub(crate) fn has_return(&self) -> bool {
        self.returns.found
    }

    /// Whether the function may return from a place that cannot be wrapped: a `?`, a
    /// macro that may expand to a `return`, or syntax that `syn` does not parse.
    pub(crate) fn may_hide_return(&self) -> bool {
        self.returns.may_be_hidden || self.returns.in_question
    }

    /// The same, but without the places that [`breaking`](Self::breaking) replaces.
    pub(crate) fn may_hide_break(&self) -> bool {
        self.returns.may_be_hidden
    }

    /// Returns the body with each leaf replaced by the result of `wrap`. An expression
    /// that is known to diverge, such as `todo!()`, stays as it is.
    pub(crate) fn wrapped(mut self, wrap: &mut dyn FnMut(Leaf) -> TokenStream) -> TokenStream {
        if self.returns.found {
            let mut wrapper = WrapReturns { wrap };
            for statement in &mut self.statements {
                wrapper.visit_stmt_mut(statement);
            }
        }
        wrap_tail_of(&mut self.statements, wrap);
        self.statements
            .iter()
            .map(ToTokens::to_token_stream)
            .collect()
    }

    /// Returns the body with each `return` and each `?` replaced by a `break` out of the
    /// block with this label.
    pub(crate) fn breaking(mut self, label: &Lifetime, runtime: &TokenStream) -> TokenStream {
        if self.returns.found || self.returns.in_question {
            for statement in &mut self.statements {
                BreakReturns { label, runtime }.visit_stmt_mut(statement);
            }
        }
        self.statements
            .iter()
            .map(ToTokens::to_token_stream)
            .collect()
    }
}

/// An expression whose value the function returns.
pub(crate) enum Leaf {
    /// `Box::pin(future)`: the path before the parentheses, and the future.
    BoxPin(TokenStream, TokenStream),
    /// `async { … }.boxed()`: the async block, and the method.
    Boxed(TokenStream, Ident),
    Other(TokenStream),
}

impl Leaf {
    fn of(expr: &Expr) -> Self {
        match expr {
            Expr::Call(ExprCall {
                attrs, func, args, ..
            }) if attrs.is_empty() && args.len() == 1 && is_box_pin(func) => {
                Self::BoxPin(func.to_token_stream(), args[0].to_token_stream())
            }
            Expr::MethodCall(call)
                if call.attrs.is_empty()
                    && call.args.is_empty()
                    && matches!(*call.receiver, Expr::Async(_))
                    && (call.method == "boxed" || call.method == "boxed_local") =>
            {
                Self::Boxed(call.receiver.to_token_stream(), call.method.clone())
            }
            other => Self::Other(other.to_token_stream()),
        }
    }
}

fn wrap_tail_of(statements: &mut [Stmt], wrap: &mut dyn FnMut(Leaf) -> TokenStream) {
    match statements.last_mut() {
        Some(Stmt::Expr(expr, None)) => wrap_tail(expr, wrap),
        Some(last @ Stmt::Macro(_)) => {
            if let Stmt::Macro(statement) = &*last
                && statement.semi_token.is_none()
                && !diverges(&statement.mac)
            {
                let wrapped = wrap(Leaf::Other(statement.to_token_stream()));
                *last = Stmt::Expr(Expr::Verbatim(wrapped), None);
            }
        }
        _ => {}
    }
}

fn wrap_tail(expr: &mut Expr, wrap: &mut dyn FnMut(Leaf) -> TokenStream) {
    match expr {
        Expr::Paren(paren) => wrap_tail(&mut paren.expr, wrap),
        Expr::Group(group) => wrap_tail(&mut group.expr, wrap),
        Expr::Block(block) if block.label.is_none() => wrap_tail_of(&mut block.block.stmts, wrap),
        Expr::Unsafe(block) => wrap_tail_of(&mut block.block.stmts, wrap),
        Expr::If(branch) => {
            wrap_tail_of(&mut branch.then_branch.stmts, wrap);
            if let Some((_, otherwise)) = &mut branch.else_branch {
                wrap_tail(otherwise, wrap);
            }
        }
        Expr::Match(branches) => {
            for arm in &mut branches.arms {
                wrap_tail(&mut arm.body, wrap);
            }
        }
        // `WrapReturns` wraps the operand of `return`. `break` and `continue` have no
        // value.
        Expr::Return(_) | Expr::Break(_) | Expr::Continue(_) => {}
        Expr::Macro(expr) if diverges(&expr.mac) => {}
        _ => *expr = Expr::Verbatim(wrap(Leaf::of(expr))),
    }
}

/// Makes a visitor skip closures, async blocks, inline constants and items, where a
/// `return` does not leave the function.
macro_rules! within_the_function {
    () => {
        fn visit_item_mut(&mut self, _: &mut Item) {}
        fn visit_expr_closure_mut(&mut self, _: &mut syn::ExprClosure) {}
        fn visit_expr_async_mut(&mut self, _: &mut syn::ExprAsync) {}
        fn visit_expr_const_mut(&mut self, _: &mut syn::ExprConst) {}
    };
}

/// A visitor that searches a body for `return`.
#[derive(Default)]
struct ReturnSearch {
    found: bool,
    /// There is a `?`.
    in_question: bool,
    may_be_hidden: bool,
}

impl VisitMut for ReturnSearch {
    within_the_function!();

    fn visit_expr_return_mut(&mut self, expr: &mut ExprReturn) {
        self.found = true;
        visit_mut::visit_expr_return_mut(self, expr);
    }

    fn visit_expr_try_mut(&mut self, expr: &mut ExprTry) {
        self.in_question = true;
        visit_mut::visit_expr_try_mut(self, expr);
    }

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        // Syntax that `syn` does not parse may contain a `return`.
        self.may_be_hidden |= matches!(expr, Expr::Verbatim(_));
        visit_mut::visit_expr_mut(self, expr);
    }

    fn visit_macro_mut(&mut self, found: &mut Macro) {
        self.may_be_hidden |= !is_well_known(found) || mentions(found.tokens.clone(), "return");
    }
}

/// A visitor that wraps the operand of each `return`.
struct WrapReturns<'a> {
    wrap: &'a mut dyn FnMut(Leaf) -> TokenStream,
}

impl VisitMut for WrapReturns<'_> {
    within_the_function!();

    fn visit_expr_return_mut(&mut self, expr: &mut ExprReturn) {
        visit_mut::visit_expr_return_mut(self, expr);
        if let Some(expr) = &mut expr.expr {
            wrap_tail(expr, self.wrap);
        }
    }
}

/// A visitor that replaces each `return` and each `?`.
struct BreakReturns<'a> {
    label: &'a Lifetime,
    runtime: &'a TokenStream,
}

impl VisitMut for BreakReturns<'_> {
    within_the_function!();

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        visit_mut::visit_expr_mut(self, expr);
        let Self { label, runtime } = self;
        let leave = match expr {
            Expr::Return(ExprReturn {
                attrs,
                return_token,
                expr: value,
            }) => {
                let value = value.as_deref().map(in_parentheses);
                quote_spanned!(return_token.span=> #(#attrs)* break #label #value)
            }
            Expr::Try(ExprTry {
                attrs,
                expr: value,
                question_token,
            }) => {
                let at_question = Span::mixed_site().located_at(question_token.span);
                let runtime = located_at(runtime, at_question);
                quote_spanned! {at_question=>
                    #(#attrs)*
                    match #runtime::Branch::branch(#value) {
                        #runtime::ControlFlow::Continue(value) => value,
                        #runtime::ControlFlow::Break(residual) => {
                            break #label #runtime::FromResidual::from_residual(residual)
                        }
                    }
                }
            }
            _ => return,
        };
        *expr = Expr::Verbatim(leave);
    }
}

/// Puts parentheses around a block or a loop. Without them, rustc's lint
/// `break_with_label_and_loop` warns about such a value of a `break` with a label.
fn in_parentheses(value: &Expr) -> TokenStream {
    let is_confusing = match value {
        Expr::Block(block) => block.label.is_none(),
        Expr::Loop(repeated) => repeated.label.is_none(),
        Expr::While(repeated) => repeated.label.is_none(),
        Expr::ForLoop(repeated) => repeated.label.is_none(),
        _ => false,
    };
    if is_confusing {
        quote_spanned!(Span::mixed_site()=> (#value))
    } else {
        value.to_token_stream()
    }
}

/// Macros of `log` and `tracing`. They do not expand to a `return`.
const LOG_MACROS: [&str; 11] = [
    "debug",
    "debug_span",
    "error",
    "error_span",
    "event",
    "info",
    "info_span",
    "log",
    "trace",
    "trace_span",
    "warn",
];

fn is_well_known(found: &Macro) -> bool {
    let last = found.path.segments.last();
    last.is_some_and(|last| {
        let mut known = STD_MACROS.iter().chain(&LOG_MACROS);
        known.any(|name| last.ident == name)
    })
}

/// Whether the macro is known to diverge.
fn diverges(found: &Macro) -> bool {
    let last = found.path.segments.last();
    last.is_some_and(|last| {
        ["panic", "todo", "unimplemented", "unreachable"]
            .iter()
            .any(|name| last.ident == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    fn wrapped(body: TokenStream) -> Option<String> {
        let leaves = Leaves::of(&body).filter(|leaves| !leaves.may_hide_return())?;
        let mut wrap = |leaf| match leaf {
            Leaf::BoxPin(pin, future) => quote!(#pin(W(#future))),
            Leaf::Boxed(future, method) => quote!((W(#future)).#method()),
            Leaf::Other(expr) => quote!(W(#expr)),
        };
        Some(leaves.wrapped(&mut wrap).to_string())
    }

    #[test]
    fn every_value_of_the_function_is_wrapped() {
        for (body, expected) in [
            (
                quote!(f(); Box::pin(async { return 1; })),
                quote!(f(); Box::pin(W(async { return 1; }))),
            ),
            (
                quote!(if a {
                    return b;
                }(c)),
                quote!(if a {
                    return W(b);
                }(W(c))),
            ),
            (
                quote!(if a {
                    b
                } else if c {
                    unsafe { d }
                } else {
                    match e {
                        f => g,
                        _ => h(),
                    }
                }),
                quote!(if a {
                    W(b)
                } else if c {
                    unsafe { W(d) }
                } else {
                    match e {
                        f => W(g),
                        _ => W(h()),
                    }
                }),
            ),
            (
                quote!(Box::pin(if a {
                    return b;
                } else {
                    c
                })),
                quote!(Box::pin(W(if a {
                    return W(b);
                } else {
                    c
                }))),
            ),
            (
                quote!(let f = |x| { return 1 }; fn g() -> u8 { return 2; } loop { return h; }),
                quote!(let f = |x| { return 1 }; fn g() -> u8 { return 2; } W(loop { return W(h); })),
            ),
            (
                quote!(async { 1 }.boxed()),
                quote!((W(async { 1 })).boxed()),
            ),
            (quote!(f().boxed_local()), quote!(W(f().boxed_local()))),
            (quote!(a; return todo!();), quote!(a; return todo!();)),
            (quote!(todo!("x")), quote!(todo!("x"))),
        ] {
            assert_eq!(wrapped(body), Some(expected.to_string()));
        }
    }

    #[test]
    fn every_return_becomes_a_break() {
        let body = quote!(
            if a { return b; }
            let f = |x| { return 1 };
            loop { return; }
            c?;
        );
        let expected = quote!(
            if a { break 'body b; }
            let f = |x| { return 1 };
            loop { break 'body; }
            match rt::Branch::branch(c) {
                rt::ControlFlow::Continue(value) => value,
                rt::ControlFlow::Break(residual) => {
                    break 'body rt::FromResidual::from_residual(residual)
                }
            };
        );
        let leaves = Leaves::of(&body).expect("the body is valid");
        let label = Lifetime::new("'body", Span::call_site());
        let breaking = leaves.breaking(&label, &quote!(rt));
        assert_eq!(breaking.to_string(), expected.to_string());
    }

    #[test]
    fn a_return_may_be_out_of_sight() {
        for body in [
            quote!(bail!("x")),
            quote!(let x = ensure!(y); z),
            quote!(println!("{}", return x); z),
            quote!(x?; z),
            quote!(let x =),
        ] {
            assert_eq!(wrapped(body), None);
        }
    }
}
