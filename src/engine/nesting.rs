//! Layers of one cache inside one another: which of them answers, and by whose settings.
//!
//! A layer that has an outer one of the same cache does one of two things. If both would answer the
//! request with the same stored responses, the inner one only passes it on, and hands its settings
//! about responses outward: the outer one stores, and the innermost settings apply. Otherwise the
//! inner one answers, and the outer one stores nothing of that exchange. Either way exactly one of
//! them stores, labels the answer and counts it, and none waits for a flight that it is a part of.
//!
//! A request carries the layers that it came through, a response the [`reports`] of its layers. Layers
//! of different caches take no notice of each other.

pub(crate) mod reports;

use std::{iter::successors, sync::Arc};

use http::{Extensions, Method};

use super::{
    key_parts,
    request::{CacheRequest, Destination},
};
use crate::{
    breaker::OriginBreaker,
    key::RequestKey,
    semantics::classify::{Bypass, Safety},
    state::cache::{Cache, Shared},
};

/// The request extension: the layers that the request came through, the innermost first.
#[derive(Clone, Debug)]
pub(crate) struct Layers(Arc<PassedLayer>);

#[derive(Debug)]
struct PassedLayer {
    cache: Cache,
    step: Step,
    /// What its key has besides the name of the resource, if the layers further out added to it.
    dimensions: Option<Box<[u8]>>,
    task: Task,
    outer: Option<Layers>,
}

/// What a layer does with a request, and for which key.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Lookup(RequestKey),
    Write(RequestKey),
    /// It forwards the request, whatever its key.
    Forward,
}

/// On whose behalf a layer asks its inner service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Task {
    /// The layers further out wait for the response.
    OfRequest,
    /// They do not: it refreshes what it has stored.
    OfItsOwn,
}

/// What a layer is to a request, among the layers of its cache.
#[derive(Debug)]
pub(crate) enum Place {
    /// The outermost one: it works as if it was alone.
    Outermost,
    /// It passes the request on, and a layer further out stores the response.
    HandsOutward(Guards),
    /// It answers itself, and the layers further out store nothing.
    Answers,
}

/// Which of its protections a layer that passes a request on has to apply itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Guards {
    /// None: an outer layer applies the same ones, or they do not concern the request.
    None,
    Own,
}

/// Whether the request came through another layer, of this or of another cache.
pub(crate) fn is_nested(request: &CacheRequest) -> bool {
    request.parts.extensions.get::<Layers>().is_some()
}

/// What this layer is to a request that goes to `destination`.
///
/// What a layer further out keeps apart stays apart: if this layer answers, the other one's
/// dimensions are added to its key. So is its depth, where both have the same namespace, because what
/// they may answer is not the same. Whether they have the same key differs from request to request, and
/// a layer must find by each only what it has stored itself.
#[cold]
pub(crate) fn place(
    cache: &Cache,
    request: &mut CacheRequest,
    destination: &mut Destination,
) -> Place {
    let Some(layers) = request.parts.extensions.get::<Layers>().cloned() else {
        return Place::Outermost;
    };
    let Some(nearest) = layers.of(&cache.shared).next() else {
        return Place::Outermost;
    };
    let step = Step::new(cache, request, *destination);
    if nearest.cache.config.answers_like(&cache.config) && step.is_same(&nearest.step) {
        return Place::HandsOutward(guards(cache, &layers, nearest, &step));
    }
    if *destination == Destination::Lookup {
        extend_key(cache, request, &layers);
        if request.key.is_too_long() {
            *destination = Destination::Bypass(Bypass::KeyTooLong);
            request.restore();
        }
    }
    Place::Answers
}

fn extend_key(cache: &Cache, request: &mut CacheRequest, layers: &Layers) {
    let own = request.key.clone();
    let key = &mut request.key;
    let layers = || layers.of(&cache.shared);
    let namespace = &cache.config.namespace;
    let depth = layers()
        .filter(|it| it.cache.config.namespace == *namespace)
        .count();
    if depth > 0 {
        key.push(b"inner");
        key.push(&depth.to_le_bytes());
    }
    let outer = layers().find_map(PassedLayer::dimensions);
    if let Some(dimensions @ [_, ..]) = outer {
        key.push(b"outer");
        key.push(dimensions);
    }
    if key.as_bytes() != own.as_bytes() {
        key.seal(cache.shared.seed);
        request.own_key = Some(Box::new(own));
    }
}

fn guards(cache: &Cache, layers: &Layers, nearest: &PassedLayer, step: &Step) -> Guards {
    let (own, outer) = (&cache.config, &nearest.cache.config);
    let breaker = own.breaker.as_ref();
    let breaks = breaker.is_some_and(|breaker| !layers.hold_permit_of(breaker));
    let is_shorter = matches!(step, Step::Lookup(_)) && own.origin_timeout < outer.origin_timeout;
    if breaks || is_shorter {
        Guards::Own
    } else {
        Guards::None
    }
}

/// Adds this layer to those that the request came through.
pub(crate) fn enter(cache: &Cache, request: &mut CacheRequest, destination: Destination) {
    let step = Step::new(cache, request, destination);
    let outer: Option<Layers> = request.parts.extensions.remove();
    let dimensions = match &request.own_key {
        Some(_) => Some(request.key.dimension_bytes().into()),
        None => outer.as_ref().and_then(|outer| {
            // A layer that hands outward has the key of the one that stores.
            let nearest = outer.of(&cache.shared).next()?;
            nearest
                .dimensions
                .clone()
                .filter(|_| nearest.step.is_same(&step))
        }),
    };
    let passed = PassedLayer {
        cache: cache.clone(),
        step,
        dimensions,
        task: Task::OfRequest,
        outer,
    };
    request.parts.extensions.insert(Layers(Arc::new(passed)));
}

/// Notes that the layers further out do not wait for the response.
pub(crate) fn detach(request: &mut CacheRequest) {
    if let Some(Layers(passed)) = request.parts.extensions.get_mut() {
        *passed = Arc::new(PassedLayer {
            cache: passed.cache.clone(),
            step: passed.step.clone(),
            dimensions: passed.dimensions.clone(),
            task: Task::OfItsOwn,
            outer: passed.outer.clone(),
        });
    }
}

/// Whether the request, which this layer has [entered](enter), came through another layer of its
/// cache.
pub(crate) fn has_outer(cache: &Cache, request: &Extensions) -> bool {
    let layers = request.get::<Layers>();
    layers.is_some_and(|layers| layers.of(&cache.shared).nth(1).is_some())
}

/// Whether a layer further out calls the origin through the same breaker. Its permit is for this
/// call too: a second one might not be granted.
pub(crate) fn has_permit(breaker: &OriginBreaker, request: &Extensions) -> bool {
    let Some(Layers(innermost)) = request.get() else {
        return false;
    };
    match (&innermost.outer, innermost.task) {
        (Some(outer), Task::OfRequest) => outer.hold_permit_of(breaker),
        (_, Task::OfItsOwn) | (None, Task::OfRequest) => false,
    }
}

impl Layers {
    fn iter(&self) -> impl Iterator<Item = &PassedLayer> {
        successors(Some(&*self.0), |passed| {
            passed.outer.as_ref().map(|outer| &*outer.0)
        })
    }

    fn of(&self, shared: &Arc<Shared>) -> impl Iterator<Item = &PassedLayer> {
        self.iter()
            .filter(move |it| Arc::ptr_eq(&it.cache.shared, shared))
    }

    fn hold_permit_of(&self, breaker: &OriginBreaker) -> bool {
        let waiting = self.iter().position(|it| it.task == Task::OfItsOwn);
        let mut layers = self
            .iter()
            .take(waiting.map_or(usize::MAX, |last| last + 1));
        layers.any(|it| {
            let own = it.cache.config.breaker.as_ref();
            own.is_some_and(|own| own.is_same(breaker))
        })
    }
}

impl PassedLayer {
    /// What its key has besides the name of the resource, if it looked the request up.
    fn dimensions(&self) -> Option<&[u8]> {
        match &self.step {
            Step::Lookup(own) => Some(self.dimensions.as_deref().unwrap_or(own.dimension_bytes())),
            Step::Write(_) | Step::Forward => None,
        }
    }
}

impl Step {
    fn new(cache: &Cache, request: &CacheRequest, destination: Destination) -> Self {
        let is_write = || Safety::of(&request.parts.method) == Safety::Unsafe;
        match destination {
            Destination::Lookup => {
                let own = request.own_key.as_deref().unwrap_or(&request.key);
                Self::Lookup(own.clone())
            }
            Destination::Forward(_) | Destination::Tunnel
                if request.parts.method != Method::CONNECT && is_write() =>
            {
                let key = key_parts::resource_key(cache, &request.parts);
                key.map_or(Self::Forward, Self::Write)
            }
            Destination::Bypass(_) | Destination::Forward(_) | Destination::Tunnel => Self::Forward,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Lookup(one), Self::Lookup(other)) | (Self::Write(one), Self::Write(other)) => {
                one.as_bytes() == other.as_bytes()
            }
            (Self::Forward, Self::Forward) => true,
            (Self::Lookup(_) | Self::Write(_) | Self::Forward, _) => false,
        }
    }
}
