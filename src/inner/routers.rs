//! Services of axum's: whether the cache learns which prefixes its routers removed from a URI.
//!
//! A router that is nested in another one shows its layers only the rest of the URI. axum keeps the
//! whole one in an extension, whose type this crate knows with its feature `axum`, and of one version
//! of axum alone.

#[cfg(feature = "axum")]
use std::any::TypeId;
use std::{
    any::type_name,
    sync::atomic::{AtomicBool, Ordering},
};

/// The name of the type of request bodies in every version of axum.
const BODY: &str = "axum_core::body::Body";

/// Of which services the cache does not learn what their routers removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BlindTo {
    /// Of all of axum's: the feature is off.
    #[cfg_attr(feature = "axum", expect(dead_code, reason = "the feature is on"))]
    AnyAxum,
    /// Of those of another version of axum.
    #[cfg_attr(
        not(feature = "axum"),
        expect(dead_code, reason = "the feature is off")
    )]
    OtherAxum,
}

/// Whether the cache is blind to what routers removed for this service. It does not see all: a service
/// that is not axum's may be nested in a router, and with the feature one of another axum may be
/// behind other layers. For those see [`are_blind`].
pub(crate) fn blind_to<S: 'static>() -> Option<BlindTo> {
    #[cfg(feature = "axum")]
    {
        let other = is_other::<S, axum::routing::Route>() || is_other::<S, axum::Router>();
        other.then_some(BlindTo::OtherAxum)
    }
    #[cfg(not(feature = "axum"))]
    is_axum(type_name::<S>()).then_some(BlindTo::AnyAxum)
}

/// Whether requests with bodies of this type come from routers to whose prefixes the cache is blind.
/// The answer is a constant of the type. The first `true` is logged.
pub(crate) fn are_blind<Q: 'static>() -> bool {
    #[cfg(feature = "axum")]
    let is_known = TypeId::of::<Q>() == TypeId::of::<axum::body::Body>();
    #[cfg(not(feature = "axum"))]
    let is_known = false;
    let are_blind = !is_known && type_name::<Q>() == BODY;
    if are_blind {
        report();
    }
    are_blind
}

/// Whether a type has the name of another one, and is not the same.
#[cfg(feature = "axum")]
fn is_other<T: 'static, Known: 'static>() -> bool {
    TypeId::of::<T>() != TypeId::of::<Known>() && type_name::<T>() == type_name::<Known>()
}

#[cold]
fn report() {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    if REPORTED.swap(true, Ordering::Relaxed) {
        return;
    }
    if cfg!(feature = "axum") {
        tracing::error!(
            "the cache is off: requests come from another axum than 0.8, for which the feature `axum` \
             is, and the cache could not tell the routes of nested routers apart"
        );
    } else {
        tracing::error!(
            "the cache is off: requests have the bodies of axum, and without the feature `axum` the \
             cache cannot tell the routes of nested routers apart. In Cargo.toml: \
             cachewarp = {{ version = \"{}\", features = [\"axum\"] }}",
            env!("CARGO_PKG_VERSION")
        );
    }
}

/// Whether the name of a type names one of axum's.
#[cfg(any(test, not(feature = "axum")))]
fn is_axum(type_name: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    type_name
        .match_indices("axum::")
        .any(|(at, _)| !type_name[..at].ends_with(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_of_axum_are_known_by_their_names() {
        type Wrapped = tower::util::MapRequest<axum::Router, ()>;
        for name in [
            type_name::<axum::Router>(),
            type_name::<axum::routing::Route>(),
            type_name::<axum::routing::MethodRouter>(),
            type_name::<Wrapped>(),
            type_name::<Option<Wrapped>>(),
            type_name::<crate::CacheService<axum::Router>>(),
        ] {
            assert!(is_axum(name), "{name}");
        }
        for name in [
            type_name::<http_body_util::Full<&'static [u8]>>(),
            type_name::<axum::body::Body>(),
            "my_axum::Router",
            "shop::axum_app::Service",
            "taxum::Service",
            "axum_extra::Service",
        ] {
            assert!(!is_axum(name), "{name}");
        }
    }

    #[test]
    fn the_bodies_of_axum_are_known_by_their_name() {
        assert_eq!(type_name::<axum::body::Body>(), BODY);
        assert_eq!(type_name::<axum_0_7::body::Body>(), BODY);
        assert_eq!(are_blind::<axum::body::Body>(), cfg!(not(feature = "axum")));
    }

    #[cfg(feature = "axum")]
    #[test]
    fn another_axum_is_known_by_its_types() {
        let other = Some(BlindTo::OtherAxum);
        assert_eq!(blind_to::<axum_0_7::routing::Route>(), other);
        assert_eq!(blind_to::<axum_0_7::Router>(), other);
        assert!(are_blind::<axum_0_7::body::Body>());

        assert_eq!(blind_to::<axum::routing::Route>(), None);
        assert_eq!(blind_to::<axum::Router>(), None);
        assert_eq!(blind_to::<String>(), None);
        assert!(!are_blind::<axum::body::Body>());
        assert!(!are_blind::<String>());
    }
}
