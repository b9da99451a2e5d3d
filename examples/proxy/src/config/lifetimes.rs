//! For how long responses are of use: those that state no lifetime, and those that are stale.

use std::time::Duration;

use cachewarp::{AdaptiveTtl, CacheBuilder, FixedTtl, OverrideOrigin};
use clap::{Args, ValueEnum};

use crate::answer::OnOwn;
use crate::config::values::{
    parse_beta, parse_budget, parse_lifetime, parse_targeted, parse_window,
};

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Lifetimes")]
pub(crate) struct Lifetimes {
    /// Lifetime for responses that state none: 60, 5m, 2h. Unless they say public, it is not for
    /// requests with Authorization, a field such as X-Api-Key, or a cookie other than those of
    /// analytics and consent
    /// [default: such responses are not kept]
    #[arg(long, value_name = "TIME", value_parser = parse_lifetime)]
    ttl: Option<Duration>,

    /// The lifetime of a 404 or 410 that states none, also without --ttl; with --adaptive it is the
    /// longest. 0 keeps none [default: that of --ttl or --adaptive, 10 s at most]
    #[arg(long = "ttl-404", value_name = "TIME", value_parser = parse_window)]
    ttl_404: Option<Duration>,

    /// Learn the lifetime of responses that state none from how often each changes and is
    /// requested; at most this share of all answers may be stale [default BUDGET: 0.02]
    // No default_missing_value: without a value the library's own default holds.
    #[arg(long, value_name = "BUDGET", value_parser = parse_budget, conflicts_with = "ttl")]
    adaptive: Option<Option<f64>>,

    /// Lifetime for all responses that may be stored, instead of the one that they state: for an
    /// origin that says max-age=0 of everything. It prolongs none with no-cache, with cookies, or for
    /// requests with credentials; private and no-store stay what they are
    #[arg(long, value_name = "TIME", value_parser = parse_lifetime)]
    #[arg(conflicts_with_all = ["ttl", "adaptive"])]
    force_ttl: Option<Duration>,

    /// Fields to obey instead of Cache-Control and Expires where a response has one (RFC 9213), the
    /// first one first: CDN-Cache-Control, or none [default: CDN-Cache-Control with --profile
    /// rfc-literal, else none]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse_targeted)]
    targeted_cache_control: Vec<String>,

    /// For how long a response past its lifetime may be answered while it is refreshed in the
    /// background, if it does not say so itself [default: none]
    #[arg(long, value_name = "TIME")]
    #[arg(value_parser = parse_window)]
    stale_while_revalidate: Option<Duration>,

    /// For how long a response past its lifetime may stand in for an origin that fails, if it does
    /// not say so itself [default: none]
    #[arg(long, value_name = "TIME", value_parser = parse_window)]
    stale_if_error: Option<Duration>,

    /// Refresh popular responses shortly before their lifetime ends, so that no client waits for
    /// the origin then; more than 1 is earlier [default BETA: 1]
    #[arg(long, value_name = "BETA", default_missing_value = "1", num_args = 0..=1)]
    #[arg(value_parser = parse_beta)]
    early_refresh: Option<f64>,

    /// How to read what the RFCs leave open
    #[arg(long, value_enum, default_value_t = Profile::Default)]
    profile: Profile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// The careful reading: nothing is stored or shared that an origin may not have meant
    Default,
    /// The most literal reading of RFC 9111 that allows the most reuse; CDN-Cache-Control is obeyed
    RfcLiteral,
    /// The careful reading, and a response to POST may answer GET if it says so
    PostFills,
}

impl Lifetimes {
    /// Whether answers of the proxy's own have `Cache-Status`: RFC 9211 section 2 advises against it.
    pub(crate) fn on_own(&self) -> OnOwn {
        match self.profile {
            Profile::RfcLiteral => OnOwn::Omitted,
            Profile::Default | Profile::PostFills => OnOwn::Shown,
        }
    }

    pub(crate) fn add_to(&self, mut cache: CacheBuilder) -> Result<CacheBuilder, String> {
        // The preset first: the other flags may differ from it.
        match self.profile {
            Profile::Default => {}
            Profile::PostFills => cache = cache.post_fills_get("*"),
            Profile::RfcLiteral => {
                cache = cache
                    .rfc_literal()
                    .targeted_cache_control(["CDN-Cache-Control"]);
            }
        }
        if let Some(longest) = self.ttl_404 {
            cache = cache.negative_ttl(longest);
        }
        match (self.ttl, self.ttl_404) {
            (None, None) => {}
            (Some(ttl), None) => cache = cache.ttl(FixedTtl::new(ttl)),
            // Responses with other statuses may get none.
            (ttl, Some(missing)) => {
                let ttl = FixedTtl::new(ttl.unwrap_or_default());
                cache = cache.ttl(ttl.status(404, missing).status(410, missing));
            }
        }
        if let Some(budget) = self.adaptive {
            let mut adaptive = AdaptiveTtl::builder();
            if let Some(share) = budget {
                adaptive = adaptive.budget(share);
            }
            cache = cache.ttl(adaptive.build().map_err(|error| error.to_string())?);
        }
        if let Some(ttl) = self.force_ttl {
            cache = cache
                .ttl(FixedTtl::new(ttl))
                .override_origin(OverrideOrigin::Lifetimes);
        }
        if !self.targeted_cache_control.is_empty() {
            let names = self.targeted_cache_control.iter();
            cache = cache.targeted_cache_control(names.filter(|name| *name != "none").cloned());
        }
        if let Some(window) = self.stale_while_revalidate {
            cache = cache.stale_while_revalidate(window);
        }
        if let Some(window) = self.stale_if_error {
            cache = cache.stale_if_error(window);
        }
        if let Some(beta) = self.early_refresh {
            cache = cache.early_refresh(beta);
        }
        Ok(cache)
    }
}
