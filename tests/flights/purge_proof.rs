//! The proof that purges hold: bodies carry a version that is raised before each purge, and whoever asks
//! after a purge returned gets at least that version, whatever else happens at once.
//!
//! Each round has a seed, settings of its own, and 100 clients. `PURGE_ROUNDS` sets how many rounds are
//! played, `PURGE_SEED` with which seed they begin.

use std::{
    env,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use cachewarp::{
    CacheBuilder, CacheHandle, CacheLayer, CacheOutcome, CacheTags, ConditionalMiss, HeadMiss,
    HeadUpdates, Memory, Purge, PurgeRequest, RangeMiss,
};
use http::{
    Method, StatusCode,
    header::{CONTENT_LENGTH, ETAG, IF_NONE_MATCH, RANGE, VARY},
};
use tokio::{runtime::Builder, task::yield_now, time::sleep};
use tower::Layer;

use crate::support::{
    Answer, Asked, Cache, Cached, Origin, answered, feed, outcome, request, send, status, whole,
    with_directives,
};

/// How many rounds are played unless the environment says otherwise.
const ROUNDS: u64 = 150;

/// How many clients ask at once.
const CLIENTS: usize = 100;

/// How often the version stands in a body, so that each part of it shows the version.
const REPEATS: usize = 24;

/// The digits of a version in a body.
const DIGITS: usize = 8;

const PAGES: usize = 6;

/// What is to be expected of one page.
struct Page {
    index: usize,
    host: &'static str,
    path: String,
    /// Whether its validator is of its version. The others never change theirs.
    is_honest: bool,
    version: AtomicU64,
    /// The version that requests have to get from now on.
    least: AtomicU64,
}

impl Page {
    fn new(index: usize) -> Self {
        let path = match index % 3 {
            0 => format!("/items/{index}"),
            1 => format!("/items/{index}?page=2"),
            _ => format!("/news/{index}"),
        };
        Self {
            index,
            host: if index < 4 { "a.test" } else { "b.test" },
            path,
            is_honest: index.is_multiple_of(2),
            version: AtomicU64::new(1),
            least: AtomicU64::new(0),
        }
    }

    fn url(&self) -> String {
        format!("http://{}{}", self.host, self.path)
    }

    fn bare_path(&self) -> &str {
        let end = self.path.find('?').unwrap_or(self.path.len());
        &self.path[..end]
    }

    fn own_tag(&self) -> String {
        format!("page:{}", self.index)
    }

    fn etag(&self, version: u64) -> String {
        match self.is_honest {
            true => format!("\"{version}\""),
            false => "\"same\"".to_owned(),
        }
    }
}

/// What the clients got, over all rounds: the proof means something only if all of it happened.
#[derive(Default)]
struct Seen {
    hits: AtomicUsize,
    collapsed: AtomicUsize,
    revalidated: AtomicUsize,
    stale: AtomicUsize,
    fetched: AtomicUsize,
    parts: AtomicUsize,
    heads: AtomicUsize,
    not_modified: AtomicUsize,
    failures: AtomicUsize,
    purges: AtomicUsize,
}

struct World {
    seed: u64,
    random: Mutex<u64>,
    pages: Vec<Page>,
    directives: &'static str,
    fails: AtomicBool,
    names_tags_in_304: bool,
    seen: Arc<Seen>,
}

/// A purge that is not yet carried out, and the pages that it concerns.
struct Change {
    purge: PurgeRequest,
    pages: Vec<usize>,
    /// The versions that the pages have got, once they have.
    versions: Vec<u64>,
    mode: Mode,
}

/// Whether a purge that names the first page concerns the other.
type Concerns = fn(&Page, &Page) -> bool;

#[derive(Clone, Copy, Debug)]
enum Mode {
    Hard,
    Soft,
    Validate,
}

impl World {
    fn new(seed: u64, seen: &Arc<Seen>) -> Arc<Self> {
        let mut world = Self {
            seed,
            // Not zero, and different in more than one bit.
            random: Mutex::new((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            pages: (0..PAGES).map(Page::new).collect(),
            directives: "",
            fails: AtomicBool::new(false),
            names_tags_in_304: false,
            seen: Arc::clone(seen),
        };
        world.names_tags_in_304 = world.draw(2) == 0;
        world.directives = [
            "max-age=600, stale-while-revalidate=600, stale-if-error=600",
            "max-age=1, stale-while-revalidate=600, stale-if-error=600",
            "max-age=0, stale-while-revalidate=600, stale-if-error=600",
            "max-age=600",
            "no-cache",
        ][world.draw(5) as usize];
        Arc::new(world)
    }

    /// A number below `most`.
    fn draw(&self, most: u64) -> u64 {
        let mut state = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 11) % most
    }

    /// Lets others go first, now and then for some milliseconds.
    async fn pause(&self, most: u64) {
        if self.draw(3) == 0 {
            return sleep(Duration::from_millis(self.draw(most + 1))).await;
        }
        for _ in 0..self.draw(6) {
            yield_now().await;
        }
    }

    fn page_of(&self, request: &Asked) -> Option<&Page> {
        let host = request.uri().host()?;
        let path = request.uri().path_and_query()?.as_str();
        self.pages
            .iter()
            .find(|page| page.host == host && page.path == path)
    }

    async fn answer(self: Arc<Self>, request: Asked) -> Answer {
        if *request.method() == Method::POST {
            return self.write(&request).await;
        }
        let Some(page) = self.page_of(&request) else {
            return status(StatusCode::NOT_FOUND, "");
        };
        // The oldest that it may be.
        let version = page.version.load(SeqCst);
        self.pause(30).await;
        if self.fails.load(SeqCst) {
            return status(StatusCode::SERVICE_UNAVAILABLE, "down");
        }
        let etag = page.etag(version);
        let asked = request.headers().get(IF_NONE_MATCH);
        if asked.is_some_and(|asked| *asked == etag) {
            let mut answer = status(StatusCode::NOT_MODIFIED, "");
            answer.headers_mut().insert(ETAG, etag.parse().unwrap());
            if self.names_tags_in_304 {
                let headers = answer.headers_mut();
                headers.insert("cache-tag", "all".parse().unwrap());
            }
            return answer;
        }
        let mut answer = with_directives(self.directives, "");
        answer
            .extensions_mut()
            .insert(CacheTags::new([page.own_tag()]));
        let headers = answer.headers_mut();
        headers.insert(ETAG, etag.parse().unwrap());
        headers.insert("x-version", version.into());
        headers.insert("cache-tag", "all, other".parse().unwrap());
        headers.insert("surrogate-key", "listed".parse().unwrap());
        headers.insert("cache-groups", "\"g\"".parse().unwrap());
        headers.insert(CONTENT_LENGTH, (DIGITS * REPEATS).into());
        if page.index == 3 {
            headers.insert(VARY, "accept-language".parse().unwrap());
        }
        if *request.method() == Method::GET {
            *answer.body_mut() = self.trickle(version);
        }
        answer
    }

    /// A body that comes in parts.
    fn trickle(
        self: &Arc<Self>,
        version: u64,
    ) -> http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, crate::support::Broken> {
        let (hand, body) = feed();
        let world = Arc::clone(self);
        tokio::spawn(async move {
            for _ in 0..3 {
                world.pause(20).await;
                let part = format!("{version:0DIGITS$}").repeat(REPEATS / 3);
                hand.try_data(part).await;
            }
        });
        body
    }

    /// A write whose response carries its purge.
    async fn write(&self, request: &Asked) -> Answer {
        let mut answer = status(StatusCode::OK, "");
        if request.uri().path() == "/change" {
            let change = self.draw_change();
            self.pause(10).await;
            answer = status(
                [StatusCode::NO_CONTENT, StatusCode::INTERNAL_SERVER_ERROR][self.draw(2) as usize],
                "",
            );
            let extensions = answer.extensions_mut();
            extensions.insert(change.purge.clone());
            extensions.insert(Arc::new(change));
        }
        answer
    }

    /// Pages that have changed, and what purges them.
    fn draw_change(&self) -> Change {
        let page = &self.pages[self.draw(PAGES as u64) as usize];
        let (host, path, bare) = (page.host, &page.path, page.bare_path());
        let itself: Concerns = |page, other| page.index == other.index;
        let same_host: Concerns = |page, other| page.host == other.host;
        let all: Concerns = |_, _| true;
        let (purge, concerns) = match self.draw(14) {
            0 => (Purge::url(page.url()), itself),
            1 => (Purge::url(path), itself),
            2 => (Purge::path(bare), itself),
            3 => (Purge::path(format!("https://{host}{bare}")), itself),
            4 => {
                let items: Concerns = |_, other| other.path.starts_with("/items/");
                (Purge::prefix("/items"), items)
            }
            5 => {
                let news: Concerns =
                    |page, other| other.path.starts_with("/news/") && page.host == other.host;
                (Purge::prefix(format!("http://{host}/news/")), news)
            }
            6 => (Purge::tag("all"), all),
            7 => (Purge::tag(page.own_tag()), itself),
            8 => (Purge::tag("listed"), all),
            9 => (Purge::host(host), same_host),
            10 => (Purge::group(format!("http://{host}"), "g"), same_host),
            11 => (Purge::namespace(), all),
            12 => (Purge::everything(), all),
            _ => (Purge::tag(page.own_tag()).tag("none").url("/none"), itself),
        };
        let pages = self.pages.iter().filter(|other| concerns(page, other));
        let pages: Vec<usize> = pages.map(|it| it.index).collect();
        let (purge, mode) = match self.draw(6) {
            0 => (purge.soft(), Mode::Soft),
            1 => (purge.validate(), Mode::Validate),
            _ => (purge, Mode::Hard),
        };
        Change {
            versions: self.raise(&pages),
            purge,
            pages,
            mode,
        }
    }

    /// The pages change.
    fn raise(&self, pages: &[usize]) -> Vec<u64> {
        let raise = |page: &usize| self.pages[*page].version.fetch_add(1, SeqCst) + 1;
        pages.iter().map(raise).collect()
    }

    /// The purge returned.
    fn is_in_force(&self, change: &Change) {
        self.seen.purges.fetch_add(1, SeqCst);
        for (page, version) in change.pages.iter().zip(&change.versions) {
            let page = &self.pages[*page];
            let promises = match change.mode {
                Mode::Hard => true,
                Mode::Soft => false,
                // What the origin confirms is used.
                Mode::Validate => page.is_honest,
            };
            if promises {
                page.least.fetch_max(*version, SeqCst);
            }
        }
    }

    async fn change(&self, handle: &CacheHandle) {
        let change = self.draw_change();
        handle.purge(change.purge.clone()).await.unwrap();
        self.is_in_force(&change);
    }

    async fn change_by_response(&self, cache: &Cache) {
        let answer = answered(send(cache, request(Method::POST, "http://a.test/change"))).await;
        let change = answer.extensions().get::<Arc<Change>>();
        self.is_in_force(change.expect("the response has its extensions"));
    }

    /// One request, and what its client may see.
    async fn ask(&self, cache: &Cache) {
        let page = &self.pages[self.draw(PAGES as u64) as usize];
        let kind = self.draw(14);
        let method = if kind < 2 { Method::HEAD } else { Method::GET };
        let mut asked = request(method, &page.url());
        let least = page.least.load(SeqCst);
        let headers = asked.headers_mut();
        let mut tag = None;
        match kind {
            2 => {
                headers.insert(RANGE, "bytes=8-31".parse().unwrap());
            }
            3 | 4 => {
                let version = page.version.load(SeqCst).saturating_sub(self.draw(3));
                headers.insert(IF_NONE_MATCH, page.etag(version).parse().unwrap());
                tag = Some(version);
            }
            5 => {
                headers.insert("cache-control", "max-stale".parse().unwrap());
            }
            6 => {
                headers.insert("cache-control", "no-cache".parse().unwrap());
            }
            7 => {
                headers.insert("x-tenant", "other".parse().unwrap());
            }
            8 => {
                headers.insert("cookie", "session=1".parse().unwrap());
            }
            _ => {}
        }
        if self.draw(2) == 0 {
            headers.insert("accept-language", "de".parse().unwrap());
        }
        let answer = answered(send(cache, asked)).await;
        self.count(&answer);
        let seen = &self.seen;
        let version: u64 = match answer.status() {
            StatusCode::OK if kind < 2 => {
                seen.heads.fetch_add(1, SeqCst);
                answer.headers()["x-version"]
                    .to_str()
                    .unwrap()
                    .parse()
                    .unwrap()
            }
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                if answer.status() == StatusCode::PARTIAL_CONTENT {
                    seen.parts.fetch_add(1, SeqCst);
                }
                self.pause(10).await;
                let label = format!("{:?}", outcome(&answer));
                let body = whole(answer).await.unwrap().to_bytes();
                let text = std::str::from_utf8(&body[..DIGITS]).unwrap();
                assert!(
                    body.chunks(DIGITS).all(|part| part == text.as_bytes()),
                    "two versions in one body, seed {}: {label}",
                    self.seed
                );
                text.parse().unwrap()
            }
            StatusCode::NOT_MODIFIED => {
                seen.not_modified.fetch_add(1, SeqCst);
                match tag {
                    Some(version) if page.is_honest => version,
                    _ => return,
                }
            }
            _ => {
                seen.failures.fetch_add(1, SeqCst);
                return;
            }
        };
        assert!(
            version >= least,
            "version {version} of page {} came back after {least} was purged, kind {kind}, seed {}",
            page.index,
            self.seed
        );
    }

    fn count(&self, answer: &Cached) {
        let seen = &self.seen;
        let of = match outcome(answer) {
            CacheOutcome::Hit { .. } => &seen.hits,
            CacheOutcome::Collapsed { .. } => &seen.collapsed,
            CacheOutcome::Revalidated { .. } => &seen.revalidated,
            CacheOutcome::Stale { .. } => &seen.stale,
            _ => &seen.fetched,
        };
        of.fetch_add(1, SeqCst);
    }

    fn settings(&self) -> CacheBuilder {
        let pick = |one: u64| self.draw(one) == 0;
        let mut builder = CacheLayer::builder()
            .memory(Memory::with_capacity(8 << 20))
            .key_headers(["x-tenant"]);
        if pick(2) {
            builder = builder.early_refresh(5.0);
        }
        if pick(3) {
            builder = builder.soft_timeout(Duration::from_millis(5));
        }
        if pick(2) {
            builder = builder.head_miss(HeadMiss::Forward);
        }
        if pick(3) {
            builder = builder.head_updates(HeadUpdates::Literal);
        }
        if pick(3) {
            builder = builder.range_miss(RangeMiss::Fill);
        }
        if pick(3) {
            builder = builder.conditional_miss(ConditionalMiss::Forward);
        }
        if pick(4) {
            builder = builder.max_fills(3);
        }
        if pick(4) {
            builder = builder.wait_timeout(Duration::from_millis(10));
        }
        builder
    }

    /// One round.
    async fn play(self: Arc<Self>) {
        let layer = self.settings().build().unwrap();
        let world = Arc::clone(&self);
        let origin = Origin::new(move |_, request| {
            let world = Arc::clone(&world);
            async move { Ok(world.answer(request).await) }
        });
        let (cache, handle) = (layer.layer(origin), layer.handle());
        let mut tasks = Vec::new();
        for _ in 0..CLIENTS {
            let (world, cache) = (Arc::clone(&self), cache.clone());
            tasks.push(tokio::spawn(async move {
                for _ in 0..world.draw(4) + 1 {
                    world.pause(60).await;
                    world.ask(&cache).await;
                }
            }));
        }
        for _ in 0..3 {
            let (world, cache, handle) = (Arc::clone(&self), cache.clone(), handle.clone());
            tasks.push(tokio::spawn(async move {
                for _ in 0..4 {
                    world.pause(40).await;
                    match world.draw(5) {
                        0 => world.change_by_response(&cache).await,
                        1 => {
                            let page = &world.pages[world.draw(PAGES as u64) as usize];
                            answered(send(&cache, request(Method::POST, &page.url()))).await;
                        }
                        2 => {
                            world.fails.store(true, SeqCst);
                            world.pause(30).await;
                            world.fails.store(false, SeqCst);
                        }
                        _ => world.change(&handle).await,
                    }
                }
            }));
        }
        for task in tasks {
            if let Err(error) = task.await {
                panic!("seed {}: {error}", self.seed);
            }
        }
        self.fails.store(false, SeqCst);
        // What is left has to hold too, and nothing is stuck.
        for _ in 0..10 {
            self.ask(&cache).await;
        }
        assert_eq!(handle.drain(Duration::from_secs(600)).await, 0);
    }
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |it| it.parse().unwrap())
}

#[test]
fn no_request_gets_what_was_purged_before_it_began() {
    let seen = Arc::new(Seen::default());
    let first = setting("PURGE_SEED", 0);
    for seed in first..first + setting("PURGE_ROUNDS", ROUNDS) {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(World::new(seed, &seen).play());
    }
    let Seen {
        hits,
        collapsed,
        revalidated,
        stale,
        fetched,
        parts,
        heads,
        not_modified,
        failures,
        purges,
    } = &*seen;
    for (what, count) in [
        ("hits", hits),
        ("collapsed", collapsed),
        ("revalidated", revalidated),
        ("stale", stale),
        ("fetched", fetched),
        ("parts", parts),
        ("heads", heads),
        ("not modified", not_modified),
        ("failures", failures),
        ("purges", purges),
    ] {
        let count = count.load(SeqCst);
        println!("{what}: {count}");
        assert!(count > 0, "no {what}");
    }
}
