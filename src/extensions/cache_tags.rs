//! A response extension: the tags by which a response can be purged.

/// A response extension that gives a response tags, so that all responses with one of them can be
/// purged at once. They add to those that the response fields `Cache-Tag`, `Surrogate-Key` and `xkey`
/// name.
///
/// A tag may hold any characters, and upper and lower case differ. A response may have 128 tags of at
/// most 1,024 bytes each, unless [`tag_limits`](crate::CacheBuilder::tag_limits) says otherwise; one that
/// has more is not stored ([`NotStored::TooManyTags`](crate::NotStored::TooManyTags)). Empty tags and
/// repetitions do not count. What a 304 names adds to the tags of the stored response that it confirms.
///
/// With the feature `axum` a handler can return it as a part of its response.
///
/// ```
/// # use http::Response;
/// use cachewarp::CacheTags;
///
/// let mut response = Response::new("item 7");
/// response.extensions_mut().insert(CacheTags::new(["item:7", "items"]));
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CacheTags(Vec<String>);

impl CacheTags {
    /// These tags.
    pub fn new<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Self {
        Self(tags.into_iter().map(Into::into).collect())
    }

    /// One more tag.
    #[must_use]
    pub fn and(mut self, tag: impl Into<String>) -> Self {
        self.0.push(tag.into());
        self
    }

    /// The tags.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponse for CacheTags {
    fn into_response(self) -> axum::response::Response {
        (self, ()).into_response()
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponseParts for CacheTags {
    type Error = std::convert::Infallible;

    fn into_response_parts(
        self,
        mut response: axum::response::ResponseParts,
    ) -> Result<axum::response::ResponseParts, Self::Error> {
        response.extensions_mut().insert(self);
        Ok(response)
    }
}
