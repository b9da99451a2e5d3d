//! One exchange with the origin, from the request to what is stored of the response.

pub(crate) mod bypass;
pub(crate) mod call;
pub(crate) mod conditions;
mod deliver;
pub(crate) mod failure;
pub(crate) mod fetch;
pub(crate) mod fetched;
pub(crate) mod head_request;
mod lifetime;
mod receive;
mod revalidate;
pub(crate) mod storability;
pub(crate) mod storing;
mod timing;
