//! What follows a 101 (Switching Protocols): bytes are copied both ways and not interpreted.

use http::Response;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;

/// Joins the client's connection with the one this 101 came over, as soon as hyper lets go of
/// both. The tunnel ends with the first of them that ends, or with the runtime.
pub(crate) fn open(client: OnUpgrade, response: &mut Response<Incoming>) {
    let origin = hyper::upgrade::on(response);
    tokio::spawn(async move {
        let (client, origin) = match tokio::try_join!(client, origin) {
            Ok(sides) => sides,
            Err(error) => {
                tracing::debug!(%error, "no tunnel");
                return;
            }
        };
        let (mut client, mut origin) = (TokioIo::new(client), TokioIo::new(origin));
        match tokio::io::copy_bidirectional(&mut client, &mut origin).await {
            Ok((sent, received)) => tracing::debug!(sent, received, "tunnel closed"),
            Err(error) => tracing::debug!(%error, "tunnel broken"),
        }
    });
}
