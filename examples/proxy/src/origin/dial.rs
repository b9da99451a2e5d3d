//! How a connection to the origin is opened: in what time, and whose certificates count.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{ArgMatches, Args, parser::ValueSource};
use http::{Uri, uri::Scheme};
use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{config::values::parse_timeout, origin::ORIGIN};

/// More than any system's certificates take.
const LARGEST_FILE: u64 = 16 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Args, Clone, Debug)]
pub(crate) struct Dialing {
    /// How long a connection to the origin may take to open, with the look-up of its name and TLS:
    /// 5, 0.5, 300ms [default: 10, or --timeout if that is shorter]
    #[arg(long, help_heading = ORIGIN, value_name = "TIME", value_parser = parse_timeout)]
    connect_timeout: Option<Duration>,

    /// Trust an https:// origin by the certificates of this file alone, in PEM form, instead of those
    /// of public authorities
    #[arg(long, help_heading = ORIGIN, value_name = "FILE")]
    origin_ca: Option<PathBuf>,
}

/// What every connection is opened with.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    pub(crate) timeout: Duration,
    /// How long anything about the origin may take.
    pub(crate) limit: Duration,
    pub(crate) tls: ClientConfig,
    /// Connections of HTTP/1 at once.
    pub(crate) places: u32,
}

impl Dialing {
    pub(crate) fn check(&self, flags: &ArgMatches, origin: Option<&Uri>) -> Result<(), String> {
        let given = flags.value_source("origin_ca") == Some(ValueSource::CommandLine);
        if given && !is_secure(origin) {
            let line = "error: '--origin-ca' is of no use without an https:// origin";
            return Err(line.to_owned());
        }
        Ok(())
    }

    /// `limit` is how long anything about the origin may take, `places` the connections at once.
    ///
    /// # Errors
    ///
    /// The file that is of no use, and why.
    pub(crate) fn dial(
        &self,
        origin: Option<&Uri>,
        limit: Duration,
        places: u32,
    ) -> Result<Dial, String> {
        let tls = ClientConfig::builder();
        let tls = match &self.origin_ca {
            Some(file) if is_secure(origin) => {
                tls.with_root_certificates(authorities(file).map_err(|why| {
                    let file = file.display();
                    format!("invalid value '{file}' for '--origin-ca': {why}")
                })?)
            }
            _ => tls.with_webpki_roots(),
        };
        Ok(Dial {
            timeout: self.connect_timeout.unwrap_or(CONNECT_TIMEOUT).min(limit),
            limit,
            tls: tls.with_no_client_auth(),
            places,
        })
    }
}

fn is_secure(origin: Option<&Uri>) -> bool {
    origin.is_some_and(|uri| uri.scheme() == Some(&Scheme::HTTPS))
}

fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut text = Vec::new();
    File::open(file)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut text))
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > LARGEST_FILE {
        return Err("a file of certificates has at most 16 MiB".to_owned());
    }
    let mut roots = RootCertStore::empty();
    for (before, certificate) in CertificateDer::pem_slice_iter(&text).enumerate() {
        let number = before + 1;
        let certificate = certificate.map_err(|error| format!("certificate {number}: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("certificate {number}: {error}"))?;
    }
    if roots.is_empty() {
        return Err("it has no certificate in PEM form (-----BEGIN CERTIFICATE-----)".to_owned());
    }
    Ok(roots)
}
